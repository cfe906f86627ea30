package settle

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"
)

// Claim is an amount of somebody else's bill.
type Claim struct {
	Line   string
	Month  string // 2025-01; empty: all of the bill's months together
	Amount Amount
}

// Reading of the data that somebody else may have had, and how far their bill is from ours then.
type Reading struct {
	Trap     string      `json:"trap"`     // none, energy, time-zone or hourly-mean
	What     string      `json:"what"`     // in words
	Apart    json.Number `json:"apart"`    // Σ over lines of |theirs − ours|
	Explains bool        `json:"explains"` // no more than rounding is left, or what the ends of the data leave open
	apart    Amount      //
	slack    float64     // part of the bill that the ends of the data leave open
}

// Comparison is a line of both bills.
type Comparison struct {
	Line   string      `json:"line"`
	Month  string      `json:"month,omitempty"`
	Ours   json.Number `json:"ours"`
	Theirs json.Number `json:"theirs"`
	Differ json.Number `json:"difference"`
}

// Reconciled says how another party's bill differs, and why.
type Reconciled struct {
	Agrees  bool         `json:"agrees"`
	Apart   json.Number  `json:"apart"`
	Lines   []Comparison `json:"lines"`
	Trap    string       `json:"trap"` // which explains the difference; none, where it is none of them
	Because string       `json:"because"`
	Tried   []Reading    `json:"tried"`
}

// Traps are the known ways to read the data wrongly.
const (
	TrapNone   = "none"
	TrapEnergy = "energy"      // mean power taken for energy of the interval, or the other way round
	TrapZone   = "time-zone"   // prices of another hour, or labels at the end of the interval
	TrapHourly = "hourly-mean" // the mean of the hour where the interval's own price holds, or the other way round
)

// Reconcile compares another party's bill with what the rule comes to, and says which of
// the known traps explains the difference. Ours is made again as each trap would have it;
// the trap is the one that leaves least, if what it leaves is nothing but rounding.
func (t *Tariff) Reconcile(d *Data, theirs []Claim) (*Reconciled, error) {
	maker, err := t.biller(d)
	if err != nil {
		return nil, err
	}
	maker.lines = func(id string) bool { return slices.ContainsFunc(theirs, func(c Claim) bool { return c.Line == id }) }
	ours, err := maker.bill(misread{})
	if err != nil {
		return nil, err
	}
	out := &Reconciled{Trap: TrapNone}
	var size float64
	for _, c := range theirs {
		a, err := ours.Claimed(c)
		if err != nil {
			return nil, err
		}
		text := func(x Amount) json.Number { return json.Number(t.Rounding.Text(x)) }
		out.Lines = append(out.Lines, Comparison{c.Line, c.Month, text(a), text(c.Amount), text(c.Amount - a)})
		size += math.Abs(float64(c.Amount))
	}
	apart := func(m misread) (sum Amount, err error) {
		b, err := maker.bill(m)
		if err != nil {
			return 0, err
		}
		for _, c := range theirs {
			a, err := b.Claimed(c)
			if err != nil {
				return 0, err
			}
			sum += max(c.Amount-a, a-c.Amount)
		}
		return sum, nil
	}
	ask := func(trap, what string, m misread, slack float64) error {
		sum, err := apart(m)
		if err != nil {
			return err
		}
		out.Tried = append(out.Tried, Reading{Trap: trap, What: what, Apart: json.Number(t.Rounding.Text(sum)), apart: sum, slack: slack})
		return nil
	}
	if err := ask(TrapNone, "as the rule says", misread{}, 0); err != nil {
		return nil, err
	}
	step := t.Step.Hours()
	part := new(big.Rat).SetFrac64(int64(t.Step), int64(time.Hour))
	if err := ask(TrapEnergy, fmt.Sprintf("energy times %g: kWh of an interval taken for kW and multiplied by its hours once more", step), misread{scale: part}, 0); err != nil {
		return nil, err
	}
	if err := ask(TrapEnergy, fmt.Sprintf("energy times %g: kW taken for kWh of an interval", 1/step), misread{scale: new(big.Rat).Inv(part)}, 0); err != nil {
		return nil, err
	}
	long := float64(len(d.At)) * step // h
	shifts := []time.Duration{-t.Step, t.Step}
	for h := 1; h <= 14; h++ {
		if s := time.Duration(h) * time.Hour; s != t.Step {
			shifts = append(shifts, -s, s)
		}
	}
	for _, s := range shifts {
		what := fmt.Sprintf("prices and hours %v later than the readings: a time zone", s)
		if s < 0 {
			what = fmt.Sprintf("prices and hours %v earlier than the readings: a time zone", -s)
		}
		if max(s, -s) == t.Step {
			what += ", or times that label the end of an interval"
		}
		if err := ask(TrapZone, what, misread{shift: s}, 2*max(s, -s).Hours()/long); err != nil {
			return nil, err
		}
	}
	if err := ask(TrapHourly, "each interval's own price where the rule has the mean of the hour", misread{mean: -1}, 0); err != nil {
		return nil, err
	}
	if err := ask(TrapHourly, "the mean of the hour where the rule has each interval's own price", misread{mean: 1}, 0); err != nil {
		return nil, err
	}
	out.judge(len(theirs), size)
	return out, nil
}

// judge says which reading explains the difference, where there is one. A cent a line is
// rounding; a trap must leave a tenth of the difference at most besides.
func (r *Reconciled) judge(lines int, size float64) {
	before := r.Tried[0].apart
	r.Apart, r.Because = r.Tried[0].Apart, "none of the known traps explains the difference"
	best := -1
	for i := range r.Tried {
		x := &r.Tried[i]
		left := float64(x.apart)
		x.Explains = left <= float64(lines)+x.slack*size && (i == 0 || left <= float64(before)/10)
		if x.Explains && (best < 0 || x.apart < r.Tried[best].apart) {
			best = i
		}
	}
	if best >= 0 {
		r.Trap, r.Because = r.Tried[best].Trap, r.Tried[best].What
		r.Agrees = best == 0
	}
}

// Claimed is what our bill says to a claim.
func (b *Bill) Claimed(c Claim) (sum Amount, err error) {
	found := false
	for _, m := range b.Months {
		if c.Month != "" && c.Month != m.Month {
			continue
		}
		for _, s := range m.Lines {
			if s.Line == c.Line {
				sum, found = sum+s.Cents, true
			}
		}
	}
	if !found {
		if c.Month != "" {
			return 0, fmt.Errorf("there is no line %q in %s", c.Line, c.Month)
		}
		return 0, fmt.Errorf("there is no line %q", c.Line)
	}
	return sum, nil
}
