package risk

import (
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/market/order"
)

// Battery is what has to deliver. Its efficiency acts on charging.
type Battery struct {
	PowerKW    float64 `yaml:"power_kw" json:"power_kw" jsonschema:"required,exclusiveMinimum=0"`
	EnergyKWh  float64 `yaml:"energy_kwh" json:"energy_kwh" jsonschema:"required,exclusiveMinimum=0" doc:"That can be taken out."`
	Efficiency float64 `yaml:"efficiency" json:"efficiency" jsonschema:"exclusiveMinimum=0,maximum=1" doc:"What of the energy bought can be sold again."`
	StoredKWh  float64 `yaml:"stored_kwh" json:"stored_kwh" jsonschema:"minimum=0" doc:"At the begin of the first delivery."`
	// Hold is how long the whole of a capacity sold must be possible.
	Hold time.Duration `yaml:"hold" json:"-" doc:"How long the whole of a capacity sold must be possible."`
	// CalledUp and CalledDown are the parts of regulation that are called on average, 0..1.
	CalledUp   float64 `yaml:"called_up" json:"called_up,omitempty" jsonschema:"minimum=0,maximum=1" doc:"Part of regulation up that is called on average."`
	CalledDown float64 `yaml:"called_down" json:"called_down,omitempty" jsonschema:"minimum=0,maximum=1" doc:"Part of regulation down that is called on average."`
}

// Moves are the powers of a delivery, with what regulation calls on average, kW.
type Moves struct {
	In, Out float64 // of the battery, at the grid
	Given   float64 // by regulation, less what it takes
	// Of capacity, what is held ready by charging less or more, and by discharging.
	UpIn, UpOut, DownIn, DownOut float64
}

// Moves of a battery that trades kw (into it) and has sold regulation: up is given by charging
// less as far as it charges, down taken by discharging less as far as it discharges, as in
// market.Best.
func (b *Battery) Moves(kw, up, down float64) (m Moves) {
	charge, discharge := max(kw, 0), max(-kw, 0)
	m.UpIn, m.DownOut = min(up, charge), min(down, discharge)
	m.UpOut, m.DownIn = up-m.UpIn, down-m.DownOut
	m.In = charge - b.CalledUp*m.UpIn + b.CalledDown*m.DownIn
	m.Out = discharge + b.CalledUp*m.UpOut - b.CalledDown*m.DownOut
	m.Given = b.CalledUp*up - b.CalledDown*down
	return m
}

// Stores is what the moves add to what is stored, kW.
func (b *Battery) Stores(m Moves) float64 { return b.Efficiency*m.In - m.Out }

// Range is what a battery may hold at an instant, kWh, whatever trades.
type Range struct {
	At        time.Time
	Low, High float64
}

// slack is what rounding may leave, kWh.
const slack = 1e-6

// Envelope is between what bounds a battery is at the begin of each delivery and at its end, if of what
// may trade any part does: an order that takes any price trades for sure, another one may or may
// not. What is held trades for sure, too. length is that of a delivery of a product. The second
// result is the first delivery that cannot be kept, and why; empty where all can.
//
// Capacity sold has to be possible for the time of Hold from any instant of its delivery; of
// regulation what is called on average moves energy, of reserve nothing.
func (b *Battery) Envelope(held *Position, orders []order.Order, length func(order.Product) time.Duration) (ranges []Range, why string) {
	step := length(order.Energy)
	type sums struct{ sure, buy, sell, up, down, reserve float64 } // kW; buy and sell may trade
	by := map[int64]*sums{}
	var times []int64
	at := func(t time.Time) *sums {
		k := t.Unix()
		if by[k] == nil {
			by[k] = &sums{}
			times = append(times, k)
		}
		return by[k]
	}
	capacity := func(t time.Time, p order.Product, kw float64) {
		for k := t; k.Before(t.Add(length(p))); k = k.Add(step) {
			switch p {
			case order.RegDown:
				at(k).down += kw
			case order.RegUp:
				at(k).up += kw
			default:
				at(k).reserve += kw
			}
		}
	}
	for _, l := range held.Lines() {
		if l.Product == order.Energy {
			at(l.At).sure += float64(l.Net())
		} else {
			capacity(l.At, l.Product, -float64(l.Net()))
		}
	}
	for i := range orders {
		o := &orders[i]
		kw := float64(o.KW)
		switch {
		case o.Product != order.Energy:
			capacity(o.At, o.Product, kw)
		case o.Limit.IsAny() && o.Side == order.Buy:
			at(o.At).sure += kw
		case o.Limit.IsAny():
			at(o.At).sure -= kw
		case o.Side == order.Buy:
			at(o.At).buy += kw
		default:
			at(o.At).sell += kw
		}
	}
	slices.Sort(times)
	hours, hold := step.Hours(), b.Hold.Hours()
	low, high := b.StoredKWh, b.StoredKWh
	bad := func(t int64, format string, args ...any) {
		if why == "" {
			why = time.Unix(t, 0).UTC().Format(time.RFC3339) + ": " + fmt.Sprintf(format, args...)
		}
	}
	for i, t := range times {
		s := by[t]
		ranges = append(ranges, Range{time.Unix(t, 0).UTC(), low, high})
		most, least := s.sure+s.buy, s.sure-s.sell
		up := s.up + s.reserve
		if out := math.Max(most+s.down, up-least); out > b.PowerKW+slack {
			bad(t, "%.6g kW, of %.6g kW there are", out, b.PowerKW)
		}
		lean, rich := b.Moves(least, up, s.down), b.Moves(most, up, s.down)
		if need := hold * (b.Efficiency*lean.UpIn + lean.UpOut); low < need-slack && up > 0 {
			bad(t, "as little as %.6g kWh stored, where capacity up needs %.6g", low, need)
		}
		if room := b.EnergyKWh - hold*(b.Efficiency*rich.DownIn+rich.DownOut); high > room+slack && s.down > 0 {
			bad(t, "as much as %.6g kWh stored, where capacity down leaves no more than %.6g", high, room)
		}
		low += hours * b.Stores(b.Moves(least, s.up, s.down))
		high += hours * b.Stores(b.Moves(most, s.up, s.down))
		if low < -slack {
			bad(t, "%.6g kWh are short where what is bought with a limit is not awarded and what is sold is", -low)
		}
		if high > b.EnergyKWh+slack {
			bad(t, "%.6g kWh find no room where what is bought is awarded and what is sold with a limit is not", high-b.EnergyKWh)
		}
		if end := time.Unix(t, 0).UTC().Add(step); i+1 == len(times) || times[i+1] > end.Unix() {
			ranges = append(ranges, Range{end, low, high})
		}
	}
	return ranges, why
}
