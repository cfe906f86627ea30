// Package schema writes the JSON Schemas (2020-12) of the files people write
// and of the report they get, for editors and for checks outside Yunchu.
//
// The schemas of scenario, rig, config, trace, procedure and load follow from the very structs
// and tags the strict reader works with. Other packages own the other kinds;
// whoever assembles the program registers their structs in a [Set]:
//
//	s := schema.New()
//	s.Register("model", params.Model{})
//	text, err := s.JSON("model")
package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"yunchu/harness/scenario"

	"github.com/invopop/jsonschema"
)

// ErrNoKind is returned for a kind that has no schema.
var ErrNoKind = errors.New("no such kind")

// Set is the kinds that have a schema.
type Set struct{ kinds map[string]any }

// planned are the kinds the commands name, in their order.
var planned = []string{"scenario", "config", "rig", "model", "cell", "trace", "procedure", "load", "profile", "rules", "limits", "report"}

// New returns the set of the kinds package scenario owns.
func New() *Set {
	return &Set{kinds: map[string]any{
		"scenario": scenario.Scenario{}, "rig": scenario.Rig{}, "config": scenario.Config{}, "trace": scenario.Trace{},
		"procedure": scenario.Procedure{}, "load": scenario.LoadFile{},
	}}
}

// Register adds a kind, or replaces it. The value is a struct or a pointer to
// one: its keys are its yaml tags or, where it has none, its json tags; its
// constraints stand in jsonschema tags and its descriptions in doc tags.
func (s *Set) Register(kind string, value any) { s.kinds[kind] = value }

// AnyOf adds a kind that is any of others, which are registered.
func (s *Set) AnyOf(kind string, of ...string) { s.kinds[kind] = of }

// Kinds are the kinds that have a schema, in the order of the command's help.
func (s *Set) Kinds() []string {
	var kinds []string
	for k := range s.kinds {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b string) int {
		if d := order(a) - order(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return kinds
}

func order(kind string) int {
	if i := slices.Index(planned, kind); i >= 0 {
		return i
	}
	return len(planned)
}

// JSON is the schema of a kind, indented. It returns ErrNoKind for a kind that
// is unknown or not there yet.
func (s *Set) JSON(kind string) ([]byte, error) {
	v, ok := s.kinds[kind]
	if !ok {
		have := strings.Join(s.Kinds(), ", ")
		if slices.Contains(planned, kind) {
			return nil, fmt.Errorf("schema of %s: %w yet; there are %s", kind, ErrNoKind, have)
		}
		return nil, fmt.Errorf("schema of %q: %w; there are %s", kind, ErrNoKind, have)
	}
	if of, ok := v.([]string); ok {
		return s.anyOf(kind, of)
	}
	t := reflect.TypeOf(v)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	r := jsonschema.Reflector{
		FieldNameTag:               tagOf(t),
		RequiredFromJSONSchemaTags: true,
		ExpandedStruct:             true,
		Anonymous:                  true,
		Mapper:                     mapType,
		LookupComment:              doc,
	}
	schema := r.ReflectFromType(t)
	schema.Title = "Yunchu " + kind
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", kind, err)
	}
	return append(text, '\n'), nil
}

func (s *Set) anyOf(kind string, of []string) ([]byte, error) {
	var parts []map[string]any
	for _, k := range of {
		text, err := s.JSON(k)
		if err != nil {
			return nil, err
		}
		var part map[string]any
		if err := json.Unmarshal(text, &part); err != nil {
			return nil, err
		}
		part["$id"] = "urn:yunchu:" + k // whose own the references within it are
		parts = append(parts, part)
	}
	text, err := json.MarshalIndent(map[string]any{"$schema": jsonschema.Version, "title": "Yunchu " + kind, "anyOf": parts}, "", "  ")
	return append(text, '\n'), err
}

// tagOf tells which tags name the keys of a struct.
func tagOf(t reflect.Type) string {
	for _, f := range reflect.VisibleFields(t) {
		if _, ok := f.Tag.Lookup("yaml"); ok {
			return "yaml"
		}
	}
	return "json"
}

// mapType gives a duration the form the reader takes.
func mapType(t reflect.Type) *jsonschema.Schema {
	if t == reflect.TypeFor[time.Duration]() {
		return &jsonschema.Schema{Type: "string", Pattern: scenario.DurationPattern, Examples: []any{"10s", "5m", "1h30m", "2d"}}
	}
	return nil
}

// doc is the description of a field.
func doc(t reflect.Type, field string) string {
	if field == "" {
		return ""
	}
	f, ok := t.FieldByName(field)
	if !ok {
		return ""
	}
	return f.Tag.Get("doc")
}
