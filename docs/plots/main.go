//go:build !nosim

// Plots draws the figures of docs/twin.md and docs/quality.md into docs/img.
//
//	go run ./docs/plots
//
// It stands on what the tests stand on: the traces of an exact solver in
// twin/testdata/reference and, where YUNCHU_DATA names them, all their rows, the day of
// the container and the laboratory's records, which are not part of this repository.
// Figures whose data are not at hand stay as they are.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"yunchu/harness/plot"
)

// figures are all figures. draw gets the folder of the shared data, empty where there
// is none, and answers errNoData where it cannot do without.
var figures = []struct {
	name string
	draw func(data string) (plot.Figure, error)
}{
	{"twin-a1-constant-power", reference("A1_cp_half_rate")},
	{"twin-b-pulses", reference("B_hppc")},
	{"twin-c1-drive", reference("C1_drive_power")},
	{"twin-d-series", reference("D_module_1p16s")},
	{"twin-e-parallel", reference("E_parallel_4p1s")},
	{"twin-step-size", stepSize},
	{"twin-container-g", container},
	{"twin-oven", oven},
	{"twin-row", row},
	{"twin-ageing", ageing},
	{"twin-estimation", estimation},
	{"twin-voltage", voltage},
	{"twin-heat", heat},
	{"twin-converter", converter},
	{"twin-balancing", balancing},
	{"quality", quality},
}

var errNoData = errors.New("YUNCHU_DATA is not set")

func main() {
	if err := run("docs/img", os.Getenv("YUNCHU_DATA")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir, data string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range figures {
		path := filepath.Join(dir, f.name+".svg")
		fig, err := f.draw(data)
		if errors.Is(err, errNoData) {
			fmt.Printf("%s left as it is: %v\n", path, err)
			continue
		}
		var b bytes.Buffer
		if err == nil {
			err = fig.WriteSVG(&b)
		}
		if err == nil {
			err = os.WriteFile(path, b.Bytes(), 0o644)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Printf("%s, %d bytes\n", path, b.Len())
	}
	return nil
}
