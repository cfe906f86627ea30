package plan

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"yunchu/platform/market/spread"
)

// limit is what a row or a bound of a variable stands for.
type limit int

const (
	unnamed limit = iota
	inner         // of a battery: nothing that lies between it and the market
	chargePower
	dischargePower
	content // the energy stored
	final   // likewise, at the end
	importLimit
	exportLimit
	feeder
	pv
	peakSoFar
	committed
	asked
	capped
)

// tag is what a row or a bound stands for, of which site, limit or product, and when.
type tag struct {
	kind limit
	of   int
	t    int
}

// own is whether it bounds the battery itself.
func (g tag) own() bool {
	return g.kind == inner || g.kind == chargePower || g.kind == dischargePower || g.kind == content
}

// Bound is a limit that binds.
type Bound struct {
	Name, Of string // what, and of which site, limit or product
	// Worth is what one unit (MW or MWh) more room would be worth at most over the whole plan, with the ways that
	// it goes; where several prices are right, less may be so, too. Intervals is in how many it binds, First the first of them.
	Worth     float64
	Intervals int
	First     int
	// Pinned: it lets nothing in and nothing out. Then what comes at either side has no price of its own, and any
	// worth would be right: it is left at 0.
	Pinned bool
}

// CommonLimit names the bound of what several sites share.
const CommonLimit = "common limit"

var limitNames = map[limit]string{
	chargePower: "charge power", dischargePower: "discharge power", importLimit: "import limit", exportLimit: "export limit",
	feeder: CommonLimit, committed: "commitment", asked: "most that is asked for", capped: "bound of the front",
}

// explain finds what binds and why each interval is as it is.
func (f *found) explain(out *Plan) {
	m := f.m
	size := 0.0 // of a price
	for k := range m.worlds {
		for i := range m.worlds[k].sites {
			for _, x := range m.worlds[k].sites[i].Buy {
				size = max(size, math.Abs(x))
			}
		}
	}
	slight := 1e-5 * (size + 1e-9)
	var held [][]holding
	spread.Over(3, func(part int) {
		switch part {
		case 0:
			f.prices(out)
		case 1:
			out.Bounds = f.binding(slight)
		case 2:
			held = f.held(slight)
		}
	})
	spread.Over(len(m.sites), func(i int) {
		for t := range m.n {
			var by holding
			if held[i] != nil {
				by = held[i][t]
			}
			out.Sites[i].Why[t] = f.why(i, t, &out.Sites[i], by, slight)
		}
	})
}

// prices are what a MWh costs at each site, and what one is worth in its battery.
func (f *found) prices(out *Plan) {
	m := f.m
	// Between a battery and the market: prices of rows that are not the battery's own.
	between := slices.Clone(f.s.Y)
	for r, g := range m.rows {
		if g.own() {
			between[r] = 0
		}
	}
	outside := m.prog.Reduced(between)
	for i := range m.sites {
		v, s, b := &m.sites[i], &out.Sites[i], &m.p.Sites[i].Battery
		for t := range v.ch {
			s.Price[t] = outside[v.ch[t]] / m.h
			worth, take := f.s.Y[v.balance[t]], f.s.Y[v.balance[t]]
			if v.put != nil {
				worth, take = worth+f.s.Y[v.put[t]], take-f.s.Y[v.taken[t]]
			}
			s.Below[t], s.Above[t] = b.In*worth, take/b.Out+m.weight(wear)*b.VariableCost
		}
	}
}

// binding are the limits that have a price.
func (f *found) binding(slight float64) []Bound {
	m := f.m
	type key struct {
		name string
		of   int
		kind limit
	}
	list, counted := map[key]*Bound{}, map[tag]bool{}
	var order []key
	add := func(name string, g tag, worth float64) {
		if !(worth > slight*m.h) {
			return
		}
		k := key{name, g.of, g.kind}
		b := list[k]
		if b == nil {
			b = &Bound{Name: name, Of: m.name(g), First: g.t}
			list[k] = b
			order = append(order, k)
		}
		if b.Pinned = m.pinned(g); !b.Pinned {
			b.Worth += worth
		}
		if at := (tag{g.kind, g.of, g.t}); !counted[at] {
			counted[at] = true
			b.Intervals++
		}
		b.First = min(b.First, g.t)
	}
	named := func(g tag, atTop bool) string {
		switch g.kind {
		case content:
			if atTop {
				return "energy: full"
			}
			return "energy: empty"
		case final:
			return "energy at the end"
		}
		return limitNames[g.kind]
	}
	for r, g := range m.rows {
		if name := named(g, f.s.Y[r] < 0); name != "" {
			add(name, g, math.Abs(f.s.Y[r]))
		}
	}
	reduced := m.prog.Reduced(f.s.Y)
	for v, g := range m.bounds {
		if name := named(g, reduced[v] < 0); name != "" && !(reduced[v] > 0 && (g.kind == chargePower || g.kind == dischargePower)) {
			if w := f.ways.battery(g.of, g.t); g.kind == chargePower && w == out || g.kind == dischargePower && w == in {
				continue
			}
			add(name, g, math.Abs(reduced[v]))
		}
	}
	var found []Bound
	for _, k := range order {
		found = append(found, *list[k])
	}
	return found
}

