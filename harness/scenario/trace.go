package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// Trace is one cell or module that is stepped through a profile. Its units are
// those of the cell models: SI, soc from 0 to 1, temperatures in K.
type Trace struct {
	Head             `yaml:",inline"`
	Cell             string        `yaml:"cell" jsonschema:"required" example:"../params/cell.yaml" doc:"Path of the cell file, or the name of a set that ships."`
	Topology         Topology      `yaml:"topology,omitempty" doc:"{series: S, parallel: P, contact_ohm: [..]}: P cells side by side in each of S groups; one cell when left out."`
	CapacityFactor   Values        `yaml:"capacity_factor,omitempty" jsonschema:"minimum=0.001,maximum=1000,default=1" doc:"Of each cell, or one for all."`
	ResistanceFactor Values        `yaml:"resistance_factor,omitempty" jsonschema:"minimum=0.001,maximum=1000,default=1" doc:"Likewise."`
	SoC              Values        `yaml:"soc,omitempty" jsonschema:"minimum=0,maximum=1,default=0.5" doc:"State of charge at the start, 0..1."`
	Hysteresis       Values        `yaml:"hysteresis,omitempty" jsonschema:"minimum=-1,maximum=1,default=0" doc:"Hysteresis state at the start, -1..1."`
	TempK            Values        `yaml:"temp_k,omitempty" jsonschema:"minimum=200,maximum=500,default=298.15" doc:"Temperature at the start, K."`
	Heat             Heat          `yaml:"heat,omitempty" doc:"Where heat goes."`
	Profile          string        `yaml:"profile" jsonschema:"required" example:"case.profile.csv" doc:"Path of a CSV: t_s and current_a, power_w or voltage_v, positive charges."`
	Step             time.Duration `yaml:"step,omitempty" jsonschema:"exclusiveMinimum=0,default=1s" doc:"Step of the physics."`
	OutputEvery      time.Duration `yaml:"output_every,omitempty" jsonschema:"exclusiveMinimum=0" doc:"Distance of the rows of the result; default a step."`

	Path   string       `yaml:"-"` // the file, as it was named
	Inputs []string     `yaml:"-"` // every file that was opened for it, itself first
	Rows   []ProfileRow `yaml:"-"` // the profile

	FreeStanding bool `yaml:"-"` // each cell loses heat to the environment as its own file says
}

// Topology says how the cells of a trace are connected: Parallel of them side by
// side in each of Series groups, and the groups in a row. They are numbered group by
// group: those of group 1 are 1 to P, those of group 2 are P+1 to 2P.
type Topology struct {
	Series     int    `yaml:"series,omitempty" jsonschema:"minimum=1,maximum=10000,default=1" doc:"Groups in series."`
	Parallel   int    `yaml:"parallel,omitempty" jsonschema:"minimum=1,maximum=10000,default=1" doc:"Cells in parallel in each group."`
	ContactOhm Values `yaml:"contact_ohm,omitempty" jsonschema:"minimum=0,default=0" doc:"Contact resistance of each parallel cell, Ohm, or one for all."`
}

// Cells is the number of cells.
func (t Topology) Cells() int { return t.Series * t.Parallel }

// maxTraceCells is the most cells a trace may have.
const maxTraceCells = 10000

// Heat are the paths by which the heat of a cell leaves. A conductance of 0 is
// no path.
type Heat struct {
	EnvWPerK       float64 `yaml:"env_w_per_k,omitempty" jsonschema:"minimum=0,maximum=1e6" doc:"Each cell to the environment, W/K."`
	EnvK           float64 `yaml:"env_k,omitempty" jsonschema:"minimum=200,maximum=500,default=298.15" doc:"The environment, K."`
	NeighbourWPerK float64 `yaml:"neighbour_w_per_k,omitempty" jsonschema:"minimum=0,maximum=1e6" doc:"Between neighbours, W/K."`
	CoolantWPerK   float64 `yaml:"coolant_w_per_k,omitempty" jsonschema:"minimum=0,maximum=1e6" doc:"A cooled cell to the coolant, W/K."`
	CoolantK       float64 `yaml:"coolant_k,omitempty" jsonschema:"minimum=200,maximum=500,default=298.15" doc:"The coolant, K."`
	CoolantEnd     string  `yaml:"coolant_end,omitempty" jsonschema:"enum=first,enum=last,enum=both,default=first" noun:"cooled end" doc:"Which cells are cooled: the first, the last or both."`
}

