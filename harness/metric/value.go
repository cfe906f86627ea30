package metric

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"yunchu/harness/scenario"
	"yunchu/platform/settle"
)

// Unit is the unit of a metric, and whether there is such a metric.
func Unit(name string) (string, bool) {
	m, ok := scenario.FindMetric(name)
	return m.Unit, ok
}

// DefaultStat is what a score means that names no stat.
func DefaultStat(name string) string {
	m, _ := scenario.FindMetric(name)
	return m.Stat
}

// Value is a metric's stat with its unit, the number n of values (trials,
// commands, device samples) behind it, and its 95 % interval (NaN, NaN where an
// interval would claim more than is known; an end is ±Inf where n is too small
// to bound it). With an error, v is NaN: [ErrNoData], [ErrUnrecovered] or
// [ErrUnknown].
//
// A metric that is one number for the whole run has the stats last and count;
// of counters (guard.violations, data.lost) sum and count are the number, too.
//
//   - tracking.rms_error_ratio is √(∫(delivered − target)² dt / ∫dt) / rated power, over the time a target was in force.
//   - tracking.delivered_ratio is energy delivered in the direction asked for, in no step counted beyond what was asked,
//     over energy asked for: 1 when the fleet was never short, whatever it did too much elsewhere.
//   - fleet.power_kw is the sum over all units, over all samples.
//   - fleet.soc and fleet.temperature_c are over all devices and samples; last is the mean of the devices in the last sample.
//   - fleet.cell_voltage_v has two values of each device and sample, its lowest and its highest cell.
//   - fleet.efficiency_percent is out/(in − Δstored).
//   - control.direction_changes_per_h is per device; availability_percent is of requests where there was load, else of device-seconds.
func (c *Collector) Value(name, stat string) (v float64, unit string, n int64, ci [2]float64, err error) {
	ci = none()
	unit, ok := Unit(name)
	if !ok {
		return math.NaN(), "", 0, ci, fmt.Errorf("metric %q: %w", name, ErrUnknown)
	}
	if stat == "" {
		stat = DefaultStat(name)
	}
	switch {
	case name == "recovery.time_s":
		v, n, err = c.recovery(stat)
	case c.Dist(name) != nil:
		d := c.Dist(name)
		n = d.n
		v, ci, err = d.Stat(stat)
	case strings.HasPrefix(name, "api.") && strings.HasSuffix(name, ".latency_ms"):
		err = fmt.Errorf("no such load ran: %w", ErrNoData)
	default:
		v, n, ci, err = c.scalar(name, stat)
	}
	if err != nil {
		return math.NaN(), unit, n, none(), fmt.Errorf("%s %s: %w", name, stat, err)
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return math.NaN(), unit, n, none(), fmt.Errorf("%s %s: %w", name, stat, ErrNoData)
	}
	switch stat {
	case "count":
		unit, ci = "", none()
	case "sum":
		ci = none()
	}
	return v, unit, n, ci, nil
}

func none() [2]float64 { return [2]float64{math.NaN(), math.NaN()} }

// scalar is a metric that is one number for the whole run.
func (c *Collector) scalar(name, stat string) (v float64, n int64, ci [2]float64, err error) {
	counter := name == "guard.violations" || name == "data.lost"
	if stat != "last" && stat != "count" && (stat != "sum" || !counter) {
		return math.NaN(), 0, none(), fmt.Errorf("stat %q of one number: %w", stat, ErrUnknown)
	}
	ci = none()
	switch name {
	case "tracking.rms_error_ratio":
		v, n, ci, err = c.rms()
	case "tracking.delivered_ratio":
		v, n = c.answered/c.asked, c.error2s.n
		if c.asked == 0 {
			err = fmt.Errorf("no target asked for power: %w", ErrNoData)
		}
	case "fleet.energy_in_kwh":
		v, n, err = c.energy(c.in)
	case "fleet.energy_out_kwh":
		v, n, err = c.energy(c.out)
	case "fleet.aux_kwh":
		if v, n = c.aux, c.n; math.IsNaN(v) {
			err = fmt.Errorf("nothing told of cooling: %w", ErrNoData)
		}
	case "fleet.burnt_cells":
		v, n, err = counted(int64(c.burnt), c.n, "nothing was stepped")
	case "fleet.efficiency_percent":
		v, n, err = c.efficiency()
	case "control.direction_changes_per_h":
		n = int64(len(c.signs))
		v = float64(c.changes) / float64(n) / (c.directionS / 3600)
		if n == 0 || c.directionS == 0 {
			err = fmt.Errorf("power of the devices was not recorded: %w", ErrNoData)
		}
	case "guard.violations":
		v, n, err = counted(c.violations, c.guardChecks, "nothing was held against the envelope")
	case "shadow.alarms":
		v, n, err = counted(c.alarms, int64(c.cfg.Shadows), "no device has a shadow")
	case "data.lost":
		v, n, err = counted(c.lost, c.acked, "no reading was acknowledged")
	case "availability_percent":
		v, n, ci, err = c.availability()
	case "market.revenue":
		v, n, err = c.money.earned()
	case "market.revenue_ratio":
		v, n, err = c.revenueRatio()
	case "fleet.wear_cost":
		v, n, err = c.money.wearCost()
	case "regulation.pjm_score":
		var s settle.PJM
		s, n, err = c.PJM(settle.Rolling)
		v = s.Score
	case "regulation.k":
		v, n, ci, err = c.k()
	case "speed":
		v, n = c.simS/c.wallS, 1
		if !(c.wallS > 0) {
			err = ErrNoData
		}
	default:
		v, n, ci, err = c.api(name)
	}
	if stat == "count" && err == nil && !counter {
		v = float64(n)
	}
	return v, n, ci, err
}

