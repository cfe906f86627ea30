package device_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"yunchu/platform/device"
)

// words of all kinds: empty, of the vocabulary, long, not UTF-8.
var text = rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "boosting", "\xff\xfe", "CMD_20231201_001"}))

// number draws every float there is, NaN and the infinities among them.
var number = rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 48.1}))

func slot(t *rapid.T) device.Slot { return device.Slot(rapid.Uint32().Draw(t, "slot")) }
func millis(t *rapid.T, what string) int64 {
	return rapid.OneOf(rapid.Int64(), rapid.Just(int64(1703123456789))).Draw(t, what)
}

// frames draws frames as the house builds them. Columns are all alike, counting
// or mixed, so that every packing is met.
var frames = rapid.Custom(func(t *rapid.T) device.Frame {
	n := rapid.IntRange(0, 40).Draw(t, "rows")
	switch rapid.SampledFrom([]string{"readings", "commands", "acks", "events", "acts", "writes", "meta"}).Draw(t, "kind") {
	case "readings":
		return readings(t, n)
	case "commands":
		f := &device.Commands{List: make([]device.Command, n)}
		for i := range f.List {
			f.List[i] = device.Command{
				Slot: slot(t), Seq: rapid.Uint64().Draw(t, "seq"), ID: text.Draw(t, "id"),
				Verb: device.Verb(rapid.Byte().Draw(t, "verb")), Mode: device.Mode(rapid.Byte().Draw(t, "mode")),
				Priority: device.Priority(rapid.Byte().Draw(t, "priority")), Power: number.Draw(t, "power"),
				At: millis(t, "at"), Duration: millis(t, "duration"), Until: millis(t, "until"),
				Source: text.Draw(t, "source"), Reason: text.Draw(t, "reason"),
			}
		}
		return f
	case "acks":
		f := &device.Acks{List: make([]device.Ack, n)}
		for i := range f.List {
			f.List[i] = device.Ack{
				Slot: slot(t), Seq: rapid.Uint64().Draw(t, "seq"), ID: text.Draw(t, "id"),
				Status: device.AckStatus(rapid.Byte().Draw(t, "status")), Code: text.Draw(t, "code"), Reason: text.Draw(t, "reason"),
				At: millis(t, "at"), Issued: millis(t, "issued"), Until: millis(t, "until"),
				Verb: device.Verb(rapid.Byte().Draw(t, "verb")), Mode: device.Mode(rapid.Byte().Draw(t, "mode")),
				Priority: device.Priority(rapid.Byte().Draw(t, "priority")), Power: number.Draw(t, "power"),
				Source: text.Draw(t, "source"), Before: number.Draw(t, "before"), Reduced: rapid.Bool().Draw(t, "reduced"), Repeat: rapid.Bool().Draw(t, "repeat"),
			}
			if rapid.Bool().Draw(t, "stands") {
				f.List[i].Was = device.Stand(rapid.SampledFrom([]device.State{device.Configured, device.Failed}).Draw(t, "state"), device.MaintenanceMode)
				f.List[i].Is = device.Stand(device.Active, device.Run)
			}
		}
		return f
	case "acts":
		f := &device.Acts{List: make([]device.Act, n)}
		for i := range f.List {
			f.List[i] = device.Act{
				Type: text.Draw(t, "type"), Source: text.Draw(t, "source"), From: text.Draw(t, "from"), Subject: text.Draw(t, "subject"),
				Outcome: text.Draw(t, "outcome"), Text: text.Draw(t, "text"), At: millis(t, "at"),
			}
		}
		return f
	case "writes":
		f := &device.Writes{List: make([]device.Write, n)}
		for i := range f.List {
			f.List[i] = device.Write{
				Slot: slot(t), At: millis(t, "at"), Act: text.Draw(t, "act"), What: text.Draw(t, "what"), Unit: text.Draw(t, "unit"),
				Asked: number.Draw(t, "asked"), Before: number.Draw(t, "before"), After: number.Draw(t, "after"),
				Status: device.AckStatus(rapid.Byte().Draw(t, "status")), Source: text.Draw(t, "source"), Reason: text.Draw(t, "reason"), Text: text.Draw(t, "text"),
			}
		}
		return f
	case "events":
		f := &device.Events{List: make([]device.Event, n)}
		for i := range f.List {
			f.List[i] = device.Event{
				ID: text.Draw(t, "id"), Slot: slot(t), Type: text.Draw(t, "type"),
				Severity: device.Severity(rapid.Byte().Draw(t, "severity")), Text: text.Draw(t, "text"), At: millis(t, "at"),
			}
		}
		return f
	default:
		return &device.Meta{
			Kind: text.Draw(t, "kind"), Key: text.Draw(t, "key"), At: millis(t, "at"),
			Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"), By: text.Draw(t, "by"),
		}
	}
})

