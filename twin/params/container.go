package params

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

//go:embed thermal/*.yaml
var thermalFiles embed.FS

// Containers returns the names of the container sets that ship, sorted.
func Containers() []string { return thermalSets("container-") }

// thermalSets lists the shipped files of the folder thermal that begin so.
func thermalSets(prefix string) []string {
	found, err := fs.Glob(thermalFiles, "thermal/"+prefix+"*.yaml")
	if err != nil {
		panic(err) // the pattern is ours
	}
	for i, f := range found {
		found[i] = strings.TrimSuffix(strings.TrimPrefix(f, "thermal/"), ".yaml")
	}
	return found
}

// readThermal finds a shipped set of the folder thermal by name, else a file by path.
func readThermal(nameOrPath string, shipped []string) ([]byte, error) {
	if slices.Contains(shipped, nameOrPath) {
		return thermalFiles.ReadFile("thermal/" + nameOrPath + ".yaml")
	}
	src, err := os.ReadFile(nameOrPath)
	if err != nil {
		return nil, fmt.Errorf("%w (sets that ship: %s)", err, strings.Join(shipped, ", "))
	}
	return src, nil
}

// LoadContainer returns the container set called name, or the one in the file at
// that path. The error lists every fault as "path:line:col: key: message".
func LoadContainer(nameOrPath string) (*Container, error) {
	src, err := readThermal(nameOrPath, Containers())
	if err != nil {
		return nil, fmt.Errorf("load container %s: %w", nameOrPath, err)
	}
	return ParseContainer(nameOrPath, src)
}

// ParseContainer decodes a container file; file is its name in messages.
func ParseContainer(file string, src []byte) (*Container, error) {
	var c Container
	if err := decode(file, src, &c); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, locate(file, src, err)
	}
	return &c, nil
}

// Container is the parameter set of a container: its walls and the plant that cools and
// heats it. How cells give their heat to its air and its coolant is in their model.
type Container struct {
	Kind    string           `yaml:"kind"` // Container
	Name    string           `yaml:"name"`
	Box     ContainerBox     `yaml:"box"`
	Air     ContainerAir     `yaml:"air"`
	Loop    *ContainerLoop   `yaml:"loop"` // only with liquid cooling
	Plant   ContainerPlant   `yaml:"plant"`
	Control ContainerControl `yaml:"control"`
}

// ContainerBox is the air space and its wall, the same on all six faces.
type ContainerBox struct {
	Source    string    `yaml:"source"`
	Length    float64   `yaml:"length_m"` // inside
	Width     float64   `yaml:"width_m"`
	Height    float64   `yaml:"height_m"`
	FilmInner float64   `yaml:"film_inner_w_per_m2k"`
	FilmOuter float64   `yaml:"film_outer_w_per_m2k"`
	Inner     WallLayer `yaml:"inner"`
	Middle    WallLayer `yaml:"middle"` // the insulation
	Outer     WallLayer `yaml:"outer"`
}

// WallLayer is one layer of the wall.
type WallLayer struct {
	Material     string  `yaml:"material"`
	Thickness    float64 `yaml:"thickness_m"`
	Conductivity float64 `yaml:"conductivity_w_per_mk"`
	Density      float64 `yaml:"density_kg_per_m3"`
	Cp           float64 `yaml:"cp_j_per_kgk"`
}

// ContainerAir is the air inside.
type ContainerAir struct {
	Source  string  `yaml:"source"`
	Density float64 `yaml:"density_kg_per_m3"`
	Cp      float64 `yaml:"cp_j_per_kgk"`
}

// ContainerLoop is the coolant loop.
type ContainerLoop struct {
	Source   string  `yaml:"source"`
	Capacity float64 `yaml:"capacity_j_per_k"` // of the coolant
	Flow     float64 `yaml:"flow_w_per_k"`     // heat capacity rate through the plates
}

// ContainerPlant is the machine that cools and heats.
type ContainerPlant struct {
	Source       string   `yaml:"source"`
	CoolW        float64  `yaml:"cool_w"` // heat at full duty
	HeatW        float64  `yaml:"heat_w"`
	CopCool      COPTable `yaml:"cop_cool"` // heat per electric energy
	CopHeat      COPTable `yaml:"cop_heat"`
	CirculationW float64  `yaml:"circulation_w"` // fan or pump, electric
	StillRatio   float64  `yaml:"still_ratio"`   // of the conductances left when it stops, 0..1
}

