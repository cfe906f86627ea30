package planning

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"yunchu/platform/market/plan"
)

// Summary is what is printed as JSON. Amounts are in the currency of the prices.
type Summary struct {
	Value  float64 `json:"value"`
	AtMost float64 `json:"at_most"` // no plan is worth more
	Gap    float64 `json:"gap"`
	// Nothing is what leaving the batteries alone is worth, null where that keeps to no limit.
	Nothing  *float64   `json:"nothing"`
	Expected float64    `json:"expected"` // the value, but for what counts of risk: what is earned on average
	Gain     *float64   `json:"gain"`     // of what is expected over nothing
	Currency string     `json:"currency"`
	Totals   Totals     `json:"totals"`
	PeakKW   float64    `json:"peak_kw"`
	CarbonT  *float64   `json:"carbon_t,omitempty"`
	Risk     *Risk      `json:"risk,omitempty"`
	Realized *Realized  `json:"realized,omitempty"`
	Front    []Point    `json:"front,omitempty"`
	Bounds   []Bound    `json:"bounds"`
	Solved   int        `json:"programs"`
	Rows     []Interval `json:"intervals,omitempty"`
}

// Totals are what is earned, costs below 0.
type Totals struct {
	Energy   float64 `json:"energy"`
	Products float64 `json:"products"`
	Wear     float64 `json:"wear"`
	Demand   float64 `json:"demand"`
	Carbon   float64 `json:"carbon"`
	Ending   float64 `json:"ending"`
}

// Risk is how scenarios come out.
type Risk struct {
	Expected float64   `json:"expected"`
	Worst    float64   `json:"worst"`
	Best     float64   `json:"best"`
	TailMean float64   `json:"tail_mean"` // of the worst outcomes, those of the part 1 - level
	Level    float64   `json:"level"`
	Outcomes []float64 `json:"outcomes"`
}

// Point is one of a front.
type Point struct {
	Measure float64 `json:"measure"`
	Earned  float64 `json:"earned"` // the measure's own money left out
	Rate    float64 `json:"rate"`   // what one unit less of the measure takes, at least
}

// Bound is a limit that binds.
type Bound struct {
	Name      string  `json:"name"`
	Of        string  `json:"of,omitempty"`
	Worth     float64 `json:"worth"` // of one more per, over the whole plan, at most
	Per       string  `json:"per"`
	Intervals int     `json:"intervals"`
	First     string  `json:"first"`
}

// Interval is what a site does in one.
type Interval struct {
	Time        string  `json:"time"`
	Site        string  `json:"site"`
	Price       float64 `json:"energy_per_mwh"`
	ChargeKW    float64 `json:"charge_kw"`
	DischargeKW float64 `json:"discharge_kw"`
	PowerKW     float64 `json:"power_kw"` // positive charges
	RegUpKW     float64 `json:"regup_kw"`
	RegDownKW   float64 `json:"regdown_kw"`
	ReserveKW   float64 `json:"reserve_kw"`
	StoredKWh   float64 `json:"stored_kwh"` // at the begin
	ImportKW    float64 `json:"import_kw"`
	CurtailedKW float64 `json:"curtailed_kw"` // of PV
	Earned      float64 `json:"earned"`
	Wear        float64 `json:"wear"`            // variable cost included
	Below       float64 `json:"charge_below"`    // what a MWh bought then is worth: idle at no less
	Above       float64 `json:"discharge_above"` // what one sold then costs to replace: idle at no more
	Why         string  `json:"why"`

	Clock string `json:"-"` // Time for people
}

// thousandths rounds a number for files.
func thousandths(x float64) float64 { return math.Round(1e3*x)/1e3 + 0 }

// tenths are those of a thousandth: finer differences are the solver's.
func tenths(x float64) float64 { return math.Round(1e4*x)/1e4 + 0 }

func millionths(x float64) float64 { return math.Round(1e6*x)/1e6 + 0 }

// carried is what is to be carried out: the plan, or what came of planning again and again.
func (r *Result) carried() *plan.Plan {
	if r.Realized != nil && r.Realized.Executed != nil {
		return r.Realized.Executed
	}
	return r.Plan
}

// prices are those that it was carried out at.
func (r *Result) prices() []float64 {
	if r.Realized != nil && r.Realized.Executed != nil {
		return r.Realized.came
	}
	return r.Market.Energy
}

