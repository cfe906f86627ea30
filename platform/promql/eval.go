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
	v, err := (&evaluator{ctx: ctx, src: src, span: span, whole: span, limits: limits}).eval(e)
	if err != nil {
		return Value{}, err
	}
	// What is nowhere there is not in the answer.
	v.Series = slices.DeleteFunc(v.Series, func(s Series) bool { return !slices.ContainsFunc(s.Values, present) })
	if !v.Ordered {
		slices.SortFunc(v.Series, func(a, b Series) int { return a.Labels.compare(b.Labels) })
	}
	return v, nil
}

func present(v float64) bool { return !IsAbsent(v) }

type evaluator struct {
	ctx    context.Context
	src    Source
	span   Span
	whole  Span // of the query, also inside of subqueries
	limits Limits
	looked int // samples since it was last asked whether the query is to end
}

func (ev *evaluator) eval(e Expr) (Value, error) {
	if err := ev.ctx.Err(); err != nil {
		return Value{}, fmt.Errorf("evaluate the query: %w", err)
	}
	switch e := e.(type) {
	case numberExpr:
		return ev.scalar(func(int64) float64 { return float64(e) }), nil
	case *Selector:
		return ev.read(e, "last_over_time", (*window).last)
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

// look counts samples that are looked at, and says when the query is to end.
func (ev *evaluator) look(samples int) error {
	if ev.looked += samples; ev.looked < 1<<16 {
		return nil
	}
	ev.looked = 0
	return ev.ctx.Err()
}

// instant is the time that step i of a selector or subquery ends at.
func (ev *evaluator) instant(i int, offset int64, fixed anchor) int64 {
	switch fixed.to {
	case "at":
		return fixed.at - offset
	case "start":
		return ev.whole.Start - offset
	case "end":
		return ev.whole.End - offset
	}
	return ev.span.At(i) - offset
}

// ranged evaluates f at every instant of each series of a range.
func (ev *evaluator) ranged(e Expr, op string, f func(w *window) float64) (Value, error) {
	if s, ok := e.(*subqueryExpr); ok {
		return ev.readSub(s, f)
	}
	return ev.read(e.(*Selector), op, f)
}

// cursor follows the samples of one series through the instants.
type cursor struct {
	samples []sample // that the next instants may need
	step    int      // the next instant
}

// advance evaluates f at the instants before the time.
func (ev *evaluator) advance(c *cursor, values []float64, before, length int64, instant func(i int) int64, f func(w *window) float64) error {
	for ; c.step < len(values); c.step++ {
		at := instant(c.step)
		if at >= before {
			return nil
		}
		drop := 0
		for drop < len(c.samples) && c.samples[drop].at <= at-length {
			drop++
		}
		c.samples = c.samples[drop:]
		values[c.step] = Absent()
		if len(c.samples) > 0 {
			if err := ev.look(len(c.samples)); err != nil {
				return err
			}
			values[c.step] = f(&window{c.samples, at - length, at, c.step})
		}
	}
	return nil
}

// read evaluates f at every instant of each selected series that has samples in the
// range before it, or in the look-back. Samples stream through: of each series only those
// of one range are held. op names f where summaries may do.
func (ev *evaluator) read(s *Selector, op string, f func(w *window) float64) (Value, error) {
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
	instant := func(i int) int64 { return ev.instant(i, s.Offset, s.fixed) }
	out := make([]Series, len(refs))
	for i := range refs {
		out[i] = Series{Labels: refs[i].Labels, Values: make([]float64, steps)}
	}
	all := out
	if step := ev.summaryStep(instant(0)-length, length, instant(0)); step > 0 && reducers[op] != nil && s.fixed.to == "" {
		done, err := ev.summarized(refs, op, step, length, instant, all)
		if err != nil {
			return Value{}, fmt.Errorf("read samples: %w", err)
		}
		var rest []Ref
		out = nil // those that are still to be read
		for i := range refs {
			if !done[i] {
				rest, out = append(rest, refs[i]), append(out, all[i])
			}
		}
		if refs = rest; len(refs) == 0 {
			return Value{Series: all}, nil
		}
	}
	cursors := make([]cursor, len(refs))
	var stopped error
	err = ev.src.Read(ev.ctx, refs, instant(0)-length+1, instant(steps-1), func(i int, at int64, v float64) bool {
		c := &cursors[i]
		if stopped = ev.advance(c, out[i].Values, at, length, instant, f); stopped != nil {
			return false
		}
		if s.Range == 0 {
			c.samples = append(c.samples[:0], sample{at, v})
		} else {
			c.samples = append(c.samples, sample{at, v})
		}
		stopped = ev.look(1)
		return stopped == nil
	})
	for i := range cursors {
		if err == nil && stopped == nil {
			stopped = ev.advance(&cursors[i], out[i].Values, math.MaxInt64, length, instant, f)
		}
	}
	if err == nil {
		err = stopped
	}
	if err != nil {
		return Value{}, fmt.Errorf("read samples: %w", err)
	}
	return Value{Series: all}, nil
}

// readSub evaluates f at every instant of each series of a subquery, whose own instants are
// multiples of its step.
func (ev *evaluator) readSub(s *subqueryExpr, f func(w *window) float64) (Value, error) {
	steps := ev.span.Steps()
	instant := func(i int) int64 { return ev.instant(i, s.offset, s.fixed) }
	from := instant(0) - s.length // which is not in the range
	inner := Span{Start: floorTo(from, s.step) + s.step, End: instant(steps - 1), Step: s.step}
	if m := ev.limits.Points; m > 0 && (inner.End-inner.Start)/s.step >= int64(m) {
		return Value{}, fmt.Errorf("%w: a subquery of more than %d points; give it a longer step", ErrLimit, m)
	}
	v, err := (&evaluator{ctx: ev.ctx, src: ev.src, span: inner, whole: ev.whole, limits: ev.limits}).eval(s.arg)
	if err != nil {
		return v, err
	}
	out := make([]Series, len(v.Series))
	for i := range v.Series {
		out[i] = Series{Labels: v.Series[i].Labels, Values: make([]float64, steps)}
		var c cursor
		for k, x := range v.Series[i].Values {
			if !present(x) {
				continue
			}
			if err := ev.advance(&c, out[i].Values, inner.At(k), s.length, instant, f); err != nil {
				return Value{}, err
			}
			c.samples = append(c.samples, sample{inner.At(k), x})
		}
		if err := ev.advance(&c, out[i].Values, math.MaxInt64, s.length, instant, f); err != nil {
			return Value{}, err
		}
	}
	return Value{Series: out}, nil
}

// floorTo is the multiple of step at or before t.
func floorTo(t, step int64) int64 {
	r := t % step
	if r < 0 {
		r += step
	}
	return t - r
}
