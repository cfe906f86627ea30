package scenario

import (
	"slices"
	"strings"
)

// Over says what the statistics of a metric are taken over.
type Over string

const (
	OverRun     Over = "run"     // one value per run
	OverSamples Over = "samples" // every occurrence
	OverDevices Over = "devices" // all devices and all samples
)

// Metric is one thing every scenario can score.
type Metric struct {
	Name string
	Unit string // empty: a plain number
	Over Over
	Stat string // the statistic when a score names none
	Doc  string
}

// Stats are the statistics a score may ask for.
func Stats() []string {
	return []string{"min", "max", "mean", "last", "sum", "count", "p50", "p90", "p95", "p99", "p999"}
}

var metrics = []Metric{
	{"tracking.rms_error_ratio", "", OverRun, "last", "RMS(delivered - target) / rated power of the fleet"},
	{"tracking.delivered_ratio", "", OverRun, "last", "delivered energy / asked energy"},
	{"fleet.power_kw", "kW", OverSamples, "mean", "sum over all units at the AC terminals"},
	{"fleet.soc", "percent", OverDevices, "mean", "state of charge"},
	{"fleet.temperature_c", "degC", OverDevices, "max", "hottest cell"},
	{"fleet.cell_voltage_v", "V", OverDevices, "max", "lowest and highest cell"},
	{"fleet.soh_percent", "percent", OverDevices, "min", "capacity over that of the new cells"},
	{"fleet.resistance_percent", "percent", OverDevices, "max", "resistance over that of the new cells"},
	{"fleet.aux_kwh", "kWh", OverRun, "last", "electric energy of cooling and heating"},
	{"fleet.burnt_cells", "", OverRun, "last", "cells whose separator has failed in thermal runaway"},
	{"fleet.energy_in_kwh", "kWh", OverRun, "last", "energy charged, AC"},
	{"fleet.energy_out_kwh", "kWh", OverRun, "last", "energy discharged, AC"},
	{"fleet.efficiency_percent", "percent", OverRun, "last", "out / (in - change of the stored energy)"},
	{"limit.excess_kw", "kW", OverSamples, "max", "by how much the worst of dispatch.limits is passed, by the meter of a limit that has one, else with the other load that the file has; 0 where none is"},
	{"site.import_kw", "kW", OverSamples, "max", "power at the grid meter, positive is import"},
	{"command.latency_ms", "ms", OverSamples, "p99", "command issued to acknowledged; one that failed or expired counts with at least 1 s"},
	{"control.jitter_ms", "ms", OverSamples, "p99", "distance of a dispatch cycle from its instant"},
	{"control.direction_changes_per_h", "1/h", OverRun, "last", "changes between charging and discharging, per device"},
	{"guard.violations", "", OverRun, "last", "device-steps beyond a limit, and setpoints taken that the guard should have stopped"},
	{"shadow.alarms", "", OverRun, "last", "divergences that shadows named"},
	{"sync.delay_ms", "ms", OverSamples, "p99", "a reading's own time to visible as latest"},
	{"availability_percent", "percent", OverRun, "last", "answered 2xx within 1 s / sent; without load: device-seconds with a good reading younger than 3 periods"},
	{"recovery.time_s", "s", OverSamples, "max", "end of a fault to |error| <= 2 % for 5 s"},
	{"data.lost", "", OverRun, "last", "acknowledged readings absent from history"},
	{"regulation.pjm_score", "", OverRun, "last", "PJM performance score"},
	{"regulation.k", "", OverRun, "last", "AGC performance index k"},
	{"market.revenue", "", OverRun, "last", "discharged less charged energy at the price of the moment, currency of site.price"},
	{"market.revenue_ratio", "", OverRun, "last", "market.revenue / the most that the fleet could have earned with all prices known"},
	{"fleet.wear_cost", "", OverRun, "last", "what the depth of use has cost, currency of the devices' wear"},
	{"speed", "x", OverRun, "last", "simulated time / wall time"},
}

// loadMetrics exist once per load, as api.<load>.<name>.
var loadMetrics = []Metric{
	{"latency_ms", "ms", OverSamples, "p99", "intended send to answer, open loop"},
	{"rate_per_s", "1/s", OverRun, "last", "answered requests per second, after the ramp"},
	{"readings_per_s", "1/s", OverRun, "last", "readings taken or delivered per second, after the ramp"},
	{"error_ratio", "", OverRun, "last", "requests without a 2xx answer / sent"},
	{"dropped", "", OverRun, "last", "requests that were due and never sent, the one before being 10 s late"},
	{"users", "", OverRun, "last", "users that were connected at once"},
}

// Metrics is the table of metrics; those of loads stand as api.<load>.… .
func Metrics() []Metric {
	all := slices.Clone(metrics)
	for _, m := range loadMetrics {
		m.Name = "api.<load>." + m.Name
		all = append(all, m)
	}
	return all
}

// FindMetric returns the metric of that name. For api.<load>.… any load name
// is accepted: whether there is such a load is for the scenario to say.
func FindMetric(name string) (Metric, bool) {
	if _, of, ok := splitLoadMetric(name); ok {
		for _, m := range loadMetrics {
			if m.Name == of {
				m.Name = name
				return m, true
			}
		}
		return Metric{}, false
	}
	i := slices.IndexFunc(metrics, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return metrics[i], true
}

// splitLoadMetric takes api.NAME.metric apart.
func splitLoadMetric(name string) (load, metric string, ok bool) {
	rest, ok := strings.CutPrefix(name, "api.")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ".")
}

func metricNames() []string {
	var names []string
	for _, m := range metrics {
		names = append(names, m.Name)
	}
	return names
}

// check fills in the default statistic and finds a metric or load that is not there.
func (c *Score) check(s *source, at string, loads []LoadEntry) {
	if c.Metric == "" {
		return // reported as missing
	}
	m, ok := FindMetric(c.Metric)
	load, of, isLoad := splitLoadMetric(c.Metric)
	switch {
	case isLoad && !ok:
		var known []string
		for _, m := range loadMetrics {
			known = append(known, m.Name)
		}
		s.wrong(at+".metric", suggest(of, known), "unknown metric %q", short(c.Metric))
	case isLoad && !slices.ContainsFunc(loads, func(l LoadEntry) bool { return l.Name == load }):
		var names []string
		for _, l := range loads {
			names = append(names, l.Name)
		}
		hint := suggest(load, names)
		if len(names) == 0 {
			hint = "add a load: {name: " + load + ", api: rest-sync, …}"
		}
		s.wrong(at+".metric", hint, "there is no load named %q", load)
	case !ok:
		s.wrong(at+".metric", suggest(c.Metric, append(metricNames(), "api.<load>.latency_ms")), "unknown metric %q", short(c.Metric))
	}
	switch counter := c.Metric == "guard.violations" || c.Metric == "data.lost"; {
	case c.Stat == "":
		c.Stat = m.Stat
	case ok && m.Over == OverRun && c.Stat != "last" && c.Stat != "count" && (!counter || c.Stat != "sum"):
		s.wrong(at+".stat", "leave stat out", "%s is one number for the whole run and has no %s", c.Metric, short(c.Stat))
	}
}
