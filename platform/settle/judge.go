package settle

import (
	"fmt"
	"math"
	"slices"
)

// Curve is a power by time: a value holds until the next one.
type Curve struct {
	T  []float64 // s, rising
	KW []float64
}

// At is the value of the last row up to t, and before the first one that.
func (c *Curve) At(t float64) float64 {
	i, found := slices.BinarySearch(c.T, t)
	if !found {
		i--
	}
	return c.KW[max(i, 0)]
}

// Terms are what a score is made of beside signal and response.
type Terms struct {
	Variant      string  // of pjm; empty: rolling
	RatedKW      float64 // what is measured against; 0: the largest power of the signal
	Price        float64 // of a MW of mileage; 0: that of the rule
	Share        float64 // what of an award was for regulation, 0..1
	RMCCP, RMPCP float64 // of an hour and MW
	MileageRatio float64
}

// Judgement is what a response comes to by a rule.
type Judgement struct {
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
	PJM
	Whole bool `json:"whole"` // its last sample can look ten minutes ahead
	Earns bool `json:"earns"` // whole, and good enough
}

// Why the hour earns nothing; empty where it does.
func (h *Hour) Why() string {
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
	Adjustment
	Terms []float64 `json:"terms"`
	K     float64   `json:"k"`
}

// Judge scores a response over the time that it has in common with the signal, by the rule. Both have
// the same sign. ErrNoData where there is nothing to score.
func (s *Score) Judge(o Terms, signal, response Curve) (*Judgement, error) {
	if len(signal.T) == 0 || len(response.T) == 0 {
		return nil, fmt.Errorf("a signal of %d rows and a response of %d: %w", len(signal.T), len(response.T), ErrNoData)
	}
	if o.Variant != "" && s.Aggregation != "pjm" {
		return nil, fmt.Errorf("rule %s has no variants; they are readings of PJM's manual", s.Name)
	}
	if o.RatedKW < 0 || o.Share < 0 || o.Share > 1 {
		return nil, fmt.Errorf("a rated power of %g kW and a share of %g: write one above 0, and a part of 1", o.RatedKW, o.Share)
	}
	reading := PJMReading(o.Variant)
	if o.Variant == "" {
		reading = Rolling
	}
	if !slices.Contains([]PJMReading{Rolling, Rolling10s, Block}, reading) {
		return nil, fmt.Errorf("variant %q: there are rolling, rolling10s and block", o.Variant)
	}
	r := &Judgement{
		Rule: s.Name, Version: s.Version, Standing: s.Standing, Source: s.Source, Doubts: s.Doubts, RatedKW: o.RatedKW, From: "given",
	}
	if !(r.RatedKW > 0) {
		r.RatedKW, r.From = 0, "largest power of the signal"
		for _, kw := range signal.KW {
			r.RatedKW = max(r.RatedKW, math.Abs(kw))
		}
	}
	if r.RatedKW == 0 {
		return nil, fmt.Errorf("the signal asks for no power at all: %w", ErrNoData)
	}
	from, to, ok := signal.Common(response)
	if !ok {
		return nil, fmt.Errorf("signal and response have no time in common: %w", ErrNoData)
	}
	if s.Aggregation == "pjm" {
		r.Variant = string(reading)
		return r, r.pjm(s, &o, reading, &signal, &response, from, to)
	}
	return r, r.index(s, &o, &signal, &response, from, to)
}

// Common is the time that two curves have in common. It is not ok where there is none.
func (c *Curve) Common(with Curve) (from, to float64, ok bool) {
	from, to = max(c.T[0], with.T[0]), min(c.T[len(c.T)-1], with.T[len(with.T)-1])
	return from, to, to > from
}

// between is the part of a curve from one time to another, with a row at both.
func (c *Curve) between(from, to float64) (part Curve) {
	part = Curve{T: []float64{from}, KW: []float64{c.At(from)}}
	for i, t := range c.T {
		if from < t && t <= to {
			part.T, part.KW = append(part.T, t), append(part.KW, c.KW[i])
		}
	}
	if n := len(part.T) - 1; part.T[n] < to {
		part.T, part.KW = append(part.T, to), append(part.KW, part.KW[n])
	}
	return part
}

func (r *Judgement) pjm(rule *Score, o *Terms, reading PJMReading, signal, response *Curve, from, to float64) error {
	n := int((to-from)/PJMPeriodS+1e-9) + 1
	x, y := make([]float64, n), make([]float64, n)
	for i := range x {
		t := from + float64(i)*PJMPeriodS + 1e-6
		x[i], y[i] = signal.At(t)/r.RatedKW, response.At(t)/r.RatedKW
	}
	hours, err := PJMHours(x, y, reading)
	if err != nil {
		return err
	}
	s, samples, err := PJMMean(PJMScored(hours))
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
		r.Hours = append(r.Hours, Hour{At: int(from) + h.At*PJMPeriodS, PJM: h.PJM, Whole: h.Whole, Earns: h.Whole && h.Score >= rule.Earns})
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

func (r *Judgement) charge(rule *Score, fee float64) {
	fee = math.Round(100*fee) / 100
	r.Fee, r.Currency = &fee, rule.Price.Currency
}

func (r *Judgement) index(rule *Score, o *Terms, signal, response *Curve, from, to float64) error {
	part := response.between(from, to)
	list, err := rule.Counting.Adjustments(*signal, part, r.RatedKW)
	if err != nil && !rule.Counting.asks(*signal, part, r.RatedKW) {
		return fmt.Errorf("response already at target: no command is further from it than %g %% of %g kW, so that nothing was to be followed: %w", rule.Counting.Counts, r.RatedKW, err)
	} else if err != nil {
		return fmt.Errorf("no command moved more than %g %% of %g kW and held %g s: %w", rule.Counting.Counts, r.RatedKW, rule.Counting.Holds, err)
	}
	r.N, r.Score = int64(len(list)), Mean(list, rule.K)
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
	var each []Mileage
	for _, a := range list {
		parts := rule.Parts(a)
		for i, p := range parts {
			k.Terms[rule.Terms[i].Name] += p / float64(len(list))
		}
		k.MileageMW += a.MovedKW / 1000
		k.Adjustments = append(k.Adjustments, Adjusted{a, parts, rule.K(a)})
		each = append(each, Mileage{MW: a.MovedKW / 1000, Price: price, Index: rule.K(a)})
	}
	if rule.Aggregation == "weighted" { // the index of the period holds for all of it
		each = []Mileage{{MW: k.MileageMW, Price: price, Index: r.Score}}
	}
	if price > 0 {
		if p := rule.Price; p.Most > 0 && (price < p.Least || price > p.Most) {
			return fmt.Errorf("a price of %g %s a %s is outside of %g to %g, which rule %s allows", price, p.Currency, p.Per, p.Least, p.Most, rule.Name)
		}
		r.charge(rule, rule.Fee(o.Share, each))
	}
	return nil
}
