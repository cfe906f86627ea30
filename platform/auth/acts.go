package auth

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"yunchu/platform/device"
)

// refusals bounds how many refusals are put down: strangers must not be able to fill the
// disk. What is left out is counted in the next one.
type refusals struct {
	mu      sync.Mutex
	limit   *rate.Limiter
	leftOut int
}

// How many refusals are put down: so many at once, and one a second.
const refusalBurst = 100

// Refused puts down that somebody was refused something: who (nil: nobody knows), from
// which address, what, and why.
func (a *Authority) Refused(now time.Time, p *Principal, from, what, why string) {
	source := ""
	if p != nil {
		source = p.Name
	}
	a.refused(now, device.Act{Type: "refused", Source: source, From: from, Subject: what, Outcome: "refused", Text: why})
}

func (a *Authority) refused(now time.Time, act device.Act) {
	r := &a.refusals
	r.mu.Lock()
	if r.limit == nil {
		r.limit = rate.NewLimiter(1, refusalBurst)
	}
	if !r.limit.AllowN(now, 1) {
		r.leftOut++
		r.mu.Unlock()
		return
	}
	if r.leftOut > 0 {
		act.Text += fmt.Sprintf(" (and %d refusals before it that are not listed)", r.leftOut)
		r.leftOut = 0
	}
	r.mu.Unlock()
	a.records.Act(act)
}
