package promql

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Eval evaluates the query at every instant of the span. Errors wrap ErrLimit,
// ErrExecution or what ctx and the source say.
func Eval(ctx context.Context, src Source, e Expr, span Span, limits Limits) (Value, error) {
	v, err := (&evaluator{ctx, src, span, limits}).eval(e)
	if err != nil {
		return Value{}, err
	}
	// What is nowhere there is not in the answer.
	v.Series = slices.DeleteFunc(v.Series, func(s Series) bool { return !slices.ContainsFunc(s.Values, present) })
	slices.SortFunc(v.Series, func(a, b Series) int { return a.Labels.compare(b.Labels) })
	return v, nil
}

func present(v float64) bool { return !IsAbsent(v) }

type evaluator struct {
	ctx    context.Context
	src    Source
	span   Span
	limits Limits
}

func (ev *evaluator) eval(e Expr) (Value, error) {
	if err := ev.ctx.Err(); err != nil {
		return Value{}, fmt.Errorf("evaluate the query: %w", err)
	}
	switch e := e.(type) {
	case numberExpr:
		return ev.scalar(func(int64) float64 { return float64(e) }), nil
	case *Selector:
		return ev.read(e, func(samples []sample, _ int64) float64 { return samples[len(samples)-1].v })
	case *negateExpr:
		v, err := ev.eval(e.arg)
		if err != nil {
			return v, err
		}
		return ev.mapped(v, func(_ int, x float64) float64 { return -x }, true)
	case *aggregateExpr:
		return ev.aggregate(e)
	case *callExpr:
		return ev.call(e)
	case *binaryExpr:
		return ev.binary(e)
	}
	return Value{}, fmt.Errorf("%w: %T is not known", ErrExecution, e)
}

// scalar is f at every instant.
func (ev *evaluator) scalar(f func(at int64) float64) Value {
	values := make([]float64, ev.span.Steps())
	for i := range values {
		values[i] = f(ev.span.At(i))
	}
	return Value{Scalar: true, Series: []Series{{Values: values}}}
}

// mapped applies f to every value that is there. What has lost its name may no
// longer differ from another series.
func (ev *evaluator) mapped(v Value, f func(step int, x float64) float64, dropName bool) (Value, error) {
	for i := range v.Series {
		s := &v.Series[i]
		for k, x := range s.Values {
			if present(x) {
				s.Values[k] = f(k, x)
			}
		}
		if dropName && !v.Scalar {
			s.Labels = s.Labels.withoutName()
		}
	}
	if dropName && !v.Scalar {
		return v, distinct(v.Series)
	}
	return v, nil
}

func distinct(list []Series) error {
	seen := make(map[string]bool, len(list))
	for i := range list {
		k := list[i].Labels.key()
		if seen[k] {
			return fmt.Errorf("%w: several series have the same labels once the name of the metric is dropped", ErrExecution)
		}
		seen[k] = true
	}
	return nil
}

type sample struct {
	at int64
	v  float64
}

// room checks that so many series fit.
func (ev *evaluator) room(series int) error {
	if m := ev.limits.Series; m > 0 && series > m {
		return fmt.Errorf("%w: %d series, at most %d; add matchers", ErrLimit, series, m)
	}
	if m := ev.limits.Points; m > 0 && series*ev.span.Steps() > m {
		return fmt.Errorf("%w: %d series of %d points, at most %d points in all; ask for a larger step or fewer series",
			ErrLimit, series, ev.span.Steps(), m)
	}
	return nil
}

// cursor follows the samples of one series through the instants.
type cursor struct {
	samples []sample // that the next instants may need
	step    int      // the next instant
}

