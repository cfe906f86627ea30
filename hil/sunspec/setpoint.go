package sunspec

import (
	"math"
	"time"
)

// setter is a way to tell a device its power. Powers are kW, positive charges.
type setter interface {
	// points are what holds needs.
	points() []point
	// steps are the writes that make the device hold kw and take it back to 0 after
	// deadMan, in the order in which they must be made: what they do takes effect with
	// the last, or with the one that has the setpoint in it where a setpoint was in force
	// before. They are in the scale of the block as it was read last.
	steps(kw float64, deadMan time.Duration) ([]step, error)
	// holds is what the device holds, as it was read last; !on: no setpoint is in force.
	// NaN when it does not say.
	holds() (kw float64, on bool)
	// resolution is the smallest difference between two setpoints, kW.
	resolution() float64
	// revert is the point of the time to revert.
	revert() point
	// block has the points.
	block() *Block
	// guards are points that must hold these values, besides the time to revert, for kw to
	// be followed and taken back.
	guards(kw float64) []assignment
	// left is the point of the time that is left before the device reverts; the zero point
	// where the model has none.
	left() point
	// reverts is the power that the device goes back to then, kW, as it was read last; NaN
	// when it does not say.
	reverts() float64
}

// step is one write of points that follow each other.
type step struct {
	block *Block
	at    int // registers from the block's ID
	regs  []uint16
	power bool // it has the setpoint
}

// newSetter is the best way that the device has; nil: it has none.
func newSetter(d *Device) setter {
	if b := d.Block(704); b != nil && b.Value("WSetEna").OK() && !math.IsNaN(b.stepOf("WSet")) {
		return setter704{b}
	}
	if b := d.Block(124); b != nil && b.Value("StorCtl_Mod").OK() && b.Float("WChaMax") > 0 && !math.IsNaN(b.stepOf("InWRte")) {
		return setter124{b}
	}
	return nil
}

func (b *Block) stepOf(name string) float64 {
	f, ok := b.Field(name)
	if !ok || f.At+f.Size > len(b.Regs) {
		return math.NaN()
	}
	return b.Step(f)
}

func (b *Block) points(names ...string) (out []point) {
	for _, name := range names {
		if f, ok := b.Field(name); ok && f.At+f.Size <= len(b.Regs) {
			out = append(out, point{b, f})
		}
	}
	return out
}

// assignment is a value for a point.
type assignment struct {
	name  string
	value float64
	need  need
}

// need is what an assignment is good for.
type need uint8

const (
	must     need = iota
	wanted        // passed over where the device has not implemented the point
	setpoint      // a must, and the setpoint itself
)

// assign makes one write of points that follow each other, or several where one between
// them is not implemented.
func (b *Block) assign(list ...assignment) (out []step, err error) {
	for _, a := range list {
		f, ok := b.Field(a.name)
		if a.need == wanted && (!ok || !b.At(f).OK()) {
			continue
		}
		regs, err := b.Encode(f, a.value)
		if err != nil {
			return nil, err
		}
		if k := len(out) - 1; k >= 0 && out[k].at+len(out[k].regs) == f.At {
			out[k].regs = append(out[k].regs, regs...)
			out[k].power = out[k].power || a.need == setpoint
			continue
		}
		out = append(out, step{block: b, at: f.At, regs: regs, power: a.need == setpoint})
	}
	return out, nil
}

// sequence joins writes in their order.
func (b *Block) sequence(writes ...[]assignment) (out []step, err error) {
	for _, w := range writes {
		s, err := b.assign(w...)
		if err != nil {
			return nil, err
		}
		out = append(out, s...)
	}
	return out, nil
}

// seconds is a time to revert, at least one.
func seconds(d time.Duration) float64 { return max(math.Ceil(d.Seconds()), 1) }

// setter704 sets power in watts. AC power is counted positive when generated.
type setter704 struct{ b *Block }

func (s setter704) block() *Block { return s.b }

