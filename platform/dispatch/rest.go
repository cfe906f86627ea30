package dispatch

import (
	"cmp"
	"math"
	"slices"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/fleet/image"
)

// How many converters run: one that runs loses c0 + c1·P + c2·P², one at rest nothing. k
// equal ones that share P lose k·c0 + c1·P + c2·P²/k, which is least near k = P·√(c2/c0).
// Unequal ones, with their wear, are taken in the order of what a kWh costs at best with
// them, at P = √(c0/c2) or as near as they can; the best number of them is chosen, and in
// small fleets single ones are added, left out and exchanged while that helps. Those whose
// loss is not known run, at what it is taken for; a tier is asked for what those before it
// cannot give.

const (
	// enoughSaved is by how much of the loss another number of converters must be better
	// before some start or stop.
	enoughSaved = 0.02
	// turnShare is how much readier, as a part of the price of a kWh, a battery counts that
	// is full (charging: empty) over one that is empty, and steady how much one that runs
	// over one that rests: they change places once their charge is 2 % apart.
	turnShare = 0.1
	steady    = 0.02
	// small is how many devices are tried one by one.
	small = 48
	// awakeFor is how long all run after those that were chosen were not enough by a limit, so
	// that a target that moves about the limit does not start and stop them.
	awakeFor = 10 * time.Minute
)

// rest remembers which devices run.
type rest struct {
	running []bool                  // by slot
	left    []int                   // by slot: cycles that it runs still, since it was started
	k       [device.MaxTier + 1]int // by tier: how many of those that could rest
	awake   int                     // cycles in which all run still
	list    []candidate
	part    struct{ lo, hi []float64 }
}

// candidate is a unit that shares in what is asked for, and may rest unless it must run. While it runs it costs fixed + b·P + ½a·P², in money
// per hour, up to most kW.
type candidate struct {
	unit, tier        int
	must              bool // it cannot rest: what its converter loses is not known, or it was started a moment ago
	key               float64
	most, fixed, a, b float64
	runs              bool
}

// run shares free among the devices, of which some may rest.
func (p *Planner) run(img *image.Image, free float64, d *Decision) (float64, error) {
	q := &p.problem
	r := &p.rest
	if r.awake > 0 {
		r.awake--
	}
	if !p.Settings.Rest || p.Settings.Strategy != Cost || free == 0 || r.awake > 0 {
		sum, bounds, err := p.share(img, free)
		d.Bounds = bounds
		return sum, err
	}
	p.choose(img, free)
	lo, hi := append(r.part.lo[:0], q.Lo...), append(r.part.hi[:0], q.Hi...)
	r.part.lo, r.part.hi = lo, hi
	for _, c := range r.list {
		if !c.runs {
			q.Lo[c.unit], q.Hi[c.unit] = 0, 0
			d.Resting++
		}
	}
	sum, bounds, err := p.share(img, free)
	if d.Resting > 0 && err == nil && !p.enough(free, sum, bounds) {
		copy(q.Lo, lo) // those that run are not enough, by a limit or a bound: all do
		copy(q.Hi, hi)
		d.Resting = 0
		r.awake = 1 + int(awakeFor/max(p.Settings.Every, time.Millisecond))
		sum, bounds, err = p.share(img, free)
	}
	d.Bounds = bounds
	return sum, err
}

// choose notes in the list which devices shall run.
func (p *Planner) choose(img *image.Image, free float64) {
	r, q := &p.rest, &p.problem
	for len(r.running) < len(img.Devices) {
		r.running, r.left = append(r.running, false), append(r.left, 0)
	}
	start := p.Settings.StartCost / max(p.Settings.RunFor, awakeFor).Hours() // money per hour
	r.list = r.list[:0]
	for i := range p.units {
		u := &p.units[i]
		dev := &img.Devices[u.slot]
		charging := free > 0
		most := -q.Lo[i]
		if charging {
			most = q.Hi[i]
		}
		if most <= 0 { // can do nothing, or must go against the fleet
			continue
		}
		c := candidate{unit: i, tier: min(max(dev.Info.Tier, 0), device.MaxTier), most: most, must: dev.Info.Loss == nil || r.left[u.slot] > 0}
		c.a, c.b = p.money(u.slot, dev, charging)
		c.b = math.Abs(c.b)
		if l := dev.Info.Loss; l != nil {
			c.fixed = lossPrice * l.FixedKW
			if !r.running[u.slot] {
				c.fixed += start
			}
		}
		ready := number(dev.Good.SoC) / 100
		if charging {
			ready = 1 - ready
		}
		if r.running[u.slot] {
			ready += steady
		}
		at := min(math.Sqrt(2*c.fixed/c.a), most)
		least := c.b + c.a*at/2
		if at > 0 {
			least += c.fixed / at
		}
		c.key = least * (1 - turnShare*ready)
		r.list = append(r.list, c)
	}
	slices.SortStableFunc(r.list, func(a, b candidate) int {
		if a.tier == b.tier && a.must != b.must {
			if a.must {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.tier, b.tier), cmp.Compare(a.key, b.key))
	})
	want := math.Abs(free)
	for list := r.list; len(list) > 0; {
		n, can := 0, 0.0
		for n < len(list) && list[n].tier == list[0].tier {
			can += list[n].most
			n++
		}
		t := tier(list[:n])
		r.k[t[0].tier] = t.choose(min(want, can), r.k[t[0].tier])
		want = max(0, want-can)
		list = list[n:]
	}
	for _, c := range r.list {
		s := p.units[c.unit].slot
		r.left[s] = max(0, r.left[s]-1)
		if c.runs && !r.running[s] {
			r.left[s] = int(p.Settings.RunFor / max(p.Settings.Every, time.Millisecond))
		}
		r.running[s] = c.runs
	}
}

