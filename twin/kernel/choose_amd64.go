//go:build !kernelgen

package kernel

import "golang.org/x/sys/cpu"

//go:generate go run -tags kernelgen ./asm -out sweep_amd64.s -pkg kernel

// The sweeps in assembly are sweepPortable. Lanes of slot from whose bits are set in
// skip are not asked about rare work.

//go:noescape
func sweepAVX512(s *Slot, places *Place, k *Tick, d *Drive, from, to, skip int) (stop int)

//go:noescape
func sweepAVX2(s *Slot, places *Place, k *Tick, d *Drive, from, to, skip int) (stop int)

func vectorKernels() (all []Kernel) {
	x := &cpu.X86
	if x.HasAVX512F && x.HasAVX512DQ && x.HasBMI1 {
		all = append(all, Kernel{"avx512", assembly(sweepAVX512)})
	}
	if x.HasAVX2 && x.HasFMA && x.HasBMI1 {
		all = append(all, Kernel{"avx2", assembly(sweepAVX2)})
	}
	return all
}

func assembly(sweep func(s *Slot, places *Place, k *Tick, d *Drive, from, to, skip int) int) sweepFunc {
	return func(s []Slot, places []Place, k *Tick, d *Drive, from, to int, resume bool) int {
		skip := 0
		if resume {
			skip = 1<<Lanes - 1
		}
		return sweep(&s[0], &places[0], k, d, from, to, skip)
	}
}