// read evaluates f at every instant of each selected series that has samples in the
// range before it, or in the look-back; at is the instant less the offset. Samples
// stream through: of each series only those of one range are held.
func (ev *evaluator) read(s *Selector, f func(samples []sample, at int64) float64) (Value, error) {
	refs, err := ev.src.Select(ev.ctx, s.Matchers)
	if err != nil {
		return Value{}, fmt.Errorf("select series: %w", err)
	}
	if err := ev.room(len(refs)); err != nil {
		return Value{}, err
	}
	length, steps := s.Range, ev.span.Steps()
	if length == 0 {
		length = Lookback
	}
	out := make([]Series, len(refs))
	cursors := make([]cursor, len(refs))
	for i := range refs {
		out[i] = Series{Labels: refs[i].Labels, Values: make([]float64, steps)}
	}
	// advance evaluates the instants before the time.
	advance := func(i int, before int64) {
		c := &cursors[i]
		for ; c.step < steps; c.step++ {
			at := ev.span.At(c.step) - s.Offset
			if at >= before {
				return
			}
			drop := 0
			for drop < len(c.samples) && c.samples[drop].at <= at-length {
				drop++
			}
			c.samples = c.samples[drop:]
			out[i].Values[c.step] = Absent()
			if len(c.samples) > 0 {
				out[i].Values[c.step] = f(c.samples, at)
			}
		}
	}
	first, last := ev.span.Start-s.Offset-length+1, ev.span.At(steps-1)-s.Offset
	n := 0
	err = ev.src.Read(ev.ctx, refs, first, last, func(i int, at int64, v float64) bool {
		c := &cursors[i]
		advance(i, at)
		if s.Range == 0 {
			c.samples = append(c.samples[:0], sample{at, v})
		} else {
			c.samples = append(c.samples, sample{at, v})
		}
		n++
		return n%4096 != 0 || ev.ctx.Err() == nil
	})
	if err == nil {
		err = ev.ctx.Err()
	}
	if err != nil {
		return Value{}, fmt.Errorf("read samples: %w", err)
	}
	for i := range cursors {
		advance(i, math.MaxInt64)
	}
	return Value{Series: out}, nil
}

func (ev *evaluator) call(e *callExpr) (Value, error) {
	f := functions[e.name]
	switch {
	case e.name == "time":
		return ev.scalar(func(at int64) float64 { return float64(at) / 1000 }), nil
	case e.name == "vector":
		v, err := ev.eval(e.args[0])
		v.Scalar = false
		return v, err
	case f.window != nil:
		s := e.args[0].(*Selector)
		v, err := ev.read(s, func(samples []sample, at int64) float64 {
			return f.window(&window{samples, at - s.Range, at})
		})
		if err != nil || e.name == "last_over_time" { // which keeps the name
			return v, err
		}
		return ev.mapped(v, func(_ int, x float64) float64 { return x }, true)
	}
	v, err := ev.eval(e.args[0])
	if err != nil {
		return v, err
	}
	arg := make([]float64, ev.span.Steps())
	if len(e.args) > 1 {
		a, err := ev.eval(e.args[1])
		if err != nil {
			return a, err
		}
		arg = a.Series[0].Values
	}
	return ev.mapped(v, func(k int, x float64) float64 { return f.point(x, arg[k]) }, true)
}

func (ev *evaluator) aggregate(e *aggregateExpr) (Value, error) {
	v, err := ev.eval(e.arg)
	if err != nil {
		return v, err
	}
	type group struct {
		Series
		n []int
	}
	var groups []*group
	index := map[string]*group{}
	for _, s := range v.Series {
		labels := s.Labels.keep(func(name string) bool {
			if e.without {
				return name != NameLabel && !slices.Contains(e.labels, name)
			}
			return slices.Contains(e.labels, name)
		})
		k := labels.key()
		g := index[k]
		if g == nil {
			g = &group{Series{labels, make([]float64, len(s.Values))}, make([]int, len(s.Values))}
			index[k] = g
			groups = append(groups, g)
		}
		for i, x := range s.Values {
			if IsAbsent(x) {
				continue
			}
			g.n[i]++
			switch acc := &g.Values[i]; {
			case e.op == "count":
				*acc++
			case g.n[i] == 1, e.op == "min" && (x < *acc || *acc != *acc), e.op == "max" && (x > *acc || *acc != *acc):
				*acc = x
			case e.op == "sum", e.op == "avg":
				*acc += x
			}
		}
	}
	out := make([]Series, len(groups))
	for j, g := range groups {
		for i, n := range g.n {
			switch {
			case n == 0:
				g.Values[i] = Absent()
			case e.op == "avg":
				g.Values[i] /= float64(n)
			}
		}
		out[j] = g.Series
	}
	return Value{Series: out}, nil
}

