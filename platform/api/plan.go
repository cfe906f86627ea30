package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"yunchu/platform/auth"
	"yunchu/platform/market/lp"
	"yunchu/platform/market/plan"
	"yunchu/platform/market/plan/sites"
	"yunchu/platform/market/plan/worth"
	"yunchu/platform/plural"
)

// maxPlanned bounds a plan by its variables: a hundred sites for a day of quarter-hours, or twenty with wear
// in eight slices, take a second or a few.
const maxPlanned = 40_000

// maxSearched shortens the searches of an answer that takes several plans, as a plan shortens its own by its size: where
// prices are below 0 for hours they would take most of a minute.
const maxSearched = 300_000

type planInput struct {
	Body struct {
		Start    time.Time     `json:"start" doc:"begin of the first interval"`
		Minutes  int           `json:"interval_minutes,omitempty" enum:"5,15,30,60" default:"15" doc:"of an interval; 15 where it is left out, where a backtest has 60"`
		Energy   []float64     `json:"energy_per_mwh" minItems:"1" maxItems:"9000" nullable:"false" doc:"price that is expected of each interval"`
		Export   []float64     `json:"export_per_mwh,omitempty" maxItems:"9000" nullable:"false" doc:"what is paid for export; default: the price of energy"`
		Products []planProduct `json:"products,omitempty" maxItems:"8" nullable:"false" doc:"what is sold beside energy"`
		Balanced *bool         `json:"balanced,omitempty" doc:"regulation takes in no more energy than it gives, interval by interval; default true"`
		Sites    []planSite    `json:"sites" minItems:"1" maxItems:"1000" nullable:"false"`
		Limits   []planLimit   `json:"limits,omitempty" maxItems:"100" nullable:"false" doc:"what several sites share"`
		Currency string        `json:"currency,omitempty" maxLength:"16" default:"USD" doc:"of the prices; a name, nothing is converted"`
		Zone     string        `json:"time_zone,omitempty" maxLength:"64" default:"UTC" doc:"whose clock times and months are of, as Europe/Berlin"`
		PlanBeside
	}
}

type planProduct struct {
	Name   string    `json:"name" doc:"of its own, and not energy"`
	Up     bool      `json:"up" doc:"gives on call; else it takes"`
	Price  []float64 `json:"per_mw" nullable:"false" maxItems:"9000" doc:"price of each interval, per MW and hour"`
	Called *float64  `json:"called,omitempty" minimum:"0" maximum:"1" doc:"part of it that is called on average; default 0.30 of regup, 0.15 of regdown, 0 of others"`
	Hours  *float64  `json:"hours,omitempty" minimum:"0" maximum:"24" doc:"for which the whole of it must be possible; default 1"`
	MostKW *float64  `json:"most_kw,omitempty" minimum:"0"`
	SoldKW []float64 `json:"committed_kw,omitempty" maxItems:"9000" nullable:"false" doc:"what has been sold of it before and is kept, no more and no less, one value for each interval; left out where nothing has been sold yet"`
}

// called is the part of it that is called on average.
func (x *planProduct) called() float64 {
	switch {
	case x.Called != nil:
		return *x.Called
	case x.Name == "regup":
		return calledUp
	case x.Name == "regdown":
		return calledDown
	}
	return 0
}

type planSite struct {
	ID        string       `json:"id"`
	Count     int          `json:"count,omitempty" minimum:"1" maximum:"10000" doc:"so many of them, id-001 and on"`
	Battery   *planBattery `json:"battery,omitempty"`
	Load      []float64    `json:"load_kw,omitempty" maxItems:"9000" nullable:"false" doc:"mean of each interval"`
	PV        []float64    `json:"pv_kw,omitempty" maxItems:"9000" nullable:"false" doc:"output, above 0"`
	Curtail   bool         `json:"curtail,omitempty" doc:"PV may be turned down"`
	ImportKW  *float64     `json:"import_limit_kw,omitempty" minimum:"0"`
	ExportKW  *float64     `json:"export_limit_kw,omitempty" minimum:"0"`
	ImportFee float64      `json:"import_fee_per_mwh,omitempty" minimum:"-1e9" maximum:"1e9" doc:"what is paid for each MWh taken, besides the price"`
	ExportFee float64      `json:"export_fee_per_mwh,omitempty" minimum:"-1e9" maximum:"1e9" doc:"what is taken off the price of each MWh given"`
	Demand    float64      `json:"demand_charge_per_kw,omitempty" minimum:"0" doc:"of the highest mean import of an interval in each calendar month"`
	PeakKW    float64      `json:"peak_so_far_kw,omitempty" minimum:"0" doc:"the peak of the first month that has been paid for already"`
}

