// Package sheet reads CSV files of numbers, and says where one is wrong.
package sheet

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"yunchu/harness/scenario"
)

// mostBytes is the largest CSV file that is read: a year of seconds.
const mostBytes = 2 << 30

// Sheet is a CSV file of numbers, its first line naming the columns.
type Sheet struct {
	Path   string
	Header []string
	Column [][]float64 // by place in Header, those that were wanted; an empty field is NaN
	Line   []int       // of each row, from 1
	text   []string    // the lines of the file
	place  [][2]int    // of each name in Header: line and byte, from 1
	words  map[string][]string
}

// Read reads the columns of a file that want picks, and those called texts, which are no
// numbers. Its error is scenario.Faults.
func Read(path string, want func(column string) bool, texts ...string) (*Sheet, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		if reason, ok := errors.AsType[*os.PathError](err); ok {
			err = reason.Err
		}
		return nil, scenario.Faults{{Path: path, Msg: err.Error()}}
	}
	s := &Sheet{Path: path, words: map[string][]string{}}
	if len(data) > mostBytes {
		return nil, scenario.Faults{{Path: path, Msg: fmt.Sprintf("the file has more than %d GiB", mostBytes>>30)}}
	}
	s.text = strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	r := csv.NewReader(strings.NewReader(string(data)))
	r.Comment, r.ReuseRecord, r.TrimLeadingSpace = '#', true, true
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, scenario.Faults{{Path: path, Msg: "the file is empty", Hint: "its first line must name the columns"}}
	} else if err != nil {
		return nil, s.broken(err)
	}
	for i, h := range head {
		if i == 0 {
			h = strings.TrimPrefix(h, "\ufeff")
		}
		s.Header = append(s.Header, strings.TrimSpace(h))
		line, col := r.FieldPos(i)
		s.place = append(s.place, [2]int{line, col})
	}
	if semicolon := strings.Index(head[0], ";"); len(head) == 1 && semicolon >= 0 {
		return nil, s.Fault(1, 1+semicolon, "separate them by commas, and write 1.5 for one and a half", "the columns are separated by ; here")
	}
	for i, h := range s.Header {
		if first := slices.Index(s.Header, h); first < i && want(h) {
			return nil, s.Named(i, "keep one of the two", "column %s is there twice", h)
		}
	}
	s.Column = make([][]float64, len(s.Header))
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return s, s.notEmpty()
		} else if err != nil {
			return nil, s.broken(err)
		}
		line, _ := r.FieldPos(0)
		s.Line = append(s.Line, line)
		for i, field := range row {
			if slices.Contains(texts, s.Header[i]) {
				s.words[s.Header[i]] = append(s.words[s.Header[i]], strings.TrimSpace(field))
				continue
			}
			if !want(s.Header[i]) {
				continue
			}
			x, ok := number(field)
			if !ok {
				_, col := r.FieldPos(i)
				return nil, s.Fault(line, col, "write a number, or leave the field empty", "%q in column %s is not a number", short(field), s.Header[i])
			}
			s.Column[i] = append(s.Column[i], x)
		}
	}
}

func number(field string) (x float64, ok bool) {
	field = strings.TrimSpace(field)
	if field == "" {
		return math.NaN(), true
	}
	x, err := strconv.ParseFloat(field, 64)
	return x, err == nil && !math.IsNaN(x) && !math.IsInf(x, 0)
}

func short(field string) string {
	const most = 40
	if utf8.RuneCountInString(field) > most {
		return string([]rune(field)[:most]) + "…"
	}
	return field
}

func (s *Sheet) notEmpty() error {
	if len(s.Line) == 0 {
		return scenario.Faults{{Path: s.Path, Msg: "the file has no rows"}}
	}
	return nil
}

// broken is a fault of the CSV form itself.
func (s *Sheet) broken(err error) error {
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return s.Fault(e.Line, e.Column, fmt.Sprintf("every row has as many fields as the first line, %d", len(s.Header)), "%v", e.Err)
	}
	return scenario.Faults{{Path: s.Path, Msg: err.Error()}}
}

// Fault is one at a line and a byte of it, both from 1.
func (s *Sheet) Fault(line, col int, hint, format string, args ...any) error {
	f := scenario.Fault{Path: s.Path, Line: line, Col: 1, Msg: fmt.Sprintf(format, args...), Hint: hint}
	if line >= 1 && line <= len(s.text) {
		f.Source = s.text[line-1]
		f.Col = 1 + utf8.RuneCountInString(f.Source[:min(max(col-1, 0), len(f.Source))])
	}
	return scenario.Faults{f}
}