// Summary is what the result comes to; intervals only where rows are wanted.
func (r *Result) Summary(rows bool) *Summary {
	p := r.Plan
	s := &Summary{
		Value: millionths(p.Value), AtMost: millionths(p.AtMost), Gap: max(0, p.AtMost-p.Value), Currency: r.Options.Portfolio.Currency,
		PeakKW: thousandths(1000 * p.PeakMW), Solved: p.Nodes, Realized: r.Realized,
		Totals: Totals{millionths(p.Totals.Energy), millionths(p.Totals.Products), millionths(p.Totals.Wear), millionths(p.Totals.Demand), millionths(p.Totals.Carbon), millionths(p.Totals.Ending)},
	}
	s.Expected = millionths(p.Totals.Sum())
	if r.Nothing != nil {
		nothing, gain := millionths(*r.Nothing), millionths(p.Totals.Sum()-*r.Nothing)
		s.Nothing, s.Gain = &nothing, &gain
	}
	if r.Market.Carbon != nil {
		t := millionths(p.CarbonT)
		s.CarbonT = &t
	}
	if len(r.Problem.Scenarios) > 0 {
		s.Risk = risk(p.Outcomes, r.Options.Level)
	}
	for _, x := range r.Front {
		m := x.Measure
		if r.Options.Front == plan.Peak {
			m *= 1000
		}
		s.Front = append(s.Front, Point{millionths(m), millionths(x.Money), millionths(x.Rate / r.perUnit())})
	}
	s.Bounds = []Bound{}
	for _, b := range p.Bounds {
		per := "kW"
		if strings.HasPrefix(b.Name, "energy") {
			per = "kWh"
		}
		s.Bounds = append(s.Bounds, Bound{b.Name, b.Of, millionths(b.Worth / 1000), per, b.Intervals, r.clock(b.First)})
	}
	if rows {
		s.Rows = r.Intervals()
	}
	return s
}

// perUnit is how many of what is told of a front's measure make one of the plan's.
func (r *Result) perUnit() float64 {
	if r.Options.Front == plan.Peak {
		return 1000
	}
	return 1
}

func (r *Result) clock(t int) string {
	if t >= len(r.Market.At) {
		return r.Market.end().Format(time.RFC3339)
	}
	return r.Market.At[t].Format(time.RFC3339)
}

func risk(outcomes []float64, level float64) *Risk {
	sorted := slices.Sorted(slices.Values(outcomes))
	n := float64(len(sorted))
	out := &Risk{Worst: millionths(sorted[0]), Best: millionths(sorted[len(sorted)-1]), Level: level}
	left, tail := (1-level)*n, 0.0
	for _, x := range sorted {
		out.Expected += x / n
		part := min(1, max(0, left))
		tail += part * x
		left -= part
	}
	out.Expected, out.TailMean = millionths(out.Expected), millionths(tail/((1-level)*n))
	for _, x := range outcomes {
		out.Outcomes = append(out.Outcomes, millionths(x))
	}
	return out
}

// Intervals are the rows of the plan, by time and then by site.
func (r *Result) Intervals() (rows []Interval) {
	p := r.carried()
	for t := range r.Market.At {
		for i := range p.Sites {
			s := &p.Sites[i]
			x := Interval{
				Time: r.clock(t), Clock: r.Problem.Labels[t], Site: r.Problem.Sites[i].Name, Price: r.prices()[t],
				ChargeKW: thousandths(1000 * s.Charge[t]), DischargeKW: thousandths(1000 * s.Discharge[t]), PowerKW: thousandths(1000 * (s.Charge[t] - s.Discharge[t])),
				StoredKWh: thousandths(1000 * s.Stored[t]), ImportKW: thousandths(1000 * s.Net[t]), CurtailedKW: thousandths(1000 * s.Curtailed[t]),
				Earned: tenths(s.Earned[t]), Wear: tenths(s.Wear[t]), Below: thousandths(s.Below[t]), Above: thousandths(s.Above[t]), Why: s.Why[t],
			}
			for k, product := range r.Problem.Products {
				kw := thousandths(1000 * s.Offers[k][t])
				switch product.Name {
				case "regup":
					x.RegUpKW = kw
				case "regdown":
					x.RegDownKW = kw
				case "reserve":
					x.ReserveKW = kw
				}
			}
			rows = append(rows, x)
		}
	}
	return rows
}

// WriteCSV writes a row for each interval and site.
func (r *Result) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{
		"time", "site", "energy_per_mwh", "charge_kw", "discharge_kw", "power_kw", "regup_kw", "regdown_kw", "reserve_kw",
		"stored_kwh", "import_kw", "curtailed_kw", "earned", "wear", "why",
	}) // Flush says what went wrong
	for _, x := range r.Intervals() {
		row := []string{x.Time, x.Site}
		for _, v := range []float64{
			x.Price, x.ChargeKW, x.DischargeKW, x.PowerKW, x.RegUpKW, x.RegDownKW, x.ReserveKW, x.StoredKWh, x.ImportKW, x.CurtailedKW, x.Earned, x.Wear,
		} {
			row = append(row, strconv.FormatFloat(v, 'f', -1, 64))
		}
		_ = c.Write(append(row, x.Why))
	}
	c.Flush()
	return c.Error()
}

// WriteSchedule writes what all batteries together are to do, positive charging, and nothing from the end on: a target of
// dispatch.
func (r *Result) WriteSchedule(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"time", "target_kw"})
	p := r.carried()
	for t := range r.Market.At {
		sum := 0.0
		for i := range p.Sites {
			sum += p.Sites[i].Charge[t] - p.Sites[i].Discharge[t]
		}
		_ = c.Write([]string{r.clock(t), strconv.FormatFloat(thousandths(1000*sum), 'f', -1, 64)})
	}
	_ = c.Write([]string{r.clock(len(r.Market.At)), "0"})
	c.Flush()
	return c.Error()
}

