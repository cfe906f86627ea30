package billing

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
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
	Variant          string // of pjm
	RatedKW          float64
	Price            float64 // of a MW of mileage; 0: that of the rule
	Share            float64 // what of an award was for regulation, 0..1
	RMCCP, RMPCP     float64 // of an hour and MW
	MileageRatio     float64
}

// ScoreResult is what a response comes to.
type ScoreResult struct {
	Rule     string   `json:"rule"`
	Version  string   `json:"version"`
	Standing string   `json:"standing"`
	Source   string   `json:"source"`
	Doubts   []string `json:"doubts,omitempty"`
	Variant  string   `json:"variant,omitempty"`
	Score    float64  `json:"score"`
	N        int64    `json:"n"`        // samples, or adjustments, that it rests on
	RatedKW  float64  `json:"rated_kw"` // what it was measured against
	From     string   `json:"rated_from"`

	*PJMResult
	*KResult

	Fee      *float64 `json:"fee,omitempty"`
	Currency string   `json:"currency,omitempty"`

	signal, response curve
	terms            []string // names, in the rule's order
}

// PJMResult are the terms of PJM's score, the mean over the hours that are whole, or over
// all there is where none is.
type PJMResult struct {
	Accuracy  float64 `json:"accuracy"`
	Delay     float64 `json:"delay"`
	Precision float64 `json:"precision"`
	Qualified bool    `json:"qualified"`
	Hours     []Hour  `json:"hours"`
	Earning   int     `json:"hours_that_earn"`
}

// Hour is the score of an hour.
type Hour struct {
	At int `json:"t_s"`
	settle.PJM
	Whole bool `json:"whole"` // its last sample can look ten minutes ahead
	Earns bool `json:"earns"` // whole, and good enough
}

// why the hour earns nothing; empty where it does.
func (h *Hour) why() string {
	switch {
	case h.Earns:
		return ""
	case !h.Whole:
		return "not whole"
	}
	return "below what earns"
}

// KResult are the terms of an index.
type KResult struct {
	Settled     float64            `json:"settled"` // rounded and capped as fees take it
	Admitted    *bool              `json:"admitted,omitempty"`
	Terms       map[string]float64 `json:"terms"` // means
	MileageMW   float64            `json:"mileage_mw"`
	Adjustments []Adjusted         `json:"adjustments"`
}

// Adjusted is one command with its index.
type Adjusted struct {
	settle.Adjustment
	Terms []float64 `json:"terms"`
	K     float64   `json:"k"`
}

// curve is a file of t_s and power_kw.
type curve struct {
	t, kw []float64
	sheet *sheet.Sheet
}

// readCurve reads the first of the columns that a file has.
func readCurve(path string, columns ...string) (c curve, err error) {
	s, err := sheet.Read(path, func(name string) bool { return name == "t_s" || slices.Contains(columns, name) })
	if err != nil {
		return c, err
	}
	c.sheet = s
	if c.t, err = s.Full("t_s"); err != nil {
		return c, err
	}
	have := columns[len(columns)-1]
	for _, name := range columns {
		if s.Has(name) {
			have = name
			break
		}
	}
	if c.kw, err = s.Full(have); err != nil {
		return c, err
	}
	for i := 1; i < len(c.t); i++ {
		if !(c.t[i] > c.t[i-1]) {
			return c, s.At(i, []string{"t_s"}, "sort the rows; a time is there once", "%g s comes after %g s", c.t[i], c.t[i-1])
		}
	}
	return c, nil
}

// holes is an error where more than a few samples are missing between two times: there the
// last value does not hold. Rows within a minute are a few at any pace.
func (c *curve) holes(from, to float64) error {
	steps := make([]float64, 0, len(c.t))
	for i := 1; i < len(c.t); i++ {
		steps = append(steps, c.t[i]-c.t[i-1])
	}
	slices.Sort(steps)
	usual := steps[len(steps)/2]
	for i := 1; i < len(c.t); i++ {
		if step := c.t[i] - c.t[i-1]; step > max(60, 5*usual) && c.t[i] > from && c.t[i-1] < to {
			return c.sheet.At(i, []string{"t_s"}, "score what is before and what is after it by itself", "%g s after the row above, where rows are %g s apart: what was between is not known", step, usual)
		}
	}
	return nil
}

// at is the value of the last row up to t.
func (c *curve) at(t float64) float64 {
	i, found := slices.BinarySearch(c.t, t)
	if !found {
		i--
	}
	return c.kw[max(i, 0)]
}

