package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on a file, so that no input, however strange, takes memory or time
// that a hand-written file would not.
const (
	maxFileBytes = 1 << 20 // a rig of 1,000 devices written out takes about 200 kB
	maxTokens    = 300_000
	maxNesting   = 32      // of [ and {, and of - on one line; our deepest key lies at 6
	maxValues    = 200_000 // after aliases are followed: what a "billion laughs" file runs into
	maxKeys      = 2_000   // of one block mapping; the parser's time grows with their square
	maxFlowKeys  = 20_000  // of one flow collection, all its mappings together
	maxFaults    = 100     // reported per file; ten times as many are noted
)

// Options say what the reader cannot know by itself. The zero value reads from
// the operating system and accepts any well-formed model name.
type Options struct {
	FS         fs.FS                  // where files and their inputs are opened; nil: the operating system
	Models     func(name string) bool // whether a model set of that name exists; nil: not checked
	ModelNames []string               // the model sets, for hints; may be empty
	CellNames  []string               // the cell sets that a trace may name; may be empty
	// Model looks into a model set by name or a model file by path; its error may be
	// Faults of that file. nil: models are not looked into.
	Model func(nameOrPath string) (*ModelFacts, error)
	// Profiles and Databases say what the registers and frames of wires mean.
	Profiles, Databases Sets
	// Procedure finds a test of the acceptance suite by name, for what rigs change in
	// it; nil: not looked at.
	Procedure func(name string) (*Procedure, error)
	// ProcedureNames are those tests, for hints; may be empty.
	ProcedureNames []string
	// OwnCertificate: one is made where a configuration names none.
	OwnCertificate bool
}

// Sets are what ships under a name and may also be a file. The zero value takes any
// well-formed name for one that ships.
type Sets struct {
	Names []string
	// Look looks into one, by name or path; its error may be Faults of that file. nil:
	// they are not looked into.
	Look func(nameOrPath string) error
}

// place is where a value stands, and its key when it has one.
type place struct{ line, col int }

// source is one file while it is read: its text, where each value stands, and
// what was found wrong so far.
type source struct {
	name   string // as it was given, shown in faults
	opt    Options
	lines  []string
	places map[string]place // "fleet[0].id" → its value
	keys   map[string]place // "fleet[0].id" → its key
	plans  plans
	kind   string // what the file is read as, such as Scenario
	faults Faults
	hidden map[int]bool // lines that no message shows
	more   int          // faults that were not noted
	values int
	anchor map[string]ast.Node
	inputs []string // files opened on behalf of this one
	models map[string]*ModelFacts
	looked map[string]bool // what Sets were asked for
}

func newSource(name string, opt Options) *source {
	return &source{
		name: name, opt: opt, places: map[string]place{}, keys: map[string]place{},
		models: map[string]*ModelFacts{}, looked: map[string]bool{}, plans: plans{}, anchor: map[string]ast.Node{},
	}
}

// fault notes that something at p is wrong.
func (s *source) fault(p place, hint, format string, args ...any) {
	if len(s.faults) >= 10*maxFaults {
		s.more++
		return
	}
	f := Fault{Path: s.name, Line: p.line, Col: p.col, Msg: fmt.Sprintf(format, args...), Hint: hint}
	if 0 < p.line && p.line <= len(s.lines) {
		f.Source = s.lines[p.line-1]
	}
	s.faults = append(s.faults, f)
}

// wrong notes that the value at a key path is wrong. A path that is not in the
// file (its value is a default) stands for the nearest key around it.
func (s *source) wrong(at, hint, format string, args ...any) {
	s.fault(s.place(at), hint, format, args...)
}

// hide keeps the line of a value that may hold a secret out of every message.
func (s *source) hide(at string) {
	if s.hidden == nil {
		s.hidden = map[int]bool{}
	}
	s.hidden[s.place(at).line] = true
}

// place finds the value at a key path, or what is around it.
func (s *source) place(at string) place {
	for {
		if p, ok := s.places[at]; ok {
			return p
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			return place{1, 1}
		}
		at = at[:i]
	}
}

// key finds the key at a path: where a fault about its being there belongs.
func (s *source) key(at string) place {
	if p, ok := s.keys[at]; ok {
		return p
	}
	return s.place(at)
}

