package promql

import (
	"fmt"
	"maps"
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
	textKind
	noKind
)

func (k valueKind) String() string {
	return [...]string{"a scalar", "an instant vector", "a range", "a string", "nothing"}[k]
}

// plain is the kind without its article.
func (k valueKind) plain() string {
	_, name, _ := strings.Cut(k.String(), " ")
	return name
}

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
		var err error
		if m.re, err = anchored(value); err != nil {
			return m, err
		}
	}
	return m, nil
}

// anchored compiles a regular expression that matches whole values.
func anchored(text string) (*regexp.Regexp, error) {
	re, err := regexp.Compile("^(?s:" + text + ")$")
	if err != nil {
		return nil, fmt.Errorf("%q is not a regular expression: %w", text, err)
	}
	return re, nil
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
	fixed    anchor
}

// anchor is the instant that stands behind @, for all instants of the query.
type anchor struct {
	to string // "at", "start" or "end" of the query; "": not fixed
	at int64  // ms UTC
}

// subqueryExpr are the values of an expression at multiples of a step.
type subqueryExpr struct {
	arg          Expr
	length, step int64 // ms
	offset       int64
	fixed        anchor
}

type numberExpr float64

type textExpr string

type callExpr struct {
	name string
	args []Expr
}

type aggregateExpr struct {
	op      string
	without bool
	labels  []string
	param   Expr // nil: it takes none
	arg     Expr
}

type negateExpr struct{ arg Expr }

type binaryExpr struct {
	op          string
	left, right Expr
	returnBool  bool
	matchedBy   string // on, ignoring or nothing
	on          bool
	labels      []string // of on or ignoring
	many        string   // left or right: which side may have many, for one of the other
	include     []string // labels that the many get of the one
}

func (s *Selector) kind() valueKind {
	if s.Range > 0 {
		return rangeKind
	}
	return vectorKind
}
func (*subqueryExpr) kind() valueKind  { return rangeKind }
func (numberExpr) kind() valueKind     { return scalarKind }
func (textExpr) kind() valueKind       { return textKind }
func (*aggregateExpr) kind() valueKind { return vectorKind }
func (e *negateExpr) kind() valueKind  { return e.arg.kind() }
func (e *callExpr) kind() valueKind    { return functions[e.name].result }
func (e *binaryExpr) kind() valueKind {
	if e.left.kind() == scalarKind && e.right.kind() == scalarKind {
		return scalarKind
	}
	return vectorKind
}

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
	if e.kind() == textKind {
		return nil, &Error{0, "not supported: a string by itself"}
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
	if !ok || s.Offset != 0 || s.fixed.to != "" {
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
		prec := precedence[t.text]
		if t.kind != symbol && t.kind != word || prec <= least {
			return left, nil
		}
		p.next()
		left, err = p.binary(t, left, prec)
	}
	return nil, err
}

