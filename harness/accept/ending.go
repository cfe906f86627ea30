package accept

import (
	"time"

	"yunchu/platform/device"
)

// settledFor is how long the device must have been at rest before the next test begins.
const settledFor = 500 * time.Millisecond

// end brings the device to rest and puts back what the test has changed. A fault or a
// cut of one step ends with it.
func (p *Player) end(now time.Time, o *Observation, out *[]Action) {
	switch p.ending {
	case stopping:
		p.rest(now, device.Stop, out)
		p.waits = p.job(Job{Kind: JobRestore}, out)
		p.ending, p.endedAt = restoring, now
	case restoring:
		if p.waits != "" && now.Sub(p.endedAt) < jobWithin {
			return
		}
		if p.waits != "" {
			p.rec.Notes = append(p.rec.Notes, "what the test has changed was not put back in time")
		}
		if p.stopped && o.Stopped {
			p.command(now, device.Command{Verb: device.Reset}, out)
		}
		// Once more, now that every link is there again.
		p.rest(now, device.Stop, out)
		p.ending, p.endedAt, p.quiet = settling, now, time.Time{}
	case settling:
		if (p.quiet.IsZero() || now.Sub(p.quiet) < settledFor) && now.Sub(p.endedAt) < restWithin {
			return
		}
		if p.quiet.IsZero() {
			p.rec.Notes = append(p.rec.Notes, "the device has not come to rest at the end of the test")
		}
		p.ending = over
	}
}
