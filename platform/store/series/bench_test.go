package series_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// fleet makes readings as a plant of n devices reports them every second: noisy
// power and current, slow charge and temperature, on the grids of real devices
// (0.001 kW and V, 0.01 for the rest).
type fleet struct {
	n     int
	at    int64
	rng   *rand.Rand
	power []float64
	soc   []float64
	temp  []float64
	frame device.Readings
}

func newFleet(n int) *fleet {
	f := &fleet{n: n, at: 1_767_225_600_000, rng: rand.New(rand.NewPCG(1, 2))}
	for range n {
		f.power = append(f.power, f.rng.NormFloat64()*20)
		f.soc = append(f.soc, 20+60*f.rng.Float64())
		f.temp = append(f.temp, 20+10*f.rng.Float64())
	}
	return f
}

func quantised(x, grid float64) float64 { return math.Round(x*grid) / grid }

func (f *fleet) next() *device.Readings {
	f.frame.Reset()
	for i := range f.n {
		f.power[i] += f.rng.NormFloat64() * 0.05
		f.soc[i] += f.power[i] / 215 / 36
		f.temp[i] += f.rng.NormFloat64() * 0.002
		v := 700 + f.soc[i]/2 + f.power[i]/20
		r := device.Reading{
			Slot: device.Slot(i), At: f.at, Arrived: f.at + 20, SoC: quantised(f.soc[i], 100), SoH: 98.5,
			Voltage: quantised(v, 1000), Current: quantised(f.power[i]/v*1000, 100), Power: quantised(f.power[i], 1000),
			Temperature: quantised(f.temp[i], 100), MaxCharge: 100, MaxDischarge: 100, Status: device.Charging, Flags: device.FlagSimulated,
		}
		if r.Power < 0 {
			r.Status = device.Discharging
		}
		f.frame.Append(&r)
	}
	f.at += 1000
	return &f.frame
}

// clone is the frame with its own memory.
func clone(f *device.Readings) *device.Readings {
	g := new(device.Readings)
	var r device.Reading
	for i := range f.Rows() {
		f.Row(i, &r)
		g.Append(&r)
	}
	return g
}

