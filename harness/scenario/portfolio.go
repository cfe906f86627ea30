package scenario

import (
	"fmt"
	"math"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"yunchu/platform/market/plan/sites"
)

// Portfolio is one or many sites whose batteries are planned together: what `yunchu market plan`
// takes. Power is positive into a device, as everywhere in files: PV is below 0.
type Portfolio struct {
	Head        `yaml:",inline"`
	Prices      string           `yaml:"prices,omitempty" doc:"Path of a CSV of prices: time, energy_per_mwh and, where they are needed, export_per_mwh, regup_per_mw, regdown_per_mw, reserve_per_mw, carbon_t_per_mwh."`
	Currency    string           `yaml:"currency,omitempty" jsonschema:"default=USD" doc:"What the prices are in; a name, nothing is converted."`
	Zone        string           `yaml:"zone,omitempty" jsonschema:"default=UTC" doc:"Whose clock labels and months are of, as Europe/Berlin."`
	CarbonPrice float64          `yaml:"carbon_price_per_t,omitempty" jsonschema:"minimum=0" doc:"What a tonne costs, of the column carbon_t_per_mwh."`
	Products    []string         `yaml:"products,omitempty" jsonschema:"enum=energy,enum=regup,enum=regdown,enum=reserve" noun:"product" doc:"What is sold; energy alone when left out."`
	Regulation  PlanRegulation   `yaml:"regulation,omitempty" doc:"How capacity is used."`
	Sites       []PortfolioSite  `yaml:"sites" jsonschema:"required" example:"[{id: a, battery: {power_kw: 1000, energy_kwh: 4000}}]" doc:"The sites."`
	Limits      []PortfolioLimit `yaml:"limits,omitempty" doc:"What several sites share."`

	Path   string   `yaml:"-"` // the file, as it was named
	Inputs []string `yaml:"-"` // every file that was opened for it, itself first
}

// PlanRegulation is how capacity that is sold is used.
type PlanRegulation struct {
	EnergyUp        float64       `yaml:"energy_up,omitempty" jsonschema:"minimum=0,maximum=1,default=0.3" doc:"Part of regulation up that is called on average."`
	EnergyDown      float64       `yaml:"energy_down,omitempty" jsonschema:"minimum=0,maximum=1,default=0.15" doc:"Part of regulation down that is called on average."`
	Duration        time.Duration `yaml:"duration,omitempty" jsonschema:"minimum=0,default=1h" doc:"How long the whole of an offer for regulation must be possible."`
	ReserveDuration time.Duration `yaml:"reserve_duration,omitempty" jsonschema:"minimum=0,default=1h" doc:"How long the whole of an offer for reserve must be possible; it is hardly ever called."`
	Balanced        bool          `yaml:"balanced,omitempty" jsonschema:"default=true" doc:"Regulation takes in no more energy than it gives, interval by interval."`
}

// PortfolioSite is a grid connection, or many alike.
type PortfolioSite struct {
	ID            string      `yaml:"id" jsonschema:"required,pattern=^[A-Za-z0-9_-]{1\\,64}$" hint:"letters, digits, _ and -, at most 64" example:"a" doc:"Names it."`
	Count         int         `yaml:"count,omitempty" jsonschema:"minimum=1,maximum=10000" doc:"So many of them, id-001 and on."`
	Battery       PlanBattery `yaml:"battery,omitempty" doc:"Its battery; none when left out."`
	Load          *Series     `yaml:"load,omitempty" unit:"kw" doc:"What else is consumed, kW: a number, or {csv: PATH, time: NAME, column: NAME, scale_kw: 1} with instants."`
	PV            *Series     `yaml:"pv,omitempty" unit:"kw" doc:"Output of PV, kW, below 0; scale_kw: -1 for a column of output."`
	Curtail       bool        `yaml:"curtail,omitempty" doc:"PV may be turned down; needs pv."`
	ImportLimitKW *float64    `yaml:"import_limit_kw,omitempty" jsonschema:"minimum=0" doc:"The most it may take, kW; no bound when left out."`
	ExportLimitKW *float64    `yaml:"export_limit_kw,omitempty" jsonschema:"minimum=0" doc:"The most it may give, kW; no bound when left out."`
	ImportFee     float64     `yaml:"import_fee_per_mwh,omitempty" doc:"What is paid for each MWh taken, besides the price."`
	ExportFee     float64     `yaml:"export_fee_per_mwh,omitempty" doc:"What is taken off the price of each MWh given."`
	DemandCharge  float64     `yaml:"demand_charge_per_kw,omitempty" jsonschema:"minimum=0" doc:"Of the highest mean import of an interval in each calendar month."`
	PeakKW        float64     `yaml:"peak_so_far_kw,omitempty" jsonschema:"minimum=0" doc:"The peak of the month that has been paid for already; needs demand_charge_per_kw."`
}

