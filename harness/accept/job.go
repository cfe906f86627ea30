package accept

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/harness/backend"
	"yunchu/harness/scenario"
	"yunchu/platform/device"
	"yunchu/platform/gateway"
)

// restore is what a test has changed, and how to put it back.
type restore struct {
	settings map[string]float64 // by name, what they were
	links    map[string]func()
	faults   map[string]func(context.Context) error
	grid     bool
}

// errUnable: the bench has nothing to do it with.
var errUnable = errors.New("cannot be done here")

// job does what the player asks for beside the bus: at once in virtual time, and on a
// goroutine of its own in real time, where answers take a while.
func (s *session) job(j *Job) {
	if j.Kind == JobRestore { // whatever was begun has lost its purpose
		s.end()
		s.jobs, s.end = context.WithCancel(s.ctx)
	}
	jobs, test := s.jobs, s.rec.Test
	work := func() {
		ctx, cancel := context.WithTimeout(jobs, jobWithin+j.For)
		defer cancel()
		s.doing.Lock()
		defer s.doing.Unlock()
		s.doingFor = "test " + test
		d := s.do(ctx, j)
		s.inbox.put(func(x *batch) { x.done = append(x.done, d) })
	}
	if s.sched.Virtual() {
		work()
		return
	}
	s.serve.Go(work)
}

// do does one job.
func (s *session) do(ctx context.Context, j *Job) Done {
	d := Done{ID: j.ID}
	switch j.Kind {
	case JobSetting:
		d.Err = s.set(ctx, j.Name, j.Value)
	case JobSettingsAll:
		d.Settings, d.Err = s.settingsAll(ctx)
	case JobPollAll:
		came, lost := s.frames()
		s.pollAll(ctx, j.For)
		d.Came, d.Lost = s.frames()
		d.Came, d.Lost = d.Came-came, d.Lost-lost
	case JobProbe:
		d.Err = s.exchange(ctx, "probed", "what it must refuse is tried", true, func(ctx context.Context, h *gateway.Held) (err error) {
			d.Trials, err = h.Probe(ctx)
			return err
		})
	case JobCut:
		d.Err = s.cut(j.Name)
	case JobUncut:
		s.uncut(j.Name)
	case JobFault:
		d.Err = s.inject(ctx, j)
	case JobEndFault:
		d.Err = s.endFault(ctx, j.Name)
	case JobGrid:
		d.Err = s.grid(ctx, j.Value, j.Voltage)
	case JobRestore:
		d.Err = s.putBack(ctx)
	}
	d.Unable = errors.Is(d.Err, errUnable) || errors.Is(d.Err, device.ErrUnsupported) || errors.Is(d.Err, backend.ErrUnknown)
	return d
}

// exchange works with the driver, on its own goroutine.
func (s *session) exchange(ctx context.Context, kind, text string, writes bool, fn func(context.Context, *gateway.Held) error) error {
	if s.b.World != nil {
		return fmt.Errorf("a twin has no wire: %w", errUnable)
	}
	return s.plant.Gateway.Exchange(ctx, s.slot, gateway.Work{
		Kind: kind, Text: text, Writes: writes, Source: s.source(), Reason: s.doingFor, Do: fn,
	})
}

// adjustable works with the settings of the device.
func (s *session) adjustable(ctx context.Context, text string, writes bool, fn func(context.Context, *gateway.Held) error) error {
	return s.exchange(ctx, "adjusted", text, writes, fn)
}

