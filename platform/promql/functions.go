package promql

import (
	"math"
	"strings"
	"time"
)

// function is what a function takes and gives.
type function struct {
	args     []valueKind
	optional int // arguments at the end that may be left out
	result   valueKind
	window   func(w *window, arg float64) float64 // of one range; Absent where it has no value
	point    func(v float64, args []float64) float64
}

var functions map[string]function

func init() { // functions that are called from what they hold
	overTime := func(f func(w *window) float64) function {
		return function{args: []valueKind{rangeKind}, result: vectorKind, window: func(w *window, _ float64) float64 { return f(w) }}
	}
	of := func(f func(v float64) float64) function {
		return function{args: []valueKind{vectorKind}, result: vectorKind, point: func(v float64, _ []float64) float64 { return f(v) }}
	}
	calendar := func(f func(t time.Time) int) function {
		return function{args: []valueKind{vectorKind}, optional: 1, result: vectorKind, point: func(v float64, _ []float64) float64 {
			return float64(f(time.Unix(int64(v), 0).UTC()))
		}}
	}
	vector := function{args: []valueKind{vectorKind}, result: vectorKind}
	functions = map[string]function{
		"rate":               overTime((*window).rate),
		"increase":           overTime((*window).increase),
		"delta":              overTime((*window).delta),
		"irate":              overTime((*window).irate),
		"idelta":             overTime((*window).idelta),
		"deriv":              overTime((*window).deriv),
		"avg_over_time":      overTime((*window).avg),
		"min_over_time":      overTime((*window).min),
		"max_over_time":      overTime((*window).max),
		"sum_over_time":      overTime((*window).sum),
		"count_over_time":    overTime((*window).count),
		"last_over_time":     overTime((*window).last),
		"present_over_time":  overTime(func(*window) float64 { return 1 }),
		"stdvar_over_time":   overTime((*window).variance),
		"stddev_over_time":   overTime(func(w *window) float64 { return math.Sqrt(w.variance()) }),
		"changes":            overTime((*window).changes),
		"resets":             overTime((*window).resets),
		"quantile_over_time": {args: []valueKind{scalarKind, rangeKind}, result: vectorKind, window: (*window).quantile},
		"predict_linear":     {args: []valueKind{rangeKind, scalarKind}, result: vectorKind, window: (*window).predict},
		"absent_over_time":   {args: []valueKind{rangeKind}, result: vectorKind},
		"abs":                of(math.Abs),
		"ceil":               of(math.Ceil),
		"floor":              of(math.Floor),
		"sqrt":               of(math.Sqrt),
		"exp":                of(math.Exp),
		"ln":                 of(math.Log),
		"log2":               of(math.Log2),
		"log10":              of(math.Log10),
		"sgn":                of(sign),
		"sin":                of(math.Sin),
		"cos":                of(math.Cos),
		"tan":                of(math.Tan),
		"deg":                of(func(v float64) float64 { return v * 180 / math.Pi }),
		"rad":                of(func(v float64) float64 { return v * math.Pi / 180 }),
		"round":              {args: []valueKind{vectorKind, scalarKind}, optional: 1, result: vectorKind, point: round},
		"clamp_min":          {args: []valueKind{vectorKind, scalarKind}, result: vectorKind, point: func(v float64, a []float64) float64 { return math.Max(v, a[0]) }},
		"clamp_max":          {args: []valueKind{vectorKind, scalarKind}, result: vectorKind, point: func(v float64, a []float64) float64 { return math.Min(v, a[0]) }},
		"clamp":              {args: []valueKind{vectorKind, scalarKind, scalarKind}, result: vectorKind, point: clamp},
		"minute":             calendar(time.Time.Minute),
		"hour":               calendar(time.Time.Hour),
		"day_of_week":        calendar(func(t time.Time) int { return int(t.Weekday()) }),
		"day_of_month":       calendar(time.Time.Day),
		"day_of_year":        calendar(time.Time.YearDay),
		"days_in_month":      calendar(func(t time.Time) int { return time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day() }),
		"month":              calendar(func(t time.Time) int { return int(t.Month()) }),
		"year":               calendar(time.Time.Year),
		"time":               {result: scalarKind},
		"pi":                 {result: scalarKind},
		"vector":             {args: []valueKind{scalarKind}, result: vectorKind},
		"scalar":             {args: []valueKind{vectorKind}, result: scalarKind},
		"absent":             vector,
		"sort":               vector,
		"sort_desc":          vector,
		"timestamp":          vector,
		"label_replace":      {args: []valueKind{vectorKind, textKind, textKind, textKind, textKind}, result: vectorKind},
		"label_join":         {args: []valueKind{vectorKind, textKind, textKind, textKind}, optional: anyMore, result: vectorKind},
	}
}

