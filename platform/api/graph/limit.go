package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
)

// Errors of a document that is refused before it is looked at any closer.
var (
	// ErrSyntax: the text is not GraphQL.
	ErrSyntax = errors.New("not a GraphQL document")
	// ErrLimit: the document, or what it asks for, is beyond a limit.
	ErrLimit = errors.New("beyond the limits of a query")
)

// Limits bound what one request may ask for. The form of a document is judged
// before it is checked against the schema, because that check is itself dear for
// documents that were made to be. A fragment counts wherever it is spread, so that
// nothing grows by being spread twice, and all operations of a document count
// together.
type Limits struct {
	Tokens     int // words and signs of the document
	Operations int // in the document, of which one is executed
	Fields     int // with fragments spread
	Aliases    int // with fragments spread
	Depth      int // fields within fields
	Meta       int // the same within __schema and __type
	Cost       int // of the operation; see Cost
}

// DefaultLimits let the portal's queries and those of the usual tools through.
var DefaultLimits = Limits{
	Tokens: 4000, Operations: 10, Fields: 1000, Aliases: 30, Depth: 8, Meta: 16, Cost: 100_000,
}

// Parse reads a document and judges its form. The errors are ErrSyntax, which wraps
// a *gqlerror.Error with the position, and ErrLimit.
func (l Limits) Parse(query string) (*ast.QueryDocument, error) {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: query}, l.Tokens)
	if tooMany := l.tokens(err); tooMany != nil {
		return nil, tooMany
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if n := len(doc.Operations); n > l.Operations {
		return nil, l.beyond(n, "operations", l.Operations)
	}
	f := former{limits: l, doc: doc, known: map[string]shape{}}
	var all shape
	for _, op := range doc.Operations {
		all.add(f.set(op.SelectionSet))
	}
	for _, frag := range doc.Fragments { // those that nobody spreads are checked too
		s := f.fragment(frag.Name)
		all.add(shape{fields: s.fields, aliases: s.aliases})
	}
	if f.err != nil {
		return nil, f.err
	}
	switch {
	case all.fields > l.Fields:
		return nil, l.beyond(all.fields, "fields", l.Fields)
	case all.aliases > l.Aliases:
		return nil, l.beyond(all.aliases, "aliases", l.Aliases)
	case all.depth > l.Depth:
		return nil, l.beyond(all.depth, "fields within each other", l.Depth)
	case all.meta > l.Meta:
		return nil, l.beyond(all.meta, "fields of the schema within each other", l.Meta)
	}
	return doc, nil
}

// tokens is ErrLimit when the parser has stopped at the limit, which it says in
// words only.
func (l Limits) tokens(err error) error {
	if g, ok := errors.AsType[*gqlerror.Error](err); ok && g.Message == fmt.Sprintf("exceeded token limit of %d", l.Tokens) {
		return fmt.Errorf("%w: more than %d words and signs", ErrLimit, l.Tokens)
	}
	return nil
}

func (Limits) beyond(n int, what string, limit int) error {
	if n >= math.MaxInt32 {
		return fmt.Errorf("%w: far more than %d %s", ErrLimit, limit, what)
	}
	return fmt.Errorf("%w: %d %s, at most %d", ErrLimit, n, what, limit)
}

// shape is what a selection comes to with its fragments spread.
type shape struct {
	fields, aliases, depth, meta int
}

func (s *shape) add(t shape) {
	s.fields, s.aliases = plus(s.fields, t.fields), plus(s.aliases, t.aliases)
	s.depth, s.meta = max(s.depth, t.depth), max(s.meta, t.meta)
}

// plus and times do not go beyond math.MaxInt32.
func plus(a, b int) int { return min(a+b, math.MaxInt32) }

func times(a, b int) int { return int(min(int64(a)*int64(b), math.MaxInt32)) }

// former finds shapes, each fragment's once.
type former struct {
	limits Limits
	doc    *ast.QueryDocument
	known  map[string]shape
	open   []string // fragments that are being looked at
	err    error
}

func (f *former) set(set ast.SelectionSet) (s shape) {
	for _, sel := range set {
		switch sel := sel.(type) {
		case *ast.Field:
			inner := f.set(sel.SelectionSet)
			inner.fields = plus(inner.fields, 1)
			if sel.Alias != sel.Name {
				inner.aliases = plus(inner.aliases, 1)
			}
			inner.depth++
			if sel.Name == "__schema" || sel.Name == "__type" {
				inner.meta, inner.depth = max(inner.meta, inner.depth), 1
			}
			s.add(inner)
		case *ast.InlineFragment:
			s.add(f.set(sel.SelectionSet))
		case *ast.FragmentSpread:
			s.add(f.fragment(sel.Name))
		}
	}
	return s
}

// fragment is nothing where there is no such fragment, which is for the schema's
// check to say.
func (f *former) fragment(name string) shape {
	if s, done := f.known[name]; done {
		return s
	}
	if slices.Contains(f.open, name) {
		f.err = fmt.Errorf("%w: the fragment %s spreads itself", ErrLimit, shown(name))
		return shape{}
	}
	def := f.doc.Fragments.ForName(name)
	if def == nil {
		return shape{}
	}
	f.open = append(f.open, name)
	s := f.set(def.SelectionSet)
	f.open = f.open[:len(f.open)-1]
	f.known[name] = s
	return s
}

