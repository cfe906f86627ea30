package device

import (
	"errors"
	"fmt"
	"math"
)

// Limits bound what a device may be asked for, beside what it says of itself. They have
// one form in files, in the API and in the log. What is zero bounds nothing.
type Limits struct {
	CapKW       float64 `json:"cap_kw,omitempty" minimum:"0" maximum:"1e9" doc:"most power in either direction, kW"`
	RampKWPerS  float64 `json:"ramp_kw_per_s,omitempty" minimum:"0" maximum:"1e9" doc:"most that its setpoint may change within a second, kW/s"`
	SoC         Span    `json:"soc_percent,omitzero" doc:"no discharging at or below the first, no charging at or above the second, percent"`
	Voltage     Span    `json:"voltage_v,omitzero" doc:"the same by its DC voltage, V"`
	Temperature Span    `json:"temperature_c,omitzero" doc:"no charging at or below the first, no power at or above the second, °C"`
}

// Span is a window from its first number to its second. Zero is none.
type Span [2]float64

// Set reports whether there is a window.
func (s Span) Set() bool { return s != Span{} }

// Within is the part of s that lies in o. Of windows that do not meet none is left: its
// first number lies above its second, which allows nothing.
func (s Span) Within(o Span) Span {
	switch {
	case !o.Set():
		return s
	case !s.Set():
		return o
	}
	both := Span{max(s[0], o[0]), min(s[1], o[1])}
	if !both.Set() { // they meet at 0 alone, which must not read as no window
		both[1] = math.Nextafter(0, -1)
	}
	return both
}

// Within are the tighter limits of l and o.
func (l Limits) Within(o Limits) Limits {
	return Limits{
		CapKW: tighter(l.CapKW, o.CapKW), RampKWPerS: tighter(l.RampKWPerS, o.RampKWPerS),
		SoC: l.SoC.Within(o.SoC), Voltage: l.Voltage.Within(o.Voltage), Temperature: l.Temperature.Within(o.Temperature),
	}
}

// tighter is the lower of two bounds of which 0 is none.
func tighter(a, b float64) float64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Window is what a window of Limits may be: where it lies, and how wide it is at least,
// so that what is blocked at one edge can come back before it meets the other.
type Window struct {
	Key      string
	Low, Top float64 // both allowed
	Least    float64 // width
	Unit     string
}

// Windows are those of Limits, in the order of their fields.
var Windows = [...]Window{
	{"soc_percent", 0, 100, 1, "percent"},
	{"voltage_v", 0, 10_000, 1, "V"},
	{"temperature_c", -40, 100, 5, "°C"},
}

func (l *Limits) windows() [len(Windows)]Span { return [...]Span{l.SoC, l.Voltage, l.Temperature} }

// Fault says what is wrong with a window and how it is written, "" for nothing.
func (w *Window) Fault(s Span) (fault, hint string) {
	switch {
	case s == Span{}, !(s[0] < s[1]): // neither does NaN
		return fmt.Sprintf("[%g, %g] is empty", s[0], s[1]), "the first number lies below the second"
	case s[0] < w.Low || s[1] > w.Top:
		return fmt.Sprintf("[%g, %g] is out of range", s[0], s[1]), fmt.Sprintf("it lies from %g to %g %s", w.Low, w.Top, w.Unit)
	case s[1]-s[0] < w.Least:
		return fmt.Sprintf("[%g, %g] is too narrow to keep a device in", s[0], s[1]), fmt.Sprintf("make it at least %g %s wide", w.Least, w.Unit)
	}
	return "", ""
}

// Validate returns all that is wrong with l.
func (l Limits) Validate() error {
	var errs []error
	for _, x := range [...]struct {
		key   string
		value float64
	}{{"cap_kw", l.CapKW}, {"ramp_kw_per_s", l.RampKWPerS}} {
		if !(x.value >= 0) || math.IsInf(x.value, 0) {
			errs = append(errs, fmt.Errorf("%s %g is no bound: it is more than 0", x.key, x.value))
		}
	}
	for i, s := range l.windows() {
		if fault, hint := Windows[i].Fault(s); s.Set() && fault != "" {
			errs = append(errs, fmt.Errorf("%s %s: %s", Windows[i].Key, fault, hint))
		}
	}
	return errors.Join(errs...)
}

