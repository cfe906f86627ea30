// Package ingest judges readings. Only wrong form is refused; everything else is
// kept as it was received, with a quality and flags that say what is doubtful
// about it. The checks are pure: what they remember of a device is a small value,
// and the time is a parameter.
package ingest

import (
	"math"
	"time"

	"yunchu/platform/device"
)

// MaxAhead is how far in the future of the plant's clock a reading may have been
// measured; what lies further ahead is refused.
const MaxAhead = 5 * time.Minute

// Verdict is what becomes of a reading.
type Verdict uint8

// A reading is stored, or was stored before with the same values, or is refused.
const (
	Store Verdict = iota
	Duplicate
	Future
)

// What is possible for any battery system; a device's rating narrows the power.
const (
	maxVoltage = 3000 // V, above the 1,500 V class with margin
	minTemp    = -60  // °C
	maxTemp    = 150  // °C
	// ratedMargin is how far above its rating a device may measure itself.
	ratedMargin = 1.2
	// frozenSoC is how far the state of charge must have moved by the reported
	// power, in percent, before an unchanged report counts as frozen: four times
	// the resolution of a BMS that reports in steps of 0.05 %.
	frozenSoC = 0.2
	// frozenAfter replaces it where the capacity is not known.
	frozenAfter = 2 * time.Minute
	// gapPeriods is how many of its usual periods a device may be silent.
	gapPeriods = 3
	// history is how many readings per device are remembered to recognise
	// duplicates and revisions. Older ones are recognised by the history store,
	// where the later of equal times wins.
	history = 16
)

// Memory is what the checks remember of one device.
type Memory struct {
	last   device.Reading // newest by its own time
	since  int64          // At of the first reading with last's values
	period float64        // ms, smoothed
	seen   uint32         // readings that shaped period
	ring   [history]mark
	next   uint8
}

type mark struct {
	at  int64
	sum uint64
}

// Judge checks r against what is known of its device and updates the memory. It
// corrects the signs of power and current by the status, and sets r's quality
// and flags.
func (m *Memory) Judge(info *device.Info, now time.Time, r *device.Reading) Verdict {
	if r.At > now.UnixMilli()+MaxAhead.Milliseconds() {
		return Future
	}
	sign(r)
	sum := sum(r)
	if m.seen > 0 && r.At <= m.last.At {
		switch known, same := m.find(r.At, sum); {
		case same:
			return Duplicate
		case known:
			r.Flags |= device.FlagRevised
		default:
			r.Flags |= device.FlagOrder
		}
	}
	rangeOf(info, r)
	logic(info, r)
	if info.Simulated {
		r.Flags |= device.FlagSimulated
	}
	m.ring[m.next] = mark{r.At, sum}
	m.next = (m.next + 1) % history
	if m.seen == 0 || r.At > m.last.At {
		m.time(info, r)
		m.last = *r
	}
	grade(r)
	return Store
}

// find looks for a remembered reading of the same time, and of the same values.
func (m *Memory) find(at int64, sum uint64) (known, same bool) {
	for i := range m.ring {
		if k := &m.ring[i]; k.at == at && k.sum != 0 {
			known = true
			same = same || k.sum == sum
		}
	}
	return known, same
}

// Last is the newest reading by its own time that was judged, and whether there
// is one.
func (m *Memory) Last() (device.Reading, bool) { return m.last, m.seen > 0 }

// sign lets the status rule the sign of power and current, so that a device that
// sends magnitudes is understood.
func sign(r *device.Reading) {
	var want float64
	switch r.Status {
	case device.Charging:
		want = 1
	case device.Discharging:
		want = -1
	default:
		return
	}
	for _, v := range [2]*float64{&r.Power, &r.Current} {
		if *v*want < 0 {
			*v = -*v
			r.Flags |= device.FlagSign
		}
	}
}

func rangeOf(info *device.Info, r *device.Reading) {
	r.Quality = device.Good
	if r.Flags&device.FlagRange != 0 { // its driver knows better what is possible
		r.Quality = device.Bad
	}
	if r.Status == device.OtherStatus && r.Word != "" {
		r.Flags |= device.FlagRange
		r.Quality = max(r.Quality, device.Suspect)
	}
	if p := Impossible(info.RatedKW, r); p != 0 {
		r.Beyond |= p
		r.Flags |= device.FlagRange
		r.Quality = device.Bad
	}
}

