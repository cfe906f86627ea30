//go:build !kernelgen

package kernel

import "golang.org/x/sys/cpu"

//go:generate go run -tags kernelgen ./asm -out sweep_amd64.s -pkg kernel

//go:noescape
func sweepAVX512(s *Slot, places *Place, k *Tick, d *Drive, from, to int, list *Rare) (listed int)

//go:noescape
func predictAVX512(s *Slot, k *Tick, d *Drive, list *Rare, listed int)

//go:noescape
func sweepAVX2(s *Slot, places *Place, k *Tick, d *Drive, from, to int, list *Rare) (listed int)

//go:noescape
func predictAVX2(s *Slot, k *Tick, d *Drive, list *Rare, listed int)

func vectorKernels() (all []Kernel) {
	x := &cpu.X86
	if x.HasAVX512F && x.HasAVX512DQ && x.HasBMI1 {
		all = append(all, Foreign("avx512", sweepAVX512, predictAVX512))
	}
	if x.HasAVX2 && x.HasFMA && x.HasBMI1 {
		all = append(all, Foreign("avx2", sweepAVX2, predictAVX2))
	}
	return all
}