// Values is one number for all cells, or one for each.
type Values []float64

// Of is the value of cell i, from 0.
func (v Values) Of(i int) float64 {
	if len(v) == 1 {
		return v[0]
	}
	return v[i]
}

func (v *Values) read(s *source, n ast.Node, at string, r rules) {
	r.preset = ""
	if _, list := n.(*ast.SequenceNode); list {
		s.list(n, elem((*[]float64)(v)), at, r)
		return
	}
	if x, ok := s.number(n, at, r); ok {
		*v = Values{x}
	}
}

// ParseValues reads a number, or several with commas between them.
func ParseValues(text string) (Values, error) {
	var out Values
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		x, err := strconv.ParseFloat(part, 64)
		if err != nil || !decimal(part) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("%q is not a number", part)
		}
		out = append(out, x)
	}
	return out, nil
}

func (v *Values) preset(text string) error {
	var x float64
	_, err := fmt.Sscanf(text, "%g", &x)
	*v = Values{x}
	return err
}

// ProfileRow is the input that acts from T until the next row.
type ProfileRow struct {
	T     time.Duration // since the start
	Input ProfileInput
	Value float64 // A, W or V; positive charges
}

// ProfileInput is the column of a profile that acts.
type ProfileInput string

// The columns of a profile beside t_s: what is held at the terminals.
const (
	CurrentA ProfileInput = "current_a"
	PowerW   ProfileInput = "power_w"
	VoltageV ProfileInput = "voltage_v"
)

var profileInputs = [...]ProfileInput{CurrentA, PowerW, VoltageV}

func (*Trace) root() {}

// LoadTrace reads a trace file and its profile. Its error is Faults.
func LoadTrace(path string, opt Options) (*Trace, error) {
	data, err := readFile(path, opt)
	if err != nil {
		return nil, err
	}
	return ParseTrace(path, data, opt)
}

// ParseTrace is LoadTrace for a text at hand.
func ParseTrace(name string, data []byte, opt Options) (*Trace, error) {
	t := new(Trace)
	s, err := decodeFile(name, data, "Trace", t, opt)
	if err != nil {
		return nil, err
	}
	t.Path = name
	t.check(s)
	t.Inputs = s.inputs
	if err := s.err(); err != nil {
		return nil, err
	}
	return t, nil
}

// NewTrace is the trace of one cell through a profile, with all defaults but that of
// heat: the cell stands free in air. It is the short form of the command line. Its error
// is Faults.
func NewTrace(cell, profile string, opt Options) (*Trace, error) {
	text := fmt.Sprintf("apiVersion: %s\nkind: Trace\ncell: %q\nprofile: %q\n", APIVersion, cell, profile)
	t, err := ParseTrace("command line", []byte(text), opt)
	if err != nil {
		return nil, err
	}
	t.FreeStanding = true
	return t, nil
}