// tier are the candidates of a tier, those that must run first, then the best first.
type tier []candidate

// choose notes which of them run to give want, and returns how many were taken of the list:
// before improving, and before it was k.
func (t tier) choose(want float64, k int) int {
	k = t.number(want, k)
	for n := range t {
		t[n].runs = n < k || t[n].must
	}
	if len(t) <= small {
		t.improve(want)
	}
	return k
}

// number is how many of the list, from its beginning, cost least in giving want together;
// as many as before unless others are better by enough.
func (t tier) number(want float64, k int) int {
	if want <= 0 {
		return 0
	}
	common := math.Inf(1) // what a kWh costs with any of them, which none of them saves
	for _, c := range t {
		common = min(common, c.b)
	}
	best, least, before, can := len(t), math.Inf(1), math.Inf(1), 0.0
	var fixed, soft, shift, square float64 // Σ fixed, Σ 1/a, Σ b/a, Σ b²/(2a)
	for n, c := range t {
		fixed += c.fixed
		soft += 1 / c.a
		shift += c.b / c.a
		square += c.b * c.b / c.a / 2
		if can += c.most; can < want*(1-1e-12) || n+1 < len(t) && t[n+1].must {
			continue
		}
		price := (want + shift) / soft // of the last kWh, the same for all that run
		cost := fixed + price*price*soft/2 - square - common*want
		if cost < least {
			best, least = n+1, cost
		}
		if n+1 == k {
			before = cost
		}
	}
	if before-least <= enoughSaved*math.Abs(least) {
		return k
	}
	return best
}

// improve adds single devices to those that run, leaves some out and exchanges two while
// that saves enough.
func (t tier) improve(want float64) {
	common := math.Inf(1)
	for _, c := range t {
		common = min(common, c.b)
	}
	cost := func() float64 { return t.cost(want) - common*want }
	now := cost()
	better := func() bool {
		if c := cost(); c < now-enoughSaved*math.Abs(now) {
			now = c
			return true
		}
		return false
	}
	exchanged := func(i int) bool {
		a := &t[i]
		if a.must {
			return false
		}
		if a.runs = !a.runs; better() {
			return true
		}
		for j := range t[i+1:] {
			b := &t[i+1+j]
			if b.must || b.runs != a.runs { // it would go the same way
				continue
			}
			if b.runs = !b.runs; better() {
				return true
			}
			b.runs = !b.runs
		}
		a.runs = !a.runs
		return false
	}
	for again := true; again; {
		again = false
		for i := range t {
			again = exchanged(i) || again
		}
	}
}

// cost is what those that run cost in giving want at least cost, money per hour; +Inf where
// they cannot.
func (t tier) cost(want float64) (sum float64) {
	low, high, can := math.Inf(1), 0.0, 0.0
	for i := range t {
		if c := &t[i]; c.runs {
			low, high, can = min(low, c.b), max(high, c.b+c.a*c.most), can+c.most
		}
	}
	if can < want*(1-1e-12) {
		return math.Inf(1)
	}
	for range 60 { // halves the range of prices
		mid := low/2 + high/2
		given := 0.0
		for i := range t {
			if c := &t[i]; c.runs {
				given += min(max((mid-c.b)/c.a, 0), c.most)
			}
		}
		if given < want {
			low = mid
		} else {
			high = mid
		}
	}
	for i := range t {
		if c := &t[i]; c.runs {
			x := min(max((high-c.b)/c.a, 0), c.most)
			sum += c.fixed + c.b*x + c.a*x*x/2
		}
	}
	return sum
}
