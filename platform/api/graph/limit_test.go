package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/introspection"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"yunchu/platform/api/graph"
)

func schema() *ast.Schema { return graph.NewExecutableSchema(graph.Config{}).Schema() }

// TestEveryListHasASize: a list that nothing bounds would make queries look cheap.
func TestEveryListHasASize(t *testing.T) {
	s := schema()
	sized := map[string]bool{} // the fields that another field's @listSize speaks of
	for _, def := range s.Types {
		for _, f := range def.Fields {
			d := f.Directives.ForName("listSize")
			if d == nil {
				continue
			}
			args := d.ArgumentMap(nil)
			if by, given := args["by"].(string); given && f.Arguments.ForName(by) == nil {
				t.Errorf("%s.%s has no argument %s", def.Name, f.Name, by)
			}
			if of, given := args["of"].(string); given {
				sized[f.Type.Name()+"."+of] = true
			}
		}
	}
	for _, def := range s.Types {
		if def.BuiltIn || def.Kind != ast.Object {
			continue
		}
		for _, f := range def.Fields {
			if f.Type.Elem == nil || strings.HasPrefix(f.Name, "__") {
				continue
			}
			if f.Directives.ForName("listSize") == nil && !sized[def.Name+"."+f.Name] {
				t.Errorf("the list %s.%s has no @listSize", def.Name, f.Name)
			}
		}
	}
	// What returns a page must say how long it is.
	for _, def := range s.Types {
		for _, f := range def.Fields {
			for _, inner := range s.Types[f.Type.Name()].Fields {
				if !sized[f.Type.Name()+"."+inner.Name] {
					continue
				}
				if d := f.Directives.ForName("listSize"); d == nil || d.ArgumentMap(nil)["of"] != inner.Name {
					t.Errorf("%s.%s returns a page and does not say how long %s is", def.Name, f.Name, inner.Name)
				}
			}
		}
	}
}

