//go:build !nosim

package main

import (
	"fmt"
	"math"
	"path/filepath"
	"time"

	"yunchu/harness/plot"
	"yunchu/twin"
	"yunchu/twin/celltype"
	"yunchu/twin/fit"
	"yunchu/twin/params"
	"yunchu/twin/pcs"
)

// converter is the efficiency of a converter as it was measured, as its published fit
// has it, and as a fit to each direction does.
func converter(string) (f plot.Figure, err error) {
	const ratedW = 100e3
	load := func(name string) (pcs.Params, *params.Converter, error) {
		c, err := params.LoadConverter(name)
		if err != nil || c.Table != nil {
			return pcs.Params{}, c, err
		}
		return pcs.Params{RatedW: ratedW, Charge: pcs.Loss(*c.Charge), Discharge: pcs.Loss(*c.Discharge)}, c, nil
	}
	_, measured, err := load("sinamics-s120-table")
	if err != nil {
		return f, err
	}
	f = plot.Figure{
		Title: "Efficiency of a converter (Sinamics S120, Schimpe 2018)", X: "AC power over rated power",
		Panels: []plot.Panel{{Y: "charging (%)"}, {Y: "discharging (%)"}},
	}
	show := func(panel int, name string, x, eta []float64, color plot.Color, style plot.Style) {
		y := make([]float64, len(eta))
		for n := range y {
			y[n] = 100 * eta[n]
		}
		f.Panels[panel].Curves = append(f.Panels[panel].Curves, plot.Curve{Name: name, X: x, Y: y, Color: color, Style: style})
	}
	show(0, "measured", measured.Table.Power, measured.Table.Charge[0], plot.Black, plot.Points)
	show(1, "measured", measured.Table.Power, measured.Table.Discharge[0], plot.Black, plot.Points)
	for n, name := range []string{"sinamics-s120-fit", "sinamics-s120-refit"} {
		p, _, err := load(name)
		if err != nil {
			return f, err
		}
		var x, in, out []float64
		for at := 0.02; at <= 1; at += 0.005 {
			ac := at * ratedW
			x, in, out = append(x, at), append(in, p.DC(ac)/ac), append(out, ac/-p.DC(-ac))
		}
		show(0, name, x, in, plot.Cycle(n), plot.Solid)
		show(1, name, x, out, plot.Cycle(n), plot.Solid)
	}
	return f, nil
}

// voltage is the voltage of a cell fitted at 5 and 45 degC in a drive cycle at 25 degC.
func voltage(data string) (f plot.Figure, err error) {
	if data == "" {
		return f, errNoData
	}
	fitted, err := fitA123(data)
	if err != nil {
		return f, err
	}
	m, err := celltype.New(fitted.Cell)
	if err != nil {
		return f, err
	}
	c, err := columns(a123(data, "dyn_P25"), "t_s", "I_A", "V_V", "chgAh", "disAh")
	if err != nil {
		return f, err
	}
	r := fit.Record{T: c[0], I: c[1], V: c[2], TempK: 25 + zeroCelsius, SoC: 1, Hyst: 1}
	r.Follow(c[3], c[4])
	v, soc := make([]float64, len(r.T)), make([]float64, len(r.T))
	r.Simulate(m, v, soc)
	miss := make([]float64, len(v))
	for n := range v {
		miss[n] = math.NaN()
		if soc[n] >= fit.WindowLow && soc[n] <= fit.WindowHigh {
			miss[n] = 1e3 * (v[n] - r.V[n])
		}
		soc[n] *= 100
	}
	x, label := plot.Seconds(r.T)
	return plot.Figure{
		Title: "A123 26650 at 25 °C, cell fitted at 5 and 45 °C", X: label,
		Panels: []plot.Panel{
			{Y: "voltage (V)", Curves: []plot.Curve{
				{Name: "twin", X: x, Y: v, Color: plot.Blue},
				{Name: "measured", X: x, Y: r.V, Color: plot.Black, Style: plot.Thin},
			}},
			{Y: "difference, 10–90 % (mV)", Curves: []plot.Curve{{X: x, Y: miss, Color: plot.Purple, Style: plot.Thin}}},
			{Y: "state of charge (%)", Curves: []plot.Curve{{X: x, Y: soc, Color: plot.Gray}}},
		},
	}, nil
}