// has tells whether the file itself gives a value at that path.
func (s *source) has(at string) bool { _, ok := s.places[at]; return ok }

// err is what the reader returns: all faults in order, or nil.
func (s *source) err() error {
	if len(s.faults) == 0 {
		return nil
	}
	for i := range s.faults {
		if s.hidden[s.faults[i].Line] {
			s.faults[i].Source = ""
		}
	}
	fs := s.faults.sorted()
	if n := len(fs); n > maxFaults {
		fs = append(fs[:maxFaults:maxFaults], Fault{Path: s.name, Msg: fmt.Sprintf("and %d more", n-maxFaults+s.more)})
	}
	return fs
}

// parse turns the text into its one document. It returns nil after noting why
// there is none.
func (s *source) parse(data []byte) ast.Node {
	if len(data) > maxFileBytes {
		s.fault(place{}, "put long lists of numbers into a CSV file and name it here",
			"the file has %d bytes; the most that is read is %d", len(data), maxFileBytes)
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	s.lines = strings.Split(text, "\n")
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		for i, line := range s.lines {
			if j := strings.IndexFunc(line, func(r rune) bool { return r == utf8.RuneError || r == 0 }); j >= 0 {
				s.lines[i] = strings.ToValidUTF8(strings.ReplaceAll(line, "\x00", "?"), "?")
				s.fault(place{i + 1, utf8.RuneCountInString(line[:j]) + 1}, "save the file as UTF-8", "this is not UTF-8 text")
				return nil
			}
		}
	}
	tokens := lexer.Tokenize(text)
	if p, deep := tooDeep(tokens); deep {
		s.fault(p, "", "the file is nested or packed more than any scenario needs; it is not read")
		return nil
	}
	doc, err := parseTokens(tokens)
	if err != nil {
		s.syntax(err)
		return nil
	}
	var bodies []ast.Node
	for _, d := range doc.Docs {
		if d.Body != nil {
			bodies = append(bodies, d.Body)
		}
	}
	switch {
	case len(bodies) == 0:
		s.fault(place{1, 1}, "begin with: apiVersion: "+APIVersion, "the file is empty")
		return nil
	case len(bodies) > 1:
		s.fault(start(bodies[1]), "one file holds one document: put the part after --- into a file of its own",
			"a second document begins here")
		return nil
	}
	return bodies[0]
}

// parseTokens calls the YAML parser. It parses what strangers send, so a panic
// in there is a file it cannot read, not the end of the program.
func parseTokens(tokens token.Tokens) (doc *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			doc, err = nil, fmt.Errorf("%v", r)
		}
	}()
	// Duplicate keys are found by the decoder, all of them at once.
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// tooDeep finds what would take the parser's stack or time: nested flow
// collections, indicators repeated on one line, mappings of thousands of keys.
func tooDeep(tokens token.Tokens) (place, bool) {
	if len(tokens) > maxTokens {
		return place{1, 1}, true
	}
	var keys [256]int // of the block mapping open at a column
	flow, flowKeys, line, marks := 0, 0, 0, 0
	for i, t := range tokens {
		if t.Position.Line != line {
			line, marks = t.Position.Line, 0
			for c := max(t.Position.Column, 0) + 1; c < len(keys); c++ {
				keys[c] = 0
			}
		}
		column := 0
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			if flow--; flow == 0 {
				flowKeys = 0
			}
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			marks++
		case token.MappingValueType:
			if flow > 0 {
				flowKeys++
			} else if i > 0 {
				column = min(max(tokens[i-1].Position.Column, 0), len(keys)-1)
				keys[column]++
			}
		}
		if flow > maxNesting || marks > maxNesting || flow < -maxNesting || t.Position.IndentLevel > maxNesting ||
			keys[column] > maxKeys || flowKeys > maxFlowKeys {
			return place{t.Position.Line, t.Position.Column}, true
		}
	}
	return place{}, false
}

