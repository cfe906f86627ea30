package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"yunchu/harness/scenario"
	"yunchu/platform"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/remotewrite"
)

// remotes send readings to the stores of a configuration.
type remotes []*named

type named struct {
	*remotewrite.Writer
	host string
}

// remoteWriters opens them. p is set before the first of them runs.
func remoteWriters(cfg *scenario.Config, b bus.Bus, p **platform.Plant, log *slog.Logger) (out remotes, err error) {
	for _, r := range cfg.Remote {
		w, err := remotewrite.New(remotewrite.Options{
			URL: r.URL, TokenFile: r.TokenFile, MaxBehind: uint64(r.MaxBehind), Bus: b, Log: log,
			File: filepath.Join(cfg.Data, "remote-write", fmt.Sprintf("%.8x.json", sha256.Sum256([]byte(r.URL)))),
			Device: func(s device.Slot) (device.Info, bool) {
				d, ok := (*p).Fleet.Device(s)
				return d.Info, ok && d.Info.ID != ""
			},
		})
		if err != nil {
			return nil, err
		}
		u, err := url.Parse(r.URL)
		if err != nil {
			return nil, err
		}
		out = append(out, &named{w, u.Host + u.Path})
	}
	return out, nil
}

// needs is the first message of the log that one of them still reads.
func (ws remotes) needs() uint64 {
	next := uint64(math.MaxUint64)
	for _, w := range ws {
		next = min(next, w.Needs())
	}
	return next
}

func (ws remotes) run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, w := range ws {
		all.Go(func() { w.Run(ctx) })
	}
	all.Wait()
	<-ctx.Done()
	return nil
}

// figures is a registry with what they count, by receiver.
func (ws remotes) figures() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	for _, w := range ws {
		labels := prometheus.Labels{"receiver": w.host}
		for _, f := range []struct {
			name, help string
			value      func() int64
		}{
			{"samples_total", "Samples that the receiver has acknowledged.", w.Stats.Samples.Load},
			{"rejected_total", "Readings that the receiver refuses for good.", w.Stats.Rejected.Load},
			{"retries_total", "Requests that failed and were sent again.", w.Stats.Retries.Load},
			{"skipped_total", "Messages of the log that were trimmed before they were sent.", w.Stats.Skipped.Load},
		} {
			reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "yunchu_remote_write_" + f.name, Help: f.help, ConstLabels: labels,
			}, func() float64 { return float64(f.value()) }))
		}
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "yunchu_remote_write_behind", Help: "Messages of the log that wait for the receiver.", ConstLabels: labels,
		}, func() float64 { return float64(w.Stats.Behind.Load()) }))
	}
	return reg
}
