package scenario

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// maxInputBytes is the largest CSV input that is read.
const maxInputBytes = 512 << 20

// Series is an input over the run: a constant, or a column of a CSV file whose
// values each hold until the next row. It does not change once it is loaded
// and may be read from anywhere.
type Series struct {
	CSV    string  `yaml:"csv,omitempty"`    // path, relative to the file that names it; empty: a constant
	Time   string  `yaml:"time,omitempty"`   // its time column: seconds since the start, or instants
	Column string  `yaml:"column,omitempty"` // the column of values
	Scale  float64 `yaml:"scale,omitempty"`  // what the column is multiplied by

	t     []float64 // s since the start, ascending; nil: a constant
	v     []float64
	value float64 // of a constant
}

// Constant is a series of one value.
func Constant(v float64) *Series { return &Series{Scale: 1, value: v} }

// NewSeries holds v[i] from t[i] seconds after the start until t[i+1]. The
// times must ascend and both must have the same, positive length.
func NewSeries(t, v []float64) (*Series, error) {
	if len(t) == 0 || len(t) != len(v) {
		return nil, fmt.Errorf("series: %d times for %d values", len(t), len(v))
	}
	for i := 1; i < len(t); i++ {
		if !(t[i] > t[i-1]) {
			return nil, fmt.Errorf("series: time %g after %g", t[i], t[i-1])
		}
	}
	return &Series{Scale: 1, t: t, v: v}, nil
}

// At is the value t after the start: that of the last row at or before t. The
// first row also holds before its time, the last one for ever.
func (s *Series) At(t time.Duration) float64 {
	n := len(s.t)
	if n == 0 {
		return s.value
	}
	x := t.Seconds()
	if !(x >= s.t[0]) || n == 1 {
		return s.v[0]
	}
	if x >= s.t[n-1] {
		return s.v[n-1]
	}
	// Most inputs have even steps: look where the row would be, then search.
	if i := int((x - s.t[0]) / (s.t[n-1] - s.t[0]) * float64(n-1)); i < n-1 && s.t[i] <= x && x < s.t[i+1] {
		return s.v[i]
	}
	i := sort.Search(n, func(i int) bool { return s.t[i] > x })
	return s.v[i-1]
}

// Len is the number of rows; 0 for a constant.
func (s *Series) Len() int { return len(s.t) }

// read takes a number or the keys of a series. The field says in which unit:
// a power series has scale_kw and kw, another one scale and value.
func (s *Series) read(f *source, n ast.Node, at string, r rules) {
	*s = Series{Time: "t_s", Scale: 1}
	scale, constant := "scale", "value"
	if r.unit != "" {
		scale, constant = "scale_"+r.unit, r.unit
	}
	pairs, ok := pairsOf(n)
	if !ok {
		if _, list := n.(*ast.SequenceNode); list {
			f.fault(start(n), "write a number, or {csv: PATH, time: t_s, column: NAME}", "%s is a series, got a list", name(at))
			return
		}
		s.value, _ = f.number(n, at, r)
		return
	}
	known := []string{"csv", "time", "column", scale, constant}
	seen := map[string]place{}
	for _, kv := range pairs {
		key, where, path := keyText(kv.Key), start(kv.Key), join(at, keyText(kv.Key))
		if first, twice := seen[key]; twice {
			f.fault(where, "keep one of the two", "duplicate key %q, first on line %d", key, first.line)
			continue
		}
		seen[key], f.keys[path] = where, where
		switch key {
		case "csv":
			f.decode(kv.Value, elem(&s.CSV), path, rules{})
		case "time":
			f.decode(kv.Value, elem(&s.Time), path, rules{})
		case "column":
			f.decode(kv.Value, elem(&s.Column), path, rules{})
		case scale:
			f.decode(kv.Value, elem(&s.Scale), path, rules{})
		case constant:
			f.decode(kv.Value, elem(&s.value), path, rules{})
		default:
			f.unknown(where, key, at, known)
		}
	}
	_, isCSV := seen["csv"]
	_, isConstant := seen[constant]
	switch {
	case isCSV && isConstant:
		f.fault(seen[constant], "keep one of csv and "+constant, "%s is a column or a constant, not both", name(at))
		s.CSV, s.value = "", 0
	case !isCSV && !isConstant:
		f.fault(start(n), fmt.Sprintf("write {csv: PATH, time: t_s, column: NAME} or {%s: 0}", constant), "%s has no values", name(at))
	case isConstant:
		for _, key := range []string{"time", "column", scale} {
			f.misplaced(at, key, "a constant", "it belongs to csv")
		}
	case s.Column == "" && !f.has(at+".column"):
		f.fault(start(n), "add: column: NAME", "%s does not say which column of the CSV", name(at))
	}
}

