package params

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

//go:embed *.yaml
var files embed.FS

// Models returns the names of the model sets that ship, sorted.
func Models() []string { return embedded(true) }

// Cells returns the names of the cell sets that ship, sorted.
func Cells() []string { return embedded(false) }

// embedded lists the shipped files: models are those that begin with "ess-".
func embedded(models bool) []string {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		panic(err) // an embedded folder cannot fail to list
	}
	var names []string
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".yaml")
		if strings.HasPrefix(name, "ess-") == models {
			names = append(names, name)
		}
	}
	return names
}

// LoadCell returns the cell set called name, or the one in the file at that path.
// The error lists every fault as "path:line:col: key: message".
func LoadCell(nameOrPath string) (*Cell, error) {
	src, err := read(nameOrPath, Cells())
	if err != nil {
		return nil, fmt.Errorf("load cell %s: %w", nameOrPath, err)
	}
	return ParseCell(nameOrPath, src)
}

// LoadModel returns the model set called name, or the one in the file at that
// path, with its cell. A path in the model's key cell is relative to its file.
// The error lists every fault as "path:line:col: key: message".
func LoadModel(nameOrPath string) (*Model, error) {
	src, err := read(nameOrPath, Models())
	if err != nil {
		return nil, fmt.Errorf("load model %s: %w", nameOrPath, err)
	}
	beside := func(name string, shipped []string) string {
		if !slices.Contains(shipped, name) && !filepath.IsAbs(name) {
			return filepath.Join(filepath.Dir(nameOrPath), name)
		}
		return name
	}
	m, err := ParseModel(nameOrPath, src, func(cell string) (*Cell, error) { return LoadCell(beside(cell, Cells())) })
	if err != nil {
		return nil, err
	}
	var wrong []error
	add := func(err error) { wrong = append(wrong, unjoin(err)...) }
	if name := m.PCS.Losses; name != "" {
		m.Converter, err = LoadConverter(beside(name, Converters()))
		add(named(err, "pcs.losses", m.PCS.Losses, Converters()))
	}
	if g := m.Grid; g != nil && g.Transformer != "" {
		series, err := LoadTransformers(beside(g.Transformer, TransformerSeries()))
		if err == nil {
			m.Transformer, err = series.Rated(m.RatedKW)
			if err != nil {
				err = &Fault{Key: "grid.transformer", Msg: err.Error()}
			}
		}
		add(named(err, "grid.transformer", g.Transformer, TransformerSeries()))
	}
	if g := m.Grid; g != nil && g.Auxiliary != "" {
		m.Auxiliary, err = LoadAuxiliary(beside(g.Auxiliary, Auxiliaries()))
		add(named(err, "grid.auxiliary", g.Auxiliary, Auxiliaries()))
	}
	if name := m.ContainerName; name != "" {
		m.Container, err = LoadContainer(beside(name, Containers()))
		add(named(err, "container", m.ContainerName, Containers()))
	}
	if m.Strings != nil && m.Strings.BMSName != "" {
		m.BMS, err = LoadBMS(beside(m.Strings.BMSName, BMSSets()))
		add(named(err, "strings.bms", m.Strings.BMSName, BMSSets()))
	}
	if m.Strings != nil && m.Strings.RunawayName != "" {
		m.Runaway, err = LoadRunaway(beside(m.Strings.RunawayName, Runaways()))
		add(named(err, "strings.runaway", m.Strings.RunawayName, Runaways()))
	}
	if len(wrong) == 0 {
		add(m.Validate()) // some numbers are only wrong for the sets they meet
	}
	if err := locate(nameOrPath, src, errors.Join(wrong...)); err != nil {
		return nil, err
	}
	return m, nil
}

// named is an error of the set that a key names: a fault of the key where the set is not
// there, else the faults of the set's own file.
func named(err error, key, name string, shipped []string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Fault](unjoin(err)[0]); ok {
		return err
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return &Fault{Key: key, Msg: fmt.Sprintf("is %q, and %s: %v, want a path beside this file or a set that ships: %s", name, p.Path, p.Err, strings.Join(shipped, ", "))}
	}
	return &Fault{Key: key, Msg: err.Error()}
}

