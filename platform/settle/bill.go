package settle

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"
)

// Data is what a bill is made of: intervals in order, with what the meter says and further
// columns. NaN is a value that is not there.
type Data struct {
	At     []time.Time // begins, UTC
	Energy []float64   // kWh into the device or site, net of the interval
	// In and Out are what the registers of a meter counted each way, kWh of at least 0; nil: all that
	// is known is the net, and an interval is one of charge or of discharge.
	In, Out []float64
	Rows    [][2]int  // of the file of readings, those behind each interval; nil: not known
	Known   []float64 // part of each interval that was read, 0..1, the rest is estimated; nil: all of it
	Column  map[string][]float64
}

// Bill is what is owed for one version of a rule, by months. Amounts above 0 are earned.
type Bill struct {
	Rule     string    `json:"rule"`
	Title    string    `json:"title"`
	Site     string    `json:"site,omitempty"` // whose readings they are; empty: the only one with the party
	Of       []string  `json:"of,omitempty"`   // devices that were read, sorted; nil: a meter
	Version  string    `json:"version"`
	Standing string    `json:"standing"`
	Currency string    `json:"currency"`
	Zone     string    `json:"time_zone"`
	Rounding Rounding  `json:"rounding"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`

	Months   []Month     `json:"months"`
	Total    json.Number `json:"total"`
	Complete bool        `json:"complete"`
	Missing  []Missing   `json:"missing,omitempty"` // what was not billed, since something of it is not there
	// MissingMore is how many more there are, where not all of them are listed.
	MissingMore int `json:"missing_more,omitempty"`
	// Estimated intervals were read in part, and filled as the rule says.
	Estimated int `json:"estimated,omitempty"`
	// ProForma: it rests on simulated readings. It shows what a bill would be, and is none.
	ProForma bool `json:"pro_forma,omitempty"`

	Sum Amount `json:"-"`
}

// Month is a month in the rule's zone.
type Month struct {
	Month string      `json:"month"` // 2025-01
	From  time.Time   `json:"from"`  // what of it was billed
	To    time.Time   `json:"to"`
	Lines []Sum       `json:"lines"`
	Total json.Number `json:"total"`
}

// Sum is a line of a month, and all that it is made of.
type Sum struct {
	Line     string      `json:"line"`
	Title    string      `json:"title"`
	Formula  string      `json:"formula"` // what the line of the rule says
	Quantity json.Number `json:"quantity"`
	Amount   json.Number `json:"amount"`
	Items    []Item      `json:"items,omitempty"`

	Cents Amount `json:"-"`
}

// Item is what one interval adds to a line.
type Item struct {
	At       time.Time   `json:"at"`
	Line     string      `json:"line"`
	Period   string      `json:"period,omitempty"`
	Quantity json.Number `json:"quantity"`
	Price    json.Number `json:"price"`
	Factor   json.Number `json:"factor,omitempty"`
	Amount   json.Number `json:"amount"` // exact, or rounded where the rule rounds each interval
	Rows     *[2]int     `json:"rows,omitempty"`
	// Estimated: what the meter says is that of a part of the interval, scaled by time.
	Estimated bool `json:"estimated,omitempty"`
}

// Missing is an interval of a line that could not be billed.
type Missing struct {
	At   time.Time `json:"at"`
	Line string    `json:"line"`
	What string    `json:"what"` // the column
}

// misread is how somebody else may have read the data; the zero value is the right way.
type misread struct {
	scale *big.Rat      // energies times this
	of    source        // whose
	shift time.Duration // prices and local clock of this much later
	mean  int           // +1: hourly means everywhere, -1: nowhere
}

// source is where energies come from.
type source int

const (
	anySource source = iota
	fromMeter
	fromData
)

// biller makes bills of the same data.
type biller struct {
	t     *Tariff
	d     *Data
	m     misread
	at    map[int64]int // begin, Unix s → index
	exact map[string][]*big.Rat
	means map[string]map[int64]*big.Rat
	lines func(id string) bool // which are billed; nil: all
	trace bool
}

func (t *Tariff) biller(d *Data) (*biller, error) {
	for _, c := range t.Columns() {
		if d.Column[c] == nil {
			return nil, fmt.Errorf("rule %s needs a column %s", t.Name, c)
		}
	}
	b := &biller{t: t, d: d, at: make(map[int64]int, len(d.At)), exact: map[string][]*big.Rat{}, means: map[string]map[int64]*big.Rat{}}
	for i, at := range d.At {
		b.at[at.Unix()] = i
	}
	return b, nil
}

