package guard_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform/device"
)

// open hands the device a setpoint that it has not answered yet, and reports whether the guard
// allows it.
func (w *wire) open(kw float64) (c device.Command, ok bool) {
	w.seq++
	c = setPower(0, w.now, kw, device.Normal)
	c.Seq, c.ID, c.Source = w.seq, "open", "user:ann"
	return c, check(w.g, w.now, c).Code == ""
}

// disarmedAfter is how long it takes from now on until the device is disarmed, at most a
// minute; each is called every 100 ms.
func (w *wire) disarmedAfter(each func()) time.Duration {
	from := w.now
	for w.g.Armed(0) && w.now.Sub(from) < time.Minute {
		w.now = w.now.Add(100 * time.Millisecond)
		if each != nil {
			each()
		}
		w.tick()
	}
	return w.now.Sub(from)
}

// While a command is open a lost link is found as soon as without one: within StaleAfter of
// the last that was heard, and a cycle. How old readings are says nothing of how long the wire
// is taken by a command: frames of a bus may be a second old when they are read.
func TestSilenceWithAnOpenCommand(t *testing.T) {
	const most = 2*time.Second + 100*time.Millisecond
	for _, tt := range []struct {
		name string
		age  time.Duration // of what is read
		pace time.Duration // of reading it
	}{
		{"fresh", 0, 0}, {"old frames", time.Second, 0}, {"slow line", 420 * time.Millisecond, 420 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := armed(t)
			w.bend = func(r *device.Reading) { r.At -= tt.age.Milliseconds() }
			for range 20 {
				w.g.Paced(0, tt.pace)
				w.pass(100 * time.Millisecond)
			}
			w.open(50)
			if took := w.disarmedAfter(nil); took > most {
				t.Errorf("disarmed after %v, want %v", took, most)
			}
			w.noted("disarmed: link lost")
		})
	}
}

// What the device answers of a command that takes several exchanges shows that it is there, on
// a line where it is not read meanwhile; once it ceases to, its link is lost in time.
func TestAnswersToACommandAreHeard(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pace  time.Duration
		lasts time.Duration // how long it answers
		want  time.Duration // until it is disarmed
	}{
		{"slow line", 420 * time.Millisecond, 2500 * time.Millisecond, 4500 * time.Millisecond},
		{"more than its readings explain", 50 * time.Millisecond, 30 * time.Second, 2500 * time.Millisecond},
		{"more than any line explains", 5 * time.Second, 30 * time.Second, 7 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := armed(t)
			for range 20 {
				w.g.Paced(0, tt.pace)
				w.pass(100 * time.Millisecond)
			}
			c, _ := w.open(50)
			from := w.now
			took := w.disarmedAfter(func() {
				if w.now.Sub(from) <= tt.lasts {
					w.g.Heard(0, w.now)
				}
			})
			if took < tt.want || took > tt.want+200*time.Millisecond {
				t.Errorf("disarmed after %v, want %v", took, tt.want)
			}
			answer(w.g, w.now, c, device.Failure)
		})
	}
}

// A command that has failed in its midst was answered until then.
func TestAFailedCommandWasHeard(t *testing.T) {
	w := armed(t)
	for range 20 {
		w.g.Paced(0, 420*time.Millisecond)
		w.pass(100 * time.Millisecond)
	}
	c, _ := w.open(50)
	w.now = w.now.Add(1500 * time.Millisecond)
	w.g.Heard(0, w.now)
	w.now = w.now.Add(500 * time.Millisecond)
	answer(w.g, w.now, c, device.Failure)
	if took := w.disarmedAfter(nil); took < 1400*time.Millisecond || took > 1700*time.Millisecond {
		t.Errorf("disarmed %v after it had failed, want 1.5 s", took)
	}
	if !strings.Contains(w.notes[len(w.notes)-1], "link lost") {
		t.Errorf("%q", w.notes)
	}
}

// What nobody waits for is not heard: an answer that comes late does not make a link.
func TestNothingIsHeardWithoutACommand(t *testing.T) {
	w := armed(t)
	for range 20 {
		w.g.Paced(0, time.Second)
		w.pass(100 * time.Millisecond)
	}
	if took := w.disarmedAfter(func() { w.g.Heard(0, w.now) }); took > 2100*time.Millisecond {
		t.Errorf("disarmed after %v", took)
	}
	w.g.Heard(9, w.now) // which nobody knows
	w.g.Paced(9, time.Second)
}

// No sequence of readings of any age, commands, parts of them that are answered, and time keeps
// a device armed that has answered nothing for longer than its link may be silent, nor one that
// was not read for that and the most that a slow line explains.
func TestNoSequenceActsUnheard(t *testing.T) {
	const stale = 2 * time.Second
	rapid.Check(t, func(rt *rapid.T) {
		w := armed(t)
		heard, read := w.now, w.now
		var asked []device.Command
		pace := func(name string) time.Duration {
			return time.Duration(rapid.SampledFrom([]int{0, 10, 400, 5000}).Draw(rt, name)) * time.Millisecond
		}
		rt.Repeat(map[string]func(*rapid.T){
			"reading": func(*rapid.T) {
				w.g.Paced(0, pace("pace"))
				r := w.reading()
				r.At -= pace("age").Milliseconds()
				w.g.Observe(&r)
				heard, read = w.now, w.now
			},
			"ask": func(*rapid.T) {
				if c, ok := w.open(rapid.Float64Range(-100, 100).Draw(rt, "kw")); ok {
					asked = append(asked, c)
				}
			},
			"a part of it is answered": func(*rapid.T) {
				w.g.Heard(0, w.now)
				if len(asked) > 0 {
					heard = w.now
				}
			},
			"answer": func(*rapid.T) {
				if len(asked) == 0 {
					return
				}
				status := rapid.SampledFrom([]device.AckStatus{device.Done, device.Failure, device.Rejected}).Draw(rt, "status")
				if status == device.Done {
					heard = w.now
				}
				answer(w.g, w.now, asked[0], status)
				asked = asked[1:]
			},
			"time": func(*rapid.T) {
				for range rapid.IntRange(1, 15).Draw(rt, "ticks") {
					w.now = w.now.Add(100 * time.Millisecond)
					w.tick()
				}
			},
			"": func(*rapid.T) {
				switch {
				case !w.g.Armed(0):
				case w.now.Sub(heard) > stale+100*time.Millisecond:
					rt.Fatalf("armed %v after it was heard", w.now.Sub(heard))
				case w.now.Sub(read) > stale+5100*time.Millisecond:
					rt.Fatalf("armed %v after it was read", w.now.Sub(read))
				}
			},
		})
	})
}
