package modbus

import (
	"embed"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"yunchu/hil/strict"
)

// Profile is a device's map of registers, as it stands in a YAML file. The keys are
// explained in profiles/pcs-generic.yaml, which is the one to copy.
type Profile struct {
	APIVersion  string `yaml:"apiVersion"` // yunchu/v1
	Kind        string `yaml:"kind"`       // Profile
	Name        string `yaml:"name"`
	Description string `yaml:"description"`

	Positive  string   `yaml:"positive"`   // charge (default) or discharge
	WordOrder string   `yaml:"word_order"` // big (default) or little
	ByteOrder string   `yaml:"byte_order"`
	Requests  Requests `yaml:"requests"`
	// Watched stands in for a dead-man among the points.
	Watched bool `yaml:"watched" doc:"the device stops by itself when its link is lost, as set at its panel; no register of it says so"`

	Points map[string]Point `yaml:"points"`
	// Settings are the device's own values, by names that mean something to its people.
	Settings map[string]Point `yaml:"settings"`

	points []*point // completed: all of the above, by name
	lost   []string // names of points that could not be read, in a profile with faults
}

// Requests are what the device bears.
type Requests struct {
	MaxRegisters int    `yaml:"max_registers"` // of one read; default MaxRead
	MaxGap       int    `yaml:"max_gap"`       // registers without a meaning that are read along; default 0
	Write        string `yaml:"write"`         // multiple (default) or single
}

// Point is one value, and where it is.
type Point struct {
	Table    string  `yaml:"table"`
	Address  *uint16 `yaml:"address"`
	Type     string  `yaml:"type"`
	Length   int     `yaml:"length"` // registers of a string
	Bit      *int    `yaml:"bit"`
	Mask     uint64  `yaml:"mask"`
	Scale    float64 `yaml:"scale"`
	Offset   float64 `yaml:"offset"`
	Exponent *uint16 `yaml:"exponent"` // address of a power of ten
	Unit     string  `yaml:"unit"`
	Positive string  `yaml:"positive"`
	Access   string  `yaml:"access"`

	NotImplemented []uint64            `yaml:"not_implemented"`
	Values         map[string][]uint64 `yaml:"values"`
	Valid          *Range              `yaml:"valid"`
	Range          *Range              `yaml:"range"`
	// Patience is how long a heartbeat may stand still; default HeartbeatPatience.
	Patience time.Duration `yaml:"patience"`

	WordOrder string `yaml:"word_order"`
	ByteOrder string `yaml:"byte_order"`
}

// Range is what a value may be, in the unit of its point. Step is what the device
// resolves, where that is coarser than its register.
type Range struct {
	Min  float64 `yaml:"min"`
	Max  float64 `yaml:"max"`
	Step float64 `yaml:"step"`
}

// HeartbeatPatience is how long a heartbeat that counts once a second may stand still.
const HeartbeatPatience = 3 * time.Second

// Words of the keys above.
const (
	charge    = "charge"
	discharge = "discharge"
	big       = "big"
	little    = "little"
	multiple  = "multiple"
	single    = "single"
	readOnly  = "read"
	writeOnly = "write"
	readWrite = "read-write"
)

//go:embed profiles/*.yaml
var shipped embed.FS

// Shipped are the names of the profiles that come with the program.
func Shipped() (names []string) {
	files, err := shipped.ReadDir("profiles")
	if err != nil {
		panic(err) // it is part of the program
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// maxProfile bounds what is read of a file; strict.Read tells that it is too long.
const maxProfile = 1 << 20

// LoadProfile reads a profile: one that is shipped, by its name, or a file. All that is
// wrong with it comes at once, as strict.Faults.
func LoadProfile(name string) (*Profile, error) {
	if slices.Contains(Shipped(), name) {
		src, err := shipped.ReadFile(path.Join("profiles", name+".yaml"))
		if err != nil {
			return nil, fmt.Errorf("profile %s: %w", name, err)
		}
		return ParseProfile(name+".yaml", src)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("profile: %w (shipped are %s)", err, strings.Join(Shipped(), ", "))
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxProfile))
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return ParseProfile(name, src)
}

// ParseProfile is LoadProfile for a text at hand; file is its name in what is wrong.
func ParseProfile(file string, src []byte) (*Profile, error) {
	p := &Profile{}
	f := strict.Read(file, src, p)
	if f.IsKind(p.Kind, "Profile") && f.Formed() {
		p.check(f)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// find returns a point by name, nil when the profile has none.
func (p *Profile) find(name string) *point {
	i, ok := slices.BinarySearchFunc(p.points, name, func(x *point, n string) int { return strings.Compare(x.name, n) })
	if !ok {
		return nil
	}
	return p.points[i]
}