// load opens the series of a site.
func (s *Site) load(f *source, start time.Time, d time.Duration) {
	s.Load.load(f, "site.load", start, d)
	s.PV.load(f, "site.pv", start, d)
	s.Price.load(f, "site.price", start, d)
	s.AmbientC.load(f, "site.ambient_c", start, d)
	if lo, hi := s.AmbientC.bounds(); lo < coldest || hi > hottest {
		f.wrong("site.ambient_c", fmt.Sprintf("air is between %g and %g degC", float64(coldest), float64(hottest)), "an air temperature of %g degC", worse(lo, hi))
	}
	if s.PV.mostlyPositive() {
		f.wrong("site.pv", "power is positive when it is consumed: write scale_kw: -1 for a column of output", "PV that only consumes")
	}
}

// The air that batteries stand in, degC.
const coldest, hottest = -60, 70

func worse(lo, hi float64) float64 {
	if lo < coldest {
		return lo
	}
	return hi
}

// bounds are the least and the largest value; of no series 0 and 0.
func (s *Series) bounds() (lo, hi float64) {
	switch {
	case s == nil:
		return 0, 0
	case len(s.t) == 0:
		return s.value, s.value
	}
	return slices.Min(s.v), slices.Max(s.v)
}

// mostlyPositive tells a PV series whose sign was forgotten.
func (s *Series) mostlyPositive() bool {
	switch {
	case s == nil:
		return false
	case len(s.t) == 0:
		return s.value > 0
	}
	return slices.Max(s.v) > -slices.Min(s.v)
}

// load reads the CSV of a series. Time counts from start; a column that begins
// after d, or ends before the start, is not the one that was meant. Without d
// the times must be instants.
func (s *Series) load(f *source, at string, start time.Time, d time.Duration) {
	if s == nil || s.CSV == "" || s.Column == "" {
		return
	}
	file := f.open(at+".csv", s.CSV)
	if file == nil {
		return
	}
	defer func() { _ = file.Close() }() // only read
	rows, err := newTable(file, s.CSV)
	if err == nil {
		err = s.fill(rows, start, d)
	}
	if err == nil {
		return
	}
	s.t, s.v = nil, nil
	where, hint := at+".csv", ""
	if e, ok := errors.AsType[*columnError](err); ok {
		where, hint = at+".column", "the columns are "+strings.Join(e.have, ", ")
		if near := nearest(e.want, e.have); near != "" {
			hint = fmt.Sprintf("did you mean %q? %s", near, hint)
		}
		if e.want == s.Time {
			where = at + ".time"
		}
	}
	if e, ok := errors.AsType[*timeError](err); ok {
		hint = e.hint
	}
	if e, ok := errors.AsType[*rowError](err); ok {
		hint = e.hint
	}
	f.wrong(where, hint, "%s", err)
}

func (s *Series) fill(rows *table, start time.Time, d time.Duration) error {
	tc, err := rows.column(s.Time)
	if err != nil {
		return err
	}
	vc, err := rows.column(s.Column)
	if err != nil {
		return err
	}
	for rows.next() {
		t, err := rows.time(tc, start)
		if err != nil {
			return err
		}
		v, err := rows.number(vc)
		if err != nil {
			return err
		}
		if n := len(s.t); n > 0 && !(t > s.t[n-1]) {
			return rows.at(tc, inOrder, "time %s does not come after the row before", rows.row[tc])
		}
		s.t, s.v = append(s.t, t), append(s.v, v*s.Scale)
	}
	switch {
	case rows.err != nil:
		return rows.err
	case len(s.t) == 0:
		return fmt.Errorf("%s has no rows", rows.name)
	case d == 0 && !rows.instants:
		return &timeError{
			fmt.Sprintf("%s: %s has seconds, and a configuration has no start to count them from", rows.name, s.Time),
			"use a column of instants such as 2026-01-01T00:00:00Z",
		}
	case d > 0 && s.t[0] >= d.Seconds():
		return &timeError{fmt.Sprintf("%s begins %gs after the start, when the run has ended", rows.name, s.t[0]), "set start and duration to where the input has rows"}
	case rows.instants && d > 0 && s.t[len(s.t)-1] < 0:
		return &timeError{fmt.Sprintf("%s ends before the run starts at %s", rows.name, start.Format(time.RFC3339)), "set start to where the input has rows"}
	}
	return nil
}