type planBattery struct {
	PowerKW    float64    `json:"power_kw" exclusiveMinimum:"0"`
	ChargeKW   float64    `json:"charge_kw,omitempty" minimum:"0" doc:"power of charge, where it is another"`
	EnergyKWh  float64    `json:"energy_kwh" exclusiveMinimum:"0"`
	Efficiency float64    `json:"efficiency,omitempty" exclusiveMinimum:"0" maximum:"1" default:"1" doc:"of charging"`
	Out        float64    `json:"discharge_efficiency,omitempty" exclusiveMinimum:"0" maximum:"1" default:"1"`
	LeastKWh   float64    `json:"least_kwh,omitempty" minimum:"0"`
	MostKWh    float64    `json:"most_kwh,omitempty" minimum:"0" doc:"0: all of it"`
	BeginKWh   *float64   `json:"begin_kwh,omitempty" minimum:"0" doc:"default: least_kwh"`
	EndKWh     *float64   `json:"end_kwh,omitempty" minimum:"0" doc:"default: as at the begin, unless it has a value"`
	EndValue   *float64   `json:"end_value_per_mwh,omitempty" doc:"of what is stored at the end, instead of end_kwh"`
	Cost       float64    `json:"variable_cost_per_mwh,omitempty" minimum:"0"`
	Wear       []planWear `json:"wear,omitempty" maxItems:"64" nullable:"false" doc:"by depth of discharge, the last one to 1"`
}

type planWear struct {
	To   float64 `json:"to" exclusiveMinimum:"0" maximum:"1"`
	Cost float64 `json:"cost_per_mwh" minimum:"0"`
}

type planLimit struct {
	Name     string   `json:"name" doc:"of its own"`
	Sites    []string `json:"sites" nullable:"false" doc:"ids, or globs over them; the id of an entry with a count has all of its sites; each site once"`
	ImportKW *float64 `json:"import_kw,omitempty" minimum:"0"`
	ExportKW *float64 `json:"export_kw,omitempty" minimum:"0"`
}

// Plan is what batteries should do, and why.
type Plan struct {
	worth.Summary
	Schedule []Step `json:"schedule" doc:"of all batteries together, as PUT /api/v1/dispatch takes it"`
}

type planOutput struct{ Body Plan }

