//go:build ignore

// Gen writes the inputs of the shipped scenarios. They are made up from the
// formulas below and a fixed seed, not recorded anywhere: run it again and the
// files are the same, byte for byte.
//
//	go generate ./scenarios
package main

import (
	"bytes"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"time"
)

func main() {
	regulation("inputs/regulation-1h.csv", 3600, 2)
	regulation("inputs/regulation-8h.csv", 8*3600, 4)
	regulationDay("inputs/regulation-day.csv")
	site("inputs/site-day.csv")
	station("inputs/station-day.csv")
	cycles("inputs/daily-cycles.csv")
	frequency("inputs/frequency-1h.csv")
	response("inputs/demand-response.csv")
	prices("inputs/arbitrage-week.csv")
	market("inputs/market-history.csv", "inputs/market-came.csv")
}

func write(path string, b *bytes.Buffer) {
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}

// regulation is so many seconds of a fast regulation signal in -1..1 every dt, neutral in energy.
// Positive asks for injection.
func regulation(path string, seconds, dt float64) {
	var b bytes.Buffer
	b.WriteString("t_s,regulation\n")
	for i, v := range noise(rand.New(rand.NewPCG(2026, 1)), int(seconds/dt)+1, dt) {
		fmt.Fprintf(&b, "%d,%.4f\n", int(float64(i)*dt), v)
	}
	write(path, &b)
}

// regulationDay is a day of regulation in -1..1, positive asks for injection: until noon the fast signal
// of regulation every 4 s, then what a dispatch centre sends, setpoints that hold for one to three minutes and
// move by 5 % at least. Both halves are neutral in energy, but for what is left of the second by its last steps.
func regulationDay(path string) {
	const half, dt = 12 * 3600, 4.0
	rng := rand.New(rand.NewPCG(2026, 4))
	var b bytes.Buffer
	b.WriteString("t_s,regulation\n")
	x := noise(rng, half/dt, dt)
	for i, v := range x {
		fmt.Fprintf(&b, "%d,%.4f\n", i*dt, v)
	}
	for t, at, sum := half, 0.0, 0.0; t < 2*half; {
		next := min(max(rng.NormFloat64()*0.45-sum/1200, -1), 1)
		if math.Abs(next-at) < 0.05 {
			next = at + math.Copysign(0.05, next-at)
		}
		at = next
		hold := 60 + 4*rng.IntN(31)
		fmt.Fprintf(&b, "%d,%.4f\n", t, at)
		sum += at * float64(hold)
		t += hold
	}
	write(path, &b)
}

// noise is that of a fast regulation signal: through two first-order filters (20 s and 180 s), as an area control
// error has a fast and a slow part, without its mean, and scaled so that it reaches full range.
func noise(rng *rand.Rand, n int, dt float64) []float64 {
	x := make([]float64, n)
	var fast, slow, mean float64
	for i := range x {
		fast += -fast*dt/20 + rng.NormFloat64()*math.Sqrt(2*dt/20)
		slow += -slow*dt/180 + rng.NormFloat64()*math.Sqrt(2*dt/180)
		x[i] = 0.5*fast + slow
		mean += x[i] / float64(n)
	}
	for i, v := range x {
		x[i] = math.Tanh((v - mean) / 1.6)
	}
	return x
}

