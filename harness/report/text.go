package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// marks of a state: shape first, colour only in addition.
var marks = map[Verdict]struct{ sign, ansi string }{
	Passed: {"✓", "32"}, Failed: {"✗", "31;1"}, Inconclusive: {"?", "33"}, NotApplicable: {"–", "2"}, Interrupted: {"!", "33"},
}

// painter wraps text in terminal colours, or leaves it.
type painter bool

func (p painter) paint(ansi, s string) string {
	if !p || ansi == "" {
		return s
	}
	return "\x1b[" + ansi + "m" + s + "\x1b[0m"
}

// Text writes the summary people read at the end of a run: scores, checks, and
// the verdict last. With colour it uses terminal escapes.
func Text(w io.Writer, r *Report, colour bool) error {
	p := painter(colour)
	var b strings.Builder
	facts := []string{fmt.Sprintf("seed %d", r.Seed), r.Clock + " clock", plural(int64(r.Devices), "device")}
	facts = append(facts, fmt.Sprintf("%s in %s", span(r.SimS), span(r.WallS)))
	if r.Speed > 0 {
		facts = append(facts, num(r.Speed)+"× real time")
	}
	fmt.Fprintf(&b, "\n  %s  %s\n", p.paint("1", r.Scenario), p.paint("2", strings.Join(facts, " · ")))
	if r.JournalSHA256 != "" {
		fmt.Fprintf(&b, "  %s\n", p.paint("2", fmt.Sprintf("journal %.16s… · kernel %s", r.JournalSHA256, r.Kernel)))
	}
	for _, f := range r.Environment {
		fmt.Fprintf(&b, "  %s\n", p.paint("2", f.Name+": "+f.Value))
	}
	for i := range r.Loads {
		r.Loads[i].text(&b, p)
	}
	if len(r.Scores) > 0 {
		rows := make([][]string, 0, len(r.Scores))
		for _, s := range r.Scores {
			limit := "reported"
			if s.Limit != "" {
				limit = withLimitUnit(s.Limit, s.Unit)
			}
			ci := ""
			if s.bounded() {
				ci = "[" + s.interval() + "]"
			}
			rows = append(rows, []string{s.Metric, s.Stat, withUnit(s.Value, s.Unit), limit, ci, "n " + count(s.N), s.Requirement})
		}
		width := widths(rows)
		fmt.Fprintf(&b, "\n  %s\n", p.paint("1", "scores"))
		for i, s := range r.Scores {
			m := marks[s.state()]
			cells := make([]string, len(width))
			for k, c := range rows[i] {
				cells[k] = pad(c, width[k], k == 2)
			}
			fmt.Fprintf(&b, "  %s %s\n", p.paint(m.ansi, m.sign), strings.TrimRight(strings.Join(cells, "  "), " "))
			if s.Note != "" {
				fmt.Fprintf(&b, "      %s\n", p.paint("2", s.Note))
			}
		}
	}
	if len(r.Checks) > 0 {
		fmt.Fprintf(&b, "\n  %s\n", p.paint("1", "checks"))
		width := 0
		for _, c := range r.Checks {
			width = max(width, utf8.RuneCountInString(c.Name))
		}
		for _, c := range r.Checks {
			m := marks[c.state()]
			fmt.Fprintf(&b, "  %s %s  %s\n", p.paint(m.ansi, m.sign), pad(c.Name, width, false), p.paint("2", c.Detail))
		}
	}
	m := marks[r.Verdict]
	fmt.Fprintf(&b, "\n  %s\n\n", p.paint(m.ansi, m.sign+" "+strings.ToUpper(string(r.Verdict))+reason(r)))
	_, err := io.WriteString(w, b.String())
	return err
}

// reason is what stands beside a verdict that is not passed.
func reason(r *Report) string {
	n := map[Verdict]int64{}
	for _, s := range r.Scores {
		n[s.state()]++
	}
	for _, c := range r.Checks {
		n[c.state()]++
	}
	switch {
	case r.Verdict == Failed && n[Failed] > 0:
		s := fmt.Sprintf(": %d of %d not met", n[Failed], len(r.Scores)+len(r.Checks))
		if n[Inconclusive] > 0 {
			s += fmt.Sprintf(", %d could not be judged", n[Inconclusive])
		}
		return s
	case r.Verdict == Inconclusive && n[Inconclusive] > 0:
		return fmt.Sprintf(": %d of %d could not be judged", n[Inconclusive], len(r.Scores)+len(r.Checks))
	case r.Verdict == Inconclusive:
		return ": nothing was judged"
	}
	return ""
}

func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return count(n) + " " + word + "s"
}

func widths(rows [][]string) []int {
	var w []int
	for _, row := range rows {
		for k, c := range row {
			if k == len(w) {
				w = append(w, 0)
			}
			w[k] = max(w[k], utf8.RuneCountInString(c))
		}
	}
	return w
}

func pad(s string, width int, right bool) string {
	gap := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
	if right {
		return gap + s
	}
	return s + gap
}
