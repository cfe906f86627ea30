package modbus

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestShippedProfiles(t *testing.T) {
	if got := Shipped(); !slices.Equal(got, []string{"bms-generic", "meter-generic", "pcs-generic"}) {
		t.Errorf("shipped: %v", got)
	}
	for _, name := range Shipped() {
		p, err := LoadProfile(name)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if p.Name != name || p.Description == "" {
			t.Errorf("%s is called %q, %q", name, p.Name, p.Description)
		}
	}
	p, err := LoadProfile("pcs-generic")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		if p.find(name) == nil {
			t.Errorf("the complete map lacks %s", name)
		}
	}
}

func TestLoadProfile(t *testing.T) {
	if _, err := LoadProfile("nowhere.yaml"); err == nil || !strings.Contains(err.Error(), "pcs-generic") {
		t.Errorf("no such file: %v, want the shipped ones named", err)
	}
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte(head+"points:\n  power: {address: 7}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := LoadProfile(path)
	if err != nil {
		t.Fatal(err)
	}
	if x := p.find("power"); x == nil || x.addr != 7 || x.table != Holding || x.size != 1 || x.shape != unsigned || !x.reads || x.writes {
		t.Errorf("power is %+v", x)
	}
}

const head = "apiVersion: yunchu/v1\nkind: Profile\nname: mine\n"

// TestProfileFaults: each row is a profile's text behind its head, and what must be said.
func TestProfileFaults(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "mine.yaml:1:1: points: missing"},
		{"unknown point", "points:\n  powr: {address: 1}\n", "mine.yaml:5:3: points: unknown point \"powr\"; values of the device's own go under settings\n    5 |   powr: {address: 1}\n      |   ^\n      did you mean \"power\"?"},
		{"no address", "points:\n  power: {type: int16}\n", "mine.yaml:5:3: points.power.address: missing"},
		{"address too large", "points:\n  power: {address: 70000}\n", "mine.yaml:5:20: points.power.address: want a whole number of 0 to 65535, got \"70000\""},
		{"beyond the end", "points:\n  power: {address: 65535, type: int32}\n", "mine.yaml:5:20: points.power.address: the value ends beyond 65535"},
		{"unknown type", "points:\n  power: {address: 1, type: int8}\n", "did you mean \"int16\"?"},
		{"unknown table", "points:\n  power: {address: 1, table: holdings}\n", "did you mean \"holding\"?"},
		{"unknown unit", "points:\n  power: {address: 1, unit: kw}\n", "points.power.unit: unknown \"kw\" for power"},
		{"number in a coil", "points:\n  power: {address: 1, table: coil}\n", "is a number or a text, and a coil is one bit"},
		{"type of a coil", "points:\n  connect: {address: 1, table: coil, type: int16}\n", "has no type, bit or mask"},
		{"text as a number", "points:\n  maker: {address: 1}\n", "points.maker.type: maker is a text: write string and a length"},
		{"number as a text", "points:\n  power: {address: 1, type: string, length: 4}\n", "points.power.type: power is no text"},
		{"text of no length", "points:\n  maker: {address: 1, type: string}\n", "points.maker.length: is 0 registers"},
		{"length of a number", "points:\n  power: {address: 1, length: 4}\n", "points.power.length: belongs to a string"},
		{"status as a float", "points:\n  status: {address: 1, type: float32, values: {idle: 0}}\n", "status is not a number with a fraction"},
		{"bit too high", "points:\n  alarms: {address: 1, bit: 16}\n", "points.alarms.bit: is 16, want 0 to 15"},
		{"bit and mask", "points:\n  alarms: {address: 1, bit: 1, mask: 3}\n", "want bit or mask, not both"},
		{"mask too wide", "points:\n  alarms: {address: 1, mask: 0x10000}\n", "points.alarms.mask: is 0x10000, and the value has 16 bits"},
		{"bits of a signed value", "points:\n  alarms: {address: 1, type: int16, bit: 1}\n", "only an unsigned value has bits"},
		{"bit that is written", "points:\n  connect: {address: 1, bit: 1}\n", "a write would change the other bits"},
		{"scale of 0", "points:\n  power: {address: 1, scale: 0}\n", "points.power.scale: is 0"},
		{"marker too wide", "points:\n  power: {address: 1, not_implemented: [1, 0x80000000]}\n", "points.power.not_implemented[1]: is 0x80000000, and the value has 16 bits"},
		{"all alarms taken for none", "points:\n  alarms: {address: 1, not_implemented: 0xFFFF}\n", "points.alarms.not_implemented: 0xffff says with all its bits that it is so"},
		{"the same of some bits", "points:\n  alarms: {address: 1, type: uint32, mask: 0x0F00, not_implemented: 0xFFFFFFFF}\n", "points.alarms.not_implemented: 0xffffffff says with all its bits that it is so"},
		{"the same of one", "points:\n  e_stop: {address: 1, bit: 3, not_implemented: [1, 0xFFFF]}\n", "points.e_stop.not_implemented: 0xffff says with all its bits that it is so"},
		{"status without words", "points:\n  status: {address: 1}\n", "points.status.values: missing"},
		{"unknown word", "points:\n  status: {address: 1, values: {charge: 1}}\n", "did you mean \"charging\"?"},
		{"two meanings", "points:\n  status: {address: 1, values: {idle: 1, charging: [2, 1]}}\n", "1 means charging as well"},
		{"words of a number", "points:\n  power: {address: 1, values: {idle: 1}}\n", "points.power.values: belong to a word or a condition"},
		{"one half of what is written", "points:\n  connect: {address: 1, values: {active: 2}}\n", "a condition that is written has a value for active and one for inactive"},
		{"direction of a percentage", "points:\n  soc: {address: 1, positive: charge}\n", "points.soc.positive: soc has no direction"},
		{"unknown direction", "positive: out\npoints:\n  soc: {address: 1}\n", "mine.yaml:4:11: positive: unknown \"out\""},
		{"writing what is read", "points:\n  soc: {address: 1, access: write}\n", "points.soc.access: soc is only read"},
		{"writing what is only read", "points:\n  setpoint: {address: 1, table: input}\n", "points.setpoint.table: setpoint is written, and this table is only read"},
		{"writing an input", "points:\n  setpoint: {address: 1, table: input, access: write}\n", "points.setpoint.access: table input is only read"},
		{"range of what is read", "points:\n  soc: {address: 1, range: {min: 1, max: 2}}\n", "points.soc.range: belongs to a value that is written"},
		{"range upside down", "points:\n  ramp: {address: 1, range: {min: 2, max: 1}}\n", "points.ramp.range: is 2 to 1"},
		{"unit of a word", "points:\n  status: {address: 1, unit: kW, values: {idle: 0}}\n", "points.status.unit: status has no unit"},
		{"exponent of what is written", "points:\n  setpoint: {address: 1, exponent: 4}\n", "a value that is written has a fixed scale"},
		{"exponent of a float", "points:\n  power: {address: 1, type: float32, exponent: 4}\n", "belongs to a whole number in registers"},
		{"two in one register", "points:\n  setpoint: {address: 1, type: int32}\n  ramp: {address: 2}\n", "points.ramp: is the register of setpoint"},
		{"two in the last register", "points:\n  setpoint: {address: 65535}\n  ramp: {address: 65535}\n", "points.ramp: is the register of setpoint"},
		{"two commands in one register", "points:\n  setpoint: {address: 1, type: int32}\n  mode: {address: 2, values: {run: 0}}\n", "points.setpoint: mode and setpoint are written to the same register"},
		{
			"setting that is the setpoint", "points:\n  setpoint: {address: 1}\nsettings:\n  aim: {address: 1}\n",
			"mine.yaml:7:3: settings.aim: is the register of setpoint, and a setting may not move that\n    7 |   aim: {address: 1}\n      |   ^\n      access: read, or leave it out: commands write it, which pass the guard",
		},
		{"setting over a part of the setpoint", "points:\n  setpoint: {address: 1, type: int32}\nsettings:\n  aim: {address: 2}\n", "settings.aim: is the register of setpoint"},
		{"setting that reaches the setpoint", "points:\n  setpoint: {address: 2}\nsettings:\n  aim: {address: 0, type: uint64}\n", "settings.aim: is the register of setpoint"},
		{"setting that is a setpoint which is only shown", "points:\n  setpoint: {address: 1, access: read}\nsettings:\n  aim: {address: 1}\n", "settings.aim: is the register of setpoint"},
		{"setting that enables", "points:\n  setpoint: {address: 1}\n  setpoint_enable: {address: 9}\nsettings:\n  on: {address: 9}\n", "settings.on: is the register of setpoint_enable"},
		{"setting that is the mode", "points:\n  mode: {address: 1, access: read, values: {run: 0}}\nsettings:\n  aim: {address: 1}\n", "settings.aim: is the register of mode"},
		{"bound of nothing", "points:\n  soc: {address: 1}\n  voltage_max: {address: 2}\n", "points.voltage_max: is a bound of voltage, which is not among the points"},
		{"setting that is the watchdog", "points:\n  revert_s: {address: 1}\nsettings:\n  patience: {address: 1}\n", "settings.patience: is the register of revert_s"},
		{"setting that is the heartbeat", "points:\n  controller_heartbeat: {address: 1}\nsettings:\n  beat: {address: 1}\n", "settings.beat: is the register of controller_heartbeat"},
		{"setting that is the emergency stop", "points:\n  e_stop: {address: 1, bit: 3}\nsettings:\n  aim: {address: 1}\n", "settings.aim: is the register of e_stop"},
		{"ramp that is the switch at the panel", "points:\n  local: {address: 1}\n  ramp: {address: 1}\n", "points.ramp: is the register of local"},
		{"setting that is a scale", "points:\n  power: {address: 1, exponent: 7}\nsettings:\n  aim: {address: 7}\n", "settings.aim: is the power of ten of power"},
		{"power that is the setpoint", "points:\n  power: {address: 1}\n  setpoint: {address: 1}\n", "points.power: is the register of setpoint, which shows what was written"},
		{"charge within the setpoint", "points:\n  setpoint: {address: 1, type: int32}\n  soc: {address: 2}\n", "points.soc: is the register of setpoint"},
		{"command that is a scale", "points:\n  power: {address: 1, exponent: 7}\n  setpoint: {address: 7}\n", "points.setpoint: is the power of ten of power"},
		{"two settings in one register", "settings:\n  aim: {address: 7}\n  end: {address: 7}\npoints:\n  soc: {address: 1}\n", "settings.end: is the register of aim"},
		{"setting with the name of a common one", "settings:\n  revert: {address: 7}\npoints:\n  soc: {address: 1}\n", "mine.yaml:5:3: settings: \"revert\" is the setting of the point revert_s"},
		{"enable without a setpoint", "points:\n  setpoint_enable: {address: 1}\n", "setpoint_enable without a setpoint"},
		{"long value, single writes", "requests: {write: single}\npoints:\n  setpoint: {address: 1, type: int32}\n", "cannot be written one register at a time"},
		{"too many registers", "requests: {max_registers: 126}\npoints:\n  soc: {address: 1}\n", "requests.max_registers: is 126, want 1 to 125"},
		{"longer than a request", "requests: {max_registers: 1}\npoints:\n  power: {address: 1, type: int32}\n", "points.power: has 2 registers, and one request at most 1"},
		{"setting with a known name", "settings:\n  soc: {address: 1}\npoints:\n  soc: {address: 1}\n", "settings: \"soc\" is a name of points"},
		{"patience of power", "points:\n  power: {address: 1, patience: 3s}\n", "belongs to heartbeat"},
		{"unknown field", "points:\n  power: {address: 1, scal: 2}\n", "did you mean \"scale\"?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseProfile("mine.yaml", []byte(head+tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
	for _, fine := range []string{
		"points:\n  setpoint: {address: 1}\n  revert_s: {address: 2}\nsettings:\n  aim: {address: 1, access: read}\n", // is only shown
		"points:\n  connect: {table: coil, address: 1}\nsettings:\n  aim: {address: 1}\n",
		"points:\n  status: {address: 1, values: {idle: 0}}\n  operate: {address: 1, values: {stop: 0, start: 1}}\n", // a control word that is read back
		"points:\n  e_stop: {address: 1}\n  reset: {address: 1, values: {active: 0, inactive: 9}}\n",
	} {
		if _, err := ParseProfile("mine.yaml", []byte(head+fine)); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
	_, err := ParseProfile("mine.yaml", []byte("kind: Profile\npoints:\n  powr: {address: 1}\n  soc: {address: 1, bit: 20}\n"))
	if n := strings.Count(err.Error(), "mine.yaml:"); n != 4 {
		t.Errorf("%d faults at once, want 4:\n%v", n, err)
	}
	// What cannot be read hides nothing else, and nothing that follows from it is told.
	_, err = ParseProfile("mine.yaml", []byte(head+`positive: both
points:
  power:    {addrss: 1, scal: 2, unit: kA}
  soc:      {address: abc}
  soh:      {address: 1, bit: 20}
  setpoint: {address: 1}
  revert_s: 7
setings:
  aim: {address: 1}
colour: red
`))
	for _, want := range []string{
		`4:11: positive: unknown "both"`, `6:14: points.power: unknown field "addrss"`, `6:25: points.power: unknown field "scal"`, `points.power.unit: unknown "kA"`,
		`points.soc.address: want a whole number of 0 to 65535, got "abc"`, `points.soh.bit: is 20, want 0 to 15`, `points.revert_s: want a mapping of keys, got "7"`,
		`unknown field "setings"`, `unknown field "colour"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("does not say %s", want)
		}
	}
	if n := strings.Count(err.Error(), "mine.yaml:"); n != 9 {
		t.Errorf("%d faults at once, want 9:\n%v", n, err)
	}
	_, err = ParseProfile("mine.yaml", []byte("apiVersion: yunchu/v1\nkind: Rig\ndevices: []\n"))
	if n := strings.Count(err.Error(), "mine.yaml:"); n != 1 || !strings.Contains(err.Error(), "this is a Rig file, not a Profile") {
		t.Errorf("another kind of file: %v", err)
	}
}

// TestSetpointNeedsADeadMan: a device that takes a setpoint and has nothing that takes it
// back would go on for ever when the bridge dies.
func TestSetpointNeedsADeadMan(t *testing.T) {
	for text, fine := range map[string]bool{
		"points:\n  setpoint: {address: 1}\n":                                                              false,
		"watched: false\npoints:\n  setpoint: {address: 1}\n":                                              false,
		"points:\n  setpoint: {address: 1}\n  revert_s: {address: 2, access: read}\n":                      false,
		"points:\n  setpoint: {address: 1}\n  controller_heartbeat: {address: 2, access: read}\n":          false,
		"points:\n  setpoint: {address: 1}\n  revert_s: {table: input, address: 2, access: read}\n":        false,
		"points:\n  setpoint: {address: 1}\n  heartbeat: {address: 2}\n":                                   false,
		"points:\n  setpoint: {address: 1}\n  revert_s: {address: 2, access: write}\n":                     false,
		"watched: true\npoints:\n  setpoint: {address: 1}\n  revert_s: {address: 2, access: write}\n":      true,
		"points:\n  setpoint: {address: 1}\n  revert_s: {address: 2}\n":                                    true,
		"points:\n  setpoint: {address: 1}\n  controller_heartbeat: {address: 2}\n":                        true,
		"watched: true\npoints:\n  setpoint: {address: 1}\n":                                               true,
		"points:\n  setpoint: {address: 1, access: read}\n":                                                true,
		"points:\n  setpoint: {address: 1}\n  controller_heartbeat: {address: 2, access: write, bit: 3}\n": false,
	} {
		_, err := ParseProfile("mine.yaml", []byte(head+text))
		if fine != (err == nil) {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err := ParseProfile("mine.yaml", []byte(head+"points:\n  setpoint: {address: 1}\n"))
	const want = "mine.yaml:5:3: points.setpoint: nothing in the device takes it back when nobody renews it\n" +
		"    5 |   setpoint: {address: 1}\n      |   ^\n" +
		"      add revert_s or controller_heartbeat; or write watched: true at the top, if the device stops by itself when its link is lost"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// parsePoint is the point that a line of a profile describes.
func parsePoint(t testing.TB, line string) *point {
	t.Helper()
	p, err := ParseProfile("mine.yaml", []byte(head+"watched: true\npoints:\n  "+line+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p.points[0]
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		line     string
		regs     []uint16
		exponent uint16
		want     float64
	}{
		{"power: {address: 0, unit: W, type: int32}", []uint16{0xFFFF, 0xEE6C}, 0, -4.5},
		{"power: {address: 0, unit: W, type: int32, positive: discharge}", []uint16{0xFFFF, 0xEE6C}, 0, 4.5},
		{"power: {address: 0, unit: W, type: int32, positive: discharge}", []uint16{0, 0}, 0, 0},
		{"power: {address: 0, unit: W, type: int32, word_order: little}", []uint16{0xEE6C, 0xFFFF}, 0, -4.5},
		{"power: {address: 0, unit: W, type: int32, byte_order: little}", []uint16{0xFFFF, 0x6CEE}, 0, -4.5},
		{"power: {address: 0, unit: W, exponent: 9, type: int16}", []uint16{45}, 2, 4.5},
		{"power: {address: 0, unit: W, exponent: 9, type: int16}", []uint16{45000}, 0xFFFF, -2.0536},
		{"power: {address: 0, unit: W, exponent: 9, type: int16}", []uint16{45}, 0x8000, math.NaN()},
		{"soc: {address: 0, scale: 0.01}", []uint16{5123}, 0, 51.23},
		{"soc: {address: 0, scale: 0.1, not_implemented: [0xFFFF, 0xFFFE]}", []uint16{0xFFFE}, 0, math.NaN()},
		{"soc: {address: 0, scale: 0.1}", []uint16{0xFFFF}, 0, 6553.5},
		{"temperature: {address: 0, scale: 0.1, unit: K}", []uint16{2981}, 0, 24.95},
		{"temperature: {address: 0, offset: -100, scale: 0.1}", []uint16{1250}, 0, 25},
		{"current: {address: 0, type: int64}", []uint16{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE}, 0, -2},
		{"power: {address: 0, type: float32}", []uint16{0x4148, 0}, 0, 12.5},
		{"power: {address: 0, type: float32}", []uint16{0x7FC0, 0}, 0, math.NaN()},
		{"power: {address: 0, type: float64}", []uint16{0xC029, 0, 0, 0}, 0, -12.5},
		{"voltage: {address: 0, type: uint64, unit: mV}", []uint16{0, 0, 1, 0}, 0, 65.536},
		{"soc: {address: 0, mask: 0xFF}", []uint16{0x1234}, 0, 0x34},
	} {
		p := parsePoint(t, tt.line)
		if got := p.number(tt.regs, tt.exponent); !(math.Abs(got-tt.want) < 1e-9) && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
			t.Errorf("%s: % x is %v, want %v", tt.line, tt.regs, got, tt.want)
		}
	}
	// Steps of a decimal are the decimals that they stand for.
	p := parsePoint(t, "soc: {address: 0, scale: 0.01}")
	for raw := range uint16(10001) {
		if got, want := p.number([]uint16{raw}, 0), float64(raw)/100; got != want {
			t.Fatalf("%d is %v, want %v", raw, got, want)
		}
	}
}

func TestEncode(t *testing.T) {
	for _, tt := range []struct {
		line string
		v    float64
		want []uint16 // nil: refused
	}{
		{"setpoint: {address: 0, unit: W, type: int32}", -4.5, []uint16{0xFFFF, 0xEE6C}},
		{"setpoint: {address: 0, unit: W, type: int32, positive: discharge}", 4.5, []uint16{0xFFFF, 0xEE6C}},
		{"setpoint: {address: 0, unit: W, type: int32, word_order: little, byte_order: little}", -4.5, []uint16{0x6CEE, 0xFFFF}},
		{"setpoint: {address: 0, type: int16, scale: 0.1}", 3.26, []uint16{33}},
		{"setpoint: {address: 0, type: int16}", 32768, nil},
		{"setpoint: {address: 0, type: int16}", -32768, []uint16{0x8000}},
		{"setpoint: {address: 0, type: int16, not_implemented: 0x8000}", -32768, nil},
		{"setpoint: {address: 0}", -1, nil},
		{"setpoint: {address: 0}", math.NaN(), nil},
		{"setpoint: {address: 0}", math.Inf(1), nil},
		{"setpoint: {address: 0, type: float32}", 12.5, []uint16{0x4148, 0}},
		{"setpoint: {address: 0, type: float32}", 1e300, nil},
		{"setpoint: {address: 0, type: int64}", -2, []uint16{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE}},
		{"setpoint: {address: 0, type: uint64}", 1e30, nil},
		{"revert_s: {address: 0, unit: ms}", 6, []uint16{6000}},
	} {
		p := parsePoint(t, tt.line)
		raw, err := p.encode(tt.v)
		if (err == nil) != (tt.want != nil) || err == nil && !slices.Equal(p.registers(raw), tt.want) {
			t.Errorf("%s: %v is % x, %v, want % x", tt.line, tt.v, p.registers(raw), err, tt.want)
		}
	}
}

func TestConditionsAndWords(t *testing.T) {
	for _, tt := range []struct {
		line string
		raw  uint16
		want bool
	}{
		{"local: {address: 0}", 0, false},
		{"local: {address: 0}", 9, true},
		{"local: {address: 0, bit: 3}", 8, true},
		{"local: {address: 0, bit: 3}", 0xFFF7, false},
		{"local: {address: 0, bit: 3, values: {active: 0}}", 0xFFF7, true},
		{"local: {address: 0, values: {active: [0xAA, 0xAB]}}", 0xAB, true},
		{"local: {address: 0, values: {active: 0xAA}}", 1, false},
		{"local: {address: 0, values: {inactive: 0x55}}", 1, true},
		{"local: {address: 0, not_implemented: 0xFFFF}", 0xFFFF, false},
		{"local: {address: 0, table: discrete}", 1, true},
	} {
		if got := parsePoint(t, tt.line).holds([]uint16{tt.raw}); got != tt.want {
			t.Errorf("%s: %#x holds: %v", tt.line, tt.raw, got)
		}
	}
	p := parsePoint(t, "status: {address: 0, values: {charging: [2, 7], idle: 0}}")
	if w, raw, ok := p.meaning([]uint16{7}); w != "charging" || raw != 7 || !ok {
		t.Errorf("7 means %q, %d, %v", w, raw, ok)
	}
	if w, raw, ok := p.meaning([]uint16{9}); w != "" || raw != 9 || ok {
		t.Errorf("9 means %q, %d, %v", w, raw, ok)
	}
	if raw, ok := p.code("charging"); raw != 2 || !ok {
		t.Errorf("charging is %d, %v", raw, ok)
	}
	m := parsePoint(t, "maker: {address: 0, type: string, length: 3, byte_order: little, word_order: little}")
	if got := m.text([]uint16{'A' | 'b'<<8, ' ' | 0<<8, 0x7878}); got != "Ab" {
		t.Errorf("a text is %q", got)
	}
}

func FuzzParseProfile(f *testing.F) {
	for _, name := range Shipped() {
		src, err := shipped.ReadFile("profiles/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	f.Add(head + "points: {power: {address: 65535, type: string, length: 4}}")
	f.Fuzz(func(t *testing.T, src string) {
		p, err := ParseProfile("x.yaml", []byte(src))
		if err != nil {
			return
		}
		for _, x := range p.points { // what is taken can be read
			regs := make([]uint16, x.size)
			x.number(regs, 0)
			x.holds(regs)
			x.meaning(regs)
			x.text(regs)
		}
	})
}

// What is encoded reads back as the same within half a step.
func FuzzValues(f *testing.F) {
	f.Add(uint64(0xEE6C), 4.5, uint8(0))
	f.Add(uint64(math.MaxUint64), -1e9, uint8(7))
	f.Fuzz(func(t *testing.T, raw uint64, v float64, which uint8) {
		lines := []string{
			"setpoint: {address: 0, unit: W, type: int32}", "setpoint: {address: 0, type: int16, scale: 0.1, positive: discharge}",
			"setpoint: {address: 0, type: uint64, scale: 0.001}", "setpoint: {address: 0, type: float32, word_order: little}",
			"setpoint: {address: 0, type: int64, byte_order: little}", "revert_s: {address: 0, unit: ms, offset: 3}",
			"setpoint: {address: 0, type: float64}", "setpoint: {address: 0, scale: -2.5, offset: 7, not_implemented: 0xFFFF}",
		}
		p := parsePoint(t, lines[int(which)%len(lines)])
		raw &= math.MaxUint64 >> (64 - p.bits())
		if regs := p.registers(raw); p.raw(regs) != raw {
			t.Errorf("%#x lies as % x and reads as %#x", raw, regs, p.raw(regs))
		}
		r, err := p.encode(v)
		if err != nil {
			return
		}
		got := p.number(p.registers(r), 0)
		if tolerance := max(p.step()/2, 1e-6*math.Abs(v)) * (1 + 1e-6); math.Abs(got-v) > tolerance && p.shape != float || p.shape == float && math.Abs(got-v) > 1e-6*math.Abs(v)+1e-40 {
			t.Errorf("%v is written as %#x and reads as %v", v, r, got)
		}
	})
}