// site is a working day of a factory with solar panels, every minute: load with
// shifts, a midday dip and noise; PV as a clear day's half sine to the power 1.3
// with passing clouds, negative because it generates; a three-band price.
func site(path string) {
	rng := rand.New(rand.NewPCG(2026, 2))
	var b bytes.Buffer
	b.WriteString("t_s,load_kw,pv_kw,price_per_kwh\n")
	var noise, cloud float64
	for m := 0; m <= 24*60; m++ {
		h := float64(m) / 60
		noise += -noise/30 + rng.NormFloat64()*math.Sqrt(2.0/30)
		cloud += -cloud/25 + rng.NormFloat64()*math.Sqrt(2.0/25)
		shift := func(from, to, width float64) float64 {
			return 1/(1+math.Exp(-(h-from)/width)) - 1/(1+math.Exp(-(h-to)/width))
		}
		load := 320 + 640*shift(7, 17.5, 0.35) + 300*shift(9.2, 11.6, 0.2) + 340*shift(13.6, 16.2, 0.2) + 190*shift(17.5, 21, 0.3) + 18*noise
		pv := 0.0
		if h > 6.2 && h < 18.4 {
			clear := math.Pow(math.Sin(math.Pi*(h-6.2)/(18.4-6.2)), 1.3)
			pv = -420 * clear * (0.62 + 0.38/(1+math.Exp(-2*cloud)))
		}
		price := 0.09
		switch {
		case h >= 8 && h < 11, h >= 17 && h < 21:
			price = 0.21
		case h >= 7 && h < 23:
			price = 0.14
		}
		fmt.Fprintf(&b, "%d,%.1f,%.1f,%.2f\n", m*60, max(250, load), pv, price)
	}
	write(path, &b)
}

// station is the plan of a two-hour station for a day, every 5 s, as a share of its
// rated power (positive charges): charge at night and at noon, discharge in the
// morning and in the evening, quarter-hour ramps, and a slow regulation signal of
// 3 % on top, first-order noise with a time constant of 60 s.
func station(path string) {
	rng := rand.New(rand.NewPCG(2026, 3))
	blocks := []struct{ from, to, share float64 }{ // hours
		{0.5, 5.5, 0.22}, {6.5, 9, -0.3}, {10.5, 14, 0.3}, {17, 20.5, -0.38},
	}
	const dt, ramp = 5.0, 0.25
	var b bytes.Buffer
	b.WriteString("t_s,share\n")
	var noise float64
	for t := 0.0; t <= 86400; t += dt {
		h, plan := t/3600, 0.0
		for _, k := range blocks {
			plan += k.share * min(max((h-k.from)/ramp, 0), 1) * min(max((k.to-h)/ramp, 0), 1)
		}
		noise += -noise*dt/60 + rng.NormFloat64()*math.Sqrt(2*dt/60)
		fmt.Fprintf(&b, "%d,%.4f\n", int(t), plan+0.03*noise)
	}
	write(path, &b)
}

// response is what a grid pays for 800 kW from 17:00 to 19:00, by the quarter of an hour: the batteries' own
// power without the event is their baseline, 0.
func response(path string) {
	var b bytes.Buffer
	b.WriteString("time,baseline_kwh,committed_kwh,comp_price,pen_price\n")
	for q := range 96 {
		committed := 0
		if q >= 17*4 && q < 19*4 {
			committed = 800 / 4
		}
		fmt.Fprintf(&b, "2026-01-01T%02d:%02d:00Z,0,%d,2.8,4.2\n", q/4, q%4*15, committed)
	}
	write(path, &b)
}

// market is ten weeks of hourly prices up to the Sunday before the day of scenarios/market-day.yaml, with the load and the sun that were
// forecast of each hour and of the Monday itself; and what came on that Monday, in the auction of the day ahead and in real time.
// The price is made of what is forecast, the hour and noise that nobody knows before.
func market(history, came string) {
	rng := rand.New(rand.NewPCG(2026, 6))
	var before, day bytes.Buffer
	before.WriteString("time,energy_per_mwh,load_mw,sun_mw\n")
	day.WriteString("time,energy_per_mwh,real_time_per_mwh\n")
	bump := func(h, at, width float64) float64 { return math.Exp(-(h - at) * (h - at) / (2 * width * width)) }
	start := time.Date(2025, 10, 27, 0, 0, 0, 0, time.UTC) // a Monday
	var mood, wave float64
	for d := range 71 {
		work := 1.0
		if d%7 >= 5 {
			work = 0.82
		}
		clear := 0.35 + 0.65*rng.Float64()
		mood = 0.7*mood + 4*rng.NormFloat64()
		for h := range 24 {
			at := start.AddDate(0, 0, d).Add(time.Duration(h) * time.Hour).Format(time.RFC3339)
			x := float64(h)
			load := work*(52000+9000*bump(x, 9, 2.5)+14000*bump(x, 18.5, 2.5)-8000*bump(x, 3, 3)) + 700*rng.NormFloat64()
			sun := 0.0
			if h >= 7 && h <= 17 {
				sun = 21000 * clear * math.Sin(math.Pi*(x-6)/12)
			}
			wave = 0.8*wave + 1.5*rng.NormFloat64()
			price := 45 + (load-sun-46000)/420 + mood + wave
			if d < 70 {
				fmt.Fprintf(&before, "%s,%.2f,%.0f,%.0f\n", at, price, load, sun)
				continue
			}
			fmt.Fprintf(&before, "%s,,%.0f,%.0f\n", at, load, sun)
			fmt.Fprintf(&day, "%s,%.2f,%.2f\n", at, price, price+6*rng.NormFloat64())
		}
	}
	write(history, &before)
	write(came, &day)
}