// Print writes what the plan comes to, for people.
func (r *Result) Print(w io.Writer) {
	s := r.Summary(false)
	total := "%.2f %s in %d intervals"
	if s.Risk != nil && r.Options.Tail > 0 || r.Options.Budget > 0 {
		total += fmt.Sprintf(", risk counted; %.2f expected", s.Expected)
	}
	fmt.Fprintf(w, total+"; no plan is worth more than %.2g above that\n", s.Value, s.Currency, len(r.Market.At), s.Gap)
	if s.Nothing != nil {
		fmt.Fprintf(w, "%.2f %s without the batteries, %.2f gained\n", *s.Nothing, s.Currency, *s.Gain)
	} else {
		fmt.Fprintln(w, "without the batteries the limits would not be kept")
	}
	fmt.Fprintf(w, "energy %.2f, products %.2f, wear %.2f, demand charge %.2f", s.Totals.Energy, s.Totals.Products, s.Totals.Wear, s.Totals.Demand)
	if s.CarbonT != nil {
		fmt.Fprintf(w, ", carbon %.2f (%.3f t)", s.Totals.Carbon, *s.CarbonT)
	}
	fmt.Fprintln(w)
	if k := s.Risk; k != nil {
		fmt.Fprintf(w, "%d scenarios: %.2f expected, %.2f at worst, %.2f the mean of the worst %.0f %%\n", len(k.Outcomes), k.Expected, k.Worst, k.TailMean, 100*(1-k.Level))
	}
	if x := s.Realized; x != nil {
		fmt.Fprintf(w, "with the prices that came: %.2f", x.Plan)
		if x.Rolling != nil {
			fmt.Fprintf(w, ", %.2f planned again and again", *x.Rolling)
		}
		fmt.Fprintf(w, ", %.2f had they been known", x.Perfect)
		if x.Nothing != nil {
			fmt.Fprintf(w, ", %.2f without the batteries", *x.Nothing)
		}
		fmt.Fprintln(w)
		if len(x.Lacked) > 0 {
			fmt.Fprintf(w, "%s did not come and are as they were expected\n", strings.Join(x.Lacked, ", "))
		}
	}
	for _, x := range s.Front {
		fmt.Fprintf(w, "%s %.3f: %.2f %s, one less takes at least %.4g\n", r.Options.Front, x.Measure, x.Earned, s.Currency, x.Rate)
	}
	const most = 6
	binds, left := r.binding(s.Bounds, most)
	for _, b := range binds {
		fmt.Fprintf(w, "%s of %s %s in %s from %s on: one %s more is worth %.4g at most\n", b.Name, b.Of, verb(len(b.Others), "binds", "bind"), counted(b.Intervals, "interval"), b.First, b.Per, b.Worth)
	}
	if left > 0 {
		fmt.Fprintf(w, "and %s\n", counted(left, "more bound")+verb(left-1, " binds", " bind"))
	}
}

// verb is the word for one, or for that one and others.
func verb(others int, one, many string) string {
	if others > 0 {
		return many
	}
	return one
}

// counted is so many of a thing.
func counted(n int, what string) string { return fmt.Sprintf("%d %s%s", n, what, verb(n-1, "", "s")) }

// Bind is a bound for people: of one, or of sites that are as good as equal in it.
type Bind struct {
	Bound
	Others []string // sites of which the same is true
}

// binding are the bounds for people, so many of them, and how many are left out: what sites share comes first, and where
// several sites have the same bound in as many intervals from the same on, at a worth within a hundredth, they
// are one, with the most that it is worth.
func (r *Result) binding(bounds []Bound, most int) (list []Bind, left int) {
	isSite := map[string]bool{}
	for i := range r.Problem.Sites {
		isSite[r.Problem.Sites[i].Name] = true
	}
	shared := func(b *Bound) bool { return b.Name == plan.CommonLimit || !isSite[b.Of] }
	type key struct {
		name, first string
		intervals   int
	}
	at := map[key][]int{} // in list
	var sites []Bind
	for _, b := range bounds {
		if shared(&b) {
			list = append(list, Bind{Bound: b})
			continue
		}
		k := key{b.Name, b.First, b.Intervals}
		i := slices.IndexFunc(at[k], func(i int) bool {
			return math.Abs(sites[i].Worth-b.Worth) <= 0.01*max(sites[i].Worth, b.Worth)
		})
		if i < 0 {
			at[k] = append(at[k], len(sites))
			sites = append(sites, Bind{Bound: b})
			continue
		}
		x := &sites[at[k][i]]
		x.Others, x.Worth = append(x.Others, b.Of), max(x.Worth, b.Worth)
	}
	list = append(list, sites...)
	for k := range list {
		if n := len(list[k].Others); n > 0 {
			list[k].Of += fmt.Sprintf(" and %d more", n)
		}
		if k >= most {
			left += 1 + len(list[k].Others)
		}
	}
	return list[:min(most, len(list))], left
}
