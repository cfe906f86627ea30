package params_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yunchu/twin/params"
)

func TestManagementSets(t *testing.T) {
	if len(params.BMSSets()) == 0 {
		t.Error("no management set ships")
	}
	for _, name := range params.BMSSets() {
		b, err := params.LoadBMS(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if b.Name != name {
			t.Errorf("set %s is called %s", name, b.Name)
		}
		for part, source := range map[string]string{
			"charge": b.Charge.Source, "discharge": b.Discharge.Source, "limits": b.Limits.Source,
			"contactor": b.Contactor.Source, "balance": b.Balance.Source, "unit": b.Unit.Source,
		} {
			if source == "" {
				t.Errorf("%s: %s has no source", name, part)
			}
		}
		// The current has gone before a protection acts.
		if p := b.Protect; b.Charge.CellV.None > p.CellVHigh.Trip.Set || b.Discharge.CellV.None < p.CellVLow.Trip.Set ||
			b.Charge.HotC.None > p.TempHighC.Trip.Set || b.Charge.RatedA > p.ChargeA.Trip.Set {
			t.Errorf("%s: trips before the current has tapered off", name)
		}
	}
}

func TestFaultsOfTheManagement(t *testing.T) {
	text := read(t, "bms/lfp280-rack")
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown key", "rated_a: 196", "rated_amps: 196", "rated_amps"},
		{"taper turned round", "cell_v: {full: 3.45, none: 3.60}", "cell_v: {full: 3.60, none: 3.45}", "charge.cell_v"},
		{"continuous above rated", "continuous_a: 168", "continuous_a: 268", "charge.continuous_a"},
		{"cleared on the bad side", "set: 3.52, clear: 3.44", "set: 3.52, clear: 3.54", "protect.cell_v_high.warning1.clear"},
		{"levels turned round", "trip: {set: 3.65", "trip: {set: 3.55", "protect.cell_v_high.trip.set"},
		{"low levels turned round", "trip: {set: 2.40", "trip: {set: 2.70", "protect.cell_v_low.trip.set"},
		{"precharge too short", "timeout: 5s", "timeout: 1s", "contactor.timeout"},
		{"bus that does not come up", "bus_bleed_ohm: 10000", "bus_bleed_ohm: 2000", "contactor.bus_bleed_ohm"},
		{"share above 1", "warning_share: [1, 0.5]", "warning_share: [1, 1.5]", "limits.warning_share[1]"},
		{"window past the period", "window: 8s", "window: 18s", "balance.window"},
		{"no rate", "rise_a_per_s: 10", "rise_a_per_s: 0", "limits.rise_a_per_s"},
		{"no racks", "min_racks: 1", "min_racks: 0", "unit.min_racks"},
		{"other kind", "kind: BMS", "kind: Model", "kind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spoilt := strings.Replace(text, tt.old, tt.new, 1)
			if spoilt == text {
				t.Fatalf("%q is not in the file", tt.old)
			}
			path := filepath.Join(t.TempDir(), "b.yaml")
			if err := os.WriteFile(path, []byte(spoilt), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := params.LoadBMS(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "b.yaml:") {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			var f *params.Fault
			if !errors.As(err, &f) || f.Line == 0 {
				t.Errorf("no place in %v", err)
			}
		})
	}
}
