// Command restart measures how long a plant takes from its start to the first acknowledged
// reading with a history of 100 million samples: it fills a data folder, opens the plant on
// it in this process as serve does, pushes a reading and waits until it is in the log. With
// -ask it then starts serve on it and asks for the history over REST.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"yunchu/platform"
	"yunchu/platform/api"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/sched"
	"yunchu/platform/store/series"
)

func main() {
	samples := flag.Int("samples", 100_000_000, "samples in the history, eight of a reading")
	devices := flag.Int("devices", 1000, "devices they are of")
	head := flag.Int("head", 500_000, "readings that only the log has, which are replayed")
	runs := flag.Int("runs", 3, "restarts")
	turns := flag.Int("ask", 0, "turns of questions over REST that are asked of it afterwards")
	flag.Parse()
	if err := measure(*samples, *devices, *head, *runs, *turns); err != nil {
		fmt.Fprintln(os.Stderr, "restart:", err)
		os.Exit(1)
	}
}

func measure(samples, devices, head, runs, turns int) error {
	dir, err := os.MkdirTemp("", "yunchu-restart-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	size, err := fill(dir, samples/8/devices, head/devices, devices)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "%d samples of %d devices in %d MB, and %d readings in the log\n", samples, devices, size>>20, head/devices*devices)
	for range runs {
		took, err := restart(dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stdout, "start to first acknowledgement: %d ms\n", took.Milliseconds())
	}
	if turns > 0 {
		return ask(dir, turns)
	}
	return nil
}

// fill makes a data folder: the plant's devices and the newest readings in its log, the
// others in its history.
func fill(dir string, sealed, unsealed, devices int) (size int64, err error) {
	p, b, err := open(dir)
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	face := p.Face(api.About{}, nil)
	for i := range devices {
		if _, err := face.Registry.Register(ctx, device.Info{ID: device.ID(fmt.Sprintf("ess-%05d", i))}); err != nil {
			return 0, err
		}
	}
	f := &fleet{at: time.Now().Add(-time.Duration(sealed+unsealed) * time.Second).UnixMilli(), rng: rand.New(rand.NewPCG(1, 2)), power: make([]float64, devices), soc: make([]float64, devices)}
	for i := range sealed + unsealed {
		if i == sealed {
			if err := p.History.Seal(ctx); err != nil {
				return 0, err
			}
		}
		if err := face.Intake.Push(ctx, f.next()); err != nil {
			return 0, err
		}
	}
	p.History.Settle()
	st := p.History.(*series.Store).Stats()
	covered := p.History.Covered()
	stop()
	if err := <-ended; err != nil {
		return 0, err
	}
	if err := p.Close(); err != nil {
		return 0, err
	}
	if err := b.Trim("log.data.0", covered+1); err != nil {
		return 0, err
	}
	return st.Bytes + st.PartSize, b.Close()
}

func open(dir string) (*platform.Plant, *nats.Bus, error) {
	log := slog.New(slog.DiscardHandler)
	b, err := nats.Open(nats.Options{Dir: filepath.Join(dir, "bus"), Log: log})
	if err != nil {
		return nil, nil, err
	}
	p, err := platform.New(platform.Config{Bus: b, Sched: sched.New(sched.NewWall()), Dir: dir, Log: log, Tiers: series.DefaultTiers(), Audit: true})
	return p, b, err
}

// restart opens the plant and pushes one reading.
func restart(dir string) (time.Duration, error) {
	begin := time.Now()
	p, b, err := open(dir)
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	r := device.Empty()
	r.At, r.Power = time.Now().UnixMilli(), 1
	r.Arrived = r.At
	err = p.Face(api.About{}, nil).Intake.Push(ctx, []device.Reading{r})
	took := time.Since(begin)
	stop()
	if err := <-ended; err != nil {
		return 0, err
	}
	if damaged := p.Damages(); err == nil && len(damaged) > 0 {
		err = fmt.Errorf("the plant is damaged: %v", damaged[0])
	}
	if e := p.Close(); err == nil {
		err = e
	}
	if e := b.Close(); err == nil {
		err = e
	}
	return took, err
}

// fleet makes readings as a plant reports them every second.
type fleet struct {
	at         int64
	rng        *rand.Rand
	power, soc []float64
	rows       []device.Reading
}

func (f *fleet) next() []device.Reading {
	round := func(x float64) float64 { return math.Round(x*100) / 100 }
	f.rows = f.rows[:0]
	for i := range f.power {
		f.power[i] += f.rng.NormFloat64() * 0.05
		f.soc[i] = 50 + f.power[i]/10
		r := device.Empty()
		r.Slot, r.At, r.Arrived = device.Slot(i), f.at, f.at+20
		r.SoC, r.SoH, r.Voltage, r.Current, r.Power, r.Temperature = round(f.soc[i]), 98.5, round(700+f.power[i]/20), round(f.power[i]/0.7), round(f.power[i]), 25
		r.MaxCharge, r.MaxDischarge, r.Status = 100, 100, device.Idle
		f.rows = append(f.rows, r)
	}
	f.at += 1000
	return f.rows
}
