package promql

import (
	"fmt"
	"math"
	"slices"
)

// Binary operators by how tightly they bind.
var precedence = map[string]int{
	"or":  1,
	"and": 2, "unless": 2,
	"==": 3, "!=": 3, "<=": 3, "<": 3, ">=": 3, ">": 3,
	"+": 4, "-": 4,
	"*": 5, "/": 5, "%": 5, "atan2": 5,
	"^": 6,
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
	case "atan2":
		return math.Atan2(a, b), true
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
func (e *binaryExpr) set() bool        { return precedence[e.op] <= precedence["and"] }

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
	case e.set():
		return e.combine(left.Series, right.Series, ev.span.Steps()), nil
	case right.Scalar:
		r := right.Series[0].Values
		return ev.mapped(left, func(k int, x float64) float64 { return e.apply(x, r[k], x) }, dropName)
	case left.Scalar:
		l := left.Series[0].Values
		return ev.mapped(right, func(k int, x float64) float64 { return e.apply(l[k], x, x) }, dropName)
	case e.many != "":
		return e.matchMany(left.Series, right.Series)
	}
	return e.match(left.Series, right.Series)
}

// matched reports whether a label is one of those that must be equal.
func (e *binaryExpr) matched(name string) bool {
	return slices.Contains(e.labels, name) == e.on && (e.on || name != NameLabel)
}

// combine is and, or, unless: series of one side, where the other has one of the same
// matched labels, or has none.
func (e *binaryExpr) combine(left, right []Series, steps int) Value {
	there := func(list []Series) map[string][]bool {
		found := map[string][]bool{}
		for i := range list {
			k := list[i].Labels.keep(e.matched).key()
			if found[k] == nil {
				found[k] = make([]bool, steps)
			}
			for n, x := range list[i].Values {
				found[k][n] = found[k][n] || present(x)
			}
		}
		return found
	}
	pick := func(list []Series, other map[string][]bool, where bool) (out []Series) {
		for _, s := range list {
			o := other[s.Labels.keep(e.matched).key()]
			values := make([]float64, steps)
			for n, x := range s.Values {
				if values[n] = x; (o != nil && o[n]) != where {
					values[n] = Absent()
				}
			}
			out = append(out, Series{s.Labels, values})
		}
		return out
	}
	switch e.op {
	case "and":
		return Value{Series: pick(left, there(right), true)}
	case "unless":
		return Value{Series: pick(left, there(right), false)}
	}
	// The same series may be on both sides, at different instants.
	out := slices.Clone(left)
	index := map[string]int{}
	for i := range out {
		index[out[i].Labels.key()] = i
	}
	for _, s := range pick(right, there(left), false) {
		i, ok := index[s.Labels.key()]
		if !ok {
			out = append(out, s)
			continue
		}
		values := slices.Clone(out[i].Values)
		for n, x := range s.Values {
			if present(x) {
				values[n] = x
			}
		}
		out[i].Values = values
	}
	return Value{Series: out}
}

// match joins two vectors one to one.
func (e *binaryExpr) match(left, right []Series) (Value, error) {
	if _, err := e.byLabels(left); err != nil {
		return Value{}, err
	}
	rights, err := e.byLabels(right)
	if err != nil {
		return Value{}, err
	}
	var out []Series
	for _, l := range left {
		r := rights[l.Labels.keep(e.matched).key()]
		if r == nil {
			continue
		}
		labels := l.Labels
		if e.on || len(e.labels) > 0 {
			labels = l.Labels.keep(func(name string) bool { return e.matched(name) || name == NameLabel && !e.on })
		}
		if !e.comparison() || e.returnBool {
			labels = labels.withoutName()
		}
		out = append(out, Series{labels, e.applied(l.Values, r.Values)})
	}
	return Value{Series: out}, distinct(out)
}

// applied is the operator at each instant.
func (e *binaryExpr) applied(left, right []float64) []float64 {
	values := make([]float64, len(left))
	for k := range values {
		values[k] = Absent()
		if present(left[k]) && present(right[k]) {
			values[k] = e.apply(left[k], right[k], left[k])
		}
	}
	return values
}