// Score scores a response.
func Score(o ScoreOptions) (*ScoreResult, error) {
	rule, err := scoreRule(o.Rule)
	if err != nil {
		return nil, err
	}
	if o.Variant != "" && rule.Aggregation != "pjm" {
		return nil, fmt.Errorf("rule %s has no variants; they are readings of PJM's manual", rule.Name)
	}
	if o.RatedKW < 0 || o.Share < 0 || o.Share > 1 {
		return nil, fmt.Errorf("a rated power of %g kW and a share of %g: write one above 0, and a part of 1", o.RatedKW, o.Share)
	}
	reading := settle.PJMReading(o.Variant)
	if o.Variant == "" {
		reading = settle.Rolling
	}
	if !slices.Contains([]settle.PJMReading{settle.Rolling, settle.Rolling10s, settle.Block}, reading) {
		return nil, fmt.Errorf("variant %q: there are rolling, rolling10s and block", o.Variant)
	}
	signal, err := readCurve(o.Signal, "target_kw", "power_kw")
	if err != nil {
		return nil, err
	}
	response, err := readCurve(o.Response, "power_kw")
	if err != nil {
		return nil, err
	}
	r := &ScoreResult{
		Rule: rule.Name, Version: rule.Version, Standing: rule.Standing, Source: rule.Source, Doubts: rule.Doubts, RatedKW: o.RatedKW, From: "given",
	}
	if !(r.RatedKW > 0) {
		r.RatedKW, r.From = 0, "largest power of the signal"
		for _, kw := range signal.kw {
			r.RatedKW = max(r.RatedKW, math.Abs(kw))
		}
	}
	if r.RatedKW == 0 {
		return nil, fmt.Errorf("%s asks for no power at all: %w", o.Signal, settle.ErrNoData)
	}
	from, to := max(signal.t[0], response.t[0]), min(signal.t[len(signal.t)-1], response.t[len(response.t)-1])
	if to <= from {
		return nil, fmt.Errorf("%s and %s have no time in common: %w", o.Signal, o.Response, settle.ErrNoData)
	}
	if err := response.holes(from, to); err != nil {
		return nil, err
	}
	r.signal, r.response = signal, response
	if rule.Aggregation == "pjm" {
		if err := signal.holes(from, to); err != nil { // one of commands is written when it changes
			return nil, err
		}
		r.Variant = string(reading)
		return r, r.pjm(rule, o, reading, &signal, &response, from, to)
	}
	return r, r.index(rule, o, &signal, &response, from, to)
}

func (r *ScoreResult) pjm(rule *settle.Score, o ScoreOptions, reading settle.PJMReading, signal, response *curve, from, to float64) error {
	n := int((to-from)/settle.PJMPeriodS+1e-9) + 1
	x, y := make([]float64, n), make([]float64, n)
	for i := range x {
		t := from + float64(i)*settle.PJMPeriodS + 1e-6
		x[i], y[i] = signal.at(t)/r.RatedKW, response.at(t)/r.RatedKW
	}
	hours, err := settle.PJMHours(x, y, reading)
	if err != nil {
		return err
	}
	scored := slices.DeleteFunc(slices.Clone(hours), func(h settle.PJMHour) bool { return !h.Whole || h.Samples == 0 })
	if len(scored) == 0 {
		scored = hours
	}
	s, samples, err := settle.PJMMean(scored)
	if err != nil {
		return err
	}
	r.Score, r.N = s.Score, samples
	r.PJMResult = &PJMResult{Accuracy: s.Accuracy, Delay: s.Delay, Precision: s.Precision, Qualified: s.Score >= rule.Admission}
	fee := 0.0
	for _, h := range hours {
		if h.Samples == 0 {
			continue
		}
		r.Hours = append(r.Hours, Hour{At: int(from) + h.At*settle.PJMPeriodS, PJM: h.PJM, Whole: h.Whole, Earns: h.Whole && h.Score >= rule.Earns})
		if h.Whole {
			c, p := rule.Credit(r.RatedKW/1000, h.Score, o.RMCCP, o.RMPCP, o.MileageRatio)
			fee += c + p
		}
		if r.Hours[len(r.Hours)-1].Earns {
			r.Earning++
		}
	}
	if o.RMCCP != 0 || o.RMPCP != 0 {
		r.charge(rule, fee)
	}
	return nil
}

func (r *ScoreResult) charge(rule *settle.Score, fee float64) {
	fee = math.Round(100*fee) / 100
	r.Fee, r.Currency = &fee, rule.Price.Currency
}

func (r *ScoreResult) index(rule *settle.Score, o ScoreOptions, signal, response *curve, from, to float64) error {
	var t, kw []float64
	for i, at := range response.t {
		if from <= at && at <= to {
			t, kw = append(t, at), append(kw, response.kw[i])
		}
	}
	list, err := rule.Counting.Adjustments(t, kw, signal.at, r.RatedKW)
	if err != nil {
		return fmt.Errorf("no command moved more than %g %% of %g kW and held %g s: %w", rule.Counting.Counts, r.RatedKW, rule.Counting.Holds, err)
	}
	r.N, r.Score = int64(len(list)), settle.Mean(list, rule.K)
	for _, t := range rule.Terms {
		r.terms = append(r.terms, t.Name)
	}
	k := &KResult{Settled: rule.Settled(r.Score), Terms: map[string]float64{}}
	r.KResult = k
	if rule.Admission > 0 {
		admitted := r.Score >= rule.Admission
		k.Admitted = &admitted
	}
	price := o.Price
	if price == 0 {
		price = rule.Price.Fixed
	}
	var each []settle.Mileage
	for _, a := range list {
		parts := rule.Parts(a)
		for i, p := range parts {
			k.Terms[rule.Terms[i].Name] += p / float64(len(list))
		}
		k.MileageMW += a.MovedKW / 1000
		k.Adjustments = append(k.Adjustments, Adjusted{a, parts, rule.K(a)})
		each = append(each, settle.Mileage{MW: a.MovedKW / 1000, Price: price, Index: rule.K(a)})
	}
	if rule.Aggregation == "weighted" { // the index of the period holds for all of it
		each = []settle.Mileage{{MW: k.MileageMW, Price: price, Index: r.Score}}
	}
	if price > 0 {
		if p := rule.Price; p.Most > 0 && (price < p.Least || price > p.Most) {
			return fmt.Errorf("a price of %g %s a %s is outside of %g to %g, which rule %s allows", price, p.Currency, p.Per, p.Least, p.Most, rule.Name)
		}
		r.charge(rule, rule.Fee(o.Share, each))
	}
	return nil
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
			if why := h.why(); why != "" && told < 5 {
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
