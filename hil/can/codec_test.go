package can_test

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"

	"yunchu/hil/can"
)

// anyFrame draws every frame that there is.
var anyFrame = rapid.Custom(func(t *rapid.T) can.Frame {
	f := can.Frame{IsExtended: rapid.Bool().Draw(t, "extended"), IsRemote: rapid.Bool().Draw(t, "remote"), Length: rapid.Uint8Range(0, 8).Draw(t, "length")}
	most := uint32(0x7FF)
	if f.IsExtended {
		most = 0x1FFFFFFF
	}
	f.ID = rapid.Uint32Range(0, most).Draw(t, "id")
	if !f.IsRemote {
		for i := range f.Length {
			f.Data[i] = rapid.Byte().Draw(t, "byte")
		}
	}
	return f
})

func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFrame.Draw(t, "frame")
		if got, err := can.ParseFrame(can.AppendFrame(nil, f)); err != nil || got != f {
			t.Errorf("binary: %+v, %v, want %+v", got, err, f)
		}
		line := can.AppendSLCAN([]byte("x"), f)[1:]
		if got, err := can.ParseSLCAN(bytes.TrimSuffix(line, []byte("\r"))); err != nil || got != f {
			t.Errorf("slcan %q: %+v, %v, want %+v", line, got, err, f)
		}
		message, err := can.AppendSocketcand(nil, f)
		if f.IsRemote != (err != nil) {
			t.Errorf("socketcand: %v for %+v", err, f)
		}
		if err != nil {
			return
		}
		// What a server makes of it: the identifier as it came, a time, the data.
		words := bytes.Fields(bytes.Trim(message, "<> "))
		back := bytes.Join([][]byte{[]byte("frame"), words[1], []byte("1.000000"), bytes.Join(words[3:], nil)}, []byte(" "))
		if got, err := can.ParseSocketcand(back); err != nil || got != f {
			t.Errorf("socketcand %q: %+v, %v, want %+v", back, got, err, f)
		}
	})
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		line string
		want string // "" is none
	}{
		{"t35181402740E740ECC01", "351#1402740E740ECC01"},
		{"t35181402740e740ecc01", "351#1402740E740ECC01"},
		{"t3550", "355#"},
		{"t355010F3", "355#"}, // with a time stamp
		{"t3551AA10F3", "355#AA"},
		{"T0000421081122334455667788", "00004210#1122334455667788"},
		{"r3058", "305#R8"},
		{"R000042008", "00004200#R8"},
		{"", ""},
		{"t", ""},
		{"t35", ""},
		{"t351", ""},
		{"t3519112233445566778899", ""},
		{"t351811", ""},
		{"t3511AAB", ""},
		{"t3511AABBC", ""},
		{"t3511AX", ""},
		{"tXYZ0", ""},
		{"t8000", ""}, // identifiers have 11 bits
		{"TFFFFFFFF0", ""},
		{"z", ""},
		{"V1013", ""},
		{"t351F", ""},
		{"t351:", ""},
	} {
		f, err := can.ParseSLCAN([]byte(tt.line))
		if got := f.String(); (err == nil) != (tt.want != "") || err == nil && got != tt.want {
			t.Errorf("%q: %s, %v, want %q", tt.line, got, err, tt.want)
		}
	}
}

func TestMessages(t *testing.T) {
	for _, tt := range []struct {
		message string
		want    string
	}{
		{"frame 123 1.000000 1122", "123#1122"},
		{"frame 123 1.000000 11 22", "123#1122"},
		{"frame 123 1.000000", "123#"},
		{"frame 00000123 1.000000 11", "00000123#11"}, // extended: more than three digits
		{"frame 1234 1.000000 11", "00001234#11"},
		{"frame 800 1.000000 11", "00000800#11"}, // or above 0x7FF
		{"frame 7FF 1.000000 1122334455667788", "7FF#1122334455667788"},
		{"frame 123 1.000000 112233445566778899", ""},
		{"frame 123 1.000000 112", ""},
		{"frame 123 1.000000 1G", ""},
		{"frame 20000000 1.000000 11", ""},
		{"frame 123", ""},
		{"frame", ""},
		{"", ""},
		{"ok", ""},
		{"hi", ""},
		{"error 123 1.0 11", ""},
	} {
		f, err := can.ParseSocketcand([]byte(tt.message))
		if got := f.String(); (err == nil) != (tt.want != "") || err == nil && got != tt.want {
			t.Errorf("%q: %s, %v, want %q", tt.message, got, err, tt.want)
		}
	}
}

