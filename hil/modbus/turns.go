package modbus

import (
	"slices"
	"time"
)

// An attempt at a unit that does not answer takes a serial line for twice the timeout: until it
// is over, and until nothing can come any more. The units that have yet to hear a stop take it
// from the others for one part in lineShare of the time at most.
const lineShare = 3

func cost(timeout time.Duration) time.Duration { return 2 * timeout }

// turns are those of the units of a line that do not answer and have yet to hear a stop. Each is
// tried when its round is over, of which the length is their number alone, and before that when
// the line has been spared for long enough and it is the one that has waited longest. So one that
// is asked for seldom, or no more, keeps nobody waiting, and is not forestalled either. Other
// units that do not answer play no part: these are left alone for longer and longer.
type turns struct {
	list   []turn
	spared time.Time // until then the line belongs to the others, unless a round is over
}

type turn struct {
	who   *conn
	tried time.Time // when it failed last, or the try that is under way began
}

func (t *turns) find(who *conn) int {
	return slices.IndexFunc(t.list, func(x turn) bool { return x.who == who })
}

// join has a unit take part that failed last then.
func (t *turns) join(who *conn, failed time.Time, timeout time.Duration) {
	if t.find(who) < 0 {
		t.list = append(t.list, turn{who, failed})
		t.spare(failed, timeout)
	}
}

func (t *turns) leave(who *conn) {
	if i := t.find(who); i >= 0 {
		t.list = slices.Delete(t.list, i, i+1)
	}
}

// take reports whether a unit is tried now: never within a time after its last failure, and
// at the latest when it would be tried again if it were owed nothing.
func (t *turns) take(who *conn, now time.Time, within, longest, timeout time.Duration) bool {
	i := t.find(who)
	if i < 0 {
		return true
	}
	x := &t.list[i]
	round := min(time.Duration(len(t.list))*lineShare*cost(timeout)-timeout, longest)
	behind := slices.ContainsFunc(t.list, func(y turn) bool { return y.tried.Before(x.tried) })
	since := now.Sub(x.tried)
	if since < within || since < round && (behind || now.Before(t.spared)) {
		return false
	}
	x.tried = now
	t.spare(now.Add(timeout), timeout)
	return true
}

// failed takes note of how a try ended.
func (t *turns) failed(who *conn, now time.Time, timeout time.Duration) {
	if i := t.find(who); i >= 0 {
		t.list[i].tried = now
	}
	t.spare(now, timeout)
}

// spare leaves the line to the others after a try that failed then.
func (t *turns) spare(failed time.Time, timeout time.Duration) {
	if until := failed.Add(lineShare*cost(timeout) - timeout); until.After(t.spared) {
		t.spared = until
	}
}
