package dispatch

import (
	"cmp"
	"math"
	"slices"

	"yunchu/platform/device"
	"yunchu/platform/fleet/image"
)

// How many converters run: one that runs loses c0 + c1·P + c2·P², one at rest nothing. k
// equal ones that share P lose k·c0 + c1·P + c2·P²/k, which is least near k = P·√(c2/c0).
// Unequal ones are taken in the order of the least that they lose of a kWh, c1 + 2√(c0·c2)
// at P = √(c0/c2), and the best of these sets is chosen: with equal converters the optimum,
// else within one converter's fixed loss of it where no bound binds.

const (
	// enoughSaved is by how much of the loss another number of converters must be better
	// before some start or stop.
	enoughSaved = 0.02
	// turnShare is how much readier, as a part of the price of a kWh, a battery counts that
	// is full (charging: empty) over one that is empty, and steady how much one that runs
	// over one that rests: they change places once their charge is 2 % apart.
	turnShare = 0.1
	steady    = 0.02
)

// rest remembers which devices run.
type rest struct {
	running []bool // by slot
	k       int    // how many of those that could rest
	list    []candidate
	part    struct{ lo, hi []float64 }
}

// candidate is a unit that could rest.
type candidate struct {
	unit  int
	key   float64
	most  float64 // kW
	loss  device.Loss
	price float64
}

// run shares free among the devices, of which some may rest.
func (p *Planner) run(img *image.Image, free float64, d *Decision) (float64, error) {
	q := &p.problem
	if !p.Settings.Rest || p.Settings.Strategy != Cost || free == 0 {
		sum, bounds, err := p.share(img, free)
		d.Bounds = bounds
		return sum, err
	}
	p.choose(img, free)
	r := &p.rest
	lo, hi := append(r.part.lo[:0], q.Lo...), append(r.part.hi[:0], q.Hi...)
	r.part.lo, r.part.hi = lo, hi
	for _, c := range r.list[r.k:] {
		q.Lo[c.unit], q.Hi[c.unit] = 0, 0
	}
	sum, bounds, err := p.share(img, free)
	if d.Resting = len(r.list) - r.k; d.Resting > 0 && err == nil && !p.enough(free, sum, bounds) {
		copy(q.Lo, lo) // those that run are not enough, by a limit or a bound: all do
		copy(q.Hi, hi)
		d.Resting = 0
		sum, bounds, err = p.share(img, free)
	}
	d.Bounds = bounds
	return sum, err
}

// choose puts those that shall run first into the list, k of them.
func (p *Planner) choose(img *image.Image, free float64) {
	r, q := &p.rest, &p.problem
	for len(r.running) < len(img.Devices) {
		r.running = append(r.running, false)
	}
	want := math.Abs(free)
	r.list = r.list[:0]
	for i := range p.units {
		u := &p.units[i]
		dev := &img.Devices[u.slot]
		most := max(q.Hi[i], -q.Lo[i])
		if dev.Info.Loss == nil || most == 0 || q.Lo[i] > 0 || q.Hi[i] < 0 {
			want -= most // runs anyway
			continue
		}
		l := *dev.Info.Loss
		c := candidate{unit: i, most: most, loss: l}
		c.price = math.Abs(q.B[i]) // of the first kWh, wear with it
		ready := number(dev.Good.SoC) / 100
		if q.Hi[i] > 0 {
			ready = 1 - ready
		}
		if r.running[u.slot] {
			ready += steady
		}
		least := c.price + 2*lossPrice*math.Sqrt(l.FixedKW*l.PerKW2)
		c.key = least * (1 - turnShare*ready)
		r.list = append(r.list, c)
	}
	slices.SortStableFunc(r.list, func(a, b candidate) int { return cmp.Compare(a.key, b.key) })
	r.k = r.number(want)
	for n, c := range r.list {
		r.running[p.units[c.unit].slot] = n < r.k
	}
}

// number is how many of the list, from its beginning, lose least in giving want together;
// as many as before unless others are better by enough.
func (r *rest) number(want float64) int {
	if want <= 0 {
		return 0
	}
	best, least, before, can := len(r.list), math.Inf(1), math.Inf(1), 0.0
	common := math.Inf(1) // what a kWh costs with any of them, which none of them saves
	for _, c := range r.list {
		common = min(common, c.price)
	}
	var fixed, soft, shift, square float64 // Σ c0, Σ 1/(2 c2), Σ b/(2 c2), Σ b²/(4 c2) in money
	for n, c := range r.list {
		half := 1 / (2 * lossPrice * c.loss.PerKW2)
		fixed += lossPrice * c.loss.FixedKW
		soft += half
		shift += c.price * half
		square += c.price * c.price * half / 2
		if can += c.most; can < want*(1-1e-12) {
			continue
		}
		price := (want + shift) / soft // of the last kWh, the same for all that run
		loss := fixed + price*price*soft/2 - square - common*want
		if loss < least {
			best, least = n+1, loss
		}
		if n+1 == r.k {
			before = loss
		}
	}
	if before-least <= enoughSaved*math.Abs(least) {
		return r.k
	}
	return best
}
