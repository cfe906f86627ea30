package scenario

import (
	"fmt"
	"math"
	"path"
	"slices"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
)

// Dispatch is what the fleet is asked for. Without a target nothing is dispatched.
type Dispatch struct {
	Every     time.Duration `yaml:"every,omitempty" jsonschema:"exclusiveMinimum=0,default=2s" doc:"The cycle."`
	Strategy  string        `yaml:"strategy,omitempty" jsonschema:"enum=proportional,enum=soc-balancing,enum=cost,enum=time-to-go,default=soc-balancing" doc:"How a target is shared out."`
	Target    *Target       `yaml:"target,omitempty" doc:"What is asked for: a series, {kw: …} or {import_kw: …}."`
	Ramp      float64       `yaml:"ramp_kw_per_s,omitempty" jsonschema:"exclusiveMinimum=0" doc:"The most the sum of all setpoints may change in a second, kW/s; the guard keeps it whoever commands. No limit when left out."`
	Limits    []GroupLimit  `yaml:"limits,omitempty" doc:"What the devices behind one connection may have together: sites, feeders, transformers."`
	Droop     *Droop        `yaml:"droop,omitempty" doc:"The fleet answers the frequency of the grid, beside its target."`
	SoHWeight float64       `yaml:"soh_weight,omitempty" jsonschema:"minimum=0,maximum=20" doc:"Devices of lower state of health do less: shares are as if multiplied with (SoH/100)^soh_weight."`
	Risk      float64       `yaml:"risk,omitempty" jsonschema:"minimum=0,exclusiveMaximum=0.5" doc:"How likely a device may leave its window of charge within the life of a setpoint, its state of charge being uncertain; 0: readings are taken as they are."`
	SoCSD     float64       `yaml:"soc_sd_percent,omitempty" jsonschema:"minimum=0,maximum=50" doc:"Standard deviation of the state of charge of devices that state none of their own, percent; for risk."`
	StartCost float64       `yaml:"start_cost,omitempty" jsonschema:"minimum=0,maximum=1e6" doc:"What the start of a converter costs, money; for rest."`
	RunFor    time.Duration `yaml:"run_for,omitempty" jsonschema:"minimum=0" doc:"How long a converter that was started runs at least; for rest."`
	Rest      bool          `yaml:"rest,omitempty" doc:"Devices may rest where fewer converters lose less; strategy cost, for devices whose loss is known."`
}

// GroupLimit is what devices may have together.
type GroupLimit struct {
	Name     string   `yaml:"name" jsonschema:"required,pattern=^[A-Za-z0-9][A-Za-z0-9._-]{0\\,63}$" hint:"letters, digits, dot, _ and -, at most 64" example:"feeder-1" doc:"What the connection is called."`
	Devices  string   `yaml:"devices,omitempty" jsonschema:"default=*" hint:"a glob over device ids, such as north-*" doc:"Which devices are behind it (a glob). A device counts in the innermost limit that it matches, and in all around that."`
	Edge     string   `yaml:"edge,omitempty" doc:"Only devices that this site serves; of plants that sites have joined."`
	ImportKW *float64 `yaml:"import_kw,omitempty" jsonschema:"minimum=0,maximum=1e9" doc:"The most that may flow in, kW; any when left out."`
	ExportKW *float64 `yaml:"export_kw,omitempty" jsonschema:"minimum=0,maximum=1e9" doc:"The most that may flow out, kW; any when left out."`
	Within   string   `yaml:"within,omitempty" doc:"The limit that it lies within."`
	Load     *Series  `yaml:"load,omitempty" unit:"kw" doc:"What else flows behind the connection, kW; consumption is positive."`
	Target   *Series  `yaml:"target,omitempty" unit:"kw" doc:"What its devices are asked for together, kW, beneath the target of the fleet; the others have the rest."`
	Meter    string   `yaml:"meter,omitempty" doc:"Id of the device that measures all that flows through the connection, in place of load."`
}

// Droop is the fleet's answer to the frequency of the grid.
type Droop struct {
	Frequency  *Series `yaml:"frequency,omitempty" doc:"The frequency of the grid, Hz; of scenarios."`
	Meter      string  `yaml:"meter,omitempty" hint:"the id of a device" doc:"Id of the device whose readings tell the frequency, in place of a series."`
	Percent    float64 `yaml:"droop_percent" jsonschema:"required,exclusiveMinimum=0,maximum=100" example:"4" doc:"Deviation that all of the rated power answers, percent of the nominal frequency."`
	Nominal    float64 `yaml:"nominal_hz,omitempty" jsonschema:"minimum=10,maximum=400,default=50" doc:"The nominal frequency, Hz."`
	Deadband   float64 `yaml:"deadband_hz,omitempty" jsonschema:"minimum=0,maximum=5" doc:"A deviation within it asks for nothing, one beyond it for what lies beyond."`
	MostKW     float64 `yaml:"most_kw,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1e9" doc:"Bound of the answer, kW; rated power when left out."`
	RecoverKW  float64 `yaml:"recover_kw,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1e9" doc:"With at most this power the fleet goes back to recover_percent of charge while the frequency is within the deadband."`
	RecoverSoC float64 `yaml:"recover_percent,omitempty" jsonschema:"minimum=0,maximum=100,default=50" doc:"The state of charge that it goes back to, percent."`
}

