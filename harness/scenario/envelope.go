package scenario

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/invopop/jsonschema"

	"yunchu/platform/device"
)

// Limits bound what a device may be asked for, whoever asks. Of these, of what the device
// says of itself and of what the API has asked for the tightest acts.
type Limits struct {
	CapKW       float64 `yaml:"cap_kw,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1e9" doc:"The most power in either direction, kW."`
	Ramp        float64 `yaml:"ramp_kw_per_s,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1e9" doc:"The most that its setpoint may change within a second, kW/s; towards 0 nothing waits that makes safe."`
	SoC         Span    `yaml:"soc_percent,omitempty" doc:"No discharging at or below the first number, no charging at or above the second, percent; back after 0.5."`
	Voltage     Span    `yaml:"voltage_v,omitempty" doc:"The same by its DC voltage, V; back after 2 % of the larger."`
	Temperature Span    `yaml:"temperature_c,omitempty" doc:"No charging at or below the first number, no power at or above the second, degC; back after 3 K. [0, 60] when left out."`
}

// Span is a window, written [10, 90]; zero is none.
type Span device.Span

func (v *Span) read(s *source, n ast.Node, at string, _ rules) {
	const hint = "write the lower and the upper bound: [10, 90]"
	seq, ok := n.(*ast.SequenceNode)
	if !ok || len(seq.Values) != 2 {
		s.fault(start(n), hint, "%s is a window of two numbers, got %s", name(at), describe(n))
		return
	}
	for i, e := range seq.Values {
		if e = s.resolve(e); e == nil {
			return
		}
		x, ok := s.number(e, fmt.Sprintf("%s[%d]", at, i), rules{})
		if !ok {
			return
		}
		v[i] = x
	}
	for i := range device.Windows {
		w := &device.Windows[i]
		if fault, hint := w.Fault(device.Span(*v)); fault != "" && strings.HasSuffix(at, "."+w.Key) {
			s.fault(start(n), hint, "%s %s", name(at), fault)
		}
	}
}

// JSONSchema is two numbers.
func (Span) JSONSchema() *jsonschema.Schema {
	two := uint64(2)
	return &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{Type: "number"}, MinItems: &two, MaxItems: &two, Examples: []any{[]json.Number{"10", "90"}}}
}

// Device are the limits as they act.
func (l *Limits) Device() device.Limits {
	return device.Limits{
		CapKW: l.CapKW, RampKWPerS: l.Ramp,
		SoC: device.Span(l.SoC), Voltage: device.Span(l.Voltage), Temperature: device.Span(l.Temperature),
	}
}

// Acting are the limits that the file sets for a device. What it says of its rating is one
// of them, so that nobody raises it from elsewhere.
func (d *Device) Acting() device.Limits {
	l := d.Limits.Device()
	if d.RatedKW > 0 && (l.CapKW == 0 || l.CapKW > d.RatedKW) {
		l.CapKW = d.RatedKW
	}
	return l
}

// checkLimits holds the limits of a device against its rating.
func (d *Device) checkLimits(s *source, at string) {
	if c := d.Limits.CapKW; d.RatedKW > 0 && c > d.RatedKW {
		s.wrong(at+".limits.cap_kw", "a cap lies below the rating", "a cap of %s kW binds nothing at a rating of %s kW", num(c), num(d.RatedKW))
	}
}

// Guard is what bounds commands beside the limits of each device.
type Guard struct {
	Lease        time.Duration `yaml:"lease,omitempty" jsonschema:"minimum=1s,maximum=7d,default=24h" doc:"How long a setpoint may hold unless it is renewed; a longer one is refused. Dispatch renews its own in every cycle."`
	CommandsPerS int           `yaml:"commands_per_s,omitempty" jsonschema:"minimum=1,maximum=100000000" doc:"How many commands the whole fleet takes within any second; what brings a device to rest is not counted. When left out 20 for each device, at least 10,000."`
}
