package hil_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"yunchu/hil"
	"yunchu/platform/device"
)

// fake is one part that says what a test wants.
type fake struct {
	r    device.Reading
	err  error
	info device.Info
	told []device.Verb
	code string // refuses with it
	// takes is how long a command takes.
	takes time.Duration
}

func (f *fake) Read(_ context.Context, now time.Time) (device.Reading, error) {
	r := f.r
	if r.At == 0 {
		r.At = now.UnixMilli()
	}
	r.Arrived = now.UnixMilli()
	return r, f.err
}

func (f *fake) Write(ctx context.Context, now time.Time, c device.Command) (device.Ack, error) {
	if f.takes > 0 {
		select {
		case <-time.After(f.takes):
		case <-ctx.Done():
			return device.Ack{}, fmt.Errorf("%w: %w", device.ErrOffline, ctx.Err())
		}
	}
	if f.err != nil {
		return device.Ack{}, f.err
	}
	if f.code != "" {
		return c.Answer(device.Rejected, now.UnixMilli(), f.code, "no"), nil
	}
	f.told = append(f.told, c.Verb)
	return c.Answer(device.Done, now.UnixMilli(), "", ""), nil
}

func (f *fake) Close() error { return f.err }

func (f *fake) Describe(context.Context, time.Time) (device.Info, error) { return f.info, nil }

