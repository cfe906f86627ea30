package ingest

import (
	"math"
	"slices"

	"yunchu/platform/device"
)

// maxFill is how many rows all gaps of a series may be filled with.
const maxFill = 20_000

// gapFactor is how many usual periods make a gap: with less than two periods between
// them no reading is missing, however unevenly they come.
const gapFactor = 1.75

// fill fills what is missing, by how long it is missing, and marks it so: where readings
// are missing rows are put in at the usual period; where single values are missing, or
// were not believed, they are filled in place. It needs both ends; what is missing at
// the ends of the series stays so.
//
//   - hold: the last value.
//   - linear: a line between the ends.
//   - model: power from V·I, or the other way around, with the losses of the ends; where
//     neither is known, the constant power that the change of the state of charge stands
//     for, if that moved enough to tell; the state of charge by counting the charge, the
//     error that is left at the end shared out evenly over time. The other values are on
//     a line.
//
// Where power or current is missing alone, V·I is better than any line: it is used for
// short gaps too.
func fill(p *Profile, info *device.Info, rows []Row) []Row {
	longest := max(p.Gaps.Hold, p.Gaps.Linear, p.Gaps.Model)
	if longest <= 0 || len(rows) < 2 {
		return rows
	}
	rows = insert(rows, float64(longest.Milliseconds()))
	known := make([]device.Points, len(rows)) // before anything is filled
	for i := range rows {
		v := values(&rows[i].Reading)
		for q := range v {
			if *v[q] == *v[q] {
				known[i] |= 1 << q
			}
		}
	}
	f := filler{p, info, rows, known}
	f.quantity(voltage, f.line)
	f.quantity(temperature, f.line)
	f.quantity(soh, f.line)
	f.quantity(maxCharge, f.line)
	f.quantity(maxDischarge, f.line)
	f.electrical()
	f.quantity(soc, f.charge)
	return rows
}

type filler struct {
	p     *Profile
	info  *device.Info
	rows  []Row
	known []device.Points
}

// insert puts rows of nothing into gaps of up to longest ms.
func insert(rows []Row, longest float64) []Row {
	usual := period(rows)
	if usual <= 0 {
		return rows
	}
	missing := func(i int) int { // between rows i and i+1
		d := apart(rows[i].At, rows[i+1].At)
		if d < gapFactor*usual || d > longest {
			return 0
		}
		return int(math.Round(d/usual)) - 1
	}
	total := 0
	for i := range rows[:len(rows)-1] {
		total += missing(i)
	}
	if total == 0 || total > maxFill {
		return rows
	}
	out := make([]Row, 0, len(rows)+total)
	for i := range rows {
		out = append(out, rows[i])
		if i+1 == len(rows) {
			break
		}
		n := missing(i)
		for k := 1; k <= n; k++ {
			r := Row{Reading: device.Empty(), Raw: device.Empty()}
			r.Slot, r.Status, r.Word = rows[i].Slot, rows[i].Status, rows[i].Word
			r.At = rows[i].At + int64(apart(rows[i].At, rows[i+1].At)*float64(k)/float64(n+1))
			r.Flags = rows[i].Flags & device.FlagSimulated
			out = append(out, r)
		}
	}
	return out
}

// quantity fills every hole of one quantity that has two ends and is not too long:
// rows[a] and rows[b] are its ends.
func (f *filler) quantity(q int, model func(q, a, b int)) {
	a := -1
	for b := range f.rows {
		if f.known[b]&(1<<q) == 0 {
			continue
		}
		if a >= 0 && b > a+1 {
			switch long := apart(f.rows[a].At, f.rows[b].At); {
			case long <= float64(f.p.Gaps.Hold.Milliseconds()):
				f.hold(q, a, b)
			case long <= float64(f.p.Gaps.Linear.Milliseconds()):
				f.line(q, a, b)
			case long <= float64(f.p.Gaps.Model.Milliseconds()):
				model(q, a, b)
			}
		}
		a = b
	}
}

func (f *filler) value(q, i int) float64 { return *values(&f.rows[i].Reading)[q] }

// put fills a value in, unless there is one.
func (f *filler) put(q, i int, x float64) {
	if v := values(&f.rows[i].Reading)[q]; *v != *v && x == x {
		*v = x
		f.rows[i].Filled |= 1 << q
	}
}

func (f *filler) hold(q, a, b int) {
	for i := a + 1; i < b; i++ {
		f.put(q, i, f.value(q, a))
	}
}

func (f *filler) line(q, a, b int) {
	x, y := f.value(q, a), f.value(q, b)
	for i := a + 1; i < b; i++ {
		f.put(q, i, x+(y-x)*f.share(a, b, i))
	}
}

// share is how far row i lies between rows a and b, 0..1.
func (f *filler) share(a, b, i int) float64 {
	return apart(f.rows[a].At, f.rows[i].At) / apart(f.rows[a].At, f.rows[b].At)
}

// electrical fills power and current.
func (f *filler) electrical() {
	f.cross()
	f.quantity(power, f.balance)
	f.quantity(current, func(q, a, b int) {
		f.currents(a, b)
		f.line(q, a, b)
	})
}

