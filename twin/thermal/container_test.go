package thermal_test

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"yunchu/twin/params"
	"yunchu/twin/thermal"
)

const zeroCelsius = 273.15 // K

// config is a container set with so many cells of capacity J/K in it, 0 cells when
// the racks are stepped elsewhere.
func config(t testing.TB, name string, cells, capacity float64) thermal.ContainerConfig {
	t.Helper()
	p, err := params.LoadContainer(name)
	if err != nil {
		t.Fatal(err)
	}
	kelvin := func(c params.COPTable) thermal.Curve {
		x := make([]float64, len(c.AmbientC))
		for i, v := range c.AmbientC {
			x[i] = v + zeroCelsius
		}
		return thermal.Curve{X: x, Y: c.COP}
	}
	cfg := thermal.ContainerConfig{
		Walls: thermal.Box{
			Length: p.Box.Length, Width: p.Box.Width, Height: p.Box.Height,
			FilmInner: p.Box.FilmInner, FilmOuter: p.Box.FilmOuter,
			AirDensity: p.Air.Density, AirCp: p.Air.Cp,
			Layers: [3]thermal.Layer{layer(p.Box.Inner), layer(p.Box.Middle), layer(p.Box.Outer)},
		}.Walls(),
		Batteries: thermal.Batteries{Capacity: cells * capacity, Air: cells * airPerK(p)},
		Plant: thermal.Plant{
			CoolW: p.Plant.CoolW, HeatW: p.Plant.HeatW,
			CopCool: kelvin(p.Plant.CopCool), CopHeat: kelvin(p.Plant.CopHeat),
			CirculationW: p.Plant.CirculationW, StillRatio: p.Plant.StillRatio,
		},
		Control: thermal.Control{
			SetK: p.Control.SetC + zeroCelsius, ThresholdK: p.Control.ThresholdK,
			HeatSetK: p.Control.HeatSetC + zeroCelsius, BandK: p.Control.BandK,
		},
	}
	if p.Control.Kind == "proportional" {
		cfg.Control.Kind = thermal.Proportional
	}
	if p.Loop != nil {
		cfg.Loop = thermal.Loop{Capacity: p.Loop.Capacity, Flow: p.Loop.Flow, Plate: cells * platePerK}
	}
	return cfg
}

// How one cell gives its heat away, W/K. Air: 1/5.787e-4 W/K for the 3,840 cells of case
// G, which is 15 W/m2/K on 0.03 m2 of each; closed packs on plates have a ninth of it.
// Plate: as in case D of the reference traces.
func airPerK(p *params.Container) float64 {
	if p.Loop != nil {
		return 0.05
	}
	return 0.45
}

const platePerK = 3.0

func layer(l params.WallLayer) thermal.Layer {
	return thermal.Layer{Thickness: l.Thickness, Conductivity: l.Conductivity, Density: l.Density, Cp: l.Cp}
}