type columnError struct {
	file, want string
	have       []string
}

func (e *columnError) Error() string { return fmt.Sprintf("%s has no column %q", e.file, e.want) }

type timeError struct{ msg, hint string }

func (e *timeError) Error() string { return e.msg }

// table reads a CSV file with a header, row by row, and knows its lines.
type table struct {
	name     string
	r        *csv.Reader
	header   []string
	row      []string
	err      error
	instants bool // the time column holds instants, not seconds
	layout   string
}

func newTable(file io.Reader, name string) (*table, error) {
	t := &table{name: name, r: csv.NewReader(&bounded{file, maxInputBytes})}
	t.r.Comment, t.r.ReuseRecord, t.r.TrimLeadingSpace = '#', true, true
	header, err := t.r.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s is empty; its first line must name the columns", name)
	} else if err != nil {
		return nil, t.wrap(err)
	}
	for i, h := range header {
		if i == 0 {
			h = strings.TrimPrefix(h, "\ufeff")
		}
		t.header = append(t.header, strings.TrimSpace(h))
	}
	return t, nil
}

// bounded fails instead of ending early, so that a cut file is not read as a whole one.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("the file has more than %d MiB", maxInputBytes>>20)
	}
	return n, err
}

func (t *table) column(name string) (int, error) {
	if i := slices.Index(t.header, name); i >= 0 {
		if second := slices.Index(t.header[i+1:], name); second >= 0 {
			return 0, t.at(i+1+second, "keep one of the two", "column %s is there twice", name)
		}
		return i, nil
	}
	return 0, &columnError{t.name, name, t.header}
}

func (t *table) next() bool {
	row, err := t.r.Read()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			t.err = t.wrap(err)
		}
		return false
	}
	t.row = row
	return true
}

func (t *table) wrap(err error) error {
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return &rowError{t.name, e.Line, e.Column, e.Err.Error(), fmt.Sprintf("every row has as many fields as the first line, %d", len(t.header))}
	}
	return fmt.Errorf("read %s: %w", t.name, err)
}

// at is an error at a field of the current row.
func (t *table) at(column int, hint, format string, args ...any) error {
	line, col := t.r.FieldPos(column)
	return &rowError{t.name, line, col, fmt.Sprintf(format, args...), hint}
}

const (
	inOrder   = "sort the rows; a time is there once"
	anInstant = "write it as 2026-01-01T00:00:00Z, or as seconds from the start"
)

// rowError is what is wrong at a line and a byte of a CSV file, both from 1.
type rowError struct {
	file      string
	line, col int
	msg, hint string
}

func (e *rowError) Error() string { return fmt.Sprintf("%s:%d:%d: %s", e.file, e.line, e.col, e.msg) }

// number reads a finite number of the current row.
func (t *table) number(column int) (float64, error) {
	text := strings.TrimSpace(t.row[column])
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, t.at(column, "write a number", "%q in column %s is not a number", short(text), t.header[column])
	}
	return x, nil
}

var instants = []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"}

// time reads seconds since the start, or an instant (UTC when it has no zone).
func (t *table) time(column int, start time.Time) (float64, error) {
	if !t.instants && t.layout == "" {
		text := strings.TrimSpace(t.row[column])
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			t.layout = "seconds"
		} else if i := slices.IndexFunc(instants, func(l string) bool { _, err := time.Parse(l, text); return err == nil }); i >= 0 {
			t.layout, t.instants = instants[i], true
		} else {
			return 0, t.at(column, anInstant, "%q in column %s is neither seconds nor an instant", short(text), t.header[column])
		}
	}
	if !t.instants {
		return t.number(column)
	}
	text := strings.TrimSpace(t.row[column])
	x, err := time.Parse(t.layout, text)
	if err != nil {
		return 0, t.at(column, "all have one form: "+t.layout, "%q in column %s is not an instant like the rows before", short(text), t.header[column])
	}
	return x.Sub(start).Seconds(), nil
}