// COPTable is a coefficient of performance over the ambient, piecewise linear and
// flat outside.
type COPTable struct {
	AmbientC []float64 `yaml:"ambient_c"`
	COP      []float64 `yaml:"cop"`
}

// ContainerControl is the set point control: a thermostat on the hottest battery,
// or a duty proportional to how far the medium is past its set point.
type ContainerControl struct {
	Source     string  `yaml:"source"`
	Kind       string  `yaml:"kind"`  // thermostat, proportional
	SetC       float64 `yaml:"set_c"` // degC
	ThresholdK float64 `yaml:"threshold_k"`
	HeatSetC   float64 `yaml:"heat_set_c"` // degC, proportional
	BandK      float64 `yaml:"band_k"`     // proportional
}

// Validate returns all faults of the set, each naming its key, joined.
func (c *Container) Validate() error {
	var f faults
	if c.Kind != "Container" {
		f.add("kind", "is %q, want Container", c.Kind)
	}
	if c.Name == "" {
		f.add("name", "missing: give the set a name")
	}
	c.Box.validate(&f)
	f.positive("air.density_kg_per_m3", c.Air.Density)
	f.positive("air.cp_j_per_kgk", c.Air.Cp)
	if c.Loop != nil {
		f.positive("loop.capacity_j_per_k", c.Loop.Capacity)
		f.positive("loop.flow_w_per_k", c.Loop.Flow)
	}
	c.Plant.validate(&f)
	c.Control.validate(&f)
	return f.join()
}

func (b *ContainerBox) validate(f *faults) {
	f.positive("box.length_m", b.Length)
	f.positive("box.width_m", b.Width)
	f.positive("box.height_m", b.Height)
	f.positive("box.film_inner_w_per_m2k", b.FilmInner)
	f.positive("box.film_outer_w_per_m2k", b.FilmOuter)
	for i, l := range []WallLayer{b.Inner, b.Middle, b.Outer} {
		key := "box." + []string{"inner", "middle", "outer"}[i]
		f.positive(key+".thickness_m", l.Thickness)
		f.positive(key+".conductivity_w_per_mk", l.Conductivity)
		f.positive(key+".density_kg_per_m3", l.Density)
		f.positive(key+".cp_j_per_kgk", l.Cp)
	}
}

func (p *ContainerPlant) validate(f *faults) {
	f.notNegative("plant.cool_w", p.CoolW)
	f.notNegative("plant.heat_w", p.HeatW)
	f.notNegative("plant.circulation_w", p.CirculationW)
	p.CopCool.validate(f, "plant.cop_cool")
	p.CopHeat.validate(f, "plant.cop_heat")
	if !(p.StillRatio >= 0 && p.StillRatio <= 1) {
		f.add("plant.still_ratio", "is %g, want 0..1", p.StillRatio)
	}
}

func (t COPTable) validate(f *faults, key string) {
	if len(t.AmbientC) == 0 || len(t.AmbientC) != len(t.COP) {
		f.add(key, "has %d ambients and %d values, want one or more and as many", len(t.AmbientC), len(t.COP))
		return
	}
	for i, v := range t.COP {
		if !positive(v) {
			f.add(key+".cop", "entry %d is %g, want a number above 0", i+1, v)
		}
		if i > 0 && !(t.AmbientC[i] > t.AmbientC[i-1]) {
			f.add(key+".ambient_c", "entry %d is %g after %g, want strictly rising", i+1, t.AmbientC[i], t.AmbientC[i-1])
		}
	}
}

func (c *ContainerControl) validate(f *faults) {
	celsius := func(key string, v float64) {
		if !(v > -50 && v < 100) {
			f.add(key, "is %g, want degC between -50 and 100", v)
		}
	}
	celsius("control.set_c", c.SetC)
	switch c.Kind {
	case "thermostat":
		f.positive("control.threshold_k", c.ThresholdK)
	case "proportional":
		f.positive("control.band_k", c.BandK)
		celsius("control.heat_set_c", c.HeatSetC)
		if c.HeatSetC > c.SetC {
			f.add("control.heat_set_c", "is %g degC, want at most set_c = %g", c.HeatSetC, c.SetC)
		}
	default:
		f.add("control.kind", "is %q, want thermostat or proportional", c.Kind)
	}
}

// notNegative demands a finite number of 0 or more.
func (f *faults) notNegative(key string, v float64) {
	if !notNegative(v) {
		f.add(key, "is %g, want 0 or more", v)
	}
}