func container(t testing.TB, cfg thermal.ContainerConfig) *thermal.Container {
	t.Helper()
	c, err := thermal.NewContainer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// caseG is the container of the reference trace, as its file of cases states it.
type caseG struct {
	AreaM2    float64      `yaml:"A_surface_m2"`
	VolumeM3  float64      `yaml:"V_m3"`
	CAir      float64      `yaml:"C_air"`
	CIn       float64      `yaml:"C_in"`
	CMid      float64      `yaml:"C_mid"`
	COut      float64      `yaml:"C_out"`
	RAirOut   float64      `yaml:"R_air_out"`
	ROutMid   float64      `yaml:"R_out_mid"`
	RMidIn    float64      `yaml:"R_mid_in"`
	RInAir    float64      `yaml:"R_in_air"`
	CBat      float64      `yaml:"C_bat"`
	RBat      float64      `yaml:"R_bat"`
	Cells     float64      `yaml:"n_cells"`
	TSet      float64      `yaml:"T_set"`
	Threshold float64      `yaml:"threshold"`
	QMax      float64      `yaml:"Q_max"`
	TInit     float64      `yaml:"T_init"`
	EnergyKWh float64      `yaml:"E_el_kWh"`
	Switches  [][2]float64 `yaml:"switch_times_s_and_mode"`
}

// reference is a file of the exact solver.
func reference(name string) string { return filepath.Join("..", "testdata", "reference", name) }

func loadCaseG(t *testing.T) (caseG, thermal.ContainerConfig) {
	t.Helper()
	src, err := os.ReadFile(reference("cases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var cases struct {
		G caseG `yaml:"G_container_20ft"`
	}
	if err := yaml.Unmarshal(src, &cases); err != nil {
		t.Fatal(err)
	}
	g := cases.G
	cfg := config(t, "container-20ft-hvac", g.Cells, 5.42*1001)
	cfg.Control.SetK, cfg.Control.ThresholdK = g.TSet, g.Threshold
	cfg.Plant.CoolW, cfg.Plant.HeatW = g.QMax, g.QMax
	return g, cfg
}

// The nodes of the 20 ft preset come out of its geometry and layers.
func TestWallsOfThePreset(t *testing.T) {
	g, cfg := loadCaseG(t)
	w := cfg.Walls
	for _, tt := range []struct {
		name      string
		got, want float64
	}{
		{"area", w.Area, g.AreaM2},
		{"volume", w.Volume, g.VolumeM3},
		{"air", w.Air, g.CAir},
		{"inner", w.Inner, g.CIn},
		{"middle", w.Middle, g.CMid},
		{"outer", w.Outer, g.COut},
		{"air to inner", 1 / w.AirInner, g.RInAir},
		{"inner to middle", 1 / w.InnerMiddle, g.RMidIn},
		{"middle to outer", 1 / w.MiddleOuter, g.ROutMid},
		{"outer to ambient", 1 / w.OuterToAmbient, g.RAirOut},
		{"batteries", cfg.Batteries.Capacity, g.CBat},
		{"batteries to air", 1 / cfg.Batteries.Air, g.RBat},
	} {
		if math.Abs(tt.got/tt.want-1) > 1e-12 {
			t.Errorf("%s is %.12g, want %.12g", tt.name, tt.got, tt.want)
		}
	}
	if loss := w.Loss(); math.Abs(loss-87.7) > 0.05 {
		t.Errorf("the walls lose %.2f W/K, want 87.7", loss)
	}
}

func ambientG(at float64) float64 { return 298.15 + 8*math.Sin(2*math.Pi*(at-21600)/86400) }

// runG steps case G through its day and returns the switches as (time, mode).
func runG(c *thermal.Container, g caseG, dt float64, each func(at float64, s *thermal.ContainerState, f *thermal.ContainerFlow)) (switches [][2]float64) {
	var s thermal.ContainerState
	for i := range s.TempK {
		s.TempK[i] = g.TInit
	}
	var f thermal.ContainerFlow
	for k := range int(86400 / dt) {
		at := float64(k) * dt
		in := thermal.ContainerInput{Seconds: dt, Ambient0K: ambientG(at), Ambient1K: ambientG(at + dt)}
		if math.Mod(at, 21600) < 7200 {
			in.BatteryW = 80e3
		}
		c.Step(&s, &in, &f)
		if f.Switches > 0 {
			switches = append(switches, [2]float64{at + dt - s.ModeSeconds, float64(s.Mode)})
		}
		each(at+dt, &s, &f)
	}
	return switches
}

func loadTraceG(t *testing.T) map[float64][5]float64 {
	t.Helper()
	file, err := os.Open(reference("G_container_20ft.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	trace := map[float64][5]float64{}
	for _, row := range rows[1:] {
		var v [6]float64
		for i := range v {
			if v[i], err = strconv.ParseFloat(row[i], 64); err != nil {
				t.Fatal(err)
			}
		}
		trace[v[0]] = [5]float64(v[1:])
	}
	return trace
}

// The day of case G at several step lengths against the exact solver: all nodes at
// all rows, every switch, and the electric energy.
func TestContainerAgainstReference(t *testing.T) {
	g, cfg := loadCaseG(t)
	trace := loadTraceG(t)
	c := container(t, cfg)
	for _, tt := range []struct {
		dt                          float64
		battery, node, when, energy float64 // K, K, s, relative
	}{
		{1, 2e-7, 1e-6, 1e-6, 1e-9},
		{60, 2e-6, 5e-4, 1e-3, 2e-8},
		{900, 3e-4, 0.01, 0.1, 3e-6}, // the sine of the ambient, taken as straight, is 4 mK off
	} {
		var battery, node, energy, when float64
		switches := runG(c, g, tt.dt, func(at float64, s *thermal.ContainerState, f *thermal.ContainerFlow) {
			energy += f.ElectricJ / 3.6e6
			want, ok := trace[at]
			if !ok {
				return
			}
			battery = max(battery, math.Abs(s.TempK[thermal.Battery]-want[0]))
			for i, w := range want {
				node = max(node, math.Abs(s.TempK[i]-w))
			}
		})
		if len(switches) != len(g.Switches) {
			t.Fatalf("at %g s: switches %v, want %v", tt.dt, switches, g.Switches)
		}
		for i, w := range g.Switches {
			if switches[i][1] != w[1] {
				t.Errorf("at %g s: switch %d to mode %g, want %g", tt.dt, i, switches[i][1], w[1])
			}
			when = max(when, math.Abs(switches[i][0]-w[0]))
		}
		rel := math.Abs(energy/g.EnergyKWh - 1)
		t.Logf("dt %4g s: battery %.2g K, worst node %.2g K, switches %.2g s, energy %.6f kWh (%.2g)", tt.dt, battery, node, when, energy, rel)
		if battery > tt.battery || node > tt.node || when > tt.when || rel > tt.energy {
			t.Errorf("dt %g s is outside %+v", tt.dt, tt)
		}
	}
}

// day is a warm day with sun and two charges for the shipped containers, at a time.
func day(at float64) (ambientK, solarW, batteryW float64) {
	ambientK = 303.15 + 10*math.Sin(2*math.Pi*(at-36000)/86400)
	if at > 21600 && at < 64800 {
		solarW = 6000
	}
	if math.Mod(at, 43200) < 7200 {
		batteryW = 50e3
	}
	return ambientK, solarW, batteryW
}

func uniform(tempK float64) (s thermal.ContainerState) {
	for i := range s.TempK {
		s.TempK[i] = tempK
	}
	return s
}

// fine steps the equations of a container by classical Runge-Kutta: a second
// implementation that knows neither modes of the network nor switches, the
// proportional duty being a clamped function of the medium.
func fine(cfg thermal.ContainerConfig, s *[thermal.Nodes]float64, in *thermal.ContainerInput, h float64) {
	const B, A, I, M, O, C = thermal.Battery, thermal.Air, thermal.Inner, thermal.Middle, thermal.Outer, thermal.Coolant
	w := cfg.Walls
	ctl, plant := cfg.Control, cfg.Plant
	plate := cfg.Loop.Flow * (1 - math.Exp(-cfg.Loop.Plate/cfg.Loop.Flow))
	rate := func(at float64, t *[thermal.Nodes]float64) (d [thermal.Nodes]float64) {
		ambient := in.Ambient0K + (in.Ambient1K-in.Ambient0K)*at/in.Seconds
		toAir, toCoolant := cfg.Batteries.Air*(t[B]-t[A]), plate*(t[B]-t[C])
		d[B] = (in.BatteryW - toAir - toCoolant) / cfg.Batteries.Capacity
		d[A] = (toAir - w.AirInner*(t[A]-t[I])) / w.Air
		d[I] = (w.AirInner*(t[A]-t[I]) - w.InnerMiddle*(t[I]-t[M])) / w.Inner
		d[M] = (w.InnerMiddle*(t[I]-t[M]) - w.MiddleOuter*(t[M]-t[O])) / w.Middle
		d[O] = (in.SolarW + w.MiddleOuter*(t[M]-t[O]) - w.OuterToAmbient*(t[O]-ambient)) / w.Outer
		cool := plant.CoolW * min(1, max(0, (t[C]-ctl.SetK)/ctl.BandK))
		heat := plant.HeatW * min(1, max(0, (ctl.HeatSetK-t[C])/ctl.BandK))
		d[C] = (toCoolant + plant.CirculationW - cool + heat) / cfg.Loop.Capacity
		return d
	}
	plus := func(d [thermal.Nodes]float64, by float64) *[thermal.Nodes]float64 {
		sum := *s
		for i := range sum {
			sum[i] += by * d[i]
		}
		return &sum
	}
	for at := 0.0; at < in.Seconds; at += h {
		k1 := rate(at, s)
		k2 := rate(at+h/2, plus(k1, h/2))
		k3 := rate(at+h/2, plus(k2, h/2))
		k4 := rate(at+h, plus(k3, h))
		for i := range s {
			s[i] += h / 6 * (k1[i] + 2*k2[i] + 2*k3[i] + k4[i])
		}
	}
}

// The liquid-cooled container with its proportional chiller at 900 s, against
// Runge-Kutta at 0.5 s.
func TestLiquidCoolingAgainstRungeKutta(t *testing.T) {
	cfg := config(t, "container-20ft-liquid", 4000, 5425)
	c := container(t, cfg)
	seen := map[thermal.Mode]bool{}
	for _, start := range []float64{273.15, 291.15, 313.15} {
		s := uniform(start)
		want := s.TempK
		var worst float64
		for at := 0.0; at < 86400; at += 900 {
			ambient0, solar, battery := day(at)
			ambient1, _, _ := day(at + 900)
			in := thermal.ContainerInput{Seconds: 900, Ambient0K: ambient0, Ambient1K: ambient1, SolarW: solar, BatteryW: battery}
			var f thermal.ContainerFlow
			c.Step(&s, &in, &f)
			fine(cfg, &want, &in, 0.5)
			seen[s.Mode] = true
			for i := range want {
				worst = max(worst, math.Abs(s.TempK[i]-want[i]))
			}
		}
		t.Logf("from %g K: worst node %.2g K", start, worst)
		if worst > 1e-7 {
			t.Errorf("from %g K: a node is %.3g K off", start, worst)
		}
	}
	if len(seen) != 5 {
		t.Errorf("only modes %v were visited", seen)
	}
}

// drawInput is any input of up to span seconds.
func drawInput(t *rapid.T, span float64) thermal.ContainerInput {
	kelvin := rapid.Float64Range(250, 325)
	ambient := kelvin.Draw(t, "ambient")
	return thermal.ContainerInput{
		Seconds:   rapid.Float64Range(0.01, span).Draw(t, "seconds"),
		Ambient0K: ambient,
		Ambient1K: ambient + rapid.Float64Range(-5, 5).Draw(t, "change"),
		SolarW:    rapid.Float64Range(0, 15e3).Draw(t, "solar"),
		BatteryW:  rapid.Float64Range(-20e3, 150e3).Draw(t, "battery"),
		AirW:      rapid.Float64Range(0, 2e3).Draw(t, "air"),
		CoolantW:  rapid.Float64Range(0, 2e3).Draw(t, "coolant"),
		Racks0K:   kelvin.Draw(t, "racks0"),
		Racks1K:   kelvin.Draw(t, "racks1"),
		Hottest0K: kelvin.Draw(t, "hottest0"),
		Hottest1K: kelvin.Draw(t, "hottest1"),
	}
}

// shipped are all container sets with racks inside and with racks stepped elsewhere.
func shipped(t *testing.T) (types []*thermal.Container, cfgs []thermal.ContainerConfig) {
	for _, name := range params.Containers() {
		for _, outside := range []bool{false, true} {
			cfg := config(t, name, 4000, 5425)
			if outside {
				cfg.Batteries.Capacity = 0
			}
			types, cfgs = append(types, container(t, cfg)), append(cfgs, cfg)
		}
	}
	return types, cfgs
}

// Stored heat changes by what the step accounts for, in any container, with or
// without failures, and no temperature runs away at any step length.
func TestContainerKeepsEnergy(t *testing.T) {
	types, cfgs := shipped(t)
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, len(types)-1).Draw(t, "container")
		c, cfg := types[i], cfgs[i]
		s := uniform(rapid.Float64Range(260, 320).Draw(t, "start"))
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			s.FanFailed = rapid.Bool().Draw(t, "fan")
			s.PlantFailed = rapid.Bool().Draw(t, "plant")
			in := drawInput(t, 1e5)
			before := s
			var f thermal.ContainerFlow
			c.Step(&s, &in, &f)

			capacity := [thermal.Nodes]float64{cfg.Batteries.Capacity, cfg.Walls.Air, cfg.Walls.Inner, cfg.Walls.Middle, cfg.Walls.Outer, cfg.Loop.Capacity}
			var stored, moved float64
			for n, w := range capacity {
				stored += w * (s.TempK[n] - before.TempK[n])
				moved += math.Abs(w * (s.TempK[n] - before.TempK[n]))
			}
			given := (in.SolarW + in.AirW) * in.Seconds
			if cfg.Loop.Capacity > 0 {
				given += in.CoolantW * in.Seconds
			}
			if cfg.Batteries.Capacity > 0 {
				given += in.BatteryW * in.Seconds
			} else {
				given += f.RacksJ
			}
			if !s.FanFailed {
				given += cfg.Plant.CirculationW * in.Seconds
			}
			given += f.AmbientJ + f.HeatingJ - f.CoolingJ
			moved += math.Abs(f.AmbientJ) + math.Abs(f.RacksJ) + f.HeatingJ + f.CoolingJ + math.Abs(in.BatteryW*in.Seconds)
			if off := math.Abs(stored - given); off > 1e-9*moved+1e-3 {
				t.Fatalf("%g J stored, %g J given: %g off of %g moved", stored, given, off, moved)
			}
			for n, k := range s.TempK {
				if !(k > 150 && k < 1000) {
					t.Fatalf("node %d is at %g K", n, k)
				}
			}
			if (s.FanFailed || s.PlantFailed) && (f.CoolingJ != 0 || f.HeatingJ != 0) {
				t.Fatalf("a failed plant moved heat: %+v", f)
			}
		}
	})
}

