package metric

import (
	"math"

	"yunchu/platform/settle"
)

// Config is what a run knows before it starts. Its numbers scale ratios and
// histograms; none of them is a limit.
type Config struct {
	RatedKW      float64 // rated power of the whole fleet
	RegulationKW float64 // capability assigned to regulation; 0: RatedKW
	Devices      int
	Shadows      int      // devices with a shadow beside them
	Units        []Device // by device, in the order of samples; nil: nothing is known of them
	DurationS    float64  // expected length of the run; only saves allocation
}

// Sample is the state of the run at T, the end of a step of DT seconds. NaN is
// a number nobody knows, a nil slice one nobody asked. The slices are one entry
// per device, always in the same order, and are not kept.
type Sample struct {
	T, DT       float64 // s since the start; DT 0 is the state before the first step
	TargetKW    float64 // in force during the step; NaN: none
	AskedKW     float64 // what is asked for from T on, which a meter sees together with the power at T; NaN: nothing
	PowerKW     float64 // delivered: the sum over all units, faulted or not
	ImportKW    float64 // at the grid meter of the site; NaN: no site
	PricePerKWh float64 // of energy during the step; NaN: not known
	StoredKWh   float64 // energy held by all batteries; NaN: unknown
	// Drawn and delivered, both >= 0, means over the step: sums over units and instants,
	// so of a unit that turns within the step both count. Both 0: as UnitKW says at T.
	InKW, OutKW float64

	SoC    []float64 // percent
	TempC  []float64
	UnitKW []float64

	// Of twins, and only where a score asks for them; else nil.
	CellMinV, CellMaxV []float64
	SoH, Resistance    []float64 // percent of the new cells
	AuxKWh             float64   // of cooling and heating, since the start
	Burnt              int       // cells whose separator has failed, since the start
}

// Recovery is how one fault ended.
type Recovery struct {
	Label string
	EndS  float64 // when the fault ended
	TimeS float64 // until |error| ≤ 2 % of rated for 5 s, counted to the beginning of those; NaN: not seen

	since float64 // begin of the current stay within the band, NaN outside
}

const (
	recoveryBand  = 0.02 // of rated power
	recoveryHoldS = 5
	// A device changes direction when it crosses zero by more than this part of
	// its rating, so that ripple around zero is not flapping.
	directionBand = 0.01
)

// Collector gathers everything a run is scored with. Feed it from one
// goroutine; the [Load] of a load generator may be filled elsewhere and merged.
type Collector struct {
	cfg Config

	soc, temp, power, site      *Dist
	excess                      *Dist
	cellV, soh, resistance      *Dist
	command, sync, back, jitter *Dist

	time     float64 // s with a target in force
	error2   float64 // ∫ error² dt, kW²·s
	error2s  series
	asked    float64 // ∫ |target| dt, kW·s
	answered float64 // ∫ delivered in the asked direction, at most what was asked, dt, kW·s

	in, out       float64 // kWh
	energyS       float64 // s
	stored        [2]float64
	aux           float64 // kWh, NaN: unknown
	burnt         int
	first, last   float64 // T of the first and last sample
	n             int64
	maxDT         float64
	signs         []int8
	changes       int64
	directionS    float64
	signal, reply []float64 // every 10 s, in parts of the regulation capability
	gap           bool      // a 10 s instant was stepped over
	agc           settle.Watch
	adjustments   series
	recoveries    []Recovery
	money         money

	guardChecks, violations int64
	acked, lost             int64
	alarms                  int64
	deviceSeconds, good     int64
	simS, wallS             float64
	loads                   []*Load
	names                   []string
}

// New makes a collector for one run.
func New(c Config) *Collector {
	if c.RegulationKW == 0 {
		c.RegulationKW = c.RatedKW
	}
	// A little beyond the rating; where none is known the histogram finds its range.
	span := func(kw float64) float64 {
		if !(kw > 0) {
			return 100
		}
		return 1.25 * kw
	}
	nan := math.NaN()
	pts := int(min(max(c.DurationS, 0), 366*86400)/settle.PJMPeriodS) + 2
	return &Collector{
		cfg:   c,
		soc:   NewRange(0, 100),
		temp:  NewRange(-50, 150),
		cellV: NewRange(0, 5), soh: NewRange(0, 100), resistance: NewRange(100, 300),
		power: NewRange(-span(c.RatedKW), span(c.RatedKW)), site: NewRange(-span(c.RatedKW), span(c.RatedKW)),
		command: NewLatency(), sync: NewLatency(), back: NewLatency(), jitter: NewLatency(),
		stored: [2]float64{nan, nan},
		aux:    nan, excess: NewRange(0, span(c.RatedKW)),
		signs:  make([]int8, c.Devices),
		signal: make([]float64, 0, pts), reply: make([]float64, 0, pts),
		agc:        settle.NewWatch(settle.Hunan.Counting, c.RatedKW),
		recoveries: make([]Recovery, 0, 64),
		money:      newMoney(c.Units),
	}
}

