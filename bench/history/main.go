//go:build unix

// Command history measures the two histories side by side, the files of the data folder and
// a PostgreSQL server of its own from Debian's packages: how fast they take readings until
// all of them are on the disk, and how long the same questions take, in turns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/postgres"
	"yunchu/platform/store/postgres/pgtest"
	"yunchu/platform/store/series"
)

func main() {
	devices := flag.Int("devices", 1000, "devices")
	minutes := flag.Int("minutes", 1440, "readings of each, a minute apart")
	runs := flag.Int("runs", 5, "turns of each question")
	flag.Parse()
	if err := measure(context.Background(), *devices, *minutes, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "history:", err)
		os.Exit(1)
	}
}

// begin is the first reading, ms UTC: a day that is past.
const begin = int64(1_767_225_600_000)

// log gives the readings again as if a log had them.
type log struct{ devices, minutes int }

func (l log) Bounds() (first, last uint64, err error) { return 1, uint64(l.minutes), nil }

func (l log) Replay(ctx context.Context, from uint64, fn func(seq uint64, f *device.Readings)) error {
	for seq := from; seq <= uint64(l.minutes) && ctx.Err() == nil; seq++ {
		fn(seq, l.frame(seq))
	}
	return ctx.Err()
}

// frame is one reading of each device, in a minute.
func (l log) frame(seq uint64) *device.Readings {
	f := new(device.Readings)
	at := begin + int64(seq-1)*60_000
	for d := range l.devices {
		r := device.Empty()
		x := math.Sin(float64(at/60_000)/200 + float64(d))
		r.Slot, r.At, r.Arrived = device.Slot(d), at+int64(d%1000), at+int64(d%1000)+40
		r.SoC, r.Voltage, r.Current, r.Power = math.Round(500+400*x)/10, math.Round(3800+100*x)/10, math.Round(1000*x)/10, math.Round(380*x)/10
		r.Temperature, r.Status = math.Round(250+20*x)/10, device.Charging
		f.Append(&r)
	}
	return f
}

type store struct {
	name string
	series.History
}

func measure(ctx context.Context, devices, minutes, runs int) (err error) {
	dir, err := os.MkdirTemp("", "yunchu-history-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := pgtest.Start()
	if err != nil {
		return err
	}
	defer s.Close()
	l := log{devices, minutes}
	files, err := series.Open(series.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	base, err := postgres.Open(postgres.Options{Server: s.At("bench"), Plant: "bench", Source: l})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.Close()) }()
	list := []store{{"files", files}, {"PostgreSQL", base}}
	fmt.Fprintf(os.Stdout, "%d readings of %d devices, %d times each\n", devices*minutes, devices, minutes)
	for _, h := range list {
		began := time.Now()
		for seq := uint64(1); seq <= uint64(minutes); seq++ {
			h.Append(seq, l.frame(seq))
		}
		if err := h.Seal(ctx); err != nil {
			return err
		}
		stored := time.Since(began)
		began = time.Now()
		h.SealIfDue(device.Time(begin + int64(minutes)*60_000 + 2*3_600_000))
		h.Settle()
		fmt.Fprintf(os.Stdout, "%-12s %9.0f readings/s until they are on the disk; then %v for what was left of the tiers\n",
			h.name, float64(devices*minutes)/stored.Seconds(), time.Since(began).Round(10*time.Millisecond))
	}
	return ask(ctx, list, devices, minutes, runs)
}

// ask measures questions in turns and says the medians.
func ask(ctx context.Context, list []store, devices, minutes, runs int) error {
	slots := make([]device.Slot, devices)
	for i := range slots {
		slots[i] = device.Slot(i)
	}
	end := begin + int64(minutes)*60_000
	for _, q := range []struct {
		name string
		ask  func(h series.History, turn int) (rows int, err error)
	}{
		{"readings of one device, all of its day", func(h series.History, turn int) (int, error) {
			p, err := h.Query(ctx, series.Query{Slot: slots[turn*37%devices], From: begin, To: end})
			return len(p.Rows), err
		}},
		{"one device in steps of 15 min", func(h series.History, turn int) (int, error) {
			p, err := h.Query(ctx, series.Query{Slot: slots[turn*37%devices], From: begin, To: end, Step: 15 * time.Minute})
			return len(p.Rows), err
		}},
		{"the fleet in steps of an hour", func(h series.History, _ int) (int, error) {
			p, err := h.Aggregate(ctx, series.AggregateQuery{Slots: slots, From: begin, To: end, Step: time.Hour, Fleet: true, Fields: series.Power})
			return len(p.Rows), err
		}},
		{"the fleet in steps of 10 s for an hour, from readings", func(h series.History, _ int) (int, error) {
			p, err := h.Aggregate(ctx, series.AggregateQuery{Slots: slots, From: end - 3_600_000, To: end, Step: 10 * time.Second, Fleet: true, Fields: series.Power})
			return len(p.Rows), err
		}},
	} {
		times := make([][]time.Duration, len(list))
		rows := make([]int, len(list))
		for turn := range runs {
			for i, h := range list {
				began := time.Now()
				n, err := q.ask(h.History, turn)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", q.name, h.name, err)
				}
				times[i], rows[i] = append(times[i], time.Since(began)), n
			}
		}
		for i, h := range list {
			slices.Sort(times[i])
			fmt.Fprintf(os.Stdout, "%-55s %-12s %5d rows %8.1f ms\n", q.name, h.name, rows[i], float64(times[i][runs/2].Microseconds())/1000)
		}
		if rows[0] != rows[1] {
			return fmt.Errorf("%s: %d and %d rows", q.name, rows[0], rows[1])
		}
	}
	return nil
}
