package kernel

import (
	"fmt"
	"slices"
)

// Checkpoint is all a block remembers, as plain data: the slots with the step that
// is predicted, so that a restored block goes on bit by bit.
type Checkpoint struct {
	Slots []Slot
	Cells []Spread
	Aged  Factors
	Drive Drive
}

// Checkpoint returns a copy of all the block remembers.
func (b *Block) Checkpoint() Checkpoint {
	return Checkpoint{Slots: slices.Clone(b.slots), Cells: slices.Clone(b.cells), Aged: b.aged, Drive: b.Drive}
}

// Restore puts the block where c was taken. Type of cell, places and step must be
// the same.
func (b *Block) Restore(c Checkpoint) error {
	if len(c.Slots) != len(b.slots) || len(c.Cells) != len(b.cells) {
		return fmt.Errorf("restore %d slots into a block of %d", len(c.Slots), len(b.slots))
	}
	copy(b.slots, c.Slots)
	copy(b.cells, c.Cells)
	b.aged, b.Drive = c.Aged, c.Drive
	return nil
}