// syntax turns an error of the YAML parser into a fault with a hint for the
// usual slips.
func (s *source) syntax(err error) {
	p, msg := place{1, 1}, err.Error()
	if ye, ok := errors.AsType[yaml.Error](err); ok {
		msg = ye.GetMessage()
		if t := ye.GetToken(); t != nil && t.Position != nil {
			p = place{t.Position.Line, t.Position.Column}
		}
	}
	line := ""
	if 0 < p.line && p.line <= len(s.lines) {
		line = s.lines[p.line-1]
	}
	var hint string
	switch {
	case strings.ContainsAny(line, "：，“”"):
		hint = `full-width punctuation: YAML needs the ASCII signs : , and "`
	case strings.HasPrefix(line, "\t") || strings.Contains(msg, "tab"):
		hint = "indent with spaces; YAML does not allow tabs there"
	case strings.Contains(msg, "unexpected key name") || strings.Contains(msg, "non-map value"):
		hint = "write key: value, with a blank after the colon"
	case strings.Contains(msg, "flow mapping") || strings.Contains(msg, "map value") || strings.Contains(msg, "',' or '}'"):
		hint = "close the { with a } and put commas between the entries"
	case strings.Contains(msg, "',' or ']'") || strings.Contains(msg, "sequence end"):
		hint = "close the [ with a ] and put commas between the values"
	case strings.Contains(msg, "quoted text"):
		hint = "close the quotes on this line"
	case strings.Contains(msg, "value is not allowed"):
		hint = `keys of one block start in the same column; a text that holds ": " needs quotes`
	case strings.Contains(msg, "alias") || strings.Contains(line, "*"):
		hint = `a text that begins with * needs quotes: "*"`
	case strings.Contains(msg, "reserved character") || strings.Contains(msg, "directive"):
		hint = "put the text into quotes"
	}
	s.fault(p, hint, "not valid YAML: %s", msg)
}

// path turns a path written in the file into one that can be opened: relative
// to the folder of the file.
func (s *source) path(rel string) string {
	if s.opt.FS != nil {
		return path.Join(path.Dir(s.name), rel)
	}
	if filepath.IsAbs(rel) {
		return filepath.Clean(rel)
	}
	return filepath.Join(filepath.Dir(s.name), filepath.FromSlash(rel))
}

// open opens the file that the value at a key path names. It notes a fault and
// returns nil when there is no such file.
func (s *source) open(at, rel string) fs.File {
	if rel == "" {
		s.wrong(at, "write the path of a file, relative to this one", "no file is named")
		return nil
	}
	full := s.path(rel)
	f, err := openRegular(s.opt.FS, full)
	if err != nil {
		s.wrong(at, s.neighbours(full), "%s: %s", rel, reason(err))
		return nil
	}
	if !slices.Contains(s.inputs, full) {
		s.inputs = append(s.inputs, full)
	}
	return f
}

// exists notes a fault unless the value at a key path names a file. The value
// becomes a path that can be opened, recognisable by IsPath.
func (s *source) exists(at string, value *string) {
	f := s.open(at, *value)
	if f == nil {
		return
	}
	_ = f.Close() // only looked for
	*value = s.path(*value)
	if !IsPath(*value) && s.opt.FS == nil {
		*value = "./" + *value
	}
}

// neighbours names a file beside the one that is not there.
func (s *source) neighbours(full string) string {
	var entries []fs.DirEntry
	if s.opt.FS != nil {
		entries, _ = fs.ReadDir(s.opt.FS, path.Dir(full))
	} else {
		entries, _ = os.ReadDir(filepath.Dir(full))
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if near := nearest(filepath.Base(full), names); near != "" && near != filepath.Base(full) {
		return fmt.Sprintf("did you mean %q in the same folder?", near)
	}
	return "paths are relative to the file that names them; looked for " + filepath.ToSlash(full)
}

// openRegular opens a regular file of fsys, or of the operating system when
// fsys is nil. It looks first: opening a pipe would wait for its other end.
func openRegular(fsys fs.FS, name string) (fs.File, error) {
	stat, open := os.Stat, func(name string) (fs.File, error) { return os.Open(name) }
	if fsys != nil {
		stat, open = func(name string) (fs.FileInfo, error) { return fs.Stat(fsys, name) }, fsys.Open
	}
	info, err := stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	return open(name)
}

// reason says what an error of the file system means, without its path.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.Is(err, fs.ErrPermission):
		return "may not be read (permission)"
	case errors.Is(err, fs.ErrInvalid):
		return "lies outside the folder that is read"
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}