// cross fills power where voltage and current are measured, and current where power
// and voltage are, with the residual of the nearest rows that have all three.
func (f *filler) cross() {
	const p, i, v = device.PointPower, device.PointCurrent, device.PointVoltage
	limit := f.p.Gaps.Model.Milliseconds()
	res, at := math.NaN(), int64(0)
	for n := range f.rows {
		r := &f.rows[n]
		switch k := f.known[n]; {
		case k&(p|i|v) == p|i|v:
			res, at = residual(&r.Reading), r.At
		case res != res || r.At-at > limit:
		case k&(p|i) == i && r.Voltage == r.Voltage:
			f.put(power, n, r.Voltage*r.Current/1000+res)
			f.known[n] |= p
		case k&(p|i) == p && r.Voltage > 0:
			f.put(current, n, (r.Power-res)*1000/r.Voltage)
			f.known[n] |= i
		}
	}
}

// balancePercent is how far the state of charge must have moved to say what flowed
// meanwhile, percent: five times the 0.1 in which many devices report it.
const balancePercent = 0.5

// balance fills the power of a hole with the constant power that its state of charge
// moved by, or with a line where that does not tell.
func (f *filler) balance(q, a, b int) {
	moved := f.rows[b].SoC - f.rows[a].SoC
	hours := apart(f.rows[a].At, f.rows[b].At) / 3.6e6
	loss := (f.loss(a) + f.loss(b)) / 2
	if !(f.info.CapacityKWh > 0) || !(math.Abs(moved) >= balancePercent) {
		f.line(q, a, b)
		return
	}
	kw := moved/100*f.info.CapacityKWh/hours + loss
	for i := a + 1; i < b; i++ {
		f.put(q, i, kw)
	}
	f.currents(a, b)
}

// loss is the residual of a row, 0 where it is not known.
func (f *filler) loss(i int) float64 {
	if x := residual(&f.rows[i].Reading); x == x {
		return x
	}
	return 0
}

// currents fills the current of a hole from the power that was filled in.
func (f *filler) currents(a, b int) {
	if f.known[a]&device.PointCurrent == 0 || f.known[b]&device.PointCurrent == 0 {
		return
	}
	x, y := f.loss(a), f.loss(b)
	for i := a + 1; i < b; i++ {
		if r := &f.rows[i]; r.Voltage > 0 {
			f.put(current, i, (r.Power-x-(y-x)*f.share(a, b, i))*1000/r.Voltage)
		}
	}
}

// charge fills the state of charge of a hole by counting what flows.
func (f *filler) charge(q, a, b int) {
	if !(f.info.CapacityKWh > 0) {
		f.line(q, a, b)
		return
	}
	counted := make([]float64, b-a+1) // percent since a
	for i := a + 1; i <= b; i++ {
		counted[i-a] = counted[i-a-1] + moves(f.info, &f.rows[i-1].Reading, &f.rows[i].Reading)
	}
	if last := counted[b-a]; last != last {
		f.line(q, a, b)
		return
	}
	miss := f.rows[b].SoC - f.rows[a].SoC - counted[b-a]
	for i := a + 1; i < b; i++ {
		f.put(soc, i, min(max(f.rows[a].SoC+counted[i-a]+miss*f.share(a, b, i), 0), 100))
	}
}

// moves is how far the state of charge moves between two readings by what flows at the
// DC terminals, percent of the capacity: 100 · ∫ V·I dt / E by the trapezoidal rule.
// Where V or I is not reported the power at the AC terminals stands for it.
func moves(info *device.Info, a, b *device.Reading) float64 {
	return (inner(a) + inner(b)) / 2 * apart(a.At, b.At) / 3.6e6 / info.CapacityKWh * 100
}

// inner is the power at the DC terminals, kW.
func inner(r *device.Reading) float64 {
	if dc := r.Voltage * r.Current / 1000; dc == dc {
		return dc
	}
	return r.Power
}

// fits marks the state of charge as doubtful where it did not move with what flowed
// over the time of the profile, or over half of it at least, and the power where it
// contradicts a word that says rest.
func fits(p *Profile, info *device.Info, rows []Row) []Row {
	if info.RatedKW > 0 && p.Logic.Idle > 0 {
		for i := range rows {
			r := &rows[i]
			switch r.Status {
			case device.Idle, device.Standby, device.Offline:
				if math.Abs(r.Power) > p.Logic.Idle*info.RatedKW {
					r.Doubtful |= device.PointPower
				}
			}
		}
	}
	over := float64(p.Logic.Over.Milliseconds())
	if !(over > 0) || !(info.CapacityKWh > 0) {
		return rows
	}
	type point struct {
		at           int64
		soc, counted float64
	}
	var past []point // since which all is known
	total := 0.0
	last := -1
	for i := range rows {
		r := &rows[i]
		if r.SoC != r.SoC || inner(&r.Reading) != inner(&r.Reading) {
			continue
		}
		if last >= 0 {
			if apart(rows[last].At, r.At) > over/2 { // nobody knows what flowed
				past, total = past[:0], 0
			} else {
				total += moves(info, &rows[last].Reading, &r.Reading)
			}
		}
		last = i
		past = append(past, point{r.At, r.SoC, total})
		first := slices.IndexFunc(past, func(x point) bool { return apart(x.at, r.At) <= over })
		past = past[first:]
		from := past[0]
		if apart(from.at, r.At) < over/2 {
			continue
		}
		flowed := total - from.counted
		if math.Abs(r.SoC-from.soc-flowed) > p.Logic.SoC+p.Logic.Ratio*math.Abs(flowed) {
			r.Doubtful |= device.PointSoC
		}
	}
	return rows
}