// Step records the state at the end of a step. Samples come in order of T; the
// first should be the state before the run with DT 0, without which the stored
// energy at the start, and so the efficiency, is unknown.
func (c *Collector) Step(s Sample) {
	if c.n == 0 {
		c.first = s.T - s.DT
		if s.DT == 0 {
			c.stored[0] = s.StoredKWh
		}
	}
	c.n++
	c.last = s.T
	c.maxDT = max(c.maxDT, s.DT)
	c.stored[1] = s.StoredKWh

	if s.SoC != nil {
		c.soc.AddAll(s.SoC)
	}
	if s.TempC != nil {
		c.temp.AddAll(s.TempC)
	}
	c.cells(&s)
	c.burnt = s.Burnt
	if s.ImportKW == s.ImportKW {
		c.site.Add(s.ImportKW)
	}
	if s.PowerKW == s.PowerKW {
		c.power.Add(s.PowerKW)
	}
	in, out := max(s.PowerKW, 0), max(-s.PowerKW, 0)
	if s.UnitKW != nil {
		in, out = c.units(s.UnitKW)
		if s.InKW != 0 || s.OutKW != 0 {
			in, out = s.InKW, s.OutKW
		}
		c.directionS += s.DT
	}
	if sum := in + out; sum == sum {
		c.in += in * s.DT / 3600
		c.out += out * s.DT / 3600
		c.energyS += s.DT
	}
	c.money.earn((in-out)*s.DT/3600, s.DT, s.PricePerKWh)
	c.money.hold(s.SoC)
	c.money.use(s.SoC)
	c.track(s)
}

// cells records what twins tell of their cells.
func (c *Collector) cells(s *Sample) {
	if s.CellMinV != nil {
		c.cellV.AddAll(s.CellMinV)
		c.cellV.AddAll(s.CellMaxV)
	}
	if s.SoH != nil {
		c.soh.AddAll(s.SoH)
		c.resistance.AddAll(s.Resistance)
		c.aux = s.AuxKWh
	}
}

// units sums charging and discharging power, and counts changes of direction.
func (c *Collector) units(kw []float64) (in, out float64) {
	if len(c.signs) < len(kw) {
		c.signs = append(c.signs, make([]int8, len(kw)-len(c.signs))...)
	}
	equal := c.cfg.RatedKW / float64(max(c.cfg.Devices, 1))
	signs := c.signs[:len(kw)]
	for i, p := range kw {
		rated := equal
		if i < len(c.cfg.Units) && c.cfg.Units[i].RatedKW > 0 {
			rated = c.cfg.Units[i].RatedKW
		}
		var sign int8
		if p > 0 {
			in += p
			sign = 1
		} else if p < 0 {
			out -= p
			p = -p
			sign = -1
		}
		if p > directionBand*rated && sign != signs[i] {
			if signs[i] != 0 {
				c.changes++
			}
			signs[i] = sign
		}
	}
	return in, out
}

