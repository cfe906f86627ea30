package promql

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// MaxQuery is the longest query that is read, in bytes.
const MaxQuery = 16 << 10

// maxDepth is how deep expressions may be nested.
const maxDepth = 64

// Expr is a query or a part of one.
type Expr interface {
	kind() valueKind
}

type valueKind uint8

const (
	scalarKind valueKind = iota
	vectorKind
	rangeKind
)

func (k valueKind) String() string { return [...]string{"a scalar", "an instant vector", "a range"}[k] }

// MatchOp is how a matcher compares.
type MatchOp string

// The kinds of matchers. Regular expressions are anchored at both ends.
const (
	Equal     MatchOp = "="
	NotEqual  MatchOp = "!="
	Regexp    MatchOp = "=~"
	NotRegexp MatchOp = "!~"
)

// Matcher is a condition on one label.
type Matcher struct {
	Name  string
	Op    MatchOp
	Value string
	re    *regexp.Regexp
}

// NewMatcher compiles a matcher.
func NewMatcher(name string, op MatchOp, value string) (Matcher, error) {
	m := Matcher{Name: name, Op: op, Value: value}
	if op == Regexp || op == NotRegexp {
		re, err := regexp.Compile("^(?s:" + value + ")$")
		if err != nil {
			return m, fmt.Errorf("%q is not a regular expression: %w", value, err)
		}
		m.re = re
	}
	return m, nil
}

// Matches reports whether the label's value satisfies the matcher; a label that is
// not there has the value "".
func (m *Matcher) Matches(value string) bool {
	switch m.Op {
	case Equal:
		return value == m.Value
	case NotEqual:
		return value != m.Value
	case Regexp:
		return m.re.MatchString(value)
	}
	return !m.re.MatchString(value)
}

// MatchesAll reports whether the labels satisfy all matchers.
func MatchesAll(matchers []Matcher, l Labels) bool {
	for i := range matchers {
		if !matchers[i].Matches(l.Get(matchers[i].Name)) {
			return false
		}
	}
	return true
}

// Selector selects series; with a Range, their samples of so long before each
// instant.
type Selector struct {
	Matchers []Matcher
	Range    int64 // ms; 0: the newest sample
	Offset   int64 // ms into the past
}

type numberExpr float64

type callExpr struct {
	name string
	args []Expr
}

type aggregateExpr struct {
	op      string
	without bool
	labels  []string
	arg     Expr
}

type negateExpr struct{ arg Expr }

type binaryExpr struct {
	op          string
	left, right Expr
	returnBool  bool
	on          bool
	labels      []string // of on or ignoring
}

func (s *Selector) kind() valueKind {
	if s.Range > 0 {
		return rangeKind
	}
	return vectorKind
}
func (numberExpr) kind() valueKind     { return scalarKind }
func (*aggregateExpr) kind() valueKind { return vectorKind }
func (e *negateExpr) kind() valueKind  { return e.arg.kind() }
func (e *callExpr) kind() valueKind    { return functions[e.name].result }
func (e *binaryExpr) kind() valueKind {
	if e.left.kind() == scalarKind && e.right.kind() == scalarKind {
		return scalarKind
	}
	return vectorKind
}

// function is what a function takes and gives.
type function struct {
	args   []valueKind
	result valueKind
	window func(w *window) float64 // of one range; Absent where it has no value
	point  func(v, arg float64) float64
}

var functions map[string]function

func init() { // functions that are called from what they hold
	overTime := func(f func(w *window) float64) function {
		return function{args: []valueKind{rangeKind}, result: vectorKind, window: f}
	}
	functions = map[string]function{
		"rate":            overTime((*window).rate),
		"increase":        overTime((*window).increase),
		"delta":           overTime((*window).delta),
		"avg_over_time":   overTime((*window).avg),
		"min_over_time":   overTime((*window).min),
		"max_over_time":   overTime((*window).max),
		"sum_over_time":   overTime((*window).sum),
		"count_over_time": overTime((*window).count),
		"last_over_time":  overTime((*window).last),
		"abs":             {args: []valueKind{vectorKind}, result: vectorKind, point: func(v, _ float64) float64 { return math.Abs(v) }},
		"clamp_min":       {args: []valueKind{vectorKind, scalarKind}, result: vectorKind, point: math.Max},
		"clamp_max":       {args: []valueKind{vectorKind, scalarKind}, result: vectorKind, point: math.Min},
		"time":            {result: scalarKind},
		"vector":          {args: []valueKind{scalarKind}, result: vectorKind},
	}
}

