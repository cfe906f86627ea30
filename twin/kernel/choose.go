package kernel

import (
	"fmt"
	"os"
	"strings"
)

// Kernel is one implementation of the two loops over slots. All give the same bits.
type Kernel struct {
	Name    string // avx512, avx2 or go
	sweep   func(s []Slot, places []Place, k *Tick, d *Drive, from, to int, list []Rare) (listed int)
	predict func(s []Slot, k *Tick, d *Drive, list []Rare)
}

// Foreign makes a kernel of loops that are not written in Go; see sweepPortable and
// predictPortable.
func Foreign(
	name string,
	sweep func(s *Slot, places *Place, k *Tick, d *Drive, from, to int, list *Rare) (listed int),
	predict func(s *Slot, k *Tick, d *Drive, list *Rare, listed int),
) Kernel {
	return Kernel{
		name,
		func(s []Slot, places []Place, k *Tick, d *Drive, from, to int, list []Rare) int {
			return sweep(&s[0], &places[0], k, d, from, to, &list[0])
		},
		func(s []Slot, k *Tick, d *Drive, list []Rare) { predict(&s[0], k, d, &list[0], len(list)) },
	}
}

// Kernels are the implementations this machine can run, the fastest first.
func Kernels() []Kernel {
	return append(vectorKernels(), Kernel{"go", sweepPortable, predictPortable})
}

// chosen is the kernel of new blocks: the fastest, or the one that the environment
// variable YUNCHU_KERNEL names.
var chosen, errChosen = choose(os.Getenv("YUNCHU_KERNEL"))

func choose(name string) (Kernel, error) {
	all := Kernels()
	if name == "" {
		return all[0], nil
	}
	var names []string
	for _, k := range all {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kernel{}, fmt.Errorf("YUNCHU_KERNEL=%s: this machine has %s", name, strings.Join(names, ", "))
}

// Chosen returns the kernel of new blocks. The error says that YUNCHU_KERNEL asks
// for one this machine does not have.
func Chosen() (Kernel, error) { return chosen, errChosen }
