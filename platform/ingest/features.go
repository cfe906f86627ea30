package ingest

import (
	"math"
	"time"

	"yunchu/platform/device"
)

// Meter counts the energy of a device by its good readings. It only grows. The zero
// value is ready; a meter is 48 bytes.
type Meter struct {
	In, Out float64 // kWh at the AC terminals, both >= 0
	at      int64   // of the last good reading, ms UTC
	power   float64 // kW
	Counted float64 // hours that were counted
	doubt   bool    // readings that are not good came since
}

// The longest time between two good readings that is counted: over an hour nobody knows
// what flowed, and where doubtful readings lie between, over a minute.
const (
	countUpTo    = time.Hour
	countDoubted = time.Minute
)

// Add takes the next reading. Energy is the trapezoid between two good readings that
// follow each other; where power crosses zero between them, each side of it counts. A
// gap (FlagGap: more than three periods of silence) counts nothing, and neither does
// what is late.
func (m *Meter) Add(r *device.Reading) {
	if r.Quality != device.Good || r.Power != r.Power {
		m.doubt = true
		return
	}
	if r.At <= m.at {
		return
	}
	dt, before := r.At-m.at, m.power
	longest := countUpTo.Milliseconds()
	if m.doubt {
		longest = countDoubted.Milliseconds()
	}
	count := m.at != 0 && r.Flags&device.FlagGap == 0 && dt <= longest
	m.at, m.power, m.doubt = r.At, r.Power, false
	if !count {
		return
	}
	h := float64(dt) / 3.6e6
	m.Counted += h
	switch a, b := before, r.Power; {
	case a >= 0 && b >= 0:
		m.In += (a + b) / 2 * h
	case a <= 0 && b <= 0:
		m.Out -= (a + b) / 2 * h
	default: // a line through zero, at a/(a−b) of the way
		w := a / (a - b)
		first, second := a/2*w*h, b/2*(1-w)*h
		m.In += max(first, second)
		m.Out -= min(first, second)
	}
}