// Named is a fault in the name of a column, by its place in Header.
func (s *Sheet) Named(i int, hint, format string, args ...any) error {
	return s.Fault(s.place[i][0], s.place[i][1], hint, format, args...)
}

// At is a fault in the field of row k, from 0, that stands in one of the columns.
func (s *Sheet) At(k int, column []string, hint, format string, args ...any) error {
	r := csv.NewReader(strings.NewReader(s.text[s.Line[k]-1]))
	r.TrimLeadingSpace = true
	col := 1
	if row, err := r.Read(); err == nil {
		if i := s.find(column); i >= 0 && i < len(row) {
			_, col = r.FieldPos(i)
		}
	}
	return s.Fault(s.Line[k], col, hint, format, args...)
}

// Has tells whether there is a column of one of the names.
func (s *Sheet) Has(names ...string) bool { return s.find(names) >= 0 }

func (s *Sheet) find(names []string) int {
	return slices.IndexFunc(s.Header, func(h string) bool { return slices.Contains(names, h) })
}

// Full returns the column that has one of the names. Every row must have a value in it.
func (s *Sheet) Full(names ...string) ([]float64, error) {
	i := s.find(names)
	if i < 0 {
		return nil, s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "there is no column %s", strings.Join(names, " or "))
	}
	for k, x := range s.Column[i] {
		if math.IsNaN(x) {
			return nil, s.At(k, s.Header[i:i+1], "write a number: every row has one", "column %s has no value in this row", s.Header[i])
		}
	}
	return s.Column[i], nil
}

// times are the forms of an instant, with T or a blank, and seconds or none; without a zone it is UTC.
var times = func() (forms []string) {
	for _, between := range []string{"T", " "} {
		for _, clock := range []string{"15:04:05", "15:04"} {
			for _, zone := range []string{"Z07:00", "Z0700", " Z07:00", " Z0700", ""} {
				forms = append(forms, time.DateOnly+between+clock+zone)
			}
		}
	}
	return forms
}()

// Instant reads one of the forms of an instant.
func Instant(word string) (at time.Time, ok bool) {
	for _, form := range times {
		if t, err := time.Parse(form, word); err == nil {
			return t.UTC(), true
		}
	}
	return at, false
}

// InZone is Times on the clock of a zone, where each instant must have its own: without one it would be taken for UTC,
// and so be in another hour than it was written in.
func (s *Sheet) InZone(column string, zone *time.Location) ([]time.Time, error) {
	at, err := s.Times(column)
	if err != nil {
		return nil, err
	}
	for k, word := range s.Texts(column) {
		if !zoned(word) {
			return nil, s.At(k, []string{column}, "write instants as 2020-01-31T13:00:00+01:00, or leave the zone out", "%s has no zone, and its hour in %s is asked for", short(word), zone)
		}
		at[k] = at[k].In(zone)
	}
	return at, nil
}

// zoned tells whether an instant says its zone.
func zoned(word string) bool {
	return slices.ContainsFunc(times, func(form string) bool {
		_, err := time.Parse(form, word)
		return err == nil && strings.Contains(form, "Z07")
	})
}

// Texts returns a column of texts, nil where there is none.
func (s *Sheet) Texts(column string) []string { return s.words[column] }

// Times returns a column of texts as instants, which must rise.
func (s *Sheet) Times(column string) ([]time.Time, error) {
	words, there := s.words[column]
	if !there {
		return nil, s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "there is no column %s", column)
	}
	out := make([]time.Time, len(words))
	for k, word := range words {
		t, ok := Instant(word)
		if !ok {
			return nil, s.At(k, []string{column}, "write it as 2020-01-31T13:00:00Z, or with a zone as 2020-01-31T14:00:00+01:00", "%q is no instant", short(word))
		}
		if k > 0 && !t.After(out[k-1]) {
			if t.Equal(out[k-1]) {
				return nil, s.At(k, []string{column}, "keep one of the two; the hour that autumn has twice needs its zone, as 2020-10-25T02:00:00+01:00", "%s is there twice", word)
			}
			return nil, s.At(k, []string{column}, "sort the rows", "%s comes after %s", word, words[k-1])
		}
		out[k] = t
	}
	return out, nil
}