// matchMany joins each series of the side of many with the one that it matches, whose
// labels it may get.
func (e *binaryExpr) matchMany(left, right []Series) (Value, error) {
	many, one := left, right
	if e.many == "right" {
		many, one = right, left
	}
	ones, err := e.byLabels(one)
	if err != nil {
		return Value{}, err
	}
	var out []Series
	for _, m := range many {
		o := ones[m.Labels.keep(e.matched).key()]
		if o == nil {
			continue
		}
		labels := m.Labels
		if !e.comparison() || e.returnBool {
			labels = labels.withoutName()
		}
		for _, name := range e.include {
			labels = labels.with(name, o.Labels.Get(name))
		}
		l, r := m.Values, o.Values
		if e.many == "right" {
			l, r = r, l
		}
		out = append(out, Series{labels, e.applied(l, r)})
	}
	return Value{Series: out}, distinct(out)
}

// byLabels finds series by their matched labels, of which no two may have the same.
func (e *binaryExpr) byLabels(list []Series) (map[string]*Series, error) {
	found := make(map[string]*Series, len(list))
	for i := range list {
		l := list[i].Labels.keep(e.matched)
		k := l.key()
		if found[k] != nil {
			return nil, fmt.Errorf("%w: several series have the matched labels %v, on a side of which one is matched; group_left or group_right says that the left or right side may have many",
				ErrExecution, l)
		}
		found[k] = &list[i]
	}
	return found, nil
}

// binary reads what follows a binary operator.
func (p *parser) binary(op token, left Expr, prec int) (Expr, error) {
	e := &binaryExpr{op: op.text, left: left}
	mark := p.peek()
	e.returnBool = p.take("bool")
	if e.returnBool && prec != precedence["=="] {
		return nil, &Error{mark.pos, "bool belongs to comparisons"}
	}
	matching := p.peek()
	if err := p.matching(e); err != nil {
		return nil, err
	}
	if op.text == "^" { // binds to the right
		prec--
	}
	var err error
	if e.right, err = p.expr(prec); err != nil {
		return nil, err
	}
	for _, side := range []Expr{left, e.right} {
		if k := side.kind(); k == rangeKind || k == textKind {
			return nil, &Error{op.pos, fmt.Sprintf("an operator takes scalars and instant vectors, not %vs", k.plain())}
		}
	}
	anyScalar := left.kind() == scalarKind || e.right.kind() == scalarKind
	switch {
	case e.kind() == scalarKind && e.comparison() && !e.returnBool:
		return nil, &Error{op.pos, "a comparison of scalars needs bool"}
	case e.set() && anyScalar:
		return nil, &Error{op.pos, op.text + " takes instant vectors, not scalars"}
	case e.set() && e.many != "":
		return nil, &Error{matching.pos, "group_left and group_right do not belong to " + op.text}
	case e.matchedBy != "" && anyScalar:
		return nil, &Error{matching.pos, e.matchedBy + " belongs between two vectors"}
	}
	return e, nil
}

// matching reads on, ignoring, group_left and group_right.
func (p *parser) matching(e *binaryExpr) (err error) {
	t := p.peek()
	if t.kind == word && (t.text == "on" || t.text == "ignoring") {
		p.next()
		e.matchedBy, e.on = t.text, t.text == "on"
		if e.labels, err = p.labels(); err != nil {
			return err
		}
	}
	t = p.peek()
	if t.kind != word || t.text != "group_left" && t.text != "group_right" {
		return nil
	}
	if e.matchedBy == "" {
		return &Error{t.pos, t.text + " belongs behind on or ignoring"}
	}
	p.next()
	e.many = t.text[len("group_"):]
	if after := p.peek(); after.kind == symbol && after.text == "(" {
		if e.include, err = p.labels(); err != nil {
			return err
		}
	}
	for _, name := range e.include {
		if e.on && slices.Contains(e.labels, name) {
			return &Error{t.pos, fmt.Sprintf("the label %s stands both in on and in %s", name, t.text)}
		}
	}
	return nil
}
