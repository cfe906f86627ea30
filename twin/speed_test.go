package twin_test

import (
	"fmt"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/params"
)

// BenchmarkFleetStep1000 steps a thousand units by a second, each at its own
// power, with a new setpoint for all every so many steps; ns/unit-step is what one
// unit costs, setpoints included.
func BenchmarkFleetStep1000(b *testing.B) {
	for _, every := range []int{2, 300} {
		b.Run(fmt.Sprintf("setpoint-every=%ds", every), func(b *testing.B) {
			m, err := params.LoadModel("ess-100kw-215kwh")
			if err != nil {
				b.Fatal(err)
			}
			ids := make([]string, 1000)
			for i := range ids {
				ids[i] = fmt.Sprintf("ess-%04d", i+1)
			}
			f, err := twin.NewFleet(m, ids, twin.Options{Seed: 1, SoCMean: 50, SoCSpread: 10, CapacitySpread: 1, ResistanceSpread: 3})
			if err != nil {
				b.Fatal(err)
			}
			now := f.Now()
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n%every == 0 { // to and fro, so that no limit binds
					p := 20e3
					if n/every%2 == 1 {
						p = -p
					}
					for i := range f.Len() {
						f.SetPower(i, now, p+float64(i), time.Time{})
					}
				}
				n++
				now = now.Add(time.Second)
				f.Step(now)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*f.Len()), "ns/unit-step")
		})
	}
}

// BenchmarkState reads the state of one unit.
func BenchmarkState(b *testing.B) {
	f := newFleet(b, model100, 1000, twin.Options{SoCMean: 50, SoCSpread: 10})
	n := 0
	for b.Loop() {
		if s := f.State(n % 1000); s.SoC == 0 {
			b.Fatal("empty")
		}
		n++
	}
}