// track records how the target was followed.
func (c *Collector) track(s Sample) {
	e := s.PowerKW - s.TargetKW
	if e == e && s.DT > 0 {
		c.time += s.DT
		c.error2 += e * e * s.DT
		c.error2s.add(e * e)
		asked := math.Abs(s.TargetKW)
		c.asked += asked * s.DT
		c.answered += min(max(s.PowerKW*math.Copysign(1, s.TargetKW), 0), asked) * s.DT
	}
	if a, ok := c.agc.Step(s.T, s.DT, s.TargetKW, s.PowerKW); ok {
		c.adjustments.add(settle.Hunan.K(a))
	}
	// A tenth of a millisecond forgives the rounding of k·dt.
	if next := float64(len(c.signal)) * settle.PJMPeriodS; s.T-c.first >= next-1e-4 {
		c.gap = c.gap || s.T-c.first >= next+settle.PJMPeriodS-1e-4
		c.signal = append(c.signal, s.AskedKW/c.cfg.RegulationKW)
		c.reply = append(c.reply, s.PowerKW/c.cfg.RegulationKW)
	}
	for i := range c.recoveries {
		r := &c.recoveries[i]
		if r.TimeS == r.TimeS || s.T < r.EndS {
			continue
		}
		if !(math.Abs(e) <= recoveryBand*c.cfg.RatedKW) {
			r.since = math.NaN()
			continue
		}
		if r.since != r.since {
			r.since = s.T
		}
		if s.T-r.since >= recoveryHoldS-1e-6 {
			r.TimeS = r.since - r.EndS
		}
	}
}

// Excess records by how much the worst of the limits of groups is passed, kW; 0 where none is.
func (c *Collector) Excess(kw float64) { c.excess.Add(kw) }

// FaultEnded starts the measurement of a recovery at t seconds.
func (c *Collector) FaultEnded(t float64, label string) {
	c.recoveries = append(c.recoveries, Recovery{Label: label, EndS: t, TimeS: math.NaN(), since: math.NaN()})
}

// Recoveries are the faults that ended, in order.
func (c *Collector) Recoveries() []Recovery { return c.recoveries }

// CommandLatency records the time from issued to acknowledged.
func (c *Collector) CommandLatency(ms float64) { c.command.Add(ms) }

// SyncDelay records the time from a reading's own time until it was visible.
// Back-filled readings, which waited out a broken link, are counted apart.
func (c *Collector) SyncDelay(ms float64, backfill bool) {
	if backfill {
		c.back.Add(ms)
		return
	}
	c.sync.Add(ms)
}

// SyncDelays adds delays that were measured elsewhere, ms.
func (c *Collector) SyncDelays(d *Dist) { c.sync.Merge(d) }

// ControlJitter records how far a control cycle began from its instant.
func (c *Collector) ControlJitter(ms float64) { c.jitter.Add(math.Abs(ms)) }

// Guard records that so many commands were held against the safety envelope
// and how many acts outside it were found.
func (c *Collector) Guard(checked, violations int64) {
	c.guardChecks += checked
	c.violations += violations
}

// Diverged records that a shadow has named a divergence.
func (c *Collector) Diverged() { c.alarms++ }

// Data records how many acknowledged readings were looked for in the history,
// and how many of them were not there.
func (c *Collector) Data(acked, lost int64) {
	c.acked += acked
	c.lost += lost
}

// Available records, once a second of the run's own time, how many devices
// there are and how many had a good reading younger than three periods.
func (c *Collector) Available(good, devices int64) {
	c.good += good
	c.deviceSeconds += devices
}

// Speed records simulated and wall-clock seconds of the whole run.
func (c *Collector) Speed(simS, wallS float64) { c.simS, c.wallS = simS, wallS }

// Load is the load generator of that name, made at the first call.
func (c *Collector) Load(name string) *Load {
	for i, n := range c.names {
		if n == name {
			return c.loads[i]
		}
	}
	l := NewLoad()
	c.names = append(c.names, name)
	c.loads = append(c.loads, l)
	return l
}

// Dist is the distribution behind a metric, nil where there is none. The
// back-filled readings of sync.delay_ms are "sync.delay_ms.backfill".
func (c *Collector) Dist(name string) *Dist {
	switch name {
	case "fleet.soc":
		return c.soc
	case "fleet.temperature_c":
		return c.temp
	case "fleet.power_kw":
		return c.power
	case "fleet.cell_voltage_v":
		return c.cellV
	case "fleet.soh_percent":
		return c.soh
	case "fleet.resistance_percent":
		return c.resistance
	case "site.import_kw":
		return c.site
	case "limit.excess_kw":
		return c.excess
	case "command.latency_ms":
		return c.command
	case "sync.delay_ms":
		return c.sync
	case "sync.delay_ms.backfill":
		return c.back
	case "control.jitter_ms":
		return c.jitter
	}
	if l, field := c.load(name); l != nil && field == "latency_ms" {
		return l.latency
	}
	return nil
}