func (s setter704) guards(float64) []assignment {
	return []assignment{{"WSetEnaRvrt", enabled, wanted}}
}

func (s setter704) left() point { return pointOf(s.b, "WSetRvrtRem") }

// Of 704.WSetMod and the points that enable.
const (
	modeWatts = 1
	enabled   = 1
)

func (s setter704) points() []point {
	return s.b.points("WSetEna", "WSetMod", "WSet", "WSetRvrt", "WSetEnaRvrt", "WSetRvrtTms", "WSetRvrtRem")
}

func (s setter704) steps(kw float64, deadMan time.Duration) ([]step, error) {
	return s.b.sequence(
		[]assignment{{"WSetEnaRvrt", enabled, wanted}, {"WSetRvrtTms", seconds(deadMan), wanted}},
		[]assignment{{"WSetMod", modeWatts, wanted}, {"WSet", -1000 * kw, setpoint}, {"WSetRvrt", 0, wanted}},
		[]assignment{{"WSetEna", enabled, must}},
	)
}

func (s setter704) holds() (kw float64, on bool) {
	mode, enable := s.b.Value("WSetMod"), s.b.Value("WSetEna")
	if !enable.OK() {
		return math.NaN(), false
	}
	return 0 - s.b.Float("WSet")/1000, enable.Is(enabled) && (!mode.OK() || mode.Is(modeWatts)) // 0 is not -0
}

func (s setter704) resolution() float64 { return s.b.stepOf("WSet") / 1000 }

func (s setter704) revert() point { return pointOf(s.b, "WSetRvrtTms") }

func (s setter704) reverts() float64 { return 0 - s.b.Float("WSetRvrt")/1000 }

func pointOf(b *Block, name string) point {
	f, ok := b.Field(name)
	if !ok {
		return point{}
	}
	return point{b, f}
}

// setter124 sets power as a window of which both ends are the same, in percent of
// WChaMax: at most InWRte is charged and at most OutWRte discharged, and a negative rate
// of the one is at least as much of the other.
type setter124 struct{ b *Block }

func (s setter124) block() *Block { return s.b }

func (s setter124) guards(kw float64) []assignment {
	if kw <= 0 { // discharging needs no permission to charge
		return nil
	}
	return []assignment{{"ChaGriSet", fromGrid, wanted}}
}

func (s setter124) left() point { return point{} }

// Of 124.StorCtl_Mod and ChaGriSet.
const (
	controlBoth = 1<<0 | 1<<1 // charge and discharge
	fromGrid    = 1
)

func (s setter124) points() []point {
	return s.b.points("WChaMax", "StorCtl_Mod", "OutWRte", "InWRte", "InOutWRte_RvrtTms", "ChaGriSet")
}

func (s setter124) steps(kw float64, deadMan time.Duration) ([]step, error) {
	rate := 100 * 1000 * kw / s.b.Float("WChaMax")
	return s.b.sequence(
		[]assignment{{"InOutWRte_RvrtTms", seconds(deadMan), wanted}},
		[]assignment{{"ChaGriSet", fromGrid, wanted}},
		[]assignment{{"OutWRte", -rate, setpoint}, {"InWRte", rate, setpoint}},
		[]assignment{{"StorCtl_Mod", controlBoth, must}},
	)
}

func (s setter124) holds() (kw float64, on bool) {
	in, out, mode := s.b.Float("InWRte"), s.b.Float("OutWRte"), s.b.Value("StorCtl_Mod")
	if !mode.OK() {
		return math.NaN(), false
	}
	return in / 100 * s.b.Float("WChaMax") / 1000, mode.Is(controlBoth) && in == -out
}

func (s setter124) resolution() float64 {
	return s.b.stepOf("InWRte") / 100 * s.b.Float("WChaMax") / 1000
}

func (s setter124) revert() point { return pointOf(s.b, "InOutWRte_RvrtTms") }

func (s setter124) reverts() float64 { return math.NaN() }
