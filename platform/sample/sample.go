// Package sample says what a reading is to those who know named series with labels:
// the query API and what is written to other stores.
package sample

import (
	"math"
	"strings"

	"yunchu/platform/device"
	"yunchu/platform/promql"
	"yunchu/platform/store/series"
)

// Metric is one quantity of a device or of the fleet.
type Metric struct {
	Name, Help string
	Unit       string
	Counter    bool
	Fields     series.Fields // of the readings that it needs
	value      func(*device.Reading) float64
}

// Devices are the metrics of each device.
var Devices = []Metric{
	measured("soc_percent", "percent", "State of charge.", series.SoC, func(r *device.Reading) float64 { return r.SoC }),
	measured("soh_percent", "percent", "State of health.", series.SoH, func(r *device.Reading) float64 { return r.SoH }),
	measured("voltage_v", "V", "Voltage at the battery's DC terminals.", series.Voltage, func(r *device.Reading) float64 { return r.Voltage }),
	measured("current_a", "A", "Current at the battery's DC terminals, positive when it charges.", series.Current, func(r *device.Reading) float64 { return r.Current }),
	measured("power_kw", "kW", "Power at the AC terminals, positive when it charges.", series.Power, func(r *device.Reading) float64 { return r.Power }),
	measured("temperature_c", "°C", "Temperature of the hottest cell.", series.Temperature, func(r *device.Reading) float64 { return r.Temperature }),
	measured("max_charge_kw", "kW", "Power that the device says it can take.", series.MaxCharge, func(r *device.Reading) float64 { return r.MaxCharge }),
	measured("max_discharge_kw", "kW", "Power that the device says it can give.", series.MaxDischarge, func(r *device.Reading) float64 { return r.MaxDischarge }),
	{
		Name: "yunchu_device_online", Help: "1 for a reading, 0 for one whose status is offline.", Fields: series.Status,
		value: func(r *device.Reading) float64 {
			if r.Status == device.Offline {
				return 0
			}
			return 1
		},
	},
	{
		Name: "yunchu_device_quality", Help: "Of a reading: 0 good, 1 suspect, 2 bad.", Fields: series.Status,
		value: func(r *device.Reading) float64 { return float64(r.Quality) },
	},
}

// measured is a quantity that a bad reading does not count for, as in the means of
// the history.
func measured(name, unit, help string, f series.Fields, value func(*device.Reading) float64) Metric {
	return Metric{Name: "yunchu_device_" + name, Help: help, Unit: unit, Fields: f, value: func(r *device.Reading) float64 {
		if r.Quality == device.Bad {
			return math.NaN()
		}
		return value(r)
	}}
}

// Summarized reports whether the history's summaries of the metric's quantity are those of
// its values.
func (m *Metric) Summarized() bool { return m.Fields&series.Status == 0 }

// Value is the metric's value in a reading of a device; false where it has none.
func (m *Metric) Value(r *device.Reading) (v float64, ok bool) {
	v = m.value(r)
	return v, v == v
}

// Labels name the series of a device's metric, sorted. kind and site are what is
// known of the device now; site is the name of its location.
func Labels(m *Metric, info *device.Info) promql.Labels {
	l := promql.Labels{{Name: promql.NameLabel, Value: m.Name}, {Name: "device", Value: string(info.ID)}}
	if info.Kind != "" {
		l = append(l, promql.Label{Name: "kind", Value: info.Kind})
	}
	if info.Location != nil && info.Location.Name != "" {
		l = append(l, promql.Label{Name: "site", Value: strings.ToValidUTF8(info.Location.Name, "\ufffd")})
	}
	return l
}
