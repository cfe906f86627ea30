package plot_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"yunchu/harness/plot"
)

// waves is a figure with every kind of curve and n points to each.
func waves(n int) plot.Figure {
	rng := rand.New(rand.NewPCG(1, 2))
	x, y, low, noise := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range x {
		x[i] = float64(i)
		y[i] = math.Sin(x[i] / float64(n) * 20)
		low[i] = y[i] - 0.3
		noise[i] = rng.Float64()
	}
	few := []float64{0, float64(n) / 2, float64(n - 1)}
	return plot.Figure{Title: "Waves & noise", X: "time, s", Panels: []plot.Panel{
		{Y: "sine, V", Curves: []plot.Curve{
			{Name: "area", X: x, Y: y, Low: low},
			{Name: "line", X: x, Y: y, Color: plot.Orange},
			{Name: "thin", X: x, Y: low, Color: plot.Green, Style: plot.Thin},
			{Name: "dashed", X: few, Y: []float64{0, 1, 0}, Color: plot.Red, Style: plot.Dashed},
			{Name: "points", X: few, Y: []float64{1, 0, 1}, Color: plot.Black, Style: plot.Points},
		}},
		{Y: "noise, A", Curves: []plot.Curve{{X: x, Y: noise}}},
		{Y: "powers, 1", LogY: true, Curves: []plot.Curve{{X: few, Y: []float64{1e-6, 0, 1e3}, Style: plot.Marked}}},
	}}
}

func svg(t *testing.T, f plot.Figure) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSVG(t *testing.T) {
	text := svg(t, waves(1000))
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"Waves &amp; noise", "time, s", "sine, V", "noise, A", ">area<", ">dashed<", ">0.5<", ">800<", "stroke-dasharray", "Helvetica,Arial",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the drawing has no %q", want)
		}
	}
	if again := svg(t, waves(1000)); again != text {
		t.Error("the same figure gave other bytes")
	}
}

// However many points there are, the drawing stays small.
func TestSVGIsSmall(t *testing.T) {
	if n := len(svg(t, waves(200000))); n > 60e3 {
		t.Errorf("%d bytes for 200,000 points a curve", n)
	}
}

// What is not a number is left out; nothing at all is an empty panel.
func TestGaps(t *testing.T) {
	nan := math.NaN()
	text := svg(t, plot.Figure{X: "x", LogX: true, Panels: []plot.Panel{
		{Y: "gaps", Curves: []plot.Curve{{X: []float64{0, 1, 2, 3, 4}, Y: []float64{7, 1, nan, 3, math.Inf(1)}}}},
		{Y: "nothing", Curves: []plot.Curve{{X: []float64{1, 2}, Y: []float64{nan, nan}}, {X: []float64{1}, Y: []float64{1}, Low: []float64{nan}}}},
		{Y: "flat", Curves: []plot.Curve{{X: []float64{1, 2}, Y: []float64{3.3, 3.3}}}},
	}})
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Error("the drawing has coordinates that are no numbers")
	}
}

func TestFigureFaults(t *testing.T) {
	curve := func(c plot.Curve) plot.Figure {
		return plot.Figure{Panels: []plot.Panel{{Curves: []plot.Curve{c}}}}
	}
	for name, f := range map[string]plot.Figure{
		"no panels":      {},
		"2 abscissas":    curve(plot.Curve{X: []float64{1, 2}, Y: []float64{1}}),
		"and 1 values":   curve(plot.Curve{X: []float64{1, 2}, Y: []float64{1, 2}, Low: []float64{1}}),
		"does not rise":  curve(plot.Curve{X: []float64{2, 1}, Y: []float64{1, 2}}),
		"not rise at po": curve(plot.Curve{X: []float64{math.NaN()}, Y: []float64{1}}),
	} {
		if err := f.WriteSVG(io.Discard); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
}

func TestSeconds(t *testing.T) {
	for _, tt := range []struct {
		end, last float64
		label     string
	}{{120, 120, "time, s"}, {6000, 100, "time, min"}, {36000, 10, "time, h"}, {864000, 10, "time, d"}} {
		if x, label := plot.Seconds([]float64{0, tt.end}); x[1] != tt.last || label != tt.label {
			t.Errorf("%g s: %g %q, want %g %q", tt.end, x[1], label, tt.last, tt.label)
		}
	}
}
