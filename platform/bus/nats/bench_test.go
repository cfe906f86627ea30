package nats_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
)

func openB(b *testing.B, o nats.Options) *nats.Bus {
	b.Helper()
	n, err := nats.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := n.Close(); err != nil {
			b.Error(err)
		}
	})
	return n
}

func frame(rows int) *device.Readings {
	f := &device.Readings{}
	for i := range rows {
		r := device.Empty()
		r.Slot, r.At, r.Power, r.SoC = device.Slot(i), 1, float64(i)/7, float64(i)/9
		f.Append(&r)
	}
	return f
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e6, "p50-us")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e6, "p99-us")
}

// BenchmarkSync is what the disk alone takes for one frame.
func BenchmarkSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	raw := frame(100).AppendBinary(nil)
	var took []time.Duration
	for b.Loop() {
		begun := time.Now()
		if _, err := f.Write(raw); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	report(b, took)
}

// BenchmarkPublish is publish to done, one frame after the other.
func BenchmarkPublish(b *testing.B) {
	embedded := func(b *testing.B) nats.Options { return nats.Options{Dir: b.TempDir()} }
	for _, bench := range []struct {
		name string
		rows int
		at   func(*testing.B) nats.Options
	}{
		{"rows=100", 100, embedded},
		{"rows=4096", 4096, embedded},
		{"rows=100/external", 100, func(b *testing.B) nats.Options { return nats.Options{URL: external(b, nil)} }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			n := openB(b, bench.at(b))
			if _, err := n.Subscribe(bus.Data, 1, func(uint64, device.Frame) {}); err != nil {
				b.Fatal(err)
			}
			f := frame(bench.rows)
			var took []time.Duration
			for b.Loop() {
				begun := time.Now()
				if _, err := bus.PublishWait(b.Context(), n, bus.Data, f); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begun))
			}
			report(b, took)
		})
	}
}

// BenchmarkPublishInFlight keeps 256 frames in flight.
func BenchmarkPublishInFlight(b *testing.B) {
	n := openB(b, nats.Options{Dir: b.TempDir()})
	if _, err := n.Subscribe(bus.Data, 1, func(uint64, device.Frame) {}); err != nil {
		b.Fatal(err)
	}
	f := frame(100)
	room := make(chan struct{}, 256)
	var wg sync.WaitGroup
	for b.Loop() {
		room <- struct{}{}
		wg.Add(1)
		n.Publish(bus.Data, f, func(_ uint64, err error) {
			if err != nil {
				b.Error(err)
			}
			<-room
			wg.Done()
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// BenchmarkReplay reads frames of 100 readings back.
func BenchmarkReplay(b *testing.B) {
	n := openB(b, nats.Options{Dir: b.TempDir()})
	const frames = 5000
	f := frame(100)
	var wg sync.WaitGroup
	room := make(chan struct{}, 256)
	for range frames {
		room <- struct{}{}
		wg.Add(1)
		n.Publish(bus.Data, f, func(uint64, error) { <-room; wg.Done() })
	}
	wg.Wait()
	for b.Loop() {
		if err := n.Replay(b.Context(), bus.Data, 1, func(uint64, device.Frame) {}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*frames/b.Elapsed().Seconds(), "frames/s")
}

// BenchmarkOpen is a start in an empty folder.
func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		n, err := nats.Open(nats.Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := n.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
