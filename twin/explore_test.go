package twin_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"yunchu/twin"
	"yunchu/twin/cell"
	"yunchu/twin/params"
)

func variant(t testing.TB, name string) *params.Cell {
	base, err := params.LoadCell("lfp280_ref")
	if err != nil {
		t.Fatal(err)
	}
	c := *base
	sony := func() {
		f := 280.0 / 3
		c.CapacityAh = 3
		c.VMin, c.VMax = 2.0, 3.6
		c.Resistance.RTot = slices.Clone(c.Resistance.RTot)
		for i := range c.Resistance.RTot {
			c.Resistance.RTot[i] *= f
		}
		c.Thermal.MassKg, c.Thermal.CpJPerKg, c.Thermal.HAPerK = 0.07, 1001, 0.079
	}
	switch name {
	case "ref":
	case "sony":
		sony()
	case "eta":
		c.CoulombicEfficiency = 0.99
	case "few":
		c.OCV = params.OCV{SoC: []float64{0, 0.1, 0.5, 1}, V: []float64{2.5, 3.2, 3.3, 3.45}}
		c.Hysteresis.SoC, c.Hysteresis.M = []float64{0, 1}, []float64{0.012, 0.009}
		c.Entropic.SoC, c.Entropic.DUDT = []float64{0, 0.4, 1}, []float64{-4e-4, 1e-4, 1.2e-4}
		c.Resistance.SoC, c.Resistance.RTot = []float64{0, 0.3, 1}, []float64{7e-4, 4.8e-4, 5.1e-4}
	case "tau":
		c.Resistance.Tau = params.TimeConsts{Tau1: 3, Tau2: 60}
	case "tau1":
		c.Resistance.Tau = params.TimeConsts{Tau1: 1, Tau2: 20}
	}
	return &c
}

func randomCase(rng *rand.Rand, set *params.Cell, s, p int) twin.TraceCase {
	u := func(a, b float64) float64 { return a + (b-a)*rng.Float64() }
	soc, temp := u(0.15, 0.9), u(263.15, 323.15)
	c := twin.TraceCase{ModuleParams: twin.ModuleParams{Cell: set, Parallel: p}, Step: time.Second, OutputEvery: time.Second}
	k := set.CapacityAh / 280
	c.Heat = twin.HeatPaths{EnvWPerK: u(0.1, 0.8) * k, EnvK: u(263.15, 323.15), NeighbourWPerK: u(0, 0.6) * k, CoolantWPerK: u(0, 4) * k, CoolantK: u(280, 300), CoolFirst: true, CoolLast: rng.IntN(2) == 0}
	if set.CapacityAh < 10 {
		c.Heat.EnvWPerK = u(0.01, 0.1)
	}
	h0 := u(-1, 1)
	for range s * p {
		c.Cells = append(c.Cells, twin.Member{
			Scatter:    cell.Scatter{Capacity: u(0.97, 1.03), Resistance: u(0.9, 1.15)},
			State:      cell.State{SoC: soc + u(-0.02, 0.02), Hyst: h0, TempK: temp + u(-1, 1)},
			ContactOhm: u(0, 1e-4) / k,
		})
	}
	if p == 1 {
		for i := range c.Cells {
			c.Cells[i].ContactOhm = 0
		}
	}
	oneC := set.CapacityAh * 3.3 * float64(s*p)
	at := time.Duration(0)
	z := soc
	for range 5 {
		d := time.Duration(rng.IntN(600)+10) * time.Second
		x := u(-1, 1)
		switch {
		case z > 0.8:
			x = u(-1, 0.1)
		case z < 0.2:
			x = u(-0.1, 1)
		}
		switch rng.IntN(4) {
		case 0:
			x = 0
		case 1:
			for range 60 {
				c.Profile = append(c.Profile, twin.ProfileRow{T: at, Drive: twin.Drive{Kind: twin.ByPower, Value: u(-1, 1) * oneC}})
				at += 2 * time.Second
			}
		}
		z += x * d.Seconds() / 3600
		if rng.IntN(3) > 0 {
			c.Profile = append(c.Profile, twin.ProfileRow{T: at, Drive: twin.Drive{Kind: twin.ByPower, Value: x * oneC}})
		} else {
			c.Profile = append(c.Profile, twin.ProfileRow{T: at, Drive: twin.Drive{Kind: twin.ByCurrent, Value: x * set.CapacityAh * float64(p)}})
		}
		at += d
	}
	c.Profile = append(c.Profile, twin.ProfileRow{T: at, Drive: twin.Drive{}})
	return c
}

// solve compares.
func against(c twin.TraceCase) (d off, where string, energy twin.ModuleEnergy, err error) {
	o := newOracle(c.ModuleParams)
	at := time.Duration(0)
	row := 0
	energy, err = c.Run(func(r twin.TraceRow) error {
		for at < r.T {
			for row+1 < len(c.Profile) && c.Profile[row+1].T <= at {
				row++
			}
			to := min(r.T, c.Profile[row+1].T)
			o.advance(c.Profile[row].Drive, (to - at).Seconds())
			at = to
		}
		k := row
		for k+1 < len(c.Profile) && c.Profile[k+1].T <= at {
			k++
		}
		w := o.row(c.Profile[k].Drive)
		for i, x := range r.Cells {
			y := w.Cells[i]
			was := d
			d.add(x.VoltageV-y.VoltageV, x.TempK-y.TempK, x.CurrentA-y.CurrentA, x.SoC-y.SoC)
			if d.v > was.v {
				where += fmt.Sprintf("\n   V t=%v cell %d soc %.4f T %.2f I %.3f drive %v", r.T, i, x.SoC, x.TempK, x.CurrentA, c.Profile[k].Drive)
			}
			if d.t > was.t*1.3 && d.t > 5e-6 {
				where += fmt.Sprintf("\n   dT %.3g t=%v cell %d z %.5f I %.3f P %.1f %v", d.t, r.T, i, x.SoC, x.CurrentA, r.PowerW, c.Profile[k].Drive)
			}
			if d.i > was.i {
				where += fmt.Sprintf(" | dI t=%v", r.T)
			}
		}
		return nil
	})
	if errors.Is(err, twin.ErrVoltage) {
		err = nil
	}
	return d, where, energy, err
}

func TestExplore(t *testing.T) {
	if os.Getenv("EXPLORE") == "" {
		t.Skip()
	}
	for _, name := range []string{"ref", "sony", "eta", "few", "tau", "tau1"} {
		for _, sp := range [][2]int{{1, 1}, {8, 1}, {1, 4}, {1, 12}, {2, 4}} {
			var worst off
			bal := 0.0
			for seed := range 12 {
				rng := rand.New(rand.NewPCG(uint64(seed), 7))
				c := randomCase(rng, variant(t, name), sp[0], sp[1])
				d, where, en, err := against(c)
				if err != nil {
					t.Fatal(err)
				}
				_ = where
				if os.Getenv("EXPLORE") == "2" {
					t.Log(name, sp, seed, d, where)
				}
				worst.add(d.v, d.t, d.i, d.z)
				bal = math.Max(bal, en.BalanceError())
			}
			t.Logf("%-5s %v: %v bal %.2g", name, sp, worst, bal)
		}
	}
}