func (t *Trace) check(s *source) {
	if t.Name == "" {
		base := filepath.Base(t.Path)
		t.Name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	if t.OutputEvery == 0 {
		t.OutputEvery = t.Step
	}
	if t.Topology.Parallel == 1 && !s.has("topology.parallel") {
		s.misplaced("topology", "contact_ohm", "cells in series", "it belongs to parallel")
	}
	cells := t.Topology.Cells()
	if cells > maxTraceCells {
		s.wrong("topology", fmt.Sprintf("a trace has at most %d", maxTraceCells), "%d groups of %d are %d cells", t.Topology.Series, t.Topology.Parallel, cells)
	}
	for _, f := range []struct {
		key string
		v   Values
	}{
		{"topology.contact_ohm", t.Topology.ContactOhm},
		{"capacity_factor", t.CapacityFactor},
		{"resistance_factor", t.ResistanceFactor},
		{"soc", t.SoC},
		{"hysteresis", t.Hysteresis},
		{"temp_k", t.TempK},
	} {
		if n := len(f.v); s.has(f.key) && n > 1 && n != cells && cells > 0 {
			s.wrong(f.key, fmt.Sprintf("write one number, or %d", cells), "%s has %d values for %d cells", f.key, n, cells)
		}
	}
	if t.Cell != "" && !slices.Contains(s.opt.CellNames, t.Cell) {
		s.exists("cell", &t.Cell)
	}
	if t.Profile != "" {
		t.loadProfile(s)
		t.Profile = s.path(t.Profile)
	}
}

func (t *Trace) loadProfile(s *source) {
	file := s.open("profile", t.Profile)
	if file == nil {
		return
	}
	defer func() { _ = file.Close() }() // only read
	const hint = "a profile has the columns t_s and current_a, power_w or voltage_v; with several, all but one are blank in each row"
	text, err := io.ReadAll(&bounded{file, maxInputBytes})
	if err != nil {
		s.wrong("profile", hint, "%s: %s", t.Profile, err)
		return
	}
	lines := strings.Split(string(text), "\n")
	for _, err := range t.fill(bytes.NewReader(text)) {
		e, ok := errors.AsType[*rowError](err)
		if !ok {
			s.wrong("profile", hint, "%s", err)
			continue
		}
		f := Fault{Path: s.path(t.Profile), Line: e.line, Col: 1, Msg: e.msg, Hint: hint}
		if e.line <= len(lines) {
			f.Source = strings.TrimRight(lines[e.line-1], "\r")
			f.Col = 1 + utf8.RuneCountInString(f.Source[:min(max(e.col-1, 0), len(f.Source))])
		}
		s.faults = append(s.faults, f)
	}
}

// longestProfile is the last t_s a profile may have: 30 years.
const longestProfile = 1e9

// mostInput is the largest current, power or voltage of a profile: beyond what any
// battery is asked for, and far from where numbers end.
const mostInput = 1e9

// fill reads the rows of the profile and returns what is wrong with them, row by row.
// Time counts from the first row.
func (t *Trace) fill(file io.Reader) (errs []error) {
	rows, err := newTable(file, t.Profile)
	if err != nil {
		return []error{err}
	}
	tc, err := rows.column("t_s")
	if err != nil {
		return []error{err}
	}
	columns := map[ProfileInput]int{}
	for _, in := range profileInputs {
		k, err := rows.column(string(in))
		if _, absent := errors.AsType[*columnError](err); absent {
			continue
		} else if err != nil {
			return []error{err}
		}
		columns[in] = k
	}
	if len(columns) == 0 {
		return []error{fmt.Errorf("%s has no column current_a, power_w or voltage_v", t.Profile)}
	}
	first := math.NaN()
	for rows.next() && len(errs) < maxFaults {
		row, err := t.row(rows, tc, columns, &first)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.Rows = append(t.Rows, row)
	}
	if rows.err != nil {
		errs = append(errs, rows.err)
	}
	if len(errs) == 0 && len(t.Rows) < 2 {
		errs = append(errs, fmt.Errorf("%s needs two rows: the run ends at the last one", t.Profile))
	}
	return errs
}

// row reads the current row; first is the time of the first one in s, NaN before that.
func (t *Trace) row(rows *table, tc int, columns map[ProfileInput]int, first *float64) (row ProfileRow, err error) {
	at, err := rows.number(tc)
	if err != nil {
		return row, err
	}
	if math.IsNaN(*first) {
		*first = at
	}
	if at -= *first; at > longestProfile {
		return row, rows.at(tc, "", "t_s counts seconds; %s is too long", rows.row[tc])
	}
	row.T = time.Duration(math.Round(at * float64(time.Second)))
	if n := len(t.Rows); at < 0 || n > 0 && row.T <= t.Rows[n-1].T {
		return row, rows.at(tc, "", "time %s does not come after the row before", rows.row[tc])
	}
	for _, in := range profileInputs {
		k, ok := columns[in]
		if !ok || strings.TrimSpace(rows.row[k]) == "" {
			continue
		}
		if row.Input != "" {
			return row, rows.at(k, "", "a row has one input, not %s and %s", row.Input, in)
		}
		row.Input = in
		if row.Value, err = rows.number(k); err != nil {
			return row, err
		}
		if math.Abs(row.Value) > mostInput {
			return row, rows.at(k, "", "%s is beyond what a battery is asked for, %g", strings.TrimSpace(rows.row[k]), mostInput)
		}
	}
	if row.Input == "" {
		return row, rows.at(tc, "", "a row has a current, a power or a voltage")
	}
	if row.Input == VoltageV && !(row.Value > 0) {
		return row, rows.at(columns[VoltageV], "", "a voltage is above 0, not %g", row.Value)
	}
	return row, nil
}