func (p *parser) unary() (Expr, error) {
	t := p.peek()
	if t.kind == symbol && (t.text == "-" || t.text == "+") {
		p.next()
		arg, err := p.expr(unaryPrecedence)
		if err != nil {
			return nil, err
		}
		if k := arg.kind(); k == rangeKind || k == textKind {
			return nil, &Error{t.pos, fmt.Sprintf("a sign belongs before scalars and instant vectors, not %vs", k.plain())}
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

// modifiers reads what may follow: ranges, offset and @.
func (p *parser) modifiers(e Expr) (Expr, error) {
	for {
		t := p.peek()
		var err error
		switch {
		case t.kind == symbol && t.text == "[":
			e, err = p.ranged(e)
		case t.kind == symbol && t.text == "@":
			err = p.at(e)
		case t.kind == word && t.text == "offset":
			err = p.offset(e)
		default:
			return e, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// ranged reads the range of a selector, or that of a subquery.
func (p *parser) ranged(e Expr) (Expr, error) {
	t := p.next()
	length := p.next()
	if length.kind != duration || length.num <= 0 {
		return nil, p.unexpected(length, "a duration such as 5m")
	}
	if p.take(":") {
		sub := &subqueryExpr{arg: e, length: int64(length.num), step: subqueryStep}
		if step := p.peek(); step.kind == duration {
			p.next()
			if sub.step = int64(step.num); sub.step <= 0 {
				return nil, &Error{step.pos, "the step of a subquery is longer than nothing"}
			}
		}
		if k := e.kind(); k != vectorKind {
			return nil, &Error{t.pos, fmt.Sprintf("a subquery takes %v, not %v", vectorKind, k)}
		}
		return sub, p.expect("]")
	}
	if err := p.expect("]"); err != nil {
		return nil, err
	}
	s, ok := e.(*Selector)
	if !ok || s.Range > 0 || s.Offset != 0 || s.fixed.to != "" {
		return nil, &Error{t.pos, "a range belongs behind a selector"}
	}
	s.Range = int64(length.num)
	return s, nil
}

// subqueryStep is the step of a subquery that names none, in ms.
const subqueryStep = 60_000

// modified are the offset and the anchor of what may have them.
func modified(e Expr) (*int64, *anchor) {
	switch e := e.(type) {
	case *Selector:
		return &e.Offset, &e.fixed
	case *subqueryExpr:
		return &e.offset, &e.fixed
	}
	return nil, nil
}

func (p *parser) offset(e Expr) error {
	t := p.next()
	sign := 1.0
	if p.take("-") {
		sign = -1
	}
	length := p.next()
	if length.kind != duration {
		return p.unexpected(length, "a duration such as 1h")
	}
	offset, _ := modified(e)
	if offset == nil {
		return &Error{t.pos, "offset belongs behind a selector"}
	}
	if *offset != 0 {
		return &Error{t.pos, "offset stands here twice"}
	}
	*offset = int64(sign * length.num)
	return nil
}

// at reads the instant behind @: seconds since 1970, start() or end().
func (p *parser) at(e Expr) error {
	t := p.next()
	_, fixed := modified(e)
	if fixed == nil {
		return &Error{t.pos, "@ belongs behind a selector"}
	}
	if fixed.to != "" {
		return &Error{t.pos, "@ stands here twice"}
	}
	sign := 1.0
	if p.take("-") {
		sign = -1
	}
	switch when := p.next(); {
	case when.kind == number && math.Abs(when.num) <= 1e11:
		*fixed = anchor{"at", int64(math.Round(sign * when.num * 1000))}
	case when.kind == word && (when.text == "start" || when.text == "end") && sign > 0:
		*fixed = anchor{to: when.text}
		if err := p.expect("("); err != nil {
			return err
		}
		return p.expect(")")
	default:
		return p.unexpected(when, "seconds since 1970, start() or end()")
	}
	return nil
}

func (p *parser) primary() (Expr, error) {
	t := p.next()
	switch {
	case t.kind == number:
		return numberExpr(t.num), nil
	case t.kind == text:
		return textExpr(t.text), nil
	case t.kind == symbol && t.text == "(":
		e, err := p.expr(0)
		if err != nil {
			return nil, err
		}
		if s, ok := e.(*Selector); ok {
			inner := *s
			e = &inner
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
	lower := strings.ToLower(t.text)
	_, isAggregate := aggregates[lower]
	switch {
	case isAggregate && grouped:
		return p.aggregate(lower)
	case slices.Contains(otherAggregates, lower) && grouped:
		return nil, unsupported(t, "the aggregation "+lower+"; there are "+strings.Join(slices.Sorted(maps.Keys(aggregates)), ", "))
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
		if _, most := f.arity(); len(e.args) < most && arg.kind() != f.arg(len(e.args)) {
			return nil, &Error{at.pos, fmt.Sprintf("%s takes %v here, not %v", t.text, f.arg(len(e.args)), arg.kind())}
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
	switch least, most := f.arity(); {
	case len(e.args) >= least && len(e.args) <= most:
	case least == most:
		return nil, &Error{t.pos, fmt.Sprintf("%s takes %d arguments, not %d", t.text, least, len(e.args))}
	case len(e.args) < least:
		return nil, &Error{t.pos, fmt.Sprintf("%s takes at least %d arguments, not %d", t.text, least, len(e.args))}
	default:
		return nil, &Error{t.pos, fmt.Sprintf("%s takes at most %d arguments, not %d", t.text, most, len(e.args))}
	}
	return e, p.labelled(t, e)
}

// labelled checks what a function is told of labels.
func (p *parser) labelled(t token, e *callExpr) error {
	var names []Expr
	switch e.name {
	case "label_replace":
		names = e.args[1:2]
		if _, err := anchored(string(e.args[4].(textExpr))); err != nil {
			return &Error{t.pos, err.Error()}
		}
	case "label_join":
		names = append(slices.Clone(e.args[1:2]), e.args[3:]...)
	}
	for _, name := range names {
		if text := string(name.(textExpr)); !labelName(text) {
			return &Error{t.pos, fmt.Sprintf("%q is not the name of a label", text)}
		}
	}
	return nil
}

// labelName reports whether a label may be called so.
func labelName(s string) bool {
	return s != "" && !digit(s[0]) && wordLength(s) == len(s) && !strings.Contains(s, ":")
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
