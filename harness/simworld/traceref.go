//go:build !nosim

package simworld

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"yunchu/harness/sheet"
	"yunchu/twin"
)

// TraceReference is somebody else's answer to a trace, to be compared with. Its CSV
// has t_s and, for one cell, V_V, I_A, soc and T_K; for several, numbered from 1, V1_V,
// I1_A, soc1 and T1_K, and those of the module V_pack_V or V_bus_V and I_A or I_total_A.
// The columns that a trace writes are understood as well. Currents and states of charge
// may be missing, and the voltages of cells where there is that of the module.
type TraceReference struct {
	path string
	rows map[int64][]float64 // by time in ms

	packV, packI   column
	v, i, soc, tmp []column // by cell
}

// column is where a quantity stands; value + offset is SI.
type column struct {
	at     int // -1: nowhere
	offset float64
}

// LoadTraceReference reads the reference of a trace of so many cells. Its error is
// scenario.Faults.
func LoadTraceReference(path string, cells int) (*TraceReference, error) {
	s, err := sheet.Read(path, func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	t, err := s.Full("t_s")
	if err != nil {
		return nil, err
	}
	r := &TraceReference{path: path, rows: map[int64][]float64{}}
	at := map[string]int{}
	for i, name := range s.Header {
		at[name] = i
	}
	if err := r.columns(at, cells); err != nil {
		return nil, s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "%v", err)
	}
	for k := range t {
		row := make([]float64, len(s.Column))
		for i := range row {
			row[i] = s.Column[i][k]
		}
		r.rows[milliseconds(t[k])] = row
	}
	return r, nil
}

func milliseconds(s float64) int64 { return int64(math.Round(s * 1e3)) }

// columns finds the quantities; its error names what is missing.
func (r *TraceReference) columns(at map[string]int, cells int) error {
	find := func(offsets map[string]float64, names ...string) column {
		for _, n := range names {
			if i, ok := at[n]; ok {
				return column{i, offsets[n]}
			}
		}
		return column{at: -1}
	}
	r.packV = find(nil, "V_pack_V", "V_bus_V", "V_V", "voltage_v")
	r.packI = find(nil, "I_total_A", "I_A", "current_a")
	for i := range cells {
		n := strconv.Itoa(i + 1)
		own, cell := n, "cell"+n+"_"
		if cells == 1 {
			own, cell = "", ""
		}
		celsius := cell + "temp_c"
		r.v = append(r.v, find(nil, "V"+own+"_V", cell+"voltage_v"))
		r.i = append(r.i, find(nil, "I"+own+"_A", cell+"current_a"))
		r.soc = append(r.soc, find(nil, "soc"+own, cell+"soc"))
		r.tmp = append(r.tmp, find(map[string]float64{celsius: kelvin}, "T"+own+"_K", celsius))
		if r.tmp[i].at < 0 {
			return fmt.Errorf("no column T%s_K or %s", own, celsius)
		}
		if r.v[i].at < 0 && r.packV.at < 0 {
			return fmt.Errorf("no column V%s_V or %svoltage_v", own, cell)
		}
	}
	return nil
}

// differences are those of one row of a trace against its reference, in SI, by cell;
// NaN where the reference does not say.
type differences struct {
	refV, refT  []float64 // V, K, of the reference
	v, i, soc   []float64 // V, A, 1
	temp        []float64 // K
	packV, curI float64   // V, A, of the module
}

// at compares r with the reference, which may not have its time.
func (r *TraceReference) at(row twin.TraceRow) (d differences, ok bool) {
	want, ok := r.rows[row.T.Milliseconds()]
	if !ok {
		return d, false
	}
	value := func(c column) float64 {
		if c.at < 0 {
			return math.NaN()
		}
		return want[c.at] + c.offset
	}
	for k, c := range row.Cells {
		d.refV, d.refT = append(d.refV, value(r.v[k])), append(d.refT, value(r.tmp[k]))
		d.v, d.i = append(d.v, c.VoltageV-value(r.v[k])), append(d.i, c.CurrentA-value(r.i[k]))
		d.soc, d.temp = append(d.soc, c.SoC-value(r.soc[k])), append(d.temp, c.TempK-value(r.tmp[k]))
	}
	d.packV, d.curI = row.VoltageV-value(r.packV), row.CurrentA-value(r.packI)
	return d, true
}