// Where the inputs are what they are said to be, a step may be cut anywhere.
func TestContainerDoesNotDependOnCuts(t *testing.T) {
	types, cfgs := shipped(t)
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, len(types)-1).Draw(t, "container")
		whole := uniform(rapid.Float64Range(280, 310).Draw(t, "start"))
		parts := whole
		in := drawInput(t, 7200)
		var f, sum thermal.ContainerFlow
		types[i].Step(&whole, &in, &f)
		n := rapid.IntRange(2, 40).Draw(t, "parts")
		for k := range n {
			part, from, to := in, float64(k)/float64(n), float64(k+1)/float64(n)
			part.Seconds /= float64(n)
			part.Ambient0K, part.Ambient1K = in.Ambient0K+from*(in.Ambient1K-in.Ambient0K), in.Ambient0K+to*(in.Ambient1K-in.Ambient0K)
			part.Racks0K, part.Racks1K = in.Racks0K+from*(in.Racks1K-in.Racks0K), in.Racks0K+to*(in.Racks1K-in.Racks0K)
			part.Hottest0K, part.Hottest1K = in.Hottest0K+from*(in.Hottest1K-in.Hottest0K), in.Hottest0K+to*(in.Hottest1K-in.Hottest0K)
			var g thermal.ContainerFlow
			types[i].Step(&parts, &part, &g)
			sum.ElectricJ += g.ElectricJ
			sum.CoolingJ += g.CoolingJ
			sum.HeatingJ += g.HeatingJ
			sum.AirMeanK += g.AirMeanK / float64(n)
		}
		for k := range whole.TempK {
			if math.Abs(whole.TempK[k]-parts.TempK[k]) > 1e-7 {
				t.Fatalf("node %d: at once %.12g K, in %d parts %.12g K (%v, %v)", k, whole.TempK[k], n, parts.TempK[k], whole.Mode, parts.Mode)
			}
		}
		tolerance := 1e-6 * (f.ElectricJ + 1)
		if len(cfgs[i].Plant.CopCool.X) > 1 {
			tolerance *= 5e3 // the table of the chiller has corners, which its quadrature rounds
		}
		if math.Abs(f.ElectricJ-sum.ElectricJ) > tolerance || math.Abs(f.CoolingJ-sum.CoolingJ) > 1e-6*(f.CoolingJ+1) || math.Abs(f.AirMeanK-sum.AirMeanK) > 1e-7 {
			t.Fatalf("at once %+v, in %d parts %+v", f, n, sum)
		}
	})
}

