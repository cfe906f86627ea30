package report

import (
	"encoding/json"
	"math"
	"time"
)

// Verdict is what a run, or a test of it, came to.
type Verdict string

// The verdicts.
const (
	Passed        Verdict = "passed"
	Failed        Verdict = "failed"
	Inconclusive  Verdict = "inconclusive"
	NotApplicable Verdict = "not-applicable"
	Interrupted   Verdict = "interrupted"
)

// Report is report.json: the outcome of one run.
type Report struct {
	Scenario      string  `json:"scenario"`
	Verdict       Verdict `json:"verdict"`
	Seed          uint64  `json:"seed"`
	Clock         string  `json:"clock"`          // virtual or wall
	Binary        string  `json:"binary"`         // sha256 of the program, or its version
	Kernel        string  `json:"kernel"`         // the numerical kernel the journal hash is promised for
	JournalSHA256 string  `json:"journal_sha256"` // of all bus frames in order
	SimS          float64 `json:"sim_s"`
	WallS         float64 `json:"wall_s"`
	Speed         float64 `json:"speed"` // sim_s/wall_s
	Devices       int     `json:"devices"`
	Scores        []Score `json:"scores"`
	Checks        []Check `json:"checks"`

	Description string         `json:"description,omitempty"`
	Duration    float64        `json:"duration_s,omitempty"` // asked for
	Start       time.Time      `json:"start,omitzero"`       // of the run's own time
	Machine     string         `json:"machine,omitempty"`
	FileSystem  string         `json:"filesystem,omitempty"` // under the log of a run on the wall clock
	Events      map[string]int `json:"events,omitempty"`     // how many of each kind
	Faults      []Window       `json:"faults,omitempty"`
	Loads       []LoadResult   `json:"loads,omitempty"`
	Environment []Fact         `json:"environment,omitempty"` // beside the machine: what was loaded, and by what
}

// Fact is one line of what a run was made with.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Score is one number held against one limit. A Value of NaN was not measured
// and is null in JSON; so is the CI95 of a value that has none, and an end of an
// interval that is not bounded.
type Score struct {
	Metric       string     `json:"metric"`
	Stat         string     `json:"stat"`
	Value        float64    `json:"value"`
	Unit         string     `json:"unit"`
	N            int64      `json:"n"`
	CI95         [2]float64 `json:"ci95"`
	Limit        string     `json:"limit"` // empty: reported, not judged
	Pass         bool       `json:"pass"`
	Requirement  string     `json:"requirement"`
	Inconclusive bool       `json:"inconclusive,omitempty"` // could not be judged; Note says why
	Note         string     `json:"note,omitempty"`
}

// Check is one property of the run that holds or does not.
type Check struct {
	Name         string `json:"name"`
	Pass         bool   `json:"pass"`
	Detail       string `json:"detail"`
	Inconclusive bool   `json:"inconclusive,omitempty"`
}

// Window is a stretch of the run, such as a fault that acted. To is NaN, null
// in JSON, for one that lasted to the end.
type Window struct {
	From    float64 `json:"from_s"`
	To      float64 `json:"to_s"`
	Label   string  `json:"label"`
	Devices string  `json:"devices,omitempty"` // the glob, or a name

	RecoveryS *float64 `json:"recovery_s,omitempty"` // from its end until the fleet followed its target again; nil: not measured or not reached
}

// Event is one line of the table of happenings: a fault, a refusal, an alarm.
type Event struct {
	T        float64   `json:"t"` // s since the start
	Time     time.Time `json:"-"` // zero: start + T
	Kind     string    `json:"kind"`
	Severity string    `json:"severity"` // info, warning, critical
	Device   string    `json:"device"`
	Text     string    `json:"text"`
}

// number is a float64 whose JSON null is NaN.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if v := float64(n); !math.IsNaN(v) && !math.IsInf(v, 0) {
		return json.Marshal(v)
	}
	return []byte("null"), nil
}

func (n *number) UnmarshalJSON(b []byte) error {
	*n = number(math.NaN())
	if string(b) == "null" {
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

// jsonScore is a Score with its numbers able to be null.
type jsonScore struct {
	Metric       string     `json:"metric"`
	Stat         string     `json:"stat"`
	Value        number     `json:"value"`
	Unit         string     `json:"unit"`
	N            int64      `json:"n"`
	CI95         *[2]number `json:"ci95"`
	Limit        string     `json:"limit"`
	Pass         bool       `json:"pass"`
	Requirement  string     `json:"requirement"`
	Inconclusive bool       `json:"inconclusive,omitempty"`
	Note         string     `json:"note,omitempty"`
}

// MarshalJSON writes what is no number as null.
func (s Score) MarshalJSON() ([]byte, error) {
	j := jsonScore{s.Metric, s.Stat, number(s.Value), s.Unit, s.N, nil, s.Limit, s.Pass, s.Requirement, s.Inconclusive, s.Note}
	if s.bounded() {
		j.CI95 = &[2]number{number(s.CI95[0]), number(s.CI95[1])}
	}
	return json.Marshal(j)
}

// bounded says whether the interval bounds the value on at least one side. The
// zero value is no interval, unless the value is 0 itself.
func (s Score) bounded() bool {
	if s.CI95 == [2]float64{} && s.Value != 0 {
		return false
	}
	return isFinite(s.CI95[0]) || isFinite(s.CI95[1])
}

// UnmarshalJSON reads null as NaN, and an end of an interval that is null as unbounded.
func (s *Score) UnmarshalJSON(b []byte) error {
	j := jsonScore{Value: number(math.NaN())}
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*s = Score{
		j.Metric, j.Stat, float64(j.Value), j.Unit, j.N,
		[2]float64{math.NaN(), math.NaN()},
		j.Limit, j.Pass, j.Requirement, j.Inconclusive, j.Note,
	}
	if j.CI95 != nil {
		for i, v := range j.CI95 {
			if s.CI95[i] = float64(v); math.IsNaN(s.CI95[i]) {
				s.CI95[i] = math.Inf(2*i - 1)
			}
		}
	}
	return nil
}

type jsonWindow struct {
	From    float64 `json:"from_s"`
	To      number  `json:"to_s"`
	Label   string  `json:"label"`
	Devices string  `json:"devices,omitempty"`

	RecoveryS *float64 `json:"recovery_s,omitempty"`
}

// MarshalJSON writes an open end as null.
func (w Window) MarshalJSON() ([]byte, error) {
	return json.Marshal(jsonWindow{w.From, number(w.To), w.Label, w.Devices, w.RecoveryS})
}

// UnmarshalJSON reads null as an open end.
func (w *Window) UnmarshalJSON(b []byte) error {
	j := jsonWindow{To: number(math.NaN())}
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*w = Window{j.From, float64(j.To), j.Label, j.Devices, j.RecoveryS}
	return nil
}

// MarshalJSON writes lists that are empty as [], and numbers as far as JSON has them.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	p := plain(r)
	if p.Scores == nil {
		p.Scores = []Score{}
	}
	if p.Checks == nil {
		p.Checks = []Check{}
	}
	for _, v := range []*float64{&p.SimS, &p.WallS, &p.Speed, &p.Duration} {
		if !isFinite(*v) {
			*v = 0
		}
	}
	return json.Marshal(p)
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
