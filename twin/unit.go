package twin

import (
	"math"
	"time"

	"yunchu/twin/aging"
	"yunchu/twin/bms"
	"yunchu/twin/cell"
	"yunchu/twin/kernel"
	"yunchu/twin/pcs"
	"yunchu/twin/thermal"
)

// Mode is what a unit has been told to be.
type Mode uint8

// Run follows setpoints. Standby and Maintenance hold AC power at zero, where only
// the standby loss is drawn. Fault has its contactor open: nothing flows.
const (
	Run Mode = iota
	Standby
	Maintenance
	Fault
)

func (m Mode) String() string {
	return [...]string{"run", "standby", "maintenance", "fault"}[min(m, Fault)]
}

// Limit names the limit that kept a unit from its setpoint in the last step.
type Limit uint8

// The limits, in the order a later one overrides an earlier one.
const (
	LimitNone Limit = iota
	LimitPower
	LimitCurrent
	LimitTempHigh
	LimitTempLow
	LimitSoCHigh
	LimitSoCLow
	LimitVHigh
	LimitVLow
	LimitContactor // no string is connected
)

func (l Limit) String() string {
	return [...]string{"", "power", "current", "temp-high", "temp-low", "soc-high", "soc-low", "v-high", "v-low", "contactor"}[min(l, LimitContactor)]
}

// Energy is the book of a unit since its start, in J. All entries but StoredJ,
// EntropicJ and ResidualJ only grow.
type Energy struct {
	ACInJ     float64 // drawn at the AC terminals
	ACOutJ    float64 // delivered at the AC terminals
	DCInJ     float64 // put into the battery
	DCOutJ    float64 // taken from the battery
	PCSLossJ  float64 // lost in the converter while it moved power
	StandbyJ  float64 // standby power of the converter
	StoredJ   float64 // integral of U_a dq over all cells
	HeatJ     float64 // made by overpotentials and shorts
	EntropicJ float64 // integral of I*T*dU/dT: reversible heat, not part of HeatJ
	ResidualJ float64 // sum over steps of |AC - losses - stored - heat|: rounding, else a fault of the model
	AuxJ      float64 // electric energy of cooling and heating, auxiliaries and the transformer's loss: not part of the unit's own power
	RefusedJ  float64 // magnitude of what voltage and state of charge took off the AC energy asked for
}

// BalanceError is ResidualJ over all energy that moved: 0 in a perfect model with
// perfect arithmetic.
func (e Energy) BalanceError() float64 {
	if moved := e.ACInJ + e.ACOutJ + e.DCInJ + e.DCOutJ + e.HeatJ; moved > 0 {
		return e.ResidualJ / moved
	}
	return 0
}

// unit is one storage unit: value type, no pointers but to shared models.
type unit struct {
	cell cell.Cell
	pack *pack // the battery cell by cell, instead of cell; nil for a lumped one
	room *room // the container around the pack; nil without
	pcs  pcs.State
	book Energy

	ac     float64 // W, AC power at the end of the last step
	acMean float64 // W, over the last step
	aux    float64 // W, over the last step, see Energy.AuxJ
	amps   float64 // A, per cell at the end of the last step
	loaded float64 // K, of a lumped unit when the power of the last step was decided
	limit  Limit
	mode   Mode

	base  cell.Scatter // as drawn
	drift cell.Scatter // what faults have made of capacity and resistance, as factors
	aged  cell.Scatter // what age has made of them

	lives  []life  // how old the cells are; nil where they do not age
	unaged float64 // s since the last look at it

	cut       bool    // its contactors are to be open
	tripped   bool    // without a battery management: the emergency stop was pressed
	told      bms.Set // causes to trip that are there
	fanFailed bool    //
	shortOhm  float64 // internal short of every cell, 0 without
	hotK      float64 // K, surroundings forced by a fault, 0 without
}

// design is what all units of a fleet share.
type design struct {
	pcs        pcs.Params
	limits     limits
	cells      float64 // series * parallel
	perCell    float64 // 1/cells
	series     float64
	parallel   float64
	capacity   float64 // J/K per cell
	toAmbient  float64 // W/K per cell, fans running
	fanFailure float64 // share of toAmbient left without fans
	ambientK   float64
	reactive   float64            // var, beside every setpoint
	places     []kernel.Place     // of the cells of a string
	station    *station           // between converter and grid, nil without
	container  *thermal.Container // around the strings, nil without
	bms        *bms.Params        // of the strings, nil without
	racks      bms.UnitParams     // of all of them together
	link       bms.Link           // behind their contactors
	level      *bms.Balance       // of their cells, nil without
	fire       *fire              // of cells too hot, nil where they have no kinetics
	aging      *aging.Model       // nil where cells do not age
}

// tick is one step of the whole fleet.
type tick struct {
	from, to time.Duration
	dt, perS float64 // s, 1/s
	cell     cell.Tick
	heat     heat // fans running
	fanless  heat
	pack     kernel.Tick // for units of single cells
}

// heat is what half a step and a whole one do to the temperature of a cell.
type heat struct{ half, full thermal.Step }

func newHeat(capacity, conductance, dt float64) heat {
	return heat{half: thermal.NewStep(capacity, conductance, dt/2), full: thermal.NewStep(capacity, conductance, dt)}
}

// slack is how far past a limit a step may end before it is taken back: below
// what anybody can measure, above rounding.
const slack = 1e-12

// step moves u through k.
func (d *design) step(u *unit, k *tick) {
	if u.pack != nil {
		d.stepPack(u, k)
	} else {
		d.stepLumped(u, k)
	}
	if u.lives != nil {
		d.grow(u, k.dt)
	}
}

