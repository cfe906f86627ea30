package can

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"yunchu/hil/strict"
)

// Profile says what the signals of a database mean, and how its devices behave. It stands
// in a YAML file beside the database, of kind CANProfile.
type Profile struct {
	APIVersion  string   `yaml:"apiVersion"` // yunchu/v1
	Kind        string   `yaml:"kind"`       // CANProfile
	Name        string   `yaml:"name"`
	Description string   `yaml:"description"`
	Sources     []string `yaml:"sources"`  // where the facts come from
	DBC         string   `yaml:"dbc"`      // the database, beside this file
	BitRate     int      `yaml:"bit_rate"` // bit/s

	// IDMask has the bits of an identifier that tell messages apart; the others are an
	// address: the device is who is heard first. 0: all.
	IDMask uint32 `yaml:"id_mask"`
	// CurrentSign is the direction of current that the device counts positive: charge or
	// discharge.
	CurrentSign string `yaml:"current_sign"`
	// LimitSign is how limits of current are written: positive (a negative one permits
	// nothing), signed (that of discharging is negative), or magnitude (either sign).
	LimitSign string `yaml:"limit_sign"`
	// ShownSeries is for emulators: the cells in series that the protocol's class of
	// voltage has. A pack of more is shown regrouped, with the same power. 0: as it is.
	ShownSeries int `yaml:"shown_series"`

	Messages   []MessageUse `yaml:"messages"`   // what the device sends
	Controller []Transmit   `yaml:"controller"` // what its controller sends

	db *Database
}

// MessageUse is what a message of the device is used for.
type MessageUse struct {
	Name    string        `yaml:"name"`
	Period  time.Duration `yaml:"period"`  // between two of them
	Timeout time.Duration `yaml:"timeout"` // older ones say nothing any more; default: 5 periods
	Answers string        `yaml:"answers"` // the controller's message that asks for it; empty: it comes by itself
	// Optional: devices may lack it. A message that is not optional and carries limits or
	// permissions permits nothing while it is missing.
	Optional bool        `yaml:"optional"`
	Signals  []SignalUse `yaml:"signals"`
}

// SignalUse is what a signal means.
type SignalUse struct {
	Name string `yaml:"name"`
	Is   string `yaml:"is"` // a word of Quantities
	// Mask has the bits of the signal that a condition looks at; 0: all. A signal may be used
	// several times, for what its bits say.
	Mask uint64 `yaml:"mask"`
	// Active is their value with which the condition holds; left out: any but 0. All ones that
	// are neither it nor inactive say nothing.
	Active *uint64 `yaml:"active"`
	// Inactive is what is sent while it does not; default 0.
	Inactive uint64 `yaml:"inactive"`
	// Of names the alarms that fault and warning stand for, so that an emulator can raise
	// them: words of Alarms.
	Of []string `yaml:"of"`
	// Words are the meanings of a status, by raw value: words of the vocabulary.
	Words map[uint64]string `yaml:"words"`
}

// Transmit is a message of the controller.
type Transmit struct {
	Name     string        `yaml:"name"`
	Message  string        `yaml:"message"`  // of the database; or else:
	ID       uint32        `yaml:"id"`       // its identifier,
	Extended bool          `yaml:"extended"` // of 29 bits,
	Length   int           `yaml:"length"`   // with so many bytes of 0
	Every    time.Duration `yaml:"every"`
	When     string        `yaml:"when"` // always (default) or e-stop: from an emergency stop until it is reset
	// Heartbeat: the device watches for it. It is not sent while another controller does,
	// because two would hide the loss of one, nor after an emergency stop where
	// StopOnEStop says so.
	Heartbeat   bool `yaml:"heartbeat"`
	StopOnEStop bool `yaml:"stop_on_estop"`
	// Watched is how long the device, once it has heard it, goes on without.
	Watched time.Duration `yaml:"watched"`
	Set     []SignalValue `yaml:"set"`
}

// SignalValue is what the controller puts into a signal: a number, or the quantity that
// the device has reported last (0 while it has not).
type SignalValue struct {
	Name  string  `yaml:"name"`
	Value float64 `yaml:"value"`
	Is    string  `yaml:"is"`
}

// Words of the keys above.
const (
	Charge    = "charge"
	Discharge = "discharge"
	Positive  = "positive"
	Signed    = "signed"
	Magnitude = "magnitude"
	Always    = "always"
	OnEStop   = "e-stop"
)