func counted(bad, n int64, why string) (float64, int64, error) {
	if n == 0 && bad == 0 {
		return math.NaN(), 0, fmt.Errorf("%s: %w", why, ErrNoData)
	}
	return float64(bad), n, nil
}

func (c *Collector) rms() (v float64, n int64, ci [2]float64, err error) {
	if c.time == 0 || !(c.cfg.RatedKW > 0) {
		return math.NaN(), 0, none(), fmt.Errorf("no target in force: %w", ErrNoData)
	}
	v = math.Sqrt(c.error2/c.time) / c.cfg.RatedKW
	ci = c.error2s.batch.interval()
	for i := range ci {
		ci[i] = math.Sqrt(max(ci[i], 0)) / c.cfg.RatedKW // max keeps NaN
	}
	return v, c.error2s.n, ci, nil
}

func (c *Collector) energy(kwh float64) (float64, int64, error) {
	if c.energyS == 0 {
		return math.NaN(), 0, ErrNoData
	}
	return kwh, c.n, nil
}

func (c *Collector) efficiency() (float64, int64, error) {
	used := c.in - (c.stored[1] - c.stored[0])
	switch {
	case c.energyS == 0 || math.IsNaN(used):
		return math.NaN(), 0, fmt.Errorf("stored energy at start and end unknown: %w", ErrNoData)
	case c.out == 0 || used <= 0:
		return math.NaN(), c.n, fmt.Errorf("%.3g kWh out of %.3g kWh used: %w", c.out, used, ErrNoData)
	}
	return 100 * c.out / used, c.n, nil
}

func (c *Collector) availability() (v float64, n int64, ci [2]float64, err error) {
	ok := c.good
	n = c.deviceSeconds
	if len(c.loads) > 0 {
		ok, n = 0, 0
		for _, l := range c.loads {
			ok += l.available
			n += l.sent
		}
	}
	if n == 0 {
		return math.NaN(), 0, none(), ErrNoData
	}
	ci = ClopperPearson(ok, n, Confidence)
	return 100 * float64(ok) / float64(n), n, [2]float64{100 * ci[0], 100 * ci[1]}, nil
}

// PJM is the regulation score of the run by one reading of the manual, over the
// stretch from the first to the last target.
func (c *Collector) PJM(r settle.PJMReading) (settle.PJM, int64, error) {
	x, y := c.signal, c.reply
	for len(x) > 0 && math.IsNaN(x[0]) {
		x, y = x[1:], y[1:]
	}
	for len(x) > 0 && math.IsNaN(x[len(x)-1]) {
		x, y = x[:len(x)-1], y[:len(x)-1]
	}
	nan := func(v float64) bool { return v-v != 0 }
	if c.gap || slices.ContainsFunc(x, nan) || slices.ContainsFunc(y, nan) {
		return settle.PJM{Score: math.NaN()}, 0, fmt.Errorf("target or power is not known every 10 s: %w", ErrNoData)
	}
	return settle.PJMScore(x, y, r)
}

func (c *Collector) k() (v float64, n int64, ci [2]float64, err error) {
	open, done := c.agc, c.adjustments
	if a, ok := open.Close(open.Last()); ok {
		done.add(settle.Hunan.K(a))
	}
	if done.n == 0 {
		counts := settle.Hunan.Counting
		return math.NaN(), 0, none(), fmt.Errorf("no command moved more than %g %% and held %g s: %w", counts.Counts, counts.Holds, ErrNoData)
	}
	return done.sum / float64(done.n), done.n, done.batch.interval(), nil
}