// Totals is Bill without the items, of which a large bill has millions.
func (t *Tariff) Totals(d *Data) (*Bill, error) {
	b, err := t.biller(d)
	if err != nil {
		return nil, err
	}
	return b.bill(misread{})
}

// Bill bills what of the data the version is valid for.
func (t *Tariff) Bill(d *Data) (*Bill, error) {
	b, err := t.biller(d)
	if err != nil {
		return nil, err
	}
	b.trace = true
	return b.bill(misread{})
}

func (b *biller) bill(m misread) (*Bill, error) {
	b.m = m
	t, d := b.t, b.d
	loc, last := t.Location(), time.Time{}
	out := &Bill{
		Rule: t.Name, Title: t.Title, Version: t.Version, Standing: t.Standing, Currency: t.Currency, Zone: t.Zone, Rounding: t.Rounding, Complete: true,
	}
	months := map[string][]int{}
	var order []string
	for i, at := range d.At {
		local := at.In(loc)
		if !t.Holds(at) {
			continue
		}
		if !t.Begins(at, t.Step) {
			return nil, fmt.Errorf("%s does not begin an interval of %v", at.Format(time.RFC3339), t.Step)
		}
		for next := last.Add(t.Step); !last.IsZero() && next.Before(at); next = next.Add(t.Step) {
			out.Missing = append(out.Missing, Missing{next, "", "interval"})
		}
		if last.IsZero() {
			out.From = at
		}
		last = at
		if b.estimated(i) {
			out.Estimated++
		}
		month := local.Format("2006-01")
		if months[month] == nil {
			order = append(order, month)
		}
		months[month] = append(months[month], i)
	}
	if last.IsZero() {
		return nil, fmt.Errorf("rule %s of %s is valid for none of the intervals: %w", t.Name, t.Version, ErrNoData)
	}
	out.To = last.Add(t.Step)
	for _, name := range order {
		month := Month{Month: name, From: d.At[months[name][0]], To: d.At[months[name][len(months[name])-1]].Add(t.Step)}
		var total Amount
		for k := range t.Lines {
			if b.lines != nil && !b.lines(t.Lines[k].ID) {
				continue
			}
			s, missing := b.line(&t.Lines[k], months[name])
			if s.Cents > most || s.Cents < -most {
				return nil, fmt.Errorf("line %s of %s comes to more money than there is: look at its prices and quantities", s.Line, name)
			}
			out.Missing = append(out.Missing, missing...)
			month.Lines = append(month.Lines, s)
			total += s.Cents
		}
		month.Total = json.Number(t.Rounding.Text(total))
		out.Months = append(out.Months, month)
		out.Sum += total
	}
	out.Total = json.Number(t.Rounding.Text(out.Sum))
	out.Complete = len(out.Missing) == 0
	return out, nil
}

// line bills one line over the intervals of a month.
func (b *biller) line(l *Line, intervals []int) (s Sum, missing []Missing) {
	quantity, amount := new(big.Rat), new(big.Rat)
	var peak *Item
	var peakQ, peakA *big.Rat
	for _, i := range intervals {
		item, q, a, what := b.item(l, i)
		switch {
		case what != "":
			missing = append(missing, Missing{b.d.At[i], l.ID, what})
			continue
		case q == nil: // nothing of this line in the interval
			continue
		case l.Kind == "demand":
			if peakA == nil || new(big.Rat).Abs(a).Cmp(new(big.Rat).Abs(peakA)) > 0 {
				peak, peakQ, peakA = &item, q, a
			}
			continue
		}
		a = b.interval(&item, a, &s)
		quantity.Add(quantity, q)
		amount.Add(amount, a)
		if b.trace {
			s.Items = append(s.Items, item)
		}
	}
	if peak != nil {
		quantity, amount = peakQ, b.interval(peak, peakA, &s)
		s.Items = append(s.Items, *peak)
	}
	if b.t.Rounding.Of == "month" {
		s.Cents = b.t.Rounding.Round(amount)
	}
	s.Line, s.Title, s.Formula, s.Quantity = l.ID, l.Title, l.Formula(), json.Number(decimal(quantity))
	s.Amount = json.Number(b.t.Rounding.Text(s.Cents))
	return s, missing
}

