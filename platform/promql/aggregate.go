package promql

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// aggregates are all aggregations, and what their parameter is.
var aggregates = map[string]valueKind{
	"sum": noKind, "avg": noKind, "min": noKind, "max": noKind, "count": noKind, "group": noKind, "stddev": noKind, "stdvar": noKind,
	"topk": scalarKind, "bottomk": scalarKind, "quantile": scalarKind, "count_values": textKind,
}

// What PromQL has beside, so that its refusal can name it.
var otherAggregates = []string{"limitk", "limit_ratio"}

// group is the series that are aggregated to one.
type group struct {
	labels Labels
	series []Series
}

// grouped puts series of the same labels together.
func (e *aggregateExpr) grouped(list []Series) []*group {
	var groups []*group
	index := map[string]*group{}
	for _, s := range list {
		labels := s.Labels.keep(func(name string) bool {
			if e.without {
				return name != NameLabel && !slices.Contains(e.labels, name)
			}
			return slices.Contains(e.labels, name)
		})
		k := labels.key()
		g := index[k]
		if g == nil {
			g = &group{labels: labels}
			index[k] = g
			groups = append(groups, g)
		}
		g.series = append(g.series, s)
	}
	return groups
}

func (ev *evaluator) aggregate(e *aggregateExpr) (Value, error) {
	v, err := ev.eval(e.arg)
	if err != nil {
		return v, err
	}
	var param []float64
	if aggregates[e.op] == scalarKind {
		p, err := ev.eval(e.param)
		if err != nil {
			return p, err
		}
		param = p.Series[0].Values
	}
	groups := e.grouped(v.Series)
	switch e.op {
	case "topk", "bottomk":
		return ev.extremes(groups, param, e.op == "topk"), nil
	case "count_values":
		return ev.countValues(groups, string(e.param.(textExpr)))
	}
	out := make([]Series, len(groups))
	here := make([]float64, 0, len(v.Series))
	for j, g := range groups {
		out[j] = Series{g.labels, make([]float64, ev.span.Steps())}
		for k := range out[j].Values {
			here = here[:0]
			for i := range g.series {
				if x := g.series[i].Values[k]; present(x) {
					here = append(here, x)
				}
			}
			switch {
			case len(here) == 0:
				out[j].Values[k] = Absent()
			case e.op == "quantile":
				out[j].Values[k] = quantile(param[k], here)
			default:
				out[j].Values[k] = reduce(e.op, here)
			}
		}
	}
	return Value{Series: out}, nil
}

// reduce is one value of several.
func reduce(op string, v []float64) float64 {
	acc := v[0]
	switch op {
	case "group":
		return 1
	case "count":
		return float64(len(v))
	case "stddev":
		return math.Sqrt(variance(v))
	case "stdvar":
		return variance(v)
	}
	for _, x := range v[1:] {
		switch {
		case op == "min" && (x < acc || acc != acc), op == "max" && (x > acc || acc != acc):
			acc = x
		case op == "sum", op == "avg":
			acc += x
		}
	}
	if op == "avg" {
		acc /= float64(len(v))
	}
	return acc
}

// variance is that of the values themselves (Welford 1962).
func variance(v []float64) float64 {
	mean, squares := 0.0, 0.0
	for i, x := range v {
		d := x - mean
		mean += d / float64(i+1)
		squares += d * (x - mean)
	}
	return squares / float64(len(v))
}

// quantile lies on the line between the two values next to it; it changes the order of v.
func quantile(q float64, v []float64) float64 {
	switch {
	case len(v) == 0 || q != q:
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(1)
	}
	slices.Sort(v) // NaN first
	rank := q * float64(len(v)-1)
	lower := math.Floor(rank)
	upper := min(lower+1, float64(len(v)-1))
	weight := rank - lower
	return v[int(lower)]*(1-weight) + v[int(upper)]*weight
}

