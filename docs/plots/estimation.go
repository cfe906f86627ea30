//go:build !nosim

package main

import (
	"os"
	"path/filepath"

	"yunchu/harness/plot"
	"yunchu/harness/simworld"
)

// a123 is the path of a laboratory's record of the A123 26650.
func a123(data, name string) string {
	return filepath.Join(data, "twin", "measured", "lfp_a123_esc_uccs", "a123_"+name+".csv")
}

// fitA123 is that cell, fitted to its records at 5 and 45 degC.
func fitA123(data string) (*simworld.FitResult, error) {
	return simworld.Fit(simworld.FitOptions{
		Pulses: []string{a123(data, "dyn_P05"), a123(data, "dyn_P45")},
		OCV:    []string{a123(data, "ocv_C30_P05"), a123(data, "ocv_C30_P45")}, CapacityAh: 2.0495,
	})
}

// estimation is the estimator on a laboratory's record at 25 degC, with a cell fitted to
// records at 5 and 45 degC, told 80 % instead of full, with a sensor that reads 20 mA
// and 0.5 % more.
func estimation(data string) (f plot.Figure, err error) {
	if data == "" {
		return f, errNoData
	}
	fitted, err := fitA123(data)
	if err != nil {
		return f, err
	}
	text, err := simworld.WriteCell(fitted.Cell)
	if err != nil {
		return f, err
	}
	dir, err := os.MkdirTemp("", "yunchu-plots-")
	if err != nil {
		return f, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cell := filepath.Join(dir, "cell.yaml")
	if err := os.WriteFile(cell, text, 0o600); err != nil {
		return f, err
	}
	_, err = simworld.Track(simworld.TrackOptions{
		Cell: cell, Data: a123(data, "dyn_P25"), SoC: 80, AddA: 0.02, Gain: 1.005, TrueSoC: 100, Figure: &f,
	})
	return f, err
}