// What a battery management ceases to say is not what the converter says of itself.
func TestPartThatFallsSilentIsNotReplaced(t *testing.T) {
	nan := math.NaN()
	bms := &fake{r: reading(func(r *device.Reading) { r.SoC, r.Temperature, r.MaxCharge, r.MaxDischarge = 98, 58, 5, 50 })}
	pcs := &fake{r: reading(func(r *device.Reading) {
		r.Power, r.Voltage, r.SoC, r.Temperature, r.MaxCharge, r.MaxDischarge = 0, 800, 60, 30, 100, 40
	})}
	p := &hil.Parts{PCS: pcs, BMS: bms}
	read := func() device.Reading {
		t.Helper()
		r, err := p.Read(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := read(); r.SoC != 98 || r.Temperature != 58 || r.Voltage != 800 || r.MaxCharge != 5 || r.MaxDischarge != 40 {
		t.Errorf("%+v", r)
	}
	bms.r.SoC, bms.r.Temperature, bms.r.MaxCharge, bms.r.MaxDischarge = nan, nan, nan, nan
	if r := read(); !math.IsNaN(r.SoC) || !math.IsNaN(r.Temperature) || r.MaxCharge != 5 || r.MaxDischarge != 40 {
		t.Errorf("the management is silent: %+v", r)
	}
	pcs.r.MaxCharge = 0
	if r := read(); r.MaxCharge != 0 {
		t.Errorf("the converter takes nothing: %+v", r)
	}
	bms.r.MaxCharge, pcs.r.MaxCharge = 20, 100
	if r := read(); r.MaxCharge != 20 {
		t.Errorf("the management speaks again: %+v", r)
	}
}

// TestWindowsGoWithTheirValue: a converter's window of its own voltage is not held against the
// voltage of the battery management, which may be another.
func TestWindowsGoWithTheirValue(t *testing.T) {
	window := func(low, high float64) *device.OwnWindows {
		w := device.Untold()
		w.Voltage = device.Span{low, high}
		return &w
	}
	pcs := &fake{r: reading(func(r *device.Reading) { r.Power, r.Voltage, r.Own = 0, 800, window(600, 876) })}
	bms := &fake{r: reading(func(r *device.Reading) { r.SoC, r.Voltage, r.Own = 50, 52, window(46, 57) })}
	r, err := (&hil.Parts{PCS: pcs, BMS: bms}).Read(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	if r.Voltage != 52 || r.Own == nil || r.Own.Voltage != (device.Span{46, 57}) {
		t.Errorf("%v V, own windows %+v", r.Voltage, r.Own)
	}
	bms.r.Voltage, bms.r.Own = math.NaN(), nil
	if r, err = (&hil.Parts{PCS: pcs, BMS: bms}).Read(t.Context(), now); err != nil || r.Voltage != 800 || r.Own == nil || r.Own.Voltage != (device.Span{600, 876}) {
		t.Errorf("%v V, own windows %+v, %v", r.Voltage, r.Own, err)
	}
}

func reading(change func(*device.Reading)) device.Reading {
	r := device.Empty()
	change(&r)
	return r
}

var now = time.UnixMilli(1_800_000_000_000)

// three is a converter, a battery management and a meter that agree.
func three() (pcs, bms, meter *fake, p *hil.Parts) {
	pcs = &fake{
		r:    reading(func(r *device.Reading) { r.Power, r.Voltage, r.MaxCharge, r.Status = 50, 790, 100, device.Charging }),
		info: device.Info{Manufacturer: "A", Model: "P", RatedKW: 100},
	}
	bms = &fake{
		r: reading(func(r *device.Reading) {
			r.SoC, r.SoH, r.Voltage, r.Current, r.Temperature, r.MaxCharge, r.MaxDischarge, r.Status = 42, 99, 800, 62, 25, 80, 90, device.Idle
		}),
		info: device.Info{Manufacturer: "B", Model: "S", CapacityKWh: 215, RatedKW: 120},
		code: "UNSUPPORTED",
	}
	meter = &fake{r: reading(func(r *device.Reading) { r.Power = 50.4 }), code: "UNSUPPORTED"}
	return pcs, bms, meter, &hil.Parts{PCS: pcs, BMS: bms, Meter: meter}
}

func TestPartsReportAsOne(t *testing.T) {
	_, bms, _, p := three()
	bms.r.At = now.Add(-300 * time.Millisecond).UnixMilli() // it reports less often
	r, err := p.Read(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	want := device.Reading{
		At: now.UnixMilli(), Arrived: now.UnixMilli(), SoC: 42, SoH: 99, Voltage: 800, Current: 62, Power: 50.4, Temperature: 25,
		MaxCharge: 80, MaxDischarge: 90, Status: device.Charging,
	}
	if r != want {
		t.Errorf("\n%+v, want\n%+v", r, want)
	}
}

func TestPartsAreAsWellAsTheWorst(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bend  func(pcs, bms, meter *fake)
		check func(r device.Reading) bool
	}{
		{"flags", func(_, b, m *fake) { b.r.Flags, m.r.Flags = device.FlagHeartbeat, device.FlagLocal }, func(r device.Reading) bool {
			return r.Flags == device.FlagHeartbeat|device.FlagLocal
		}},
		{"fault of the battery", func(_, b, _ *fake) { b.r.Status = device.Fault }, func(r device.Reading) bool { return r.Status == device.Fault }},
		{"forbidden", func(_, b, _ *fake) { b.r.MaxCharge = 0 }, func(r device.Reading) bool { return r.MaxCharge == 0 && r.MaxDischarge == 90 }},
		{"two meters apart", func(_, _, m *fake) { m.r.Power = 60 }, func(r device.Reading) bool { return r.Flags == device.FlagLogic }},
		{"meter without power", func(_, _, m *fake) { m.r.Power = math.NaN() }, func(r device.Reading) bool { return r.Power == 50 && r.Flags == 0 }},
	} {
		pcs, bms, meter, p := three()
		tt.bend(pcs, bms, meter)
		r, err := p.Read(t.Context(), now)
		if err != nil || !tt.check(r) {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
		}
	}
}

// A battery management that reports once a second must not make a step of the converter
// look like a contradiction; a current of the wrong sign that goes on must.
func TestCurrentFromBeforeAStepIsLeftOut(t *testing.T) {
	pcs, bms, meter, p := three()
	read := func(after time.Duration) float64 {
		t.Helper()
		r, err := p.Read(t.Context(), now.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return r.Current
	}
	if a := read(0); a != 62 {
		t.Errorf("%g A at rest", a)
	}
	bms.r.At = now.UnixMilli()
	pcs.r.Power, meter.r.Power = -50, -50
	if a := read(100 * time.Millisecond); !math.IsNaN(a) {
		t.Errorf("%g A from before the step", a)
	}
	bms.r.At = now.Add(time.Second).UnixMilli() // one of its messages is newer, this one is not
	if a := read(1100 * time.Millisecond); !math.IsNaN(a) {
		t.Errorf("%g A from before the step", a)
	}
	bms.r.At, bms.r.Current = now.Add(2*time.Second).UnixMilli(), -62
	if a := read(2100 * time.Millisecond); a != -62 {
		t.Errorf("%g A after the step", a)
	}
	bms.r.At, bms.r.Current = now.Add(3*time.Second).UnixMilli(), 62
	if a := read(3100 * time.Millisecond); a != 62 {
		t.Errorf("a contradiction that was measured after the step is hidden: %g A", a)
	}
}

func TestSilentPartMakesAllSilent(t *testing.T) {
	for i := range 3 {
		pcs, bms, meter, p := three()
		[]*fake{pcs, bms, meter}[i].err = device.ErrOffline
		if r, err := p.Read(t.Context(), now); !errors.Is(err, device.ErrOffline) {
			t.Errorf("part %d: %+v, %v", i, r, err)
		}
	}
}

func TestPowerGoesToTheConverter(t *testing.T) {
	pcs, bms, meter, p := three()
	write := func(v device.Verb) device.Ack {
		t.Helper()
		a, err := p.Write(t.Context(), now, device.Command{Verb: v, Power: 10})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, v := range []device.Verb{device.SetPower, device.SetMode, device.Stop, device.Release} {
		if a := write(v); a.Status != device.Done {
			t.Errorf("%v: %+v", v, a)
		}
	}
	if len(bms.told)+len(meter.told) != 0 || len(pcs.told) != 4 {
		t.Errorf("told: %v, %v, %v", pcs.told, bms.told, meter.told)
	}
	// An emergency stop goes to all; who knows nothing of it is passed over, who fails is not.
	bms.code = ""
	if a := write(device.EStop); a.Status != device.Done || !slices.Contains(bms.told, device.EStop) || !slices.Contains(pcs.told, device.EStop) {
		t.Errorf("%+v: %v, %v", a, pcs.told, bms.told)
	}
	bms.code = "REJECTED"
	if a := write(device.EStop); a.Status != device.Rejected || a.Reason != "bms: no" {
		t.Errorf("%+v", a)
	}
	bms.err = device.ErrOffline
	if _, err := p.Write(t.Context(), now, device.Command{Verb: device.EStop}); !errors.Is(err, device.ErrOffline) {
		t.Errorf("%v", err)
	}
	if n := len(pcs.told); pcs.told[n-1] != device.EStop {
		t.Error("the converter is not stopped because the battery management is silent")
	}
	only := &hil.Parts{BMS: meter}
	if a, err := only.Write(t.Context(), now, device.Command{Verb: device.SetPower}); err != nil || a.Code != "UNSUPPORTED" {
		t.Errorf("%+v, %v", a, err)
	}
}

// A part that does not answer takes no time from the others: each is stopped at once and
// has the whole limit.
func TestPartsAreStoppedSideBySide(t *testing.T) {
	for dead := range 3 {
		synctest.Test(t, func(t *testing.T) {
			pcs, bms, meter, p := three()
			list := []*fake{pcs, bms, meter}
			for i, f := range list {
				f.code, f.takes = "", 900*time.Millisecond
				if i == dead {
					f.takes = time.Hour
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begun := time.Now()
			a, err := p.Write(ctx, now, device.Command{Verb: device.EStop})
			if took := time.Since(begun); !errors.Is(err, device.ErrOffline) || took != time.Second {
				t.Errorf("part %d is dead: %+v, %v after %v", dead, a, err, took)
			}
			for i, f := range list {
				if i != dead && !slices.Equal(f.told, []device.Verb{device.EStop}) {
					t.Errorf("part %d is dead: part %d was told %v", dead, i, f.told)
				}
			}
		})
	}
}

func TestAllFailuresOfAStopAreTold(t *testing.T) {
	pcs, bms, meter, p := three()
	pcs.code, bms.code, meter.code = "REJECTED", "LOCAL", ""
	a, err := p.Write(t.Context(), now, device.Command{Verb: device.EStop})
	if err != nil || a.Status != device.Rejected || a.Code != "REJECTED" || a.Reason != "pcs: no; bms: no" {
		t.Errorf("%+v, %v", a, err)
	}
	meter.err = device.ErrOffline
	_, err = p.Write(t.Context(), now, device.Command{Verb: device.EStop})
	if want := "meter: device offline; pcs: no; bms: no"; !errors.Is(err, device.ErrOffline) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	bms.err = errors.New("noise")
	_, err = p.Write(t.Context(), now, device.Command{Verb: device.EStop})
	if want := "bms: noise\nmeter: device offline; pcs: no"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestPartsDescribeThemselves(t *testing.T) {
	pcs, bms, _, p := three()
	pcs.info.VoltStep, bms.info.VoltStep = 0.1, 1
	if _, err := p.Read(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	i, err := p.Describe(t.Context(), now)
	if err != nil || i.Manufacturer != "A + B" || i.Model != "P + S" || i.RatedKW != 100 || i.CapacityKWh != 215 || i.VoltStep != 1 {
		t.Errorf("%+v, %v", i, err)
	}
	_, bms, _, p = three()
	bms.r.Voltage, bms.info.VoltStep, p.PCS.(*fake).info.VoltStep = math.NaN(), 1, 0.1
	if _, err := p.Read(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if i, err := p.Describe(t.Context(), now); err != nil || i.VoltStep != 0.1 {
		t.Errorf("the converter's voltage comes in steps of %g V, %v", i.VoltStep, err)
	}
}

// Which part it is whose emergency stop is pressed is known with the reading that says so.
func TestWhosePartIsPressed(t *testing.T) {
	pcs, bms := &fake{r: reading(func(r *device.Reading) { r.Power, r.Voltage = 0, 800 })}, &fake{r: reading(func(r *device.Reading) { r.SoC = 50 })}
	p := &hil.Parts{PCS: pcs, BMS: bms}
	for _, tt := range []struct {
		pcs, bms device.Flags
		want     string
	}{{0, 0, ""}, {0, device.FlagEStop, "bms"}, {device.FlagEStop, 0, "pcs"}, {device.FlagEStop, device.FlagEStop, "pcs and bms"}, {device.FlagLocal, 0, ""}} {
		pcs.r.Flags, bms.r.Flags = tt.pcs, tt.bms
		if _, err := p.Read(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if got := p.Pressed(); got != tt.want {
			t.Errorf("%v and %v: %q, want %q", tt.pcs, tt.bms, got, tt.want)
		}
	}
}

// A part that refuses an emergency stop has it only if it says itself that it is stopped: that
// another one says so is no word of its own.
func TestPartThatRefusesItsStop(t *testing.T) {
	for _, tt := range []struct {
		pcs, bms device.Flags
		want     device.AckStatus
	}{{0, 0, device.Rejected}, {0, device.FlagEStop, device.Failure}, {device.FlagEStop, 0, device.Rejected}, {device.FlagEStop, device.FlagEStop, device.Rejected}} {
		pcs, bms, _, p := three()
		pcs.code, bms.code = "REJECTED", ""
		pcs.r.Flags, bms.r.Flags = tt.pcs, tt.bms
		if _, err := p.Read(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		a, err := p.Write(t.Context(), now, device.Command{Verb: device.EStop})
		if err != nil || a.Status != tt.want || a.Reason != "pcs: no" {
			t.Errorf("the converter says %v and the battery %v: %+v, %v", tt.pcs, tt.bms, a, err)
		}
	}
}

// The current of a small unit that was measured just before its ramp ended is left out as that of a
// large one is, until the next comes: readings are held to 5 % of what the unit can do.
func TestCurrentOfTheLastOfARamp(t *testing.T) {
	for _, rated := range []float64{5, 500} {
		pcs := &fake{r: reading(func(r *device.Reading) { r.Power = -rated })}
		bms := &fake{r: reading(func(r *device.Reading) { r.SoC, r.Voltage, r.Current = 50, 50, -20*rated })}
		p := &hil.Parts{PCS: pcs, BMS: bms}
		at := now
		read := func(part float64, after time.Duration) float64 {
			at = at.Add(after)
			pcs.r.Power, pcs.r.At = part*rated, at.UnixMilli()
			r, err := p.Read(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			return r.Current
		}
		measured := func(part float64) { bms.r.Current, bms.r.At = 20*part*rated, at.UnixMilli() }
		read(-1, 0)
		read(0.9, 800*time.Millisecond)
		measured(0.9) // and not again for a second
		if c := read(1, 50*time.Millisecond); !math.IsNaN(c) {
			t.Errorf("%v kW: %v A where the power is 11 %% more", rated, c)
		}
		measured(1)
		if c := read(1, time.Second); c != 20*rated {
			t.Errorf("%v kW: %v A once it has come again", rated, c)
		}
	}
}
