package ingest

import (
	"fmt"
	"math"
	"time"

	"yunchu/platform/device"
)

// Profile says how the readings of a device are judged and cleaned. Its zero value
// switches most stages off; Default is what holds where nothing is said. The tags are
// those of the strict reader of files.
type Profile struct {
	Units   Units   `yaml:"units,omitempty" doc:"What a device sends, where that is not kW, V, A, percent, degC and milliseconds; converted before anything else sees it."`
	Range   Ranges  `yaml:"range,omitempty" doc:"What is possible, narrower than for any battery; a value outside is dropped from the cleaned ones."`
	Outlier Outlier `yaml:"outlier,omitempty" doc:"Single values that stand apart from their neighbours (Hampel)."`
	Gaps    Gaps    `yaml:"gaps,omitempty" doc:"How what is missing is filled, by how long it is missing."`
	Logic   Logic   `yaml:"logic,omitempty" doc:"What must fit together over time."`
	Filter  Filter  `yaml:"filter,omitempty" doc:"Noise filter of voltage, current, power and temperature."`
}

// Units are the units of what a device sends. Every factor is multiplied with what was
// sent.
type Units struct {
	Power       string        `yaml:"power,omitempty" jsonschema:"enum=W,enum=kW,enum=MW,default=kW" doc:"Unit of power."`
	Voltage     string        `yaml:"voltage,omitempty" jsonschema:"enum=mV,enum=V,enum=kV,default=V" doc:"Unit of voltage."`
	Current     string        `yaml:"current,omitempty" jsonschema:"enum=mA,enum=A,enum=kA,default=A" doc:"Unit of current."`
	SoC         string        `yaml:"soc,omitempty" jsonschema:"enum=ratio,enum=percent,default=percent" doc:"Unit of state of charge and of health."`
	Temperature string        `yaml:"temperature,omitempty" jsonschema:"enum=degC,enum=K,enum=degF,default=degC" doc:"Unit of temperature."`
	Timestamp   string        `yaml:"timestamp,omitempty" jsonschema:"enum=s,enum=ms,enum=us,enum=ns,default=ms" doc:"Unit of timestamps since 1970."`
	Clock       time.Duration `yaml:"clock,omitempty" doc:"How far the device's clock is ahead of ours, such as 8h for one that sends local time of UTC+8; taken off its timestamps."`
}

// Bounds are the least and the most that is possible.
type Bounds struct {
	Min float64 `yaml:"min" jsonschema:"required" example:"0" doc:"The least."`
	Max float64 `yaml:"max" jsonschema:"required" example:"100" doc:"The most."`
}

// Ranges are the bounds of quantities; nil: what is possible for any battery system of
// that rating, as Impossible says.
type Ranges struct {
	SoC         *Bounds `yaml:"soc,omitempty" doc:"Percent."`
	SoH         *Bounds `yaml:"soh,omitempty" doc:"Percent."`
	Voltage     *Bounds `yaml:"voltage,omitempty" doc:"V."`
	Current     *Bounds `yaml:"current,omitempty" doc:"A, above zero charges."`
	Power       *Bounds `yaml:"power,omitempty" doc:"kW, above zero charges."`
	Temperature *Bounds `yaml:"temperature,omitempty" doc:"degC."`
}

// Outlier are the parameters of the Hampel identifier. A value must also be apart from
// the median by the floor of its quantity: the resolution of a device is no outlier.
type Outlier struct {
	Off         bool    `yaml:"off,omitempty" doc:"Nothing is looked for."`
	HalfWidth   int     `yaml:"half_width,omitempty" jsonschema:"minimum=2,maximum=50,default=5" doc:"Readings on either side that a value is compared with."`
	Sigmas      float64 `yaml:"sigmas,omitempty" jsonschema:"minimum=1,maximum=100,default=4" doc:"Standard deviations (1.4826 MAD) that it may be apart from their median."`
	SoC         float64 `yaml:"soc_percent,omitempty" jsonschema:"minimum=0,default=0.5" doc:"Floor of state of charge and of health, percent."`
	Voltage     float64 `yaml:"voltage_ratio,omitempty" jsonschema:"minimum=0,default=0.01" doc:"Floor of voltage, of the median."`
	Power       float64 `yaml:"power_ratio,omitempty" jsonschema:"minimum=0,default=0.02" doc:"Floor of power and current, of rated power; of the median where that is not known."`
	Temperature float64 `yaml:"temperature_c,omitempty" jsonschema:"minimum=0,default=2" doc:"Floor of temperature, K."`
}

