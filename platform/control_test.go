package platform

import (
	"testing"

	"yunchu/platform/device"
)

// Two senders may choose one id for commands to different devices.
func TestAnswersReachThoseWhoWaitForThem(t *testing.T) {
	w := waiters{open: map[awaited][]waiter{}}
	a, leaveA := w.wait(awaited{1, "cmd"}, device.SetPower)
	b, leaveB := w.wait(awaited{2, "cmd"}, device.SetPower)
	again, leaveAgain := w.wait(awaited{2, "cmd"}, device.SetPower)
	w.answer(1, &device.Acks{List: []device.Ack{{Slot: 2, ID: "cmd", Power: 20}, {Slot: 3, ID: "cmd"}, {Slot: 1, ID: "other"}}})
	w.answer(2, &device.Acks{List: []device.Ack{{Slot: 2, ID: "cmd", Power: 21}}}) // they have theirs
	for _, ch := range []<-chan device.Ack{b, again} {
		if len(ch) != 1 {
			t.Fatalf("%d answers, want 1", len(ch))
		}
		if got := <-ch; got.Slot != 2 || got.Power != 20 {
			t.Errorf("answer %+v, want the first for slot 2", got)
		}
	}
	if len(a) != 0 {
		t.Errorf("slot 1 is answered with %+v", <-a)
	}
	leaveB()
	w.answer(3, &device.Acks{List: []device.Ack{{Slot: 2, ID: "cmd"}}})
	if len(b) != 0 || len(again) != 1 {
		t.Errorf("%d answers for one who has left, %d for one who has not", len(b), len(again))
	}
	leaveA()
	leaveAgain()
	if len(w.open) != 0 {
		t.Errorf("%d are still waited for", len(w.open))
	}
}

// Who waits for an emergency stop is not answered with what else its commandId was used for.
func TestAStopIsAnsweredAsAStop(t *testing.T) {
	w := waiters{open: map[awaited][]waiter{}}
	stop, leave := w.wait(awaited{1, "cmd"}, device.EStop)
	defer leave()
	w.answer(1, &device.Acks{List: []device.Ack{{Slot: 1, ID: "cmd", Verb: device.SetPower}, {Slot: 1, ID: "cmd", Verb: device.EStop, Power: 7}}})
	if got := <-stop; got.Verb != device.EStop || got.Power != 7 {
		t.Errorf("answer %+v", got)
	}
}
