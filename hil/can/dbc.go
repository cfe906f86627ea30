package can

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/scanner"

	"go.einride.tech/can"
	"go.einride.tech/can/pkg/dbc"

	"yunchu/hil/strict"
)

//go:embed dbc/*.dbc dbc/*.yaml
var shipped embed.FS

// Shipped returns the names of the databases and profiles that ship, sorted.
func Shipped() []string {
	names, err := fs.Glob(shipped, "dbc/*.dbc")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(strings.TrimPrefix(n, "dbc/"), ".dbc")
	}
	return names
}

// Database is a CAN database: the messages of a bus and the signals in them.
type Database struct {
	File     string
	Messages []*Message
}

// Message is one kind of frame.
type Message struct {
	ID       uint32
	Extended bool
	Name     string
	Size     int // bytes of data; devices may send fewer or more
	Signals  []Signal
	switches int // index of the signal that multiplexes the others; -1 none
}

// Message finds a message by name; nil if there is none.
func (d *Database) Message(name string) *Message {
	for _, m := range d.Messages {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// names of all messages, for hints.
func (d *Database) names() []string {
	var out []string
	for _, m := range d.Messages {
		out = append(out, m.Name)
	}
	return out
}

// Signal finds a signal by name; -1 if there is none.
func (m *Message) Signal(name string) int {
	return slices.IndexFunc(m.Signals, func(s Signal) bool { return s.Name == name })
}

func (m *Message) names() []string {
	var out []string
	for _, s := range m.Signals {
		out = append(out, s.Name)
	}
	return out
}

// LoadDatabase reads the database that ships under a name, or the file at that path.
// What is wrong with the file comes back as strict.Faults.
func LoadDatabase(nameOrPath string) (*Database, error) {
	src, err := readDatabase(nameOrPath)
	if err != nil {
		return nil, err
	}
	return ParseDatabase(nameOrPath, src)
}

func readDatabase(nameOrPath string) ([]byte, error) {
	if slices.Contains(Shipped(), nameOrPath) {
		return shipped.ReadFile("dbc/" + nameOrPath + ".dbc")
	}
	src, err := readFile(nameOrPath)
	if err != nil {
		return nil, fmt.Errorf("CAN database %s: %w (those that ship: %s)", nameOrPath, err, strings.Join(Shipped(), ", "))
	}
	return src, nil
}

// maxFile bounds databases and profiles: the largest public ones of whole cars have less
// than 1 MB.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("no such file")
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%d bytes are more than the %d that are read", info.Size(), maxFile)
	}
	return os.ReadFile(filepath.Clean(path))
}

// ParseDatabase reads a database; file is its name in messages. Faults of form end the
// reading at the first, faults of sense are all found.
func ParseDatabase(file string, src []byte) (*Database, error) {
	r := strict.New(file, src)
	defs, err := parseDefs(file, src)
	if err != nil {
		at := scanner.Position{Line: 1, Column: 1}
		why := err.Error()
		if e, ok := errors.AsType[dbc.Error](err); ok {
			at, why = e.Position(), e.Reason()
		}
		r.Add(max(at.Line, 1), max(at.Column, 1), "", "not a CAN database: %s", why)
		return nil, r.Err()
	}
	db := &Database{File: file}
	for _, def := range defs {
		switch def := def.(type) {
		case *dbc.MessageDef:
			db.addMessage(r, def)
		case *dbc.SignalValueTypeDef:
			db.setFloat(r, def)
		}
	}
	if len(db.Messages) == 0 && r.Count() == 0 {
		r.Add(1, 1, "messages begin with BO_", "the database has no message")
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return db, nil
}

// parseDefs calls the library, for which a strange file is no reason to end the program.
func parseDefs(file string, src []byte) (defs []dbc.Def, err error) {
	defer func() {
		if p := recover(); p != nil {
			defs, err = nil, fmt.Errorf("%v", p)
		}
	}()
	p := dbc.NewParser(file, src)
	if err := p.Parse(); err != nil {
		return nil, err
	}
	return p.Defs(), nil
}

func (d *Database) addMessage(r *strict.File, def *dbc.MessageDef) {
	if def.MessageID == 0xC0000000 {
		return // signals that belong to no message
	}
	line, col := def.Pos.Line, def.Pos.Column
	m := &Message{ID: def.MessageID.ToCAN(), Extended: def.MessageID.IsExtended(), Name: string(def.Name), Size: int(min(def.Size, 1<<16)), switches: -1}
	if m.Size > can.MaxDataLength {
		r.Add(line, col, "a frame of classic CAN has at most 8", "message %s has %d bytes", m.Name, def.Size)
		return
	}
	for _, o := range d.Messages {
		if o.Name == m.Name {
			r.Add(line, col, "", "a second message has the name %s", m.Name)
		}
		if o.ID == m.ID && o.Extended == m.Extended {
			r.Add(line, col, "", "message %s has the identifier of %s", m.Name, o.Name)
		}
	}
	for i := range def.Signals {
		m.addSignal(r, &def.Signals[i])
	}
	d.Messages = append(d.Messages, m)
}

func (m *Message) addSignal(r *strict.File, def *dbc.SignalDef) {
	line, col := def.Pos.Line, def.Pos.Column
	before := r.Count()
	if m.Signal(string(def.Name)) >= 0 {
		r.Add(line, col, "", "a second signal of %s has the name %s", m.Name, def.Name)
	}
	if def.Size < 1 || def.Size > 64 {
		r.Add(line, col, "", "signal %s has %d bits, want 1 to 64", def.Name, def.Size)
	}
	if def.StartBit > 63 {
		r.Add(line, col, "", "signal %s begins at bit %d, want 0 to 63", def.Name, def.StartBit)
	}
	if def.Factor == 0 {
		r.Add(line, col, "", "signal %s has a factor of 0", def.Name)
	}
	if r.Count() > before {
		return
	}
	s := Signal{
		Name: string(def.Name), Start: uint8(def.StartBit), Length: uint8(def.Size), BigEndian: def.IsBigEndian, Signed: def.IsSigned,
		Factor: def.Factor, Offset: def.Offset, Unit: def.Unit, When: -1,
	}
	s.bytes = s.reach()
	if s.bytes > m.Size {
		r.Add(line, col, "", "signal %s reaches into byte %d of message %s, which has %d", def.Name, s.bytes, m.Name, m.Size)
		return
	}
	if def.IsMultiplexed {
		s.When = int64(def.MultiplexerSwitch)
	}
	if def.IsMultiplexerSwitch {
		if m.switches >= 0 {
			r.Add(line, col, "", "a second signal of %s selects the others", m.Name)
		}
		m.switches = len(m.Signals)
	}
	m.Signals = append(m.Signals, s)
}

// setFloat takes SIG_VALTYPE_, by which a signal is an IEEE number.
func (d *Database) setFloat(r *strict.File, def *dbc.SignalValueTypeDef) {
	bits := map[dbc.SignalValueType]uint8{dbc.SignalValueTypeFloat32: 32, dbc.SignalValueTypeFloat64: 64}[def.SignalValueType]
	line, col := def.Pos.Line, def.Pos.Column
	for _, m := range d.Messages {
		i := m.Signal(string(def.SignalName))
		if m.ID != def.MessageID.ToCAN() || m.Extended != def.MessageID.IsExtended() || i < 0 || bits == 0 {
			continue
		}
		if m.Signals[i].Length != bits {
			r.Add(line, col, "", "signal %s is a number of %d bits and has %d", def.SignalName, bits, m.Signals[i].Length)
			continue
		}
		m.Signals[i].Float = true
	}
}