// heat is core and surface of a cell in one cooling set-up, with the cell fitted in
// another one.
func heat(data string) (f plot.Figure, err error) {
	if data == "" {
		return f, errNoData
	}
	record := func(name string) (*fit.ThermalRecord, error) {
		c, err := columns(filepath.Join(data, "twin", "measured", "lfp_ahr32113_oxford", name+".csv"),
			"t_s", "I_A", "V_V", "T_core_C", "T_surf_mid_C", "T_env_C")
		if err != nil {
			return nil, err
		}
		for _, temps := range c[3:] {
			for n := range temps {
				temps[n] += zeroCelsius
			}
		}
		return &fit.ThermalRecord{Name: name, T: c[0], I: c[1], V: c[2], Core: c[3], Surface: c[4], Env: c[5]}, nil
	}
	one, err := record("ahr32113_insulated_1")
	if err != nil {
		return f, err
	}
	other, err := record("ahr32113_uninsulated_2")
	if err != nil {
		return f, err
	}
	// Of the winding: its volume at 2680 kg/m3 and 910 J/kg/K, and 0.35 W/m/K outwards.
	const radius, length = 0.016, 0.113
	n, _, err := fit.Thermal(one, fit.ThermalPrior{
		JPerK: 2680 * 910 * math.Pi * radius * radius * length, LinkWPerK: 4 * math.Pi * 0.35 * length,
	})
	if err != nil {
		return f, err
	}
	cooling, err := n.Cooling(other, math.Inf(1))
	if err != nil {
		return f, err
	}
	core, surface := make([]float64, len(other.T)), make([]float64, len(other.T))
	core[0], surface[0] = other.Core[0], other.Surface[0]
	n.Simulate(other, cooling, core, surface)
	x, label := plot.Seconds(other.T)
	celsius := func(k []float64) []float64 {
		out := make([]float64, len(k))
		for n := range k {
			out[n] = k[n] - zeroCelsius
		}
		return out
	}
	less := func(a, b []float64) []float64 {
		out := make([]float64, len(a))
		for n := range a {
			out[n] = a[n] - b[n]
		}
		return out
	}
	return plot.Figure{
		Title: "AHR32113 without insulation, cell fitted with it", X: label,
		Panels: []plot.Panel{
			{Y: "temperature (°C)", Curves: []plot.Curve{
				{Name: "core", X: x, Y: celsius(core), Color: plot.Red},
				{Name: "surface", X: x, Y: celsius(surface), Color: plot.Blue},
				{Name: "measured", X: x, Y: celsius(other.Core), Color: plot.Black, Style: plot.Thin},
				{X: x, Y: celsius(other.Surface), Color: plot.Black, Style: plot.Thin},
			}},
			{Y: "difference (K)", Curves: []plot.Curve{
				{X: x, Y: less(core, other.Core), Color: plot.Red, Style: plot.Thin},
				{X: x, Y: less(surface, other.Surface), Color: plot.Blue, Style: plot.Thin},
			}},
		},
	}, nil
}

// balancing is the cells of one string that is held at the top of its charge, with a
// tenth of the shipped resistance, so that hours do what takes days.
func balancing(string) (f plot.Figure, err error) {
	shipped, err := params.LoadModel("ess-1500kw-3mwh")
	if err != nil {
		return f, err
	}
	m, s, management := *shipped, *shipped.Strings, *shipped.BMS
	m.Parallel, m.RatedKW, m.RatedKWh = 1, 40, 373
	m.Limits.SoC = params.Range{Min: 5, Max: 100}
	s.Spread = params.StringsSpread{SoC: 0.5}
	management.Balance.Ohm /= 10
	m.Strings, m.BMS = &s, &management
	start := time.Unix(0, 0)
	fleet, err := twin.NewFleet(&m, []string{"string"}, twin.Options{SoCMean: 97.5, Start: start})
	if err != nil {
		return f, err
	}
	const shown, step = 24, 10 * time.Second
	var x []float64
	cells := make([][]float64, shown)
	var spread []float64
	for n := range 8 * 360 {
		now := start.Add(time.Duration(n) * step)
		fleet.SetPower(0, now, 8e3, time.Time{})
		fleet.Step(now.Add(step))
		if n%12 != 0 {
			continue
		}
		x = append(x, (time.Duration(n+1) * step).Seconds())
		low, high := math.Inf(1), math.Inf(-1)
		for c := range m.Series {
			z := 100 * fleet.Cell(0, 0, c).SoC
			low, high = min(low, z), max(high, z)
			if c%(m.Series/shown) == 0 && c/(m.Series/shown) < shown {
				cells[c/(m.Series/shown)] = append(cells[c/(m.Series/shown)], z)
			}
		}
		spread = append(spread, high-low)
	}
	x, f.X = plot.Seconds(x)
	f.Title = fmt.Sprintf("Passive balancing of %d cells, %g ohm", m.Series, management.Balance.Ohm)
	f.Panels = []plot.Panel{{Y: "state of charge (%)"}, {Y: "fullest − emptiest (%)", Curves: []plot.Curve{{X: x, Y: spread, Color: plot.Purple}}}}
	for n, y := range cells {
		f.Panels[0].Curves = append(f.Panels[0].Curves, plot.Curve{X: x, Y: y, Color: plot.Cycle(n), Style: plot.Thin})
	}
	return f, nil
}