// pinned is whether a limit lets nothing in and nothing out.
func (m *model) pinned(g tag) bool {
	switch g.kind {
	case feeder:
		return m.p.Limits[g.of].ImportMW+m.p.Limits[g.of].ExportMW == 0
	case importLimit, exportLimit:
		return m.p.Sites[g.of].ImportMW+m.p.Sites[g.of].ExportMW == 0
	}
	return false
}

func (m *model) name(g tag) string {
	switch g.kind {
	case feeder:
		return m.p.Limits[g.of].Name
	case committed, asked:
		return m.p.Products[g.of].Name
	case capped:
		return ""
	}
	return m.p.Sites[g.of].Name
}

// holding are the limits that stand between a battery and the market, and whether one of them is pinned.
type holding struct {
	by     []string
	pinned bool
}

// held says by site and interval what stands between battery and market; nil where nothing does at a site.
func (f *found) held(slight float64) [][]holding {
	m := f.m
	out := make([][]holding, len(m.sites))
	add := func(i int, g tag, what string) {
		if out[i] == nil {
			out[i] = make([]holding, m.n)
		}
		h := &out[i][g.t]
		h.pinned = h.pinned || m.pinned(g)
		if !slices.Contains(h.by, what) {
			h.by = append(h.by, what)
		}
	}
	for r, g := range m.rows {
		if !(math.Abs(f.s.Y[r]) > slight*m.h) {
			continue
		}
		switch g.kind {
		case importLimit:
			add(g.of, g, "the import limit")
		case exportLimit:
			add(g.of, g, "the export limit")
		case peakSoFar:
			add(g.of, g, "the peak of the month")
		case feeder:
			what := "the limit of " + m.p.Limits[g.of].Name
			for _, i := range m.p.Limits[g.of].Sites {
				add(i, g, what)
			}
		}
	}
	return out
}

