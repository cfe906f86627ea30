package settle

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
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
	by       []Amount    // the same of each claim
	slack    float64     // part of the bill that the ends of the data leave open
}

// Comparison is a line of both bills.
type Comparison struct {
	Line   string      `json:"line"`
	Month  string      `json:"month,omitempty"`
	Ours   json.Number `json:"ours"`
	Theirs json.Number `json:"theirs"`
	Differ json.Number `json:"difference"`
	Trap   string      `json:"trap"` // which explains this line by itself; none also where there is no difference
	What   string      `json:"because,omitempty"`
}

// LeftOut is a line of ours that the other bill does not have, and that comes to money.
type LeftOut struct {
	Line  string      `json:"line"`
	Month string      `json:"month"`
	Ours  json.Number `json:"ours"`
}

// Reconciled says how another party's bill differs, and why.
type Reconciled struct {
	Agrees  bool         `json:"agrees"`
	Apart   json.Number  `json:"apart"` // of the lines that both have
	Lines   []Comparison `json:"lines"`
	LeftOut []LeftOut    `json:"left_out,omitempty"` // by the other bill
	Trap    string       `json:"trap"`               // which explains the difference; none, where it is none of them
	Because string       `json:"because"`
	Tried   []Reading    `json:"tried"`
}

// Traps are the known ways to read the data wrongly.
const (
	TrapNone    = "none"
	TrapEnergy  = "energy"      // mean power taken for energy of the interval, or the other way round, of the meter, of the data or of both
	TrapZone    = "time-zone"   // prices of another hour, or labels at the end of the interval
	TrapSeveral = "several"     // each line another
	TrapHourly  = "hourly-mean" // the mean of the hour where the interval's own price holds, or the other way round
)

