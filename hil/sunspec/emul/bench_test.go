package emul_test

import (
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
	"yunchu/hil/sunspec/internal/memory"
)

// BenchmarkPoll is one reading of a served unit: over a socket, and without one.
func BenchmarkPoll(b *testing.B) {
	for _, wire := range []string{"memory", "tcp"} {
		b.Run(wire, func(b *testing.B) {
			r := newRig(b, "ess-100kw-215kwh")
			if wire == "tcp" {
				onTCP(b, r, time.Second)
			}
			r.read()
			for b.Loop() {
				r.read()
			}
		})
	}
}

// BenchmarkScan is the first look at a unit of 16 models, over a socket.
func BenchmarkScan(b *testing.B) {
	r := newRig(b, "ess-100kw-215kwh")
	conn, err := modbus.Dial(modbus.Options{Address: serve(b, r), Unit: memory.Unit})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	for b.Loop() {
		if _, err := sunspec.Scan(b.Context(), conn, sunspec.Anywhere); err != nil {
			b.Fatal(err)
		}
	}
}