// A container at rest on its set point stays there, and its plant does not chatter.
func TestContainerAtRest(t *testing.T) {
	for _, kind := range []thermal.ControlKind{thermal.Thermostat, thermal.Proportional} {
		for _, name := range params.Containers() {
			cfg := config(t, name, 4000, 5425)
			cfg.Control = thermal.Control{Kind: kind, SetK: 298.15, HeatSetK: 298.15, ThresholdK: 2, BandK: 4}
			cfg.Plant.CirculationW = 0
			c, s := container(t, cfg), uniform(298.15)
			switches := 0
			for _, dt := range []float64{1e-9, 1, 60, 900, 1e6} {
				var f thermal.ContainerFlow
				c.Step(&s, &thermal.ContainerInput{Seconds: dt, Ambient0K: 298.15, Ambient1K: 298.15}, &f)
				switches += f.Switches
			}
			for i, k := range s.TempK {
				if math.Abs(k-298.15) > 1e-8 {
					t.Errorf("%s: node %d went to %.12g K", name, i, k)
				}
			}
			if switches > 1 {
				t.Errorf("%s: %d switches at rest", name, switches)
			}
		}
	}
}

// Racks stepped elsewhere, here as one mass, which expect their next temperature
// from their own heat and from what the container took in the step before. The
// result is that of lumped batteries, stays stable at steps far beyond the 22 s of
// the air, and the heat adds up.
func TestRacksOutside(t *testing.T) {
	g, cfg := loadCaseG(t)
	lumped := map[float64]float64{} // K at s
	var want float64                // kWh
	runG(container(t, cfg), g, 1, func(at float64, s *thermal.ContainerState, f *thermal.ContainerFlow) {
		lumped[at] = s.TempK[thermal.Battery]
		want += f.ElectricJ / 3.6e6
	})
	cfg.Batteries.Capacity = 0
	c := container(t, cfg)
	for _, tt := range []struct{ dt, kelvin, energy float64 }{{1, 1e-6, 1e-6}, {60, 5e-4, 1e-5}, {300, 0.5, 0.05}, {900, 3, 0.2}} {
		s, racks := uniform(g.TInit), g.TInit
		var gave, took, energy, worst float64
		var f thermal.ContainerFlow
		for k := range int(86400 / tt.dt) {
			at := float64(k) * tt.dt
			heat := 0.0
			if math.Mod(at, 21600) < 7200 {
				heat = 80e3 * tt.dt
			}
			next := racks + (heat-f.RacksJ)/g.CBat
			in := thermal.ContainerInput{Seconds: tt.dt, Ambient0K: ambientG(at), Ambient1K: ambientG(at + tt.dt), Racks0K: racks, Racks1K: next, Hottest0K: racks, Hottest1K: next}
			c.Step(&s, &in, &f)
			racks += (heat - f.RacksJ) / g.CBat
			gave, took, energy = gave+heat, took+f.RacksJ, energy+f.ElectricJ/3.6e6
			worst = max(worst, math.Abs(racks-lumped[at+tt.dt]))
		}
		t.Logf("dt %4g s: racks within %.2g K of the lumped container, energy %+.2g %%", tt.dt, worst, 100*(energy/want-1))
		if worst > tt.kelvin || math.Abs(energy/want-1) > tt.energy {
			t.Errorf("dt %g s: racks are %g K off, energy %g kWh, want %g", tt.dt, worst, energy, want)
		}
		if off := gave - took - g.CBat*(racks-g.TInit); math.Abs(off) > 1e-9*gave {
			t.Errorf("dt %g s: %g J lost between racks and container", tt.dt, off)
		}
	}
}

