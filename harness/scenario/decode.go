package scenario

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// node is implemented by types whose form in a file is not that of their Go
// value, such as a number that may also be a list.
type node interface {
	read(s *source, n ast.Node, at string, r rules)
}

var (
	nodeType     = reflect.TypeFor[node]()
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
)

// start is where a value begins in the text.
func start(n ast.Node) place {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return start(n.Values[0])
		}
	case *ast.MappingValueNode:
		return start(n.Key)
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return place{1, 1}
	}
	return place{n.GetToken().Position.Line, n.GetToken().Position.Column}
}

// describe names what a node is, for "expected …, got …".
func describe(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return n.Token.Value
	case *ast.LiteralNode:
		return "a text"
	case *ast.StringNode:
		return fmt.Sprintf("the text %q", short(n.Value))
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		return "an alias or a tag"
	}
	return n.GetToken().Value
}

// short keeps a quoted value readable in a message.
func short(text string) string {
	if r := []rune(text); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return text
}

// resolve follows anchors and aliases. It returns nil after noting why it
// cannot. Every value passes here, so this is where their number is bounded.
func (s *source) resolve(n ast.Node) ast.Node {
	for range maxNesting {
		if s.values++; s.values > maxValues {
			if s.values == maxValues+1 {
				s.fault(start(n), "", "the file has more than %d values once aliases are followed; it is not read", maxValues)
			}
			return nil
		}
		switch x := n.(type) {
		case *ast.AnchorNode:
			n = x.Value
		case *ast.AliasNode:
			name := x.Value.GetToken().Value
			target, ok := s.anchor[name]
			if !ok {
				s.fault(start(n), `a text that begins with * needs quotes: "*`+name+`"`, "no anchor &%s stands before this *%s", name, name)
				return nil
			}
			n = target
		case *ast.TagNode:
			s.fault(start(n), "take the tag away; every key knows its type", "tags such as %s are not used here", x.Start.Value)
			return nil
		case nil:
			return nil
		default:
			return n
		}
	}
	s.fault(start(n), "write the value out", "this alias leads through too many others")
	return nil
}

// anchors collects what the aliases of a document stand for.
func (s *source) anchors(doc ast.Node) {
	ast.Walk(visitor(func(n ast.Node) {
		if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil && a.Name.GetToken() != nil {
			s.anchor[a.Name.GetToken().Value] = a.Value
		}
	}), doc)
}

type visitor func(ast.Node)

func (v visitor) Visit(n ast.Node) ast.Visitor { v(n); return v }

// decode reads a node into v, which must be settable, and notes what is wrong.
// The place of every value is kept under its key path, for the checks to come.
func (s *source) decode(n ast.Node, v reflect.Value, at string, r rules) {
	here := start(n)
	if n = s.resolve(n); n == nil {
		return
	}
	s.places[at] = here
	if strings.Count(at, ".")+strings.Count(at, "[") > maxNesting {
		s.fault(here, "", "this is nested deeper than any key")
		return
	}
	if _, null := n.(*ast.NullNode); null {
		s.fault(here, "give it a value or take the key away", "%s has no value", name(at))
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		s.decode(n, v.Elem(), at, r)
		return
	}
	if v.Addr().Type().Implements(nodeType) {
		v.Addr().Interface().(node).read(s, n, at, r)
		return
	}
	switch v.Type() {
	case durationType:
		if d, ok := s.duration(n, at, r); ok {
			v.SetInt(int64(d))
		}
		return
	case timeType:
		if t, ok := s.time(n, at); ok {
			v.Set(reflect.ValueOf(t))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		s.mapping(n, v, at)
	case reflect.Slice:
		s.list(n, v, at, r)
	case reflect.String:
		if text, ok := s.text(n, at, r); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
		} else {
			s.fault(here, "write true or false", "%s is true or false, got %s", name(at), describe(n))
		}
	case reflect.Map:
		s.table(n, v, at, r)
	case reflect.Float64:
		if x, ok := s.number(n, at, r); ok {
			v.SetFloat(x)
		}
	case reflect.Int, reflect.Int64:
		if x, ok := s.whole(n, at, r); ok {
			v.SetInt(int64(x))
		}
	case reflect.Uint64:
		if x, ok := s.seed(n, at); ok {
			v.SetUint(x)
		}
	default:
		panic("scenario: no reader for " + v.Type().String())
	}
}

