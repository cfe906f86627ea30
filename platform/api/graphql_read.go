package api

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"

	"yunchu/platform/api/graph"
	"yunchu/platform/auth"
	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// resolvers answer the fields of GraphQL out of the plant, with the same functions
// as the REST interface.
type resolvers struct{ s *Server }

// The kinds of resolvers that gqlgen asks for.
type (
	queries       struct{ *resolvers }
	mutations     struct{ *resolvers }
	subscriptions struct{ *resolvers }
	deviceFields  struct{ *resolvers }
	groupFields   struct{ *resolvers }
)

// Query implements graph.ResolverRoot.
func (r *resolvers) Query() graph.QueryResolver { return queries{r} }

// Mutation implements graph.ResolverRoot.
func (r *resolvers) Mutation() graph.MutationResolver { return mutations{r} }

// Subscription implements graph.ResolverRoot.
func (r *resolvers) Subscription() graph.SubscriptionResolver { return subscriptions{r} }

// Device implements graph.ResolverRoot.
func (r *resolvers) Device() graph.DeviceResolver { return deviceFields{r} }

// Aggregate implements graph.ResolverRoot.
func (r *resolvers) Aggregate() graph.AggregateResolver { return groupFields{r} }

// scan calls fn with the devices after one that the caller may see, by id, until fn
// returns false.
func (s *Server) scan(ctx context.Context, after device.ID, fn func(*device.Info) bool) {
	c := callerOf(ctx)
	if c.Device != "" {
		if info, err := s.device(ctx, string(c.Device)); err == nil && info.ID > after {
			fn(&info)
		}
		return
	}
	for ctx.Err() == nil {
		page := s.plant.Registry.Devices(after, MaxDevices)
		for i := range page {
			if c.MayOn(auth.Read, page[i].ID) && !fn(&page[i]) {
				return
			}
		}
		if len(page) < MaxDevices {
			return
		}
		after = page[len(page)-1].ID
	}
}

// filterOf is what a filter lets through; nil lets everything.
func (s *Server) filterOf(f *graph.DeviceFilter) (func(*device.Info) bool, error) {
	if f == nil {
		return func(*device.Info) bool { return true }, nil
	}
	if f.Glob != nil {
		if _, err := path.Match(*f.Glob, ""); err != nil {
			return nil, refuse(CodeInvalidParameter, "glob "+quote(*f.Glob)+" is not a glob")
		}
	}
	return func(d *device.Info) bool {
		if f.Glob != nil {
			if ok, err := path.Match(*f.Glob, string(d.ID)); !ok || err != nil {
				return false
			}
		}
		return is(f.Kind, d.Kind) && is(f.Model, d.Model) && is(f.State, d.State) &&
			(f.Site == nil || *f.Site == graph.Site(d)) &&
			(f.Online == nil || *f.Online == s.plant.Latest.Online(d.Slot))
	}, nil
}

func is[T comparable](want *T, have T) bool { return want == nil || *want == have }

// between checks an argument that bounds a list.
func between(name string, n, most int) error {
	if n < 1 || n > most {
		return refuse(CodeInvalidParameter, fmt.Sprintf("%s is 1 to %d, not %d", name, most, n))
	}
	return nil
}

func (r queries) Devices(ctx context.Context, first int, after string, filter *graph.DeviceFilter) (*graph.DevicePage, error) {
	if err := between("first", first, MaxDevices); err != nil {
		return nil, err
	}
	from, err := fromCursor(after)
	if err != nil {
		return nil, err
	}
	want, err := r.s.filterOf(filter)
	if err != nil {
		return nil, err
	}
	page := &graph.DevicePage{Items: []graph.Device{}}
	r.s.scan(ctx, from, func(d *device.Info) bool {
		if !want(d) {
			return true
		}
		if len(page.Items) == first {
			page.Next = toCursor(page.Items[first-1].ID)
			return false
		}
		page.Items = append(page.Items, graph.Device{Info: *d, Newest: r.s.plant.Latest})
		return true
	})
	return page, ctx.Err()
}

func (r queries) Device(ctx context.Context, id device.ID) (*graph.Device, error) {
	info, err := r.s.device(ctx, string(id))
	if err != nil {
		return nil, err
	}
	return &graph.Device{Info: info, Newest: r.s.plant.Latest}, nil
}

// about is which devices a list of events or acknowledgements is about: one that is
// asked for, the caller's own, or all that the caller may see. What it returns asks nobody.
func (s *Server) about(ctx context.Context, id *device.ID) (func(device.Slot) bool, error) {
	c := callerOf(ctx)
	if own := c.Device; id == nil && own != "" {
		id = &own
	}
	if id != nil {
		info, err := s.device(ctx, string(*id))
		return func(slot device.Slot) bool { return slot == info.Slot }, err
	}
	whole := c.MayWhole(auth.Read)
	if whole && c.MayOnAll(auth.Read) {
		return func(device.Slot) bool { return true }, nil
	}
	seen := map[device.Slot]bool{device.Plant: whole}
	s.scan(ctx, "", func(d *device.Info) bool {
		seen[d.Slot] = true
		return true
	})
	return func(slot device.Slot) bool { return seen[slot] }, nil
}

