package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"syscall"
	"time"

	"yunchu/hil/modbus"
)

const period = time.Second

// poll has a driver for each device read it once a second, spread over the second as the
// gateway does.
func poll(ctx context.Context, devices, seconds int) error {
	if devices == 0 {
		return nil
	}
	s, err := ourselves(devices)
	if err != nil {
		return err
	}
	defer s.stop() //nolint:errcheck // it ends with us
	drivers := make([]*modbus.Driver, devices)
	for i := range drivers {
		drivers[i], err = modbus.New(modbus.Options{
			Address: s.addrs[i/perListener], Unit: byte(i%perListener + 1), Profile: "pcs-generic", Timeout: period,
		})
		if err != nil {
			return err
		}
	}
	defer func() {
		for _, d := range drivers {
			_ = d.Close() // nothing is expected any more
		}
	}()
	var (
		mu             sync.Mutex
		jitter, took   []float64 // ms
		reads          int
		wg             sync.WaitGroup
		errs           []error
		warm, start    = 2, time.Now().Add(100 * time.Millisecond)
		before         time.Duration
		counting, stop = start.Add(time.Duration(warm) * period), start.Add(time.Duration(warm+seconds) * period)
	)
	for i, d := range drivers {
		wg.Go(func() {
			next := start.Add(period * time.Duration(i) / time.Duration(devices))
			var last time.Time
			for next.Before(stop) && ctx.Err() == nil {
				time.Sleep(time.Until(next))
				began := time.Now()
				_, err := d.Read(ctx, began)
				now := time.Now()
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
				}
				if began.After(counting) && !last.IsZero() {
					reads++
					jitter = append(jitter, math.Abs(now.Sub(last).Seconds()-period.Seconds())*1000)
					took = append(took, now.Sub(began).Seconds()*1000)
				}
				mu.Unlock()
				last, next = now, next.Add(period)
			}
		})
	}
	time.Sleep(time.Until(counting))
	before = cpu()
	wg.Wait()
	used := cpu() - before
	if len(errs) > 0 {
		return fmt.Errorf("%d of %d readings failed: %w", len(errs), reads, errors.Join(errs[:min(len(errs), 3)]...))
	}
	fmt.Printf("\n%d devices polled once a second for %d s: %d readings, none failed\n", devices, seconds, reads)
	fmt.Printf("  processor time of the polling process: %.1f %% of one core\n", 100*used.Seconds()/float64(seconds))
	fmt.Printf("  time between two readings, off by: median %.2f ms, p99 %.2f ms, most %.2f ms\n", median(jitter), quantile(jitter, 0.99), quantile(jitter, 1))
	fmt.Printf("  a reading took: median %.2f ms, p99 %.2f ms, most %.2f ms\n", median(took), quantile(took, 0.99), quantile(took, 1))
	return nil
}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