// OwnWindows are those that a device tells of itself with a reading, from its battery
// management; an edge that it does not tell is NaN.
type OwnWindows struct{ SoC, Voltage, Temperature Span }

// Untold are windows of which nothing is told.
func Untold() OwnWindows {
	none := Span{math.NaN(), math.NaN()}
	return OwnWindows{none, none, none}
}

// Edges are the edges in one order: the lower and the upper of each.
func (w *OwnWindows) Edges() [6]*float64 {
	return [...]*float64{&w.SoC[0], &w.SoC[1], &w.Temperature[0], &w.Temperature[1], &w.Voltage[0], &w.Voltage[1]}
}

// Told is w for a reading: nil where it tells nothing. A window from 0 to 0 is one that
// nobody has filled in.
func (w OwnWindows) Told() *OwnWindows {
	for _, s := range []*Span{&w.SoC, &w.Temperature, &w.Voltage} {
		if s[0] == 0 && s[1] == 0 {
			*s = Span{math.NaN(), math.NaN()}
		}
	}
	for _, x := range w.Edges() {
		if !math.IsNaN(*x) {
			return &w
		}
	}
	return nil
}

// Wider names the first of l that allows more than o does; "" when none does.
func (l Limits) Wider(o Limits) string {
	for _, x := range [...]struct {
		key      string
		asked, o float64
	}{{"cap_kw", l.CapKW, o.CapKW}, {"ramp_kw_per_s", l.RampKWPerS, o.RampKWPerS}} {
		if x.o != 0 && x.asked > x.o {
			return fmt.Sprintf("%s %g is more than %g", x.key, x.asked, x.o)
		}
	}
	theirs := o.windows()
	for i, s := range l.windows() {
		if w := theirs[i]; s.Set() && w.Set() && (s[0] < w[0] || s[1] > w[1]) {
			return fmt.Sprintf("%s [%g, %g] is wider than [%g, %g]", Windows[i].Key, s[0], s[1], w[0], w[1])
		}
	}
	return ""
}

// usual is the window of temperature of a device of which nobody has said one: 0 °C is the
// usual lower bound for charging lithium iron phosphate cells, 60 °C the usual upper bound
// of use.
var usual = Span{0, 60}

// Configured are the limits that the operator's configuration sets, with the usual window
// of temperature where it says none. Nobody else can widen them.
func (i *Info) Configured() Limits {
	l := i.Limits
	if !l.Temperature.Set() {
		l.Temperature = usual
	}
	return l
}

// Acting are the limits that act: the tightest of what the configuration says, what the
// API has asked for and what the device says of itself.
func (i *Info) Acting() Limits {
	l := i.Configured().Within(i.Narrowed)
	l.SoC = i.ChargeWindow()
	if i.VoltMin > 0 || i.VoltMax > 0 {
		own := Span{i.VoltMin, i.VoltMax}
		if own[1] == 0 {
			own[1] = math.MaxFloat64
		}
		l.Voltage = l.Voltage.Within(own)
	}
	return l
}

// Cap is the most power that the device may be asked for in either direction, kW, rating
// and cap together.
func (i *Info) Cap() float64 {
	kw := i.RatedKW
	for _, c := range [...]float64{i.Limits.CapKW, i.Narrowed.CapKW} {
		if c > 0 {
			kw = min(kw, c)
		}
	}
	return kw
}

// ChargeWindow is where its state of charge is kept, percent: the whole range where
// nobody says a window.
func (i *Info) ChargeWindow() Span {
	own := Span{i.SoCMin, i.SoCMax}
	if own[1] == 0 {
		own[1] = 100
	}
	return own.Within(i.Limits.SoC).Within(i.Narrowed.SoC)
}
