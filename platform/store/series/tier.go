package series

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"yunchu/platform/device"
)

// Tier is a step in which what readings amount to is stored beside them.
type Tier struct {
	Step time.Duration // one of Steps
	Keep time.Duration // how long it is kept; 0: for ever
}

// Steps are the steps that tiers may have.
var Steps = []time.Duration{time.Second, time.Minute, 15 * time.Minute, time.Hour}

// DefaultTiers are those of a store that is not told otherwise. One of a second is worth
// its space only where devices report several times a second.
func DefaultTiers() []Tier {
	return []Tier{{Step: time.Minute}, {Step: 15 * time.Minute}, {Step: time.Hour}}
}

// tierName is the folder of a tier, such as 15m.
func tierName(step int64) string {
	d := time.Duration(step) * time.Millisecond
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// A table of parts has a row for each slot and step. Columns of times, counts and words
// come first, then five of each quantity, then what the power's integral needs.
type partInt struct {
	name   string
	of     Fields // that need it; 0: every part
	energy bool   // the energy needs it
	get    func(p *part) int64
	set    func(p *part, v int64)
}

type partNumber struct {
	name     string
	quantity int
	mean     bool // the mean needs it
	get      func(p *part) float64
	set      func(p *part, v float64)
}

const (
	colWhole       = 3 // after slot, device and time, as in a table of readings
	colPartStatus  = 4
	colPartQuality = 5
	colPartFlags   = 6
	colPartInts    = 7
)

var partInts = func() []partInt {
	list := []partInt{
		{"first_ms", 0, false, func(p *part) int64 { return p.first }, func(p *part, v int64) { p.first = v }},
		{"last_ms", 0, false, func(p *part) int64 { return p.last }, func(p *part, v int64) { p.last = v }},
		{"arrived_ms", Status, false, func(p *part) int64 { return p.arrived }, func(p *part, v int64) { p.arrived = v }},
		{"count", 0, false, func(p *part) int64 { return p.n }, func(p *part, v int64) { p.n = v }},
		{"bad_count", 0, false, func(p *part) int64 { return p.bad }, func(p *part, v int64) { p.bad = v }},
		{"covered_ms", Power, true, func(p *part) int64 { return p.covered }, func(p *part, v int64) { p.covered = v }},
		{"power_first_ms", Power, true, func(p *part) int64 {
			if !p.powered {
				return p.at - 1 // before the step: there is none
			}
			return p.head.at
		}, func(p *part, v int64) { p.head.at, p.powered = v, v >= p.at }},
		{"power_last_ms", Power, true, func(p *part) int64 {
			if !p.powered {
				return p.at - 1
			}
			return p.tail.at
		}, func(p *part, v int64) { p.tail.at = v }},
	}
	for k := range values {
		name := columnNames[colValues+k]
		list = append(list, partInt{
			name[:strings.LastIndexByte(name, '_')] + "_count", 1 << k, false,
			func(p *part) int64 { return p.values[k].n }, func(p *part, v int64) { p.values[k].n = v },
		})
	}
	return list
}()

var partNumbers = func() (list []partNumber) {
	for k := range values {
		name := columnNames[colValues+k]
		cut := strings.LastIndexByte(name, '_')
		base, unit := name[:cut], name[cut:]
		list = append(list,
			partNumber{base + "_sum" + unit, k, true, func(p *part) float64 { return p.values[k].sum }, func(p *part, v float64) { p.values[k].sum = v }},
			partNumber{base + "_min" + unit, k, false, func(p *part) float64 { return p.values[k].min }, func(p *part, v float64) { p.values[k].min = v }},
			partNumber{base + "_max" + unit, k, false, func(p *part) float64 { return p.values[k].max }, func(p *part, v float64) { p.values[k].max = v }},
			partNumber{base + "_last" + unit, k, false, func(p *part) float64 { return p.values[k].last }, func(p *part, v float64) { p.values[k].last = v }},
		)
	}
	return append(list,
		partNumber{"power_first_kw", power, false, func(p *part) float64 { return p.head.kw }, func(p *part, v float64) { p.head.kw = v }},
		// Null where it is power_last_kw: other than that it is finite.
		partNumber{"power_end_kw", power, false, func(p *part) float64 {
			if p.tail.kw == p.values[power].last {
				return math.NaN()
			}
			return p.tail.kw
		}, func(p *part, v float64) {
			if p.tail.kw = v; v != v {
				p.tail.kw = p.values[power].last
			}
		}},
		// A kW·ms is a joule.
		partNumber{"energy_in_j", power, false, func(p *part) float64 { return p.in }, func(p *part, v float64) { p.in = v }},
		partNumber{"energy_out_j", power, false, func(p *part) float64 { return p.out }, func(p *part, v float64) { p.out = v }},
	)
}()

// power is the position of the power among the measured quantities.
const power = 4

var partNames = func() []string {
	names := []string{columnNames[colSlot], columnNames[colDevice], columnNames[colTime], "whole", "status", "quality", "flags"}
	for _, c := range partInts {
		names = append(names, c.name)
	}
	for _, c := range partNumbers {
		names = append(names, c.name)
	}
	return names
}()

var kindWhole = kind{kindFlags.physical, -1, false, kindFlags.logical, kindFlags.legacy}

// tidy rounds what was computed to a millionth, where that is as good as the number: what
// devices report lies on decimal grids, and so do its sums.
func tidy(x float64) float64 {
	const fine = 1e6
	if a := math.Abs(x); a < 1<<52/fine {
		return math.RoundToEven(x*fine) / fine
	}
	return x
}

// parts writes a table of parts, by slot and time, under a temporary name.
func (w *writer) parts(parts []part, t *table, opt *Options, dir string) error {
	var slots []device.Slot
	var ends []int
	for i := range parts {
		p := &parts[i]
		if n := len(slots); n == 0 || slots[n-1] != p.slot {
			ends = cutPages(ends, i, minParts)
			slots = append(slots, p.slot)
		}
		p.in, p.out = tidy(p.in), tidy(p.out)
		for k := range p.values {
			if v := &p.values[k]; math.Abs(tidy(v.sum)-v.sum) <= 1e-12*math.Abs(v.sum) {
				v.sum = tidy(v.sum)
			}
		}
	}
	if ends = cutPages(ends, len(parts), minParts); len(ends) == 0 || ends[len(ends)-1] < len(parts) {
		ends = append(ends, len(parts))
	}
	names := make([]string, len(slots))
	for i, slot := range slots {
		names[i] = string(opt.Name(slot))
	}
	dict, code := dictOf(names)
	states := newVocabulary(func(yield func(string) bool) {
		for i := range parts {
			if parts[i].word != "" && !yield(parts[i].word) {
				return
			}
		}
	})
	w.encode(len(partNames), len(parts), ends, opt.Workers, func(e *encoder, col *column, i int) {
		name := partNames[i]
		switch i {
		case colSlot:
			e.ints32(col, name, kindSlot, func(dst []int32, a, b int) {
				for j := range dst {
					dst[j] = int32(parts[a+j].slot)
				}
			})
		case colDevice:
			e.words(col, name, dict, func(dst []int32, a, b int) {
				rank, _ := slices.BinarySearch(slots, parts[a].slot)
				for j := range dst {
					if parts[a+j].slot != slots[rank] {
						rank++
					}
					dst[j] = code[rank]
				}
			})
		case colTime:
			e.ints64(col, name, func(dst []int64, a, b int) {
				for j := range dst {
					dst[j] = parts[a+j].at
				}
			})
		case colWhole:
			e.ints32(col, name, kindWhole, func(dst []int32, a, b int) {
				for j := range dst {
					dst[j] = 0
					if parts[a+j].whole {
						dst[j] = 1
					}
				}
			})
		case colPartStatus:
			e.words(col, name, states.dict, func(dst []int32, a, b int) {
				for j := range dst {
					p := &parts[a+j]
					if dst[j] = states.known[p.status]; p.status == device.OtherStatus {
						dst[j] = states.code(p.word)
					}
				}
			})
		case colPartQuality:
			e.words(col, name, qualityWords, func(dst []int32, a, b int) {
				for j := range dst {
					dst[j] = qualityCode[parts[a+j].quality]
				}
			})
		case colPartFlags:
			e.ints32(col, name, kindFlags, func(dst []int32, a, b int) {
				for j := range dst {
					dst[j] = int32(parts[a+j].flags)
				}
			})
		default:
			if n := i - colPartInts; n < len(partInts) {
				e.ints64(col, name, func(dst []int64, a, b int) {
					for j := range dst {
						dst[j] = partInts[n].get(&parts[a+j])
					}
				})
				return
			}
			e.partNumbers(col, &partNumbers[i-colPartInts-len(partInts)], parts)
		}
	})
	t.Rows, t.MinSlot, t.MaxSlot = int64(len(parts)), slots[0], slots[len(slots)-1]
	t.MinAt, t.MaxAt = math.MaxInt64, math.MinInt64
	for i := range parts {
		t.MinAt, t.MaxAt = min(t.MinAt, parts[i].at), max(t.MaxAt, parts[i].at+t.step-1)
	}
	return w.save(t, "part", len(slots), dir)
}

// partNumbers encodes a number of parts; it is null where no reading has it.
func (e *encoder) partNumbers(col *column, c *partNumber, parts []part) {
	value := func(p *part) float64 {
		if p.values[c.quantity].n == 0 {
			return math.NaN()
		}
		return c.get(p) + 0 // -0 becomes 0
	}
	g := grid{scale: baseScale}
	var some [chunkRows]float64
	for i := 0; i < len(parts); {
		n := 0
		for ; n < len(some) && i < len(parts); i, n = i+1, n+1 {
			some[n] = value(&parts[i])
		}
		g.look(some[:n])
	}
	e.numbers(col, c.name, &g, func(a, b int) []float64 {
		e.floats = resize(e.floats, b-a)
		e.present = resize(e.present, (b-a+7)/8)
		clear(e.present)
		n := 0
		for j := range b - a {
			if x := value(&parts[a+j]); x == x {
				e.floats[n] = x
				n++
				e.present[j/8] |= 1 << (j % 8)
			}
		}
		return e.floats[:n]
	})
}

// meansOnly asks for what the mean of a step needs, and nothing else of a quantity.
const meansOnly Fields = 1 << 14

// partReader reads the parts of one slot after the other out of a table.
type partReader struct {
	reader
	fields Fields
	single bool // one slot is asked for, so that others on its pages are passed over
	page   int  // that is decoded; -1: none
	parts  []part
	floats []float64
}

func (s *Store) newPartReader(t *table, fields Fields) (*partReader, error) {
	x, err := s.index.get(t)
	if err != nil {
		return nil, err
	}
	r := &partReader{reader: reader{g: t, x: x}, fields: fields, page: -1}
	if r.f, err = t.reopen(); err != nil {
		return nil, err
	}
	return r, nil
}

// slotParts calls yield with the parts of the slot that begin in from ≤ t < to, ascending.
func (r *partReader) slotParts(slot device.Slot, from, to int64, yield func(p *part)) error {
	first, end := r.x.pages(slot)
	for p := first; p < end; p++ {
		if r.x.hiAt[p] < from || r.x.loAt[p] >= to {
			continue
		}
		if p != r.page {
			if err := r.decode(p, slot); err != nil {
				r.page = -1
				return r.g.damaged(err)
			}
			r.page = p
		}
		n, _ := slices.BinarySearchFunc(r.parts, slot, func(p part, s device.Slot) int { return cmp.Compare(p.slot, s) })
		rest := r.parts[n:]
		rest = rest[:sort.Search(len(rest), func(i int) bool { return rest[i].slot > slot })]
		for i := sort.Search(len(rest), func(i int) bool { return rest[i].at >= from }); i < len(rest) && rest[i].at < to; i++ {
			yield(&rest[i])
		}
	}
	return nil
}

// decode reads page p.
func (r *partReader) decode(p int, slot device.Slot) error {
	slots, err := r.ints32(colSlot, p)
	if err != nil {
		return err
	}
	lo, hi := 0, len(slots)
	if r.single {
		lo = sort.Search(hi, func(i int) bool { return device.Slot(slots[i]) >= slot })
		hi = sort.Search(hi, func(i int) bool { return device.Slot(slots[i]) > slot })
	}
	r.parts = resize(r.parts, hi-lo)
	clear(r.parts)
	for j, v := range slots[lo:hi] {
		r.parts[j].slot = device.Slot(v)
	}
	if lo == hi {
		return nil
	}
	at, err := r.ints64(colTime, p)
	if err != nil {
		return err
	}
	for j, v := range at[lo:hi] {
		r.parts[j].at = v
	}
	whole, err := r.ints32(colWhole, p)
	if err != nil {
		return err
	}
	for j, v := range whole[lo:hi] {
		r.parts[j].whole = v != 0
	}
	if r.fields&Status != 0 {
		if err := r.decodeState(p, lo, hi); err != nil {
			return err
		}
	}
	for i, c := range partInts {
		if c.of != 0 && r.fields&c.of == 0 || c.energy && r.fields&meansOnly != 0 {
			continue
		}
		v, err := r.ints64(colPartInts+i, p)
		if err != nil {
			return err
		}
		for j, x := range v[lo:hi] {
			c.set(&r.parts[j], x)
		}
	}
	for i, c := range partNumbers {
		if r.fields&(1<<c.quantity) == 0 || !c.mean && r.fields&meansOnly != 0 {
			continue
		}
		r.floats = resize(r.floats, hi-lo)
		if err := r.values(r.floats, colPartInts+len(partInts)+i, p, lo); err != nil {
			return err
		}
		for j, x := range r.floats {
			if q := &r.parts[j]; q.values[c.quantity].n > 0 {
				c.set(q, x)
			}
		}
	}
	return nil
}

// decodeState reads status, quality and flags of rows [lo, hi) of page p.
func (r *partReader) decodeState(p, lo, hi int) error {
	flags, err := r.ints32(colPartFlags, p)
	if err != nil {
		return err
	}
	for j, v := range flags[lo:hi] {
		r.parts[j].flags = device.Flags(v)
	}
	quality, err := r.indices(colPartQuality, p)
	if err != nil {
		return err
	}
	for j, v := range quality[lo:hi] {
		if err := r.parts[j].quality.UnmarshalText([]byte(r.x.dict[colPartQuality][v])); err != nil {
			return err
		}
	}
	status, err := r.indices(colPartStatus, p)
	if err != nil {
		return err
	}
	for j, v := range status[lo:hi] {
		word := r.x.dict[colPartStatus][v]
		s, ok := device.ParseStatus(word)
		if r.parts[j].status = s; !ok {
			r.parts[j].word = word
		}
	}
	return nil
}
