package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
)

// Difference is what changed from one run to another.
type Difference struct {
	A       string        `json:"a"` // where the reports came from
	B       string        `json:"b"`
	Same    bool          `json:"same"` // nothing below changed, wall time and speed aside
	Fields  []FieldChange `json:"fields"`
	Scores  []ScoreChange `json:"scores"`
	Checks  []CheckChange `json:"checks"`
	Inputs  []FieldChange `json:"inputs"` // by checksum, where both have a manifest
	Verdict [2]Verdict    `json:"verdict"`
}

// FieldChange is one fact with its value in both; empty where one has none.
type FieldChange struct {
	Name string `json:"name"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// Status of a score or check from one run to the other.
const (
	Same    = "same"
	Changed = "changed" // another value, the same outcome
	Broken  = "broken"  // passed before, not now
	Fixed   = "fixed"   // the other way
	Added   = "added"
	Removed = "removed"
)

// ScoreChange is one score in both runs. Values that are missing are null.
type ScoreChange struct {
	Metric   string
	Stat     string
	Unit     string
	Status   string
	A, B     float64
	Limit    [2]string
	State    [2]Verdict
	Distinct bool // the two 95 % intervals do not meet: more than chance
}

// MarshalJSON writes what is no number as null.
func (c ScoreChange) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Metric   string     `json:"metric"`
		Stat     string     `json:"stat"`
		Unit     string     `json:"unit"`
		Status   string     `json:"status"`
		A        number     `json:"a"`
		B        number     `json:"b"`
		Change   number     `json:"change"`
		Percent  number     `json:"change_percent"`
		Limit    [2]string  `json:"limit"`
		State    [2]Verdict `json:"state"`
		Distinct bool       `json:"distinct"`
	}{c.Metric, c.Stat, c.Unit, c.Status, number(c.A), number(c.B), number(c.B - c.A), number(c.percent()), c.Limit, c.State, c.Distinct})
}

// percent is the change relative to A, NaN where A is 0.
func (c ScoreChange) percent() float64 {
	if c.A == 0 {
		return math.NaN()
	}
	return 100 * (c.B - c.A) / math.Abs(c.A)
}

// CheckChange is one check in both runs.
type CheckChange struct {
	Name   string     `json:"name"`
	Status string     `json:"status"`
	State  [2]Verdict `json:"state"`
	Detail [2]string  `json:"detail"`
}

// DiffPaths compares two reports, given as folders or report.json files, with
// their manifests where both have one.
func DiffPaths(a, b string) (*Difference, error) {
	ra, err := Load(a)
	if err != nil {
		return nil, err
	}
	rb, err := Load(b)
	if err != nil {
		return nil, err
	}
	d := Diff(ra, rb)
	d.A, d.B = a, b
	ma, erra := LoadManifest(a)
	mb, errb := LoadManifest(b)
	if err := errors.Join(notMissing(erra), notMissing(errb)); err != nil {
		return nil, err
	}
	if erra == nil && errb == nil {
		d.inputs(ma, mb)
	}
	return d, nil
}

func notMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Diff compares two reports.
func Diff(a, b *Report) *Difference {
	d := &Difference{
		A: a.Scenario, B: b.Scenario, Verdict: [2]Verdict{a.Verdict, b.Verdict},
		Fields: []FieldChange{}, Scores: []ScoreChange{}, Checks: []CheckChange{}, Inputs: []FieldChange{},
	}
	for _, f := range []FieldChange{
		{"scenario", a.Scenario, b.Scenario},
		{"seed", fmt.Sprint(a.Seed), fmt.Sprint(b.Seed)},
		{"clock", a.Clock, b.Clock},
		{"binary", a.Binary, b.Binary},
		{"kernel", a.Kernel, b.Kernel},
		{"journal_sha256", a.JournalSHA256, b.JournalSHA256},
		{"sim_s", num(a.SimS), num(b.SimS)},
		{"devices", fmt.Sprint(a.Devices), fmt.Sprint(b.Devices)},
		{"machine", a.Machine, b.Machine},
		{"filesystem", a.FileSystem, b.FileSystem},
	} {
		if f.A != f.B {
			d.Fields = append(d.Fields, f)
		}
	}
	d.scores(a.Scores, b.Scores)
	d.checks(a.Checks, b.Checks)
	d.settle()
	return d
}

func (d *Difference) settle() {
	d.Same = len(d.Fields) == 0 && len(d.Inputs) == 0 && d.Verdict[0] == d.Verdict[1]
	for _, s := range d.Scores {
		// The speed of the run is no property of what ran.
		d.Same = d.Same && (s.Status == Same || s.Metric == "speed" && s.Status == Changed)
	}
	for _, c := range d.Checks {
		d.Same = d.Same && c.Status == Same
	}
}

// match pairs up two lists by key: those of a in order, then what only b has.
// Equal keys pair up one by one.
func match[T any](a, b []T, key func(T) string, pair func(x, y *T)) {
	used := make([]bool, len(b))
	for i := range a {
		var other *T
		for j := range b {
			if !used[j] && key(a[i]) == key(b[j]) {
				used[j], other = true, &b[j]
				break
			}
		}
		pair(&a[i], other)
	}
	for j := range b {
		if !used[j] {
			pair(nil, &b[j])
		}
	}
}

func (d *Difference) scores(a, b []Score) {
	match(a, b, Score.key, func(x, y *Score) {
		c := ScoreChange{A: math.NaN(), B: math.NaN()}
		for i, s := range []*Score{x, y} {
			if s == nil {
				continue
			}
			c.Metric, c.Stat, c.Unit = s.Metric, s.Stat, s.Unit
			c.Limit[i], c.State[i] = s.Limit, s.state()
			*[]*float64{&c.A, &c.B}[i] = s.Value
		}
		equal := x != nil && y != nil && x.Limit == y.Limit && (x.Value == y.Value || math.IsNaN(x.Value) && math.IsNaN(y.Value))
		c.Status = status(c.State, equal)
		if x != nil && y != nil && x.bounded() && y.bounded() {
			c.Distinct = x.CI95[1] < y.CI95[0] || y.CI95[1] < x.CI95[0]
		}
		d.Scores = append(d.Scores, c)
	})
}

func (d *Difference) checks(a, b []Check) {
	match(a, b, func(c Check) string { return c.Name }, func(x, y *Check) {
		var c CheckChange
		for i, s := range []*Check{x, y} {
			if s != nil {
				c.Name, c.State[i], c.Detail[i] = s.Name, s.state(), s.Detail
			}
		}
		// The detail may carry figures that move; only the outcome counts.
		c.Status = status(c.State, true)
		d.Checks = append(d.Checks, c)
	})
}

func status(s [2]Verdict, equal bool) string {
	switch {
	case s[0] == "":
		return Added
	case s[1] == "":
		return Removed
	case s[0] == Passed && s[1] != Passed:
		return Broken
	case s[0] != Passed && s[1] == Passed:
		return Fixed
	case s[0] == s[1] && equal:
		return Same
	}
	return Changed
}

func (d *Difference) inputs(a, b *Manifest) {
	match(a.Inputs, b.Inputs, func(f File) string { return f.Name }, func(x, y *File) {
		var c FieldChange
		if x != nil {
			c.Name, c.A = x.Name, x.SHA256
		}
		if y != nil {
			c.Name, c.B = y.Name, y.SHA256
		}
		if c.A != c.B {
			d.Inputs = append(d.Inputs, c)
		}
	})
	if ta, tb := strings.Join(a.Tags, ","), strings.Join(b.Tags, ","); ta != tb {
		d.Fields = append(d.Fields, FieldChange{"tags", ta, tb})
	}
	d.settle()
}

// Text writes the difference for a terminal.
func (d *Difference) Text(w io.Writer, colour bool) error {
	p := painter(colour)
	var b strings.Builder
	fmt.Fprintf(&b, "\n  A  %s\n  B  %s\n", d.A, d.B)
	if d.Same {
		fmt.Fprintf(&b, "\n  %s\n\n", p.paint("1", "= no difference"))
		_, err := io.WriteString(w, b.String())
		return err
	}
	section := func(title string, fs []FieldChange) {
		if len(fs) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n  %s\n", p.paint("1", title))
		wide := 0
		for _, f := range fs {
			wide = max(wide, len(f.Name))
		}
		for _, f := range fs {
			fmt.Fprintf(&b, "  ~ %s  %s → %s\n", pad(f.Name, wide, false), short(f.A), short(f.B))
		}
	}
	section("run", d.Fields)
	section("inputs", d.Inputs)
	paint := func(status string) (sign, ansi string) {
		switch status {
		case Broken:
			return "✗", "31;1"
		case Fixed:
			return "✓", "32"
		case Added:
			return "+", ""
		case Removed:
			return "-", ""
		case Changed:
			return "~", ""
		}
		return "=", "2"
	}
	if len(d.Scores) > 0 {
		fmt.Fprintf(&b, "\n  %s\n", p.paint("1", "scores"))
		var rows [][]string
		for _, s := range d.Scores {
			change := ""
			if isFinite(s.B-s.A) && s.A != s.B {
				change = fmt.Sprintf("%+.2f %%", s.percent())
				if s.A == 0 {
					change = fmt.Sprintf("%+.4g", s.B-s.A)
				}
				if s.Distinct {
					change += " *"
				}
			}
			limit := withLimitUnit(s.Limit[1], s.Unit)
			if s.Limit[0] != s.Limit[1] {
				limit = fmt.Sprintf("%s → %s", orNone(s.Limit[0]), orNone(s.Limit[1]))
			}
			word := ""
			if s.Status != Same && s.Status != Changed {
				word = s.Status
			}
			rows = append(rows, []string{s.Metric, s.Stat, withUnit(s.A, s.Unit), "→", withUnit(s.B, s.Unit), change, limit, word})
		}
		width := widths(rows)
		distinct := false
		for i, s := range d.Scores {
			sign, ansi := paint(s.Status)
			cells := make([]string, len(width))
			for k, c := range rows[i] {
				cells[k] = pad(c, width[k], k == 2 || k == 4 || k == 5)
			}
			distinct = distinct || s.Distinct
			fmt.Fprintf(&b, "  %s\n", p.paint(ansi, sign+" "+strings.TrimRight(strings.Join(cells, "  "), " ")))
		}
		if distinct {
			fmt.Fprintf(&b, "    %s\n", p.paint("2", "* the 95 % intervals do not meet"))
		}
	}
	if len(d.Checks) > 0 {
		fmt.Fprintf(&b, "\n  %s\n", p.paint("1", "checks"))
		for _, c := range d.Checks {
			sign, ansi := paint(c.Status)
			detail := ""
			if c.Status != Same {
				detail = fmt.Sprintf("  %s: %s → %s: %s", orNone(string(c.State[0])), c.Detail[0], orNone(string(c.State[1])), c.Detail[1])
			}
			fmt.Fprintf(&b, "  %s%s\n", p.paint(ansi, sign+" "+c.Name), detail)
		}
	}
	m := marks[d.Verdict[1]]
	fmt.Fprintf(&b, "\n  %s → %s\n\n", d.Verdict[0], p.paint(m.ansi, m.sign+" "+string(d.Verdict[1])))
	_, err := io.WriteString(w, b.String())
	return err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// short cuts checksums down to what tells them apart.
func short(s string) string {
	if len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" {
		return s[:12] + "…"
	}
	return orNone(s)
}
