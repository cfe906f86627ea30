package can

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// reader reads a YAML file into structs strictly and finds all faults at once: unknown
// and repeated keys, and values of another kind than their field.
type reader struct {
	report
	places map[string]place // of each value that the file gives, by its path of keys
}

// maxProfile bounds a profile, because the time of the parser grows with its square: those
// that ship have 6 kB.
const maxProfile = 64 << 10

// maxNesting bounds how deep a profile may be nested: its deepest key lies at 6.
const maxNesting = 16

// read fills the struct that into points to.
func (r *reader) read(into any) {
	r.places = map[string]place{}
	if len(r.src) > maxProfile {
		r.add(place{1, 1}, "", "the file has %d bytes; the most that is read is %d", len(r.src), maxProfile)
		return
	}
	if !utf8.Valid(r.src) {
		r.add(place{1, 1}, "save the file as UTF-8", "this is not UTF-8 text")
		return
	}
	if line, deep := tooDeep(string(r.src)); deep {
		r.add(place{line, 1}, "", "this is nested deeper than any key")
		return
	}
	file, err := parseYAML(r.src)
	if err != nil {
		at, msg := place{1, 1}, err.Error()
		if e, ok := errors.AsType[yaml.Error](err); ok {
			msg = e.GetMessage()
			if t := e.GetToken(); t != nil && t.Position != nil {
				at = place{t.Position.Line, t.Position.Column}
			}
		}
		r.add(at, "", "not valid YAML: %s", msg)
		return
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		r.add(place{1, 1}, "begin with: apiVersion: yunchu/v1", "want one document in the file, got %d", len(file.Docs))
		return
	}
	r.value("", file.Docs[0].Body, reflect.ValueOf(into).Elem())
}

// tooDeep finds what would take the parser's stack: nested brackets, and blanks or dashes
// that nest blocks.
func tooDeep(text string) (line int, deep bool) {
	open := 0
	for i, l := range strings.Split(text, "\n") {
		open += strings.Count(l, "[") + strings.Count(l, "{") - strings.Count(l, "]") - strings.Count(l, "}")
		rest := strings.TrimLeft(l, " -?:!&")
		lead := l[:len(l)-len(rest)]
		if open > maxNesting || len(lead) > 8*maxNesting || strings.Count(lead, "-") > maxNesting || strings.Count(l, "[")+strings.Count(l, "{") > 20*maxNesting {
			return i + 1, true
		}
	}
	return 0, false
}

// parseYAML calls the library; a panic in there is a file that it cannot read.
func parseYAML(src []byte) (f *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			f, err = nil, fmt.Errorf("%v", p)
		}
	}()
	return parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
}

// at is where a value begins, or what is around it when it is not in the file.
func (r *reader) at(key string) place {
	for {
		if p, ok := r.places[key]; ok {
			return p
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			return place{1, 1}
		}
		key = key[:i]
	}
}

// wrong notes a fault of the value at a path of keys.
func (r *reader) wrong(key, hint, format string, args ...any) {
	r.add(r.at(key), hint, format, args...)
}

func placeOf(n ast.Node) place {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return placeOf(m.Values[0])
		}
	case *ast.MappingValueNode:
		return placeOf(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return place{t.Position.Line, t.Position.Column}
	}
	return place{1, 1}
}

var durationType = reflect.TypeFor[time.Duration]()

// value reads a node into v. Aliases and tags are not used in profiles.
func (r *reader) value(key string, n ast.Node, v reflect.Value) {
	at := placeOf(n)
	r.places[key] = at
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		if pairs, ok := r.pairs(key, n); ok {
			r.fields(key, pairs, v)
		}
	case reflect.Map:
		if pairs, ok := r.pairs(key, n); ok {
			r.entries(key, pairs, v)
		}
	case reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			r.add(at, "", "%s: want a list, got %s", key, describe(n))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
		for i, e := range list.Values {
			r.value(fmt.Sprintf("%s[%d]", key, i), e, v.Index(i))
		}
	default:
		r.scalar(key, n, v)
	}
}

func (r *reader) pairs(key string, n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	r.add(placeOf(n), "", "%swant a mapping of keys, got %s", prefix(key), describe(n))
	return nil, false
}

func prefix(key string) string {
	if key == "" {
		return ""
	}
	return key + ": "
}

func (r *reader) fields(key string, pairs []*ast.MappingValueNode, v reflect.Value) {
	index := map[string]int{}
	var known []string
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			index[name] = i
			known = append(known, name)
		}
	}
	seen := map[string]bool{}
	for _, p := range pairs {
		name := p.Key.GetToken().Value
		i, ok := index[name]
		switch {
		case !ok:
			r.add(placeOf(p.Key), oneOf(known), "%sunknown field %q", prefix(key), name)
		case seen[name]:
			r.add(placeOf(p.Key), "", "%sa second %q", prefix(key), name)
		default:
			seen[name] = true
			r.value(strings.TrimPrefix(key+"."+name, "."), p.Value, v.Field(i))
		}
	}
}

// entries fills a map from whole numbers to texts.
func (r *reader) entries(key string, pairs []*ast.MappingValueNode, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, p := range pairs {
		k := reflect.New(v.Type().Key()).Elem()
		e := reflect.New(v.Type().Elem()).Elem()
		before := len(r.faults)
		name := p.Key.GetToken().Value
		n, err := strconv.ParseUint(name, 0, 64)
		if err != nil {
			r.add(placeOf(p.Key), "", "%s: want a whole number as the key, got %q", key, name)
			continue
		}
		k.SetUint(n)
		r.value(key+"."+name, p.Value, e)
		if len(r.faults) == before {
			v.SetMapIndex(k, e)
		}
	}
}

func (r *reader) scalar(key string, n ast.Node, v reflect.Value) {
	at := placeOf(n)
	want := "a text"
	text, ok := scalarText(n)
	switch {
	case v.Type() == durationType:
		want = "a duration like 100ms or 1s"
		var d time.Duration
		var err error
		if d, err = time.ParseDuration(text); err != nil {
			ok = false
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.Bool:
		want = "true or false"
		ok = ok && (text == "true" || text == "false")
		v.SetBool(text == "true")
	case v.CanUint():
		want = "a whole number from 0"
		x, err := strconv.ParseUint(text, 0, v.Type().Bits())
		ok = ok && err == nil
		v.SetUint(x)
	case v.CanInt():
		want = "a whole number"
		x, err := strconv.ParseInt(text, 0, v.Type().Bits())
		ok = ok && err == nil
		v.SetInt(x)
	case v.CanFloat():
		want = "a number"
		x, err := strconv.ParseFloat(text, 64)
		ok = ok && err == nil
		v.SetFloat(x)
	default:
		v.SetString(text)
	}
	if !ok {
		r.add(at, "", "%s: want %s, got %s", key, want, describe(n))
		v.SetZero()
	}
}

// scalarText is a value as it stands in the file; ok is false for lists, mappings and
// nothing.
func scalarText(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func describe(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		return "an alias or a tag"
	default:
		if t := n.GetToken(); t != nil {
			return strconv.Quote(t.Value)
		}
	}
	return "something else"
}

// check demands one of the words.
func (r *reader) check(key, word string, known []string) {
	if !slices.Contains(known, word) {
		r.wrong(key, oneOf(known), "%s: unknown %q", key, word)
	}
}