// ParseCell decodes a cell file; file is its name in messages.
func ParseCell(file string, src []byte) (*Cell, error) {
	var c Cell
	if err := decode(file, src, &c); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, locate(file, src, err)
	}
	return &c, nil
}

// ParseModel decodes a model file; file is its name in messages, and cell finds
// the set that its key cell names.
func ParseModel(file string, src []byte, cell func(nameOrPath string) (*Cell, error)) (*Model, error) {
	var m Model
	if err := decode(file, src, &m); err != nil {
		return nil, err
	}
	var cellErr error
	if m.CellName != "" {
		m.Cell, cellErr = cell(m.CellName)
	}
	if err := m.Validate(); err != nil || cellErr != nil {
		return nil, locate(file, src, errors.Join(append(unjoin(err), unjoin(named(cellErr, "cell", m.CellName, Cells()))...)...))
	}
	return &m, nil
}

// read finds a shipped set by name, else a file by path.
func read(nameOrPath string, shipped []string) ([]byte, error) {
	if slices.Contains(shipped, nameOrPath) {
		return files.ReadFile(path.Base(nameOrPath) + ".yaml")
	}
	src, err := os.ReadFile(nameOrPath)
	if err != nil {
		return nil, fmt.Errorf("%w (sets that ship: %s)", err, strings.Join(shipped, ", "))
	}
	return src, nil
}

// Duration is a time.Duration written as in 40ms or 1.5s.
type Duration time.Duration

// UnmarshalYAML says where a text stands that is no duration.
func (d *Duration) UnmarshalYAML(n ast.Node) error {
	t := n.GetToken()
	v, err := time.ParseDuration(t.Value)
	if err != nil {
		return &Fault{Line: t.Position.Line, Col: t.Position.Column, Msg: fmt.Sprintf("%q is no duration, want one like 40ms or 1.5s", t.Value)}
	}
	*d = Duration(v)
	return nil
}

// decode reads src strictly: unknown and repeated keys are faults.
func decode(file string, src []byte, into any) error {
	if err := misfits(file, src, into); err != nil {
		return err
	}
	err := yaml.UnmarshalWithOptions(src, into, yaml.Strict())
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		f.File, f.Source = file, line(src, f.Line)
		return f
	}
	f := &Fault{File: file, Msg: err.Error()}
	if y, ok := errors.AsType[yaml.Error](err); ok {
		f.Msg = y.GetMessage()
		if t := y.GetToken(); t != nil && t.Position != nil {
			f.Line, f.Col = t.Position.Line, t.Position.Column
			f.Source = line(src, f.Line)
		}
	}
	return f
}

// line is line n of src, from 1.
func line(src []byte, n int) string {
	lines := bytes.Split(src, []byte("\n"))
	if n < 1 || n > len(lines) {
		return ""
	}
	return string(bytes.TrimRight(lines[n-1], "\r"))
}

// locate gives every Fault in err its place in src: that of its key, or of the
// nearest key above it that is there.
func locate(file string, src []byte, err error) error {
	if err == nil {
		return nil
	}
	tree, parseErr := parser.ParseBytes(src, 0)
	if parseErr != nil {
		return err // src was decoded before, so this is not reached with its own faults
	}
	var out []error
	for _, e := range unjoin(err) {
		f, ok := errors.AsType[*Fault](e)
		if !ok {
			out = append(out, e)
			continue
		}
		if f.File != "" { // a place in another file
			out = append(out, e)
			continue
		}
		at := *f
		at.File = file
		at.Line, at.Col = place(tree, f.Key)
		at.Source = line(src, at.Line)
		out = append(out, &at)
	}
	return errors.Join(out...)
}

func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// place is where the value of key stands, 1:1 if not even its first part does.
func place(tree *ast.File, key string) (line, col int) {
	for key != "" {
		if p, err := yaml.PathString("$." + key); err == nil {
			if n, err := p.FilterFile(tree); err == nil && n != nil {
				if t := n.GetToken(); t != nil && t.Position != nil {
					return t.Position.Line, t.Position.Column
				}
			}
		}
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
	}
	return 1, 1
}
