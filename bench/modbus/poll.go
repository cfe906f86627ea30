package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"yunchu/hil/modbus"
)

// profile is the devices' map, from the root of the repository; voltage is what stands in
// it, register 42 holding its address.
const (
	profile = "bench/modbus/polled.yaml"
	voltage = 4.2
)

// polled is what one device's polls were like.
type polled struct {
	late   []time.Duration // from when a poll was due until it began
	took   []time.Duration
	failed int
	err    error // the last
}

// poll has devices polled every so often, each by a driver with a goroutine and a connection
// of its own, spread over that time.
func poll(ctx context.Context, devices int, every, during time.Duration) error {
	s, err := startOurs(ctx, devices)
	if err != nil {
		return err
	}
	defer s.stop()
	all := make([]polled, devices)
	var wg sync.WaitGroup
	begin := time.Now().Add(every)
	before := begin.Add(2 * every) // connections are made before the clock runs
	end := before.Add(during)
	for i := range all {
		wg.Go(func() {
			due := begin.Add(every * time.Duration(i) / time.Duration(devices))
			all[i].follow(ctx, s.address(), due, every, before, end)
		})
	}
	time.Sleep(time.Until(before))
	used := cpu()
	time.Sleep(time.Until(end))
	used = cpu() - used
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var late, took []time.Duration
	var failed int
	for i := range all {
		late, took, failed = append(late, all[i].late...), append(took, all[i].took...), failed+all[i].failed
		err = errors.Join(err, all[i].err)
	}
	if len(took) == 0 {
		return fmt.Errorf("nothing was polled: %w", err)
	}
	slices.Sort(late)
	slices.Sort(took)
	fmt.Printf("%d devices on loopback, %d registers each every %v, for %v\n\n", devices, count, every, during)
	fmt.Printf("polls               %d, %d of them failed\n", len(took), failed)
	fmt.Printf("processor           %.1f %% of one core\n", 100*used.Seconds()/during.Seconds())
	fmt.Printf("jitter              p50 %v, p99 %v, max %v\n", quantile(late, 50), quantile(late, 99), quantile(late, 100))
	fmt.Printf("exchange            p50 %v, p99 %v, max %v\n", quantile(took, 50), quantile(took, 99), quantile(took, 100))
	return err
}

// follow polls one device from due until end, and takes note of what is from after on.
func (p *polled) follow(ctx context.Context, address string, due time.Time, every time.Duration, after, end time.Time) {
	d, err := modbus.New(modbus.Options{Address: address, Unit: 1, Profile: profile})
	if err != nil {
		p.err = err
		return
	}
	defer d.Close() //nolint:errcheck // nothing was written
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	for ; due.Before(end); due = due.Add(every) {
		t.Reset(time.Until(due))
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		r, err := d.Read(ctx, began)
		if err == nil && r.Voltage != voltage {
			err = errWrong
		}
		if due.Before(after) {
			continue
		}
		p.late, p.took = append(p.late, began.Sub(due)), append(p.took, time.Since(began))
		if err != nil {
			p.failed, p.err = p.failed+1, err
		}
	}
}

// quantile is the smallest of sorted that q percent are not above.
func quantile(sorted []time.Duration, q int) time.Duration {
	return sorted[max((len(sorted)*q+99)/100, 1)-1].Round(time.Microsecond)
}

// cpu is the time on processors that this process has had.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
