package strict

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a file: those that ship have 10 kB, and their deepest key lies at 5.
const (
	maxBytes   = 256 << 10
	maxNesting = 16
)

// File is a file being read: its text, where each value stands, and what is wrong.
type File struct {
	path   string
	lines  []string
	places map[string]place // by path of keys, such as points.power.scale or list[2].name
	faults Faults
	read   bool            // it has the form of a file: what it says can be looked at
	lost   map[string]bool // paths of keys whose values could not be read
	meant  map[string]bool // paths of keys that are probably misspelt
}

// New takes a file of another form, which its reader finds the faults of with Add.
func New(path string, src []byte) *File {
	return &File{path: path, places: map[string]place{}, lost: map[string]bool{}, meant: map[string]bool{}, lines: strings.Split(strings.ToValidUTF8(string(src), "?"), "\n")}
}

// Read fills the struct that into points to from YAML. Keys are the yaml tags of fields.
// Fields may be structs, maps from names or whole numbers, slices, pointers (nil: not given), texts,
// numbers (whole ones also as 0x…), truth values and durations; one value stands for a
// slice of one. Unknown and repeated keys and values of another kind are faults, and so
// is what Wrong adds.
func Read(path string, src []byte, into any) *File {
	f := New(path, src)
	top := place{1, 1}
	switch {
	case len(src) > maxBytes:
		f.add(top, "", "the file has %d bytes; the most that is read is %d", len(src), maxBytes)
		return f
	case !utf8.Valid(src):
		f.add(top, "save the file as UTF-8", "this is not UTF-8 text")
		return f
	}
	if line := tooDeep(f.lines); line > 0 {
		f.add(place{line, 1}, "", "this is nested deeper than any key")
		return f
	}
	doc, err := parse(src)
	if err != nil {
		at, msg := top, err.Error()
		if e, ok := errors.AsType[yaml.Error](err); ok {
			msg = e.GetMessage()
			if t := e.GetToken(); t != nil && t.Position != nil {
				at = place{t.Position.Line, t.Position.Column}
			}
		}
		f.add(at, "", "not valid YAML: %s", msg)
		return f
	}
	if len(doc.Docs) != 1 || doc.Docs[0].Body == nil {
		f.add(top, "begin with: apiVersion: yunchu/v1", "want one document in the file, got %d", len(doc.Docs))
		return f
	}
	f.read = true
	f.value("", doc.Docs[0].Body, reflect.ValueOf(into).Elem())
	return f
}

// Formed reports whether the file has keys that can be looked at, whatever is wrong with
// some of them.
func (f *File) Formed() bool { return f.read && !f.lost[""] }

// Lost reports whether the value at a path of keys could not be read as far as it is given:
// it, one in it, or what is around it. What is said of it beyond that may be wrong.
func (f *File) Lost(key string) bool {
	return some(f.lost, func(k string) bool { return within(key, k) || within(k, key) })
}

// Misspelt reports whether a key within a path is probably meant to be another one, whose
// value is missing then.
func (f *File) Misspelt(key string) bool {
	return some(f.meant, func(k string) bool { return within(k, key) })
}

func some(paths map[string]bool, is func(string) bool) bool {
	for k := range paths {
		if is(k) {
			return true
		}
	}
	return false
}

// within reports whether a path of keys is another one or lies in it.
func within(key, around string) bool {
	rest, ok := strings.CutPrefix(key, around)
	return ok && (around == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Wrong notes a fault of the value at a path of keys, or of what is around it where the
// file does not give it. Of a value that could not be read, or that a misspelt key has, no
// more is said than that.
func (f *File) Wrong(key, hint, format string, args ...any) {
	lost := func(k string) bool { return within(key, k) }
	if some(f.lost, lost) || some(f.meant, lost) {
		return
	}
	f.add(f.at(key), hint, format, args...)
}

// Also notes the faults of a file that this one names.
func (f *File) Also(faults Faults) { f.faults = append(f.faults, faults...) }

// Beside is the path of a file that this one names relative to itself.
func (f *File) Beside(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(f.path), filepath.FromSlash(name))
}

// OneOf demands one of the known words.
func (f *File) OneOf(key, word string, known ...string) bool {
	ok := slices.Contains(known, word)
	if !ok {
		f.Wrong(key, Suggest(word, known), "%s: unknown %q", key, word)
	}
	return ok
}

// IsKind reports whether the file is what it is read as. One of another kind has that
// fault alone: every key of it would be wrong too, which tells nobody anything.
func (f *File) IsKind(got, want string) bool {
	if got == "" || got == want {
		return true
	}
	f.faults = nil
	f.Wrong("kind", "write kind: "+want, "this is a %s file, not a %s", got, want)
	return false
}

// Has reports whether the file gives a value.
func (f *File) Has(key string) bool {
	_, ok := f.places[key]
	return ok
}

func (f *File) at(key string) place {
	for {
		if p, ok := f.places[key]; ok {
			return p
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			return place{1, 1}
		}
		key = key[:i]
	}
}

// tooDeep finds a line that would take the parser's stack: open brackets, and blanks or
// dashes that nest blocks.
func tooDeep(lines []string) int {
	open := 0
	for i, l := range lines {
		opens := strings.Count(l, "[") + strings.Count(l, "{")
		open += opens - strings.Count(l, "]") - strings.Count(l, "}")
		lead := l[:len(l)-len(strings.TrimLeft(l, " -?:!&"))]
		if open > maxNesting || opens > 20*maxNesting || len(lead) > 8*maxNesting || strings.Count(lead, "-") > maxNesting {
			return i + 1
		}
	}
	return 0
}

// parse calls the library; a panic in there is a file that it cannot read.
func parse(src []byte) (f *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			f, err = nil, fmt.Errorf("%v", p)
		}
	}()
	return parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
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

