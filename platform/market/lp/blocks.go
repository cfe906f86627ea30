package lp

import (
	"context"
	"encoding/binary"
	"math"

	"gonum.org/v1/gonum/floats"

	"yunchu/platform/market/spread"
)

// normal factors A·D·Aᵀ for one A and many diagonal D. Rows that many columns share, the border, are set
// aside; what is left falls into blocks that know nothing of each other: the sites of a fleet. With T
// the matrix of a block, and B what it has in common with the border, C,
//
//	S = C − Σ Bᵀ·T⁻¹·B
//
// is all that the blocks mean to the border (the Schur complement), and S is dense and small.
// A problem that has no such rows is one block, or as many as it falls into.
type normal struct {
	rows   int
	blocks []block // the last one of the columns that are in none
	border []int32 // rows of A
	groups []group // of blocks, each worked on by one processor

	s        []float64 // the factor of S, by rows
	diagonal []float64 // of C
	y        []float64 // by border
}

// block is a set of rows.
type block struct {
	*shape
	rows     []int32   // of A, by row of the block
	from, to int       // the columns of A that have one of the rows
	border   []int32   // by local number: which of the border
	by       []float64 // by product
	keep     []float64 // B
	value    []float64 // the factor of T
}

// shape is what blocks that look the same share.
type shape struct {
	*pattern
	turn  []int32 // by border row in the order of the columns: in which turn elimination meets it
	sizes []int32 // by column: its entries, each of which is multiplied by those before it and by itself
	slot  []int32 // by product: what it is a part of: entries of T, then those of B, then those of C
	b     []entry // by row in the order of elimination, then by local border
	c     []entry
	seen  []int32 // by row in the order of elimination: how many of the border can be other than 0 in T⁻¹·B there, going forth
}

// entry is one of B, with a row in the order of elimination, or of C. Members of the border are
// numbered in the order in which elimination meets them.
type entry struct{ row, border int32 }

// group is a range of blocks with the memory that their work needs.
type group struct {
	number, first, last int
	*scratch
	entries []float64
	w       []float64 // T⁻¹·B, by rows of the block
	s       []float64 // what goes into S
	diag    []float64
	x, y    []float64 // a right side: of the block, of the border
}

const (
	mostBorder = 1200
	mostGroups = 16
	groupSize  = 1000 // rows that are worth a processor's while
)

// newNormal takes what split has found, and columns in the order of their blocks.
func newNormal(a *matrix, home []int32, count int, border []int32) *normal {
	n := len(home)
	f := &normal{rows: n, border: border, blocks: make([]block, count+1)}
	m := len(border)
	local := make([]int32, n) // by row: its number within its block, or in the border
	for i, r := range border {
		local[r] = int32(i)
	}
	for r, at := range home {
		if at >= 0 {
			b := &f.blocks[at]
			local[r] = int32(len(b.rows))
			b.rows = append(b.rows, int32(r))
		}
	}
	for j := range len(a.start) - 1 {
		b := &f.blocks[belongs(a, home, j, count)]
		if b.to == 0 {
			b.from = j
		}
		b.to = j + 1
	}
	shapes := map[string]*shape{}
	number := make([]int32, m) // of a border row within the block, plus 1
	largest, widest, most, values, products := 0, 0, 0, 0, 0
	for i := range f.blocks {
		b := &f.blocks[i]
		b.meet(a, home, local, number, shapes)
		largest, widest = max(largest, len(b.rows)), max(widest, len(b.rows)*len(b.border))
		most = max(most, b.entries()+len(b.b)+len(b.c))
		values, products = values+len(b.index)+len(b.b), products+len(b.slot)
	}
	value, by := make([]float64, values), make([]float64, products)
	for i := range f.blocks {
		b := &f.blocks[i]
		b.value, value = value[:len(b.index)], value[len(b.index):]
		b.keep, value = value[:len(b.b)], value[len(b.b):]
		b.by, by = by[:len(b.slot)], by[len(b.slot):]
		at := 0
		for j := b.from; j < b.to; j++ {
			_, v := a.of(j)
			for x := range v {
				for y := range x + 1 {
					b.by[at] = v[x] * v[y]
					at++
				}
			}
		}
	}
	f.s, f.diagonal, f.y = make([]float64, m*m), make([]float64, m), make([]float64, m)
	f.divide(largest, widest, most)
	return f
}