// anyMore arguments like the last may follow; the last may be left out, too.
const anyMore = -1

// arity is how many arguments a function takes.
func (f *function) arity() (least, most int) {
	n := len(f.args)
	if f.optional == anyMore {
		return n - 1, math.MaxInt
	}
	return n - f.optional, n
}

// arg is what argument i is.
func (f *function) arg(i int) valueKind { return f.args[min(i, len(f.args)-1)] }

func sign(v float64) float64 {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return v
}

// round rounds to the nearest multiple, halves up.
func round(v float64, args []float64) float64 {
	to := 1.0
	if len(args) > 0 {
		to = args[0]
	}
	inverse := 1 / to // as Prometheus has it: 0.1 is not exact
	return math.Floor(v*inverse+0.5) / inverse
}

// clamp leaves nothing where the bounds are crossed.
func clamp(v float64, args []float64) float64 {
	if args[1] < args[0] {
		return Absent()
	}
	return math.Max(args[0], math.Min(args[1], v))
}

func (ev *evaluator) call(e *callExpr) (Value, error) {
	f := functions[e.name]
	switch e.name {
	case "time":
		return ev.scalar(func(at int64) float64 { return float64(at) / 1000 }), nil
	case "pi":
		return ev.scalar(func(int64) float64 { return math.Pi }), nil
	case "vector":
		v, err := ev.eval(e.args[0])
		v.Scalar = false
		return v, err
	case "scalar":
		return ev.single(e.args[0])
	case "absent":
		v, err := ev.eval(e.args[0])
		return ev.absent(e.args[0], v), err
	case "absent_over_time":
		v, err := ev.ranged(e.args[0], "present_over_time", func(*window) float64 { return 1 })
		return ev.absent(e.args[0], v), err
	case "sort", "sort_desc":
		v, err := ev.eval(e.args[0])
		return ev.sorted(v, e.name == "sort_desc"), err
	case "timestamp":
		return ev.timestamp(e.args[0])
	case "label_replace":
		return ev.labelReplace(e.args)
	case "label_join":
		return ev.labelJoin(e.args)
	}
	if f.window != nil {
		return ev.overTime(e, f)
	}
	var v Value
	var err error
	if len(e.args) == 0 { // a calendar's
		v = ev.scalar(func(at int64) float64 { return float64(at) / 1000 })
		v.Scalar = false
	} else if v, err = ev.eval(e.args[0]); err != nil {
		return v, err
	}
	var columns [][]float64
	for _, arg := range e.args[min(1, len(e.args)):] {
		a, err := ev.eval(arg)
		if err != nil {
			return a, err
		}
		columns = append(columns, a.Series[0].Values)
	}
	args := make([]float64, len(columns))
	return ev.mapped(v, func(k int, x float64) float64 {
		for i, c := range columns {
			args[i] = c[k]
		}
		return f.point(x, args)
	}, true)
}

// overTime is a function of a range, and of a scalar beside it.
func (ev *evaluator) overTime(e *callExpr, f function) (Value, error) {
	of, arg := e.args[0], []float64(nil)
	for i := range e.args {
		if f.arg(i) == rangeKind {
			of = e.args[i]
			continue
		}
		a, err := ev.eval(e.args[i])
		if err != nil {
			return a, err
		}
		arg = a.Series[0].Values
	}
	v, err := ev.ranged(of, e.name, func(w *window) float64 {
		if arg == nil {
			return f.window(w, 0)
		}
		return f.window(w, arg[w.step])
	})
	if err != nil || e.name == "last_over_time" { // which keeps the name
		return v, err
	}
	return ev.mapped(v, func(_ int, x float64) float64 { return x }, true)
}

