package report

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"yunchu/harness/scenario"
)

const (
	maxPoints = 7200   // of a plot; a longer record is thinned for the page only
	maxEvents = 20_000 // in the page; the journal has all
)

// column is a series in the page: few digits, and null for what is not known.
type column []float64

func (c column) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 8*len(c)), '[')
	for i, v := range c {
		if i > 0 {
			b = append(b, ',')
		}
		if !isFinite(v) {
			b = append(b, "null"...)
			continue
		}
		b = appendShort(b, v)
	}
	return append(b, ']'), nil
}

// appendShort writes v with six significant digits, finer than any screen.
func appendShort(b []byte, v float64) []byte {
	s := strconv.FormatFloat(v, 'g', 6, 64)
	if strings.ContainsRune(s, 'e') {
		f, _ := strconv.ParseFloat(s, 64)
		s = strconv.FormatFloat(f, 'f', -1, 64)
		if len(s) > 12 {
			s = strconv.FormatFloat(f, 'e', -1, 64)
		}
	}
	return append(b, s...)
}

// instants keep their full precision: rounding could make two of them equal.
type instants []float64

func (c instants) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 8*len(c)), '[')
	for i, v := range c {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, v, 'f', -1, 64)
	}
	return append(b, ']'), nil
}

type pageData struct {
	StartMS   int64             `json:"start_ms"`
	End       float64           `json:"end"` // s
	RatedKW   number            `json:"rated_kw"`
	Band      *SoCBand          `json:"band"`
	T         instants          `json:"t"`
	S         map[string]column `json:"s"`
	PriceUnit string            `json:"price_unit"`
	Thinned   int               `json:"thinned"` // every how many recorded instants are one here, 0: all
	Faults    []Window          `json:"faults"`
	Events    []Event           `json:"events"`
	MoreEvent int               `json:"more_events"` // left out
	Latency   []pageLatency     `json:"latency"`
	Limits    []pageLimit       `json:"limits"`
	Loads     []pageLoad        `json:"loads"`
}

// pageLoad is a load over time, in the time of the run.
type pageLoad struct {
	Name     string   `json:"name"`
	T        instants `json:"t"`
	Due      column   `json:"due"`
	Answered column   `json:"answered"`
	Errors   column   `json:"errors"`
	P50      column   `json:"p50"`
	P90      column   `json:"p90"`
	P99      column   `json:"p99"`
	Max      column   `json:"max"`
}

func (run *Run) loads() []pageLoad {
	out := []pageLoad{}
	for i := range run.Loads {
		l := &run.Loads[i]
		s := &l.Series
		if len(s.T) < 2 {
			continue
		}
		t := make(instants, len(s.T))
		for k := range t {
			t[k] = l.Begin + s.T[k]
		}
		out = append(out, pageLoad{l.Name, t, s.Due, s.Answered, s.Errors, s.P50, s.P90, s.P99, s.Max})
	}
	return out
}

type pageLatency struct {
	Histogram
	Limits []pageLimit `json:"limits"`
}

// pageLimit is a limit a plot can show.
type pageLimit struct {
	Metric string  `json:"metric"`
	Stat   string  `json:"stat"`
	Op     string  `json:"op"`
	Value  float64 `json:"value"`
	State  Verdict `json:"state"`
	Q      number  `json:"q"` // quantile of the stat; null where it is none
}

// plotData is the data of the page as JSON in which "<" cannot occur, so that no
// text of it ends the script element it stands in.
func (run *Run) plotData() ([]byte, error) {
	t, cols, every := run.Signals.thin(maxPoints)
	d := pageData{
		End: run.SimS, RatedKW: number(run.RatedKW), T: t, S: map[string]column{}, PriceUnit: run.Signals.PriceUnit,
		Thinned: every, Faults: notNil(run.Faults), Events: notNil(run.EventLog), Latency: []pageLatency{}, Limits: run.limits(), Loads: run.loads(),
	}
	if !(run.RatedKW > 0) {
		d.RatedKW = number(math.NaN())
	}
	if !run.Start.IsZero() {
		d.StartMS = run.Start.UnixMilli()
	}
	if run.Band != (SoCBand{}) {
		d.Band = &run.Band
	}
	for name, col := range cols {
		if slices.ContainsFunc(col, isFinite) {
			d.S[name] = col
		}
	}
	if n := len(d.Events); n > maxEvents {
		d.Events, d.MoreEvent = d.Events[:maxEvents], n-maxEvents
	}
	for _, h := range run.Latency {
		if h.N == 0 {
			continue
		}
		l := pageLatency{Histogram: h, Limits: []pageLimit{}}
		for _, lim := range d.Limits {
			if lim.Metric == h.Name {
				l.Limits = append(l.Limits, lim)
			}
		}
		d.Latency = append(d.Latency, l)
	}
	return json.Marshal(d)
}

func (run *Run) limits() []pageLimit {
	quantile := map[string]float64{"min": 0, "p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1}
	out := []pageLimit{}
	for _, s := range run.Scores {
		l, err := scenario.ParseLimit(s.Limit)
		if err != nil {
			continue
		}
		q, ok := quantile[s.Stat]
		if !ok {
			q = math.NaN()
		}
		out = append(out, pageLimit{s.Metric, s.Stat, l.Op, l.Value, s.state(), number(q)})
	}
	return out
}

// thin brings the signals down to at most limit instants. Of each group it keeps
// the instant of the worst tracking error, and the extremes of the columns that
// are extremes themselves, so that nothing abnormal is thinned away.
func (s *Signals) thin(limit int) (t []float64, cols map[string]column, every int) {
	cols = map[string]column{}
	all := s.columns()
	n := len(s.T)
	if n <= limit {
		for name, col := range all {
			if len(*col) == n {
				cols[name] = *col
			}
		}
		return s.T, cols, 0
	}
	every = (n + limit - 1) / limit
	for lo := 0; lo < n; lo += every {
		hi := min(lo+every, n)
		k, worst := lo, -1.0
		for i := lo; i < hi; i++ {
			if e := math.Abs(at(s.Power, i) - at(s.Target, i)); e > worst {
				k, worst = i, e
			}
		}
		t = append(t, s.T[k])
		for name, col := range all {
			if len(*col) != n {
				continue
			}
			v := (*col)[k]
			switch name {
			case "soc_min", "temp_min", "online":
				v = extreme((*col)[lo:hi], math.Min)
			case "soc_max", "temp_max":
				v = extreme((*col)[lo:hi], math.Max)
			}
			cols[name] = append(cols[name], v)
		}
	}
	return t, cols, every
}

// extreme is the least or largest of the values that are known.
func extreme(vs []float64, pick func(a, b float64) float64) float64 {
	out := math.NaN()
	for _, v := range vs {
		if math.IsNaN(out) {
			out = v
		} else if !math.IsNaN(v) {
			out = pick(out, v)
		}
	}
	return out
}