// belongs is the block of a column; the last one, which has no rows, is of those that stand in
// the border only, or nowhere.
func belongs(a *matrix, home []int32, j, count int) int {
	for _, r := range a.row[a.start[j]:a.start[j+1]] {
		if home[r] >= 0 {
			return int(home[r])
		}
	}
	return count
}

// divide makes the groups, of about as many rows each.
func (f *normal) divide(largest, widest, most int) {
	m := len(f.border)
	parts := min(mostGroups, max(1, f.rows/groupSize), max(1, 1<<22/(1+m*m)))
	rows, from := 0, 0
	for i := range f.blocks {
		rows += len(f.blocks[i].rows)
		if rows*parts >= (len(f.groups)+1)*f.rows || i == len(f.blocks)-1 {
			f.groups = append(f.groups, group{
				number: len(f.groups), first: from, last: i + 1, scratch: newScratch(largest), entries: make([]float64, most), w: make([]float64, widest),
				s: make([]float64, m*m), diag: make([]float64, m), x: make([]float64, largest), y: make([]float64, m),
			})
			from = i + 1
		}
	}
}

// meet finds the border and the shape of a block whose rows and columns are known.
func (b *block) meet(a *matrix, home, local, number []int32, shapes map[string]*shape) {
	var (
		key  []byte
		rows []int32 // of all columns, local; those of the border from -1 down
		ends = make([]int32, 1, b.to-b.from+1)
	)
	for j := b.from; j < b.to; j++ {
		row, _ := a.of(j)
		for _, r := range row {
			at := local[r]
			if home[r] < 0 {
				if number[at] == 0 {
					b.border = append(b.border, at)
					number[at] = int32(len(b.border))
				}
				at = -number[at]
			}
			rows = append(rows, at)
			key = binary.LittleEndian.AppendUint32(key, uint32(at)) //nolint:gosec // only to be told apart
		}
		key = binary.LittleEndian.AppendUint32(key, math.MaxUint32>>1)
		ends = append(ends, int32(len(rows)))
	}
	for _, at := range b.border {
		number[at] = 0
	}
	key = binary.LittleEndian.AppendUint32(key, uint32(len(b.rows))) //nolint:gosec // as above
	if b.shape = shapes[string(key)]; b.shape == nil {
		b.shape = newShape(len(b.rows), len(b.border), ends, rows)
		shapes[string(key)] = b.shape
	}
	// The border as elimination meets it.
	sorted := make([]int32, len(b.border))
	for i, at := range b.border {
		sorted[b.turn[i]] = at
	}
	b.border = sorted
}

// factor makes the factors of all T, and that of S. It takes seconds where thousands of rows fill up, so that it ends with
// the context, whose error it returns.
func (f *normal) factor(ctx context.Context, d []float64) error {
	m := len(f.border)
	for i := range f.groups {
		clear(f.groups[i].s)
		clear(f.groups[i].diag)
	}
	f.sweep(func(g *group, b *block) { b.factor(ctx, d, g, m) })
	if m == 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	clear(f.s)
	clear(f.diagonal)
	for i := range f.groups {
		floats.Add(f.s, f.groups[i].s)
		floats.Add(f.diagonal, f.groups[i].diag)
	}
	for i := range m { // what fell on the other side of the diagonal
		for k := range i {
			f.s[i*m+k] += f.s[k*m+i]
		}
	}
	for i := range m {
		row := f.s[i*m : i*m+i+1]
		for k := range i {
			above := f.s[k*m : k*m+k+1]
			row[k] = (row[k] - floats.Dot(row[:k], above[:k])) / above[k]
		}
		row[i] = root(row[i]-floats.Dot(row[:i], row[:i]), f.diagonal[i])
	}
	return nil
}

