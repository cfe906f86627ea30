package scenario

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Fault is one thing that is wrong with a file.
type Fault struct {
	Path   string // the file as it was named
	Line   int    // from 1; 0 when the fault is the file as a whole
	Col    int    // from 1, in characters
	Msg    string // what is wrong
	Source string // the line itself, without its line end
	Hint   string // what to write instead; may be empty
}

// Error is the one-line form path:line:col: message.
func (f Fault) Error() string {
	if f.Line == 0 {
		return f.Path + ": " + f.Msg
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.Path, f.Line, f.Col, f.Msg)
}

// Faults is everything that is wrong with a file, in the order of the file. It
// is the error every reader of this package returns.
type Faults []Fault

// Error lists all faults in the form Print writes.
func (fs Faults) Error() string {
	var b strings.Builder
	fs.Print(&b)
	return strings.TrimSuffix(b.String(), "\n")
}

// Print writes every fault as its one-line form, the line with a caret under
// the column, and the hint:
//
//	day.yaml:12:13: unknown strategy "soc-balance"
//	   12 |   strategy: soc-balance
//	      |             ^
//	      did you mean "soc-balancing"?
func (fs Faults) Print(w io.Writer) {
	for _, f := range fs {
		fmt.Fprintln(w, f.Error())
		margin := "      "
		if f.Line > 0 && f.Source != "" {
			line, pad := excerpt(f.Source, f.Col)
			fmt.Fprintf(w, "%5d | %s\n      | %s^\n", f.Line, line, pad)
		}
		if f.Hint != "" {
			fmt.Fprintln(w, margin+f.Hint)
		}
	}
}

// sorted puts the faults into the order of the file and drops repetitions.
func (fs Faults) sorted() Faults {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return slices.Compact(fs)
}

// excerptWidth is how many characters of a long line are shown around a fault.
const excerptWidth = 140

// excerpt returns the part of a line to show and the blanks that bring a caret
// under its column: tabs stay tabs, wide characters take two blanks.
func excerpt(line string, col int) (shown, pad string) {
	r := []rune(line)
	at := min(max(col-1, 0), len(r))
	from, to := 0, len(r)
	if len(r) > excerptWidth {
		from = max(0, min(at-excerptWidth/2, len(r)-excerptWidth))
		to = from + excerptWidth
	}
	var p strings.Builder
	head, tail := "", ""
	if from > 0 {
		head = "…"
		p.WriteByte(' ')
	}
	if to < len(r) {
		tail = "…"
	}
	for _, c := range r[from:at] {
		switch {
		case c == '\t':
			p.WriteByte('\t')
		case wide(c):
			p.WriteString("  ")
		default:
			p.WriteByte(' ')
		}
	}
	return head + string(r[from:to]) + tail, p.String()
}

// wide tells the characters a terminal draws two columns wide.
func wide(c rune) bool {
	return unicode.In(c, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana) ||
		c >= 0x3000 && c <= 0x303f || c >= 0xff01 && c <= 0xff60
}
