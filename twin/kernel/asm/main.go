// Asm writes the vector code of yunchu/twin/kernel, from one description for all
// widths of registers:
//
//	go generate ./twin/kernel
//
// It does what portable.go there does, the same operations in the same order;
// The names are those of portable.go.
package main

import (
	"math"
	"unsafe"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"yunchu/twin/kernel"
)

func main() {
	Package("yunchu/twin/kernel")
	ConstraintExpr("amd64,!kernelgen") // this program runs without what it writes
	one, sign := row("one", 1), row("sign", math.Copysign(0, -1))
	sweep("sweepAVX512", avx512{}, one, sign)
	predict("predictAVX512", avx512{}, one, sign)
	sweep("sweepAVX2", avx2{}, one, sign)
	predict("predictAVX2", avx2{}, one, sign)
	Generate()
}

var (
	slot  kernel.Slot
	drive kernel.Drive
	tick  kernel.Tick
	place kernel.Place
)

// all are the rows of a drive that grow from slot to slot, the first ones where slots
// are predicted.
var all = []uintptr{
	unsafe.Offsetof(drive.A), unsafe.Offsetof(drive.B),
	unsafe.Offsetof(drive.Stored), unsafe.Offsetof(drive.Over), unsafe.Offsetof(drive.Entropic),
	unsafe.Offsetof(drive.Bled), unsafe.Offsetof(drive.ToAir), unsafe.Offsetof(drive.ToCoolant),
	unsafe.Offsetof(drive.VMin), unsafe.Offsetof(drive.VMax), unsafe.Offsetof(drive.TMin),
	unsafe.Offsetof(drive.TMax), unsafe.Offsetof(drive.ZMin), unsafe.Offsetof(drive.ZMax),
	unsafe.Offsetof(drive.Flow),
}

const predicted = 2

// generator is one sweep under way.
type generator struct {
	machine

	slot, place, tick, drive reg.Register
	one, sign                constant
	part                     int // of the row, in registers
	acc                      map[uintptr]reg.VecVirtual
	state                    map[uintptr]reg.VecVirtual // rows of the slot that correct leaves to what follows
}

// corrected are the rows of a slot that correct has changed and that are needed next.
var corrected = []uintptr{
	unsafe.Offsetof(slot.Z), unsafe.Offsetof(slot.H), unsafe.Offsetof(slot.V1), unsafe.Offsetof(slot.V2),
	unsafe.Offsetof(slot.T), unsafe.Offsetof(slot.Lost),
}

// start begins a function on slots with a signature, and loads what all of them need.
func start(name, signature, does string, m machine, one, sign constant) *generator {
	TEXT(name, NOSPLIT, signature)
	Doc(name + " is " + does + ".")
	g := &generator{machine: m, one: one, sign: sign, acc: map[uintptr]reg.VecVirtual{}}
	g.slot, g.tick, g.drive = Load(Param("s"), GP64()), Load(Param("k"), GP64()), Load(Param("d"), GP64())
	return g
}