// why is a sentence about an interval.
func (f *found) why(i, t int, s *SitePlan, held holding, slight float64) string {
	m := f.m
	b := &m.p.Sites[i].Battery
	if m.sites[i].ch == nil {
		return ""
	}
	price := s.Price[t]
	var offers []string
	for k, x := range s.Offers {
		if x[t] > 0 {
			offers = append(offers, power(x[t])+" of "+m.p.Products[k].Name+" at "+money(m.p.Products[k].Price[t]))
		}
	}
	const bought, sold = "what a MWh bought now is worth", "what a MWh sold now costs to replace"
	charges, discharges := s.Charge[t] > hardly*b.ChargeMW, s.Discharge[t] > hardly*b.DischargeMW
	says := ""
	switch carries := len(offers) > 0; {
	case held.pinned: // no price tells why
		says = strings.Join(held.by, " and ") + verb(held.by, " lets", " let") + " nothing in and nothing out, whatever the market asks"
		switch {
		case charges:
			says = "charges" + fully(s.Charge[t], b.ChargeMW) + ": " + says
		case discharges:
			says = "discharges" + fully(s.Discharge[t], b.DischargeMW) + ": " + says
		default:
			says = "idle: " + says
		}
	case charges && (!carries || price <= s.Below[t]+slight):
		says = "charges" + fully(s.Charge[t], b.ChargeMW) + ": " + money(price) + " is " + versus(price, s.Below[t], slight, "below") + " " + bought + m.later(s, t, slight)
	case charges:
		says = "charges" + fully(s.Charge[t], b.ChargeMW) + " to carry what is offered: " + money(price) + " is above " + money(s.Below[t]) + ", " + bought
	case discharges && (!carries || price >= s.Above[t]-slight):
		says = "discharges" + fully(s.Discharge[t], b.DischargeMW) + ": " + money(price) + " is " + versus(price, s.Above[t], slight, "above") + " " + sold + m.earlier(s, t, slight)
	case discharges:
		says = "discharges" + fully(s.Discharge[t], b.DischargeMW) + " to carry what is offered: " + money(price) + " is below " + money(s.Above[t]) + ", " + sold
	case carries && price < s.Below[t]-slight:
		says = "does not charge for the sake of what is offered: " + money(price) + " is below " + money(s.Below[t]) + ", " + bought
	case carries && price > s.Above[t]+slight:
		says = "does not discharge for the sake of what is offered: " + money(price) + " is above " + money(s.Above[t]) + ", " + sold
	case price < s.Below[t]-slight || price > s.Above[t]+slight: // the way it may go is not the one that would pay
		says = "idle at " + money(price) + ": what it does at other times, one way at a time, leaves nothing that pays here"
	default:
		// Of several right values the program has one, which is on this side of what is so.
		says = "idle: " + money(price) + " lies between " + money(s.Below[t]) + ", what a MWh bought now is worth at most, and " + money(s.Above[t]) + ", what one sold now costs to replace at least"
	}
	if m.p.Risk.Weight > 0 || m.p.Risk.Budget > 0 {
		held.by = append(held.by, "what is counted of risk")
	}
	if market := m.market(i, t, s.Net[t]); len(held.by) > 0 && !held.pinned && math.Abs(price-market) > slight {
		says += "; " + strings.Join(held.by, " and ") + verb(held.by, " makes it ", " make it ") + money(price) + " where the market asks " + money(market)
	}
	if len(offers) > 0 {
		says += "; keeps " + strings.Join(offers, ", ")
	}
	if s.Curtailed[t] > 0 {
		says += "; turns PV down by " + power(s.Curtailed[t])
	}
	return says
}

// verb is the one for a thing or for things.
func verb(things []string, one, many string) string {
	if len(things) > 1 {
		return many
	}
	return one
}

// hardly is the part of a power that is not worth a reason.
const hardly = 1e-5

func fully(x, most float64) string {
	if x == most {
		return " at full power"
	}
	return ""
}

// versus compares a price with a value, in words.
func versus(a, b, slight float64, word string) string {
	if math.Abs(a-b) <= slight || math.Round(100*a) == math.Round(100*b) {
		return "just"
	}
	return word + " " + money(b) + ","
}

// market is the mean price of the scenarios at which the site exchanges.
func (m *model) market(i, t int, net float64) (price float64) {
	for k := range m.worlds {
		o := &m.worlds[k].sites[i]
		if net < 0 {
			price += m.worlds[k].weight * o.sell(t)
		} else {
			price += m.worlds[k].weight * o.Buy[t]
		}
	}
	return price
}

// later says where what is bought goes.
func (m *model) later(s *SitePlan, t int, slight float64) string {
	for u := t + 1; u < m.n; u++ {
		if s.Discharge[u] > 0 && s.Price[u] >= s.Above[u]-slight {
			return " (sold at " + m.p.label(u) + " for " + money(s.Price[u]) + ")"
		}
	}
	return " in the end"
}

// earlier says where what is sold came from.
func (m *model) earlier(s *SitePlan, t int, slight float64) string {
	for u := t - 1; u >= 0; u-- {
		if s.Charge[u] > 0 && s.Price[u] <= s.Below[u]+slight {
			return " (bought at " + m.p.label(u) + " for " + money(s.Price[u]) + ")"
		}
	}
	return ""
}

func (p *Portfolio) label(t int) string {
	if t < len(p.Labels) {
		return p.Labels[t]
	}
	return fmt.Sprintf("interval %d", t)
}

func money(x float64) string {
	cents := math.Round(100 * x)
	if !(math.Abs(cents) < 1e15) {
		return strconv.FormatFloat(x, 'f', 2, 64)
	}
	// Most of what a plan says is amounts.
	text := make([]byte, 0, 24)
	if cents < 0 {
		text = append(text, '-')
	}
	whole := int64(math.Abs(cents))
	text = strconv.AppendInt(text, whole/100, 10)
	return string(append(text, '.', byte('0'+whole/10%10), byte('0'+whole%10)))
}

// power is one in the unit that suits it.
func power(mw float64) string {
	if mw < 10 {
		return fmt.Sprintf("%.4g kW", 1000*mw)
	}
	return fmt.Sprintf("%.4g MW", mw)
}
