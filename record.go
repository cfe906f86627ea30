package main

import (
	"log/slog"
	"path"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"yunchu/harness/scenario"
	"yunchu/hil"
	"yunchu/hil/record"
	"yunchu/platform"
	"yunchu/platform/device"
)

// recorder records what crosses the wires of a plant's devices; one without a shelf records
// nothing.
type recorder struct {
	glob  string
	shelf *record.Shelf
	rolls map[device.ID]*record.Roll
}

// recordings are of the devices that a configuration names. A file has a part of what all
// may have together, so that the newest of each device is always there.
func recordings(cfg *scenario.Config, log *slog.Logger) *recorder {
	r := &recorder{glob: cfg.Record.Links, rolls: map[device.ID]*record.Roll{}}
	if r.glob == "" {
		return r
	}
	n := 0
	for i := range cfg.Devices {
		if r.of(&cfg.Devices[i].Device) {
			n++
		}
	}
	most := int64(cfg.Record.MaxBytes)
	r.shelf = &record.Shelf{
		Dir: filepath.Join(cfg.Data, "links"), Keep: cfg.Record.Keep, MaxBytes: most, FileBytes: most / int64(4*max(n, 1)), Log: log,
	}
	return r
}

func (r *recorder) of(d *scenario.Device) bool {
	ok, err := path.Match(r.glob, d.ID)
	return ok && err == nil && r.glob != "" && d.Wire()
}

// begin begins to record what crosses the links of a device, if it is one of those: its
// driver is to be opened with spec.
func (r *recorder) begin(d *scenario.Device, spec *hil.Device, p *platform.Plant) *record.Roll {
	if !r.of(d) {
		return nil
	}
	of := *spec
	roll := r.shelf.NewRoll(spec.ID, func() (record.Head, error) {
		info, ok := p.Fleet.Info(of.ID)
		if !ok {
			info = of.Info()
		}
		return of.Head(info)
	})
	spec.Tap = roll.Tap
	r.rolls[spec.ID] = roll
	return roll
}

// close ends all recordings, once no driver is open any more.
func (r *recorder) close() {
	for _, roll := range r.rolls {
		roll.Close()
	}
}

var (
	recordBytes = prometheus.NewDesc("yunchu_record_bytes", "Bytes of the recordings of what crossed the wires.", nil, nil)
	recordShed  = prometheus.NewDesc("yunchu_record_shed_total", "Messages that crossed a wire and were not recorded.", []string{"device"}, nil)
)

// Describe implements prometheus.Collector.
func (r *recorder) Describe(to chan<- *prometheus.Desc) {
	to <- recordBytes
	to <- recordShed
}

// Collect implements prometheus.Collector.
func (r *recorder) Collect(to chan<- prometheus.Metric) {
	if r.shelf == nil {
		return
	}
	to <- prometheus.MustNewConstMetric(recordBytes, prometheus.GaugeValue, float64(r.shelf.Bytes()))
	for id, roll := range r.rolls {
		to <- prometheus.MustNewConstMetric(recordShed, prometheus.CounterValue, float64(roll.Shed()), string(id))
	}
}