// TestCost compares with costs that are counted by hand.
func TestCost(t *testing.T) {
	s := schema()
	for _, c := range []struct {
		query string
		vars  map[string]any
		want  int
	}{
		{`{ fleet { time powerKw } }`, nil, 500 + 2},
		{`{ device(id: "x") { id kind } }`, nil, 1 + 2},
		{`{ devices(first: 7) { items { id kind } next } }`, nil, 10 + (1 + 7*2) + 1},
		{`{ devices { next } }`, nil, 10 + 1},
		{`query($n: Int!) { devices(first: $n) { items { id } } }`, map[string]any{"n": json.Number("50")}, 10 + 1 + 50},
		{`query($n: Int! = 50) { devices(first: $n) { items { id } } }`, map[string]any{"n": int64(50)}, 10 + 1 + 50},
		{`{ devices(first: 3) { items { history(limit: 4) { items { soc power } } } } }`, nil, 10 + 1 + 3*(50+1+4*2)},
		{`{ devices(first: 3) { ...a } } fragment a on DevicePage { items { ...b } } fragment b on Device { id ... on Device { kind } }`, nil, 10 + 1 + 3*2},
		{`{ events(first: 9) { eventId } }`, nil, 1 + 9},
		{`{ devices(first: -1) { items { id } } }`, nil, 10 + 1},
		{`{ device(id: "x") { latest { flags } } }`, nil, 1 + 1 + 1 + 1},
		{`query($n: Int!) { devices(first: $n) { items { id } } }`, nil, 10 + 1 + 100}, // left out: the default
		{`query($n: Int!) { devices(first: $n) { items { id } } }`, map[string]any{"n": nil}, 1<<31 - 1},
		{`query($n: Int!) { devices(first: $n) { items { id } } }`, map[string]any{"n": json.Number("1e30")}, 1<<31 - 1},
	} {
		doc, err := gqlparser.LoadQueryWithRules(s, c.query, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.query, err)
		}
		if got := graph.Cost(s, doc.Operations[0], c.vars); got != c.want {
			t.Errorf("%s costs %d, want %d", c.query, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	l := graph.Limits{Tokens: 100, Operations: 2, Fields: 12, Aliases: 2, Depth: 3, Meta: 5, Cost: 1}
	for query, want := range map[string]error{
		`{ a { b { c } } }`:                                                     nil,
		`{ a { b { c { d } } } }`:                                               graph.ErrLimit,
		`{ a ... { a ... { a { b { c } } } } }`:                                 nil, // fragments add no level
		`{ ...f } fragment f on Q { a { b { c { d } } } }`:                      graph.ErrLimit,
		`{ a } fragment f on Q { ...f }`:                                        graph.ErrLimit,
		`{ a } fragment f on Q { ...g } fragment g on Q { ...f }`:               graph.ErrLimit,
		`{ x: a y: b a: a }`:                                                    nil, // a: a renames nothing
		`{ x: a y: b z: c }`:                                                    graph.ErrLimit,
		`{ ...f ...f } fragment f on Q { x: a }`:                                graph.ErrLimit, // two spread, one that stands there
		`{ ...f } fragment f on Q { x: a }`:                                     nil,
		`{ a } query x { a }`:                                                   nil,
		`{ a } query x { a } query y { a }`:                                     graph.ErrLimit,
		`{ a b c d e f g h i j k l }`:                                           nil,
		`{ a b c d e f g h i j k l m }`:                                         graph.ErrLimit,
		`{ __schema { b { c { d { e } } } } }`:                                  nil,
		`{ __schema { b { c { d { e { f } } } } } }`:                            graph.ErrLimit,
		`{ a(x: ` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `) }`: graph.ErrLimit,
		`{`:  graph.ErrSyntax,
		``:   nil, // the executor says that there is no operation
		`{}`: graph.ErrSyntax,
	} {
		if _, err := l.Parse(query); !errors.Is(err, want) || err != nil && want == nil {
			t.Errorf("%.60s: %v, want %v", query, err, want)
		}
	}
}

// TestDoublingFragments: a document whose fragments double with each line is judged
// as fast as one that does not.
func TestDoublingFragments(t *testing.T) {
	query := `{ ...f0 }`
	for i := range 200 {
		query += fmt.Sprintf(" fragment f%d on Query { ...f%d ...f%d }", i, i+1, i+1)
	}
	query += ` fragment f200 on Query { fleet { time } }`
	began := time.Now()
	if _, err := graph.DefaultLimits.Parse(query); !errors.Is(err, graph.ErrLimit) {
		t.Errorf("%v, want a limit", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// FuzzQuery takes any text with any variables up to where it would be executed:
// nothing panics, and nothing takes long.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{
		introspection.Query,
		`{ devices(first: 1000) { items { id latest { soc flags } } next } }`,
		`query($id: ID!, $n: Int = 5) { device(id: $id) { history(limit: $n, step: "1m") { items { soc } } } }`,
		`mutation { control(input: {deviceId: "x", commandId: "c", command: setPower, parameters: {power: 1e3}}) { ... on CommandDone { power } } }`,
		`subscription { readings(devices: "*") { lag readings { soc } } }`,
		`{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }`,
		`{ devices(first: 99999999999999999999) { next } }`,
		`{ a: fleet { time } b: fleet @skip(if: true) { time } ... @include(if: $x) { fleet { time } } }`,
		"{ device(id: \"\"\"\n\"\"\") { id } }",
		`query($f: DeviceFilter) { devices(filter: $f) { next } }`,
	} {
		f.Add(query, `{"id":"x","n":7,"f":{"glob":"*"},"x":true}`)
	}
	s := graph.NewExecutableSchema(graph.Config{})
	e := executor.New(s)
	e.SetParserTokenLimit(graph.DefaultLimits.Tokens)
	e.Use(graph.Limit(graph.DefaultLimits, s.Schema(), graphql.NoCache[*ast.QueryDocument]{}))
	f.Fuzz(func(t *testing.T, query, variables string) {
		if len(query) > 1<<16 {
			return
		}
		var vars map[string]any
		d := json.NewDecoder(strings.NewReader(variables))
		d.UseNumber()
		if d.Decode(&vars) != nil {
			vars = nil
		}
		began := time.Now()
		op, faults := e.CreateOperationContext(graphql.StartOperationTrace(t.Context()), &graphql.RawParams{Query: query, Variables: vars})
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if len(faults) == 0 && graph.Cost(s.Schema(), op.Operation, op.Variables) > graph.DefaultLimits.Cost {
			t.Error("a query beyond the limit passes")
		}
	})
}