func TestSplitter(t *testing.T) {
	long := bytes.Repeat([]byte("t"), 100)
	in := append([]byte("t3550\r\n\r\at1"), long...)
	in = append(in, "\rt3560\r"...)
	for size := 1; size < len(in); size++ {
		var s can.Splitter
		var got []string
		for rest := in; len(rest) > 0; {
			n := min(size, len(rest))
			s.Feed(rest[:n], func(line []byte, end byte) { got = append(got, string(line)+string(rune(end))) })
			rest = rest[n:]
		}
		if want := []string{"t3550\r", "\r", "\a", "t3560\r"}; !equal(got, want) {
			t.Fatalf("in pieces of %d: %q, want %q", size, got, want)
		}
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestBitRates(t *testing.T) {
	for rate, want := range map[int]string{500_000: "S6", 250_000: "S5", 125_000: "S4", 1_000_000: "S8", 10_000: "S0"} {
		if got, err := can.BitRateCommand(rate); err != nil || got != want {
			t.Errorf("%d bit/s: %s, %v, want %s", rate, got, err, want)
		}
	}
	if got, err := can.BitRateCommand(500); err == nil {
		t.Errorf("500 bit/s: %s", got)
	}
}

// Any signal of any layout gives back what was put into it, and nothing else in the frame
// changes.
func TestSignalsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := can.Signal{
			Name: "s", Length: rapid.Uint8Range(1, 48).Draw(t, "length"), BigEndian: rapid.Bool().Draw(t, "big endian"), Signed: rapid.Bool().Draw(t, "signed"),
			Factor: rapid.SampledFrom([]float64{1, 0.1, 0.01, 0.001, 0.5, 10, -0.1}).Draw(t, "factor"), Offset: rapid.SampledFrom([]float64{0, -3000, -273, 5.5}).Draw(t, "offset"),
		}
		bit := rapid.Uint8Range(0, 64-s.Length).Draw(t, "bit")
		if s.Start = bit; s.BigEndian { // counted from the most significant bit of byte 0
			s.Start = bit/8*8 + 7 - bit%8
		}
		var d can.Data
		before := rapid.Uint64().Draw(t, "before")
		d.UnpackLittleEndian(before)
		raw := rapid.Uint64().Draw(t, "raw") & (1<<s.Length - 1)
		v := s.Physical(raw)
		s.Encode(&d, v)
		got := s.Raw(&d)
		if math.IsNaN(v) {
			if !math.IsNaN(s.Physical(got)) {
				t.Errorf("not implemented (0x%X) became 0x%X", raw, got)
			}
		} else if got != raw {
			t.Errorf("0x%X is %v, which became 0x%X", raw, v, got)
		}
		s.SetRaw(&d, s.Raw(&can.Data{byte(before), byte(before >> 8), byte(before >> 16), byte(before >> 24), byte(before >> 32), byte(before >> 40), byte(before >> 48), byte(before >> 56)}))
		if d.PackLittleEndian() != before {
			t.Errorf("the rest of the frame changed from %X to %X", before, d.PackLittleEndian())
		}
	})
}