// set writes a setting and remembers what it was.
func (s *session) set(ctx context.Context, name string, value float64) error {
	return s.adjustable(ctx, fmt.Sprintf("setting %s to %g", name, value), true, func(ctx context.Context, a *gateway.Held) error {
		before, err := a.Setting(ctx, name)
		if err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		if _, known := s.undo.settings[name]; !known {
			if s.undo.settings == nil {
				s.undo.settings = map[string]float64{}
			}
			s.undo.settings[name] = before
		}
		if _, err := a.Adjust(ctx, name, value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		return nil
	})
}

// settings lists what the device has.
func (s *session) settings(ctx context.Context) (list []device.Setting, err error) {
	err = s.adjustable(ctx, "list of settings", false, func(ctx context.Context, a *gateway.Held) (err error) {
		list, err = a.Settings(ctx)
		return err
	})
	return list, err
}

// settingsAll writes each setting that may be written and whose range is known with another
// value of it, reads that back, and restores the one before. Without its range, as most that
// are named by the points of a device are, nobody knows what is legal. The connection and
// the power limit are among them: T08 and T10 are about what they do.
func (s *session) settingsAll(ctx context.Context) ([]SettingTrial, error) {
	list, err := s.settings(ctx)
	if err != nil {
		return nil, err
	}
	var out []SettingTrial
	for _, x := range list {
		if x.ReadOnly || x.Min == x.Max {
			continue
		}
		t := SettingTrial{Name: x.Name, Unit: x.Unit, Before: nan, Wrote: nan, Read: nan, Restored: nan}
		err := s.adjustable(ctx, "setting "+x.Name+" to another value and back", true, func(ctx context.Context, a *gateway.Held) error {
			return t.try(ctx, a, x)
		})
		if errors.Is(err, device.ErrUnsupported) && math.IsNaN(t.Wrote) {
			continue // the device has its register, and no value in it
		}
		if err != nil {
			t.Err = err.Error()
		}
		out = append(out, t)
	}
	return out, nil
}

// try changes one setting and puts it back, whatever happens in between.
func (t *SettingTrial) try(ctx context.Context, a *gateway.Held, x device.Setting) (err error) {
	if t.Before, err = a.Setting(ctx, x.Name); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	t.Wrote = another(x, t.Before)
	slack := max(x.Step, 1e-9) * 1.001
	t.Read, err = a.Adjust(ctx, x.Name, t.Wrote)
	if err == nil && math.Abs(t.Read-t.Wrote) > slack {
		err = fmt.Errorf("wrote %g, read back %g: %w", t.Wrote, t.Read, device.ErrReadBack)
	}
	var back error
	t.Restored, back = a.Restore(ctx, x.Name, t.Before)
	if back == nil && math.Abs(t.Restored-t.Before) > slack {
		back = fmt.Errorf("was %g, restored to %g: %w", t.Before, t.Restored, device.ErrReadBack)
	}
	return errors.Join(err, back)
}

// another is a legal value of a setting that it does not have: a few steps away, so
// that nothing is moved far.
func another(x device.Setting, now float64) float64 {
	step := x.Step
	if step <= 0 {
		step = (x.Max - x.Min) / 100
	}
	move := max(step, math.Floor((x.Max-x.Min)/20/step)*step)
	if now-move >= x.Min {
		return now - move
	}
	return min(now+move, x.Max)
}

// frames are how many frames have come on all wires of the device, and are missing.
func (s *session) frames() (came, lost int64) {
	for _, f := range s.framed {
		c, l := f.Frames(time.Now())
		came, lost = came+c, lost+l
	}
	return came, lost
}

// pollAll reads every setting over and over, beside the readings. Where they are not to be
// had the readings alone are polled: why is in what was timed.
func (s *session) pollAll(ctx context.Context, length time.Duration) {
	list, _ := s.settings(ctx)
	end := time.Now().Add(length)
	for time.Now().Before(end) && ctx.Err() == nil {
		for _, x := range list {
			if !time.Now().Before(end) {
				break
			}
			_ = s.adjustable(ctx, "reading of "+x.Name, false, func(ctx context.Context, a *gateway.Held) error {
				_, err := a.Setting(ctx, x.Name)
				return err
			}) // how it ended is timed
		}
		select {
		case <-ctx.Done():
		case <-time.After(s.period):
		}
	}
}

func (s *session) cut(link string) error {
	l, ok := s.links[link]
	if !ok {
		return fmt.Errorf("link %s: %w", link, errUnable)
	}
	if s.undo.links == nil {
		s.undo.links = map[string]func(){}
	}
	s.undo.links[link] = l.Begin(1, &scenario.Injection{Kind: "link-down", On: "both"})
	return nil
}

func (s *session) uncut(link string) {
	if end, ok := s.undo.links[link]; ok {
		end()
		delete(s.undo.links, link)
	}
}

func (s *session) backend() (backend.Face, error) {
	switch {
	case s.b.World != nil:
		return s.b.World, nil
	case s.b.Backend != nil:
		return s.b.Backend, nil
	}
	return nil, fmt.Errorf("nothing behind the device can be moved: %w", errUnable)
}

func (s *session) inject(ctx context.Context, j *Job) error {
	face, err := s.backend()
	if err != nil {
		return err
	}
	end, err := face.Inject(ctx, string(s.b.Info.ID), backend.Fault{
		Kind: j.Name, By: time.Duration(j.Numbers[0] * float64(time.Second)), Code: int(j.Numbers[1]), ToC: j.Numbers[2],
	})
	if err != nil {
		return fmt.Errorf("fault %s: %w", j.Name, err)
	}
	if s.undo.faults == nil {
		s.undo.faults = map[string]func(context.Context) error{}
	}
	s.undo.faults[j.Name] = end
	return nil
}

func (s *session) endFault(ctx context.Context, kind string) error {
	end, ok := s.undo.faults[kind]
	if !ok {
		return nil
	}
	delete(s.undo.faults, kind)
	return end(ctx)
}

func (s *session) grid(ctx context.Context, hz, voltage float64) error {
	face, err := s.backend()
	if err != nil {
		return err
	}
	if err := face.Grid(ctx, string(s.b.Info.ID), hz, voltage); err != nil {
		return fmt.Errorf("grid at %g Hz and %g %%: %w", hz, voltage, err)
	}
	s.undo.grid = true
	return nil
}

// putBack undoes what the test has changed, as far as it can.
func (s *session) putBack(ctx context.Context) error {
	var errs []error
	for link, end := range s.undo.links {
		end()
		delete(s.undo.links, link)
	}
	for kind := range s.undo.faults {
		errs = append(errs, s.endFault(ctx, kind))
	}
	if s.undo.grid {
		errs = append(errs, s.grid(ctx, nominalHz, 100))
	}
	var names []string
	for n := range s.undo.settings {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		errs = append(errs, s.reset(ctx, n, s.undo.settings[n]))
	}
	s.undo = restore{}
	return errors.Join(errs...)
}

// reset puts a setting back, unless it is what it was: a device that has been disarmed
// meanwhile must not be written to without need.
func (s *session) reset(ctx context.Context, name string, was float64) error {
	text := fmt.Sprintf("setting %s back to %g", name, was)
	same := false
	err := s.adjustable(ctx, text, false, func(ctx context.Context, a *gateway.Held) error {
		is, err := a.Setting(ctx, name)
		same = err == nil && is == was
		return err
	})
	if err != nil || same {
		return err
	}
	return s.adjustable(ctx, text, true, func(ctx context.Context, a *gateway.Held) error {
		_, err := a.Restore(ctx, name, was)
		return err
	})
}

// capabilities finds out what the device and its bench can do.
func (s *session) capabilities(ctx context.Context) {
	wire := s.b.World == nil
	s.able["power"] = s.ratedKW() > 0
	s.able["link"], s.able["arm"], s.able["poll"] = wire, wire, s.polled.Load()
	s.able[needsHours] = !wire || !s.opt.Short
	face, err := s.backend()
	s.able["backend"] = err == nil
	if err == nil {
		_, err := face.Truth(ctx, string(s.b.Info.ID))
		s.able["meter"] = err == nil
		s.able["grid"] = face.Grid(ctx, string(s.b.Info.ID), nominalHz, 100) == nil
	}
	if !wire {
		return
	}
	s.aside(ctx, func(ctx context.Context) {
		list, err := s.settings(ctx)
		if err != nil {
			s.opt.Log.Warn("settings not listed", "device", s.b.Info.ID, "error", err)
		}
		for _, x := range list {
			switch {
			case x.Name == device.SettingReactive:
				s.able[x.Name] = s.holds(ctx, x.Name)
			case x.ReadOnly:
			case slices.Contains([]string{device.SettingRamp, device.SettingPowerLimit, device.SettingRevert, device.SettingConnect}, x.Name):
				s.able[x.Name] = s.holds(ctx, x.Name)
				fallthrough
			default:
				s.able["settings"] = true
			}
		}
		_ = s.exchange(ctx, "examined", "nameplate", false, func(ctx context.Context, h *gateway.Held) (err error) {
			s.able["probe"] = h.Probes()
			s.said, err = h.Describe(ctx, time.Now())
			return err
		})
	})
	s.able["power"] = s.rated(ctx)
}

func (s *session) ratedKW() float64 {
	info, _ := s.plant.Fleet.Device(s.slot)
	return info.Info.RatedKW
}

// rated waits until the plant knows the rating that a device has told, which on a slow line
// takes some seconds, and reports whether there is one.
func (s *session) rated(ctx context.Context) bool {
	limit := s.sched.Now().Add(ratedWithin)
	for s.ratedKW() == 0 && s.said.RatedKW > 0 && s.sched.Now().Before(limit) {
		if err := s.sched.Run(ctx, s.sched.Now().Add(s.period)); err != nil {
			return false
		}
	}
	return s.ratedKW() > 0
}

// ratedWithin is more than the rest between two questions for a nameplate.
const ratedWithin = 40 * time.Second

// holds reports whether the device has a value in a setting: a register alone says
// nothing, it may be not implemented.
func (s *session) holds(ctx context.Context, name string) bool {
	err := s.adjustable(ctx, "setting "+name, false, func(ctx context.Context, a *gateway.Held) error {
		_, err := a.Setting(ctx, name)
		return err
	})
	return !errors.Is(err, device.ErrUnsupported)
}

// aside lets the loop run while fn, which waits for it, is being done.
func (s *session) aside(ctx context.Context, fn func(ctx context.Context)) {
	run, done := context.WithCancel(ctx)
	s.serve.Go(func() {
		defer done()
		limit, cancel := context.WithTimeout(ctx, jobWithin)
		defer cancel()
		fn(limit)
	})
	_ = s.sched.Run(run, time.Time{}) // ends with fn
}
