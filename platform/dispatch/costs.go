package dispatch

import (
	"math"

	"yunchu/platform/device"
	"yunchu/platform/fleet/image"
)

// Weights of the costs.
const (
	// balanceHours is the time in which soc-balancing would close a difference
	// in state of charge if nothing else was asked of the fleet.
	balanceHours = 0.5
	// keep is the weight of staying at the previous setpoint against the
	// strategy's own curvature. It removes flapping between devices that are
	// equal but for noise, and moves a share by a factor 1/(1+keep) less per
	// cycle.
	keep = 0.25
	// Wear of lithium iron phosphate per throughput grows with the C-rate c as
	// 0.0630 c + 0.0971 (Naumann et al., J. Power Sources 451 (2020) 227666,
	// stress factor of the capacity loss): relative to rest, by 0.649 per C.
	wearPerC = 0.0630 / 0.0971
	// lossShare is the part of conversion loss that grows with the square of
	// power, at rated power; typical of the inverters in twin/params.
	lossShare = 0.035
	// stiffest is how much less a device in bad health does at most, so that one that reports
	// nonsense does not make numbers that cannot be added.
	stiffest = 1000
	// lossPrice and wearPrice weigh a kWh lost against a kWh put through: a
	// battery of 150 $/kWh that lasts 6,000 cycles wears 0.0125 $ per kWh in or
	// out; energy at 0.1 $/kWh.
	wearPrice = 0.0125
	lossPrice = 0.1
)

// oneWay keeps devices from working against each other: when the fleet
// discharges none charges, and the other way round.
func (p *Planner) oneWay(free float64) {
	q := &p.problem
	for i := range q.Lo {
		if free <= 0 {
			q.Hi[i] = 0
		}
		if free >= 0 {
			q.Lo[i] = 0
		}
	}
}

// costs fills in the columns A, B and R of the strategy.
func (p *Planner) costs(img *image.Image) {
	n := len(p.units)
	q := &p.problem
	q.A, q.B, q.R = resize(q.A, n), resize(q.B, n), resize(q.R, n)
	var mean, energy float64
	if p.Settings.Strategy == SoCBalancing {
		for i := range p.units {
			dev := &img.Devices[p.units[i].slot]
			if e := capacity(dev); charged(dev) {
				mean += e * dev.Good.SoC
				energy += e
			}
		}
		if energy > 0 {
			mean /= energy
		}
	}
	tau := 0.0
	if p.Settings.Strategy == TimeToGo {
		tau = p.level(img)
	}
	for i := range p.units {
		s := p.units[i].slot
		dev := &img.Devices[s]
		span := max(q.Hi[i]-q.Lo[i], 1e-6*dev.Info.RatedKW)
		a, b, r := 1/span, 0.0, 0.0
		switch p.Settings.Strategy {
		case SoCBalancing:
			if e := capacity(dev); charged(dev) {
				r = e * (mean - dev.Good.SoC) / 100 / balanceHours
			}
		case Cost:
			a, b = p.money(s, dev, q.Hi[i] > 0)
		case TimeToGo:
			a, b = p.toGo(s, dev, q.Hi[i] > 0, tau)
		}
		if w := p.Settings.SoHWeight; w > 0 && dev.Good.SoH > 0 && dev.Good.SoH < 100 {
			a *= min(math.Pow(100/dev.Good.SoH, w), stiffest)
		}
		if p.Settings.Strategy == TimeToGo { // τ smooths
			q.A[i], q.B[i], q.R[i] = a, b, 0
			continue
		}
		if prev := p.previous[s]; prev*(q.Lo[i]+q.Hi[i]) > 0 { // same direction; NaN compares false
			w := keep * a
			r = (a*r + w*prev) / (a + w)
			a += w
		}
		q.A[i], q.B[i], q.R[i] = a, b, r
	}
}

// money is what the power of a device costs per hour: half of a times its square, and b
// times it. Energy is lost by the square of the power, and each kWh wears the battery, the
// more at a higher rate: at a constant price, or at that of the depth it has come to.
func (p *Planner) money(s device.Slot, dev *image.Device, charging bool) (a, b float64) {
	price := wearPrice
	if w := dev.Info.Wear; len(w) > 0 && charged(dev) {
		for int(s) >= len(p.depth) {
			p.depth = append(p.depth, depth{})
		}
		in, out := p.depth[s].follow(w, dev.Good.SoC/100)
		if price = out; charging {
			price = in
		}
	}
	a, b = 2*lossPrice*lossShare/dev.Info.RatedKW, price
	if l := dev.Info.Loss; l != nil {
		a, b = 2*lossPrice*l.PerKW2, price+lossPrice*l.PerKW
	}
	a += price * wearPerC * 2 / capacity(dev)
	if !charging {
		b = -b
	}
	return a, b
}

func resize(s []float64, n int) []float64 {
	if cap(s) < n {
		return make([]float64, n, n+n/4)
	}
	return s[:n]
}