var aggregates = []string{"sum", "avg", "min", "max", "count"}

// What PromQL has beside, so that its refusal can name it.
var (
	otherAggregates = []string{"group", "stddev", "stdvar", "topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"}
	setOperators    = []string{"and", "or", "unless"}
)

// Parse reads a query. Its error is an *Error.
func Parse(query string) (Expr, error) {
	if len(query) > MaxQuery {
		return nil, &Error{MaxQuery, fmt.Sprintf("the query has more than %d bytes", MaxQuery)}
	}
	tokens, err := lex(query)
	if err != nil {
		return nil, err
	}
	p := parser{tokens: tokens}
	e, err := p.expr(0)
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != end {
		return nil, p.unexpected(t, "an operator or the end")
	}
	if e.kind() == rangeKind {
		return nil, &Error{0, "not supported: a range by itself; put it into a function such as avg_over_time"}
	}
	return e, nil
}

// ParseSelector reads a selector of instants, such as the API's match[].
func ParseSelector(query string) ([]Matcher, error) {
	e, err := Parse(query)
	if err != nil {
		return nil, err
	}
	s, ok := e.(*Selector)
	if !ok || s.Offset != 0 {
		return nil, &Error{0, `a selector of series is needed, such as yunchu_device_power_kw{device="ess-001"}`}
	}
	return s.Matchers, nil
}

type parser struct {
	tokens []token
	depth  int
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != end {
		p.tokens = p.tokens[1:]
	}
	return t
}

