package sunspec

import (
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
)

// Block is one model of a device with its registers.
type Block struct {
	ID    uint16
	Addr  int      // of the register with the ID
	Model *Model   // nil: not known here, and its registers were not read
	Regs  []uint16 // from the ID on, as many as the device says the model has
}

// NewBlock returns a block of n instances of the model's repeating group, if it has one,
// with no point implemented.
func NewBlock(m *Model, addr, n int) *Block {
	size := m.Size
	if m.Repeat != nil {
		size += n * m.Repeat.Size
	}
	b := &Block{ID: m.ID, Addr: addr, Model: m, Regs: make([]uint16, size)}
	if r := m.Repeat; r != nil && r.Count != "" {
		b.Regs[m.point(r.Count).Offset] = uint16(n) // so that Fields sees them
	}
	for f := range b.Fields() {
		missing(f.Type, b.Regs[f.At:f.At+f.Size])
	}
	b.Regs[0], b.Regs[1] = m.ID, uint16(size-headerSize)
	if r := m.Repeat; r != nil && r.Count != "" {
		b.Regs[m.point(r.Count).Offset] = uint16(n)
	}
	return b
}

// headerSize are the registers of ID and L, which L does not count.
const headerSize = 2

// Field is a point at its place in a block.
type Field struct {
	*Point
	Name string // with group and instance, such as Prt[0].DCV
	At   int    // registers from the block's ID
}

// Field finds a point. One that lies beyond the length that the device gives the model
// has a place and no value.
func (b *Block) Field(name string) (f Field, ok bool) {
	if b == nil || b.Model == nil {
		return Field{}, false
	}
	if p := b.Model.point(name); p != nil {
		return Field{p, name, p.Offset}, true
	}
	r := b.Model.Repeat
	group, rest, ok := strings.Cut(name, "[")
	if !ok || r == nil || group != r.Name {
		return Field{}, false
	}
	number, point, _ := strings.Cut(rest, "].")
	i, err := strconv.Atoi(number)
	k, known := r.index[point]
	if err != nil || !known || i < 0 || i >= b.Instances() {
		return Field{}, false
	}
	return b.instance(i, k), true
}

func (b *Block) instance(i, point int) Field {
	r := b.Model.Repeat
	p := &r.Points[point]
	return Field{p, fmt.Sprintf("%s[%d].%s", r.Name, i, p.Name), b.Model.Size + i*r.Size + p.Offset}
}

// Instances counts those of the repeating group that the registers hold.
func (b *Block) Instances() int {
	r := b.Model.Repeat
	if r == nil {
		return 0
	}
	room := max(len(b.Regs)-b.Model.Size, 0) / r.Size
	if r.Count == "" {
		return room
	}
	n, ok := b.Value(r.Count).Raw()
	if !ok {
		return room
	}
	return int(min(n, uint64(room)))
}

// Fields are all points of the block in their order.
func (b *Block) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		if b.Model == nil {
			return
		}
		for i := range b.Model.Points {
			p := &b.Model.Points[i]
			if !yield(Field{p, p.Name, p.Offset}) {
				return
			}
		}
		for i := range b.Instances() {
			for k := range b.Model.Repeat.Points {
				if !yield(b.instance(i, k)) {
					return
				}
			}
		}
	}
}

// Value is what a point holds; one that does not exist is not implemented.
func (b *Block) Value(name string) Value {
	f, ok := b.Field(name)
	if !ok {
		return Value{}
	}
	return b.At(f)
}

// At is what the point at f holds.
func (b *Block) At(f Field) Value {
	scale, ok := b.scale(f)
	if !ok || f.At+f.Size > len(b.Regs) {
		return Value{typ: f.Type}
	}
	return decode(f.Type, b.Regs[f.At:f.At+f.Size], scale)
}

// Float is what a point holds after its scale factor, or NaN.
func (b *Block) Float(name string) float64 { return b.Value(name).Float() }

// scale is the power of ten of the point at f; !ok: its scale factor is not implemented.
func (b *Block) scale(f Field) (scale int, ok bool) {
	if f.Scale == "" {
		return 0, true
	}
	at := b.Model.point(f.Scale).Offset
	if at >= len(b.Regs) {
		return 0, false
	}
	scale = int(int16(b.Regs[at]))
	return scale, scale >= -maxScale && scale <= maxScale
}

// Step is the smallest change of the point at f; NaN when its scale factor is not
// implemented.
func (b *Block) Step(f Field) float64 {
	scale, ok := b.scale(f)
	if !ok {
		return math.NaN()
	}
	return scaled(1, scale)
}

// Encode returns the registers that hold x at f, as Value.Any gives it, in the scale that
// the block has; nil and NaN are not implemented. ErrRange when they cannot, or the scale
// factor is not implemented.
func (b *Block) Encode(f Field, x any) ([]uint16, error) {
	scale, ok := b.scale(f)
	if v, number := x.(float64); !ok && x != nil && !(number && math.IsNaN(v)) {
		return nil, fmt.Errorf("%d.%s has no scale factor: %w", b.ID, f.Name, ErrRange)
	}
	regs := make([]uint16, f.Size)
	if err := encode(f.Type, regs, scale, x); err != nil {
		return nil, fmt.Errorf("%d.%s: %w", b.ID, f.Name, err)
	}
	return regs, nil
}

// Set writes x to the block's own registers. ErrRange as from Encode, and for a point
// that the block does not have.
func (b *Block) Set(name string, x any) error {
	f, ok := b.Field(name)
	if !ok || f.At+f.Size > len(b.Regs) {
		return fmt.Errorf("model %d of %d registers has no point %s: %w", b.ID, len(b.Regs), name, ErrRange)
	}
	regs, err := b.Encode(f, x)
	if err != nil {
		return err
	}
	copy(b.Regs[f.At:], regs)
	return nil
}