// mapping reads the keys of a struct. Fields say in their tags what they are
// called (yaml), what they may hold (jsonschema) and what they mean (doc).
func (s *source) mapping(n ast.Node, v reflect.Value, at string) {
	pairs, ok := pairsOf(n)
	if !ok {
		s.fault(start(n), "write its keys below it, indented: "+strings.Join(s.plans.of(v.Type()).names(), ", "),
			"%s is a mapping of keys, got %s", name(at), describe(n))
		return
	}
	plan := s.plans.of(v.Type())
	seen := map[string]place{}
	for _, kv := range pairs {
		key, where := keyText(kv.Key), start(kv.Key)
		if first, twice := seen[key]; twice {
			s.fault(where, "keep one of the two", "duplicate key %q, first on line %d", key, first.line)
			continue
		}
		seen[key] = where
		path := join(at, key)
		f, known := plan[key]
		if !known {
			s.unknown(where, key, at, plan.names())
			continue
		}
		s.keys[path] = where
		s.decode(kv.Value, v.FieldByIndex(f.index), path, f.rules)
	}
	for _, key := range plan.names() {
		f := plan[key]
		if _, given := seen[key]; given {
			continue
		}
		if f.required {
			example := f.example
			if at == "" && key == "kind" {
				example = s.kind
			}
			s.fault(start(n), "add: "+key+": "+example, "required key %q is missing%s", key, within(at))
		}
		s.preset(v.FieldByIndex(f.index), f.rules)
	}
}

// unknown reports a key that does not belong where it stands.
func (s *source) unknown(where place, key, at string, known []string) {
	if len(s.faults) >= 10*maxFaults {
		s.more++
		return
	}
	hint := suggest(key, known)
	switch elsewhere := s.plans.parents(key); {
	case nearest(key, known) != "":
	case key == "<<":
		hint = "merge keys are not used here: write the keys out"
	case key == "count":
		hint = "count belongs to the fleet of a scenario; here every device is an entry of its own"
	case key == "serve":
		hint = "serve belongs to a rig file (kind: Rig), which yunchu rig serves"
	case len(elsewhere) > 0:
		hint = fmt.Sprintf("%q belongs under %s", key, strings.Join(elsewhere, ", "))
	}
	s.fault(where, hint, "unknown field %q%s", key, within(at))
}

// preset gives a field that is not in the file its default, and so down into
// structs held by value.
func (s *source) preset(v reflect.Value, r rules) {
	switch {
	case r.preset != "":
		s.presetText(v, r.preset)
	case v.Kind() == reflect.Struct && v.Type() != timeType && !v.Addr().Type().Implements(nodeType):
		for _, f := range s.plans.of(v.Type()) {
			s.preset(v.FieldByIndex(f.index), f.rules)
		}
	}
}

// presetText sets a default written in a tag. A tag that does not fit its
// field is an error of ours.
func (s *source) presetText(v reflect.Value, text string) {
	must := func(err error) {
		if err != nil {
			panic(fmt.Sprintf("scenario: default %q of a %s: %v", text, v.Type(), err))
		}
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if p, ok := reflect.TypeAssert[interface{ preset(string) error }](v.Addr()); ok {
		must(p.preset(text))
		return
	}
	switch v.Type() {
	case durationType:
		d, err := ParseDuration(text)
		must(err)
		v.SetInt(int64(d))
		return
	case timeType:
		t, err := time.Parse(time.RFC3339, text)
		must(err)
		v.Set(reflect.ValueOf(t.UTC()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		must(err)
		v.SetFloat(x)
	case reflect.Int:
		x, err := strconv.Atoi(text)
		must(err)
		v.SetInt(int64(x))
	case reflect.Uint64:
		x, err := strconv.ParseUint(text, 10, 64)
		must(err)
		v.SetUint(x)
	case reflect.Bool:
		x, err := strconv.ParseBool(text)
		must(err)
		v.SetBool(x)
	default:
		must(fmt.Errorf("no such default"))
	}
}

// list reads a sequence into a slice.
func (s *source) list(n ast.Node, v reflect.Value, at string, r rules) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		s.fault(start(n), "write each entry on a line of its own, behind a dash", "%s is a list, got %s", name(at), describe(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	r.required, r.preset = false, ""
	for i, e := range seq.Values {
		s.decode(e, v.Index(i), fmt.Sprintf("%s[%d]", at, i), r)
	}
}

// table reads a mapping of free keys into a map of strings.
func (s *source) table(n ast.Node, v reflect.Value, at string, r rules) {
	pairs, ok := pairsOf(n)
	if !ok || v.Type().Key().Kind() != reflect.String {
		s.fault(start(n), "write its keys below it, indented", "%s is a mapping of keys, got %s", name(at), describe(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	r.required, r.preset = false, ""
	for _, kv := range pairs {
		key := reflect.ValueOf(keyText(kv.Key)).Convert(v.Type().Key())
		if v.MapIndex(key).IsValid() {
			s.fault(start(kv.Key), "keep one of the two", "duplicate key %q", key)
			continue
		}
		s.keys[join(at, keyText(kv.Key))] = start(kv.Key)
		value := reflect.New(v.Type().Elem()).Elem()
		s.decode(kv.Value, value, join(at, keyText(kv.Key)), r)
		v.SetMapIndex(key, value)
	}
}

// pairsOf returns the entries of a mapping in the order of the file.
func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func keyText(k ast.MapKeyNode) string {
	if mk, ok := k.(*ast.MappingKeyNode); ok && mk.Value != nil {
		return mk.Value.GetToken().Value
	}
	return k.GetToken().Value
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

// name is what a message calls the value at a key path.
func name(at string) string {
	if at == "" {
		return "the file"
	}
	return at
}

func within(at string) string {
	if at == "" {
		return ""
	}
	return " in " + at
}
