//go:build !nosim

package simworld

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"yunchu/harness/scenario"
	"yunchu/twin"
	"yunchu/twin/cell"
	"yunchu/twin/params"
)

// ErrVoltage is the end of a trace at a voltage limit of a cell.
var ErrVoltage = twin.ErrVoltage

// Trace steps the cells of a trace file through its profile, writes the result to w
// as CSV and keeps in rec, if there is one, what a plot shows; w may be nil. Rows that
// were reached before a voltage limit are there when ErrVoltage is returned.
// ctx ends it early, with its error.
func Trace(ctx context.Context, t *scenario.Trace, w io.Writer, rec *Recording) (TraceSummary, error) {
	sum := TraceSummary{Trace: t.Name, Cells: t.Topology.Cells()}
	c, err := traceCase(t)
	if err != nil {
		return sum, err
	}
	sum.lowest, sum.highest = math.Inf(1), math.Inf(-1)
	if w == nil {
		w = io.Discard
	}
	c.Stop = ctx.Err
	out := newTraceWriter(w, len(c.Cells))
	book, err := c.Run(func(r twin.TraceRow) error {
		sum.Rows++
		sum.EndS = r.T.Seconds()
		for i := range r.Cells {
			sum.lowest, sum.highest = min(sum.lowest, r.Cells[i].SoC), max(sum.highest, r.Cells[i].SoC)
		}
		if rec != nil {
			rec.add(r)
		}
		return out.row(r)
	})
	sum.EnergyInJ, sum.StoredJ, sum.HeatJ, sum.EntropicJ, sum.ContactJ = book.InJ, book.StoredJ, book.HeatJ, book.EntropicJ, book.ContactJ
	sum.BalanceError = book.BalanceError()
	if rec != nil {
		err = errors.Join(err, rec.finish(t, &sum))
	}
	return sum, errors.Join(err, out.flush())
}

// TraceSummary is what a trace came to. HeatJ is that of overpotentials, EntropicJ the
// reversible heat beside it; EnergyInJ = StoredJ + HeatJ + ContactJ but for
// BalanceError, which is a share of all energy that moved.
type TraceSummary struct {
	Trace        string            `json:"trace"`
	Cells        int               `json:"cells"`
	Rows         int               `json:"rows"`
	EndS         float64           `json:"end_s"`
	EnergyInJ    float64           `json:"energy_in_j"`
	StoredJ      float64           `json:"stored_j"`
	HeatJ        float64           `json:"heat_j"`
	EntropicJ    float64           `json:"entropic_j"`
	ContactJ     float64           `json:"contact_j"`
	BalanceError float64           `json:"balance_error"`
	Reference    *TraceDifferences `json:"reference,omitempty"`

	lowest, highest float64 // state of charge of any cell in any row
}

// Warning says what is wrong with a trace that went through, or nothing: tables are flat
// outside 0..1, so V_min and V_max do not stop what leaves it with a small current.
func (s *TraceSummary) Warning() string {
	const slack = 1e-3 // of a cell that was charged to its end
	if s.lowest >= -slack && s.highest <= 1+slack || s.Rows == 0 {
		return ""
	}
	return fmt.Sprintf("warning: the state of charge goes from %.4g to %.4g, and a cell ends at 0 and 1: beyond them only the charge is counted on", s.lowest, s.highest)
}

// TraceDifferences are the largest differences of a trace against a reference, over
// the Rows that both have.
type TraceDifferences struct {
	Rows      int     `json:"rows"`
	VoltageMV float64 `json:"voltage_mv"`
	TempMK    float64 `json:"temp_mk"`
	CurrentMA float64 `json:"current_ma"`
	SoCPPM    float64 `json:"soc_ppm"`
}

// traceCase is the trace of the file in the terms of the twin.
func traceCase(t *scenario.Trace) (c twin.TraceCase, err error) {
	set, err := params.LoadCell(t.Cell)
	if err != nil {
		return c, err
	}
	h := t.Heat
	if t.FreeStanding {
		h.EnvWPerK = set.Thermal.HAPerK
	}
	c = twin.TraceCase{
		ModuleParams: twin.ModuleParams{
			Cell: set, Parallel: t.Topology.Parallel,
			Heat: twin.HeatPaths{
				EnvWPerK: h.EnvWPerK, EnvK: h.EnvK, NeighbourWPerK: h.NeighbourWPerK,
				CoolantWPerK: h.CoolantWPerK, CoolantK: h.CoolantK,
				CoolFirst: h.CoolantEnd != "last", CoolLast: h.CoolantEnd != "first",
			},
		},
		Step: t.Step, OutputEvery: t.OutputEvery,
	}
	for i := range t.Topology.Cells() {
		c.Cells = append(c.Cells, twin.Member{
			Scatter:    cell.Scatter{Capacity: t.CapacityFactor.Of(i), Resistance: t.ResistanceFactor.Of(i)},
			State:      cell.State{SoC: t.SoC.Of(i), Hyst: t.Hysteresis.Of(i), TempK: t.TempK.Of(i)},
			ContactOhm: t.Topology.ContactOhm.Of(i),
		})
	}
	kinds := map[scenario.ProfileInput]twin.DriveKind{
		scenario.CurrentA: twin.ByCurrent, scenario.PowerW: twin.ByPower, scenario.VoltageV: twin.ByVoltage,
	}
	for _, r := range t.Rows {
		c.Profile = append(c.Profile, twin.ProfileRow{T: r.T, Drive: twin.Drive{Kind: kinds[r.Input], Value: r.Value}})
	}
	return c, nil
}

// traceWriter writes the rows of a trace as CSV.
type traceWriter struct {
	w    *bufio.Writer
	line []byte
}

func newTraceWriter(w io.Writer, cells int) *traceWriter {
	t := &traceWriter{w: bufio.NewWriter(w)}
	t.line = append(t.line, "t_s,current_a,voltage_v,power_w"...)
	if cells == 1 {
		t.line = append(t.line, ",soc,temp_c,hysteresis"...)
	} else {
		for i := range cells {
			for _, column := range [...]string{"voltage_v", "current_a", "soc", "temp_c", "hysteresis"} {
				t.line = append(t.line, ",cell"...)
				t.line = strconv.AppendInt(t.line, int64(i+1), 10)
				t.line = append(t.line, '_')
				t.line = append(t.line, column...)
			}
		}
	}
	t.line = append(t.line, '\n')
	_, _ = t.w.Write(t.line) // an error stays with the writer until it is flushed
	return t
}

func (t *traceWriter) row(r twin.TraceRow) error {
	t.line = strconv.AppendFloat(t.line[:0], r.T.Seconds(), 'f', -1, 64)
	t.numbers(r.CurrentA, r.VoltageV, r.PowerW)
	for i := range r.Cells {
		c := &r.Cells[i]
		if len(r.Cells) > 1 {
			t.numbers(c.VoltageV, c.CurrentA)
		}
		t.numbers(c.SoC, c.TempK-kelvin, c.Hyst)
	}
	t.line = append(t.line, '\n')
	_, err := t.w.Write(t.line)
	return err
}

func (t *traceWriter) numbers(values ...float64) {
	for _, v := range values {
		t.line = append(t.line, ',')
		t.line = strconv.AppendFloat(t.line, v, 'g', 12, 64)
	}
}

func (t *traceWriter) flush() error { return t.w.Flush() }