func (r queries) Events(ctx context.Context, first int, id *device.ID, severity *device.Severity) ([]graph.Event, error) {
	of, err := r.s.about(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.s.events(first, severity, of)
}

func (r queries) Commands(ctx context.Context, first int, id *device.ID) ([]graph.Ack, error) {
	of, err := r.s.about(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.s.answered(first, of)
}

// Limits answers for whoever may see the device, which is whoever was given it.
func (r deviceFields) Limits(ctx context.Context, d *graph.Device) (*graph.DeviceLimits, error) {
	l, err := r.s.limitsOf(ctx, &d.Info)
	if err != nil {
		return nil, err
	}
	acting := limitsOf(l.Acting)
	setBy(acting.SocPercent, l.ActingBy.SoC)
	setBy(acting.VoltageV, l.ActingBy.Voltage)
	setBy(acting.TemperatureC, l.ActingBy.Temperature)
	return &graph.DeviceLimits{
		Configured: limitsOf(l.Configured), Set: limitsOf(l.Set), Acting: acting,
		Envelope: &graph.Envelope{MinKw: l.Envelope.MinKW, MinBy: l.Envelope.MinBy, MaxKw: l.Envelope.MaxKW, MaxBy: l.Envelope.MaxBy},
	}, nil
}

// setBy says who sets the edges of a window, where there is one.
func setBy(w *graph.Window, by [2]string) {
	if w == nil {
		return
	}
	if by[0] != "" {
		w.MinBy = &by[0]
	}
	if by[1] != "" {
		w.MaxBy = &by[1]
	}
}

// limitsOf leaves out what nobody has set.
func limitsOf(l device.Limits) *graph.LimitValues {
	number := func(v float64) *float64 {
		if v == 0 {
			return nil
		}
		return &v
	}
	window := func(s device.Span, open bool) *graph.Window {
		if !s.Set() {
			return nil
		}
		w := &graph.Window{Min: &s[0], Max: &s[1]}
		if open && s[1] == 0 { // it has a lower bound alone
			w.Max = nil
		}
		return w
	}
	return &graph.LimitValues{
		CapKw: number(l.CapKW), RampKwPerS: number(l.RampKWPerS),
		SocPercent: window(l.SoC, false), VoltageV: window(l.Voltage, true), TemperatureC: window(l.Temperature, false),
	}
}

func (r deviceFields) Events(_ context.Context, d *graph.Device, first int, severity *device.Severity) ([]graph.Event, error) {
	return r.s.events(first, severity, func(s device.Slot) bool { return s == d.Slot })
}

func (r deviceFields) Commands(_ context.Context, d *graph.Device, first int) ([]graph.Ack, error) {
	return r.s.answered(first, func(s device.Slot) bool { return s == d.Slot })
}

// events are the newest of some devices, the newest first.
func (s *Server) events(first int, severity *device.Severity, of func(device.Slot) bool) ([]graph.Event, error) {
	if err := between("first", first, MaxDevices); err != nil {
		return nil, err
	}
	in := &s.hub.inbox
	in.Lock()
	list := recent(in.history, first, func(e *device.Event) bool { return of(e.Slot) && is(severity, e.Severity) })
	in.Unlock()
	out := make([]graph.Event, len(list))
	for i := range list {
		out[i] = graph.Event{Event: list[i], Device: s.idOf(list[i].Slot)}
	}
	return out, nil
}

// answered are the newest acknowledgements of some devices, the newest first.
func (s *Server) answered(first int, of func(device.Slot) bool) ([]graph.Ack, error) {
	if err := between("first", first, MaxDevices); err != nil {
		return nil, err
	}
	in := &s.hub.inbox
	in.Lock()
	list := recent(in.answers, first, func(a *device.Ack) bool { return of(a.Slot) })
	in.Unlock()
	out := make([]graph.Ack, len(list))
	for i := range list {
		out[i] = graph.Ack{Ack: list[i], DeviceID: s.idOf(list[i].Slot)}
	}
	return out, nil
}

// idOf names the device in a slot, empty for the plant.
func (s *Server) idOf(slot device.Slot) device.ID {
	if slot == device.Plant {
		return ""
	}
	info, _ := s.plant.Registry.Device(slot)
	return info.ID
}

func (r queries) Fleet(context.Context) (*graph.FleetState, error) {
	f := graph.FleetState(r.s.plant.Live.Fleet())
	return &f, nil
}

func (r queries) Dispatch(context.Context) (*graph.Dispatch, error) {
	return dispatchOf(r.s.plant.settings()), nil
}

func dispatchOf(set Settings) *graph.Dispatch {
	d := &graph.Dispatch{Enabled: set.Enabled, Strategy: set.Strategy, TargetKw: set.TargetKW, Schedule: make([]graph.DispatchStep, len(set.Schedule))}
	for i, step := range set.Schedule {
		d.Schedule[i] = graph.DispatchStep{At: step.At, TargetKw: step.TargetKW}
	}
	return d
}

func (r queries) Scores(context.Context) ([]graph.Score, error) {
	out := []graph.Score{}
	for _, score := range r.s.plant.Live.Scores() {
		out = append(out, graph.Score(score))
	}
	return out, nil
}

func (r queries) System(ctx context.Context) (*graph.System, error) {
	a := r.s.plant.System.About()
	out := &graph.System{
		Name: a.Name, Version: a.Version, Tags: a.Tags, Simulation: a.Simulation, BinarySha256: a.BinarySHA256,
		Started: a.Started, Role: callerOf(ctx).Role.String(),
	}
	if out.Tags == nil {
		out.Tags = []string{}
	}
	if a.Run != nil {
		out.Run = &graph.Run{Scenario: a.Run.Scenario, Clock: a.Run.Clock, Speed: &a.Run.Speed}
	}
	return out, nil
}

func (r deviceFields) History(
	ctx context.Context, d *graph.Device, from, to *int64, step *string, limit int, cursor string, values graph.Values,
) (*graph.History, error) {
	if err := between("limit", limit, MaxPage); err != nil {
		return nil, err
	}
	in := historyInput{From: digits(from), To: digits(to), Values: string(values), Limit: limit, Cursor: cursor}
	if step != nil {
		in.Step = *step
	}
	q, _, err := in.query(r.s.now())
	if err != nil {
		return nil, err
	}
	q.Slot = d.Slot
	page, err := r.s.plant.History.Query(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", d.ID, err)
	}
	out := &graph.History{Items: make([]graph.Reading, len(page.Rows)), Next: page.Next, Gaps: gapsOf(page.Gaps)}
	for i := range page.Rows {
		out.Items[i] = graph.Reading{Reading: page.Rows[i].Reading, DeviceID: d.ID}
	}
	return out, nil
}

// digits is a moment as the REST interface takes it, empty when it is left out.
func digits(ms *int64) string {
	if ms == nil {
		return ""
	}
	return strconv.FormatInt(*ms, 10)
}

func (r queries) Aggregates(ctx context.Context, by graph.GroupBy, filter *graph.DeviceFilter) ([]graph.Aggregate, error) {
	want, err := r.s.filterOf(filter)
	if err != nil {
		return nil, err
	}
	groups, turn := map[string]*graph.Aggregate{}, &sync.Mutex{}
	r.s.scan(ctx, "", func(d *device.Info) bool {
		if !want(d) {
			return true
		}
		name := groupOf(by, d)
		g := groups[name]
		if g == nil {
			nan := math.NaN()
			g = &graph.Aggregate{
				Group: name, PowerKW: nan, AvailableChargeKW: nan, AvailableDischargeKW: nan,
				SoCMean: nan, SoCMin: nan, SoCMax: nan, RatedKW: nan, CapacityKWh: nan, Turn: turn,
			}
			groups[name] = g
		}
		r.s.join(g, d)
		return true
	})
	out := make([]graph.Aggregate, 0, len(groups))
	for _, g := range groups {
		if g.WithSoC > 0 {
			g.SoCMean /= float64(g.WithSoC)
		}
		slices.Sort(g.Slots)
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b graph.Aggregate) int { return cmp.Compare(a.Group, b.Group) })
	return out, ctx.Err()
}

func groupOf(by graph.GroupBy, d *device.Info) string {
	switch by {
	case graph.GroupByKind:
		return d.Kind
	case graph.GroupByModel:
		return d.Model
	case graph.GroupBySite:
		return graph.Site(d)
	}
	return d.State.String()
}

// join counts a device into a group, whose SoCMean is the sum until all are in.
func (s *Server) join(g *graph.Aggregate, d *device.Info) {
	g.Devices++
	g.Slots = append(g.Slots, d.Slot)
	if d.RatedKW != 0 {
		sum(&g.RatedKW, d.RatedKW)
	}
	if d.CapacityKWh != 0 {
		sum(&g.CapacityKWh, d.CapacityKWh)
	}
	if !s.plant.Latest.Online(d.Slot) {
		return
	}
	g.Online++
	last, ok := s.plant.Latest.Latest(d.Slot, true)
	if !ok {
		return
	}
	sum(&g.PowerKW, last.Power)
	sum(&g.AvailableChargeKW, last.MaxCharge)
	sum(&g.AvailableDischargeKW, last.MaxDischarge)
	if device.Finite(last.SoC) {
		sum(&g.SoCMean, last.SoC)
		g.WithSoC++
		if !(g.SoCMin <= last.SoC) {
			g.SoCMin = last.SoC
		}
		if !(g.SoCMax >= last.SoC) {
			g.SoCMax = last.SoC
		}
	}
}

// sum adds what is a number to a sum that is NaN as long as nothing was.
func sum(to *float64, v float64) {
	switch {
	case !device.Finite(v):
	case math.IsNaN(*to):
		*to = v
	default:
		*to += v
	}
}

// energySpan is the longest time that energy is counted over at once.
const energySpan = 366 * 24 * time.Hour

func (r groupFields) Energy(ctx context.Context, g *graph.Aggregate, from, to *int64) (*graph.Energy, error) {
	in := historyInput{From: digits(from), To: digits(to), Limit: MaxPage}
	q, _, err := in.query(r.s.now())
	if err != nil {
		return nil, err
	}
	step := time.Minute
	switch span := time.Duration(q.To-q.From) * time.Millisecond; {
	case (q.To - q.From) > energySpan.Milliseconds():
		return nil, refuse(CodeInvalidParameter, "energy is counted over up to a year at once")
	case span > 24*time.Hour:
		step = time.Hour
	}
	g.Turn.Lock()
	defer g.Turn.Unlock()
	release, err := r.s.heavy()
	if err != nil {
		return nil, err
	}
	defer release()
	page, err := r.s.plant.History.Aggregate(ctx, series.AggregateQuery{
		Slots: g.Slots, From: q.From, To: q.To, Step: step, Fields: series.Power, Fleet: true, Limit: q.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("energy of %q: %w", g.Group, err)
	}
	e := &graph.Energy{}
	for i := range page.Rows {
		e.InKWh += page.Rows[i].EnergyIn
		e.OutKWh += page.Rows[i].EnergyOut
		e.CoveredS += page.Rows[i].Covered.Seconds()
	}
	return e, nil
}

func (r queries) Statistics(ctx context.Context, devices string, from, to *int64, step string, limit int, cursor string) (*graph.Statistics, error) {
	slots, err := r.s.match(ctx, devices)
	if err != nil {
		return nil, err
	}
	release, err := r.s.heavy()
	if err != nil {
		return nil, err
	}
	defer release()
	return r.s.statistics(ctx, series.AggregateQuery{Slots: slots, Fleet: true}, from, to, step, limit, cursor)
}

func (r deviceFields) Statistics(ctx context.Context, d *graph.Device, from, to *int64, step string, limit int, cursor string) (*graph.Statistics, error) {
	return r.s.statistics(ctx, series.AggregateQuery{Slots: []device.Slot{d.Slot}}, from, to, step, limit, cursor)
}

// statistics completes q and answers it.
func (s *Server) statistics(ctx context.Context, q series.AggregateQuery, from, to *int64, step string, limit int, cursor string) (*graph.Statistics, error) {
	if err := between("limit", limit, MaxPage); err != nil {
		return nil, err
	}
	in := historyInput{From: digits(from), To: digits(to), Step: step}
	span, _, err := in.query(s.now())
	if err != nil {
		return nil, err
	}
	q.From, q.To, q.Step, q.Limit, q.Cursor = span.From, span.To, span.Step, limit, cursor
	page, err := s.plant.History.Aggregate(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("statistics: %w", err)
	}
	out := &graph.Statistics{Items: make([]graph.Step, len(page.Rows)), Next: page.Next, Gaps: gapsOf(page.Gaps)}
	for i := range page.Rows {
		row := &page.Rows[i]
		stat := func(f series.Fields) graph.Stat {
			v := row.Value(f)
			return graph.Stat{Mean: v.Mean, Min: v.Min, Max: v.Max, Last: v.Last, Sum: v.Sum}
		}
		out.Items[i] = graph.Step{
			At: row.At, Devices: row.Devices, Count: row.Count, Bad: row.Bad,
			EnergyInKWh: row.EnergyIn, EnergyOutKWh: row.EnergyOut, CoveredS: row.Covered.Seconds(),
			SoC: stat(series.SoC), SoH: stat(series.SoH), Voltage: stat(series.Voltage), Current: stat(series.Current),
			Power: stat(series.Power), Temperature: stat(series.Temperature),
		}
	}
	return out, nil
}

func gapsOf(list []series.Gap) []graph.Gap {
	out := make([]graph.Gap, len(list))
	for i := range list {
		out[i] = graph.Gap(list[i])
	}
	return out
}
