package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"gonum.org/v1/gonum/stat/distuv"

	"yunchu/harness/metric"
)

// Summary is what many runs of one scenario, one seed each, agree on.
type Summary struct {
	Runs    []*Report    `json:"runs"`
	Summary []SummaryRow `json:"summary"`
}

// SummaryRow is one score over all runs.
type SummaryRow struct {
	Metric    string
	Stat      string
	Mean      float64    // over the runs that have a value; NaN without any
	CI95      [2]float64 // of that mean, by Student's t; NaN with fewer than two values
	PassRatio float64    // over all runs; one without a value has not passed
	Unit      string
	Limit     string
	N         int    // runs with a value
	Worst     uint64 // seed of the run that did worst
}

// MarshalJSON writes what is no number as null.
func (r SummaryRow) MarshalJSON() ([]byte, error) {
	var ci *[2]number
	if isFinite(r.CI95[0]) {
		ci = &[2]number{number(r.CI95[0]), number(r.CI95[1])}
	}
	return json.Marshal(struct {
		Metric    string     `json:"metric"`
		Stat      string     `json:"stat"`
		Mean      number     `json:"mean"`
		CI95      *[2]number `json:"ci95"`
		PassRatio number     `json:"pass_ratio"`
		Unit      string     `json:"unit"`
		Limit     string     `json:"limit"`
		N         int        `json:"n"`
		Worst     uint64     `json:"worst_seed"`
	}{r.Metric, r.Stat, number(r.Mean), ci, number(r.PassRatio), r.Unit, r.Limit, r.N, r.Worst})
}

// Summarise gathers the scores of runs of one scenario, in the order of the first run.
func Summarise(runs []*Report) Summary {
	s := Summary{Runs: notNil(runs), Summary: []SummaryRow{}}
	if len(runs) == 0 {
		return s
	}
	for _, first := range runs[0].Scores {
		row := SummaryRow{Metric: first.Metric, Stat: first.Stat, Unit: first.Unit, Limit: first.Limit, Worst: runs[0].Seed}
		above := strings.HasPrefix(first.Limit, ">") // larger is better
		var vs []float64
		var passed int
		worst := math.Inf(-1)
		for _, r := range runs {
			sc, ok := find(r.Scores, first)
			badness := math.Inf(1) // no value is worst of all
			if ok && sc.state() == Passed {
				passed++
			}
			if ok && isFinite(sc.Value) {
				vs = append(vs, sc.Value)
				if badness = sc.Value; above {
					badness = -sc.Value
				}
			}
			if badness > worst {
				worst, row.Worst = badness, r.Seed
			}
		}
		row.N = len(vs)
		row.PassRatio = float64(passed) / float64(len(runs))
		row.Mean, row.CI95 = meanInterval(vs)
		s.Summary = append(s.Summary, row)
	}
	return s
}

// find is the score of the same metric, stat and limit.
func find(scores []Score, like Score) (Score, bool) {
	for _, s := range scores {
		if s.key() == like.key() && s.Limit == like.Limit {
			return s, true
		}
	}
	return Score{}, false
}

func (s Score) key() string { return s.Metric + " " + s.Stat }

func meanInterval(vs []float64) (mean float64, ci [2]float64) {
	n := float64(len(vs))
	nan := math.NaN()
	if n == 0 {
		return nan, [2]float64{nan, nan}
	}
	for _, v := range vs {
		mean += v / n
	}
	if n < 2 {
		return mean, [2]float64{nan, nan}
	}
	var ss float64
	for _, v := range vs {
		ss += (v - mean) * (v - mean)
	}
	h := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile((1+metric.Confidence)/2) * math.Sqrt(ss/(n-1)/n)
	return mean, [2]float64{mean - h, mean + h}
}

// Verdict is passed only when all runs passed; otherwise the gravest of theirs.
func (s Summary) Verdict() Verdict {
	worst := Passed
	rank := map[Verdict]int{Passed: 0, NotApplicable: 1, Inconclusive: 2, Failed: 3, Interrupted: 4}
	for _, r := range s.Runs {
		if rank[r.Verdict] > rank[worst] {
			worst = r.Verdict
		}
	}
	if len(s.Runs) == 0 {
		return Inconclusive
	}
	return worst
}

// Text writes the summary for a terminal.
func (s Summary) Text(w io.Writer, colour bool) error {
	p := painter(colour)
	var b strings.Builder
	verdicts := map[Verdict]int{}
	for _, r := range s.Runs {
		verdicts[r.Verdict]++
	}
	if len(s.Runs) > 0 {
		fmt.Fprintf(&b, "\n  %s  %s\n\n", p.paint("1", s.Runs[0].Scenario), p.paint("2", plural(int64(len(s.Runs)), "seed")))
	}
	var rows [][]string
	for _, r := range s.Summary {
		ci := ""
		if isFinite(r.CI95[0]) {
			ci = "[" + num(r.CI95[0]) + " … " + num(r.CI95[1]) + "]"
		}
		rows = append(rows, []string{
			r.Metric, r.Stat, withUnit(r.Mean, r.Unit), ci, withLimitUnit(r.Limit, r.Unit),
			num(100*r.PassRatio) + " % pass", fmt.Sprintf("worst seed %d", r.Worst),
		})
	}
	width := widths(rows)
	for i, r := range s.Summary {
		v := Failed
		if r.PassRatio == 1 {
			v = Passed
		}
		cells := make([]string, len(width))
		for k, c := range rows[i] {
			cells[k] = pad(c, width[k], k == 2 || k == 5)
		}
		fmt.Fprintf(&b, "  %s %s\n", p.paint(marks[v].ansi, marks[v].sign), strings.TrimRight(strings.Join(cells, "  "), " "))
	}
	v := s.Verdict()
	fmt.Fprintf(&b, "\n  %s\n\n", p.paint(marks[v].ansi, fmt.Sprintf("%s %s: %d of %d runs passed", marks[v].sign, strings.ToUpper(string(v)), verdicts[Passed], len(s.Runs))))
	_, err := io.WriteString(w, b.String())
	return err
}