// Quantities are the numbers that signals can be, in the units of platform/device: V, A,
// °C, percent, Ah, kWh. The device's sign of current and limits is that of the profile.
const (
	SoC                   = "soc"
	SoCFine               = "soc-fine" // the same in finer steps, used where it agrees with soc
	SoH                   = "soh"
	Voltage               = "voltage"
	Current               = "current"
	Temperature           = "temperature" // of the battery; used where no hottest cell is reported
	CellTemperatureMax    = "cell-temperature-max"
	CellTemperatureMin    = "cell-temperature-min"
	CellVoltageMax        = "cell-voltage-max"
	CellVoltageMin        = "cell-voltage-min"
	ChargeVoltageLimit    = "charge-voltage-limit"
	DischargeVoltageLimit = "discharge-voltage-limit"
	ChargeCurrentLimit    = "charge-current-limit"
	DischargeCurrentLimit = "discharge-current-limit"
	Heartbeat             = "heartbeat" // a counter that changes while the device lives
	Modules               = "modules"   // in service
	ModulesBlockCharge    = "modules-blocking-charge"
	ModulesBlockDischarge = "modules-blocking-discharge"
	ModulesOffline        = "modules-offline"
	Cells                 = "cells"
	CellsPerModule        = "cells-per-module"
	CapacityAh            = "capacity-ah"
	NominalVoltage        = "nominal-voltage"
	ChargeCycles          = "cycles"
	ChargedKWh            = "charged-kwh"
	DischargedKWh         = "discharged-kwh"
)

// Conditions are what signals can say, and the other things they can be.
const (
	ChargeAllowed      = "charge-allowed"
	DischargeAllowed   = "discharge-allowed"
	ChargeForbidden    = "charge-forbidden"
	DischargeForbidden = "discharge-forbidden"
	FaultCondition     = "fault"
	WarningCondition   = "warning"
	EStopCondition     = "e-stop"
	StatusWord         = "status"
	Manufacturer       = "manufacturer" // text of up to 8 characters
)

var numbers = []string{
	SoC, SoCFine, SoH, Voltage, Current, Temperature, CellTemperatureMax, CellTemperatureMin, CellVoltageMax, CellVoltageMin,
	ChargeVoltageLimit, DischargeVoltageLimit, ChargeCurrentLimit, DischargeCurrentLimit, Heartbeat, Modules, ModulesBlockCharge,
	ModulesBlockDischarge, ModulesOffline, Cells, CellsPerModule, CapacityAh, NominalVoltage, ChargeCycles, ChargedKWh, DischargedKWh,
}

var conditions = []string{
	ChargeAllowed, DischargeAllowed, ChargeForbidden, DischargeForbidden, FaultCondition, WarningCondition, EStopCondition,
}

// Quantities are all words that a signal can be.
func Quantities() []string {
	return append(slices.Concat(numbers, conditions), StatusWord, Manufacturer)
}

// Alarms are the words of what faults and warnings stand for.
func Alarms() []string {
	return []string{
		"over-voltage", "under-voltage", "over-temperature", "under-temperature", "over-current", "over-current-charge",
		"over-current-discharge", "contactor", "internal", "communication", "imbalance", "any",
	}
}

// Database is the database of the profile.
func (p *Profile) Database() *Database { return p.db }

// LoadProfile reads the profile that ships under a name, or a file: a profile, or a
// database beside which its profile stands under the same name with .yaml. What is wrong
// comes back as strict.Faults.
func LoadProfile(nameOrPath string) (*Profile, error) {
	if slices.Contains(Shipped(), nameOrPath) {
		src, err := shipped.ReadFile("dbc/" + nameOrPath + ".yaml")
		if err != nil {
			return nil, err
		}
		return ParseProfile(nameOrPath+".yaml", src, func(name string) ([]byte, error) { return shipped.ReadFile("dbc/" + name) })
	}
	path := profileOf(nameOrPath)
	src, err := readFile(path)
	if err != nil {
		beside := ""
		if path != nameOrPath {
			beside = "it says what the signals of " + filepath.Base(nameOrPath) + " mean; "
		}
		return nil, fmt.Errorf("CAN profile %s: %w (%sthose that ship: %s)", path, err, beside, strings.Join(Shipped(), ", "))
	}
	return ParseProfile(path, src, func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), filepath.FromSlash(name))
		}
		return readFile(name)
	})
}

// profileOf is the path of the profile that a path stands for: itself, or beside a database.
func profileOf(path string) string {
	if base, ok := strings.CutSuffix(path, ".dbc"); ok {
		return base + ".yaml"
	}
	return path
}

// Files are those that LoadProfile reads for a path: profile and database, as far as
// they can be read; none of what ships.
func Files(nameOrPath string) []string {
	p, err := LoadProfile(nameOrPath)
	if err != nil || slices.Contains(Shipped(), nameOrPath) {
		return nil
	}
	return []string{profileOf(nameOrPath), p.db.File}
}

// ParseProfile reads a profile; file is its name in messages, and open reads the database
// that it names.
func ParseProfile(file string, src []byte, open func(name string) ([]byte, error)) (*Profile, error) {
	p := &Profile{}
	f := strict.Read(file, src, p)
	if f.IsKind(p.Kind, "CANProfile") && f.Formed() {
		checked{f}.profile(p, open)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// mask is IDMask with its default.
func (p *Profile) mask() uint32 {
	if p.IDMask == 0 {
		return 0x1FFFFFFF
	}
	return p.IDMask
}