// Gaps are the longest gaps that each way of filling is good for. A gap that is longer
// than all of them stays one.
type Gaps struct {
	Hold   time.Duration `yaml:"hold,omitempty" jsonschema:"minimum=0,default=0s" doc:"Up to here the last value is kept."`
	Linear time.Duration `yaml:"linear,omitempty" jsonschema:"minimum=0,default=30s" doc:"Up to here a straight line joins the ends."`
	Model  time.Duration `yaml:"model,omitempty" jsonschema:"minimum=0,default=10m" doc:"Up to here charge and energy are balanced between the ends."`
}

// Logic are the parameters of what must fit together.
type Logic struct {
	Over  time.Duration `yaml:"over,omitempty" jsonschema:"minimum=0,default=10m" doc:"The state of charge is compared with the charge that flowed over this time; 0s does not."`
	SoC   float64       `yaml:"soc_percent,omitempty" jsonschema:"minimum=0,default=2" doc:"They may differ by this, in percent of the capacity."`
	Ratio float64       `yaml:"soc_ratio,omitempty" jsonschema:"minimum=0,default=0.2" doc:"And by this share of what flowed: capacity and efficiency are not known better."`
	Idle  float64       `yaml:"idle_ratio,omitempty" jsonschema:"minimum=0,default=0.05" doc:"Power of rated power that a device may have which says idle, standby or offline."`
}

// The kinds of Filter.
const (
	NoFilter      = "none"
	Exponential   = "exponential"
	SavitzkyGolay = "savitzky-golay"
)

// Filter is the noise filter.
type Filter struct {
	Kind      string        `yaml:"kind,omitempty" jsonschema:"enum=none,enum=exponential,enum=savitzky-golay,default=none" doc:"none; exponential lags by tau; savitzky-golay fits a parabola and does not lag."`
	Tau       time.Duration `yaml:"tau,omitempty" jsonschema:"exclusiveMinimum=0,default=5s" doc:"exponential: time constant."`
	HalfWidth int           `yaml:"half_width,omitempty" jsonschema:"minimum=2,maximum=50,default=4" doc:"savitzky-golay: readings on either side."`
}

// Default is the profile of a device of which nothing is said.
func Default() Profile {
	return Profile{
		Units:   Units{Power: "kW", Voltage: "V", Current: "A", SoC: "percent", Temperature: "degC", Timestamp: "ms"},
		Outlier: Outlier{HalfWidth: 5, Sigmas: 4, SoC: 0.5, Voltage: 0.01, Power: 0.02, Temperature: 2},
		Gaps:    Gaps{Linear: 30 * time.Second, Model: 10 * time.Minute},
		Logic:   Logic{Over: 10 * time.Minute, SoC: 2, Ratio: 0.2, Idle: 0.05},
		Filter:  Filter{Kind: NoFilter, Tau: 5 * time.Second, HalfWidth: 4},
	}
}

// Fault is what is wrong with a profile: the key, and what to write instead.
type Fault struct{ Key, Hint, Text string }

// Error is the fault in one line.
func (f Fault) Error() string { return f.Key + ": " + f.Text }

// Validate finds what single keys cannot tell: all faults at once.
func (p *Profile) Validate() (faults []Fault) {
	for i, b := range p.Range.list() {
		if b != nil && !(b.Min < b.Max) {
			faults = append(faults, Fault{
				"range." + PointNames[i], "write {min: LESS, max: MORE}",
				fmt.Sprintf("no value is between %g and %g", b.Min, b.Max),
			})
		}
	}
	if g := p.Gaps; g.Hold > g.Linear && g.Linear > 0 || max(g.Hold, g.Linear) > g.Model && g.Model > 0 {
		faults = append(faults, Fault{"gaps", "hold ≤ linear ≤ model; 0s leaves one out", "a way of filling that is only for gaps which another one fills already"})
	}
	for _, d := range []struct {
		key  string
		d    time.Duration
		most time.Duration
	}{{"gaps.hold", p.Gaps.Hold, time.Hour}, {"gaps.linear", p.Gaps.Linear, time.Hour}, {"gaps.model", p.Gaps.Model, time.Hour}, {"logic.over", p.Logic.Over, time.Hour}, {"filter.tau", p.Filter.Tau, 10 * time.Minute}} {
		if d.d < 0 || d.d > d.most {
			faults = append(faults, Fault{d.key, "at most " + d.most.String(), fmt.Sprintf("%v is not between 0 and %v", d.d, d.most)})
		}
	}
	if c := p.Units.Clock; c.Abs() > 24*time.Hour {
		faults = append(faults, Fault{"units.clock", "at most a day; time zones go from -12h to 14h", fmt.Sprintf("%v is no time zone", c)})
	}
	return faults
}