// DurationPattern is the form of a duration above zero, for schemas.
const DurationPattern = `^\+?(([0-9]+\.?[0-9]*|\.[0-9]+)(h|m|s|ms|us|µs|ns))+$`

var durationType = reflect.TypeFor[time.Duration]()

// value reads a node into v.
func (f *File) value(key string, n ast.Node, v reflect.Value) {
	f.places[key] = placeOf(n)
	if v.Kind() == reflect.Pointer {
		at := v
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
		defer func() {
			if f.lost[key] { // then it is not given
				at.SetZero()
			}
		}()
	}
	switch v.Kind() {
	case reflect.Struct:
		f.fields(key, n, v)
	case reflect.Map:
		f.entries(key, n, v)
	case reflect.Slice:
		nodes := []ast.Node{n}
		if list, ok := n.(*ast.SequenceNode); ok {
			nodes = list.Values
		}
		v.Set(reflect.MakeSlice(v.Type(), len(nodes), len(nodes)))
		for i, e := range nodes {
			f.value(fmt.Sprintf("%s[%d]", key, i), e, v.Index(i))
		}
	default:
		f.scalar(key, n, v)
	}
}

// pairs calls do for each key of a mapping, but for repeated ones.
func (f *File) pairs(key string, n ast.Node, do func(name, path string, p *ast.MappingValueNode)) {
	var list []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		list = n.Values
	case *ast.MappingValueNode:
		list = []*ast.MappingValueNode{n}
	default:
		f.lost[key] = true
		f.add(placeOf(n), "", "%swant a mapping of keys, got %s", prefix(key), describe(n))
		return
	}
	seen := map[string]bool{}
	for _, p := range list {
		name := p.Key.GetToken().Value
		if seen[name] {
			f.add(placeOf(p.Key), "", "%sa second %q", prefix(key), name)
			continue
		}
		seen[name] = true
		do(name, strings.TrimPrefix(key+"."+name, "."), p)
	}
}

func prefix(key string) string {
	if key == "" {
		return ""
	}
	return key + ": "
}

func (f *File) fields(key string, n ast.Node, v reflect.Value) {
	index := map[string]int{}
	var known []string
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
			index[name] = i
			known = append(known, name)
		}
	}
	f.pairs(key, n, func(name, path string, p *ast.MappingValueNode) {
		i, ok := index[name]
		if !ok {
			if meant := nearest(name, known); meant != "" && !f.Has(strings.TrimPrefix(key+"."+meant, ".")) {
				f.meant[strings.TrimPrefix(key+"."+meant, ".")] = true
			}
			f.add(placeOf(p.Key), Suggest(name, known), "%sunknown field %q", prefix(key), name)
			return
		}
		f.value(path, p.Value, v.Field(i))
	})
}

// entries fills a map from names or whole numbers.
func (f *File) entries(key string, n ast.Node, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	f.pairs(key, n, func(name, path string, p *ast.MappingValueNode) {
		k := reflect.New(v.Type().Key()).Elem()
		if k.CanUint() {
			x, err := strconv.ParseUint(name, 0, k.Type().Bits())
			if err != nil {
				f.add(placeOf(p.Key), "", "%swant %s as the key, got %q", prefix(key), whole(k.Type()), name)
				return
			}
			k.SetUint(x)
		} else {
			k.SetString(name)
		}
		e := reflect.New(v.Type().Elem()).Elem()
		f.value(path, p.Value, e)
		f.places[path] = placeOf(p.Key) // its name is what a fault of it as a whole shows
		v.SetMapIndex(k, e)
	})
}

// whole says what an unsigned type takes.
func whole(t reflect.Type) string {
	return fmt.Sprintf("a whole number of 0 to %d", uint64(math.MaxUint64)>>(64-t.Bits()))
}

func (f *File) scalar(key string, n ast.Node, v reflect.Value) {
	want, hint := "a text", ""
	text, ok := text(n)
	switch {
	case v.Kind() == reflect.String && ok && !written(n):
		ok, hint = false, "put it into quotes"
	case v.Kind() != reflect.String && v.Type() != durationType && quoted(n):
		ok, hint = false, "write it without quotes"
	}
	switch {
	case v.Type() == durationType:
		want = "a duration like 100ms or 1s"
		d, err := time.ParseDuration(text)
		ok = ok && err == nil
		v.SetInt(int64(d))
	case v.Kind() == reflect.Bool:
		want = "true or false"
		ok = ok && (text == "true" || text == "false")
		v.SetBool(text == "true")
	case v.CanUint():
		want = whole(v.Type())
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
		ok = ok && err == nil && !math.IsNaN(x) && !math.IsInf(x, 0)
		v.SetFloat(x)
	default:
		v.SetString(text)
	}
	if !ok {
		f.lost[key] = true
		f.add(placeOf(n), hint, "%s: want %s, got %s", key, want, describe(n))
		v.SetZero()
	}
}

// written reports whether a value is a text and nothing else in YAML, quoted whether it
// stands in quotes.
func written(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return true
	}
	return false
}

func quoted(n ast.Node) bool {
	t := n.GetToken().Type
	return t == token.SingleQuoteType || t == token.DoubleQuoteType
}

// text is a value as it stands in the file; ok is false for lists, mappings and nothing.
func text(n ast.Node) (s string, ok bool) {
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