// portfolio is what is planned; at are the begins of its intervals.
func (in *planInput) portfolio(at []time.Time) (*plan.Portfolio, error) {
	q := &in.Body
	n := len(q.Energy)
	variables, count := 0, 0
	for i := range q.Sites {
		each := 2 // import and export
		if x := q.Sites[i].Battery; x != nil {
			each += 3 + 2*len(x.Wear) + 2*len(q.Products)
		}
		alike := max(1, q.Sites[i].Count)
		variables, count = variables+n*each*alike, count+alike
	}
	windows, err := q.windows(n, q.Minutes)
	if err != nil {
		return nil, err
	}
	programs := q.programs()
	if all := variables*programs + variables/n*windows; all > maxPlanned {
		times := ""
		if programs > 1 {
			times = fmt.Sprintf(", %d times for scenarios, points and what came", programs)
		}
		if windows > 0 {
			times += fmt.Sprintf(", and planned again and again %d", variables/n*windows)
		}
		return nil, fmt.Errorf("%s of %s with their wear and products make %d variables%s, and %d are planned at most here: yunchu market plan takes more", plural.Count(n, "interval", "intervals"), plural.Count(count, "site", "sites"), variables, times, maxPlanned)
	}
	p := &plan.Portfolio{
		Hours: float64(q.Minutes) / 60, Intervals: n, Weights: plan.Even,
		Balanced: (q.Balanced == nil || *q.Balanced) && slices.ContainsFunc(q.Products, func(x planProduct) bool { return x.called() > 0 }),
	}
	p.Labels = worth.Labels(at, in.step())
	for k, x := range q.Products {
		switch {
		case x.Name == "" || x.Name == "energy":
			return nil, fmt.Errorf("products[%d].name %s is not allowed: a product is sold beside energy, and has a name", k, quote(x.Name))
		case slices.ContainsFunc(q.Products[:k], func(o planProduct) bool { return o.Name == x.Name }):
			return nil, fmt.Errorf("there are two products %s: a product has a name of its own", quote(x.Name))
		}
		one := plan.Product{Name: x.Name, Up: x.Up, Price: x.Price, Called: x.called(), Hours: 1, MostMW: limit(x.MostKW), Committed: mega(x.SoldKW)}
		if x.Hours != nil {
			one.Hours = *x.Hours
		}
		if len(x.SoldKW) > 0 {
			if slices.Min(x.SoldKW) < 0 || len(x.Price) == 0 {
				return nil, fmt.Errorf("committed_kw of %s: it is what has been sold, 0 or more, of a product with prices", quote(x.Name))
			}
			one.Penalty = plan.NotKept(x.Price)
		}
		p.Products = append(p.Products, one)
	}
	seen := map[string]bool{}
	for i := range q.Sites {
		x := &q.Sites[i]
		if x.ID == "" {
			return nil, fmt.Errorf("sites[%d].id \"\" is not allowed: a site has an id", i)
		}
		s, err := in.site(x, at)
		if err != nil {
			return nil, err
		}
		for _, s.Name = range x.entry().IDs() {
			if seen[s.Name] {
				return nil, fmt.Errorf("there are two sites %s: a site has an id of its own", quote(s.Name))
			}
			seen[s.Name] = true
			p.Sites = append(p.Sites, s)
		}
	}
	if p.Limits, err = in.limits(p); err != nil {
		return nil, err
	}
	if programs > 1 {
		p.Nodes = min(max(maxSearched/(variables*programs+variables/n*windows), 12), 100)
	}
	return p, in.aside(p)
}

// site is one of an entry's.
func (in *planInput) site(x *planSite, at []time.Time) (plan.Site, error) {
	s := plan.Site{Outlook: x.fees().Tariff(in.Body.Energy, in.Body.Export), Curtail: x.Curtail, ImportMW: limit(x.ImportKW), ExportMW: limit(x.ExportKW)}
	if err := produces(x.ID, x.PV); err != nil {
		return s, err
	}
	s.Load, s.PV = mega(x.Load), mega(x.PV)
	if x.Curtail && len(x.PV) == 0 && !in.Body.comesPV() {
		return s, fmt.Errorf("curtail of site %s needs pv_kw: the output that may be turned down", quote(x.ID))
	}
	if x.PeakKW > 0 && !(x.Demand > 0) {
		return s, fmt.Errorf("peak_so_far_kw of site %s needs demand_charge_per_kw: what a kW above it costs", quote(x.ID))
	}
	if x.Demand > 0 {
		s.Demand = sites.Months(at, x.Demand, x.PeakKW)
	}
	if x.Battery != nil {
		if x.Battery.EndKWh != nil && x.Battery.EndValue != nil {
			return s, fmt.Errorf("site %s: what is stored at the end is fixed or has a value: keep one of the two, end_kwh or end_value_per_mwh", quote(x.ID))
		}
		s.Battery = x.Battery.battery()
	}
	return s, nil
}

func (x *planSite) entry() sites.Entry { return sites.Entry{ID: x.ID, Count: x.Count} }

func (x *planSite) fees() sites.Fees { return sites.Fees{Import: x.ImportFee, Export: x.ExportFee} }

