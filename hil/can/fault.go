package can

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a database or a profile, and where.
type Fault struct {
	Path      string // the file as it was named
	Line, Col int    // from 1
	Msg       string // what is wrong
	Source    string // the line itself
	Hint      string // what to write instead; may be empty
}

// Error is the one-line form path:line:col: message.
func (f Fault) Error() string { return fmt.Sprintf("%s:%d:%d: %s", f.Path, f.Line, f.Col, f.Msg) }

// Faults is everything that is wrong with a file, in its order.
type Faults []Fault

// Error lists all faults, each with its line, a caret and the hint.
func (fs Faults) Error() string {
	var b strings.Builder
	for i, f := range fs {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(f.Error())
		if f.Source != "" {
			fmt.Fprintf(&b, "\n%5d | %s\n      | %s^", f.Line, f.Source, blanks(f.Source, f.Col-1))
		}
		if f.Hint != "" {
			b.WriteString("\n      " + f.Hint)
		}
	}
	return b.String()
}

// blanks brings a caret under column n of a line; tabs stay tabs.
func blanks(line string, n int) string {
	r := []rune(line)
	r = r[:min(max(n, 0), len(r))]
	for i := range r {
		if r[i] != '\t' {
			r[i] = ' '
		}
	}
	return string(r)
}

type place struct{ line, col int }

// report collects what is wrong with one file.
type report struct {
	file   string
	src    []byte
	lines  []string
	faults Faults
}

// maxFaults bounds what is told of one file.
const maxFaults = 100

func (r *report) add(at place, hint, format string, args ...any) {
	if len(r.faults) >= maxFaults {
		return
	}
	if r.lines == nil {
		r.lines = strings.Split(strings.ToValidUTF8(string(r.src), "?"), "\n")
	}
	f := Fault{Path: r.file, Line: at.line, Col: at.col, Msg: fmt.Sprintf(format, args...), Hint: hint}
	if 0 < at.line && at.line <= len(r.lines) {
		f.Source = strings.TrimRight(r.lines[at.line-1], "\r")
	}
	r.faults = append(r.faults, f)
}

func (r *report) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(r.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return slices.Compact(r.faults)
}

// oneOf is the hint of what may stand at a place.
func oneOf(known []string) string {
	if len(known) == 0 {
		return ""
	}
	return "known: " + strings.Join(known, ", ")
}
