// Package fault wraps fleets so that what scenario files ask for goes wrong
// between gateway and driver: late, lost, doubled, corrupted, reordered, biased,
// noisy, stuck or frozen readings and commands, and links that are down. A
// wrapper is seeded: the same seed makes the same things go wrong.
package fault

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform/device"
)

// Restarting is how long a device is away when it restarts.
const Restarting = 5 * time.Second

// Fleet is a fleet with faults. The zero number of faults costs nothing.
type Fleet struct {
	next   device.Fleet
	ids    []device.ID
	seed   uint64
	rules  [][]*rule // active ones by index, in the order in which they began
	active int
	in     device.Readings
}

var _ device.Fleet = (*Fleet)(nil)

// rule is one fault on one device.
type rule struct {
	f        *scenario.Injection
	readings bool
	commands bool
	rng      *rand.Rand
	field    field
	first    device.Reading // what stuck and frozen repeat
	has      bool
}

// Wrap returns next with no faults yet. ids[i] names the device with index i.
func Wrap(next device.Fleet, ids []device.ID, seed uint64) *Fleet {
	return &Fleet{next: next, ids: ids, seed: seed, rules: make([][]*rule, next.Size())}
}

// Begin starts the fault on the devices with the given indices and returns what
// ends it. number tells apart faults of one kind in one run.
func (f *Fleet) Begin(number int, inj *scenario.Injection, indices []int) (end func()) {
	var mine []*rule
	for _, i := range indices {
		r := &rule{
			f: inj, field: fieldOf(inj.Field),
			readings: inj.On != "commands", commands: inj.On == "commands" || inj.On == "both",
			rng: stream(f.seed, fmt.Sprintf("fault %d %s %s", number, inj.Kind, f.ids[i])),
		}
		f.rules[i] = append(f.rules[i], r)
		f.active++
		mine = append(mine, r)
	}
	return func() {
		for k, i := range indices {
			for j, r := range f.rules[i] {
				if r == mine[k] {
					f.rules[i] = append(f.rules[i][:j:j], f.rules[i][j+1:]...)
					f.active--
					break
				}
			}
		}
	}
}

