package metric

import (
	"fmt"
	"math"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
)

// money is what a run has earned and worn.
type money struct {
	revenue float64 // currency: discharged less charged, at the price of the moment
	priced  float64 // s with a price and a power
	prices  []priced

	units       []Device
	first, last float64 // kWh in all devices by their state of charge; NaN: of some it is not known
	wear        []worn  // by device; of one without steps it stays empty
	cost        float64
}

// priced is a stretch of time at one price.
type priced struct {
	s, perKWh float64
}

// Device is what is known of one device before the run.
type Device struct {
	RatedKW        float64 // 0: an equal part of the fleet's
	CapacityKWh    float64
	SoCMin, SoCMax float64     // percent; SoCMax 0: 100
	Wear           device.Wear // nil: not known
}

// worn follows how deep a device is used. Half of a cycle's cost is that of taking energy out, half that of
// putting it in: what is open at the end of a run has been paid for half.
type worn struct {
	charge, room dispatch.Stack
	soc          float64 // 0..1; NaN before the first sample
}

// earn takes the energy of a step at its price, kWh into the fleet.
func (m *money) earn(kwh, dt, pricePerKWh float64) {
	if x := kwh * pricePerKWh; x == x && dt > 0 {
		m.revenue -= x
		m.priced += dt
	}
	if dt <= 0 {
		return
	}
	if n := len(m.prices); n > 0 && m.prices[n-1].perKWh == pricePerKWh {
		m.prices[n-1].s += dt
		return
	}
	m.prices = append(m.prices, priced{dt, pricePerKWh})
}

// hold takes what is stored at the end of a step.
func (m *money) hold(soc []float64) {
	sum := math.NaN()
	if len(soc) == len(m.units) {
		sum = 0
		for i := range m.units {
			sum += m.units[i].CapacityKWh * soc[i] / 100
		}
	}
	if m.last = sum; m.first != m.first {
		m.first = sum
	}
}

// use takes the states of charge at the end of a step, percent.
func (m *money) use(soc []float64) {
	if m.wear == nil {
		return
	}
	for i := range m.units {
		u, w := &m.units[i], &m.wear[i]
		if len(u.Wear) == 0 || i >= len(soc) || !(soc[i] >= 0 && soc[i] <= 100) {
			continue
		}
		x := soc[i] / 100
		if math.IsNaN(w.soc) {
			*w = worn{dispatch.NewStack(u.Wear, x), dispatch.NewStack(u.Wear, 1-x), x}
			continue
		}
		switch d := x - w.soc; {
		case d > 0:
			m.cost += w.room.Take(d) / 2 * u.CapacityKWh
			w.charge.Fill(d)
		case d < 0:
			m.cost += w.charge.Take(-d) / 2 * u.CapacityKWh
			w.room.Fill(-d)
		}
		w.soc = x
	}
}

func newMoney(units []Device) money {
	m := money{units: units, first: math.NaN(), last: math.NaN()}
	for i := range units {
		if len(units[i].Wear) > 0 {
			m.wear = make([]worn, len(units))
			for k := range m.wear {
				m.wear[k].soc = math.NaN()
			}
			break
		}
	}
	return m
}

// earned is market.revenue.
func (m *money) earned() (v float64, n int64, err error) {
	if m.priced == 0 {
		return math.NaN(), 0, fmt.Errorf("no price was known: %w", ErrNoData)
	}
	return m.revenue, 1, nil
}

// wearCost is fleet.wear_cost, and of how many devices: those whose wear is not known are not in it.
func (m *money) wearCost() (v float64, n int64, err error) {
	for i := range m.wear {
		if len(m.units[i].Wear) > 0 && !math.IsNaN(m.wear[i].soc) {
			n++
		}
	}
	if n == 0 {
		return math.NaN(), 0, fmt.Errorf("no device says what its wear costs: %w", ErrNoData)
	}
	return m.cost, n, nil
}