// When the fan stops the batteries warm; when it starts again they are cooled down.
func TestFanFailure(t *testing.T) {
	for _, name := range params.Containers() {
		cfg := config(t, name, 4000, 5425)
		c := container(t, cfg)
		s := uniform(298.15)
		in := thermal.ContainerInput{Seconds: 900, Ambient0K: 308.15, Ambient1K: 308.15, BatteryW: 40e3}
		run := func(hours int) (electric float64) {
			for range 4 * hours {
				var f thermal.ContainerFlow
				c.Step(&s, &in, &f)
				electric += f.ElectricJ
			}
			return electric
		}
		run(24)
		cooled := s.TempK[thermal.Battery]
		s.FanFailed = true
		electric := run(6)
		hot := s.TempK[thermal.Battery]
		if hot < cooled+20 || electric != 0 || s.Mode != thermal.Idle {
			t.Errorf("%s: from %.1f K to %.1f K without fan, %g J drawn, mode %v", name, cooled, hot, electric, s.Mode)
		}
		s.FanFailed = false
		if run(48); math.Abs(s.TempK[thermal.Battery]-cooled) > 6 {
			t.Errorf("%s: %.1f K two days after repair, was %.1f K", name, s.TempK[thermal.Battery], cooled)
		}
	}
}

func TestCoolantReturn(t *testing.T) {
	l := thermal.Loop{Capacity: 1, Flow: 1000, Plate: 800}
	want := 300 - 10*math.Exp(-0.8) // along the plate the difference of 10 K decays
	if got := l.ReturnK(290, 300); math.Abs(got-want) > 1e-12 {
		t.Errorf("the coolant comes back at %.9g K, want %.9g", got, want)
	}
}

func TestContainerRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*thermal.ContainerConfig){
		"no walls":      func(c *thermal.ContainerConfig) { c.Walls = thermal.Walls{} },
		"no threshold":  func(c *thermal.ContainerConfig) { c.Control.ThresholdK = 0 },
		"no COP":        func(c *thermal.ContainerConfig) { c.Plant.CopCool = thermal.Curve{} },
		"still ratio":   func(c *thermal.ContainerConfig) { c.Plant.StillRatio = 2 },
		"flowless loop": func(c *thermal.ContainerConfig) { c.Loop.Capacity = 1 },
		"heat above cool": func(c *thermal.ContainerConfig) {
			c.Control = thermal.Control{Kind: thermal.Proportional, SetK: 290, HeatSetK: 291, BandK: 1}
		},
	} {
		cfg := config(t, "container-20ft-hvac", 10, 5425)
		spoil(&cfg)
		if _, err := thermal.NewContainer(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestContainerStepAllocatesNothing(t *testing.T) {
	for _, name := range params.Containers() {
		c := container(t, config(t, name, 4000, 5425))
		s := uniform(298.15)
		in := thermal.ContainerInput{Seconds: 900, Ambient0K: 308.15, Ambient1K: 309.15, BatteryW: 80e3}
		var f thermal.ContainerFlow
		if n := testing.AllocsPerRun(100, func() { c.Step(&s, &in, &f) }); n != 0 {
			t.Errorf("%s: %g allocations a step", name, n)
		}
	}
}

func BenchmarkContainerStep(b *testing.B) {
	for _, name := range []string{"container-20ft-hvac", "container-20ft-liquid"} {
		for _, dt := range []float64{1, 900} {
			b.Run(name+"/"+strconv.FormatFloat(dt, 'g', -1, 64)+"s", func(b *testing.B) {
				c := container(b, config(b, name, 4000, 5425))
				s := uniform(298.15)
				in := thermal.ContainerInput{Seconds: dt, Ambient0K: 298.15, Ambient1K: 298.2, BatteryW: 30e3}
				var f thermal.ContainerFlow
				for b.Loop() {
					c.Step(&s, &in, &f)
				}
			})
		}
	}
}
