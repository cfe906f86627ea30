package guard

import (
	"fmt"
	"math"
	"time"

	"yunchu/platform/device"
)

// doubt is why the newest reading of a device is not believed.
type doubt struct {
	since  int64 // ms, when the first of them in a row arrived
	newest device.Reading
	gone   string // what it has ceased to say
}

// and is the doubt with one more reading, the first where there was none.
func (x *doubt) and(r *device.Reading, gone string) *doubt {
	if x == nil {
		x = &doubt{since: r.Arrived}
	}
	x.newest, x.gone = *r, gone
	return x
}

// unread says why there is no reading that a device could be armed by.
func (d *state) unread(now int64) string {
	span := func(from int64) string {
		return fmt.Sprintf("%.1f s", (time.Duration(now-from) * time.Millisecond).Seconds())
	}
	x := d.doubt
	newest := d.arrived
	if x != nil {
		newest = x.newest.Arrived
	}
	switch {
	case newest == 0:
		return "none has come yet"
	case x == nil || now-newest > d.env.StaleAfter.Milliseconds():
		return "the newest came " + span(newest) + " ago"
	case d.arrived == 0:
		return "for " + span(x.since) + " " + x.String() + ", and it was never good"
	}
	return "for " + span(x.since) + " " + x.String()
}

// String names the findings about the newest reading, with the values that they are about.
func (x *doubt) String() string {
	r := &x.newest
	if r.Quality == device.Good {
		return "it has not said its " + x.gone
	}
	why := (r.Flags &^ device.FlagSimulated).String()
	about := ""
	switch {
	case r.Beyond != 0:
		about = r.Told(r.Beyond)
	case r.Flags&device.FlagRange != 0 && r.Status == device.OtherStatus && r.Word != "":
		about = fmt.Sprintf("status %q", r.Word)
	case r.Flags&device.FlagLogic != 0:
		about = fmt.Sprintf("%s, voltage times current %.6g kW", r.Told(device.PointPower), math.Round(r.Voltage*r.Current)/1000)
	}
	if about != "" {
		why += ": " + about
	}
	return fmt.Sprintf("it has been %s (%s)", r.Quality, why)
}