// Moments are the mean, standard deviation and extremes of a quantity.
type Moments struct {
	Mean float64 `json:"mean"`
	SD   float64 `json:"sd" doc:"standard deviation of the readings"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
	N    int     `json:"n" doc:"readings that have it"`
}

// add is the update of B. P. Welford, Technometrics 4 (1962); SD holds the sum of squares
// until done.
func (s *Moments) add(x float64) {
	if x != x {
		return
	}
	if s.N == 0 {
		s.Min, s.Max = x, x
	}
	s.N++
	d := x - s.Mean
	s.Mean += d / float64(s.N)
	s.SD += d * (x - s.Mean)
	s.Min, s.Max = min(s.Min, x), max(s.Max, x)
}

func (s *Moments) done() *Moments {
	if s.N == 0 {
		return nil
	}
	s.SD = math.Sqrt(max(s.SD, 0) / float64(s.N))
	return s
}

// Window are the statistics of the cleaned readings of the last while.
type Window struct {
	SpanS       float64  `json:"span_s" doc:"length of the window, which ends at to, s"`
	Rows        int      `json:"rows" doc:"cleaned readings in it"`
	Filled      int      `json:"filled" doc:"of them with a value that was filled in"`
	Outliers    int      `json:"outliers" doc:"of them with a value that was replaced"`
	SoC         *Moments `json:"soc_percent" doc:"null: not reported"`
	Voltage     *Moments `json:"voltage_v"`
	Current     *Moments `json:"current_a"`
	Power       *Moments `json:"power_kw"`
	Temperature *Moments `json:"temperature_c"`
}

// Over are the statistics of the rows with to − span ≤ t < to.
func Over(rows []Row, to int64, span time.Duration) Window {
	w := Window{SpanS: span.Seconds()}
	var s [quantities]Moments
	for i := range rows {
		r := &rows[i]
		if r.At >= to || apart(r.At, to) > float64(span.Milliseconds()) {
			continue
		}
		w.Rows++
		if r.Filled != 0 {
			w.Filled++
		}
		if r.Outlier != 0 {
			w.Outliers++
		}
		for q, v := range values(&r.Reading) {
			s[q].add(*v)
		}
	}
	w.SoC, w.Voltage, w.Current = s[soc].done(), s[voltage].done(), s[current].done()
	w.Power, w.Temperature = s[power].done(), s[temperature].done()
	return w
}

// Features are what the readings of a device amount to over a time.
type Features struct {
	From      int64      `json:"from" doc:"ms since 1970 UTC"`
	To        int64      `json:"to" doc:"ms since 1970 UTC, not included"`
	Readings  int        `json:"readings" doc:"readings in that time, of any quality"`
	Good      int        `json:"good" doc:"of them good ones: energy, cycles and rates are of these alone"`
	Windows   []Window   `json:"windows" nullable:"false" doc:"rolling statistics of the cleaned readings"`
	Energy    Energy     `json:"energy"`
	Cycles    Cycles     `json:"cycles"`
	Rate      Rate       `json:"c_rate"`
	Imbalance *Imbalance `json:"imbalance" doc:"against the other devices of the place; null: it has none"`
	Clock     Clock      `json:"clock"`
}

// Energy is what went in and out at the AC terminals.
type Energy struct {
	In       float64 `json:"in_kwh"`
	Out      float64 `json:"out_kwh"`
	CountedS float64 `json:"counted_s" doc:"time that was counted: gaps are not"`
}

// Cycles are the cycles of a battery.
type Cycles struct {
	Full       *float64    `json:"equivalent_full" doc:"(in + out) / (2 · capacity); null: the capacity is not known"`
	Count      float64     `json:"rainflow" doc:"cycles of the state of charge by ASTM E1049, half ones as 0.5, from 1 percent on"`
	Equivalent float64     `json:"rainflow_equivalent" doc:"sum of cycles · depth: Miner's rule for a life in proportion to 1/depth"`
	Depth      float64     `json:"depth_max_percent" doc:"of the deepest"`
	ByDepth    [10]float64 `json:"by_depth" doc:"cycles of a depth from 0, 10 … 90 percent on"`
}

// Rate is power over energy.
type Rate struct {
	Last      *float64 `json:"last_per_h" doc:"power of the newest good reading / capacity, 1/h, + charges; null: not known"`
	Charge    *float64 `json:"charge_max_per_h"`
	Discharge *float64 `json:"discharge_max_per_h" doc:"above zero"`
}

// Imbalance is how far a device is from those beside it.
type Imbalance struct {
	Devices     int      `json:"devices" doc:"that have a good reading of the last minute, itself included"`
	SoC         *float64 `json:"soc_percent" doc:"its state of charge less the mean"`
	SoCSpread   *float64 `json:"soc_spread_percent" doc:"the highest less the lowest of all"`
	Temperature *float64 `json:"temperature_k" doc:"its temperature less the mean"`
	TempSpread  *float64 `json:"temperature_spread_k" doc:"the highest less the lowest of all"`
}

// cycleLeast is the smallest turn of the state of charge that begins a cycle, percent:
// well above the resolution of a battery management.
const cycleLeast = 1

// Counter makes Features of the readings of a device, which it is given in order.
type Counter struct {
	capacity float64 // kWh
	f        Features
	meter    Meter
	rain     Rainflow
	clock    clock
}

// NewCounter counts for a device of that capacity, kWh; 0: not known.
func NewCounter(capacityKWh float64) *Counter {
	return &Counter{capacity: capacityKWh, rain: Rainflow{Least: cycleLeast}}
}

// Add takes the next reading.
func (c *Counter) Add(r *device.Reading) {
	c.f.Readings++
	c.meter.Add(r)
	c.clock.add(r)
	if r.Quality != device.Good {
		return
	}
	c.f.Good++
	c.rain.Add(r.SoC, c.cycle)
	if c.capacity > 0 && r.Power == r.Power {
		x := r.Power / c.capacity
		c.f.Rate.Last = &x
		if c.f.Rate.Charge == nil {
			c.f.Rate.Charge, c.f.Rate.Discharge = new(float64), new(float64)
		}
		*c.f.Rate.Charge = max(*c.f.Rate.Charge, x)
		*c.f.Rate.Discharge = max(*c.f.Rate.Discharge, -x)
	}
}

func (c *Counter) cycle(depth, n float64) {
	y := &c.f.Cycles
	y.Count += n
	y.Equivalent += n * depth / 100
	y.Depth = max(y.Depth, depth)
	y.ByDepth[min(int(depth/10), len(y.ByDepth)-1)] += n
}

// Done are the features of all that was added.
func (c *Counter) Done() Features {
	c.rain.Rest(c.cycle)
	f := c.f
	f.Windows = []Window{}
	f.Energy = Energy{c.meter.In, c.meter.Out, c.meter.Counted * 3600}
	if c.capacity > 0 {
		n := (c.meter.In + c.meter.Out) / (2 * c.capacity)
		f.Cycles.Full = &n
	}
	f.Clock = c.clock.done()
	return f
}

// Beside compares a device with all of its place, itself among them: each the newest
// good reading of one of them. It is nil where that is the only one.
func Beside(own *device.Reading, all []device.Reading) *Imbalance {
	if len(all) < 2 {
		return nil
	}
	var s, t Moments
	for i := range all {
		s.add(all[i].SoC)
		t.add(all[i].Temperature)
	}
	out := &Imbalance{Devices: len(all)}
	compare := func(x float64, of *Moments) (apart, spread *float64) {
		if of.N < 2 {
			return nil, nil
		}
		d, w := x-of.Mean, of.Max-of.Min
		if d == d {
			apart = &d
		}
		return apart, &w
	}
	out.SoC, out.SoCSpread = compare(own.SoC, &s)
	out.Temperature, out.TempSpread = compare(own.Temperature, &t)
	return out
}
