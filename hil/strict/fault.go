// Package strict reads YAML files that people write into structs, and tells all that is
// wrong with a file, of this form or another, at once: each with its line and what to
// write instead.
package strict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a file, and where.
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

// maxFaults bounds what is told of one file.
const maxFaults = 100

func (f *File) add(at place, hint, format string, args ...any) {
	if len(f.faults) >= maxFaults {
		return
	}
	x := Fault{Path: f.path, Line: at.line, Col: at.col, Msg: fmt.Sprintf(format, args...), Hint: hint}
	if 0 < at.line && at.line <= len(f.lines) {
		x.Source = strings.TrimRight(f.lines[at.line-1], "\r")
	}
	f.faults = append(f.faults, x)
}

// Add notes a fault at a line and column, both from 1.
func (f *File) Add(line, col int, hint, format string, args ...any) {
	f.add(place{line, col}, hint, format, args...)
}

// Count is how many faults are noted.
func (f *File) Count() int { return len(f.faults) }

// Err is all that was found, nil when that is nothing.
func (f *File) Err() error {
	if len(f.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(f.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return slices.Compact(f.faults)
}

// Suggest is the hint for a word that is none of those known: the one that was probably
// meant, else all of them.
func Suggest(got string, known []string) string {
	switch word := nearest(got, known); {
	case word != "":
		return fmt.Sprintf("did you mean %q?", word)
	case len(known) == 0:
		return ""
	}
	return "known: " + strings.Join(known, ", ")
}

// nearest is the known word that was probably meant, empty for none.
func nearest(got string, known []string) (word string) {
	best := len(got)/3 + 2
	for _, k := range known {
		if d := distance(strings.ToLower(got), strings.ToLower(k)); d < best && d < len(k) {
			best, word = d, k
		}
	}
	return word
}

// distance counts the insertions, deletions and substitutions that make a into b.
func distance(a, b string) int {
	if len(a) > 80 || len(b) > 80 { // no key is that long
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