// take takes the next token when it is that symbol or word.
func (p *parser) take(s string) bool {
	if t := p.peek(); (t.kind == symbol || t.kind == word) && t.text == s {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(s string) error {
	if t := p.peek(); !p.take(s) {
		return p.unexpected(t, fmt.Sprintf("%q", s))
	}
	return nil
}

func (p *parser) unexpected(t token, want string) error {
	return &Error{t.pos, fmt.Sprintf("unexpected %v, want %s", t, want)}
}

func unsupported(t token, what string) error { return &Error{t.pos, "not supported: " + what} }

// Binary operators by how tightly they bind.
var precedence = map[string]int{
	"==": 3, "!=": 3, "<=": 3, "<": 3, ">=": 3, ">": 3,
	"+": 4, "-": 4,
	"*": 5, "/": 5, "%": 5,
	"^": 6,
}

const unaryPrecedence = 5 // -2^2 is -4

// expr reads an expression of operators that bind more tightly than least.
func (p *parser) expr(least int) (Expr, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, &Error{p.peek().pos, "the query is nested too deeply"}
	}
	defer func() { p.depth-- }()
	left, err := p.unary()
	for err == nil {
		t := p.peek()
		if t.kind == word && (slices.Contains(setOperators, t.text) || t.text == "atan2") {
			return nil, unsupported(t, "the operator "+t.text)
		}
		prec := precedence[t.text]
		if t.kind != symbol || prec <= least {
			return left, nil
		}
		p.next()
		left, err = p.binary(t, left, prec)
	}
	return nil, err
}

func (p *parser) binary(op token, left Expr, prec int) (Expr, error) {
	e := &binaryExpr{op: op.text, left: left}
	mark := p.peek()
	e.returnBool = p.take("bool")
	if e.returnBool && prec != precedence["=="] {
		return nil, &Error{mark.pos, "bool belongs to comparisons"}
	}
	matching := p.peek()
	if matching.kind == word && (matching.text == "on" || matching.text == "ignoring") {
		p.next()
		e.on = matching.text == "on"
		var err error
		if e.labels, err = p.labels(); err != nil {
			return nil, err
		}
	} else {
		matching = token{}
	}
	if t := p.peek(); t.kind == word && (t.text == "group_left" || t.text == "group_right") {
		return nil, unsupported(t, t.text+": vectors are matched one to one")
	}
	if op.text == "^" { // binds to the right
		prec--
	}
	var err error
	if e.right, err = p.expr(prec); err != nil {
		return nil, err
	}
	if left.kind() == rangeKind || e.right.kind() == rangeKind {
		return nil, &Error{op.pos, "an operator takes scalars and instant vectors, not ranges"}
	}
	scalars := e.kind() == scalarKind
	if scalars && prec == precedence["=="] && !e.returnBool {
		return nil, &Error{op.pos, "a comparison of scalars needs bool"}
	}
	if matching.text != "" && (left.kind() == scalarKind || e.right.kind() == scalarKind) {
		return nil, &Error{matching.pos, matching.text + " belongs between two vectors"}
	}
	return e, nil
}

func (p *parser) unary() (Expr, error) {
	t := p.peek()
	if t.kind == symbol && (t.text == "-" || t.text == "+") {
		p.next()
		arg, err := p.expr(unaryPrecedence)
		if err != nil {
			return nil, err
		}
		if arg.kind() == rangeKind {
			return nil, &Error{t.pos, "a sign belongs before scalars and instant vectors, not ranges"}
		}
		switch n, isNumber := arg.(numberExpr); {
		case t.text == "+":
			return arg, nil
		case isNumber:
			return -n, nil
		}
		return &negateExpr{arg}, nil
	}
	e, err := p.primary()
	if err != nil {
		return nil, err
	}
	return p.modifiers(e)
}

// modifiers reads what may follow: a range and an offset.
func (p *parser) modifiers(e Expr) (Expr, error) {
	s, isSelector := e.(*Selector)
	if t := p.peek(); p.take("[") {
		length := p.next()
		if length.kind != duration || length.num <= 0 {
			return nil, p.unexpected(length, "a duration such as 5m")
		}
		if colon := p.peek(); colon.text == ":" {
			return nil, unsupported(colon, "subqueries")
		}
		if err := p.expect("]"); err != nil {
			return nil, err
		}
		if !isSelector {
			return nil, &Error{t.pos, "a range belongs behind a selector"}
		}
		s.Range = int64(length.num)
	}
	for {
		t := p.peek()
		switch {
		case t.kind == symbol && t.text == "@":
			return nil, unsupported(t, "the modifier @")
		case t.kind == symbol && t.text == "[":
			return nil, p.unexpected(t, "an operator or the end")
		case t.kind == word && t.text == "offset":
			p.next()
			sign := 1.0
			if p.take("-") {
				sign = -1
			}
			length := p.next()
			if length.kind != duration {
				return nil, p.unexpected(length, "a duration such as 1h")
			}
			if !isSelector {
				return nil, &Error{t.pos, "offset belongs behind a selector"}
			}
			if s.Offset != 0 {
				return nil, &Error{t.pos, "offset stands here twice"}
			}
			s.Offset = int64(sign * length.num)
		default:
			return e, nil
		}
	}
}

func (p *parser) primary() (Expr, error) {
	t := p.next()
	switch {
	case t.kind == number:
		return numberExpr(t.num), nil
	case t.kind == text:
		return nil, unsupported(t, "strings outside of matchers")
	case t.kind == symbol && t.text == "(":
		e, err := p.expr(0)
		if err != nil {
			return nil, err
		}
		if s, ok := e.(*Selector); ok {
			e = &Selector{Matchers: s.Matchers, Range: s.Range, Offset: s.Offset}
		}
		return e, p.expect(")")
	case t.kind == symbol && t.text == "{":
		return p.selector(t, "")
	case t.kind == word:
		return p.named(t)
	}
	return nil, p.unexpected(t, "an expression")
}

// named reads what begins with a word: a function, an aggregation, a metric or a
// number that is written as one.
func (p *parser) named(t token) (Expr, error) {
	after := p.peek()
	call := after.kind == symbol && after.text == "("
	grouped := call || after.kind == word && (after.text == "by" || after.text == "without")
	switch lower := strings.ToLower(t.text); {
	case slices.Contains(aggregates, lower) && grouped:
		return p.aggregate(lower)
	case slices.Contains(otherAggregates, lower) && grouped:
		return nil, unsupported(t, "the aggregation "+lower+"; there are "+strings.Join(aggregates, ", "))
	case call:
		return p.call(t)
	case lower == "inf":
		return numberExpr(math.Inf(1)), nil
	case lower == "nan":
		return numberExpr(math.NaN()), nil
	}
	if slices.Contains(reserved, t.text) {
		return nil, p.unexpected(t, "an expression")
	}
	if p.take("{") {
		return p.selector(after, t.text)
	}
	return p.selected(t, []Matcher{{Name: NameLabel, Op: Equal, Value: t.text}})
}

var reserved = []string{"by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "and", "or", "unless", "atan2"}

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
	if e.arg, err = p.expr(0); err != nil {
		return nil, err
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	if e.arg.kind() != vectorKind {
		return nil, &Error{at.pos, fmt.Sprintf("%s takes an instant vector, not %v", op, e.arg.kind())}
	}
	if !grouped {
		if _, err := p.grouping(e); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// grouping reads by (…) or without (…), where they stand.
func (p *parser) grouping(e *aggregateExpr) (found bool, err error) {
	switch {
	case p.take("by"):
	case p.take("without"):
		e.without = true
	default:
		return false, nil
	}
	e.labels, err = p.labels()
	return true, err
}

// labels reads a list of names in parentheses.
func (p *parser) labels() (names []string, err error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	for !p.take(")") {
		t := p.next()
		if t.kind != word || strings.Contains(t.text, ":") {
			return nil, p.unexpected(t, "the name of a label")
		}
		names = append(names, t.text)
		if p.take(",") {
			continue
		}
		if err := p.expect(")"); err != nil {
			return nil, err
		}
		break
	}
	return names, nil
}

func (p *parser) call(t token) (Expr, error) {
	f, ok := functions[t.text]
	if !ok {
		return nil, unsupported(t, "the function "+t.text)
	}
	p.next() // (
	e := &callExpr{name: t.text}
	for !p.take(")") {
		at := p.peek()
		arg, err := p.expr(0)
		if err != nil {
			return nil, err
		}
		if i := len(e.args); i < len(f.args) && arg.kind() != f.args[i] {
			return nil, &Error{at.pos, fmt.Sprintf("%s takes %v here, not %v", t.text, f.args[i], arg.kind())}
		}
		e.args = append(e.args, arg)
		if p.take(",") {
			continue
		}
		if err := p.expect(")"); err != nil {
			return nil, err
		}
		break
	}
	if len(e.args) != len(f.args) {
		return nil, &Error{t.pos, fmt.Sprintf("%s takes %d arguments, not %d", t.text, len(f.args), len(e.args))}
	}
	return e, nil
}

// selector reads matchers up to the closing brace.
func (p *parser) selector(open token, name string) (Expr, error) {
	var list []Matcher
	if name != "" {
		list = append(list, Matcher{Name: NameLabel, Op: Equal, Value: name})
	}
	for !p.take("}") {
		label := p.next()
		if label.kind == text {
			return nil, unsupported(label, "quoted names")
		}
		if label.kind != word || strings.Contains(label.text, ":") {
			return nil, p.unexpected(label, "the name of a label")
		}
		op := p.next()
		switch MatchOp(op.text) {
		case Equal, NotEqual, Regexp, NotRegexp:
		default:
			return nil, p.unexpected(op, "=, !=, =~ or !~")
		}
		value := p.next()
		if value.kind != text {
			return nil, p.unexpected(value, "a string")
		}
		m, err := NewMatcher(label.text, MatchOp(op.text), value.text)
		if err != nil {
			return nil, &Error{value.pos, err.Error()}
		}
		if name != "" && m.Name == NameLabel {
			return nil, &Error{label.pos, "the metric is named twice"}
		}
		list = append(list, m)
		if p.take(",") {
			continue
		}
		if err := p.expect("}"); err != nil {
			return nil, err
		}
		break
	}
	return p.selected(open, list)
}

// selected is a selector that does not match simply everything.
func (p *parser) selected(at token, list []Matcher) (Expr, error) {
	for i := range list {
		if !list[i].Matches("") {
			return &Selector{Matchers: list}, nil
		}
	}
	return nil, &Error{at.pos, "a selector needs a matcher that the empty string does not satisfy"}
}