// TestCountersBeginAgain: a counter that is narrower than what it counts never stands still.
func TestCountersBeginAgain(t *testing.T) {
	for _, tt := range []struct {
		signal can.Signal
		most   uint64 // before 0 comes again
	}{
		{can.Signal{Length: 1, Factor: 1}, 1},
		{can.Signal{Length: 4, Factor: 1}, 15},
		{can.Signal{Length: 4, Factor: 0.5, Offset: 3}, 15},
		{can.Signal{Length: 8, Factor: 1}, 254},
		{can.Signal{Length: 8, Signed: true, Factor: 1}, 126},
		{can.Signal{Length: 12, Start: 7, BigEndian: true, Factor: 1}, 4094},
	} {
		last := uint64(math.MaxUint64)
		var d can.Data
		for n := range uint64(10_000) {
			tt.signal.SetCount(&d, n)
			got := tt.signal.Raw(&d)
			if got == last || got > tt.most || math.IsNaN(tt.signal.Physical(got)) {
				t.Fatalf("%+v: %d after %d at %d", tt.signal, got, last, n)
			}
			last = got
		}
	}
	var d can.Data
	wide := can.Signal{Length: 64, Factor: 1}
	if wide.SetCount(&d, 1<<40+3); wide.Raw(&d) != 1<<40+3 {
		t.Errorf("64 bits: %d", wide.Raw(&d))
	}
}

func TestEncodeCutsAndMarks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		signal can.Signal
		v      float64
		want   uint64
	}{
		{"too large", can.Signal{Length: 16, Factor: 0.1}, 1e6, 0xFFFE},
		{"below zero", can.Signal{Length: 16, Factor: 0.1}, -5, 0},
		{"not known", can.Signal{Length: 16, Factor: 0.1}, math.NaN(), 0xFFFF},
		{"signed too large", can.Signal{Length: 16, Signed: true, Factor: 0.1}, 1e6, 0x7FFE},
		{"signed too small", can.Signal{Length: 16, Signed: true, Factor: 0.1}, -1e6, 0x8001},
		{"signed not known", can.Signal{Length: 16, Signed: true, Factor: 0.1}, math.NaN(), 0x7FFF},
		{"infinite", can.Signal{Length: 16, Signed: true, Factor: 0.1}, math.Inf(-1), 0x8001},
		{"bit not known", can.Signal{Length: 1, Factor: 1}, math.NaN(), 0},
		{"bit", can.Signal{Length: 1, Factor: 1}, 5, 1},
		{"whole frame too large", can.Signal{Length: 64, Factor: 1}, 1e30, 1<<64 - 2},
		{"whole frame signed", can.Signal{Length: 64, Signed: true, Factor: 1}, -3, 1<<64 - 3},
		{"rounded", can.Signal{Length: 16, Factor: 0.1}, 53.249, 532},
		{"number of 32 bits", can.Signal{Length: 32, Float: true, Factor: 1}, 1.5, 0x3FC00000},
		{"number of 64 bits", can.Signal{Length: 64, Float: true, Factor: 2}, 3, 0x3FF8000000000000},
	} {
		var d can.Data
		tt.signal.Encode(&d, tt.v)
		if got := tt.signal.Raw(&d); got != tt.want {
			t.Errorf("%s: 0x%X, want 0x%X", tt.name, got, tt.want)
		}
	}
	f := can.Signal{Length: 32, Float: true, Factor: 2}
	if got := f.Physical(0x3FC00000); got != 3 {
		t.Errorf("a number of 32 bits: %v, want 3", got)
	}
}

// A battery that says 794.3 V in tenths is read as that decimal number, whatever 0.1 is in
// binary.
func TestDecimalsAreWhatWasMeant(t *testing.T) {
	for _, factor := range []float64{0.1, 0.01, 0.001, 0.5, -0.1, 0.05} {
		s := can.Signal{Length: 16, Signed: true, Factor: factor}
		for raw := range int64(32766) {
			if got, want := s.Physical(uint64(raw)), float64(raw)/math.Round(1/factor); got != want {
				t.Fatalf("%d in steps of %v: %v, want %v", raw, factor, got, want)
			}
		}
	}
}