// among are the places of the sites that an id or a glob means.
func (in *planInput) among(glob string) []int {
	entries := make([]sites.Entry, len(in.Body.Sites))
	for i := range entries {
		entries[i] = in.Body.Sites[i].entry()
	}
	return sites.Among(entries, glob)
}

// fees are those of each site.
func (in *planInput) fees() (list []sites.Fees) {
	for i := range in.Body.Sites {
		x := &in.Body.Sites[i]
		list = append(list, slices.Repeat([]sites.Fees{x.fees()}, max(1, x.Count))...)
	}
	return list
}

// limit is a bound in MW; nil: there is none.
func limit(kw *float64) float64 {
	if kw == nil {
		return math.Inf(1)
	}
	return *kw / 1000
}

// limits are what several sites share.
func (in *planInput) limits(p *plan.Portfolio) (list []plan.Limit, err error) {
	for k, l := range in.Body.Limits {
		switch {
		case slices.ContainsFunc(in.Body.Limits[:k], func(o planLimit) bool { return o.Name == l.Name }):
			return nil, fmt.Errorf("there are two limits %s: a limit has a name of its own", quote(l.Name))
		case len(l.Sites) == 0:
			return nil, fmt.Errorf("limit %s has no site: sites are the ids of those that share it", quote(l.Name))
		case l.ImportKW == nil && l.ExportKW == nil:
			return nil, fmt.Errorf("limit %s is a limit that bounds nothing: add import_kw or export_kw", quote(l.Name))
		}
		x := plan.Limit{Name: l.Name, ImportMW: limit(l.ImportKW), ExportMW: limit(l.ExportKW)}
		for _, id := range l.Sites {
			places := in.among(id)
			if len(places) == 0 {
				return nil, fmt.Errorf("limit %s names %s, and there is no such site", quote(l.Name), quote(id))
			}
			for _, i := range places {
				if slices.Contains(x.Sites, i) {
					return nil, fmt.Errorf("limit %s has site %s twice: name it once", quote(l.Name), quote(p.Sites[i].Name))
				}
				x.Sites = append(x.Sites, i)
			}
		}
		list = append(list, x)
	}
	return list, nil
}

// sensible refuses values that no market has.
func (in *planInput) sensible() error {
	list := []error{in.Body.sensible(), sensible("price", in.Body.Energy, in.Body.Export)}
	for _, x := range in.Body.Products {
		list = append(list, sensible("price of "+quote(x.Name)+",", x.Price), sensible("committed_kw", x.SoldKW))
	}
	for i := range in.Body.Sites {
		x := &in.Body.Sites[i]
		list = append(list, sensible("load_kw of site "+quote(x.ID)+",", x.Load), sensible("pv_kw of site "+quote(x.ID)+",", x.PV))
	}
	return cmp.Or(list...)
}

func (in *planInput) step() time.Duration { return time.Duration(in.Body.Minutes) * time.Minute }

// times are the begins of all intervals, on the clock that is told.
func (in *planInput) times() (list []time.Time, err error) {
	zone, err := time.LoadLocation(in.Body.Zone)
	if err != nil || in.Body.Zone == "Local" {
		return nil, fmt.Errorf("time_zone %s is no zone: write it as Europe/Berlin", quote(in.Body.Zone))
	}
	for t := range in.Body.Energy {
		list = append(list, in.Body.Start.Add(time.Duration(t)*in.step()).In(zone))
	}
	return list, nil
}