// Impossible are the values of a reading that no battery system has, or none of that
// rating; 0: it is not known.
func Impossible(ratedKW float64, r *device.Reading) (p device.Points) {
	limit := math.Inf(1)
	if ratedKW > 0 {
		limit = ratedMargin * ratedKW
	}
	if outside(r.SoC, 0, 100) {
		p |= device.PointSoC
	}
	if outside(r.SoH, 0, 120) {
		p |= device.PointSoH
	}
	if outside(r.Voltage, 0, maxVoltage) {
		p |= device.PointVoltage
	}
	if outside(r.Temperature, minTemp, maxTemp) {
		p |= device.PointTemperature
	}
	if outside(r.Power, -limit, limit) {
		p |= device.PointPower
	}
	if math.IsInf(r.Current, 0) {
		p |= device.PointCurrent
	}
	return p
}

func outside(v, lo, hi float64) bool { return v < lo || v > hi || math.IsInf(v, 0) }

// logic compares the power at the AC terminals with voltage times current at the
// DC terminals: they may differ by 5 % of the larger of power and rating, plus
// the losses that the device states, 1 kW where no rating is known.
func logic(info *device.Info, r *device.Reading) {
	loss := info.LossKW
	if info.RatedKW <= 0 && loss <= 0 {
		loss = 1
	}
	dc := r.Voltage * r.Current / 1000
	if math.Abs(r.Power-dc) > 0.05*max(math.Abs(r.Power), info.RatedKW)+loss {
		r.Flags |= device.FlagLogic
	}
}

// time judges the moment of a reading that is newer than all before it: whether
// readings are missing before it, and whether the device repeats itself.
func (m *Memory) time(info *device.Info, r *device.Reading) {
	if m.seen == 0 {
		m.since, m.seen = r.At, 1
		return
	}
	d := float64(r.At) - float64(m.last.At)
	if limit := gapPeriods * m.period; m.seen > 4 && d > limit {
		r.Flags |= device.FlagGap
		d = limit // a device that has become slower is understood in a dozen readings
	}
	m.period += (d - m.period) / float64(min(m.seen, 16))
	m.seen = min(m.seen+1, 1<<30)
	if !r.SameValues(&m.last) {
		m.since = r.At
		return
	}
	held := float64(r.At) - float64(m.since) // ms
	frozen := math.Abs(r.Power) > 0 && held >= float64(frozenAfter.Milliseconds())
	if info.CapacityKWh > 0 {
		frozen = math.Abs(r.Power)*held/3.6e6/info.CapacityKWh*100 >= frozenSoC
	}
	if frozen {
		r.Flags |= device.FlagFrozen
	}
}

// grade lowers the quality for what only makes a reading doubtful.
func grade(r *device.Reading) {
	if r.Flags&(device.FlagLogic|device.FlagFrozen|device.FlagRevised|device.FlagHeartbeat|device.FlagConflict) != 0 {
		r.Quality = max(r.Quality, device.Suspect)
	}
}

// sum is a 64-bit FNV-1a style digest of the measured values, never 0. Values that
// SameValues takes for equal have one digest: there is one NaN and one zero.
func sum(r *device.Reading) uint64 {
	h := uint64(14695981039346656037)
	for _, v := range [6]float64{r.SoC, r.SoH, r.Voltage, r.Current, r.Power, r.Temperature} {
		b := math.Float64bits(v + 0) // -0 + 0 is 0
		if v != v {
			b = math.Float64bits(math.NaN())
		}
		h = (h ^ b ^ b>>32) * 1099511628211
	}
	if r.Frequency > 0 { // one that moves shows that the device is alive
		h = (h ^ math.Float64bits(r.Frequency)) * 1099511628211
	}
	h = (h ^ uint64(r.Status)) * 1099511628211
	for i := range len(r.Word) {
		h = (h ^ uint64(r.Word[i])) * 1099511628211
	}
	return h | 1
}
