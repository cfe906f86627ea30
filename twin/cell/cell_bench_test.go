package cell_test

import (
	"testing"

	"yunchu/twin/cell"
)

// BenchmarkCellStep is one step of one cell with its predictor, in constant power.
func BenchmarkCellStep(b *testing.B) {
	m := testModel(b)
	c := m.Cell(cell.State{SoC: 0.5, TempK: 298.15}, cell.Nominal)
	tick := m.Tick(1)
	b.ReportAllocs()
	n, p := 0, 300.0
	var f cell.Flow
	for b.Loop() {
		if n++; n%1000 == 0 {
			p = -p
		}
		i := c.Current(p)
		t := c.TempK()
		tMid := t + c.Heat(i)*0.5/5425
		c.StepPower(p, i, tMid, &tick, &f)
		c.SetTemp(298.15 + (t+f.HeatW/5425-298.15)*0.999)
	}
}
