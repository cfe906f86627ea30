package accept

import (
	"fmt"
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
			p.rec.unfinished("what the test has changed was not put back in time")
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
			why := fmt.Sprintf("the device has not come to rest at the end of the test: it has %.4g kW", o.Reading.Power)
			p.rec.unfinished(why)
			if o.Has && o.Reading.Quality == device.Good && now.Sub(device.Time(o.Reading.At)) <= p.rec.MaxAge {
				p.rec.Unrest = why
			}
		}
		p.ending = over
	}
}