// Device is the droop as it acts.
func (d *Droop) Device() *dispatch.Droop {
	if d == nil {
		return nil
	}
	return &dispatch.Droop{
		NominalHz: d.Nominal, Percent: d.Percent, DeadbandHz: d.Deadband, MostKW: d.MostKW,
		RecoverKW: d.RecoverKW, RecoverPercent: d.RecoverSoC,
	}
}

// Settings are those of a planner.
func (d *Dispatch) Settings() dispatch.Settings {
	return dispatch.Settings{
		Every: d.Every, Strategy: dispatch.Strategy(d.Strategy),
		SoHWeight: d.SoHWeight, Risk: d.Risk, SoCSD: d.SoCSD, Rest: d.Rest,
		StartCost: d.StartCost, RunFor: d.RunFor,
	}
}

// GroupLimits are the limits as they act; at tells how far an instant is from the start of
// their series.
func (d *Dispatch) GroupLimits(at func(time.Time) time.Duration) []dispatch.Limit {
	var out []dispatch.Limit
	for i := range d.Limits {
		l := &d.Limits[i]
		x := dispatch.Limit{
			Name: l.Name, Devices: l.Devices, Edge: l.Edge, Within: l.Within, Meter: device.ID(l.Meter),
			Import: most(l.ImportKW), Export: most(l.ExportKW),
		}
		if load := l.Load; load != nil {
			x.Load = func(now time.Time) float64 { return load.At(at(now)) }
		}
		if target := l.Target; target != nil {
			x.Target = func(now time.Time) float64 { return target.At(at(now)) }
		}
		out = append(out, x)
	}
	return out
}

// SitesAsk reports whether a site has a target of its own.
func (d *Dispatch) SitesAsk() bool {
	return slices.ContainsFunc(d.Limits, func(l GroupLimit) bool { return l.Target != nil })
}

// most is a bound, or none.
func most(kw *float64) float64 {
	if kw == nil {
		return math.Inf(1)
	}
	return *kw
}

// check loads the series, and holds the limits against each other and against the devices
// that the file names.
func (d *Dispatch) check(f *source, start time.Time, length time.Duration, ids []string) {
	if d.Target != nil {
		d.Target.Series.load(f, "dispatch.target", start, length)
	}
	if x := d.Droop; x != nil {
		x.Frequency.load(f, "dispatch.droop.frequency", start, length)
		if (x.Frequency == nil) == (x.Meter == "") && !f.has("dispatch.droop.frequency") {
			f.wrong("dispatch.droop", "add meter: DEVICE, or frequency: a series", "nobody tells the frequency")
		} else if x.Frequency != nil && x.Meter != "" {
			f.wrong("dispatch.droop.frequency", "give one of them", "a device tells the frequency as well")
		} else if x.Meter != "" && !device.ID(x.Meter).Valid() {
			f.wrong("dispatch.droop.meter", "write the id of a device", "%q is no device's id", short(x.Meter))
		}
	}
	if d.Risk == 0 && d.SoCSD > 0 {
		f.wrong("dispatch.soc_sd_percent", "add risk: 0.01", "an uncertain state of charge without a risk changes nothing")
	}
	if !d.Rest && (d.StartCost > 0 || d.RunFor > 0) {
		f.wrong("dispatch.start_cost", "add rest: true", "what a start costs, and how long it lasts, changes nothing where none rests")
	}
	if d.Rest && d.Strategy != string(dispatch.Cost) {
		f.wrong("dispatch.rest", "set strategy: cost", "devices rest for what running costs, and strategy %s does not look at it", d.Strategy)
	}
	before := len(f.faults)
	for i := range d.Limits {
		d.Limits[i].check(f, fmt.Sprintf("dispatch.limits[%d]", i), start, length)
	}
	if len(f.faults) > before || len(d.Limits) == 0 {
		return
	}
	if err := dispatch.CheckLimits(d.GroupLimits(nil)); err != nil {
		f.wrong("dispatch.limits", "each name once; within names another limit, and never leads back", "%v", err)
		return
	}
	d.overlap(f, ids)
}