func readings(t *rapid.T, n int) *device.Readings {
	shape := func(what string) func(i int) uint64 {
		first := rapid.Uint64().Draw(t, what)
		switch rapid.SampledFrom([]string{"alike", "counting", "mixed"}).Draw(t, what+" shape") {
		case "alike":
			return func(int) uint64 { return first }
		case "counting":
			return func(i int) uint64 { return first + uint64(i) }
		}
		return func(int) uint64 { return rapid.Uint64().Draw(t, what) }
	}
	value := func(what string) func() float64 {
		first := number.Draw(t, what)
		if rapid.Bool().Draw(t, what+" alike") {
			return func() float64 { return first }
		}
		return func() float64 { return number.Draw(t, what) }
	}
	slots, at, arrived, flags, status, quality := shape("slot"), shape("at"), shape("arrived"), shape("flags"), shape("status"), shape("quality")
	soc, soh, voltage, current := value("soc"), value("soh"), value("voltage"), value("current")
	power, temperature, charge, discharge := value("power"), value("temperature"), value("charge"), value("discharge")
	frequency := value("frequency")
	hasFrequency := rapid.Bool().Draw(t, "has frequency")
	f := &device.Readings{}
	for i := range n {
		r := device.Reading{
			Slot: device.Slot(slots(i)), At: int64(at(i)), Arrived: int64(arrived(i)), Flags: device.Flags(flags(i)),
			Status: device.Status(status(i) % 8), Quality: device.Quality(quality(i) % 3),
			SoC: soc(), SoH: soh(), Voltage: voltage(), Current: current(),
			Power: power(), Temperature: temperature(), MaxCharge: charge(), MaxDischarge: discharge(),
		}
		if hasFrequency {
			r.Frequency = frequency()
		}
		if r.Status == device.OtherStatus {
			r.Word = text.Draw(t, "word")
		}
		f.Append(&r)
	}
	return f
}

// rows makes frames comparable: NaN equals NaN and an empty list is a list.
func rows(f device.Frame) string {
	switch f := f.(type) {
	case *device.Readings:
		out := ""
		for i := range f.Rows() {
			var r device.Reading
			f.Row(i, &r)
			out += fmt.Sprintf("%+v\n", r)
		}
		return out
	case *device.Commands:
		return fmt.Sprintf("%+v", f.List)
	case *device.Acks:
		return fmt.Sprintf("%+v", f.List)
	case *device.Events:
		return fmt.Sprintf("%+v", f.List)
	case *device.Acts:
		return fmt.Sprintf("%+v", f.List)
	}
	return fmt.Sprintf("%+v", f)
}

// TestReadingsWithoutFrequency: readings of which none has a frequency keep the form that they
// had before there was one, and a row without one is not told that of another.
func TestReadingsWithoutFrequency(t *testing.T) {
	const hz = 49.98
	f := &device.Readings{}
	for i, v := range []float64{0, math.NaN(), hz, -1} {
		f.Append(&device.Reading{Slot: device.Slot(i), Frequency: v})
	}
	list := rowsOf(t, f)
	for i, want := range []float64{0, 0, hz, 0} {
		if list[i].Frequency != want {
			t.Errorf("row %d has %g Hz, want %g", i, list[i].Frequency, want)
		}
	}
	f.Truncate(2, nil)
	short := &device.Readings{}
	for i := range 2 {
		short.Append(&device.Reading{Slot: device.Slot(i)})
	}
	if a, b := f.AppendBinary(nil), short.AppendBinary(nil); !bytes.Equal(a, b) || a[2] != 1 {
		t.Errorf("% x and % x are not one frame of kind 1", a, b)
	}
	f.Reset()
	f.Append(&device.Reading{})
	if list := rowsOf(t, f); list[0].Frequency != 0 {
		t.Errorf("a frame that was emptied still has %g Hz", list[0].Frequency)
	}
}

// rowsOf are the rows of a frame after it has been written and read.
func rowsOf(t *testing.T, f *device.Readings) []device.Reading {
	t.Helper()
	got, err := device.DecodeFrame(f.AppendBinary(nil))
	if err != nil {
		t.Fatal(err)
	}
	list := make([]device.Reading, got.Rows())
	for i := range list {
		got.(*device.Readings).Row(i, &list[i])
	}
	return list
}

func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := frames.Draw(t, "frame")
		prefix := []byte("before")
		raw := f.AppendBinary(prefix)
		if !bytes.HasPrefix(raw, prefix) {
			t.Fatalf("AppendBinary does not append: %q", raw)
		}
		raw = raw[len(prefix):]
		got, err := device.DecodeFrame(raw)
		if err != nil {
			t.Fatalf("DecodeFrame: %v", err)
		}
		if reflect.TypeOf(got) != reflect.TypeOf(f) || got.Rows() != f.Rows() || rows(got) != rows(f) {
			t.Fatalf("got\n%T %s\nwant\n%T %s", got, rows(got), f, rows(f))
		}
		if again := got.AppendBinary(nil); !bytes.Equal(again, raw) {
			t.Fatalf("a second encoding differs:\n%x\n%x", again, raw)
		}
		for i := range raw {
			raw[i] = 0xAA
		}
		if rows(got) != rows(f) {
			t.Fatal("the decoded frame shares memory with its input")
		}
	})
}

func TestCutShortFrameIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := frames.Draw(t, "frame").AppendBinary(nil)
		n := rapid.IntRange(0, len(raw)-1).Draw(t, "cut at")
		if f, err := device.DecodeFrame(raw[:n]); !errors.Is(err, device.ErrFrame) || f != nil {
			t.Fatalf("DecodeFrame of %d of %d bytes = %v, %v, want ErrFrame", n, len(raw), f, err)
		}
		if _, err := device.DecodeFrame(append(raw, 0)); !errors.Is(err, device.ErrFrame) {
			t.Fatalf("DecodeFrame with a byte too many = %v, want ErrFrame", err)
		}
	})
}

func TestMalformedFrameIsRefused(t *testing.T) {
	event := (&device.Events{List: []device.Event{{ID: "e"}}}).AppendBinary(nil)
	ack := (&device.Acks{List: []device.Ack{{}}}).AppendBinary(nil)
	with := func(raw []byte, i int, v byte) []byte {
		raw = bytes.Clone(raw)
		raw[i] = v
		return raw
	}
	for name, raw := range map[string][]byte{
		"nothing":              nil,
		"another magic":        with(event, 0, 0),
		"a later version":      with(event, 1, 2),
		"an unknown kind":      with(event, 2, 99),
		"no kind":              with(event, 2, 0),
		"5,000 rows":           {0xE5, 1, 1, 0x88, 0x27},
		"a long varint":        {0xE5, 1, 4, 0x80, 0x00},
		"an endless varint":    append([]byte{0xE5, 1, 4}, bytes.Repeat([]byte{0xFF}, 12)...),
		"a half bool":          with(ack, 4+4+1+1+3, 2),
		"another half bool":    with(ack, 4+4+1+1+4, 2),
		"two changes":          with((&device.Meta{}).AppendBinary(nil), 3, 2),
		"4,096 rows of no row": {0xE5, 1, 2, 0x80, 0x20},
	} {
		t.Run(name, func(t *testing.T) {
			if f, err := device.DecodeFrame(raw); !errors.Is(err, device.ErrFrame) || f != nil {
				t.Errorf("DecodeFrame(%x) = %v, %v, want ErrFrame", raw, f, err)
			}
		})
	}
}

// A frame that travels through the log costs what it carries, not what a short
// hostile input claims.
func TestShortInputAsksForLittleMemory(t *testing.T) {
	const times = 100
	for kind := byte(1); kind <= 5; kind++ {
		raw := []byte{0xE5, 1, kind, 0x80, 0x20}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range times {
			_, _ = device.DecodeFrame(raw)
		}
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) / times; n > 64<<10 {
			t.Errorf("5 bytes of kind %d allocate %d bytes", kind, n)
		}
	}
}

func TestColumnsPack(t *testing.T) {
	f := &device.Readings{}
	for i := range device.MaxRows {
		r := device.Empty()
		r.Slot, r.At, r.Status = device.Slot(i), 1703123456789, device.Idle
		f.Append(&r)
	}
	if n := len(f.AppendBinary(nil)); n > 200 {
		t.Errorf("%d rows in device order without values take %d bytes", device.MaxRows, n)
	}
}

func FuzzDecodeFrame(f *testing.F) {
	r := device.Empty()
	r.Slot, r.At, r.SoC, r.Word = 7, 1703123456789, 75.5, "boosting"
	one, two := &device.Readings{}, &device.Readings{}
	one.Append(&r)
	two.Append(&r)
	r.Slot, r.Status, r.Flags = 8, device.Charging, device.FlagSign
	two.Append(&r)
	for _, frame := range []device.Frame{
		&device.Readings{}, one, two,
		&device.Commands{List: []device.Command{{Slot: 3, Seq: 300, ID: "CMD", Verb: device.SetPower, Power: -50}}},
		&device.Acks{List: []device.Ack{{Slot: 3, Status: device.Done, Reduced: true}, {Repeat: true}}},
		&device.Events{List: []device.Event{{ID: "e", Slot: device.Plant}}},
		&device.Meta{Kind: "device", Key: "a", Value: []byte("{}")},
		&device.Meta{Kind: "device", Key: "a", Value: []byte("{}"), By: "user:ann"},
		&device.Acts{List: []device.Act{{Type: "login", Source: "user:ann", Outcome: "done"}}},
	} {
		f.Add(frame.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := device.DecodeFrame(raw)
		if err != nil {
			if !errors.Is(err, device.ErrFrame) || frame != nil {
				t.Fatalf("DecodeFrame = %v, %v, want ErrFrame alone", frame, err)
			}
			return
		}
		if again := frame.AppendBinary(nil); !bytes.Equal(again, raw) {
			t.Fatalf("%x is read and written back as %x: a frame has one form", raw, again)
		}
		_ = rows(frame)
	})
}