// PlanBattery is a battery as a plan sees it.
type PlanBattery struct {
	PowerKW             float64       `yaml:"power_kw,omitempty" jsonschema:"minimum=0" doc:"Power of charge and of discharge at the grid, kW."`
	ChargeKW            float64       `yaml:"charge_kw,omitempty" jsonschema:"minimum=0" doc:"Power of charge, where it is another."`
	EnergyKWh           float64       `yaml:"energy_kwh,omitempty" jsonschema:"minimum=0" doc:"Energy of a full cycle, kWh."`
	Efficiency          float64       `yaml:"efficiency,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1,default=1" doc:"Of charging, 0..1."`
	DischargeEfficiency float64       `yaml:"discharge_efficiency,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1,default=1" doc:"Of discharging, 0..1."`
	LeastKWh            float64       `yaml:"least_kwh,omitempty" jsonschema:"minimum=0" doc:"What stays stored, kWh."`
	MostKWh             float64       `yaml:"most_kwh,omitempty" jsonschema:"minimum=0" doc:"What is stored at most, kWh; all of it when left out."`
	BeginKWh            float64       `yaml:"begin_kwh,omitempty" jsonschema:"minimum=0" doc:"What is stored at the begin, kWh."`
	EndKWh              *float64      `yaml:"end_kwh,omitempty" jsonschema:"minimum=0" doc:"What is stored at the end, kWh; as at the begin when left out, unless it has a value."`
	EndValue            *float64      `yaml:"end_value_per_mwh,omitempty" doc:"What a stored MWh is worth at the end, instead of end_kwh."`
	VariableCost        float64       `yaml:"variable_cost_per_mwh,omitempty" doc:"Cost of each MWh discharged."`
	Wear                []WearSegment `yaml:"wear,omitempty" doc:"Wear by depth of discharge: the last segment ends at 1, costs do not fall."`
}

// WearSegment is a slice of the depth of a cycle.
type WearSegment struct {
	To   float64 `yaml:"to" jsonschema:"required,exclusiveMinimum=0,maximum=1" example:"0.25" doc:"Where it ends, as a depth of 0..1."`
	Cost float64 `yaml:"cost_per_mwh" jsonschema:"required,minimum=0" example:"3" doc:"Cost of each MWh taken out of it."`
}

// PortfolioLimit bounds what several sites take together.
type PortfolioLimit struct {
	Name     string   `yaml:"name" jsonschema:"required" example:"feeder" doc:"Names it."`
	Sites    string   `yaml:"sites,omitempty" jsonschema:"default=*" hint:"a glob over ids, such as shop-*" doc:"Which sites, a glob over their ids; the id of an entry with a count stands for all of them, shop-01* for some."`
	ImportKW *float64 `yaml:"import_kw,omitempty" jsonschema:"minimum=0" doc:"The most they may take, kW."`
	ExportKW *float64 `yaml:"export_kw,omitempty" jsonschema:"minimum=0" doc:"The most they may give, kW."`
}

func (*Portfolio) root() {}

// LoadPortfolio reads a portfolio file and its inputs. Its error is Faults.
func LoadPortfolio(path string, opt Options) (*Portfolio, error) {
	data, err := readFile(path, opt)
	if err != nil {
		return nil, err
	}
	return ParsePortfolio(path, data, opt)
}