func open(tb testing.TB, opt series.Options) *series.Store {
	tb.Helper()
	if opt.Dir == "" {
		opt.Dir = tb.TempDir()
	}
	s, err := series.Open(opt)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// BenchmarkAppend appends frames of 1,000 devices without ever sealing inside the
// measured part.
func BenchmarkAppend(b *testing.B) {
	f := newFleet(1000)
	var frames []*device.Readings
	for range 60 {
		frames = append(frames, clone(f.next()))
	}
	const perStore = 1000
	s := open(b, series.Options{SealRows: 1 << 30, SealEvery: 1 << 60})
	seq := uint64(0)
	b.ResetTimer()
	for b.Loop() {
		if seq == perStore {
			b.StopTimer()
			s.Close()
			s = open(b, series.Options{SealRows: 1 << 30, SealEvery: 1 << 60})
			seq = 0
			runtime.GC()
			b.StartTimer()
		}
		seq++
		s.Append(seq, frames[seq%60])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
}

// BenchmarkSeal writes an hour of 1,000 devices at 1 s as segments. Samples are
// the eight quantities of a row; the CPU time is that of the whole process, with
// writing and syncing the files.
func BenchmarkSeal(b *testing.B) {
	const devices, seconds = 1000, 3600
	f := newFleet(devices)
	var frames []*device.Readings
	for range seconds {
		frames = append(frames, clone(f.next()))
	}
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		s := open(b, series.Options{Dir: dir})
		runtime.GC()
		b.StartTimer()
		cpu := cpuTime(b)
		for i, g := range frames {
			s.Append(uint64(i+1), g)
		}
		if err := s.Seal(b.Context()); err != nil {
			b.Fatal(err)
		}
		used := cpuTime(b) - cpu
		const samples = devices * seconds * 8
		b.ReportMetric(samples/1e6/used.Seconds(), "Msamples/CPU-s")
		b.ReportMetric(float64(s.Stats().Bytes)/samples, "B/sample")
		b.ReportMetric(float64(s.Stats().PartSize)/samples, "tiers-B/sample")
		s.Close()
	}
}

// BenchmarkQueryDeviceDay reads one device's day at 1 s out of a fleet of 50, whose segments
// hold 1,000 rows of a device each, as in a fleet of 1,000: as they were sealed, and joined
// as they are when the day is over.
func BenchmarkQueryDeviceDay(b *testing.B) {
	const devices, seconds = 50, 86400
	f := newFleet(devices)
	from := f.at
	// As many rows of a device in a joined segment as there are of a fleet of 1,000.
	s := open(b, series.Options{SealRows: devices * 1000, JoinBytes: 64 << 20 * devices / 1000, JoinFrom: 1 << 20})
	for i := range seconds {
		s.Append(uint64(i+1), f.next())
	}
	if err := s.Seal(b.Context()); err != nil {
		b.Fatal(err)
	}
	to := f.at
	ask := func(b *testing.B, name string) {
		for _, step := range []time.Duration{0, time.Minute} {
			b.Run(fmt.Sprintf("%s/step=%s", name, step), func(b *testing.B) {
				cpu := cpuTime(b)
				for b.Loop() {
					q := series.Query{Slot: 7, From: from, To: to, Step: step}
					rows := 0
					for {
						p, err := s.Query(b.Context(), q)
						if err != nil {
							b.Fatal(err)
						}
						rows += len(p.Rows)
						q.Room = p.Rows
						if q.Cursor = p.Next; q.Cursor == "" {
							break
						}
					}
					if want := 86400 / max(1, int(step.Seconds())); rows != want {
						b.Fatalf("%d rows, want %d", rows, want)
					}
				}
				cpuMetric(b, cpu)
			})
		}
	}
	ask(b, "sealed")
	for range 2 * 3600 { // the day is over
		s.Append(s.Covered()+uint64(f.at), f.next())
	}
	if err := s.Seal(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := s.Join(b.Context()); err != nil {
		b.Fatal(err)
	}
	ask(b, "joined")
}

// cpuMetric reports the CPU time of a turn, with what else the store does meanwhile: that
// others use the machine changes it less than the time that passes.
func cpuMetric(b *testing.B, before time.Duration) {
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/1000/float64(b.N), "CPU-ms/op")
}

// BenchmarkJoin joins an hour of 1,000 devices at 1 s: how many samples of it a second of CPU
// time takes, and what they take in the end.
func BenchmarkJoin(b *testing.B) {
	const devices, seconds = 1000, 3600
	for b.Loop() {
		b.StopTimer()
		f := newFleet(devices)
		s := open(b, series.Options{JoinFrom: 1 << 20})
		for i := range seconds {
			s.Append(uint64(i+1), f.next())
		}
		f.at += 2 * 24 * hour // the day is over
		s.Append(seconds+1, f.next())
		if err := s.Seal(b.Context()); err != nil {
			b.Fatal(err)
		}
		const samples = devices * seconds * 8
		before := s.Stats()
		b.StartTimer()
		cpu := cpuTime(b)
		if err := s.Join(b.Context()); err != nil {
			b.Fatal(err)
		}
		used := cpuTime(b) - cpu
		b.ReportMetric(samples/1e6/used.Seconds(), "Msamples/CPU-s")
		b.ReportMetric(float64(s.Stats().Bytes)/samples, "B/sample")
		b.ReportMetric(float64(s.Stats().PartSize)/samples, "tiers-B/sample")
		if s.Stats().Segments >= before.Segments {
			b.Fatal("nothing was joined")
		}
		s.Close()
	}
}

// hourOfFleet is an hour of a fleet at 1 s, sealed as a plant seals it.
func hourOfFleet(tb testing.TB, devices int) (s *series.Store, from int64, slots []device.Slot) {
	f := newFleet(devices)
	from = f.at
	s = open(tb, series.Options{})
	for i := range 3600 {
		s.Append(uint64(i+1), f.next())
	}
	if err := s.Seal(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	for i := range devices {
		slots = append(slots, device.Slot(i))
	}
	return s, from, slots
}

// BenchmarkAggregateFleetHour asks what an hour of 1,000 devices amounts to.
func BenchmarkAggregateFleetHour(b *testing.B) {
	s, from, slots := hourOfFleet(b, 1000)
	for _, step := range []time.Duration{time.Minute, time.Hour} {
		b.Run(fmt.Sprintf("step=%s", step), func(b *testing.B) {
			cpu := cpuTime(b)
			for b.Loop() {
				p, err := s.Aggregate(b.Context(), series.AggregateQuery{
					Slots: slots, From: from, To: from + hour, Step: step, Fields: series.Power | series.SoC, Fleet: true,
				})
				if want := int(time.Hour / step); err != nil || len(p.Rows) != want || p.Rows[0].Devices != 1000 {
					b.Fatalf("%d rows, %v, want %d", len(p.Rows), err, want)
				}
			}
			cpuMetric(b, cpu)
		})
	}
}
