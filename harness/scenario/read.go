package scenario

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Load reads a scenario file, its inputs and all. What is wrong with the file
// or with what it names comes back as Faults, all of it at once.
func Load(path string, opt Options) (*Scenario, error) {
	data, err := readFile(path, opt)
	if err != nil {
		return nil, err
	}
	return Parse(path, data, opt)
}

// Parse is Load for a text at hand. The name is shown in faults, and the paths
// of the text are relative to its folder.
func Parse(name string, data []byte, opt Options) (*Scenario, error) {
	sc := new(Scenario)
	s, err := decodeFile(name, data, "Scenario", sc, opt)
	if err != nil {
		return nil, err
	}
	sc.Path = name
	sc.check(s)
	sc.Inputs = s.inputs
	if err := s.err(); err != nil {
		return nil, err
	}
	return sc, nil
}

// Decode reads a YAML text into v, a pointer to a struct with yaml, jsonschema
// and doc tags like those of this package, as strictly and with the same
// faults. It is for files whose structs live elsewhere, such as models.
func Decode(name string, data []byte, v any) error {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decode %s: %T is not a pointer to a struct", name, v)
	}
	s := newSource(name, Options{})
	doc := s.parse(data)
	if doc != nil {
		s.anchors(doc)
		s.decode(doc, rv.Elem(), "", rules{})
	}
	return s.err()
}

// readFile returns the text of a file, or Faults.
func readFile(file string, opt Options) ([]byte, error) {
	var f fs.File
	var err error
	if opt.FS != nil {
		f, err = opt.FS.Open(file)
	} else {
		f, err = os.Open(file)
	}
	var data []byte
	if err == nil {
		defer func() { _ = f.Close() }() // only read
		data, err = io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	}
	if err != nil {
		s := newSource(file, opt)
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = s.neighbours(cleanPath(file, opt))
		}
		s.fault(place{}, hint, "%s", reason(err))
		return nil, s.err()
	}
	return data, nil
}

func cleanPath(file string, opt Options) string {
	if opt.FS != nil {
		return path.Clean(file)
	}
	return filepath.Clean(file)
}

// decodeFile reads one file of a kind into v, without the checks that need
// more than one key. The source is for those; nil means that nothing could be
// read and err says why.
func decodeFile(file string, data []byte, kind string, v any, opt Options) (*source, error) {
	s := newSource(file, opt)
	s.inputs, s.kind = []string{file}, kind
	doc := s.parse(data)
	if doc == nil {
		return nil, s.err()
	}
	s.anchors(doc)
	if !s.isKind(doc, kind) {
		return nil, s.err()
	}
	s.decode(doc, reflect.ValueOf(v).Elem(), "", rules{})
	return s, nil
}

// isKind looks at apiVersion and kind first: with another kind of file every
// other key would be wrong too, which tells nobody anything.
func (s *source) isKind(doc ast.Node, want string) bool {
	pairs, ok := pairsOf(s.resolve(doc))
	if !ok {
		s.fault(start(doc), "begin with: apiVersion: "+APIVersion, "a file is a mapping of keys, got %s", describe(doc))
		return false
	}
	for _, kv := range pairs {
		if keyText(kv.Key) != "kind" || kv.Value == nil {
			continue
		}
		got, _, _ := scalar(kv.Value)
		if got == want {
			return true
		}
		for _, k := range Kinds() {
			if got == k {
				s.fault(start(kv.Value), kindHint(k), "this is a %s file, not a %s", k, want)
				return false
			}
		}
		if near := nearest(got, allKinds()); near != "" && near != want {
			s.fault(start(kv.Value), fmt.Sprintf("did you mean %q?", near), "unknown kind %q", short(got))
			return false
		}
		s.fault(start(kv.Value), "write kind: "+want, "unknown kind %q", short(got))
		return true
	}
	return true
}

// Kinds are the kinds of files of apiVersion yunchu/v1.
func Kinds() []string {
	return []string{"Scenario", "Rig", "Config", "Model", "Trace", "Procedure", "Load", "Portfolio"}
}

// allKinds are those of files that other packages read, too.
func allKinds() []string {
	return append(Kinds(), "Profile", "CANProfile", "Aging", "Container", "Runaway", "BMS", "Converter", "Transformers", "Auxiliary", "ScoreRule", "BillRule")
}

func kindHint(kind string) string {
	switch kind {
	case "Scenario":
		return "scenarios are run by: yunchu run FILE"
	case "Rig":
		return "rigs are served by: yunchu rig FILE, and tested by: yunchu accept --rig FILE"
	case "Config":
		return "configurations are used by: yunchu serve -c FILE"
	case "Trace":
		return "traces are run by: yunchu trace FILE"
	case "Procedure":
		return "procedures are done by: yunchu accept FILE"
	case "Load":
		return "loads are put on by: yunchu load FILE"
	case "Portfolio":
		return "portfolios are planned by: yunchu market plan --site FILE"
	case "Model":
		return "models are named by the model key of a device"
	}
	return ""
}

// KindOf tells the kind of a file from its text, or "" when it names none. It
// is for commands that take several kinds.
func KindOf(data []byte) string {
	s := newSource("", Options{})
	doc := s.parse(data)
	pairs, _ := pairsOf(doc)
	for _, kv := range pairs {
		if keyText(kv.Key) == "kind" && kv.Value != nil {
			kind, _, _ := scalar(kv.Value)
			return strings.TrimSpace(kind)
		}
	}
	return ""
}