// prices is a week of quarter-hours from a Monday on: an energy price for the day ahead with two peaks on workdays,
// a solar valley that goes below 0 at the weekend, and noise of 3 through a filter of two hours; and the price that comes, which is off by
// noise of 9 through a filter of an hour.
func prices(path string) {
	rng := rand.New(rand.NewPCG(2026, 5))
	var b bytes.Buffer
	b.WriteString("time,energy_per_mwh,came_per_mwh\n")
	bump := func(h, at, width float64) float64 { return math.Exp(-(h - at) * (h - at) / (2 * width * width)) }
	var slow, off float64
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for q := range 7 * 96 {
		h, day := float64(q%96)/4, q/96
		work := 1.0
		if day >= 5 {
			work = 0.45
		}
		slow += -slow/8 + 3*rng.NormFloat64()*math.Sqrt(2.0/8)
		off += -off/4 + 9*rng.NormFloat64()*math.Sqrt(2.0/4)
		price := 48 + work*(34*bump(h, 8.2, 1.3)+52*bump(h, 18.6, 1.6)) - (16+float64(day%3)*6+60*(1-work))*bump(h, 13, 2.2) - 14*bump(h, 3, 2.5) + slow
		fmt.Fprintf(&b, "%s,%.2f,%.2f\n", start.Add(time.Duration(q)*15*time.Minute).Format(time.RFC3339), price, price+off)
	}
	write(path, &b)
}

// cycles is ten days of the same cycle, as a share of rated power: charge from
// midnight, discharge in the evening.
func cycles(path string) {
	var b bytes.Buffer
	b.WriteString("t_s,share\n")
	for day := range 10 {
		for _, row := range []struct {
			hour  int
			share float64
		}{{0, 0.36}, {4, 0}, {17, -0.4}, {20, 0}} {
			fmt.Fprintf(&b, "%d,%g\n", (24*day+row.hour)*3600, row.share)
		}
	}
	write(path, &b)
}

// frequency is an hour of the frequency of a 50 Hz grid, every second: first-order noise with
// a time constant of 200 s and a standard deviation of 22 mHz, and after 25 minutes the loss
// of a power station: 0.35 Hz down within eight seconds, arrested, and back over six minutes.
func frequency(path string) {
	rng := rand.New(rand.NewPCG(2026, 4))
	var b bytes.Buffer
	b.WriteString("t_s,frequency_hz\n")
	var noise float64
	const event, sd, slow = 1500.0, 0.022, 200.0
	for t := range 3601 {
		noise += -noise/slow + sd*math.Sqrt(2/slow)*rng.NormFloat64()
		f := 50 + noise
		if dt := float64(t) - event; dt > 0 {
			f -= 0.35 * (1 - math.Exp(-dt/3)) * math.Exp(-dt/140)
		}
		fmt.Fprintf(&b, "%d,%.4f\n", t, f)
	}
	write(path, &b)
}