func (b *block) factor(ctx context.Context, d []float64, g *group, m int) {
	n, nt, nb := len(b.rows), b.entries(), len(b.b)
	entries := g.entries[:nt+nb+len(b.c)]
	clear(entries)
	at := 0
	for c, weight := range d[b.from:b.to] {
		size := int(b.sizes[c])
		end := at + size*(size+1)/2
		by := b.by[at:end]
		for x, slot := range b.slot[at:end] {
			entries[slot] += by[x] * weight
		}
		at = end
	}
	if !b.pattern.factor(ctx, entries[:nt], b.value, g.scratch) {
		return
	}
	copy(b.keep, entries[nt:nt+nb])
	for i, e := range b.c {
		x, y, v := b.border[e.row], b.border[e.border], entries[nt+nb+i]
		g.s[int(x)*m+int(y)] += v
		if x == y {
			g.diag[x] += v
		}
	}
	if nb == 0 {
		return
	}
	// W = L⁻¹·B, where each row has as many of the border as were met until then.
	wide := len(b.border)
	w := g.w[:n*wide]
	clear(w)
	for i, e := range b.b {
		w[int(e.row)*wide+int(e.border)] = b.keep[i]
	}
	for k := range n {
		if k%often == 0 && ctx.Err() != nil {
			return
		}
		row := w[k*wide : k*wide+int(b.seen[k])]
		from, to := b.start[k], b.start[k+1]
		floats.Scale(b.value[from], row)
		for x := from + 1; x < to; x++ {
			r := int(b.index[x]) * wide
			floats.AddScaled(w[r:r+len(row)], -b.value[x], row)
		}
	}
	// T⁻¹·B, of which half is enough since S is symmetric.
	for k := n - 1; k >= 0; k-- {
		if k%often == 0 && ctx.Err() != nil {
			return
		}
		row := w[k*wide : k*wide+int(b.seen[k])]
		from, to := b.start[k], b.start[k+1]
		for x := from + 1; x < to; x++ {
			r := int(b.index[x]) * wide
			floats.AddScaled(row, -b.value[x], w[r:r+len(row)])
		}
		floats.Scale(b.value[from], row)
	}
	for i, e := range b.b {
		into := g.s[int(b.border[e.border])*m:]
		row := w[int(e.row)*wide:]
		v := b.keep[i]
		for x, at := range b.border[:e.border+1] {
			into[at] -= v * row[x]
		}
	}
}

// solve replaces b, by row of A, by what A·D·Aᵀ makes it of.
func (f *normal) solve(b []float64) {
	f.sweep(func(g *group, k *block) { k.down(b, g) })
	f.across(b)
	f.sweep(func(g *group, k *block) { k.up(b, f.y, g) })
}

// sweep calls do for each block, with the memory of its group.
func (f *normal) sweep(do func(g *group, b *block)) {
	spread.Over(len(f.groups), func(i int) {
		g := &f.groups[i]
		for k := g.first; k < g.last; k++ {
			do(g, &f.blocks[k])
		}
	})
}

// across solves for the border, after down and before up.
func (f *normal) across(b []float64) {
	m := len(f.border)
	for i, r := range f.border {
		f.y[i] = b[r]
	}
	for i := range f.groups {
		floats.Sub(f.y, f.groups[i].y)
		clear(f.groups[i].y)
	}
	for i := range m {
		row := f.s[i*m : i*m+i+1]
		f.y[i] = (f.y[i] - floats.Dot(row[:i], f.y[:i])) / row[i]
	}
	for i := m - 1; i >= 0; i-- {
		row := f.s[i*m : i*m+i+1]
		f.y[i] /= row[i]
		floats.AddScaled(f.y[:i], -f.y[i], row[:i])
	}
	for i, r := range f.border {
		b[r] = f.y[i]
	}
}

// down solves T·x = b within the block, and adds Bᵀ·x.
func (b *block) down(right []float64, g *group) {
	x := g.x[:len(b.rows)]
	for i, r := range b.rows {
		x[b.place[i]] = right[r]
	}
	b.forth(b.value, x)
	b.back(b.value, x)
	for i, e := range b.b {
		g.y[b.border[e.border]] += b.keep[i] * x[e.row]
	}
	for i, r := range b.rows {
		right[r] = x[b.place[i]]
	}
}

// up takes T⁻¹·B·y off.
func (b *block) up(right, y []float64, g *group) {
	if len(b.b) == 0 {
		return
	}
	x := g.x[:len(b.rows)]
	clear(x)
	for i, e := range b.b {
		x[e.row] += b.keep[i] * y[b.border[e.border]]
	}
	b.forth(b.value, x)
	b.back(b.value, x)
	for i, r := range b.rows {
		right[r] -= x[b.place[i]]
	}
}