// Reconcile compares another party's bill with what the rule comes to, and says what it
// leaves out and which of the known traps explains the difference. Ours is made again as
// each trap would have it; the trap is the one that leaves least, if what it leaves is
// nothing but rounding.
func (t *Tariff) Reconcile(d *Data, theirs []Claim) (*Reconciled, error) {
	maker, err := t.biller(d)
	if err != nil {
		return nil, err
	}
	ours, err := maker.bill(misread{})
	if err != nil {
		return nil, err
	}
	maker.lines = func(id string) bool { return slices.ContainsFunc(theirs, func(c Claim) bool { return c.Line == id }) }
	out := &Reconciled{Trap: TrapNone, LeftOut: ours.leftOut(theirs)}
	var size float64
	for _, c := range theirs {
		a, err := ours.Claimed(c)
		if err != nil {
			return nil, err
		}
		text := func(x Amount) json.Number { return json.Number(t.Rounding.Text(x)) }
		out.Lines = append(out.Lines, Comparison{c.Line, c.Month, text(a), text(c.Amount), text(c.Amount - a), TrapNone, ""})
		size += math.Abs(float64(c.Amount))
	}
	ask := func(trap, what string, m misread, slack float64) error {
		b, err := maker.bill(m)
		if err != nil {
			return err
		}
		r := Reading{Trap: trap, What: what, slack: slack}
		for _, c := range theirs {
			a, err := b.Claimed(c)
			if err != nil {
				return err
			}
			r.by = append(r.by, max(c.Amount-a, a-c.Amount))
		}
		r.Apart = json.Number(t.Rounding.Text(sum(r.by)))
		out.Tried = append(out.Tried, r)
		return nil
	}
	if err := ask(TrapNone, "as the rule says", misread{}, 0); err != nil {
		return nil, err
	}
	step := t.Step.Hours()
	part := new(big.Rat).SetFrac64(int64(t.Step), int64(time.Hour))
	for _, from := range t.sources() {
		for _, x := range []struct {
			times float64
			scale *big.Rat
			taken string
		}{
			{step, part, "kWh of an interval taken for kW and multiplied by its hours once more"},
			{1 / step, new(big.Rat).Inv(part), "kW taken for kWh of an interval"},
		} {
			if err := ask(TrapEnergy, fmt.Sprintf("%s times %g: %s", from.words(), x.times, x.taken), misread{scale: x.scale, of: from}, 0); err != nil {
				return nil, err
			}
		}
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
	out.judge(theirs, size)
	return out, nil
}

// sources are those whose energies may be misread apart: the meter's and those of the data, where the rule has both.
func (t *Tariff) sources() []source {
	metered, data := false, false
	for i := range t.Lines {
		l := &t.Lines[i]
		metered = metered || l.metered()
		data = data || l.ofEnergy() && slices.ContainsFunc(l.quantities(), func(c string) bool { return !slices.Contains(meterColumns, c) })
	}
	if !metered || !data {
		return []source{anySource}
	}
	return []source{anySource, fromMeter, fromData}
}

func (s source) words() string {
	return [...]string{anySource: "energy", fromMeter: "the meter's energy", fromData: "energy of the data"}[s]
}

// judge says which reading explains the difference as a whole, or that of each line.
func (r *Reconciled) judge(theirs []Claim, size float64) {
	r.Apart, r.Because = r.Tried[0].Apart, "none of the known traps explains the difference"
	best := r.best(size, func(x *Reading) []Amount { return x.by })
	for i := range r.Tried {
		x := &r.Tried[i]
		x.Explains = x.explains(size, x.by, r.Tried[0].by)
	}
	explained, exact := true, true // line by line; exact: without what the ends of the data leave open
	var traps, because []string
	for i, c := range theirs {
		size := math.Abs(float64(c.Amount))
		k := r.best(size, func(x *Reading) []Amount { return x.by[i : i+1] })
		if k == 0 {
			continue
		}
		if k < 0 {
			explained = false
			continue
		}
		r.Lines[i].Trap, r.Lines[i].What = r.Tried[k].Trap, r.Tried[k].What
		exact = exact && r.Tried[k].exactly(size, r.Tried[k].by[i:i+1], r.Tried[0].by[i:i+1])
		traps, because = append(traps, r.Tried[k].Trap), append(because, c.Line+": "+r.Tried[k].What)
	}
	// A whole that the ends of the data leave open is often met by chance, by one of many shifts: lines that are met to the cent go before it.
	if best > 0 && explained && exact && len(traps) > 0 && !r.Tried[best].exactly(size, r.Tried[best].by, r.Tried[0].by) {
		best = -1
	}
	switch {
	case best >= 0:
		r.Trap, r.Because, r.Agrees = r.Tried[best].Trap, r.Tried[best].What, best == 0
	case explained:
		r.Trap, r.Because = traps[0], strings.Join(because, "; ")
		if len(slices.Compact(traps)) > 1 {
			r.Trap = TrapSeveral
		}
	}
	if len(r.LeftOut) == 0 {
		return
	}
	var left []string
	for _, x := range r.LeftOut {
		left = append(left, fmt.Sprintf("%s of %s (%s)", x.Line, x.Month, x.Ours))
	}
	r.Agrees = false
	r.Because = fmt.Sprintf("the other bill leaves out %s; the other lines are %s apart: %s", strings.Join(left, ", "), r.Apart, r.Because)
}

// leftOut are the lines of our bill that the other does not have. To leave out what comes to
// nothing is no difference.
func (b *Bill) leftOut(theirs []Claim) (list []LeftOut) {
	for _, m := range b.Months {
		for _, s := range m.Lines {
			claimed := func(c Claim) bool { return c.Line == s.Line && (c.Month == "" || c.Month == m.Month) }
			if s.Cents != 0 && !slices.ContainsFunc(theirs, claimed) {
				list = append(list, LeftOut{s.Line, m.Month, s.Amount})
			}
		}
	}
	return list
}

// best is the reading that leaves least of those that explain some lines; −1: none does.
func (r *Reconciled) best(size float64, left func(*Reading) []Amount) int {
	best := -1
	for i := range r.Tried {
		x := &r.Tried[i]
		if x.explains(size, left(x), left(&r.Tried[0])) && (best < 0 || sum(left(x)) < sum(left(&r.Tried[best]))) {
			best = i
		}
	}
	return best
}

// explains tells whether what a reading leaves of some lines is rounding. To agree with the
// rule is to agree to a cent in each line. A trap may leave a ten-thousandth of the bill, as
// whoever falls into one rounds elsewhere, and what the ends of the data leave open, but no
// more than a tenth of the difference.
func (x *Reading) explains(size float64, left, before []Amount) bool {
	if x.Trap == TrapNone {
		return !slices.ContainsFunc(left, func(a Amount) bool { return a > 1 })
	}
	rest := float64(sum(left))
	return rest <= float64(len(left))+(x.slack+1e-4)*size && rest <= float64(sum(before))/10
}

// exactly is explains without what the ends of the data leave open.
func (x *Reading) exactly(size float64, left, before []Amount) bool {
	tight := *x
	tight.slack = 0
	return tight.explains(size, left, before)
}

func sum(list []Amount) (total Amount) {
	for _, a := range list {
		total += a
	}
	return total
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

// Said is the difference in words.
func (r *Reconciled) Said(currency string) string {
	if len(r.LeftOut) > 0 {
		return r.Because
	}
	return fmt.Sprintf("the bills are %s %s apart: %s", r.Apart, currency, r.Because)
}