func (c *Collector) recovery(stat string) (float64, int64, error) {
	n := int64(len(c.recoveries))
	if n == 0 {
		return math.NaN(), 0, fmt.Errorf("no fault ended: %w", ErrNoData)
	}
	if stat == "count" {
		return float64(n), n, nil
	}
	times := make([]float64, 0, n)
	var open error
	for _, r := range c.recoveries {
		switch {
		case r.TimeS == r.TimeS:
			times = append(times, r.TimeS)
		case c.last-r.EndS >= recoveryHoldS && r.since != r.since || c.last-r.EndS > 2*recoveryHoldS:
			return math.NaN(), n, fmt.Errorf("%s ended at %g s: %w", r.Label, r.EndS, ErrUnrecovered)
		default:
			open = fmt.Errorf("%s ended at %g s, too close to the end of the run: %w", r.Label, r.EndS, ErrNoData)
		}
	}
	if open != nil {
		return math.NaN(), n, open
	}
	return exact(times, stat, n)
}

// exact is a stat of few values.
func exact(vs []float64, stat string, n int64) (float64, int64, error) {
	s := slices.Sorted(slices.Values(vs))
	q, ok := quantiles[stat]
	switch {
	case ok:
		return s[max(int(math.Ceil(q*float64(len(s))-1e-9)), 1)-1], n, nil
	case stat == "min":
		return s[0], n, nil
	case stat == "max":
		return s[len(s)-1], n, nil
	case stat == "last":
		return vs[len(vs)-1], n, nil
	case stat == "mean":
		return mean(vs), n, nil
	case stat == "sum":
		return mean(vs) * float64(len(vs)), n, nil
	}
	return math.NaN(), n, fmt.Errorf("stat %q: %w", stat, ErrUnknown)
}

func (c *Collector) api(name string) (v float64, n int64, ci [2]float64, err error) {
	l, field := c.load(name)
	if l == nil || l.sent == 0 {
		return math.NaN(), 0, none(), fmt.Errorf("no such load ran: %w", ErrNoData)
	}
	ci = none()
	switch field {
	case "rate_per_s":
		return l.Counts().PerS, l.sent, ci, nil
	case "readings_per_s":
		return ratio(float64(l.items), l.seconds), l.sent, ci, nil
	case "dropped":
		return float64(l.dropped), l.sent, ci, nil
	case "error_ratio":
		ok := ClopperPearson(l.sent-l.ok, l.sent, Confidence)
		return float64(l.sent-l.ok) / float64(l.sent), l.sent, ok, nil
	case "users":
		return float64(l.users), l.sent, ci, nil
	}
	return math.NaN(), 0, ci, ErrUnknown
}

// Resolution is the coarsest step in which a metric of time was sampled, in its
// own unit; 0 where every value was taken at its own instant. A limit shorter
// than three of them cannot be judged.
func (c *Collector) Resolution(name string) float64 {
	if name == "recovery.time_s" {
		return c.maxDT
	}
	return 0
}

// Note is what a reader should know beside the number, or nothing.
func (c *Collector) Note(name string) string {
	switch name {
	case "availability_percent":
		ok, n := c.good, c.deviceSeconds
		if len(c.loads) > 0 {
			ok, n = 0, 0
			for _, l := range c.loads {
				ok, n = ok+l.available, n+l.sent
			}
		}
		if n > 0 {
			return Claim(ok, n)
		}
	case "regulation.pjm_score":
		if s, _, err := c.PJM(settle.Rolling); err == nil {
			return fmt.Sprintf("accuracy %.3f, delay %.3f, precision %.3f (reading: rolling)", s.Accuracy, s.Delay, s.Precision)
		}
	case "market.revenue_ratio":
		if most, err := c.foresight(); err == nil {
			return fmt.Sprintf("%.2f of at most %.2f with all prices known, from the same charge to the same charge", c.money.revenue, most)
		}
	case "sync.delay_ms":
		if c.back.n > 0 {
			return fmt.Sprintf("%s back-filled readings counted apart, p99 %.4g ms", thousands(c.back.n), c.back.Quantile(0.99))
		}
	}
	if l, field := c.load(name); l != nil && field == "latency_ms" && l.late.n > 0 {
		return fmt.Sprintf("the generator itself was late by %.3g ms (p99)", l.late.Quantile(0.99))
	}
	if d := c.Dist(name); d != nil && d.bad > 0 {
		return fmt.Sprintf("%s unusable values left out", thousands(d.bad))
	}
	return ""
}