// compute is a op b. keep is false where a comparison does not hold.
func compute(op string, a, b float64) (v float64, keep bool) {
	switch op {
	case "+":
		return a + b, true
	case "-":
		return a - b, true
	case "*":
		return a * b, true
	case "/":
		return a / b, true
	case "%":
		return math.Mod(a, b), true
	case "^":
		return math.Pow(a, b), true
	case "==":
		return a, a == b
	case "!=":
		return a, a != b
	case "<":
		return a, a < b
	case "<=":
		return a, a <= b
	case ">":
		return a, a > b
	}
	return a, a >= b
}

func (e *binaryExpr) comparison() bool { return precedence[e.op] == precedence["=="] }

// apply is a op b, Absent where a comparison filters it out. kept is what stays of
// the two where it holds.
func (e *binaryExpr) apply(a, b, kept float64) float64 {
	v, keep := compute(e.op, a, b)
	switch {
	case !e.comparison():
		return v
	case e.returnBool && keep:
		return 1
	case e.returnBool:
		return 0
	case keep:
		return kept
	}
	return Absent()
}

func (ev *evaluator) binary(e *binaryExpr) (Value, error) {
	left, err := ev.eval(e.left)
	if err != nil {
		return left, err
	}
	right, err := ev.eval(e.right)
	if err != nil {
		return right, err
	}
	dropName := !e.comparison() || e.returnBool
	switch {
	case right.Scalar:
		r := right.Series[0].Values
		return ev.mapped(left, func(k int, x float64) float64 { return e.apply(x, r[k], x) }, dropName)
	case left.Scalar:
		l := left.Series[0].Values
		return ev.mapped(right, func(k int, x float64) float64 { return e.apply(l[k], x, x) }, dropName)
	}
	return ev.match(e, left.Series, right.Series)
}

// match joins two vectors one to one.
func (ev *evaluator) match(e *binaryExpr, left, right []Series) (Value, error) {
	matched := func(name string) bool { return slices.Contains(e.labels, name) == e.on && (e.on || name != NameLabel) }
	if _, err := byLabels(left, matched); err != nil {
		return Value{}, err
	}
	rights, err := byLabels(right, matched)
	if err != nil {
		return Value{}, err
	}
	var out []Series
	for _, l := range left {
		r := rights[l.Labels.keep(matched).key()]
		if r == nil {
			continue
		}
		s := Series{Labels: l.Labels, Values: make([]float64, len(l.Values))}
		if e.on || len(e.labels) > 0 {
			s.Labels = l.Labels.keep(func(name string) bool { return matched(name) || name == NameLabel && !e.on })
		}
		if !e.comparison() || e.returnBool {
			s.Labels = s.Labels.withoutName()
		}
		for k := range s.Values {
			s.Values[k] = Absent()
			if present(l.Values[k]) && present(r.Values[k]) {
				s.Values[k] = e.apply(l.Values[k], r.Values[k], l.Values[k])
			}
		}
		out = append(out, s)
	}
	return Value{Series: out}, distinct(out)
}

// byLabels finds series by their matched labels, of which no two may have the same.
func byLabels(list []Series, matched func(string) bool) (map[string]*Series, error) {
	found := make(map[string]*Series, len(list))
	for i := range list {
		l := list[i].Labels.keep(matched)
		k := l.key()
		if found[k] != nil {
			return nil, fmt.Errorf("%w: several series on one side have the matched labels %v; vectors are matched one to one", ErrExecution, l)
		}
		found[k] = &list[i]
	}
	return found, nil
}
