package twin

import "yunchu/twin/kernel"

// Use makes the cells of all units of f run on k.
func (f *Fleet) Use(k kernel.Kernel) {
	for i := range f.units {
		for _, b := range f.units[i].pack.blocks {
			b.Use(k)
		}
	}
}
