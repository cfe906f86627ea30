package can_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"yunchu/hil/can"
	"yunchu/platform/device"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// bench is a driver on a bus on which the test speaks for the device.
type bench struct {
	t      *testing.T
	now    time.Time
	bms    can.Stepped
	driver *can.Driver
}

func newBench(t *testing.T, p *can.Profile, change func(*can.Options)) *bench {
	t.Helper()
	bus := can.NewMemory()
	b := &bench{t: t, now: start, bms: bus.Node()}
	opt := can.Options{Profile: p, Dial: func(context.Context) (can.Bus, error) { return bus.Node(), nil }}
	if change != nil {
		change(&opt)
	}
	var err error
	if b.driver, err = can.New(opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.driver.Close() })
	_, _ = b.driver.Read(t.Context(), b.now) // opens the bus; nobody has spoken yet
	return b
}

func (b *bench) say(frames ...can.Frame) {
	b.t.Helper()
	b.bms.SetNow(b.now)
	for _, f := range frames {
		if err := b.bms.Send(b.t.Context(), f); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) read() device.Reading {
	b.t.Helper()
	r, err := b.driver.Read(b.t.Context(), b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// heard is what the driver has sent since the last call.
func (b *bench) heard() []string {
	var out []string
	for {
		f, _, ok := b.bms.Poll()
		if !ok {
			return out
		}
		out = append(out, f.String())
	}
}

// The frames of a healthy 48 V battery.
func healthy(t *testing.T) map[uint32]can.Frame {
	return map[uint32]can.Frame{
		0x351: frame(t, 0x351, "14 02 74 0E 74 0E CC 01"), // 53.2 V, 370 A, 370 A, 46 V
		0x355: frame(t, 0x355, "1A 00 64 00"),
		0x356: frame(t, 0x356, "7A 13 F2 FE 6B 01"), // 49.86 V, -27 A
		0x359: frame(t, 0x359, "00 00 00 00 02 50 4E"),
		0x35C: frame(t, 0x35C, "C0"),
		0x35E: frame(t, 0x35E, "50 59 4C 4F 4E 20 20 20"),
	}
}

func (b *bench) sayAll(frames map[uint32]can.Frame) {
	for _, f := range frames {
		b.say(f)
	}
}

func TestReadingOfAHealthyBattery(t *testing.T) {
	b := newBench(t, load(t, "pylon-lv"), nil)
	b.sayAll(healthy(t))
	got := b.read()
	want := device.Reading{
		At: start.UnixMilli(), Arrived: start.UnixMilli(), SoC: 26, SoH: 100, Voltage: 49.86, Current: -27, Temperature: 36.3,
		MaxCharge: 370 * 49.86 / 1000, MaxDischarge: 370 * 49.86 / 1000, Status: device.Discharging, Power: got.Power,
	}
	for _, c := range [][2]float64{{got.SoC, want.SoC}, {got.Voltage, want.Voltage}, {got.Current, want.Current}, {got.Temperature, want.Temperature}, {got.MaxCharge, want.MaxCharge}, {got.MaxDischarge, want.MaxDischarge}} {
		if math.Abs(c[0]-c[1]) > 1e-9 {
			t.Errorf("got %v, want %v in %+v", c[0], c[1], got)
		}
	}
	if got.Status != want.Status || got.At != want.At || got.Flags != 0 || !math.IsNaN(got.Power) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestOpeningNeedsNoDevice(t *testing.T) {
	d, err := can.New(can.Options{Profile: load(t, "pylon-lv"), Address: "slcan:///dev/no-such-port"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(t.Context(), start); !errors.Is(err, device.ErrOffline) {
		t.Errorf("Read() of nothing = %v, want ErrOffline", err)
	}
	began := time.Now()
	if _, err := d.Read(t.Context(), start); !errors.Is(err, device.ErrOffline) || time.Since(began) > 50*time.Millisecond {
		t.Errorf("Read() while backing off = %v after %v, want ErrOffline at once", err, time.Since(began))
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestWrongOptions(t *testing.T) {
	p := load(t, "pylon-lv")
	for _, o := range []can.Options{
		{Address: "slcan:///dev/ttyACM0"},
		{Profile: &can.Profile{}, Address: "slcan:///dev/ttyACM0"},
		{Profile: p},
		{Profile: p, Address: "tcp://127.0.0.1:1"},
		{Profile: p, Address: "slcan://"},
		{Profile: p, Address: "slcan:///dev/ttyACM0?baud=fast"},
		{Profile: p, Address: "socketcand://host/can0"},
		{Profile: p, Address: "socketcand://host:29536"},
		{Profile: p, Address: "socketcand://host:29536/can0%20%3E"},
		{Profile: p, Address: "socketcan://"},
		{Profile: p, Address: "socketcan://can0", CurrentSign: "up"},
		{Profile: p, Address: "socketcan://can0", Timeout: -1},
	} {
		if _, err := can.New(o); err == nil {
			t.Errorf("New(%q, %q): no error", o.Address, o.CurrentSign)
		}
	}
}

// What a frame of the device changes about the healthy reading.
func TestTraps(t *testing.T) {
	nan := math.NaN()
	type values struct{ soc, current, charge, discharge float64 }
	ok := 370 * 49.86 / 1000
	for _, tt := range []struct {
		name   string
		frames []can.Frame
		want   values
	}{
		{"charge not allowed", []can.Frame{frame(t, 0x35C, "40")}, values{26, -27, 0, ok}},
		{"discharge not allowed", []can.Frame{frame(t, 0x35C, "80 00")}, values{26, -27, ok, 0}},
		{"neither allowed", []can.Frame{frame(t, 0x35C, "00")}, values{26, -27, 0, 0}},
		{"permission not implemented", []can.Frame{frame(t, 0x35C, "FF FF")}, values{26, -27, 0, 0}},
		{"permission of no byte", []can.Frame{frame(t, 0x35C, "")}, values{26, -27, 0, 0}},
		{"limits of 0", []can.Frame{frame(t, 0x351, "14 02 00 00 00 00 CC 01")}, values{26, -27, 0, 0}},
		{"discharge limit written below zero", []can.Frame{frame(t, 0x351, "14 02 74 0E 8C F1 CC 01")}, values{26, -27, ok, ok}},
		{"limits not implemented", []can.Frame{frame(t, 0x351, "FF FF FF FF FF FF FF FF")}, values{26, -27, 0, 0}},
		{"limits cut short", []can.Frame{frame(t, 0x351, "14 02 74 0E")}, values{26, -27, ok, 0}},
		{"no discharge voltage", []can.Frame{frame(t, 0x351, "14 02 74 0E 74 0E")}, values{26, -27, ok, ok}},
		{"discharge voltage of 0", []can.Frame{frame(t, 0x351, "14 02 74 0E 74 0E 00 00")}, values{26, -27, ok, ok}},
		{"above the charge voltage", []can.Frame{frame(t, 0x351, "F2 01 74 0E 74 0E CC 01")}, values{26, -27, 0, ok}},
		{"below the discharge voltage", []can.Frame{frame(t, 0x351, "14 02 74 0E 74 0E F4 01")}, values{26, -27, ok, 0}},
		{"voltages the wrong way round", []can.Frame{frame(t, 0x351, "CC 01 74 0E 74 0E 14 02")}, values{26, -27, 0, 0}},
		{"voltage not known", []can.Frame{frame(t, 0x356, "FF 7F F2 FE 6B 01")}, values{26, -27, 0, 0}},
		{"current not implemented", []can.Frame{frame(t, 0x356, "7A 13 FF 7F 6B 01")}, values{26, nan, ok, ok}},
		{"a current of -0.1 A is one", []can.Frame{frame(t, 0x356, "7A 13 FF FF 6B 01")}, values{26, -0.1, ok, ok}},
		{"fine state of charge", []can.Frame{frame(t, 0x355, "1A 00 64 00 55 0A")}, values{26.45, -27, ok, ok}},
		{"fine state of charge filled with zeros", []can.Frame{frame(t, 0x355, "1A 00 64 00 00 00")}, values{26, -27, ok, ok}},
		{"state of charge not implemented", []can.Frame{frame(t, 0x355, "FF FF 64 00")}, values{nan, -27, ok, ok}},
		{"state of charge of 150 %", []can.Frame{frame(t, 0x355, "96 00 64 00")}, values{150, -27, ok, ok}},
		{"remote frames are no data", []can.Frame{{ID: 0x355, IsRemote: true, Length: 8}}, values{26, -27, ok, ok}},
		{"extended frames of that number are others", []can.Frame{{ID: 0x355, IsExtended: true, Length: 8}}, values{26, -27, ok, ok}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, load(t, "pylon-lv"), nil)
			b.sayAll(healthy(t))
			b.say(tt.frames...)
			r := b.read()
			for _, c := range []struct {
				what      string
				got, want float64
			}{{"soc", r.SoC, tt.want.soc}, {"current", r.Current, tt.want.current}, {"max charge", r.MaxCharge, tt.want.charge}, {"max discharge", r.MaxDischarge, tt.want.discharge}} {
				if math.Abs(c.got-c.want) > 1e-9 || math.IsNaN(c.got) != math.IsNaN(c.want) {
					t.Errorf("%s %v, want %v", c.what, c.got, c.want)
				}
			}
		})
	}
}

// A message that stops coming takes what it said with it; the others go on.
func TestOldMessagesSayNothing(t *testing.T) {
	for _, tt := range []struct {
		lost              uint32
		soc, voltage      bool // are known
		charge, discharge bool // are above 0
	}{
		{0x351, true, true, false, false},
		{0x355, false, true, true, true},
		{0x356, true, false, false, false},
		{0x359, true, true, true, true},
		{0x35C, true, true, false, false},
	} {
		b := newBench(t, load(t, "pylon-lv"), nil)
		frames := healthy(t)
		b.sayAll(frames)
		b.read()
		delete(frames, tt.lost)
		for range 6 { // the timeout is 5 s
			b.now = b.now.Add(time.Second)
			b.sayAll(frames)
			r := b.read()
			if r.At != b.now.UnixMilli() {
				t.Errorf("without 0x%X: measured %d ms ago", tt.lost, b.now.UnixMilli()-r.At)
			}
		}
		r := b.read()
		if got := !math.IsNaN(r.SoC); got != tt.soc {
			t.Errorf("without 0x%X: soc %v", tt.lost, r.SoC)
		}
		if got := !math.IsNaN(r.Voltage); got != tt.voltage {
			t.Errorf("without 0x%X: voltage %v", tt.lost, r.Voltage)
		}
		if r.MaxCharge > 0 != tt.charge || r.MaxDischarge > 0 != tt.discharge {
			t.Errorf("without 0x%X: max charge %v, max discharge %v", tt.lost, r.MaxCharge, r.MaxDischarge)
		}
	}
}

func TestSilentBattery(t *testing.T) {
	b := newBench(t, load(t, "pylon-lv"), nil)
	b.sayAll(healthy(t))
	if r := b.read(); r.Flags != 0 {
		t.Errorf("flags %v", r.Flags)
	}
	b.now = b.now.Add(3500 * time.Millisecond)
	if r := b.read(); r.Flags != device.FlagHeartbeat || r.At != start.UnixMilli() || r.SoC != 26 {
		t.Errorf("after 3.5 s of silence: flags %v, measured at %d, soc %v", r.Flags, r.At, r.SoC)
	}
	b.now = start.Add(5500 * time.Millisecond) // its name counts longer, and is not enough
	if _, err := b.driver.Read(t.Context(), b.now); !errors.Is(err, device.ErrOffline) {
		t.Errorf("after 5.5 s of silence: %v, want ErrOffline", err)
	}
	b.sayAll(healthy(t))
	if r := b.read(); r.Flags != 0 || r.At != b.now.UnixMilli() {
		t.Errorf("back again: flags %v, measured at %d", r.Flags, r.At)
	}
}

func TestSignOfCurrent(t *testing.T) {
	p := load(t, "pylon-lv")
	for _, tt := range []struct {
		sign string
		want float64
		word device.Status
	}{{"", -27, device.Discharging}, {can.Charge, -27, device.Discharging}, {can.Discharge, 27, device.Charging}} {
		b := newBench(t, p, func(o *can.Options) { o.CurrentSign = tt.sign })
		b.sayAll(healthy(t))
		if r := b.read(); math.Abs(r.Current-tt.want) > 1e-9 || r.Status != tt.word {
			t.Errorf("sign %q: %v A, %v, want %v A, %v", tt.sign, r.Current, r.Status, tt.want, tt.word)
		}
	}
	if p.CurrentSign != can.Charge {
		t.Error("the override of one device has changed the profile of all")
	}
}

func TestAlarms(t *testing.T) {
	for _, tt := range []struct {
		name, profile string
		frame         can.Frame
		want          device.Status
		flags         device.Flags
	}{
		{"protection", "pylon-lv", frame(t, 0x359, "02 00 00 00 02 50 4E"), device.Fault, 0},
		{"system error", "pylon-lv", frame(t, 0x359, "00 08 00 00 02 50 4E"), device.Fault, 0},
		{"warning", "pylon-lv", frame(t, 0x359, "00 00 02 00 02 50 4E"), device.Discharging, 0},
		{"active", "victron-sma-lv", frame(t, 0x35A, "04 00 00 00 00 00 00 00"), device.Fault, 0},
		{"not active", "victron-sma-lv", frame(t, 0x35A, "AA AA AA 00 00 00 00 00"), device.Discharging, 0},
		{"offline", "victron-sma-lv", frame(t, 0x35A, "AA AA AA 00 00 00 00 08"), device.Standby, 0},
		{"protection", "pylon-hv", frame(t, 0x4250, "01 00 00 00 00 00 01 00"), device.Fault, 0},
		{"all protections", "pylon-hv", frame(t, 0x4250, "01 00 00 00 00 00 FF FF"), device.Fault, 0},
		{"all alarms", "pylon-hv", frame(t, 0x4250, "01 00 00 00 FF FF 00 00"), device.Discharging, 0},
		{"asleep", "pylon-hv", frame(t, 0x4250, "00 00 00 00 00 00 00 00"), device.Standby, 0},
		{"severe", "ecube-hv-pcs", frame(t, 0x1C001800, "00 00 00 00 01 00 00 00"), device.Fault, 0},
		{"all", "ecube-hv-pcs", frame(t, 0x1C001800, "FF FF FF FF FF 01 00 00"), device.Fault, device.FlagEStop},
		{"of another unit", "ecube-hv-pcs", frame(t, 0x1C001810, "00 00 00 80 01 00 00 00"), device.Discharging, 0},
		{"for another unit", "ecube-hv-pcs", frame(t, 0x1C002800, "00 00 00 80 01 00 00 00"), device.Discharging, 0},
		{"mild", "ecube-hv-pcs", frame(t, 0x1C001800, "00 04 00 00 00 00 00 00"), device.Discharging, 0},
		{"emergency power off", "ecube-hv-pcs", frame(t, 0x1C001800, "00 00 00 80 00 00 00 00"), device.Fault, device.FlagEStop},
		{"fault", "ecube-hv-pcs", frame(t, 0x18501800, "02 01 03 00"), device.Fault, 0},
	} {
		t.Run(tt.profile+" "+tt.name, func(t *testing.T) {
			b := newBench(t, load(t, tt.profile), nil)
			b.say(
				frame(t, 0x356, "7A 13 F2 FE 6B 01"), frame(t, 0x18201800, "B9 1F B0 04"),
				frame(t, 0x4210, "A5 09 22 75 9D 04 2E 64"), tt.frame,
			)
			if r := b.read(); r.Status != tt.want || r.Flags != tt.flags {
				t.Errorf("status %v, flags %v, want %v and %v", r.Status, r.Flags, tt.want, tt.flags)
			}
		})
	}
}

// Permissions of the high-voltage protocols.
func TestForbiddenByByteAndBit(t *testing.T) {
	hv := []can.Frame{
		frame(t, 0x4210, "A5 09 22 75 9D 04 2E 64"), frame(t, 0x4220, "8C 0A E9 07 4A 79 4A 79"),
		frame(t, 0x4250, "03 00 00 00 00 00 00 00"), frame(t, 0x4280, "00 00 00 00 00 00 00 00"),
	}
	ecube := []can.Frame{
		frame(t, 0x18001800, "90 21 E8 03 40 1A E8 03"), frame(t, 0x18201800, "B9 1F 50 FB"),
		frame(t, 0x18501800, "02 01 01 00 00 00 00 00"),
	}
	const pylon, cube = 246.9 * 105 / 1000, 812.1 * 100 / 1000
	for _, tt := range []struct {
		profile           string
		frames            []can.Frame
		last              can.Frame
		charge, discharge float64
	}{
		{"pylon-hv", hv, frame(t, 0x4280, "00 00 00 00 00 00 00 00"), pylon, pylon},
		{"pylon-hv", hv, frame(t, 0x4280, "AA 00 00 00 00 00 00 00"), 0, pylon},
		{"pylon-hv", hv, frame(t, 0x4280, "00 AA 00 00 00 00 00 00"), pylon, 0},
		{"pylon-hv", hv, frame(t, 0x4280, "FF FF 00 00 00 00 00 00"), 0, 0},
		{"ecube-hv-pcs", ecube, frame(t, 0x18501800, "02 01 01 00 00 00 00 00"), cube, cube},
		{"ecube-hv-pcs", ecube, frame(t, 0x18501800, "02 01 01 01 00 00 00 00"), cube, 0},
		{"ecube-hv-pcs", ecube, frame(t, 0x18501800, "02 01 01 02 00 00 00 00"), 0, cube},
		{"ecube-hv-pcs", ecube, frame(t, 0x18501800, "02 01 01 04 00 00 00 00"), cube, 0},
		{"ecube-hv-pcs", ecube, frame(t, 0x18501808, "02 01 01 07 00 00 00 00"), cube, cube}, // a continuation is other data
	} {
		b := newBench(t, load(t, tt.profile), nil)
		b.say(tt.frames...)
		b.say(tt.last)
		if r := b.read(); math.Abs(r.MaxCharge-tt.charge) > 1e-9 || math.Abs(r.MaxDischarge-tt.discharge) > 1e-9 {
			t.Errorf("%s %s: max charge %v, max discharge %v, want %v and %v", tt.profile, tt.last, r.MaxCharge, r.MaxDischarge, tt.charge, tt.discharge)
		}
	}
}

// Where an identifier has an address that the profile leaves open, the device is who is heard
// first; who else is heard there makes it unknown which of them it is, until one is gone for good.
func TestTwoStacksOnOneBus(t *testing.T) {
	stack := func(n uint32) []can.Frame {
		return []can.Frame{
			frame(t, 0x4210|n, "A5 09 22 75 9D 04 2E 64"), frame(t, 0x4220|n, "8C 0A E9 07 4A 79 4A 79"),
			frame(t, 0x4250|n, "03 00 00 00 00 00 00 00"), frame(t, 0x4280|n, "00 00 00 00 00 00 00 00"),
		}
	}
	b := newBench(t, load(t, "pylon-hv"), nil)
	pass := func(seconds int, who ...uint32) (device.Reading, error) {
		var r device.Reading
		var err error
		for range seconds {
			b.now = b.now.Add(time.Second)
			for _, n := range who {
				b.say(stack(n)...)
			}
			r, err = b.driver.Read(t.Context(), b.now)
		}
		return r, err
	}
	if r, err := pass(2, 1); err != nil || r.SoC != 46 || r.MaxCharge < 25 {
		t.Errorf("stack 1 alone: %+v, %v", r, err)
	}
	if r, err := pass(2, 1, 0); !errors.Is(err, device.ErrOffline) || !strings.Contains(err.Error(), "two units") {
		t.Errorf("both: %+v, %v", r, err)
	}
	if r, err := pass(3, 1); !errors.Is(err, device.ErrOffline) {
		t.Errorf("the other has just been heard: %+v, %v", r, err)
	}
	if r, err := pass(3, 1); err != nil || r.SoC != 46 {
		t.Errorf("alone again: %+v, %v", r, err)
	}
	if r, err := pass(2, 0); err == nil && r.MaxCharge > 0 {
		t.Errorf("another in its place, at once: %+v, %v", r, err)
	}
	if r, err := pass(70, 0); err != nil || r.SoC != 46 || r.MaxCharge < 25 {
		t.Errorf("another in its place: %+v, %v", r, err)
	}
}

// A field of alarms that says nothing, all ones where that is no set of bits, is not taken for
// one without alarms: nothing is permitted then, and no alarm claimed.
func TestAlarmsThatSayNothing(t *testing.T) {
	limits := map[string][]can.Frame{
		"pylon-lv":       {frame(t, 0x351, "14 02 74 0E 74 0E CC 01"), frame(t, 0x35C, "C0 00")},
		"victron-sma-lv": {frame(t, 0x351, "14 02 74 0E 74 0E CC 01")},
		"pylon-hv":       {frame(t, 0x4220, "8C 0A E9 07 4A 79 4A 79"), frame(t, 0x4280, "00 00 00 00 00 00 00 00")},
		"ecube-hv-pcs":   {frame(t, 0x18001800, "90 21 E8 03 40 1A E8 03"), frame(t, 0x18501800, "02 01 01 00 00 00 00 00")},
	}
	for _, tt := range []struct {
		profile     string
		well, alarm can.Frame
	}{
		{"pylon-lv", frame(t, 0x359, "00 00 00 00 02 50 4E"), frame(t, 0x359, "FF FF FF FF FF FF FF")},
		{"victron-sma-lv", frame(t, 0x35A, "AA AA AA 00 00 00 00 00"), frame(t, 0x35A, "FF FF FF FF FF FF FF FF")},
		{"victron-sma-lv", frame(t, 0x35A, "00 00 00 00 00 00 00 00"), frame(t, 0x35A, "AB AA AA 00 00 00 00 00")}, // 11 in one field
		{"pylon-hv", frame(t, 0x4250, "01 00 00 00 00 00 00 00"), frame(t, 0x4250, "FF FF FF FF FF FF FF FF")},
		{"ecube-hv-pcs", frame(t, 0x1C001800, "00 00 00 00 00 00 00 00"), frame(t, 0x1C001800, "FF FF FF FF FF FF FF FF")},
		{"ecube-hv-pcs", frame(t, 0x18501800, "02 01 01 00 00 00 00 00"), frame(t, 0x18501800, "02 01 FF 00 00 00 00 00")},
	} {
		b := newBench(t, load(t, tt.profile), nil)
		b.say(frame(t, 0x356, "7A 13 F2 FE 6B 01"), frame(t, 0x18201800, "B9 1F B0 04"), frame(t, 0x4210, "A5 09 22 75 9D 04 2E 64"))
		b.say(limits[tt.profile]...)
		b.say(tt.well)
		if r := b.read(); r.MaxCharge <= 0 || r.MaxDischarge <= 0 || r.Status == device.Fault {
			t.Errorf("%s: well: %v, at most %v and %v kW", tt.profile, r.Status, r.MaxCharge, r.MaxDischarge)
		}
		b.say(tt.alarm)
		if r := b.read(); r.MaxCharge != 0 || r.MaxDischarge != 0 || r.Flags != 0 {
			t.Errorf("%s %s: at most %v and %v kW, flags %v", tt.profile, tt.alarm, r.MaxCharge, r.MaxDischarge, r.Flags)
		}
	}
}

// The heartbeat goes out once a second as long as somebody reads, and not while another
// controller sends it: two would hide the loss of one.
func TestHeartbeat(t *testing.T) {
	b := newBench(t, load(t, "pylon-lv"), nil)
	b.heard()
	beats := 0
	for range 100 {
		b.now = b.now.Add(110 * time.Millisecond) // late for each second
		_, _ = b.driver.Read(t.Context(), b.now)
		beats += len(b.heard())
	}
	if beats != 11 {
		t.Errorf("%d heartbeats in 11 s", beats)
	}
	b.now = b.now.Add(time.Minute)
	if beats := len(b.heard()); beats != 0 {
		t.Errorf("%d heartbeats while nobody reads", beats)
	}
	_, _ = b.driver.Read(t.Context(), b.now)
	if beats := b.heard(); len(beats) != 1 || beats[0] != "305#0000000000000000" {
		t.Errorf("after a minute: %v, want one heartbeat", beats)
	}
	for range 5 {
		b.now = b.now.Add(time.Second)
		b.say(frame(t, 0x305, "00 00 00 00 00 00 00 00"))
		_, _ = b.driver.Read(t.Context(), b.now)
	}
	if beats := b.heard(); len(beats) > 1 {
		t.Errorf("%d heartbeats beside those of another controller", len(beats))
	}
	b.now = b.now.Add(4 * time.Second)
	_, _ = b.driver.Read(t.Context(), b.now)
	if beats := b.heard(); len(beats) != 1 {
		t.Errorf("after the other controller has gone: %v, want one heartbeat", beats)
	}
}

func TestListenOnly(t *testing.T) {
	b := newBench(t, load(t, "victron-sma-lv"), func(o *can.Options) { o.ListenOnly = true })
	for range 10 {
		b.now = b.now.Add(time.Second)
		_, _ = b.driver.Read(t.Context(), b.now)
	}
	if sent := b.heard(); len(sent) != 0 {
		t.Errorf("sent %v", sent)
	}
	if a := b.write(device.EStop); a.Status != device.Done || len(b.heard()) != 1 {
		t.Errorf("an emergency stop is sent all the same: %+v", a)
	}
}

// A controller of the victron layout reports what the battery has reported.
func TestStatusOfTheController(t *testing.T) {
	b := newBench(t, load(t, "victron-sma-lv"), nil)
	b.sayAll(healthy(t))
	b.heard()
	b.now = b.now.Add(time.Second)
	b.sayAll(healthy(t))
	b.read()
	// 49.9 V, -27.0 A, 36.3 degC, 26.0 %
	if sent := b.heard(); len(sent) != 1 || sent[0] != "305#F301F2FE6B010401" {
		t.Errorf("sent %v", sent)
	}
}

func TestRequests(t *testing.T) {
	for _, tt := range []struct {
		profile string
		first   []string
		second  []string // a second later
	}{
		{"pylon-hv", []string{"00004200#0000000000000000", "00004200#0200000000000000"}, []string{"00004200#0000000000000000"}},
		{"ecube-hv-pcs", []string{
			"18080010#0000000000000000", "18180010#0000000000000000", "18280010#0000000000000000", "18380010#0000000000000000",
			"18480010#0000000000000000", "18580010#0000000000000000", "18680010#0000000000000000", "18780010#0000000000000000", "1C080010#0000000000000000",
		}, []string{
			"18080010#0000000000000000", "18180010#0000000000000000", "18280010#0000000000000000", "18380010#0000000000000000",
			"18480010#0000000000000000", "18580010#0000000000000000", "1C080010#0000000000000000",
		}},
	} {
		b := newBench(t, load(t, tt.profile), nil)
		if got := b.heard(); strings.Join(got, " ") != strings.Join(tt.first, " ") {
			t.Errorf("%s asks %v, want %v", tt.profile, got, tt.first)
		}
		b.now = b.now.Add(time.Second)
		_, _ = b.driver.Read(t.Context(), b.now)
		if got := b.heard(); strings.Join(got, " ") != strings.Join(tt.second, " ") {
			t.Errorf("%s asks %v a second later, want %v", tt.profile, got, tt.second)
		}
	}
}

func (b *bench) write(v device.Verb) device.Ack {
	b.t.Helper()
	c := device.Command{Slot: 7, Seq: 1, ID: "c", Verb: v, Power: 10, At: b.now.UnixMilli(), Until: b.now.Add(time.Minute).UnixMilli(), Source: "test"}
	a, err := b.driver.Write(b.t.Context(), b.now, c)
	if err != nil {
		b.t.Fatal(err)
	}
	if a.Slot != c.Slot || a.Seq != c.Seq || a.ID != c.ID || a.Verb != v || (a.Code == "") != (a.Status == device.Done) {
		b.t.Errorf("asked %+v, answered %+v", c, a)
	}
	return a
}

func TestTakesNoPower(t *testing.T) {
	b := newBench(t, load(t, "pylon-lv"), nil)
	b.heard()
	for _, v := range []device.Verb{device.SetPower, device.SetMode, device.Stop, device.Release, device.Arm, device.Disarm, device.EStop, device.Reset, 99} {
		if a := b.write(v); a.Status != device.Rejected || a.Code != "UNSUPPORTED" || a.Reason == "" {
			t.Errorf("%v: %v %q (%s), want rejected as unsupported", v, a.Status, a.Code, a.Reason)
		}
	}
	if sent := b.heard(); len(sent) != 0 {
		t.Errorf("sent %v", sent)
	}
}

func TestQuickStopLasts(t *testing.T) {
	b := newBench(t, load(t, "victron-sma-lv"), nil)
	b.heard()
	if a := b.write(device.EStop); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	if sent := b.heard(); len(sent) != 1 || sent[0] != "00F#0000000000000000" {
		t.Errorf("at once: %v", sent)
	}
	b.now = b.now.Add(200 * time.Millisecond)
	b.sayAll(healthy(t))
	if r := b.read(); r.Flags != 0 {
		t.Errorf("flags %v of a device that says nothing of the stop", r.Flags)
	}
	if sent := b.heard(); len(sent) != 1 || sent[0] != "00F#0000000000000000" {
		t.Errorf("and again: %v", sent)
	}
	if a := b.write(device.Reset); a.Status != device.Done {
		t.Errorf("%+v", a)
	}
	b.now = b.now.Add(200 * time.Millisecond)
	if r := b.read(); r.Flags != 0 || len(b.heard()) != 0 {
		t.Errorf("after the reset: flags %v", r.Flags)
	}
}

// An emergency stop that could not be sent is sent when the bus is there.
func TestStopWaitsForTheBus(t *testing.T) {
	bus := can.NewMemory()
	bms := bus.Node()
	broken := errors.New("no adapter")
	d, err := can.New(can.Options{Profile: load(t, "victron-sma-lv"), Dial: func(context.Context) (can.Bus, error) {
		if broken != nil {
			return nil, broken
		}
		return bus.Node(), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := device.Command{Verb: device.EStop}
	if _, err := d.Write(t.Context(), start, c); !errors.Is(err, device.ErrOffline) || !errors.Is(err, broken) {
		t.Errorf("Write() without a bus = %v, want ErrOffline", err)
	}
	broken = nil
	time.Sleep(110 * time.Millisecond) // the first back-off
	_, _ = d.Read(t.Context(), start)
	for {
		f, _, ok := bms.Poll()
		if !ok {
			t.Fatal("no quick stop was sent")
		}
		if f.ID == 0x00F {
			return
		}
	}
}

func TestStopByEndingTheHeartbeat(t *testing.T) {
	p := edited(t, "pylon-lv", "heartbeat: true,", "heartbeat: true, stop_on_estop: true,")
	b := newBench(t, p, nil)
	b.heard()
	if a := b.write(device.EStop); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	b.now = b.now.Add(10 * time.Second)
	_, _ = b.driver.Read(t.Context(), b.now)
	if sent := b.heard(); len(sent) != 0 {
		t.Errorf("after the stop: %v", sent)
	}
	b.write(device.Reset)
	_, _ = b.driver.Read(t.Context(), b.now)
	if sent := b.heard(); len(sent) != 1 {
		t.Errorf("after the reset: %v, want the heartbeat", sent)
	}
}

// edited is a shipped profile with a text replaced.
func edited(t *testing.T, name, old, new string) *can.Profile {
	t.Helper()
	p, err := editedErr(t, name, old, new)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func editedErr(t *testing.T, name, old, new string) (*can.Profile, error) {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("dbc", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(src), old) {
		t.Fatalf("%q is not in %s", old, name)
	}
	text := strings.Replace(string(src), old, new, 1)
	return can.ParseProfile(name+".yaml", []byte(text), func(db string) ([]byte, error) { return os.ReadFile(filepath.Join("dbc", db)) })
}

// A counter that stands still while frames keep coming is flagged.
func TestFrozenCounter(t *testing.T) {
	p, err := can.LoadProfile("testdata/counter.dbc")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, p, nil)
	for i := range 10 {
		b.now = b.now.Add(time.Second)
		b.say(frame(t, 0x100, []string{"32 00", "32 01", "32 02", "32 03", "32 03", "32 03", "32 03", "32 03", "32 03", "32 04"}[i]))
		want := device.Flags(0)
		if i >= 7 && i < 9 { // 3 s after the fourth
			want = device.FlagHeartbeat
		}
		if r := b.read(); r.Flags != want || r.SoC != 50 {
			t.Errorf("frame %d: flags %v, soc %v", i, r.Flags, r.SoC)
		}
	}
	if r := b.read(); !math.IsNaN(r.MaxCharge) || !math.IsNaN(r.MaxDischarge) {
		t.Errorf("a device without limits has limits: %v, %v", r.MaxCharge, r.MaxDischarge)
	}
}

func TestDescribe(t *testing.T) {
	b := newBench(t, load(t, "pylon-lv"), nil)
	b.sayAll(healthy(t))
	info, err := b.driver.Describe(t.Context(), b.now)
	if err != nil || info.Manufacturer != "PYLON" || !strings.Contains(info.Model, "2 modules") || info.CapacityKWh != 0 || info.VoltStep != 0.01 {
		t.Errorf("%+v, %v", info, err)
	}
	b = newBench(t, load(t, "pylon-hv"), nil)
	b.say(frame(t, 0x4210, "A5 09 30 75 9D 04 2E 64"), frame(t, 0x7320, "4B 00 05 0F F0 00 32 00"))
	info, err = b.driver.Describe(t.Context(), b.now) // 75 cells, 5 modules, 240 V, 50 Ah
	if err != nil || info.CapacityKWh != 12 || !strings.Contains(info.Model, "5 modules, 75 cells") {
		t.Errorf("%+v, %v", info, err)
	}
	b = newBench(t, load(t, "pylon-lv"), nil)
	if _, err := b.driver.Describe(t.Context(), b.now); !errors.Is(err, device.ErrOffline) {
		t.Errorf("Describe() of nothing = %v, want ErrOffline", err)
	}
}

// What a tap has seen is played again with the same readings.
func TestReplay(t *testing.T) {
	var tape []device.Crossing
	b := newBench(t, load(t, "pylon-lv"), func(o *can.Options) {
		o.Tap = func(c device.Crossing) {
			c.Data = append([]byte(nil), c.Data...)
			tape = append(tape, c)
		}
	})
	var want []device.Reading
	for i := range 8 {
		b.now = b.now.Add(time.Second)
		frames := healthy(t)
		f := frames[0x355]
		f.Data[0] = byte(20 + i)
		frames[0x355] = f
		b.sayAll(frames)
		want = append(want, b.read())
	}
	out := 0
	for _, c := range tape {
		if c.Out {
			out++
		}
	}
	if len(tape) != 8*6+out || out < 8 {
		t.Fatalf("%d crossings, %d of them out", len(tape), out)
	}
	replay, err := can.NewReplay(tape)
	if err != nil {
		t.Fatal(err)
	}
	d, err := can.New(can.Options{Profile: load(t, "pylon-lv"), Dial: func(context.Context) (can.Bus, error) { return replay, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range want {
		now := start.Add(time.Duration(i+1) * time.Second)
		got, err := d.Read(t.Context(), now)
		if err != nil || !got.SameValues(&want[i]) || got.At != want[i].At || got.MaxCharge != want[i].MaxCharge {
			t.Errorf("read %d: %+v, %v\nwant %+v", i, got, err, want[i])
		}
	}
	if _, err := can.NewReplay([]device.Crossing{{Data: []byte{1}}}); err == nil {
		t.Error("a recording of something else is played")
	}
}

// mute is a bus on which nobody speaks.
type mute struct{ closed chan struct{} }

func (m *mute) Send(context.Context, can.Frame) error { return nil }
func (m *mute) Dropped() uint64                       { return 0 }
func (m *mute) Close() error                          { close(m.closed); return nil }
func (m *mute) Receive(ctx context.Context) (can.Frame, error) {
	select {
	case <-ctx.Done():
		return can.Frame{}, ctx.Err()
	case <-m.closed:
		return can.Frame{}, can.ErrClosed
	}
}

// A bus that stays silent is opened anew every 10 s; meanwhile a Read takes no longer than
// its timeout, and only the first one takes that.
func TestSilentBusIsOpenedAnew(t *testing.T) {
	p := load(t, "pylon-lv")
	synctest.Test(t, func(t *testing.T) {
		d, err := can.New(can.Options{Profile: p, Dial: func(context.Context) (can.Bus, error) { return &mute{make(chan struct{})}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for i, began := 0, time.Now(); time.Since(began) < 35*time.Second; i++ {
			from := time.Now()
			if _, err := d.Read(t.Context(), from); !errors.Is(err, device.ErrOffline) {
				t.Fatalf("%v, want ErrOffline", err)
			}
			if took := time.Since(from); took > can.DefaultTimeout {
				t.Errorf("read %d took %v", i, took)
			}
			time.Sleep(time.Second)
		}
		if n := d.Stats().Dials; n != 4 {
			t.Errorf("opened %d times in 35 s, want 4", n)
		}
	})
}

func TestAnswerThatNeverComes(t *testing.T) {
	p := load(t, "pylon-hv")
	synctest.Test(t, func(t *testing.T) {
		d, err := can.New(can.Options{Profile: p, Dial: func(context.Context) (can.Bus, error) { return &mute{make(chan struct{})}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var took []time.Duration
		for range 4 {
			from := time.Now()
			_, _ = d.Read(t.Context(), from)
			took = append(took, time.Since(from))
			time.Sleep(time.Second)
		}
		if took[0] > can.DefaultTimeout || took[1] > 100*time.Millisecond || took[2] > 100*time.Millisecond || took[3] > 100*time.Millisecond {
			t.Errorf("reads took %v: a device that owes an answer slows every one down", took)
		}
	})
}

// full is a bus that takes no frame.
type full struct{ *mute }

func (full) Send(ctx context.Context, _ can.Frame) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestBusThatTakesNothing(t *testing.T) {
	p := load(t, "victron-sma-lv")
	synctest.Test(t, func(t *testing.T) {
		d, err := can.New(can.Options{Profile: p, Dial: func(context.Context) (can.Bus, error) { return full{&mute{make(chan struct{})}}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		from := time.Now()
		if _, err := d.Read(t.Context(), from); !errors.Is(err, device.ErrOffline) || time.Since(from) > can.DefaultTimeout {
			t.Errorf("Read() = %v after %v", err, time.Since(from))
		}
		time.Sleep(time.Second)
		from = time.Now()
		if _, err := d.Write(t.Context(), from, device.Command{Verb: device.EStop}); !errors.Is(err, device.ErrOffline) || time.Since(from) > can.DefaultTimeout {
			t.Errorf("Write() = %v after %v", err, time.Since(from))
		}
	})
}