// ParsePortfolio is LoadPortfolio for a text at hand.
func ParsePortfolio(name string, data []byte, opt Options) (*Portfolio, error) {
	p := new(Portfolio)
	s, err := decodeFile(name, data, "Portfolio", p, opt)
	if err != nil {
		return nil, err
	}
	p.Path = name
	p.check(s)
	p.Inputs = s.inputs
	if err := s.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// epoch is what the times of a portfolio's inputs count from.
var epoch = time.Unix(0, 0).UTC()

// Held is a series of instants: v[i] holds from at[i] until at[i+1], the last one for ever. Instants rise, and there is one.
func Held(at []time.Time, v []float64) (*Series, error) {
	t := make([]float64, len(at))
	for i := range at {
		t[i] = at[i].Sub(epoch).Seconds()
	}
	return NewSeries(t, v)
}

// Mean is the mean of a series of instants from one to a later one.
func (s *Series) Mean(from, to time.Time) float64 {
	a, b := from.Sub(epoch), to.Sub(epoch)
	if len(s.t) == 0 {
		return s.value
	}
	sum, at, v := 0.0, a, s.At(a)
	for k := sort.SearchFloat64s(s.t, a.Seconds()); k < len(s.t) && s.t[k] < b.Seconds(); k++ {
		next := time.Duration(s.t[k] * float64(time.Second))
		sum += v * (next - at).Seconds()
		at, v = next, s.v[k]
	}
	return (sum + v*(b-at).Seconds()) / (b - a).Seconds()
}

// Spans tells whether a series has values for all of a time.
func (s *Series) Spans(from, to time.Time) bool {
	n := len(s.t)
	return n == 0 || s.t[0] <= from.Sub(epoch).Seconds() && (n == 1 || s.t[n-1]+(s.t[n-1]-s.t[n-2]) >= to.Sub(epoch).Seconds()-1)
}

func (p *Portfolio) check(s *source) {
	if p.Prices != "" {
		s.exists("prices", &p.Prices)
	}
	if len(p.Sites) == 0 && s.has("sites") {
		s.fault(s.key("sites"), "add one: {id: a, battery: {power_kw: 1000, energy_kwh: 4000}}", "there is no site")
	}
	if len(p.Products) > 0 && !slices.Contains(p.Products, "energy") {
		s.wrong("products", "add energy", "what regulation takes has to be bought")
	}
	if _, err := time.LoadLocation(p.Zone); err != nil || p.Zone == "Local" {
		s.wrong("zone", "write it as Europe/Berlin", "%q is no zone", short(p.Zone))
	}
	seen := map[string]int{}
	for i := range p.Sites {
		x, at := &p.Sites[i], fmt.Sprintf("sites[%d]", i)
		if first, twice := seen[x.ID]; twice && x.ID != "" {
			s.wrong(at+".id", "give each site an id of its own", "sites[%d] has the id %q, too", first, x.ID)
		}
		seen[x.ID] = i
		x.Load.load(s, at+".load", epoch, 0)
		x.PV.load(s, at+".pv", epoch, 0)
		if x.PV.mostlyPositive() {
			s.wrong(at+".pv", "power is positive when it is consumed: write scale_kw: -1 for a column of output", "PV that only consumes")
		}
		if x.Curtail && x.PV == nil {
			s.wrong(at+".curtail", "add pv, or take curtail away", "PV is turned down where there is none")
		}
		if s.has(at+".peak_so_far_kw") && !(x.DemandCharge > 0) {
			s.wrong(at+".peak_so_far_kw", "add demand_charge_per_kw, or take the peak away", "a peak that nothing is paid for")
		}
		x.Battery.check(s, at+".battery")
	}
	ids := map[string]int{}
	for i := range p.Sites {
		for _, id := range p.Sites[i].Entry().IDs() {
			if first, twice := ids[id]; twice && p.Sites[first].ID != p.Sites[i].ID {
				s.wrong(fmt.Sprintf("sites[%d].id", i), "give each site an id of its own", "sites[%d] has a site %q, too", first, id)
				break
			}
			ids[id] = i
		}
	}
	for i, l := range p.Limits {
		at := fmt.Sprintf("limits[%d]", i)
		if first := slices.IndexFunc(p.Limits, func(o PortfolioLimit) bool { return o.Name == l.Name }); first < i && l.Name != "" {
			s.wrong(at+".name", "give each limit a name of its own", "limits[%d] has the name %q, too", first, l.Name)
		}
		if _, err := path.Match(l.Sites, ""); err != nil {
			s.wrong(at+".sites", "write a glob, such as shop-*", "%q is no glob", short(l.Sites))
		} else if len(p.Among(l)) == 0 && len(p.Sites) > 0 {
			s.wrong(at+".sites", "a glob over the ids of sites: "+p.called(), "no site is called %q", short(l.Sites))
		}
		if l.ImportKW == nil && l.ExportKW == nil {
			s.wrong(at, "add import_kw or export_kw", "a limit that bounds nothing")
		}
	}
}

func (b *PlanBattery) check(s *source, at string) {
	if b.MostKWh == 0 {
		b.MostKWh = b.EnergyKWh
	}
	if b.ChargeKW == 0 {
		b.ChargeKW = b.PowerKW
	}
	if (b.PowerKW > 0 || b.ChargeKW > 0) != (b.EnergyKWh > 0) {
		s.wrong(at, "a battery has power_kw and energy_kwh above 0", "a battery of %s kW and %s kWh", num(b.PowerKW), num(b.EnergyKWh))
		return
	}
	if b.MostKWh > b.EnergyKWh || b.LeastKWh > b.MostKWh {
		s.wrong(at, "least_kwh <= most_kwh <= energy_kwh", "from %s to %s kWh of %s are used", num(b.LeastKWh), num(b.MostKWh), num(b.EnergyKWh))
	}
	if !s.has(at + ".begin_kwh") {
		b.BeginKWh = b.LeastKWh
	}
	for _, x := range []struct {
		key   string
		value *float64
	}{{"begin_kwh", &b.BeginKWh}, {"end_kwh", b.EndKWh}} {
		if x.value != nil && (*x.value < b.LeastKWh || *x.value > b.MostKWh) {
			s.wrong(at+"."+x.key, "it is within least_kwh and most_kwh", "%s kWh are outside of %s to %s", num(*x.value), num(b.LeastKWh), num(b.MostKWh))
		}
	}
	if b.EndKWh != nil && b.EndValue != nil {
		s.wrong(at+".end_value_per_mwh", "keep one of the two", "what is stored at the end is fixed or has a value")
	}
	to, cost := 0.0, 0.0
	for k, w := range b.Wear {
		if w.To <= to || w.Cost < cost {
			s.wrong(fmt.Sprintf("%s.wear[%d]", at, k), "depths rise, and costs do not fall", "up to %s at %s after up to %s at %s", num(w.To), num(w.Cost), num(to), num(cost))
		}
		to, cost = w.To, w.Cost
	}
	if len(b.Wear) > 0 && math.Abs(to-1) > 1e-9 {
		s.wrong(at+".wear", "the last segment ends at 1", "the segments of wear end at a depth of %s", num(to))
	}
}

// Entry is what its sites are called.
func (x *PortfolioSite) Entry() sites.Entry { return sites.Entry{ID: x.ID, Count: x.Count} }

// Among are the places of a limit's sites among all there are, those of one entry behind those of the one before.
func (p *Portfolio) Among(l PortfolioLimit) []int {
	entries := make([]sites.Entry, len(p.Sites))
	for i := range p.Sites {
		entries[i] = p.Sites[i].Entry()
	}
	return sites.Among(entries, l.Sites)
}

// called names the sites, for a hint.
func (p *Portfolio) called() string {
	const most = 5
	var names []string
	for i := range p.Sites {
		if i == most {
			names = append(names, "…")
			break
		}
		ids := p.Sites[i].Entry().IDs()
		name := ids[0]
		if len(ids) > 1 {
			name += " … " + ids[len(ids)-1]
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
