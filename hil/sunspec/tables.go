package sunspec

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Model is the layout of one information model.
type Model struct {
	ID   uint16
	Name string
	// Points stand once, those of groups as group.point.
	Points []Point
	// Repeat stands behind Points as often as there are instances; nil: nothing does.
	Repeat *Repeat
	Size   int // registers of Points, ID and L included

	index map[string]int // of Points
}

// Repeat is a group of points that comes several times.
type Repeat struct {
	Name   string
	Count  string // the point that says how often; empty: as often as the length has room for
	Points []Point
	Size   int // registers of one instance

	index map[string]int
}

// Point is one point of a model.
type Point struct {
	Name   string
	Offset int // registers from the model's ID, or from the start of the instance
	Size   int // registers
	Type   Type
	Scale  string // the point with the scale factor; empty: none
	RW     bool
	Unit   string
}

// The file is data that the program is built with: what is wrong in it is a fault of
// ours, and panics.
//
//go:embed models.txt
var tableText string

var tables = sync.OnceValue(func() map[uint16]*Model {
	m, err := parseTables(tableText)
	if err != nil {
		panic(err)
	}
	return m
})

// Lookup finds the layout of a model; nil: it is not known here.
func Lookup(id uint16) *Model { return tables()[id] }

// point finds one that stands once.
func (m *Model) point(name string) *Point {
	if i, ok := m.index[name]; ok {
		return &m.Points[i]
	}
	return nil
}

// parser builds models line by line.
type parser struct {
	models map[uint16]*Model
	model  *Model
	group  string
	repeat *Repeat
}

func parseTables(text string) (map[uint16]*Model, error) {
	p := parser{models: map[uint16]*Model{}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if err := p.line(f); err != nil {
			return nil, fmt.Errorf("models.txt:%d: %w", n, err)
		}
	}
	for _, m := range p.models {
		if err := m.check(); err != nil {
			return nil, fmt.Errorf("models.txt: model %d: %w", m.ID, err)
		}
	}
	return p.models, nil
}

func (p *parser) line(f []string) error {
	switch f[0] {
	case "model":
		id, err := strconv.ParseUint(f[1], 10, 16)
		if err != nil {
			return err
		}
		p.model = &Model{ID: uint16(id), Name: f[2], index: map[string]int{}}
		p.models[p.model.ID] = p.model
	case "group":
		p.group = f[1] + "."
	case "repeat":
		p.repeat = &Repeat{Name: f[1], Count: strings.TrimPrefix(f[2], "*"), index: map[string]int{}}
		p.model.Repeat = p.repeat
	case "end":
		p.group, p.repeat = "", nil
	default:
		return p.point(f)
	}
	return nil
}

func (p *parser) point(f []string) error {
	if len(f) < 4 || p.model == nil {
		return fmt.Errorf("point %q: want name, type, access, scale factor and unit, in a model", f[0])
	}
	kind, registers, _ := strings.Cut(f[1], ":")
	t, ok := typeNames[kind]
	if !ok {
		return fmt.Errorf("point %s: no type %q", f[0], kind)
	}
	x := Point{
		Name: p.group + f[0], Size: sizes[t], Type: t, Scale: strings.TrimPrefix(f[3], "-"),
		RW: f[2] == "RW", Unit: strings.Join(f[4:], " "),
	}
	if t == String {
		n, err := strconv.Atoi(registers)
		if err != nil {
			return fmt.Errorf("point %s: %w", f[0], err)
		}
		x.Size = n
	}
	points, size, index := &p.model.Points, &p.model.Size, p.model.index
	if p.repeat != nil {
		points, size, index = &p.repeat.Points, &p.repeat.Size, p.repeat.index
	} else if p.model.Repeat != nil {
		return fmt.Errorf("point %s stands behind a group that repeats", f[0])
	}
	x.Offset = *size
	*size += x.Size
	index[x.Name] = len(*points)
	*points = append(*points, x)
	return nil
}

// check sees to it that all that is named exists: scale factors and counts.
func (m *Model) check() error {
	points := m.Points
	if r := m.Repeat; r != nil {
		points = append(slices.Clip(points), r.Points...)
		if r.Count != "" && m.point(r.Count) == nil {
			return fmt.Errorf("no point %s to count %s", r.Count, r.Name)
		}
	}
	for i := range points {
		if s := points[i].Scale; s != "" {
			if sf := m.point(s); sf == nil || sf.Type != ScaleFactor {
				return fmt.Errorf("point %s: no scale factor %s", points[i].Name, s)
			}
		}
	}
	return nil
}
