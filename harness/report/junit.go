package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name    string       `xml:"name,attr"`
	Class   string       `xml:"classname,attr"`
	Time    string       `xml:"time,attr"`
	Skipped *junitResult `xml:"skipped"`
	Error   *junitResult `xml:"error"`
	Failure *junitResult `xml:"failure"`
	Out     string       `xml:"system-out,omitempty"`
}

type junitResult struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes runs as one JUnit file, one suite each. What is inconclusive
// or interrupted is an error there: a reader that knows only pass and fail must
// not take it for a pass.
func WriteJUnit(w io.Writer, runs ...*Report) error {
	all := junitSuites{Name: "yunchu"}
	var wall float64
	for _, r := range runs {
		s := r.junit()
		all.Suites = append(all.Suites, s)
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		wall += r.WallS
	}
	all.Time = seconds(wall)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (run *Run) writeJUnit(w io.Writer) error { return WriteJUnit(w, &run.Report) }

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

func (r *Report) junit() junitSuite {
	s := junitSuite{Name: r.Scenario, Time: seconds(r.WallS)}
	if !r.Start.IsZero() {
		s.Timestamp = r.Start.UTC().Format("2006-01-02T15:04:05")
	}
	for _, p := range []junitProperty{
		{"verdict", string(r.Verdict)},
		{"seed", fmt.Sprint(r.Seed)},
		{"clock", r.Clock},
		{"binary", r.Binary},
		{"kernel", r.Kernel},
		{"journal_sha256", r.JournalSHA256},
		{"sim_s", fmt.Sprint(r.SimS)},
		{"devices", fmt.Sprint(r.Devices)},
	} {
		s.Properties = append(s.Properties, junitProperty{p.Name, clean(p.Value)})
	}
	add := func(class, name string, v Verdict, message, out string) {
		c := junitCase{Name: clean(name), Class: clean(r.Scenario + "." + class), Time: seconds(0), Out: clean(out)}
		res := &junitResult{Message: clean(message), Type: string(v), Text: clean(message)}
		switch v {
		case Passed:
		case Failed:
			c.Failure = res
			s.Failures++
		case NotApplicable:
			c.Skipped = &junitResult{Message: res.Message}
			s.Skipped++
		default:
			c.Error = res
			s.Errors++
		}
		s.Tests++
		s.Cases = append(s.Cases, c)
	}
	for _, c := range r.Scores {
		name := strings.TrimSpace(c.Metric + " " + c.Stat + " " + c.Limit)
		if c.Requirement != "" {
			name += " [" + c.Requirement + "]"
		}
		add("score", name, c.state(), c.sentence(), c.sentence())
	}
	for _, c := range r.Checks {
		add("check", c.Name, c.state(), c.Detail, c.Detail)
	}
	// The verdict itself, for what no score or check shows: an interruption, a
	// test that does not apply, a run in which nothing was judged.
	if s.Failures+s.Errors == 0 && r.Verdict != Passed || s.Tests == 0 {
		add("run", "verdict", r.Verdict, "the run is "+string(r.Verdict), "")
	}
	return s
}

// sentence is a score in words: what was found, what was asked, and what to know.
func (s Score) sentence() string {
	var b strings.Builder
	b.WriteString(withUnit(s.Value, s.Unit))
	if s.Limit != "" {
		fmt.Fprintf(&b, ", limit %s", withLimitUnit(s.Limit, s.Unit))
	}
	if s.bounded() {
		fmt.Fprintf(&b, ", 95 %% interval %s", s.interval())
	}
	fmt.Fprintf(&b, ", n %s", count(s.N))
	if s.Note != "" {
		fmt.Fprintf(&b, "; %s", s.Note)
	}
	return b.String()
}

// clean leaves out what XML 1.0 cannot carry.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, s)
}