// interval books an item, rounded where the rule rounds each of them.
func (b *biller) interval(item *Item, a *big.Rat, s *Sum) *big.Rat {
	item.Amount = json.Number(decimal(a))
	if b.t.Rounding.Of == "interval" {
		cents := b.t.Rounding.Round(a)
		item.Amount = json.Number(b.t.Rounding.Text(cents))
		s.Cents += cents
	}
	return a
}

// item is what interval i adds to a line: quantity and amount, exact, signed by its side.
// q is nil where the line does not apply; what names a column that has no value.
func (b *biller) item(l *Line, i int) (item Item, q, a *big.Rat, what string) {
	j := b.priced(i)
	if l.Where != "" {
		x, what := b.quantity(l, l.Where, i)
		if what != "" || x.Sign() <= 0 {
			return item, nil, nil, what
		}
	}
	period, price := "", exact(l.Price)
	if len(l.Periods) > 0 {
		local := b.d.At[i].Add(b.m.shift).In(b.t.Location())
		k := slices.IndexFunc(l.Periods, func(p Period) bool { return p.covers(local) })
		if k < 0 {
			return item, nil, nil, ""
		}
		period, price = l.Periods[k].Name, exact(l.Periods[k].Price)
	}
	if q, what = b.quantity(l, l.Quantity, i); what != "" {
		return item, nil, nil, what
	}
	for _, c := range []struct {
		column string
		sign   int64
	}{{l.Plus, 1}, {l.Minus, -1}} {
		if c.column == "" {
			continue
		}
		x, what := b.quantity(l, c.column, i)
		if what != "" {
			return item, nil, nil, what
		}
		q = new(big.Rat).Add(q, new(big.Rat).Mul(x, big.NewRat(c.sign, 1)))
	}
	factor := big.NewRat(1, 1)
	if l.Least != "" {
		x, what := b.quantity(l, l.Least, i)
		if what != "" {
			return item, nil, nil, what
		}
		if l.Kind == "double-min" {
			factor = doubleMin(q, x, exact(l.Beyond))
		}
		if x.Cmp(q) < 0 {
			q = x
		}
	}
	if l.Floor && q.Sign() < 0 {
		q = new(big.Rat)
	}
	if l.PriceOf != "" {
		if price, what = b.price(l, i); what != "" {
			return item, nil, nil, what
		}
	}
	if l.Less != "" {
		x := b.column(l.Less)[j]
		if x == nil {
			return item, nil, nil, l.Less
		}
		price = new(big.Rat).Sub(price, x)
	}
	if l.Times != "" {
		x := b.d.Column[l.Times][i]
		if math.IsNaN(x) {
			return item, nil, nil, l.Times
		}
		if l.AtMost > 0 {
			x = min(x, l.AtMost)
		}
		factor = new(big.Rat).Mul(factor, exact(x))
	}
	if l.Kind == "demand" {
		q = new(big.Rat).Mul(q, big.NewRat(int64(time.Hour), int64(b.t.Step))) // mean power, kW
	}
	a = new(big.Rat)
	if q.Sign() != 0 {
		a.Mul(q, price)
		if l.Times != "" || l.Kind == "double-min" {
			a.Mul(a, factor)
		}
		if l.Per == "MWh" {
			a.Mul(a, perMWh)
		}
		if l.Side == "pays" {
			a.Neg(a)
		}
	}
	item = Item{At: b.d.At[i], Line: l.ID, Period: period}
	if b.trace || l.Kind == "demand" {
		item.Quantity, item.Price = json.Number(decimal(q)), json.Number(decimal(price))
		if l.Times != "" || l.Kind == "double-min" {
			item.Factor = json.Number(decimal(factor))
		}
		if b.d.Rows != nil {
			item.Rows = &b.d.Rows[i]
		}
		item.Estimated = b.estimated(i) && l.metered()
	}
	return item, q, a, ""
}

// estimated tells whether interval i was read in part.
func (b *biller) estimated(i int) bool {
	return b.d.Known != nil && b.d.Known[i] < 1 && !math.IsNaN(b.d.Energy[i])
}

var perMWh = big.NewRat(1, 1000) // of a kWh

