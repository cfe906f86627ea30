package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
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

// Suite is one suite of a JUnit file.
type Suite struct {
	Name       string
	Time       float64 // s
	Timestamp  time.Time
	Properties [][2]string
	Cases      []Case
}

// Case is one thing that was judged.
type Case struct {
	Class, Name string
	Verdict     Verdict
	Message     string // why it is not passed
	Out         string
}

// WriteJUnit writes runs as one JUnit file, one suite each.
func WriteJUnit(w io.Writer, runs ...*Report) error {
	suites := make([]Suite, len(runs))
	for i, r := range runs {
		suites[i] = r.suite()
	}
	return WriteSuites(w, suites)
}

// WriteSuites writes a JUnit file. What is inconclusive or interrupted is an error
// there: a reader that knows only pass and fail must not take it for a pass. What does
// not apply is skipped.
func WriteSuites(w io.Writer, suites []Suite) error {
	all := junitSuites{Name: "yunchu"}
	var wall float64
	for i := range suites {
		s := suites[i].junit()
		all.Suites = append(all.Suites, s)
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		wall += suites[i].Time
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

func (u *Suite) junit() junitSuite {
	s := junitSuite{Name: u.Name, Time: seconds(u.Time)}
	if !u.Timestamp.IsZero() {
		s.Timestamp = u.Timestamp.UTC().Format("2006-01-02T15:04:05")
	}
	for _, p := range u.Properties {
		s.Properties = append(s.Properties, junitProperty{p[0], clean(p[1])})
	}
	for _, x := range u.Cases {
		c := junitCase{Name: clean(x.Name), Class: clean(u.Name + "." + x.Class), Time: seconds(0), Out: clean(x.Out)}
		res := &junitResult{Message: clean(x.Message), Type: string(x.Verdict), Text: clean(x.Message)}
		switch x.Verdict {
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
	return s
}

func (r *Report) suite() Suite {
	s := Suite{Name: r.Scenario, Time: r.WallS, Timestamp: r.Start, Properties: [][2]string{
		{"verdict", string(r.Verdict)},
		{"seed", fmt.Sprint(r.Seed)},
		{"clock", r.Clock},
		{"binary", r.Binary},
		{"kernel", r.Kernel},
		{"journal_sha256", r.JournalSHA256},
		{"sim_s", fmt.Sprint(r.SimS)},
		{"devices", fmt.Sprint(r.Devices)},
	}}
	bad := false
	add := func(class, name string, v Verdict, message, out string) {
		bad = bad || v != Passed && v != NotApplicable
		s.Cases = append(s.Cases, Case{class, name, v, message, out})
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
	if !bad && r.Verdict != Passed || len(s.Cases) == 0 {
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
