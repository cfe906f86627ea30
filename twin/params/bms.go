package params

import (
	"fmt"
	"math"
	"time"
)

// BMS is the parameter set of the battery management of a rack and of a unit of racks.
type BMS struct {
	Header    `yaml:",inline"`
	Charge    RackCurrent  `yaml:"charge"`
	Discharge RackCurrent  `yaml:"discharge"`
	Limits    LimitRates   `yaml:"limits"`
	Protect   Protect      `yaml:"protect"`
	Contactor ContactorSet `yaml:"contactor"`
	Balance   BalanceSet   `yaml:"balance"`
	Unit      UnitSet      `yaml:"unit"`
}

// RackCurrent is the rating of a rack in one direction and where it tapers off.
type RackCurrent struct {
	Source      string  `yaml:"source"`
	RatedA      float64 `yaml:"rated_a"`
	ContinuousA float64 `yaml:"continuous_a"`
	CellV       Taper   `yaml:"cell_v"`
	HotC        Taper   `yaml:"hot_c"`  // degC
	ColdC       Taper   `yaml:"cold_c"` // degC
	SoC         Taper   `yaml:"soc_percent"`
}

// Taper is a line from full current to none.
type Taper struct {
	Full float64 `yaml:"full"`
	None float64 `yaml:"none"`
}

// LimitRates is how announced currents follow.
type LimitRates struct {
	Source       string     `yaml:"source"`
	FallAPerS    float64    `yaml:"fall_a_per_s"`
	RiseAPerS    float64    `yaml:"rise_a_per_s"`
	BandA        float64    `yaml:"band_a"`
	HeatTime     Duration   `yaml:"heat_time"`     // of the mean square of the current; 0: not watched
	HeatFrom     float64    `yaml:"heat_from"`     // share of continuous_a^2 at which it begins to bind
	WarningShare [2]float64 `yaml:"warning_share"` // of the rating left by a warning of level 1 and 2
}

// Protect are the protections of a rack.
type Protect struct {
	CellVHigh     Protection `yaml:"cell_v_high"`
	CellVLow      Protection `yaml:"cell_v_low"`
	CellVSpread   Protection `yaml:"cell_v_spread"`
	TempHighC     Protection `yaml:"temp_high_c"`   // degC
	TempLowC      Protection `yaml:"temp_low_c"`    // degC
	TempSpreadK   Protection `yaml:"temp_spread_k"` // K
	ChargeA       Protection `yaml:"charge_a"`
	DischargeA    Protection `yaml:"discharge_a"`
	SoCHigh       Protection `yaml:"soc_high_percent"`
	SoCLow        Protection `yaml:"soc_low_percent"`
	Insulation    Delays     `yaml:"insulation"`
	Communication Delays     `yaml:"communication"`
	EmergencyStop Delays     `yaml:"emergency_stop"`
}

// Protection are two warnings and the trip of a quantity; what is left out is not used.
type Protection struct {
	Warning1 *Threshold `yaml:"warning1"`
	Warning2 *Threshold `yaml:"warning2"`
	Trip     *Threshold `yaml:"trip"`
}

// Threshold is where a level is raised and cleared, and after how long.
type Threshold struct {
	Set     float64  `yaml:"set"`
	Clear   float64  `yaml:"clear"`
	Delay   Duration `yaml:"delay"`
	Recover Duration `yaml:"recover"`
}

// Delays are those of a fault that is there or not.
type Delays struct {
	Delay   Duration `yaml:"delay"`
	Recover Duration `yaml:"recover"`
}

// ContactorSet is how a rack is connected and disconnected.
type ContactorSet struct {
	Source          string   `yaml:"source"`
	MatchV          float64  `yaml:"match_v"`
	PrechargeOhm    float64  `yaml:"precharge_ohm"`
	BusFarad        float64  `yaml:"bus_farad"`
	BusBleedOhm     float64  `yaml:"bus_bleed_ohm"` // discharges the bus behind open contactors
	Least           Duration `yaml:"least"`
	Timeout         Duration `yaml:"timeout"`
	OpenA           float64  `yaml:"open_a"`
	OpenWithin      Duration `yaml:"open_within"`
	LifeClosings    int      `yaml:"life_closings"`
	LifeHotOpenings int      `yaml:"life_hot_openings"`
}