// sweep writes sweepPortable.
func sweep(name string, m machine, one, sign constant) {
	g := start(name, "func(s *Slot, places *Place, k *Tick, d *Drive, from, to int, list *Rare) (listed int)",
		"sweepPortable", m, one, sign)
	g.place = Load(Param("places"), GP64())
	n, to := Load(Param("from"), GP64()), Load(Param("to"), GP64())
	list := Load(Param("list"), GP64())
	listed, done := GP64(), GP64()
	XORQ(listed, listed)
	MOVQ(g.of(g.drive, unsafe.Offsetof(drive.Corrected)), done)
	at := GP64()
	IMUL3Q(U32(unsafe.Sizeof(slot)), n, at)
	ADDQ(at, g.slot)
	IMUL3Q(U32(unsafe.Sizeof(place)), n, at)
	ADDQ(at, g.place)
	g.accumulators(all)
	if m.keeps() {
		g.state = map[uintptr]reg.VecVirtual{}
		for _, row := range corrected {
			g.state[row] = g.vector()
		}
	}

	Label("loop")
	CMPQ(n, to)
	JGE(LabelRef("done"))
	CMPQ(done, n)
	JGT(LabelRef("corrected"))
	for g.part = range m.parts() {
		g.correct()
	}
	INCQ(done)
	JMP(LabelRef("expect"))

	Label("corrected")
	for _, row := range corrected {
		if m.keeps() {
			g.move(g.s(row), g.state[row])
		}
	}

	Label("expect")
	w := make([]expected, m.parts())
	lanes := GP32()
	for g.part = range m.parts() {
		var bits reg.GPVirtual
		w[g.part], bits = g.expect(true)
		if g.part == 0 {
			MOVL(bits, lanes)
		} else {
			SHLL(U8(8*g.part/m.parts()), bits)
			ORL(bits, lanes)
		}
	}
	TESTL(lanes, lanes)
	JNE(LabelRef("rare"))
	for g.part = range m.parts() {
		g.predict(w[g.part])
	}
	Label("next")
	INCQ(n)
	ADDQ(U32(unsafe.Sizeof(slot)), g.slot)
	ADDQ(U32(unsafe.Sizeof(place)), g.place)
	JMP(LabelRef("loop"))

	Label("rare")
	MOVL(n.(reg.GPVirtual).As32(), Mem{Base: list, Index: listed, Scale: 8})
	MOVL(lanes, Mem{Base: list, Index: listed, Scale: 8, Disp: 4})
	INCQ(listed)
	JMP(LabelRef("next"))

	Label("done")
	g.store(all)
	MOVQ(done, g.of(g.drive, unsafe.Offsetof(drive.Corrected)))
	Store(listed, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// predict writes predictPortable.
func predict(name string, m machine, one, sign constant) {
	g := start(name, "func(s *Slot, k *Tick, d *Drive, list *Rare, listed int)", "predictPortable", m, one, sign)
	slots := g.slot
	list, listed := Load(Param("list"), GP64()), Load(Param("listed"), GP64())
	g.accumulators(all[:predicted])

	Label("loop")
	TESTQ(listed, listed)
	JE(LabelRef("done"))
	at := GP64()
	MOVLQSX(Mem{Base: list}, at)
	IMUL3Q(U32(unsafe.Sizeof(slot)), at, at)
	ADDQ(slots, at)
	g.slot = at
	for g.part = range m.parts() {
		w, _ := g.expect(false)
		g.predict(w)
	}
	ADDQ(U8(unsafe.Sizeof(kernel.Rare{})), list)
	DECQ(listed)
	JMP(LabelRef("loop"))

	Label("done")
	g.store(all[:predicted])
	VZEROUPPER()
	RET()
}

// accumulators loads those rows of the drive that grow, where registers keep them.
func (g *generator) accumulators(rows []uintptr) {
	if g.keeps() {
		for _, a := range rows {
			g.acc[a] = g.load(g.of(g.drive, a))
		}
	}
}

// store puts them back.
func (g *generator) store(rows []uintptr) {
	if g.keeps() {
		for _, a := range rows {
			g.move(g.acc[a], g.of(g.drive, a))
		}
	}
}

func (g *generator) of(base reg.Register, offset uintptr) Mem {
	return Mem{Base: base, Disp: int(offset)}
}

// Rows of memory, the part that is worked on.

func (g *generator) row(base reg.Register, offset uintptr) Mem {
	return g.of(base, offset+uintptr(g.part*64/g.parts()))
}
func (g *generator) s(offset uintptr) Mem { return g.row(g.slot, offset) }
func (g *generator) d(offset uintptr) Mem { return g.row(g.drive, offset) }

// k and p are one number for all lanes.

func (g *generator) k(offset uintptr) scalar { return scalar{g.of(g.tick, offset)} }
func (g *generator) p(offset uintptr) scalar { return scalar{g.of(g.place, offset)} }

// now is a row of the slot that correct has changed, in a register.
func (g *generator) now(row uintptr) reg.VecVirtual {
	if g.state != nil {
		return g.state[row]
	}
	return g.load(g.s(row))
}

// change is a register for what a row of the slot becomes.
func (g *generator) change(row uintptr) reg.VecVirtual {
	if g.state != nil {
		return g.state[row]
	}
	return g.vector()
}

// load brings a row into a register of its own.
func (g *generator) load(m Mem) reg.VecVirtual {
	x := g.vector()
	g.move(m, x)
	return x
}

// grow lets f change an accumulator.
func (g *generator) grow(offset uintptr, f func(acc reg.VecVirtual)) {
	if g.keeps() {
		f(g.acc[offset])
		return
	}
	x := g.load(g.d(offset))
	f(x)
	g.move(x, g.d(offset))
}

// add adds x to an accumulator, accumulate x*y.
func (g *generator) add(offset uintptr, x Op) {
	g.grow(offset, func(acc reg.VecVirtual) { VADDPD(x, acc, acc) })
}

func (g *generator) accumulate(offset uintptr, x Op, y reg.VecVirtual) {
	g.grow(offset, func(acc reg.VecVirtual) { VFMADD231PD(x, y, acc) })
}

// extremes takes x into a least and a largest.
func (g *generator) extremes(x reg.VecVirtual, least, largest uintptr) {
	g.grow(least, func(acc reg.VecVirtual) { VMINPD(acc, x, acc) })
	g.grow(largest, func(acc reg.VecVirtual) { VMAXPD(acc, x, acc) })
}

// horner is c0 + y*(c1 + y*c2 + y*y*(c3 + y*c4)), the constants in memory from c0
// on; c0 may be another.
func (g *generator) horner(y reg.VecVirtual, c uintptr, c0 source) reg.VecVirtual {
	p, q, yy := g.vector(), g.vector(), g.vector()
	g.broadcast(g.k(c+32), p)
	g.op(fmadd213, g.k(c+24), y, p) // c3 + y*c4
	g.broadcast(g.k(c+16), q)
	g.op(fmadd213, g.k(c+8), y, q) // c1 + y*c2
	VMULPD(y, y, yy)
	VFMADD213PD(q, yy, p)
	g.op(fmadd213, c0, y, p)
	return p
}

// move of the state of charge with current i: perA with the efficiency in it, the
// move dz, the sign of i as 1 or -1, the size of the move.
func (g *generator) charge(i reg.VecVirtual) (perA, dz, sgn, y reg.VecVirtual) {
	raw := g.load(g.s(unsafe.Offsetof(slot.PerA)))
	perA = g.vector()
	g.op(mul, g.k(unsafe.Offsetof(tick.Eta)), raw, perA)
	g.pick(i, raw, perA)
	dz, sgn, y = g.vector(), g.vector(), g.vector()
	VMULPD(perA, i, dz)
	g.and(g.sign, i, sgn)
	g.or(g.one, sgn, sgn)
	g.andNot(g.sign, dz, y)
	return perA, dz, sgn, y
}

func (g *generator) correct() {
	bleed := g.s(unsafe.Offsetof(slot.Bleed))
	i := g.load(g.d(unsafe.Offsetof(drive.I)))
	VSUBPD(bleed, i, i)

	// State of charge and hysteresis.
	_, dz, far, y := g.charge(i)
	z := g.change(unsafe.Offsetof(slot.Z))
	VADDPD(g.s(unsafe.Offsetof(slot.Z)), dz, z)
	g.move(z, g.s(unsafe.Offsetof(slot.Z)))
	g.extremes(z, unsafe.Offsetof(drive.ZMin), unsafe.Offsetof(drive.ZMax))
	h := g.change(unsafe.Offsetof(slot.H))
	g.move(g.s(unsafe.Offsetof(slot.H)), h)
	VSUBPD(far, h, far)
	p := g.horner(y, unsafe.Offsetof(tick.Move), g.k(unsafe.Offsetof(tick.Move)))
	VMULPD(y, far, far)
	VFNMADD231PD(p, far, h)
	g.move(h, g.s(unsafe.Offsetof(slot.H)))

	// RC pairs.
	for _, rc := range []struct{ v, r, gain uintptr }{
		{unsafe.Offsetof(slot.V1), unsafe.Offsetof(slot.R1), unsafe.Offsetof(tick.Gain)},
		{unsafe.Offsetof(slot.V2), unsafe.Offsetof(slot.R2), unsafe.Offsetof(tick.Gain) + 8},
	} {
		v, x := g.change(rc.v), g.load(g.s(rc.r))
		g.move(g.s(rc.v), v)
		VFMSUB213PD(v, i, x)
		g.op(fmadd231, g.k(rc.gain), x, v)
		g.move(v, g.s(rc.v))
	}

	// Energy.
	u, over := g.load(g.s(unsafe.Offsetof(slot.US))), g.load(g.s(unsafe.Offsetof(slot.RB)))
	VFMADD213PD(g.s(unsafe.Offsetof(slot.UM)), i, u)
	VFMADD213PD(g.s(unsafe.Offsetof(slot.OV)), i, over)
	g.accumulate(unsafe.Offsetof(drive.Stored), u, i)
	v := u
	VADDPD(over, u, v)
	g.extremes(v, unsafe.Offsetof(drive.VMin), unsafe.Offsetof(drive.VMax))
	g.accumulate(unsafe.Offsetof(drive.Bled), bleed, v)
	q, entropic := over, g.vector()
	VMULPD(over, i, q)
	VMULPD(g.s(unsafe.Offsetof(slot.TE)), i, entropic)
	g.add(unsafe.Offsetof(drive.Over), q)
	g.add(unsafe.Offsetof(drive.Entropic), entropic)
	VADDPD(entropic, q, q)

	// Heat.
	tm := g.load(g.s(unsafe.Offsetof(slot.TM)))
	lost := g.outside(tm, unsafe.Offsetof(drive.AirK), unsafe.Offsetof(drive.AirT), unsafe.Offsetof(place.Air))
	g.add(unsafe.Offsetof(drive.ToAir), lost)
	coolant := g.outside(tm, unsafe.Offsetof(drive.CoolantK), unsafe.Offsetof(drive.CoolantT), unsafe.Offsetof(place.Coolant))
	g.add(unsafe.Offsetof(drive.ToCoolant), coolant)
	VADDPD(coolant, lost, lost)
	on := tm
	VSUBPD(g.s(unsafe.Sizeof(slot)+unsafe.Offsetof(slot.TM)), tm, on)
	g.op(mul, g.p(unsafe.Offsetof(place.Next)), on, on)
	g.grow(unsafe.Offsetof(drive.Flow), func(flow reg.VecVirtual) {
		VSUBPD(flow, lost, lost)
		g.move(on, flow)
	})
	out := g.change(unsafe.Offsetof(slot.Lost))
	VADDPD(on, lost, out)
	g.move(out, g.s(unsafe.Offsetof(slot.Lost)))
	heat := g.load(g.s(unsafe.Offsetof(slot.Heat)))
	VSUBPD(out, heat, heat)
	VADDPD(heat, q, q)
	t := g.change(unsafe.Offsetof(slot.T))
	g.move(g.s(unsafe.Offsetof(slot.T)), t)
	g.op(fmadd231, g.k(unsafe.Offsetof(tick.DtC)), q, t)
	g.move(t, g.s(unsafe.Offsetof(slot.T)))
	g.extremes(t, unsafe.Offsetof(drive.TMin), unsafe.Offsetof(drive.TMax))
}

// outside is the heat to something around: conductance*(share*tm - shareT).
func (g *generator) outside(tm reg.VecVirtual, share, shareT, conductance uintptr) reg.VecVirtual {
	x := g.load(g.d(share))
	VFMSUB213PD(g.d(shareT), tm, x)
	g.op(mul, g.p(conductance), x, x)
	return x
}

// expected is what expect leaves to predict: registers, or rows of memory where there
// are not enough of them.
type expected struct{ i, perA, z2, h Op }

// expect is expect and, if asked for, rare.
func (g *generator) expect(rare bool) (w expected, lanes reg.GPVirtual) {
	i := g.load(g.d(unsafe.Offsetof(drive.Ip)))
	VSUBPD(g.s(unsafe.Offsetof(slot.Bleed)), i, i)
	perA, dz, sgn, y := g.charge(i)
	z := g.now(unsafe.Offsetof(slot.Z))
	zp := dz
	VADDPD(dz, z, zp)
	if rare {
		lo, hi := g.vector(), g.vector()
		VMINPD(zp, z, lo)
		VMAXPD(zp, z, hi)
		off := g.vector()
		VSUBPD(g.s(unsafe.Offsetof(slot.T0)), g.now(unsafe.Offsetof(slot.T)), off)
		g.andNot(g.sign, off, off)
		lanes = g.any(
			compare{lo, less, g.s(unsafe.Offsetof(slot.From))},
			compare{hi, greater, g.s(unsafe.Offsetof(slot.To))},
			compare{off, greater, g.k(unsafe.Offsetof(tick.Stale))},
		)
	}
	z2 := z
	VADDPD(zp, z, z2)
	far := g.vector()
	VSUBPD(sgn, g.now(unsafe.Offsetof(slot.H)), far)
	p := g.horner(y, unsafe.Offsetof(tick.Stay), g.one)
	h := p
	VFMADD213PD(sgn, far, h)
	return expected{g.keep(i), g.keep(perA), g.keep(z2), g.keep(h)}, lanes
}

func (g *generator) predict(w expected) {
	z2, de := g.have(w.z2), g.load(g.s(unsafe.Offsetof(slot.DE)))
	line := func(slope, at0 uintptr) reg.VecVirtual {
		x := g.load(g.s(slope))
		VFMADD213PD(g.s(at0), z2, x)
		return x
	}
	e, r := g.vector(), line(unsafe.Offsetof(slot.DR), unsafe.Offsetof(slot.R0))
	g.move(de, e)
	VFMADD213PD(g.s(unsafe.Offsetof(slot.E0)), z2, e)
	m := line(unsafe.Offsetof(slot.DM), unsafe.Offsetof(slot.M0))

	// Mean overpotential over the step, but for what the resistances add.
	ov := g.vector()
	g.op(mul, g.k(unsafe.Offsetof(tick.Mean)+8), g.now(unsafe.Offsetof(slot.V2)), ov)
	g.op(fmadd231, g.k(unsafe.Offsetof(tick.Mean)), g.now(unsafe.Offsetof(slot.V1)), ov)
	VFMADD231PD(w.h, m, ov)
	g.move(ov, g.s(unsafe.Offsetof(slot.OV)))

	// Temperature at the middle.
	t, r0, v := g.now(unsafe.Offsetof(slot.T)), g.vector(), g.vector()
	VMULPD(g.s(unsafe.Offsetof(slot.G0)), r, r0)
	VMULPD(t, e, v)
	VFMADD231PD(w.i, r0, v)
	VADDPD(ov, v, v)
	q := g.load(g.s(unsafe.Offsetof(slot.Heat)))
	VSUBPD(g.now(unsafe.Offsetof(slot.Lost)), q, q)
	VFMADD231PD(w.i, v, q)
	tm := t
	g.op(fmadd231, g.k(unsafe.Offsetof(tick.HalfC)), q, tm)
	g.move(tm, g.s(unsafe.Offsetof(slot.TM)))

	// Mean open-circuit voltage.
	te, du := e, g.load(g.s(unsafe.Offsetof(slot.DU)))
	VMULPD(tm, e, te)
	g.move(te, g.s(unsafe.Offsetof(slot.TE)))
	us := de
	VFMADD213PD(du, tm, us)
	VMULPD(w.perA, us, us)
	g.move(us, g.s(unsafe.Offsetof(slot.US)))
	um := du
	VFMADD213PD(g.s(unsafe.Offsetof(slot.U0)), z2, um)
	VADDPD(te, um, um)
	VFNMADD231PD(w.i, us, um)
	g.move(um, g.s(unsafe.Offsetof(slot.UM)))
	VADDPD(ov, um, um)

	// Resistances.
	x := tm
	VSUBPD(g.s(unsafe.Offsetof(slot.T0)), tm, x)
	VMULPD(g.s(unsafe.Offsetof(slot.InvT2)), x, x)
	resistance := func(n int, gr reg.VecVirtual) {
		f, grow := g.vector(), unsafe.Offsetof(tick.Grow)+uintptr(16*n)
		g.broadcast(g.k(grow+8), f)
		g.op(fmadd213, g.k(grow), x, f)
		g.op(fmadd213, g.one, x, f)
		VMULPD(f, gr, gr)
	}
	resistance(0, r0)
	rb := r0
	for n, at := range []struct{ g, r uintptr }{
		{unsafe.Offsetof(slot.G1), unsafe.Offsetof(slot.R1)},
		{unsafe.Offsetof(slot.G2), unsafe.Offsetof(slot.R2)},
	} {
		rk := g.vector()
		VMULPD(g.s(at.g), r, rk)
		resistance(n+1, rk)
		g.move(rk, g.s(at.r))
		g.op(fmadd231, g.k(unsafe.Offsetof(tick.Late)+uintptr(8*n)), rk, rb)
	}
	g.move(rb, g.s(unsafe.Offsetof(slot.RB)))
	b := us
	VADDPD(rb, us, b)
	g.add(unsafe.Offsetof(drive.B), b)
	VFNMADD231PD(g.s(unsafe.Offsetof(slot.Bleed)), b, um)
	g.add(unsafe.Offsetof(drive.A), um)
}