func (x *planBattery) battery() plan.Battery {
	begin := x.LeastKWh / 1000
	if x.BeginKWh != nil {
		begin = *x.BeginKWh / 1000
	}
	b := plan.Battery{
		ChargeMW: x.ChargeKW / 1000, DischargeMW: x.PowerKW / 1000, MWh: x.EnergyKWh / 1000, Least: x.LeastKWh / 1000, Most: x.EnergyKWh / 1000,
		In: x.Efficiency, Out: x.Out, Start: begin, VariableCost: x.Cost, End: plan.End{Least: begin, Most: begin},
	}
	if x.ChargeKW == 0 {
		b.ChargeMW = b.DischargeMW
	}
	if x.MostKWh > 0 {
		b.Most = x.MostKWh / 1000
	}
	switch {
	case x.EndValue != nil:
		b.End = plan.End{Least: b.Least, Most: b.Most, Price: *x.EndValue}
	case x.EndKWh != nil:
		b.End = plan.End{Least: *x.EndKWh / 1000, Most: *x.EndKWh / 1000}
	}
	for _, w := range x.Wear {
		b.Wear = append(b.Wear, plan.Segment{To: w.To, PerMWh: w.Cost})
	}
	return b
}

func (s *Server) planned(ctx context.Context, in *planInput) (*planOutput, error) {
	ctx, release, err := s.compute(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := in.sensible(); err != nil {
		return nil, err
	}
	at, err := in.times()
	if err != nil {
		return nil, refuse(CodeInvalidRequest, err.Error())
	}
	p, err := in.portfolio(at)
	if err != nil {
		return nil, refuse(CodeInvalidRequest, err.Error())
	}
	r := worth.Result{
		At: at, Step: in.step(), Energy: in.Body.Energy, Carbon: len(in.Body.Carbon) > 0, Currency: in.Body.Currency, Problem: p,
	}
	if r.Plan, err = p.Best(ctx); err != nil {
		return nil, unplanned(ctx, err)
	}
	switch idle, err := p.Idle(ctx); {
	case err == nil:
		nothing := idle.Sum()
		r.Nothing = &nothing
	case !errors.Is(err, lp.ErrInfeasible):
		return nil, unplanned(ctx, err)
	}
	if x := in.Body.Pareto; x != nil {
		r.Measure = plan.Measure(x.Measure)
		if r.Front, err = p.Front(ctx, r.Measure, x.Points); err != nil {
			return nil, unplanned(ctx, err)
		}
	}
	if in.Body.Actual != nil {
		if err := in.realize(ctx, &r); err != nil {
			return nil, unplanned(ctx, err)
		}
	}
	out := &planOutput{Plan{Summary: *r.Summary(true)}}
	for t, at := range r.At {
		sum := r.Target(t)
		if n := len(out.Body.Schedule); n == 0 || out.Body.Schedule[n-1].TargetKW != sum {
			out.Body.Schedule = append(out.Body.Schedule, Step{At: at, TargetKW: sum})
		}
	}
	// Behind its end a plan asks for nothing.
	if n := len(out.Body.Schedule); out.Body.Schedule[n-1].TargetKW != 0 {
		out.Body.Schedule = append(out.Body.Schedule, Step{At: r.At[len(r.At)-1].Add(r.Step)})
	}
	return out, nil
}

// unplanned says why there is no plan.
func unplanned(ctx context.Context, err error) error {
	if late := late(ctx, "ask for fewer sites, scenarios or points, or plan less often; yunchu market plan takes its time"); late != nil {
		return late
	} else if _, named := errors.AsType[*plan.TooClose](err); named {
		return refuse(CodeInvalidRequest, "no plan keeps to all limits: "+err.Error())
	} else if _, named := errors.AsType[*plan.OutOfReach](err); named {
		return refuse(CodeInvalidRequest, "no plan keeps to all limits: "+err.Error())
	} else if errors.Is(err, lp.ErrInfeasible) {
		return refuse(CodeInvalidRequest, "no plan keeps to all limits")
	}
	return refuse(CodeInvalidRequest, err.Error())
}

func (s *Server) planRoutes() {
	guarded(s, auth.Read, huma.Operation{
		OperationID: "market-plan", Method: http.MethodPost, Path: "/api/v1/market/plan", Tags: []string{"market"},
		Summary:     "What batteries should do with prices that are expected, and why",
		Description: "One optimum of energy, regulation and reserve under the limits of batteries, sites and what they share. With actual it is compared with the prices that came, with rolling planned again and again as these became known. Nothing is dispatched: schedule goes to PUT /api/v1/dispatch.",
	}, s.planned)
}
