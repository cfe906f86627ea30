package kernel

import "golang.org/x/sys/cpu"

// sweepAVX512 is sweepPortable on slots s and places of the given length. skip is
// a bit for each lane of slot from that is not asked about rare work.
//
//go:noescape
func sweepAVX512(s *Slot, places *Place, k *Tick, d *Drive, from, to, skip, length int) (stop int)

func vectorKernels() (all []Kernel) {
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasBMI1 {
		all = append(all, Kernel{"avx512", func(s []Slot, places []Place, k *Tick, d *Drive, from, to int, resume bool) int {
			skip := 0
			if resume {
				skip = 0xff
			}
			return sweepAVX512(&s[0], &places[0], k, d, from, to, skip, len(places))
		}})
	}
	return all
}
