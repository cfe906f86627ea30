package lp

import (
	"bufio"
	"io"
	"math"
	"slices"
	"strconv"
)

// WriteMPS writes the problem in the free MPS format that most solvers read, with rows r0, r1 …
// and variables x0, x1 …, and the squares, if there are any, in a section QUADOBJ. Numbers are
// written so that reading them gives the same bits.
func (p *Problem) WriteMPS(to io.Writer) error {
	w := mps{bufio.NewWriter(to)}
	w.line("NAME yunchu")
	w.line("ROWS")
	w.line(" N cost")
	for r := range p.rowLo {
		w.line(" "+kind(p.rowLo[r], p.rowHi[r]), row(r))
	}
	w.line("COLUMNS")
	columns := p.columns()
	for v := range p.cost {
		w.number(" "+variable(v), "cost", p.cost[v])
		rows, by := columns.of(v)
		for k, r := range rows {
			w.number(" "+variable(v), row(int(r)), by[k])
		}
	}
	w.line("RHS")
	for r := range p.rowLo {
		if kind(p.rowLo[r], p.rowHi[r]) == "L" {
			w.number(" right", row(r), p.rowHi[r])
		} else if kind(p.rowLo[r], p.rowHi[r]) != "N" {
			w.number(" right", row(r), p.rowLo[r])
		}
	}
	w.line("RANGES")
	for r := range p.rowLo {
		if width := p.rowHi[r] - p.rowLo[r]; width > 0 && !math.IsInf(width, 0) {
			w.number(" range", row(r), width)
		}
	}
	w.line("BOUNDS")
	for v := range p.cost {
		w.bounds(variable(v), p.lo[v], p.hi[v])
	}
	if slices.ContainsFunc(p.square, func(q float64) bool { return q != 0 }) {
		w.line("QUADOBJ")
		for v, q := range p.square {
			if q != 0 {
				w.number(" "+variable(v), variable(v), q)
			}
		}
	}
	w.line("ENDATA")
	return w.Flush()
}

// kind is the letter of a row. A row of two bounds is one of its lower one, with a range.
func kind(lo, hi float64) string {
	switch {
	case lo == hi:
		return "E"
	case !math.IsInf(lo, 0):
		return "G"
	case !math.IsInf(hi, 0):
		return "L"
	}
	return "N"
}

func row(r int) string      { return "r" + strconv.Itoa(r) }
func variable(v int) string { return "x" + strconv.Itoa(v) }

type mps struct{ *bufio.Writer }

// What fails is told by Flush.
func (w mps) line(words ...string) {
	for i, word := range words {
		if i > 0 {
			_ = w.WriteByte(' ')
		}
		_, _ = w.WriteString(word)
	}
	_ = w.WriteByte('\n')
}

func (w mps) number(a, b string, x float64) {
	w.line(a, b, strconv.FormatFloat(x, 'g', -1, 64))
}

func (w mps) bounds(name string, lo, hi float64) {
	switch {
	case lo == hi:
		w.number(" FX bound", name, lo)
	case math.IsInf(lo, 0) && math.IsInf(hi, 0):
		w.line(" FR bound", name)
	default:
		if math.IsInf(lo, 0) {
			w.line(" MI bound", name)
		} else if lo != 0 {
			w.number(" LO bound", name, lo)
		}
		if !math.IsInf(hi, 0) {
			w.number(" UP bound", name, hi)
		}
	}
}