// extremes keeps of each group the largest or smallest k values of an instant. NaN comes
// last.
func (ev *evaluator) extremes(groups []*group, k []float64, largest bool) Value {
	before := func(a, b float64) int {
		if a != a || b != b {
			return cmp.Compare(b, a)
		}
		if largest {
			a, b = b, a
		}
		return cmp.Compare(a, b)
	}
	out := Value{Ordered: ev.span.Steps() == 1}
	for _, g := range groups {
		values := make([][]float64, len(g.series))
		for i := range values {
			values[i] = make([]float64, ev.span.Steps())
		}
		order := make([]int, 0, len(g.series))
		for step := range ev.span.Steps() {
			order = order[:0]
			for i := range g.series {
				values[i][step] = Absent()
				if present(g.series[i].Values[step]) {
					order = append(order, i)
				}
			}
			slices.SortStableFunc(order, func(a, b int) int { return before(g.series[a].Values[step], g.series[b].Values[step]) })
			n := 0
			if k[step] >= 1 {
				n = int(min(k[step], float64(len(order))))
			}
			for _, i := range order[:n] {
				values[i][step] = g.series[i].Values[step]
			}
		}
		list := make([]Series, len(g.series))
		for i := range list {
			list[i] = Series{g.series[i].Labels, values[i]}
		}
		if out.Ordered {
			sortedLast := make([]Series, 0, len(list))
			for _, i := range order {
				sortedLast = append(sortedLast, list[i])
			}
			list = sortedLast
		}
		out.Series = append(out.Series, list...)
	}
	return out
}

// countValues counts how many series of a group have a value, for each value.
func (ev *evaluator) countValues(groups []*group, label string) (Value, error) {
	index := map[string]int{}
	var out Value
	for _, g := range groups {
		for _, s := range g.series {
			for k, x := range s.Values {
				if !present(x) {
					continue
				}
				l := g.labels.with(label, strconv.FormatFloat(x, 'f', -1, 64))
				i, ok := index[l.key()]
				if !ok {
					i = len(out.Series)
					if err := ev.room(i + 1); err != nil {
						return out, err
					}
					index[l.key()] = i
					values := make([]float64, ev.span.Steps())
					for n := range values {
						values[n] = Absent()
					}
					out.Series = append(out.Series, Series{l, values})
				}
				if v := &out.Series[i].Values[k]; present(*v) {
					*v++
				} else {
					*v = 1
				}
			}
		}
	}
	return out, nil
}

// sorted orders the series of an instant by their values; it does nothing to several
// instants.
func (ev *evaluator) sorted(v Value, down bool) Value {
	if ev.span.Steps() != 1 {
		return v
	}
	slices.SortStableFunc(v.Series, func(a, b Series) int {
		x, y := a.Values[0], b.Values[0]
		switch {
		case x != x || y != y: // NaN last
			return cmp.Compare(y, x)
		case down:
			return cmp.Compare(y, x)
		}
		return cmp.Compare(x, y)
	})
	v.Ordered = true
	return v
}

// aggregate reads an aggregation behind its name.
func (p *parser) aggregate(op string) (Expr, error) {
	e := &aggregateExpr{op: op}
	grouped, err := p.grouping(e)
	if err != nil {
		return nil, err
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	at := p.peek()
	if want := aggregates[op]; want != noKind {
		if e.param, err = p.expr(0); err != nil {
			return nil, err
		}
		if e.param.kind() != want {
			return nil, &Error{at.pos, fmt.Sprintf("%s takes %v here, not %v", op, want, e.param.kind())}
		}
		if name, ok := e.param.(textExpr); ok && !labelName(string(name)) {
			return nil, &Error{at.pos, fmt.Sprintf("%q is not the name of a label", string(name))}
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
		at = p.peek()
	}
	if e.arg, err = p.expr(0); err != nil {
		return nil, err
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	if e.arg.kind() != vectorKind {
		return nil, &Error{at.pos, fmt.Sprintf("%s takes %v, not %v", op, vectorKind, e.arg.kind())}
	}
	if !grouped {
		if _, err := p.grouping(e); err != nil {
			return nil, err
		}
	}
	return e, nil
}