// doubleMin is min(q/promised, 1), and 0 where q deviates by more than a part of it.
func doubleMin(q, promised, cliffPercent *big.Rat) *big.Rat {
	if promised.Sign() <= 0 || q.Sign() <= 0 {
		return new(big.Rat)
	}
	part := new(big.Rat).Quo(q, promised)
	off := new(big.Rat).Sub(part, big.NewRat(1, 1))
	off.Mul(off.Abs(off), big.NewRat(100, 1))
	if cliffPercent.Sign() > 0 && off.Cmp(cliffPercent) > 0 {
		return new(big.Rat)
	}
	if part.Cmp(big.NewRat(1, 1)) > 0 {
		return big.NewRat(1, 1)
	}
	return part
}

// priced is the interval of which i gets its prices.
func (b *biller) priced(i int) int {
	if b.m.shift == 0 {
		return i
	}
	at := b.d.At[i].Add(b.m.shift)
	if j, ok := b.at[at.Unix()]; ok {
		return j
	}
	day := 24 * time.Hour // beyond the data nobody knows: the same time of a day that is there
	if b.m.shift > 0 {
		day = -day
	}
	if j, ok := b.at[at.Add(day).Unix()]; ok {
		return j
	}
	return i
}

// column is one of the data or of the meter in exact decimals, nil where there is no value.
func (b *biller) column(name string) []*big.Rat {
	if have := b.exact[name]; have != nil {
		return have
	}
	values, of := b.d.Column[name], func(x float64) float64 { return x }
	switch name {
	case "charge":
		of = func(x float64) float64 { return max(x, 0) }
	case "discharge":
		of = func(x float64) float64 { return max(-x, 0) }
	case "net_out":
		of = func(x float64) float64 { return -x }
	}
	switch register := map[string][]float64{"charge": b.d.In, "discharge": b.d.Out}[name]; {
	case register != nil:
		values, of = register, func(x float64) float64 { return x }
	case slices.Contains(meterColumns, name):
		values = b.d.Energy
	}
	out := make([]*big.Rat, len(values))
	for i, x := range values {
		if x = of(x); x == x {
			out[i] = exact(x)
		}
	}
	b.exact[name] = out
	return out
}

// quantity is that of a column of a line in interval i.
func (b *biller) quantity(l *Line, name string, i int) (q *big.Rat, what string) {
	meter := slices.Contains(meterColumns, name)
	switch q = b.column(name)[i]; {
	case q == nil && meter:
		return nil, "readings"
	case q == nil:
		return nil, name
	case b.m.scale != nil && (meter || l.ofEnergy()) && (b.m.of == anySource || meter == (b.m.of == fromMeter)):
		q = new(big.Rat).Mul(q, b.m.scale)
	}
	return q, ""
}

// price is that of interval i for a line, or its mean.
func (b *biller) price(l *Line, i int) (p *big.Rat, what string) {
	mean := l.Mean
	switch {
	case b.m.mean > 0:
		mean = time.Hour
	case b.m.mean < 0:
		mean = 0
	}
	if p = b.column(l.PriceOf)[b.priced(i)]; p == nil {
		return nil, l.PriceOf
	}
	if mean <= b.t.Step {
		return p, ""
	}
	if p = b.meansOf(l.PriceOf, mean)[b.t.Floor(b.d.At[i], mean).Unix()]; p == nil {
		return nil, l.PriceOf + " over the hour"
	}
	return p, ""
}

// meansOf are the means of a column over steps of local clock; nil where one of its values is missing.
func (b *biller) meansOf(column string, step time.Duration) map[int64]*big.Rat {
	key := fmt.Sprint(column, step, b.m.shift)
	if m := b.means[key]; m != nil {
		return m
	}
	sum, n := map[int64]*big.Rat{}, map[int64]int64{}
	for i, at := range b.d.At {
		k := b.t.Floor(at, step).Unix()
		if x := b.column(column)[b.priced(i)]; x != nil {
			if sum[k] == nil {
				sum[k] = new(big.Rat)
			}
			sum[k].Add(sum[k], x)
			n[k]++
		}
	}
	for k, s := range sum {
		if n[k] != int64(step/b.t.Step) {
			delete(sum, k)
			continue
		}
		s.Mul(s, big.NewRat(1, n[k]))
	}
	b.means[key] = sum
	return sum
}
