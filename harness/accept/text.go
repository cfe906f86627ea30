package accept

import (
	"fmt"
	"io"
	"strings"

	"yunchu/harness/report"
)

// colours of verdicts on a terminal, beside their word.
var colours = map[report.Verdict]string{
	report.Passed: "32", report.Failed: "31;1", report.Inconclusive: "33", report.NotApplicable: "2", report.Interrupted: "33",
}

// Text writes the summary that people read at the end.
func (d *Document) Text(w io.Writer, colour bool) error {
	paint := func(v report.Verdict, s string) string {
		if !colour {
			return s
		}
		return "\x1b[" + colours[v] + "m" + s + "\x1b[0m"
	}
	var b strings.Builder
	if d.Short {
		b.WriteString("\n  done with short parameters: a quick look, and no proof of any standard\n")
	}
	for _, x := range d.Devices {
		fmt.Fprintf(&b, "\n  %s  %s, %s\n\n", x.Info.ID, x.Address, report.Quantity(x.Info.RatedKW, "kW"))
		if s := &x.Scale; s.Verdict != "" {
			fmt.Fprintf(&b, "  %s\n\n", paint(s.Verdict, s.Text))
		}
		for _, t := range x.Tests {
			fmt.Fprintf(&b, "  %-4s %s %s\n", t.Program.Procedure.Name, paint(t.Verdict, fmt.Sprintf("%-14s", Word(t.Verdict))), t.Program.Procedure.Title)
			if t.Record == nil {
				fmt.Fprintf(&b, "       %s\n", t.Why)
				continue
			}
			if t.Record.Barred != "" {
				fmt.Fprintf(&b, "       the guard took it away: %s\n", t.Record.Barred)
			}
			if names := t.Program.others(d.Short); len(names) > 0 {
				fmt.Fprintf(&b, "       done with other parameters than the procedure's: %s\n", strings.Join(names, ", "))
			}
			var left []string
			for i := range t.Limits {
				j := &t.Limits[i]
				if j.Verdict == report.NotApplicable {
					left = append(left, strings.TrimSuffix(j.Name+" ("+j.Note+")", " ()"))
					continue
				}
				limit := "reported"
				if !j.Limit.IsZero() {
					limit = report.Bound(j.Limit.String(), j.Unit)
				}
				mark := ""
				switch {
				case strings.HasPrefix(j.Note, ownAlone):
					mark = j.Note
				case j.Verdict != report.Passed:
					mark = paint(j.Verdict, Word(j.Verdict)) + " " + j.Note
				case j.own():
					mark = asItSays
				}
				fmt.Fprintf(&b, "       %-22s %-22s %-12s %s\n", j.Name, j.shown(), limit, mark)
			}
			if len(left) > 0 {
				fmt.Fprintf(&b, "       not judged: %s\n", strings.Join(left, ", "))
			}
		}
	}
	fmt.Fprintf(&b, "\n  not in this suite: %s\n", strings.Join(notInSuite, ", "))
	fmt.Fprintf(&b, "\n  %s\n", paint(d.Verdict, Word(d.Verdict)))
	_, err := io.WriteString(w, b.String())
	return err
}