func (l *GroupLimit) check(f *source, at string, start time.Time, length time.Duration) {
	l.Load.load(f, at+".load", start, length)
	l.Target.load(f, at+".target", start, length)
	if l.Target == nil && !f.has(at+".target") && l.ImportKW == nil && l.ExportKW == nil && !f.has(at+".import_kw") && !f.has(at+".export_kw") {
		f.wrong(at, "add import_kw, export_kw or target", "limit %s limits nothing", short(l.Name))
	}
	if l.Meter != "" && l.Load != nil {
		f.fault(f.key(at+".load"), "give one of them", "a meter measures the load of limit %s as well", short(l.Name))
	}
	if _, err := path.Match(l.Devices, ""); err != nil {
		f.wrong(at+".devices", "write a glob, such as north-*", "%q is no glob", short(l.Devices))
	}
}

// around are the limits around one, itself first, by index.
func (d *Dispatch) around(i int) (chain []int) {
	for {
		chain = append(chain, i)
		up := slices.IndexFunc(d.Limits, func(l GroupLimit) bool { return l.Name == d.Limits[i].Within })
		if d.Limits[i].Within == "" || up < 0 {
			return chain
		}
		i = up
	}
}

// innermost is the limit that a device counts in, by index, -1 for none; and another one that
// it is behind although neither lies within the other, -1 for none.
func (d *Dispatch) innermost(id string) (inner, other int) {
	inner, other = -1, -1
	for i := range d.Limits {
		if ok, err := path.Match(d.Limits[i].Devices, id); !ok || err != nil || d.Limits[i].Edge != "" {
			continue
		}
		switch {
		case inner < 0 || slices.Contains(d.around(i), inner):
			inner = i
		case !slices.Contains(d.around(inner), i):
			other = i
		}
	}
	return inner, other
}

// Behind are the devices that count in each limit as their innermost, as indices in ids. A
// meter of a limit is none.
func (d *Dispatch) Behind(ids []string) [][]int {
	out := make([][]int, len(d.Limits))
	for n, id := range ids {
		if slices.ContainsFunc(d.Limits, func(l GroupLimit) bool { return l.Meter == id }) {
			continue
		}
		if inner, _ := d.innermost(id); inner >= 0 {
			out[inner] = append(out[inner], n)
		}
	}
	return out
}

// checkMeters finds limits whose meter is none of the devices. Those of a site that joins, no
// file names.
func (d *Dispatch) checkMeters(f *source, ids []string) {
	for i := range d.Limits {
		if l := &d.Limits[i]; l.Meter != "" && l.Edge == "" && !slices.Contains(ids, l.Meter) {
			f.wrong(fmt.Sprintf("dispatch.limits[%d].meter", i), suggest(l.Meter, ids), "there is no device %q", short(l.Meter))
		}
	}
	if x := d.Droop; x != nil && device.ID(x.Meter).Valid() && !slices.Contains(ids, x.Meter) {
		f.wrong("dispatch.droop.meter", suggest(x.Meter, ids), "there is no device %q", short(x.Meter))
	}
}

// overlap finds limits without devices, and devices behind two connections of which neither
// lies within the other.
func (d *Dispatch) overlap(f *source, ids []string) {
	told := map[[2]int]bool{}
	for _, id := range ids {
		if inner, other := d.innermost(id); other >= 0 && !told[[2]int{inner, other}] {
			told[[2]int{inner, other}] = true
			f.wrong(fmt.Sprintf("dispatch.limits[%d].devices", other), "let one lie within the other, or let their globs not meet",
				"device %s is behind both %s and %s", id, d.Limits[inner].Name, d.Limits[other].Name)
		}
	}
	// Whoever is behind two that overlap counts in one of them; the other is not empty for that.
	any := make([]bool, len(d.Limits))
	for i := range d.Limits {
		l := &d.Limits[i]
		has := l.Edge == "" && slices.ContainsFunc(ids, func(id string) bool {
			ok, err := path.Match(l.Devices, id)
			return ok && err == nil && !slices.ContainsFunc(d.Limits, func(l GroupLimit) bool { return l.Meter == id })
		})
		for _, k := range d.around(i) {
			any[k] = any[k] || has
		}
	}
	for i := range d.Limits {
		if l := &d.Limits[i]; !any[i] && l.Edge == "" && len(ids) > 0 {
			f.wrong(fmt.Sprintf("dispatch.limits[%d].devices", i), suggest(l.Devices, ids), "limit %s has no device", l.Name)
		}
	}
}
