package planning

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"yunchu/platform/market/plan"
	"yunchu/platform/market/plan/worth"
	"yunchu/platform/plural"
)

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
	for t := range r.At {
		_ = c.Write([]string{r.Clock(t), strconv.FormatFloat(r.Target(t), 'f', -1, 64)})
	}
	_ = c.Write([]string{r.Clock(len(r.At)), "0"})
	c.Flush()
	return c.Error()
}

// Print writes what the plan comes to, for people.
func (r *Result) Print(w io.Writer) {
	s := r.Summary(false)
	total := "%.2f %s in %s"
	if s.Risk != nil && r.Options.Tail > 0 || r.Options.Budget > 0 {
		total += fmt.Sprintf(", risk counted; %.2f expected", s.Expected)
	}
	fmt.Fprintf(w, total+"; no plan is worth more than %.2g above that\n", s.Value, s.Currency, plural.Count(len(r.Market.At), "interval", "intervals"), s.Gap)
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
		if b.Pinned {
			fmt.Fprintf(w, "%s of %s %s nothing in and nothing out in %s from %s on\n", b.Name, b.Of, verb(len(b.Others), "lets", "let"), plural.Count(b.Intervals, "interval", "intervals"), b.First)
			continue
		}
		fmt.Fprintf(w, "%s of %s %s in %s from %s on: one %s more is worth %.4g at most\n", b.Name, b.Of, verb(len(b.Others), "binds", "bind"), plural.Count(b.Intervals, "interval", "intervals"), b.First, b.Per, b.Worth)
	}
	if left > 0 {
		fmt.Fprintf(w, "and %s\n", plural.Count(left, "more bound binds", "more bounds bind"))
	}
}

// verb is the word for one, or for that one and others.
func verb(others int, one, many string) string {
	if others > 0 {
		return many
	}
	return one
}

// Bind is a bound for people: of one, or of sites that are as good as equal in it.
type Bind struct {
	worth.PlanBound
	Others []string // sites of which the same is true
}

// binding are the bounds for people, so many of them, and how many are left out: what sites share comes first, and where
// several sites have the same bound in as many intervals from the same on, at a worth within a hundredth, they
// are one, with the most that it is worth.
func (r *Result) binding(bounds []worth.PlanBound, most int) (list []Bind, left int) {
	isSite := map[string]bool{}
	for i := range r.Problem.Sites {
		isSite[r.Problem.Sites[i].Name] = true
	}
	shared := func(b *worth.PlanBound) bool { return b.Name == plan.CommonLimit || !isSite[b.Of] }
	type key struct {
		name, first string
		intervals   int
	}
	at := map[key][]int{} // in list
	var sites []Bind
	for _, b := range bounds {
		if shared(&b) {
			list = append(list, Bind{PlanBound: b})
			continue
		}
		k := key{b.Name, b.First, b.Intervals}
		i := slices.IndexFunc(at[k], func(i int) bool {
			return math.Abs(sites[i].Worth-b.Worth) <= 0.01*max(sites[i].Worth, b.Worth)
		})
		if i < 0 {
			at[k] = append(at[k], len(sites))
			sites = append(sites, Bind{PlanBound: b})
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
