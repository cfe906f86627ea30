//go:build !nosim

package main

import (
	"context"
	"math"
	"time"

	"yunchu/harness/plot"
	"yunchu/hil/sim"
	"yunchu/platform/device"
	"yunchu/platform/ingest"
	"yunchu/twin"
	"yunchu/twin/params"
)

// quality is a twelve minutes of a simulated unit that is told another power every
// two minutes, once as its readings arrive, with spikes and two silences, and once
// cleaned.
func quality(string) (f plot.Figure, err error) {
	received, err := patchy()
	if err != nil {
		return f, err
	}
	profile := ingest.Default()
	info := device.Info{ID: "ess", RatedKW: 100, CapacityKWh: 215}
	rows := ingest.Clean(&profile, &info, received)
	begin := received[0].At
	minutes := func(at int64) float64 { return float64(at-begin) / 60_000 }
	panel := func(label string, p device.Points, of func(r *device.Reading) float64) plot.Panel {
		raw := plot.Curve{Name: "as received", Color: plot.Gray, Style: plot.Points}
		clean := plot.Curve{Name: "cleaned", Color: plot.Blue}
		filled := plot.Curve{Name: "filled", Color: plot.Orange}
		for i := range received {
			raw.X, raw.Y = append(raw.X, minutes(received[i].At)), append(raw.Y, of(&received[i]))
		}
		for i := range rows {
			r := &rows[i]
			clean.X, clean.Y = append(clean.X, minutes(r.At)), append(clean.Y, of(&r.Reading))
			y := math.NaN()
			if r.Filled&p != 0 {
				y = of(&r.Reading)
			}
			filled.X, filled.Y = append(filled.X, minutes(r.At)), append(filled.Y, y)
		}
		return plot.Panel{Y: label, Curves: []plot.Curve{raw, clean, filled}}
	}
	return plot.Figure{Title: "Readings as received and cleaned", X: "time in minutes", Panels: []plot.Panel{
		panel("power in kW", device.PointPower, func(r *device.Reading) float64 { return r.Power }),
		panel("state of charge in %", device.PointSoC, func(r *device.Reading) float64 { return r.SoC }),
	}}, nil
}

// patchy are the readings of every second, but for those that are lost, with a spike of
// the power every 97 s.
func patchy() ([]device.Reading, error) {
	model, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		return nil, err
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fleet, err := twin.NewFleet(model, []string{"ess"}, twin.Options{Start: start, SoCMean: 50})
	if err != nil {
		return nil, err
	}
	unit := sim.Fleets(fleet)[0].Unit(0)
	ctx := context.Background()
	powers := []float64{40, -60, 90, 0, -30, 75}
	lost := func(s int) bool { return s >= 200 && s < 220 || s >= 400 && s < 560 }
	var out []device.Reading
	for s := range 12 * 60 {
		now := start.Add(time.Duration(s) * time.Second)
		if s%120 == 0 {
			c := device.Command{ID: "set", Verb: device.SetPower, Power: powers[s/120], At: now.UnixMilli(), Duration: 120_000, Until: now.UnixMilli() + 120_000}
			if _, err := unit.Write(ctx, now, c); err != nil {
				return nil, err
			}
		}
		r, err := unit.Read(ctx, now)
		if err != nil {
			return nil, err
		}
		if s%97 == 50 {
			r.Power += 55
		}
		if !lost(s) {
			out = append(out, r)
		}
	}
	return out, unit.Close()
}
