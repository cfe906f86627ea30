//go:build !nosim

package main

import (
	"context"
	"path/filepath"
	"time"

	"yunchu/harness/plot"
	"yunchu/harness/scenario"
	"yunchu/harness/simworld"
)

// traceFile is a file of the reference traces: of all their rows, or of those kept with
// the tests.
func traceFile(data, name string) string {
	if data == "" {
		return filepath.Join("twin", "testdata", "reference", name)
	}
	return filepath.Join(data, "twin", "reference", name)
}

// trace runs the reference trace of that name at a step, 0 for its own.
func trace(data, name string, step time.Duration) (*simworld.Recording, simworld.TraceSummary, error) {
	t, err := scenario.LoadTrace(traceFile(data, name+".trace.yaml"), scenario.Options{})
	if err != nil {
		return nil, simworld.TraceSummary{}, err
	}
	if step > 0 {
		t.Step = step
	}
	against, err := simworld.LoadTraceReference(traceFile(data, name+".csv"), t.Topology.Cells())
	if err != nil {
		return nil, simworld.TraceSummary{}, err
	}
	rec := simworld.NewRecording(against)
	sum, err := simworld.Trace(context.Background(), t, nil, rec)
	return rec, sum, err
}

// reference is the figure of a reference trace and of how far the twin is from it.
func reference(name string) func(data string) (plot.Figure, error) {
	return func(data string) (plot.Figure, error) {
		rec, _, err := trace(data, name, 0)
		if err != nil {
			return plot.Figure{}, err
		}
		return rec.Figure(), nil
	}
}

// stepSize is the largest error of a trace over the length of its step.
func stepSize(data string) (plot.Figure, error) {
	f := plot.Figure{
		Title: "Largest error against the exact solution over the length of the step",
		X:     "step, s", LogX: true,
		Panels: []plot.Panel{{Y: "voltage, mV", LogY: true}, {Y: "temperature, mK", LogY: true}},
	}
	steps := []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute}
	for k, name := range []string{"A1_cp_half_rate", "D_module_1p16s", "E_parallel_4p1s"} {
		var x, v, temp []float64
		for _, step := range steps {
			_, sum, err := trace(data, name, step)
			if err != nil {
				return f, err
			}
			x, v, temp = append(x, step.Seconds()), append(v, sum.Reference.VoltageMV), append(temp, sum.Reference.TempMK)
		}
		for i, y := range [][]float64{v, temp} {
			f.Panels[i].Curves = append(f.Panels[i].Curves, plot.Curve{Name: name, X: x, Y: y, Color: plot.Cycle(k), Style: plot.Marked})
		}
	}
	return f, nil
}