// stepLumped moves a unit of one representative cell through k.
func (d *design) stepLumped(u *unit, k *tick) {
	if u.open() {
		d.idle(u, k)
		return
	}
	tempK := u.cell.TempK()
	u.loaded = tempK
	lo, hi := d.acRange(u)
	if u.mode != Run {
		lo, hi = 0, 0
	}
	var ac pcs.Flow
	if d.pcs.Surface != nil || d.pcs.Capability != nil {
		u.pcs.DCVolt, u.pcs.AirK = u.cell.Voltage(u.amps)*d.series, d.ambientK
	}
	d.pcs.Advance(&u.pcs, k.from, k.to, lo, hi, &ac)
	asked := ac.ACJ()
	u.limit = LimitNone
	switch {
	case !ac.Bound:
	case ac.By != pcs.BoundRange: // what the converter itself is not able to do
		u.limit = LimitPower
	default:
		u.limit = d.powerLimit(u, tempK)
	}

	p, i := ac.DCJ()*k.perS*d.perCell, u.amps
	before := u.cell.State()
	if !ac.Steady {
		i = u.cell.Current(p)
	}
	var flow cell.Flow
	d.power(u, p, i, k, &flow)
	if d.outside(&u.cell, flow.CurrentA) {
		u.cell.SetState(before)
		u.limit = d.bind(u, flow.InnerA, k, &flow)
		d.pcs.ConstantAt(flow.PowerW*d.cells, k.dt, d.pcs.At(&u.pcs), &ac)
	}
	d.end(u)
	d.post(u, &ac, &flow, k.dt)
	u.book.RefusedJ += math.Abs(asked - ac.ACJ())
	u.acMean = ac.ACJ() * k.perS
}

// idle is a step with the contactor open.
func (d *design) idle(u *unit, k *tick) {
	u.pcs.PowerW = 0
	u.loaded = u.cell.TempK()
	var flow cell.Flow
	d.power(u, 0, 0, k, &flow)
	d.post(u, &pcs.Flow{}, &flow, k.dt)
	u.ac, u.acMean, u.amps, u.limit = 0, 0, 0, LimitNone
}

// power steps the cell and its heat with p watt per cell; i is the current that
// takes at the start.
func (d *design) power(u *unit, p, i float64, k *tick, flow *cell.Flow) {
	c := &u.cell
	h, env := d.surroundings(u, k)
	t := c.TempK()
	c.StepPower(p, i, h.half.Next(t, env, c.Heat(i)), &k.cell, flow)
	c.SetTemp(h.full.Next(t, env, flow.HeatW))
}

// inner steps the cell and its heat with i ampere through the cell itself.
func (d *design) inner(u *unit, i float64, k *tick, flow *cell.Flow) {
	c := &u.cell
	h, env := d.surroundings(u, k)
	t := c.TempK()
	c.StepInner(i, h.half.Next(t, env, c.InnerHeat(i)), &k.cell, flow)
	c.SetTemp(h.full.Next(t, env, flow.HeatW))
}

// surroundings is how u loses heat in step k and to what temperature in K.
func (d *design) surroundings(u *unit, k *tick) (h *heat, env float64) {
	h, env = &k.heat, d.ambientK
	if u.fanFailed {
		h = &k.fanless
	}
	if u.hotK > 0 {
		env = u.hotK
	}
	return h, env
}

// end settles what the terminals show at the end of a step: the power the
// converter has reached, or what of it the battery can take.
func (d *design) end(u *unit) {
	if u.open() {
		u.ac, u.amps = 0, 0
		return
	}
	c := &u.cell
	u.ac = u.pcs.PowerW
	p := d.pcs.DCAt(u.ac, d.pcs.At(&u.pcs)) * d.perCell
	u.amps = c.Current(p)
	var limit Limit
	v := c.Voltage(u.amps)
	switch l := &d.limits; {
	case p > 0 && c.SoC() >= l.soc.Max-slack:
		u.amps, limit = 0, LimitSoCHigh
	case p < 0 && c.SoC() <= l.soc.Min+slack:
		u.amps, limit = 0, LimitSoCLow
	case p > 0 && v > l.volt.Max:
		u.amps, limit = max(c.CurrentAtVoltage(l.volt.Max), 0), LimitVHigh
	case p < 0 && (v < l.volt.Min || p < c.MinPower()):
		u.amps, limit = min(c.CurrentAtVoltage(l.volt.Min), 0), LimitVLow
	default:
		return
	}
	u.limit = limit
	u.ac = d.pcs.ACAt(u.amps*c.Voltage(u.amps)*d.cells, d.pcs.At(&u.pcs))
	// The converter goes on from what it really delivers.
	if u.ac*u.pcs.PowerW <= 0 {
		u.pcs.PowerW = 0
	} else if math.Abs(u.ac) < math.Abs(u.pcs.PowerW) {
		u.pcs.PowerW = u.ac
	}
}

// post enters a step into the book.
func (d *design) post(u *unit, ac *pcs.Flow, flow *cell.Flow, dt float64) {
	if d.station != nil {
		d.besides(u, ac, dt)
	}
	b, n := &u.book, d.cells*dt
	b.ACInJ += ac.InJ
	b.ACOutJ += ac.OutJ
	b.PCSLossJ += ac.LossJ
	b.StandbyJ += ac.StandbyJ
	if dc := flow.PowerW * n; dc > 0 {
		b.DCInJ += dc
	} else {
		b.DCOutJ -= dc
	}
	stored, heat, entropic := flow.StoredW*n, (flow.HeatW-flow.EntropicW)*n, flow.EntropicW*n
	b.StoredJ += stored
	b.HeatJ += heat
	b.EntropicJ += entropic
	b.ResidualJ += math.Abs(ac.DCJ() - stored - heat)
}