// stream is the random source of one named component.
func stream(seed uint64, name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// Size implements device.Fleet.
func (f *Fleet) Size() int { return f.next.Size() }

// ReadAll implements device.Fleet. Rows that are still on their way carry an
// Arrived after now.
func (f *Fleet) ReadAll(ctx context.Context, now time.Time, into *device.Readings) error {
	if f.active == 0 {
		return f.next.ReadAll(ctx, now, into)
	}
	f.in.Reset()
	err := f.next.ReadAll(ctx, now, &f.in) // rows in hand are kept whatever it says
	var r device.Reading
	for i := range f.in.Slot {
		f.in.Row(i, &r)
		copies := 1
		for _, rule := range f.rules[r.Slot] {
			if rule.readings {
				copies = rule.read(&r, copies)
			}
		}
		for range copies {
			into.Append(&r)
		}
	}
	return err
}

// read lets the fault act on a reading and returns how many of it arrive.
func (r *rule) read(x *device.Reading, copies int) int {
	switch r.f.Kind {
	case "link-down", "restart":
		return 0
	case "drop":
		if r.rng.Float64() < r.f.Ratio {
			return 0
		}
	case "duplicate":
		if r.rng.Float64() < r.f.Ratio {
			return 2 * copies
		}
	case "latency":
		x.Arrived += r.delay().Milliseconds()
	case "reorder":
		x.Arrived += int64(r.rng.Float64() * float64(r.f.By.Duration.Milliseconds()))
	case "corrupt":
		if r.rng.Float64() < r.f.Ratio {
			r.corrupt(x)
		}
	case "bias":
		if v := r.field.of(x); v != nil {
			*v += r.f.By.Number
		}
	case "noise":
		if v := r.field.of(x); v != nil {
			*v += r.rng.NormFloat64() * r.f.SD
		}
	case "stuck":
		if !r.has {
			r.first, r.has = *x, true
		}
		if r.f.Field == "status" {
			x.Status, x.Word = r.first.Status, r.first.Word
		} else if v := r.field.of(x); v != nil {
			*v = *r.field.of(&r.first)
		}
	case "frozen":
		if !r.has {
			r.first, r.has = *x, true
		}
		at, arrived, slot := x.At, x.Arrived, x.Slot
		*x = r.first
		x.At, x.Arrived, x.Slot = at, arrived, slot
	}
	return copies
}

func (r *rule) delay() time.Duration {
	d := r.f.By.Duration + time.Duration((2*r.rng.Float64()-1)*float64(r.f.Jitter))
	return max(0, d)
}

// corrupt flips one bit of one value, as a line without a checksum does; one of
// the exponent's, so that it shows.
func (r *rule) corrupt(x *device.Reading) {
	v := field(r.rng.IntN(int(fields))).of(x)
	*v = math.Float64frombits(math.Float64bits(*v) ^ 1<<(52+r.rng.IntN(11)))
	if math.IsNaN(*v) {
		*v = math.MaxFloat64
	}
}

// WriteAll implements device.Fleet. Delayed commands reach the device later;
// lost ones are not answered.
func (f *Fleet) WriteAll(ctx context.Context, now time.Time, cmds []device.Command, acks []device.Ack) ([]device.Ack, error) {
	if f.active == 0 {
		return f.next.WriteAll(ctx, now, cmds, acks)
	}
	for i := range cmds {
		var err error
		if acks, err = f.write(ctx, now, cmds[i:i+1], acks); err != nil {
			return acks, err
		}
	}
	return acks, nil
}

func (f *Fleet) write(ctx context.Context, now time.Time, one []device.Command, acks []device.Ack) ([]device.Ack, error) {
	c := &one[0]
	if int(c.Slot) >= len(f.rules) { // the fleet says itself that there is no such device
		return f.next.WriteAll(ctx, now, one, acks)
	}
	times := 1
	for _, r := range f.rules[c.Slot] {
		if !r.commands {
			continue
		}
		switch r.f.Kind {
		case "link-down", "restart":
			return append(acks, c.Answer(device.Failure, now.UnixMilli(), "OFFLINE", "the link is down")), nil
		case "drop", "corrupt": // a device refuses what fails its checksum without a word
			if r.rng.Float64() < r.f.Ratio {
				return acks, nil
			}
		case "duplicate":
			if r.rng.Float64() < r.f.Ratio {
				times++
			}
		case "latency":
			now = now.Add(r.delay())
		case "reorder":
			now = now.Add(time.Duration(r.rng.Float64() * float64(r.f.By.Duration)))
		}
	}
	from := len(acks)
	for range times {
		var err error
		if acks, err = f.next.WriteAll(ctx, now, one, acks[:from]); err != nil {
			return acks, err
		}
	}
	return acks, nil
}

// field is one measured value of a reading.
type field int

const (
	fieldSoC field = iota
	fieldVoltage
	fieldCurrent
	fieldPower
	fieldTemperature
	fields
	fieldSoH
	fieldNone
)

func fieldOf(name string) field {
	switch name {
	case "soc":
		return fieldSoC
	case "soh":
		return fieldSoH
	case "voltage":
		return fieldVoltage
	case "current":
		return fieldCurrent
	case "power":
		return fieldPower
	case "temperature":
		return fieldTemperature
	}
	return fieldNone
}

func (k field) of(r *device.Reading) *float64 {
	switch k {
	case fieldSoC:
		return &r.SoC
	case fieldSoH:
		return &r.SoH
	case fieldVoltage:
		return &r.Voltage
	case fieldCurrent:
		return &r.Current
	case fieldPower:
		return &r.Power
	case fieldTemperature:
		return &r.Temperature
	}
	return nil
}
