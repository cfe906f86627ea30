package emul

import (
	"fmt"
	"math"

	"yunchu/hil/sunspec"
	"yunchu/hil/unit"
)

// described is a model as it is put together: which points it shows, and in which scale.
type described struct {
	id        uint16
	instances int
	scales    map[string]int
	points    []entry
}

// entry is a point by name.
type entry struct {
	name     string
	measured bool
	get      func(*screen) any
	put      func(*change, sunspec.Value) error
}

// number is a point that shows a measurement.
func number(name string, f func(*screen) float64) entry {
	return entry{name: name, measured: true, get: func(s *screen) any { return f(s) }}
}

// state is a point that shows a rating or a state.
func state(name string, f func(*screen) float64) entry {
	return entry{name: name, get: func(s *screen) any { return f(s) }}
}

// fixed is a point that never changes.
func fixed(name string, x any) entry {
	return entry{name: name, get: func(*screen) any { return x }}
}

// writable is a state that can be written.
func writable(name string, f func(*screen) float64, put func(*change, float64) error) entry {
	return entry{
		name: name, get: func(s *screen) any { return f(s) },
		put: func(c *change, v sunspec.Value) error { return put(c, v.Float()) },
	}
}

// of writes points of instance i of a repeating group.
func of(group string, i int, list ...entry) []entry {
	for k := range list {
		list[k].name = fmt.Sprintf("%s[%d].%s", group, i, list[k].name)
	}
	return list
}

// describe is the map of a unit.
func describe(v *unit.View) []described {
	return []described{
		common(v), inverter(v), nameplate(v), settings(), status(), controls(), storage(v), inputs(v),
		measureAC(v), capacity(v), controlAC(), capacityDC(v), measureDC(v), control(), battery(v), bank(v),
	}
}

// build gives the points their places; what the model does not have is a fault of ours,
// and an error.
func (d described) build(at, base int) (*model, error) {
	m := &model{at: at, block: sunspec.NewBlock(sunspec.Lookup(d.id), base+at, d.instances), index: map[int]int{}}
	for name, exp := range d.scales {
		f, ok := m.block.Field(name)
		if !ok || f.Type != sunspec.ScaleFactor {
			return nil, fmt.Errorf("model %d has no scale factor %s", d.id, name)
		}
		m.scales = append(m.scales, scale{f.At, exp})
	}
	for _, e := range d.points {
		f, ok := m.block.Field(e.name)
		if !ok || e.put != nil && !f.RW {
			return nil, fmt.Errorf("model %d has no such point %s", d.id, e.name)
		}
		for k := range f.Size {
			m.index[f.At+k] = len(m.points)
		}
		m.points = append(m.points, shown{f, e.measured, e.get, e.put})
	}
	return m, nil
}

// headroom is how much more than its rating a value may show.
const headroom = 1.5

// scaleFor is the finest scale, not below least, in which a register of 15 bits with
// sign holds headroom times x.
func scaleFor(x float64, least int) int {
	for e := least; ; e++ {
		if headroom*x/math.Pow10(e) <= math.MaxInt16 {
			return e
		}
	}
}
