package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// source is a number for all lanes that an instruction takes in: scalar or constant.
type source interface{ isSource() }

// scalar is one number in memory.
type scalar struct{ Mem }

// constant is a number of the code.
type constant struct{ Mem }

func (scalar) isSource()   {}
func (constant) isSource() {}

// instruction is dst = f(src, a, dst), with src in a register or a row of memory, or
// spread from one number in memory.
type instruction struct{ plain, spread func(...Op) }

var (
	mul      = instruction{VMULPD, VMULPD_BCST}           // a*src
	fmadd213 = instruction{VFMADD213PD, VFMADD213PD_BCST} // a*dst + src
	fmadd231 = instruction{VFMADD231PD, VFMADD231PD_BCST} // a*src + dst
)

// compare is a comparison lane by lane with a row of memory or a scalar.
type compare struct {
	a    reg.VecVirtual
	how  U8
	with Op
}

// Ordered and quiet: false where one is no number.
const (
	less    = U8(0x11)
	greater = U8(0x1e)
)

// machine is what differs between the widths of registers.
type machine interface {
	parts() int  // registers in a row
	keeps() bool // there are registers for accumulators and for what predict needs
	vector() reg.VecVirtual
	move(from, to Op)
	broadcast(x scalar, to reg.VecVirtual)
	op(f instruction, x source, a, dst reg.VecVirtual)
	and(c constant, a, dst reg.VecVirtual)
	or(c constant, a, dst reg.VecVirtual)
	andNot(c constant, a, dst reg.VecVirtual) // a without the bits of c
	pick(sign, negative, dst reg.VecVirtual)  // dst = negative where sign is below zero
	any(all ...compare) reg.GPVirtual         // bits of the lanes for which one holds
	keep(x reg.VecVirtual) Op                 // for predict
	have(x Op) reg.VecVirtual                 // what was kept, in a register
}

// row writes a constant, as often as a row has lanes.
func row(name string, x float64) constant {
	at := GLOBL(name, RODATA|NOPTR)
	for n := range 8 {
		DATA(8*n, U64(math.Float64bits(x)))
	}
	return constant{at}
}

// alike is what both widths write in the same way.
type alike struct{}

func (alike) move(from, to Op)                      { VMOVUPD(from, to) }
func (alike) broadcast(x scalar, to reg.VecVirtual) { VBROADCASTSD(x.Mem, to) }
func (alike) and(c constant, a, dst reg.VecVirtual) { VANDPD(c.Mem, a, dst) }
func (alike) or(c constant, a, dst reg.VecVirtual)  { VORPD(c.Mem, a, dst) }

// avx512 has a register for a row, and 32 of them.
type avx512 struct{ alike }

func (avx512) parts() int             { return 1 }
func (avx512) keeps() bool            { return true }
func (avx512) vector() reg.VecVirtual { return ZMM() }

func (avx512) op(f instruction, x source, a, dst reg.VecVirtual) {
	switch x := x.(type) {
	case scalar:
		f.spread(x.Mem, a, dst)
	case constant:
		f.plain(x.Mem, a, dst)
	}
}

func (avx512) andNot(c constant, a, dst reg.VecVirtual) {
	x := ZMM()
	VMOVUPD(c.Mem, x)
	VANDNPD(a, x, dst)
}

func (avx512) pick(sign, negative, dst reg.VecVirtual) {
	k := K()
	VPMOVQ2M(sign, k)
	VBLENDMPD(negative, dst, k, dst)
}

func (avx512) any(all ...compare) reg.GPVirtual {
	found := K()
	for n, c := range all {
		k := found
		if n > 0 {
			k = K()
		}
		switch with := c.with.(type) {
		case scalar:
			VCMPPD_BCST(c.how, with.Mem, c.a, k)
		default:
			VCMPPD(c.how, with, c.a, k)
		}
		if n > 0 {
			KORB(k, found, found)
		}
	}
	bits := GP32()
	KMOVB(found, bits)
	return bits
}

func (avx512) keep(x reg.VecVirtual) Op { return x }
func (avx512) have(x Op) reg.VecVirtual { return x.(reg.VecVirtual) }

// avx2 has two registers for a row, and 16 of them: accumulators stay in memory.
type avx2 struct{ alike }

func (avx2) parts() int             { return 2 }
func (avx2) keeps() bool            { return false }
func (avx2) vector() reg.VecVirtual { return YMM() }

func (avx2) op(f instruction, x source, a, dst reg.VecVirtual) {
	switch x := x.(type) {
	case scalar:
		b := YMM()
		VBROADCASTSD(x.Mem, b)
		f.plain(b, a, dst)
	case constant:
		f.plain(x.Mem, a, dst)
	}
}

func (avx2) andNot(c constant, a, dst reg.VecVirtual) {
	x := YMM()
	VMOVUPD(c.Mem, x)
	VANDNPD(a, x, dst)
}

func (avx2) pick(sign, negative, dst reg.VecVirtual) { VBLENDVPD(sign, negative, dst, dst) }

func (avx2) any(all ...compare) reg.GPVirtual {
	found := YMM()
	for n, c := range all {
		x := found
		if n > 0 {
			x = YMM()
		}
		with := c.with
		if s, ok := with.(scalar); ok {
			b := YMM()
			VBROADCASTSD(s.Mem, b)
			with = b
		}
		VCMPPD(c.how, with, c.a, x)
		if n > 0 {
			VORPD(x, found, found)
		}
	}
	bits := GP32()
	VMOVMSKPD(found, bits)
	return bits
}

func (avx2) keep(x reg.VecVirtual) Op {
	at := AllocLocal(32)
	VMOVUPD(x, at)
	return at
}

func (avx2) have(x Op) reg.VecVirtual {
	r := YMM()
	VMOVUPD(x, r)
	return r
}