// PointNames are the names of quantities, in the order of device.Points.
var PointNames = [...]string{"soc", "soh", "voltage", "current", "power", "temperature", "maxCharge", "maxDischarge"}

const quantities = len(PointNames)

// The quantities as indices, in the order of device.Points.
const (
	soc = iota
	soh
	voltage
	current
	power
	temperature
	maxCharge
	maxDischarge
)

// values are the quantities of a reading in the order of device.Points.
func values(r *device.Reading) [quantities]*float64 {
	return [...]*float64{&r.SoC, &r.SoH, &r.Voltage, &r.Current, &r.Power, &r.Temperature, &r.MaxCharge, &r.MaxDischarge}
}

// Names are the names of some quantities; never nil.
func Names(p device.Points) []string {
	out := make([]string, 0, 2)
	for i, n := range PointNames {
		if p&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

func (r *Ranges) list() [temperature + 1]*Bounds {
	return [...]*Bounds{r.SoC, r.SoH, r.Voltage, r.Current, r.Power, r.Temperature}
}

// Look is how far before and after a time readings are needed to clean those of that
// time.
func (p *Profile) Look() time.Duration {
	return max(10*time.Minute, p.Gaps.Hold, p.Gaps.Linear, p.Gaps.Model, p.Logic.Over) + time.Minute
}

var (
	powers       = map[string]float64{"W": 1e-3, "MW": 1e3}
	thousandths  = map[string]float64{"mV": 1e-3, "kV": 1e3, "mA": 1e-3, "kA": 1e3}
	percents     = map[string]float64{"ratio": 100}
	milliseconds = map[string]float64{"s": 1e3, "us": 1e-3, "ns": 1e-6}
)

// Plain reports whether what is sent is in our units already.
func (u *Units) Plain() bool {
	d := Default().Units
	for _, x := range [][2]string{
		{u.Power, d.Power},
		{u.Voltage, d.Voltage},
		{u.Current, d.Current},
		{u.SoC, d.SoC},
		{u.Temperature, d.Temperature},
		{u.Timestamp, d.Timestamp},
	} {
		if x[0] != "" && x[0] != x[1] {
			return false
		}
	}
	return u.Clock == 0
}

// Normalise converts a reading as a device sends it to our units and our clock. It
// must be applied once.
func (u *Units) Normalise(r *device.Reading) {
	scale := func(factors map[string]float64, unit string, v ...*float64) {
		if f, ok := factors[unit]; ok {
			for _, x := range v {
				*x *= f
			}
		}
	}
	scale(powers, u.Power, &r.Power, &r.MaxCharge, &r.MaxDischarge)
	scale(thousandths, u.Voltage, &r.Voltage)
	scale(thousandths, u.Current, &r.Current)
	scale(percents, u.SoC, &r.SoC, &r.SoH)
	switch u.Temperature {
	case "K":
		r.Temperature -= 273.15
	case "degF":
		r.Temperature = (r.Temperature - 32) / 1.8
	}
	r.At = u.Millis(r.At) - u.Clock.Milliseconds()
}

// Millis is a timestamp of the device in milliseconds, still on its own clock. One that
// is beyond the years we count in stays there.
func (u *Units) Millis(at int64) int64 {
	f, ok := milliseconds[u.Timestamp]
	switch {
	case !ok:
		return at
	case f > 1:
		if at > math.MaxInt64/4/int64(f) || at < math.MinInt64/4/int64(f) {
			return at
		}
		return at * int64(f)
	}
	return at / int64(math.Round(1/f))
}
