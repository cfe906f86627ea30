package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"yunchu/platform"
	"yunchu/platform/dispatch"
)

var (
	limitBinds = prometheus.NewDesc("yunchu_limit_binds", "1 where a limit of a group holds its devices back from import, -1 from export, else 0.", []string{"limit"}, nil)
	limitKept  = prometheus.NewDesc("yunchu_limit_kept", "0 where the devices of a group cannot keep its limit.", []string{"limit"}, nil)
	limitPrice = prometheus.NewDesc("yunchu_limit_price", "What a kilowatt more of a limit would save of the strategy's cost.", []string{"limit"}, nil)
	siteTarget = prometheus.NewDesc("yunchu_site_target_kw", "What the devices behind a limit are asked for, beneath the fleet's target.", []string{"limit"}, nil)
	sitePlan   = prometheus.NewDesc("yunchu_site_planned_kw", "What dispatch makes of the target of a site.", []string{"limit"}, nil)
	restingNow = prometheus.NewDesc("yunchu_dispatch_resting", "Devices that rest for others to run at less loss.", nil, nil)
)

// limitFigures shows what the limits of groups do in the newest decision.
type limitFigures struct {
	plant *platform.Plant
	list  []dispatch.Limit
}

// Describe implements prometheus.Collector.
func (l limitFigures) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{limitBinds, limitKept, limitPrice, restingNow, siteTarget, sitePlan} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (l limitFigures) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	d := l.plant.Decision()
	gauge(restingNow, float64(d.Resting))
	for _, a := range d.Aims {
		gauge(siteTarget, a.TargetKW, a.Name)
		gauge(sitePlan, a.PlannedKW, a.Name)
	}
	for i := range l.list {
		binds, kept, price := 0.0, 1.0, 0.0
		for _, b := range d.Bounds {
			if b.Name != l.list[i].Name {
				continue
			}
			price = b.Price
			if binds = -1; b.Import {
				binds = 1
			}
			if !b.Kept {
				kept = 0
			}
		}
		gauge(limitBinds, binds, l.list[i].Name)
		gauge(limitKept, kept, l.list[i].Name)
		gauge(limitPrice, price, l.list[i].Name)
	}
}
