package modbus

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/invopop/jsonschema"

	"yunchu/hil/strict"
)

// The JSON Schema of a profile says what the reader takes, key by key, out of the reader's
// own tables; what only two keys together make wrong is left to the reader.

// JSONSchemaExtend says what a profile must have, and what each point may.
func (Profile) JSONSchemaExtend(s *jsonschema.Schema) {
	s.Required = []string{"apiVersion", "kind", "name", "points"}
	key(s, "apiVersion").Const, key(s, "kind").Const = "yunchu/v1", "Profile"
	key(s, "name").Not = &jsonschema.Schema{Const: ""}
	for _, k := range []string{"word_order", "byte_order"} {
		key(s, k).Enum = oneOf(big, little)
	}
	key(s, "positive").Enum = oneOf(charge, discharge)

	points := key(s, "points")
	each := points.AdditionalProperties
	points.Properties, points.AdditionalProperties = jsonschema.NewProperties(), jsonschema.FalseSchema
	least := uint64(1)
	points.MinProperties = &least
	for _, name := range Names() {
		q := quantities[name]
		points.Properties.Set(name, &jsonschema.Schema{AllOf: []*jsonschema.Schema{each, q.schema(name)}})
	}
	key(s, "settings").PropertyNames = &jsonschema.Schema{Not: &jsonschema.Schema{Enum: oneOf(Names()...)}, Pattern: `\S`}
}

// schema is what a point of this quantity may have beside its place.
func (q *quantity) schema(name string) *jsonschema.Schema {
	s := &jsonschema.Schema{Properties: jsonschema.NewProperties()}
	never := func(keys ...string) {
		for _, k := range keys {
			s.Properties.Set(k, jsonschema.FalseSchema)
		}
	}
	if q.form != number {
		never("scale", "offset", "unit", "exponent", "valid", "range")
	} else {
		s.Properties.Set("unit", &jsonschema.Schema{Enum: oneOf(append([]string{""}, q.unitNames()...)...)})
	}
	if !q.directed {
		never("positive")
	}
	if !q.written {
		never("range")
	}
	if name != "heartbeat" {
		never("patience")
	}
	switch q.form {
	case word:
		s.Required = []string{"values"}
		fallthrough
	case condition:
		s.Properties.Set("values", &jsonschema.Schema{PropertyNames: &jsonschema.Schema{Enum: oneOf(q.words...)}})
	case text:
		s.Required = []string{"type", "length"}
		s.Properties.Set("type", &jsonschema.Schema{Const: "string"})
		never("values")
	default:
		never("values")
	}
	if q.form != text {
		never("length")
		s.Properties.Set("type", &jsonschema.Schema{Not: &jsonschema.Schema{Const: "string"}})
	}
	return s
}

// JSONSchemaExtend says what single keys of a point hold.
func (Point) JSONSchemaExtend(s *jsonschema.Schema) {
	s.Required = []string{"address"}
	between(key(s, "address"), 0, 1<<16-1)
	between(key(s, "exponent"), 0, 1<<16-1)
	between(key(s, "length"), 1, MaxRead)
	between(key(s, "bit"), 0, 63)
	key(s, "mask").Minimum = "0"
	key(s, "table").Enum = oneOf(append([]string{""}, tableNames[:]...)...)
	key(s, "type").Enum = oneOf(append([]string{""}, slices.Sorted(maps.Keys(shapes))...)...)
	key(s, "positive").Enum = oneOf("", charge, discharge)
	key(s, "access").Enum = oneOf("", readOnly, writeOnly, readWrite)
	for _, k := range []string{"word_order", "byte_order"} {
		key(s, k).Enum = oneOf("", big, little)
	}
	key(s, "scale").AnyOf = []*jsonschema.Schema{
		{Minimum: "1e-12", Maximum: "1e12"}, {Minimum: "-1e12", Maximum: "-1e-12"},
	}
	key(s, "patience").Pattern = strict.DurationPattern

	one := &jsonschema.Schema{Type: "integer", Minimum: "0"}
	oneOrMore(key(s, "not_implemented"), one, 0)
	values := key(s, "values").AdditionalProperties
	oneOrMore(values, one, 1)
}

// JSONSchemaExtend bounds what a request may have.
func (Requests) JSONSchemaExtend(s *jsonschema.Schema) {
	between(key(s, "max_registers"), 0, MaxRead)
	between(key(s, "max_gap"), 0, MaxRead-1)
	key(s, "write").Enum = oneOf("", multiple, single)
}

// key is the schema of a key, which the struct has.
func key(s *jsonschema.Schema, name string) *jsonschema.Schema {
	k, _ := s.Properties.Get(name)
	return k
}

func oneOf(list ...string) (out []any) {
	for _, w := range list {
		out = append(out, w)
	}
	return out
}

func between(s *jsonschema.Schema, low, high int) {
	s.Minimum, s.Maximum = json.Number(strconv.Itoa(low)), json.Number(strconv.Itoa(high))
}

// oneOrMore is a list, for which one value may stand.
func oneOrMore(s, one *jsonschema.Schema, least uint64) {
	list := &jsonschema.Schema{Type: "array", Items: one}
	if least > 0 {
		list.MinItems = &least
	}
	s.Type, s.Items, s.AnyOf = "", nil, []*jsonschema.Schema{one, list}
}
