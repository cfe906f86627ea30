package can_test

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"yunchu/hil/can"
)

func load(t testing.TB, name string) *can.Profile {
	t.Helper()
	p, err := can.LoadProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// frame is one written as an identifier and bytes in hexadecimal.
func frame(t testing.TB, id uint32, data string) can.Frame {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(data, " ", ""))
	if err != nil || len(b) > 8 {
		t.Fatalf("data %q: %v", data, err)
	}
	f := can.Frame{ID: id, IsExtended: id > 0x7FF, Length: uint8(len(b))}
	copy(f.Data[:], b)
	return f
}

// decode is all signals of a frame by name.
func decode(t testing.TB, db *can.Database, f can.Frame) map[string]float64 {
	t.Helper()
	for _, m := range db.Messages {
		if m.ID != f.ID || m.Extended != f.IsExtended {
			continue
		}
		values, raw := make([]float64, len(m.Signals)), make([]uint64, len(m.Signals))
		m.Decode(&f, values, raw)
		out := map[string]float64{}
		for i, s := range m.Signals {
			out[s.Name] = values[i]
		}
		return out
	}
	t.Fatalf("no message for %s", f)
	return nil
}

// TestDecodeVectors holds frames of real devices and what they mean, from the public
// descriptions of the protocols that the databases name.
func TestDecodeVectors(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct {
		db   string
		id   uint32
		data string
		want map[string]float64
	}{
		{"pylon-lv", 0x351, "14 02 74 0E 74 0E CC 01", map[string]float64{"ChargeVoltageLimit": 53.2, "ChargeCurrentLimit": 370, "DischargeCurrentLimit": 370, "DischargeVoltageLimit": 46}},
		{"pylon-lv", 0x351, "14 02 74 0E 74 0E", map[string]float64{"ChargeVoltageLimit": 53.2, "DischargeVoltageLimit": nan}},
		{"pylon-lv", 0x355, "1A 00 64 00", map[string]float64{"Soc": 26, "Soh": 100, "SocHiRes": nan}},
		{"pylon-lv", 0x356, "7A 13 F2 FE 6B 01", map[string]float64{"Voltage": 49.86, "Current": -27, "Temperature": 36.3}},
		{"pylon-lv", 0x35C, "C0", map[string]float64{"ChargeEnable": 1, "DischargeEnable": 1, "ForceChargeRequest1": 0}},
		{"pylon-lv", 0x356, "FF FF FF FF FF FF", map[string]float64{"Voltage": nan, "Current": nan, "Temperature": nan}},
		{"victron-sma-lv", 0x356, "7A 13 F2 FE 6B 01 00 00", map[string]float64{"Voltage": 49.86, "Current": -27, "Temperature": 36.3}},
		{"victron-sma-lv", 0x373, "E4 0C 42 0D 1E 01 22 01", map[string]float64{"MinCellVoltage": 3.3, "MaxCellVoltage": 3.394, "MinCellTemp": 13, "MaxCellTemp": 17}},
		{"victron-sma-lv", 0x373, "FF FF 42 0D FF FF 22 01", map[string]float64{"MinCellVoltage": nan, "MaxCellVoltage": 3.394, "MinCellTemp": nan, "MaxCellTemp": 17}},
		{"ecube-hv-pcs", 0x18001800, "90 21 E8 03 40 1A E8 03", map[string]float64{"ChargeVoltageLimit": 859.2, "ChargeCurrentLimit": 100, "DischargeVoltageLimit": 672, "DischargeCurrentLimit": 100}},
		{"ecube-hv-pcs", 0x18201800, "B9 1F 50 FB", map[string]float64{"Voltage": 812.1, "Current": -120}},
		{"ecube-hv-pcs", 0x18301800, "42 0D 08 05 2C 0D 0B 02", map[string]float64{"MaxCellVoltage": 3.394, "MaxPackNo": 8, "MaxCellNo": 5, "MinCellVoltage": 3.372, "MinPackNo": 11, "MinCellNo": 2}},
		{"pylon-hv", 0x4210, "A5 09 30 75 9D 04 2E 64", map[string]float64{"Voltage": 246.9, "Current": 0, "Temperature": 18.1, "Soc": 46, "Soh": 100}},
		{"pylon-hv", 0x4220, "8C 0A E9 07 4A 79 4A 79", map[string]float64{"ChargeCutoffVoltage": 270, "DischargeCutoffVoltage": 202.5, "MaxChargeCurrent": 105, "MaxDischargeCurrent": 105}},
		// A value that cannot be is passed on: 254 % is for ingest to flag.
		{"pylon-hv", 0x4210, "A5 09 30 75 9D 04 FE 64", map[string]float64{"Soc": 254}},
	} {
		got := decode(t, load(t, tt.db).Database(), frame(t, tt.id, tt.data))
		for name, want := range tt.want {
			v, ok := got[name]
			if !ok || math.Abs(v-want) > 1e-9 || math.IsNaN(v) != math.IsNaN(want) {
				t.Errorf("%s 0x%X %s: %s = %v, want %v", tt.db, tt.id, tt.data, name, v, want)
			}
		}
	}
}