// Cost is what an operation of a checked document comes to: each field costs its
// weight (@cost, 1 without), and what is selected of a list costs as often as
// @listSize says.
func Cost(schema *ast.Schema, op *ast.OperationDefinition, vars map[string]any) int {
	return coster{schema, vars}.set(op.SelectionSet, nil)
}

type coster struct {
	schema *ast.Schema
	vars   map[string]any
}

// size is how many elements a list of an answer has.
type size struct {
	field string
	n     int
}

func (c coster) set(set ast.SelectionSet, of *size) (cost int) {
	for _, sel := range set {
		switch sel := sel.(type) {
		case *ast.Field:
			cost = plus(cost, c.field(sel, of))
		case *ast.InlineFragment:
			cost = plus(cost, c.set(sel.SelectionSet, of))
		case *ast.FragmentSpread:
			if sel.Definition != nil {
				cost = plus(cost, c.set(sel.Definition.SelectionSet, of))
			}
		}
	}
	return cost
}

func (c coster) field(f *ast.Field, of *size) int {
	if f.Definition == nil {
		return 1
	}
	weight, n := 1, 1
	if d := f.Definition.Directives.ForName("cost"); d != nil {
		weight = number(d.ArgumentMap(nil)["weight"], 1)
	}
	var inner *size
	list := f.Definition.Type.Elem != nil
	switch d := f.Definition.Directives.ForName("listSize"); {
	case d != nil:
		args := d.ArgumentMap(nil)
		size, by := size{n: number(args["assumed"], 10)}, ""
		if by, _ = args["by"].(string); by != "" {
			size.n = max(0, c.argument(f, by))
		}
		if size.field, _ = args["of"].(string); size.field != "" {
			inner = &size
		} else {
			n = size.n
		}
	case list && of != nil && of.field == f.Name:
		n = of.n
	case list:
		n = usual(f)
	}
	if len(f.SelectionSet) == 0 {
		return plus(weight, n-1)
	}
	return plus(weight, times(n, c.set(f.SelectionSet, inner)))
}

// usual is how many elements a list of the schema's description has, which carries
// no directives.
func usual(f *ast.Field) int {
	switch f.Name {
	case "types":
		return 60
	case "fields", "enumValues", "directives":
		return 10
	}
	return 2
}

// argument is a whole number that a field is given, or its default; what is no
// number is dear.
func (c coster) argument(f *ast.Field, name string) int {
	v := f.Definition.Arguments.ForName(name).DefaultValue
	if a := f.Arguments.ForName(name); a != nil {
		if a.Value.Kind != ast.Variable {
			v = a.Value
		} else if given, there := c.vars[a.Value.Raw]; there {
			return number(given, math.MaxInt32)
		}
	}
	if v == nil {
		return math.MaxInt32
	}
	return number(json.Number(v.Raw), math.MaxInt32)
}

func number(v any, otherwise int) int {
	if n, err := UnmarshalInt(v); err == nil && v != nil {
		return n
	}
	return otherwise
}

// ExtensionName implements graphql.HandlerExtension.
func (Limits) ExtensionName() string { return "Limits" }

// Validate implements graphql.HandlerExtension.
func (Limits) Validate(graphql.ExecutableSchema) error { return nil }

// limiter holds an executor's operations to limits.
type limiter struct {
	Limits
	schema *ast.Schema
	seen   graphql.Cache[*ast.QueryDocument]
}

// Limit returns what holds the operations of an executor to l. Documents in the
// executor's cache were judged before they came there.
func Limit(l Limits, schema *ast.Schema, cache graphql.Cache[*ast.QueryDocument]) graphql.HandlerExtension {
	return &limiter{l, schema, cache}
}

// MutateOperationParameters implements graphql.OperationParameterMutator.
func (l *limiter) MutateOperationParameters(ctx context.Context, p *graphql.RawParams) *gqlerror.Error {
	if _, known := l.seen.Get(ctx, p.Query); known {
		return nil
	}
	if _, err := l.Parse(p.Query); err != nil {
		return refused(err)
	}
	return nil
}

// MutateOperationContext implements graphql.OperationContextMutator.
func (l *limiter) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	op.DisableIntrospection = false // who may ask at all may ask for the schema, as for /openapi.json
	if cost := Cost(l.schema, op.Operation, op.Variables); cost > l.Cost {
		return refused(fmt.Errorf("%w: it costs %d, at most %d", ErrLimit, cost, l.Cost))
	}
	return nil
}

// refused is the error as gqlgen's transports tell apart what was not executed.
func refused(err error) *gqlerror.Error {
	out := &gqlerror.Error{Err: err, Message: err.Error()}
	code := errcode.ValidationFailed
	if g, ok := errors.AsType[*gqlerror.Error](err); ok {
		code = errcode.ParseFailed
		out.Message, out.Locations = g.Message, g.Locations
	}
	errcode.Set(out, code)
	return out
}