// single is the value of the only series at an instant, else NaN.
func (ev *evaluator) single(e Expr) (Value, error) {
	v, err := ev.eval(e)
	if err != nil {
		return v, err
	}
	out := ev.scalar(func(int64) float64 { return math.NaN() })
	n := make([]int, ev.span.Steps())
	for _, s := range v.Series {
		for k, x := range s.Values {
			if present(x) {
				out.Series[0].Values[k] = x
				n[k]++
			}
		}
	}
	for k := range n {
		if n[k] != 1 {
			out.Series[0].Values[k] = math.NaN()
		}
	}
	return out, nil
}

// absent is 1 where no series has a value, with the labels that the selector wants to be
// equal to something.
func (ev *evaluator) absent(e Expr, v Value) Value {
	if s, ok := e.(*subqueryExpr); ok {
		e = s.arg
	}
	var l Labels
	if s, ok := e.(*Selector); ok {
		l = s.wanted()
	}
	values := make([]float64, ev.span.Steps())
	for k := range values {
		values[k] = 1
		for i := range v.Series {
			if present(v.Series[i].Values[k]) {
				values[k] = Absent()
				break
			}
		}
	}
	return Value{Series: []Series{{Labels: l, Values: values}}}
}

// wanted are labels for which the selector has one matcher, of equality.
func (s *Selector) wanted() (l Labels) {
	n := map[string]int{}
	for _, m := range s.Matchers {
		n[m.Name]++
	}
	for _, m := range s.Matchers {
		if m.Name != NameLabel && m.Op == Equal && n[m.Name] == 1 {
			l = l.with(m.Name, m.Value)
		}
	}
	return l
}

// timestamp is when the samples of a selector are of, in s; of anything computed it is the
// instant.
func (ev *evaluator) timestamp(e Expr) (Value, error) {
	if s, ok := e.(*Selector); ok {
		v, err := ev.read(s, "", func(w *window) float64 { return float64(w.samples[len(w.samples)-1].at) / 1000 })
		if err != nil {
			return v, err
		}
		return ev.mapped(v, func(_ int, x float64) float64 { return x }, true)
	}
	v, err := ev.eval(e)
	if err != nil {
		return v, err
	}
	return ev.mapped(v, func(k int, _ float64) float64 { return float64(ev.span.At(k)) / 1000 }, true)
}

// relabelled are the series with other labels, which no two may share.
func (v Value) relabelled(f func(l Labels) Labels) (Value, error) {
	for i := range v.Series {
		v.Series[i].Labels = f(v.Series[i].Labels)
	}
	return v, distinct(v.Series)
}

// labelReplace sets a label where another matches a regular expression.
func (ev *evaluator) labelReplace(args []Expr) (Value, error) {
	v, err := ev.eval(args[0])
	if err != nil {
		return v, err
	}
	dst, replacement, src := string(args[1].(textExpr)), string(args[2].(textExpr)), string(args[3].(textExpr))
	re, err := anchored(string(args[4].(textExpr)))
	if err != nil { // the parser has seen it
		return v, err
	}
	return v.relabelled(func(l Labels) Labels {
		value := l.Get(src)
		found := re.FindStringSubmatchIndex(value)
		if found == nil {
			return l
		}
		return l.with(dst, string(re.ExpandString(nil, replacement, value, found)))
	})
}

// labelJoin sets a label to others behind each other.
func (ev *evaluator) labelJoin(args []Expr) (Value, error) {
	v, err := ev.eval(args[0])
	if err != nil {
		return v, err
	}
	return v.relabelled(func(l Labels) Labels {
		var values []string
		for _, src := range args[3:] {
			values = append(values, l.Get(string(src.(textExpr))))
		}
		return l.with(string(args[1].(textExpr)), strings.Join(values, string(args[2].(textExpr))))
	})
}