// BalanceSet is how the cells of a string are levelled.
type BalanceSet struct {
	Source string   `yaml:"source"`
	Ohm    float64  `yaml:"ohm"`
	StartV float64  `yaml:"start_v"`
	StopV  float64  `yaml:"stop_v"`
	MinV   float64  `yaml:"min_v"`
	RestA  float64  `yaml:"rest_a"`
	Period Duration `yaml:"period"`
	Window Duration `yaml:"window"`
}

// UnitSet is how racks share a bus.
type UnitSet struct {
	Source   string  `yaml:"source"`
	MatchV   float64 `yaml:"match_v"`
	MinRacks int     `yaml:"min_racks"` // fewer connected: no current
}

// BMSSets returns the names of the management sets that ship, sorted.
func BMSSets() []string { return shipped("bms", "") }

// LoadBMS returns the management set called name, or the one in the file at that
// path. The error lists every fault as "path:line:col: key: message".
func LoadBMS(nameOrPath string) (*BMS, error) {
	return loadSet[BMS]("battery management", "bms", "", nameOrPath)
}

// Validate returns all faults of the set, joined.
func (b *BMS) Validate() error {
	var f faults
	b.validate(&f, "BMS")
	b.Charge.validate(&f, "charge", true)
	b.Discharge.validate(&f, "discharge", false)
	b.Limits.validate(&f)
	b.Protect.validate(&f)
	b.Contactor.validate(&f)
	b.Balance.validate(&f)
	f.positive("unit.match_v", b.Unit.MatchV)
	if b.Unit.MinRacks < 1 {
		f.add("unit.min_racks", "is %d, want at least 1", b.Unit.MinRacks)
	}
	return f.join()
}

func (c *RackCurrent) validate(f *faults, key string, charge bool) {
	f.positive(key+".rated_a", c.RatedA)
	if !(c.ContinuousA > 0 && c.ContinuousA <= c.RatedA) {
		f.add(key+".continuous_a", "is %g, want above 0 and at most rated_a", c.ContinuousA)
	}
	c.CellV.validate(f, key+".cell_v", charge)
	c.HotC.validate(f, key+".hot_c", true)
	c.ColdC.validate(f, key+".cold_c", false)
	c.SoC.validate(f, key+".soc_percent", charge)
}

// validate demands that the current falls as the value rises, or as it falls.
func (t Taper) validate(f *faults, key string, rising bool) {
	if d := t.None - t.Full; !(d > 0) && rising || !(d < 0) && !rising || math.IsInf(d, 0) {
		f.add(key, "is full at %g and none at %g: the wrong way round", t.Full, t.None)
	}
}

func (l *LimitRates) validate(f *faults) {
	f.positive("limits.fall_a_per_s", l.FallAPerS)
	f.positive("limits.rise_a_per_s", l.RiseAPerS)
	f.atLeastZero("limits.band_a", l.BandA)
	if l.HeatTime < 0 {
		f.add("limits.heat_time", "is %v, want 0s or more", time.Duration(l.HeatTime))
	}
	if !(l.HeatFrom >= 0 && l.HeatFrom < 1) {
		f.add("limits.heat_from", "is %g, want 0 or more and below 1", l.HeatFrom)
	}
	for i, s := range l.WarningShare {
		f.fraction(fmt.Sprintf("limits.warning_share[%d]", i), s, 1)
	}
}

