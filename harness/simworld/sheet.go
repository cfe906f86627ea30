//go:build !nosim

package simworld

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
	"unicode/utf8"

	"yunchu/harness/scenario"
)

// maxSheetBytes is the largest CSV file that is read: a year of seconds.
const maxSheetBytes = 2 << 30

// sheet is a CSV file of numbers, its first line naming the columns.
type sheet struct {
	path   string
	header []string
	column [][]float64 // by place in header; an empty field is NaN
	line   []int       // of each row, from 1
	text   []string    // the lines of the file
}

// readSheet reads the columns of a file that want picks. Its error is scenario.Faults.
func readSheet(path string, want func(column string) bool) (*sheet, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		if reason, ok := errors.AsType[*os.PathError](err); ok {
			err = reason.Err
		}
		return nil, scenario.Faults{{Path: path, Msg: err.Error()}}
	}
	s := &sheet{path: path}
	if len(data) > maxSheetBytes {
		return nil, scenario.Faults{{Path: path, Msg: fmt.Sprintf("the file has more than %d GiB", maxSheetBytes>>30)}}
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
		s.header = append(s.header, strings.TrimSpace(h))
	}
	for i, h := range s.header {
		if first := slices.Index(s.header, h); first < i && want(h) {
			line, col := r.FieldPos(i)
			return nil, s.fault(line, col, "keep one of the two", "column %s is there twice", h)
		}
	}
	s.column = make([][]float64, len(s.header))
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return s, s.notEmpty()
		} else if err != nil {
			return nil, s.broken(err)
		}
		line, _ := r.FieldPos(0)
		s.line = append(s.line, line)
		for i, field := range row {
			if !want(s.header[i]) {
				continue
			}
			x, ok := number(field)
			if !ok {
				_, col := r.FieldPos(i)
				return nil, s.fault(line, col, "write a number, or leave the field empty", "%q in column %s is not a number", short(field), s.header[i])
			}
			s.column[i] = append(s.column[i], x)
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

func (s *sheet) notEmpty() error {
	if len(s.line) == 0 {
		return scenario.Faults{{Path: s.path, Msg: "the file has no rows"}}
	}
	return nil
}

// broken is a fault of the CSV form itself.
func (s *sheet) broken(err error) error {
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return s.fault(e.Line, e.Column, fmt.Sprintf("every row has as many fields as the first line, %d", len(s.header)), "%v", e.Err)
	}
	return scenario.Faults{{Path: s.path, Msg: err.Error()}}
}

// fault is one at a line and a byte of it, both from 1.
func (s *sheet) fault(line, col int, hint, format string, args ...any) error {
	f := scenario.Fault{Path: s.path, Line: line, Col: 1, Msg: fmt.Sprintf(format, args...), Hint: hint}
	if line >= 1 && line <= len(s.text) {
		f.Source = s.text[line-1]
		f.Col = 1 + utf8.RuneCountInString(f.Source[:min(max(col-1, 0), len(f.Source))])
	}
	return scenario.Faults{f}
}

// at is a fault in the field of row k, from 0, that stands in one of the columns.
func (s *sheet) at(k int, column []string, hint, format string, args ...any) error {
	r := csv.NewReader(strings.NewReader(s.text[s.line[k]-1]))
	r.TrimLeadingSpace = true
	col := 1
	if row, err := r.Read(); err == nil {
		if i := s.find(column); i >= 0 && i < len(row) {
			_, col = r.FieldPos(i)
		}
	}
	return s.fault(s.line[k], col, hint, format, args...)
}

// has tells whether there is a column of one of the names.
func (s *sheet) has(names ...string) bool { return s.find(names) >= 0 }

func (s *sheet) find(names []string) int {
	return slices.IndexFunc(s.header, func(h string) bool { return slices.Contains(names, h) })
}

// full returns the column that has one of the names. Every row must have a value in it.
func (s *sheet) full(names ...string) ([]float64, error) {
	i := s.find(names)
	if i < 0 {
		return nil, s.fault(1, 1, "its columns are "+strings.Join(s.header, ", "), "there is no column %s", strings.Join(names, " or "))
	}
	for k, x := range s.column[i] {
		if math.IsNaN(x) {
			return nil, s.fault(s.line[k], 1, "", "column %s has no value in this row", s.header[i])
		}
	}
	return s.column[i], nil
}
