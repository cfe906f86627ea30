package can_test

import (
	"context"
	"testing"

	"yunchu/hil/can"
)

// BenchmarkDecode is one frame of four values.
func BenchmarkDecode(b *testing.B) {
	m := load(b, "pylon-lv").Database().Message("BMS_Limits")
	f := frame(b, 0x351, "14 02 74 0E 74 0E CC 01")
	values, raw := make([]float64, len(m.Signals)), make([]uint64, len(m.Signals))
	b.ReportAllocs()
	for b.Loop() {
		m.Decode(&f, values, raw)
	}
}

// BenchmarkDecodeAlarms is the frame with the most signals that ships: 27.
func BenchmarkDecodeAlarms(b *testing.B) {
	m := load(b, "victron-sma-lv").Database().Message("AlarmsWarnings")
	f := frame(b, 0x35A, "AA AA AA 02 AA AA AA 06")
	values, raw := make([]float64, len(m.Signals)), make([]uint64, len(m.Signals))
	b.ReportAllocs()
	for b.Loop() {
		m.Decode(&f, values, raw)
	}
}

func BenchmarkParseSLCAN(b *testing.B) {
	line := []byte("t35181402740E740ECC01")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := can.ParseSLCAN(line); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead is a reading of a battery that reports the six messages of pylon-lv.
func BenchmarkRead(b *testing.B) {
	bus := can.NewMemory()
	bms := bus.Node()
	d, err := can.New(can.Options{Profile: load(b, "pylon-lv"), ListenOnly: true, Dial: func(context.Context) (can.Bus, error) { return bus.Node(), nil }})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	_, _ = d.Read(b.Context(), start)
	frames := []can.Frame{
		frame(b, 0x351, "14 02 74 0E 74 0E CC 01"), frame(b, 0x355, "1A 00 64 00"), frame(b, 0x356, "7A 13 F2 FE 6B 01"),
		frame(b, 0x359, "00 00 00 00 02 50 4E"), frame(b, 0x35C, "C0"), frame(b, 0x35E, "50 59 4C 4F 4E 20 20 20"),
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, f := range frames {
			if err := bms.Send(b.Context(), f); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := d.Read(b.Context(), start); err != nil {
			b.Fatal(err)
		}
	}
}