func (p *Protect) validate(f *faults) {
	for _, q := range []struct {
		key  string
		p    Protection
		high bool
	}{
		{"cell_v_high", p.CellVHigh, true},
		{"cell_v_low", p.CellVLow, false},
		{"cell_v_spread", p.CellVSpread, true},
		{"temp_high_c", p.TempHighC, true},
		{"temp_low_c", p.TempLowC, false},
		{"temp_spread_k", p.TempSpreadK, true},
		{"charge_a", p.ChargeA, true},
		{"discharge_a", p.DischargeA, true},
		{"soc_high_percent", p.SoCHigh, true},
		{"soc_low_percent", p.SoCLow, false},
	} {
		q.p.validate(f, "protect."+q.key, q.high)
	}
	for _, d := range []struct {
		key string
		d   Delays
	}{{"insulation", p.Insulation}, {"communication", p.Communication}, {"emergency_stop", p.EmergencyStop}} {
		if d.d.Delay < 0 || d.d.Recover < 0 {
			f.add("protect."+d.key, "has a delay below 0")
		}
	}
}

// validate demands levels that follow on one another, each cleared on its good side.
func (p *Protection) validate(f *faults, key string, high bool) {
	last := math.Inf(-1)
	for _, l := range []struct {
		key string
		t   *Threshold
	}{{"warning1", p.Warning1}, {"warning2", p.Warning2}, {"trip", p.Trip}} {
		if l.t == nil {
			continue
		}
		set, off := l.t.Set, l.t.Clear
		if !high {
			set, off = -set, -off
		}
		if !(off < set) || math.IsInf(set-off, 0) {
			f.add(key+"."+l.key+".clear", "is %g at a threshold of %g, want it on the good side", l.t.Clear, l.t.Set)
		}
		if !(set > last) {
			f.add(key+"."+l.key+".set", "is %g, want it beyond the level before", l.t.Set)
		}
		if l.t.Delay < 0 || l.t.Recover < 0 {
			f.add(key+"."+l.key, "has a delay below 0")
		}
		last = set
	}
}

// highestRackV is beyond the DC voltage of storage racks, in V.
const highestRackV = 1500

func (c *ContactorSet) validate(f *faults) {
	f.positive("contactor.match_v", c.MatchV)
	f.positive("contactor.precharge_ohm", c.PrechargeOhm)
	f.positive("contactor.bus_farad", c.BusFarad)
	f.atLeastZero("contactor.open_a", c.OpenA)
	for _, d := range []struct {
		key string
		d   Duration
	}{{"least", c.Least}, {"timeout", c.Timeout}, {"open_within", c.OpenWithin}} {
		if x := time.Duration(d.d); x < 0 || x > time.Minute {
			f.add("contactor."+d.key, "is %v, want 0s .. 1m", x)
		}
	}
	if c.LifeClosings < 0 || c.LifeHotOpenings < 0 {
		f.add("contactor", "has a life below 0")
	}
	// A bus comes up to the voltage of the rack less what flows through the bleeder.
	f.positive("contactor.bus_bleed_ohm", c.BusBleedOhm)
	share := c.BusBleedOhm / (c.BusBleedOhm + c.PrechargeOhm)
	short := highestRackV * (1 - share)
	if !(short < c.MatchV) {
		f.add("contactor.bus_bleed_ohm", "is %g: it keeps the bus %.3g V below a rack of %d V, and match_v is %g", c.BusBleedOhm, short, highestRackV, c.MatchV)
		return
	}
	need := c.PrechargeOhm * share * c.BusFarad * math.Log(highestRackV*share/(c.MatchV-short)) // s, an empty bus
	if t := time.Duration(c.Timeout); !(t.Seconds() > need) || c.Timeout <= c.Least {
		f.add("contactor.timeout", "is %v, but a bus from 0 to %d V takes %.2g s and least is %v", t, highestRackV, need, time.Duration(c.Least))
	}
}

func (b *BalanceSet) validate(f *faults) {
	f.positive("balance.ohm", b.Ohm)
	f.positive("balance.min_v", b.MinV)
	f.atLeastZero("balance.rest_a", b.RestA)
	if !(b.StopV >= 0 && b.StopV < b.StartV) {
		f.add("balance.stop_v", "is %g, want 0 or more and below start_v = %g", b.StopV, b.StartV)
	}
	if b.Window <= 0 || b.Window > b.Period {
		f.add("balance.window", "is %v, want above 0s and at most period", time.Duration(b.Window))
	}
}
