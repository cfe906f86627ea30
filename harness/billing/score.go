package billing

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"

	"yunchu/harness/sheet"
	"yunchu/platform/settle"
)

// ScoreOptions say what is scored, and by which rule.
type ScoreOptions struct {
	// CSV with t_s and power_kw; of the signals of a run, target_kw is the signal.
	Signal, Response string
	Rule             string // one that ships, or a file
	settle.Terms
}

// ScoreResult is what a response comes to.
type ScoreResult struct {
	*settle.Judgement

	signal, response curve
	terms            []string // names, in the rule's order
}

// curve is a file of t_s and power_kw.
type curve struct {
	settle.Curve
	sheet *sheet.Sheet
}

// readCurve reads the first of the columns that a file has.
func readCurve(path string, columns ...string) (c curve, err error) {
	s, err := sheet.Read(path, func(name string) bool { return name == "t_s" || slices.Contains(columns, name) })
	if err != nil {
		return c, err
	}
	c.sheet = s
	if c.T, err = s.Full("t_s"); err != nil {
		return c, err
	}
	have := columns[len(columns)-1]
	for _, name := range columns {
		if s.Has(name) {
			have = name
			break
		}
	}
	if c.KW, err = s.Full(have); err != nil {
		return c, err
	}
	for i := 1; i < len(c.T); i++ {
		if !(c.T[i] > c.T[i-1]) {
			return c, s.At(i, []string{"t_s"}, "sort the rows; a time is there once", "%g s comes after %g s", c.T[i], c.T[i-1])
		}
	}
	return c, nil
}

// holes is an error where more than a few samples are missing between two times: there the
// last value does not hold. Rows within a minute are a few at any pace.
func (c *curve) holes(from, to float64) error {
	steps := make([]float64, 0, len(c.T))
	for i := 1; i < len(c.T); i++ {
		steps = append(steps, c.T[i]-c.T[i-1])
	}
	slices.Sort(steps)
	usual := steps[len(steps)/2]
	for i := 1; i < len(c.T); i++ {
		if step := c.T[i] - c.T[i-1]; step > max(60, 5*usual) && c.T[i] > from && c.T[i-1] < to {
			return c.sheet.At(i, []string{"t_s"}, "score what is before and what is after it by itself", "%g s after the row above, where rows are %g s apart: what was between is not known", step, usual)
		}
	}
	return nil
}

// Score scores a response.
func Score(o ScoreOptions) (*ScoreResult, error) {
	rule, err := scoreRule(o.Rule)
	if err != nil {
		return nil, err
	}
	signal, err := readCurve(o.Signal, "target_kw", "power_kw")
	if err != nil {
		return nil, err
	}
	response, err := readCurve(o.Response, "power_kw")
	if err != nil {
		return nil, err
	}
	if from, to, ok := signal.Common(response.Curve); ok {
		if err := response.holes(from, to); err != nil {
			return nil, err
		}
		if rule.Aggregation == "pjm" { // a signal of commands is written when it changes
			if err := signal.holes(from, to); err != nil {
				return nil, err
			}
		}
	}
	judged, err := rule.Judge(o.Terms, signal.Curve, response.Curve)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", o.Signal, o.Response, err)
	}
	r := &ScoreResult{Judgement: judged, signal: signal, response: response}
	for _, t := range rule.Terms {
		r.terms = append(r.terms, t.Name)
	}
	return r, nil
}

// WriteCSV writes a row for each hour, or for each command.
func (r *ScoreResult) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	row := func(cells ...any) {
		text := make([]string, len(cells))
		for i, x := range cells {
			text[i] = fmt.Sprint(x)
		}
		_ = c.Write(text) // told by Error
	}
	if p := r.PJMResult; p != nil {
		row("t_s", "score", "accuracy", "delay", "precision", "whole", "earns")
		for _, h := range p.Hours {
			row(h.At, h.Score, h.Accuracy, h.Delay, h.Precision, h.Whole, h.Earns)
		}
	}
	if k := r.KResult; k != nil {
		head := []any{"t_s", "from_kw", "target_kw", "moved_kw", "rate_percent", "delay_s", "deviation_percent"}
		for _, name := range r.terms {
			head = append(head, name)
		}
		row(append(head, "k")...)
		for _, a := range k.Adjustments {
			cells := []any{a.At, a.FromKW, a.TargetKW, a.MovedKW, a.Rate, a.Delay, a.Error}
			for _, x := range a.Terms {
				cells = append(cells, x)
			}
			row(append(cells, a.K)...)
		}
	}
	c.Flush()
	return c.Error()
}

// Print says it in a few lines.
func (r *ScoreResult) Print(w io.Writer) {
	fmt.Fprintf(w, "%s %s (%s): %.4f over %d", r.Rule, r.Version, r.Standing, r.Score, r.N)
	if p := r.PJMResult; p != nil {
		fmt.Fprintf(w, " samples, %s: accuracy %.4f, delay %.4f, precision %.4f\n", r.Variant, p.Accuracy, p.Delay, p.Precision)
		fmt.Fprintf(w, "%d of %d hours earn", p.Earning, len(p.Hours))
		told := 0
		for _, h := range p.Hours {
			if why := h.Why(); why != "" && told < 5 {
				fmt.Fprintf(w, "; not that from %d s, which is %s", h.At, why)
				told++
			}
		}
		if more := len(p.Hours) - p.Earning - told; more > 0 {
			fmt.Fprintf(w, "; and %d more", more)
		}
		fmt.Fprintln(w)
	}
	if k := r.KResult; k != nil {
		var terms []string
		for name, x := range k.Terms {
			terms = append(terms, fmt.Sprintf("%s %.4f", name, x))
		}
		slices.Sort(terms)
		fmt.Fprintf(w, " adjustments: %s; %.4g MW moved\n", strings.Join(terms, ", "), k.MileageMW)
	}
	if r.Fee != nil {
		fmt.Fprintf(w, "fee %.2f %s\n", *r.Fee, r.Currency)
	}
	for _, d := range r.Doubts {
		fmt.Fprintf(w, "in doubt: %s\n", d)
	}
}
