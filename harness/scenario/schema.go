package scenario

import (
	"encoding/json"

	"github.com/invopop/jsonschema"
)

// DurationPattern is the form of a duration, for schemas of other packages.
const DurationPattern = durationForm

// object builds a closed schema of properties in their order.
func object(required []string, props ...any) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema, Required: required}
	for i := 0; i+1 < len(props); i += 2 {
		s.Properties.Set(props[i].(string), props[i+1].(*jsonschema.Schema))
	}
	return s
}

func number(doc string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "number", Description: doc}
}

func text(doc string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Description: doc} }

func ranged(low, high json.Number) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "number", Minimum: low, Maximum: high}
}

// JSONSchema is max or a number.
func (Speed) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Const: "max"}, {Type: "number", ExclusiveMinimum: "0"}}}
}

// JSONSchema is a number or mean and spread.
func (SoC) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		ranged("0", "100"),
		object(nil, "mean", ranged("0", "100"), "spread", ranged("0", "100")),
	}}
}

// JSONSchema is true, false or a model.
func (Shadow) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "boolean"},
		object(nil, "model", text("A model set by name, or the path of a model file; the model of the device when left out.")),
	}}
}

// JSONSchema is a number or the keys of a column. Which of scale and scale_kw
// belongs is for the reader to say.
func (Series) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		number("A constant."),
		object([]string{"csv", "column"},
			"csv", text("Path of the CSV file."), "time", text("Its time column: seconds since the start, or instants; default t_s."),
			"column", text("The column of values; each holds until the next row."),
			"scale_kw", number("A power column is multiplied by it; default 1."), "scale", number("Likewise any other column.")),
		object([]string{"kw"}, "kw", number("A constant power, kW.")),
		object([]string{"value"}, "value", number("A constant.")),
	}}
}

// JSONSchema is a power series or an import.
func (Target) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		number("A constant power of the fleet, kW."),
		object([]string{"kw"}, "kw", number("A constant power of the fleet, kW; positive charges.")),
		object([]string{"import_kw"}, "import_kw", number("The import the site is held at, kW.")),
		object([]string{"csv", "column"},
			"csv", text("Path of the CSV file."), "time", text("Its time column; default t_s."),
			"column", text("The column of values; each holds until the next row."), "scale_kw", number("It is multiplied by it; default 1.")),
	}}
}

// JSONSchema is a comparison and a number.
func (Limit) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: limitForm, Examples: []any{"< 100", ">= 0.999"}}
}

// JSONSchema is a duration or a number.
func (Amount) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string", Pattern: durationForm}, {Type: "number"}}}
}

// JSONSchema is a number or a list of numbers.
func (Values) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "number"}, {Type: "array", Items: &jsonschema.Schema{Type: "number"}},
	}}
}

// JSONSchemaExtend fixes the kind and the keys a scenario must have.
func (Scenario) JSONSchemaExtend(s *jsonschema.Schema) {
	fixKind(s, "Scenario")
	s.Required = append(s.Required, "name")
	s.AnyOf = []*jsonschema.Schema{{Required: []string{"fleet"}}, {Required: []string{"load"}}}
}

// JSONSchema is numbers and limits, by test.
func (RigAccept) JSONSchema() *jsonschema.Schema {
	test := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: Values{}.JSONSchema()}
	test.Properties.Set("limits", &jsonschema.Schema{Type: "object", AdditionalProperties: Limit{}.JSONSchema(), Description: "Limits by name."})
	return &jsonschema.Schema{Type: "object", AdditionalProperties: test}
}

// JSONSchemaExtend fixes the kind.
func (Rig) JSONSchemaExtend(s *jsonschema.Schema) { fixKind(s, "Rig") }

// JSONSchemaExtend fixes the kind.
func (Config) JSONSchemaExtend(s *jsonschema.Schema) { fixKind(s, "Config") }

// JSONSchemaExtend fixes the kind.
func (Portfolio) JSONSchemaExtend(s *jsonschema.Schema) { fixKind(s, "Portfolio") }

// JSONSchema is a number or the name of a parameter.
func (Value) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "number"}, {Type: "string", Pattern: `^-?[a-z][a-z0-9_]*$`}}}
}

// JSONSchemaExtend fixes the kind and the keys a procedure must have.
func (Procedure) JSONSchemaExtend(s *jsonschema.Schema) {
	fixKind(s, "Procedure")
	s.Required = append(s.Required, "name")
}

// JSONSchemaExtend says that a step does one thing.
func (ProcedureStep) JSONSchemaExtend(s *jsonschema.Schema) {
	for _, a := range doings {
		s.OneOf = append(s.OneOf, &jsonschema.Schema{Required: []string{a}})
	}
}

// JSONSchemaExtend lists the kinds of measures.
func (StepMeasure) JSONSchemaExtend(s *jsonschema.Schema) {
	if p, ok := s.Properties.Get("kind"); ok {
		for _, k := range MeasureKinds() {
			p.Enum = append(p.Enum, k)
		}
	}
}

// JSONSchemaExtend fixes the kind.
func (Trace) JSONSchemaExtend(s *jsonschema.Schema) { fixKind(s, "Trace") }

func fixKind(s *jsonschema.Schema, kind string) {
	if p, ok := s.Properties.Get("kind"); ok {
		p.Const = kind
	}
}

// JSONSchemaExtend says that an event does one thing.
func (Event) JSONSchemaExtend(s *jsonschema.Schema) {
	for _, a := range actions {
		s.OneOf = append(s.OneOf, &jsonschema.Schema{Required: []string{a}})
	}
}

// JSONSchemaExtend lists the kinds of faults.
func (Injection) JSONSchemaExtend(s *jsonschema.Schema) {
	if p, ok := s.Properties.Get("kind"); ok {
		for _, k := range faultKinds {
			p.Enum = append(p.Enum, k.Name)
		}
	}
}

// JSONSchemaExtend lists the metrics.
func (Score) JSONSchemaExtend(s *jsonschema.Schema) {
	p, ok := s.Properties.Get("metric")
	if !ok {
		return
	}
	var names []any
	for _, m := range metrics {
		names = append(names, m.Name)
	}
	p.AnyOf = []*jsonschema.Schema{{Enum: names}, {Pattern: `^api\.[A-Za-z0-9_-]{1,64}\.(latency_ms|rate_per_s|error_ratio|users)$`}}
}
