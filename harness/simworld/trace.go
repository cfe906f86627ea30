//go:build !nosim

package simworld

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"

	"yunchu/harness/scenario"
	"yunchu/twin"
	"yunchu/twin/params"
)

// ErrVoltage is the end of a trace at a voltage limit of its cell.
var ErrVoltage = twin.ErrVoltage

// ErrModule says that a trace has more cells than this version steps.
var ErrModule = errors.New("traces of several cells are not supported yet: this version steps one cell")

// Trace steps the cell of a trace file through its profile and writes the result
// as CSV. Rows that were reached before a voltage limit are written before
// ErrVoltage is returned.
func Trace(t *scenario.Trace, w io.Writer) error {
	if t.Topology.Cells() != 1 {
		return ErrModule
	}
	p, err := params.LoadCell(t.Cell)
	if err != nil {
		return fmt.Errorf("cell %s: %w", t.Cell, err)
	}
	c := twin.TraceCase{
		Cell: p, Capacity: t.CapacityFactor.Of(0), Resistance: t.ResistanceFactor.Of(0),
		SoC: t.SoC.Of(0), Hyst: t.Hysteresis.Of(0), TempK: t.TempK.Of(0),
		EnvWPerK: t.Heat.EnvWPerK, EnvK: t.Heat.EnvK, Step: t.Step, OutputEvery: t.OutputEvery,
	}
	for _, r := range t.Rows {
		c.Profile = append(c.Profile, twin.ProfileRow{T: r.T, Power: r.Power, Value: r.Value})
	}
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "t_s,current_a,voltage_v,power_w,soc,temp_c,hysteresis")
	var line []byte
	err = c.Run(func(r twin.TraceRow) error {
		line = strconv.AppendFloat(line[:0], r.T.Seconds(), 'f', -1, 64)
		for _, v := range [...]float64{r.CurrentA, r.VoltageV, r.PowerW, r.SoC, r.TempK - kelvin, r.Hyst} {
			line = append(line, ',')
			line = strconv.AppendFloat(line, v, 'g', 12, 64)
		}
		line = append(line, '\n')
		_, err := out.Write(line)
		return err
	})
	return errors.Join(err, out.Flush())
}
