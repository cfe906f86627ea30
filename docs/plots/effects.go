//go:build !nosim

package main

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"strconv"

	"yunchu/harness/plot"
	"yunchu/twin"
	"yunchu/twin/aging"
	"yunchu/twin/params"
	"yunchu/twin/runaway"
	"yunchu/twin/thermal"
)

const zeroCelsius = 273.15 // K

// columns reads the columns of a CSV file.
func columns(path string, names ...string) ([][]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(names))
	for k, name := range names {
		at := -1
		for i, head := range rows[0] {
			if head == name {
				at = i
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("%s has no column %s", path, name)
		}
		for _, r := range rows[1:] {
			x, err := strconv.ParseFloat(r[at], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			out[k] = append(out[k], x)
		}
	}
	return out, nil
}

// container is the day of the reference: 3,840 cells with air conditioning, the heat of
// a cycle every six hours and a sine of the ambient, in steps of 60 s.
func container(data string) (f plot.Figure, err error) {
	ref, err := columns(traceFile(data, "G_container_20ft.csv"), "t_s", "T_bat_K", "T_air_K", "T_out_K", "P_el_W")
	if err != nil {
		return f, err
	}
	p, err := params.LoadContainer("container-20ft-hvac")
	if err != nil {
		return f, err
	}
	cfg := twin.ContainerConfig(p)
	const cells, joulePerK, wattPerK = 3840, 20833612.8 / 3840, 0.45
	cfg.Batteries = thermal.Batteries{Capacity: cells * joulePerK, Air: cells * wattPerK}
	cfg.Control = thermal.Control{SetK: 298.15, ThresholdK: 2}
	cfg.Plant.CoolW, cfg.Plant.HeatW, cfg.Plant.CirculationW = 60e3, 60e3, 0
	cfg.Plant.CopCool, cfg.Plant.CopHeat = thermal.Flat(3), thermal.Flat(2.5)
	c, err := thermal.NewContainer(cfg)
	if err != nil {
		return f, err
	}
	ambient := func(t float64) float64 { return 298.15 + 8*math.Sin(2*math.Pi*(t-21600)/86400) }
	var s thermal.ContainerState
	for n := range s.TempK {
		s.TempK[n] = 297.15
	}
	var bat, air, out, miss []float64
	for n, t := range ref[0] {
		bat = append(bat, s.TempK[thermal.Battery]-zeroCelsius)
		air = append(air, s.TempK[thermal.Air]-zeroCelsius)
		out = append(out, s.TempK[thermal.Outer]-zeroCelsius)
		miss = append(miss, 1e3*(s.TempK[thermal.Battery]-ref[1][n]))
		if n+1 == len(ref[0]) {
			break
		}
		dt := ref[0][n+1] - t
		in := thermal.ContainerInput{Seconds: dt, Ambient0K: ambient(t), Ambient1K: ambient(t + dt)}
		if math.Mod(t, 21600) < 7200 {
			in.BatteryW = 80e3
		}
		var flow thermal.ContainerFlow
		c.Step(&s, &in, &flow)
	}
	for n := range ref[1] {
		ref[1][n] -= zeroCelsius
		ref[4][n] /= 1e3
	}
	x, label := plot.Seconds(ref[0])
	return plot.Figure{
		Title: "A 20 ft container for a day, steps of 60 s", X: label,
		Panels: []plot.Panel{
			{Y: "temperature (°C)", Curves: []plot.Curve{
				{Name: "battery", X: x, Y: bat, Color: plot.Red},
				{Name: "air", X: x, Y: air, Color: plot.Blue},
				{Name: "outer wall", X: x, Y: out, Color: plot.Gray},
				{Name: "battery, exact solver", X: x, Y: ref[1], Color: plot.Black, Style: plot.Dashed},
			}},
			{Y: "electric power (kW)", Curves: []plot.Curve{{X: x, Y: ref[4], Color: plot.Orange}}},
			{Y: "battery, difference (mK)", Curves: []plot.Curve{{X: x, Y: miss, Color: plot.Purple}}},
		},
	}, nil
}

// ovenS is how long the oven is watched, in s.
const ovenS = 5400

// oven is the cell of the reference in ovens of several temperatures.
func oven(data string) (f plot.Figure, err error) {
	p, err := params.LoadRunaway("runaway-lco")
	if err != nil {
		return f, err
	}
	const radius, length, rho, cp, film, emissivity = 0.009, 0.065, 2580, 830, 7.17, 0.8
	volume := math.Pi * radius * radius * length
	area := 2*math.Pi*radius*length + 2*math.Pi*radius*radius
	k, err := twin.Kinetics(p, volume)
	if err != nil {
		return f, err
	}
	var temps plot.Panel
	temps.Y = "cell (°C)"
	for n, c := range []float64{130, 140, 150, 155, 160} {
		s, t := k.Fresh(0), 301.15
		around := runaway.Surroundings{EnvK: c + zeroCelsius, WPerK: film * area, RadiantK4: emissivity * 5.670374419e-8 * area}
		var x, y []float64
		for at := 0.0; at <= ovenS; at += 10 {
			x, y = append(x, at), append(y, t-zeroCelsius)
			t, _ = k.AdvanceCoupled(&s, 10, t, rho*cp*volume, around)
		}
		x, f.X = plot.Seconds(x)
		temps.Curves = append(temps.Curves, plot.Curve{Name: fmt.Sprintf("%g °C", c), X: x, Y: y, Color: plot.Cycle(n)})
	}
	f.Title = "One cell in an oven (Hatchard 2001, Kim 2007)"
	f.Panels = []plot.Panel{temps}
	ref, err := columns(traceFile(data, "F2_tr_oven_140C.csv"), "t_s", "T_K")
	if err != nil {
		return f, err
	}
	n := 0
	for n < len(ref[0]) && ref[0][n] <= ovenS {
		ref[1][n] -= zeroCelsius
		n++
	}
	x, _ := plot.Seconds(ref[0][:n])
	f.Panels[0].Curves = append(f.Panels[0].Curves, plot.Curve{Name: "140 °C, exact solver", X: x, Y: ref[1][:n], Color: plot.Black, Style: plot.Dashed})
	return f, nil
}

// row is a row of ten cells the first of which is heated into runaway.
func row(data string) (f plot.Figure, err error) {
	p, err := params.LoadRunaway("runaway-lfp")
	if err != nil {
		return f, err
	}
	const n, capacity, joined = 10, 5425.42, 8.0
	k, err := twin.Kinetics(p, 0.00255)
	if err != nil {
		return f, err
	}
	links := make([]float64, n-1)
	for i := range links {
		links[i] = joined
	}
	chain, err := runaway.NewChain(k, capacity, links)
	if err != nil {
		return f, err
	}
	cells := make([]runaway.Cell, n)
	around := make([]runaway.Surroundings, n)
	for i := range cells {
		cells[i] = runaway.Cell{State: k.Fresh(3.2e6), TempK: 298.15}
		around[i] = runaway.Surroundings{EnvK: 298.15, WPerK: 0.63}
	}
	var t []float64
	temps := make([][]float64, n)
	for at := 0.0; at <= 7200; at += 10 {
		t = append(t, at)
		for i := range cells {
			temps[i] = append(temps[i], cells[i].TempK-zeroCelsius)
		}
		around[0].HeatW = 0
		if cells[0].TempK < 573.15 && at < 3600 {
			around[0].HeatW = 2000
		}
		var flow runaway.ChainFlow
		chain.Step(cells, around, 10, &flow)
	}
	f = plot.Figure{Title: "Ten cells in a row, the first heated with 2 kW to 300 °C", Panels: []plot.Panel{{Y: "cell (°C)"}}}
	x, label := plot.Seconds(t)
	f.X = label
	for i, y := range temps {
		f.Panels[0].Curves = append(f.Panels[0].Curves, plot.Curve{Name: fmt.Sprint(i + 1), X: x, Y: y, Color: plot.Cycle(i), Style: plot.Thin})
	}
	return f, nil
}

// ageing is ten years of the shipped sets: on the shelf, and with a cycle a day.
func ageing(data string) (f plot.Figure, err error) {
	f = plot.Figure{Title: "Ten years at 25 °C: a cycle a day of 60 %, half of the rated current", X: "years", Panels: []plot.Panel{{Y: "capacity (%)"}, {Y: "resistance (%)"}}}
	for n, name := range params.AgingSets() {
		set, err := params.LoadAging(name)
		if err != nil {
			return f, err
		}
		m, err := twin.AgingModel(&twin.Aging{Set: set, Scale: 1})
		if err != nil {
			return f, err
		}
		cell := m.Start(aging.State{})
		var x, q, r []float64
		soc := 0.2
		for hour := range 10 * 365 * 24 {
			if hour%(24*30) == 0 {
				x, q, r = append(x, float64(hour)/8760), append(q, 100*cell.SoHQ()), append(r, 100*cell.SoHR())
			}
			for range 5 { // every 12 min
				c := 0.0
				switch h := hour % 24; {
				case h < 2 && soc < 0.8:
					c = 0.5
				case h >= 17 && soc > 0.2:
					c = -0.5
				}
				soc = min(max(soc+c*0.2, 0.2), 0.8)
				cell.Advance(720, soc, 298.15, c)
			}
		}
		f.Panels[0].Curves = append(f.Panels[0].Curves, plot.Curve{Name: name, X: x, Y: q, Color: plot.Cycle(n)})
		f.Panels[1].Curves = append(f.Panels[1].Curves, plot.Curve{X: x, Y: r, Color: plot.Cycle(n)})
	}
	return f, nil
}
