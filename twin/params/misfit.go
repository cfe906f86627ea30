package params

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// misfits returns all keys of src that into, a pointer to a struct, does not have, and
// all values that are of another kind than its fields, in the order of the file: the
// decoder stops at the first, and at any of several unknown ones. A file that is no YAML
// has none.
func misfits(file string, src []byte, into any) error {
	tree, err := parser.ParseBytes(src, 0)
	if err != nil || len(tree.Docs) == 0 || tree.Docs[0].Body == nil {
		return nil // the decoder says it
	}
	m := misfit{file: file, src: src}
	m.walk("", tree.Docs[0].Body, reflect.TypeOf(into).Elem())
	return errors.Join(m.found...)
}

type misfit struct {
	file  string
	src   []byte
	found []error
}

func (m *misfit) add(n ast.Node, key string, known []string, format string, args ...any) {
	at := n.GetToken().Position
	m.found = append(m.found, &Fault{
		File: m.file, Line: at.Line, Col: at.Column, Key: key, Msg: fmt.Sprintf(format, args...), Source: line(m.src, at.Line), Known: known,
	})
}

var ownForm = reflect.TypeFor[yaml.NodeUnmarshaler]()

// walk compares the node at key with the type that is to hold it. What it does not know,
// such as an alias, is left to the decoder.
func (m *misfit) walk(key string, n ast.Node, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(ownForm) {
		return
	}
	switch v := n.(type) {
	case *ast.MappingValueNode:
		m.walk(key, &ast.MappingNode{BaseNode: &ast.BaseNode{}, Start: v.GetToken(), Values: []*ast.MappingValueNode{v}}, t)
	case *ast.MappingNode:
		if t.Kind() != reflect.Struct {
			m.add(first(v), key, nil, "is a mapping of keys, want %s", noun(t))
			return
		}
		fields := map[string]reflect.Type{}
		known := fieldsOf(t, fields)
		for _, pair := range v.Values {
			name := pair.Key.GetToken().Value
			if field, ok := fields[name]; ok {
				m.walk(strings.TrimPrefix(key+"."+name, "."), pair.Value, field)
			} else if _, merge := pair.Key.(*ast.MergeKeyNode); !merge {
				m.add(pair.Key, key, known, "unknown field %q", name)
			}
		}
	case *ast.SequenceNode:
		if t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
			m.add(v, key, nil, "is a list, want %s", noun(t))
			return
		}
		for i, e := range v.Values {
			m.walk(fmt.Sprintf("%s[%d]", key, i), e, t.Elem())
		}
	case *ast.StringNode:
		text := v.GetToken().Value
		_, err := strconv.ParseFloat(text, 64)
		if k := t.Kind(); k == reflect.Struct || k == reflect.Slice || k == reflect.Bool || err != nil && k != reflect.String && k != reflect.Interface {
			m.add(v, key, nil, "is %q, want %s", text, noun(t))
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		k := t.Kind()
		_, isBool := v.(*ast.BoolNode)
		if k == reflect.Struct || k == reflect.Slice || isBool != (k == reflect.Bool) && (isBool || k == reflect.Bool) && k != reflect.String && k != reflect.Interface {
			m.add(v, key, nil, "is %s, want %s", v.GetToken().Value, noun(t))
		}
	}
}

func first(n *ast.MappingNode) ast.Node {
	if !n.IsFlowStyle && len(n.Values) > 0 {
		return n.Values[0].Key
	}
	return n
}

// fieldsOf puts the types of the fields of t and of what it takes in into types, by key,
// and returns the keys in order.
func fieldsOf(t reflect.Type, types map[string]reflect.Type) (known []string) {
	for f := range t.Fields() {
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case strings.Contains(option, "inline"):
			known = append(known, fieldsOf(f.Type, types)...)
		case name != "" && name != "-":
			types[name] = f.Type
			known = append(known, name)
		}
	}
	return known
}

// noun is what a value of t is called.
func noun(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "a mapping of keys"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	}
	return "a number"
}
