package emul_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/hil/unit"
	"yunchu/twin/params"
)

// panelProfile is a map on which everything that is written lies side by side.
const panelProfile = `
apiVersion: yunchu/v1
kind: Profile
name: panel
description: all that is written, in one block
positive: charge
points:
  power:                {table: input, address: 0, type: int32, unit: W}
  revert_s:             {address: 0, range: {min: 0, max: 65535}}
  setpoint:             {address: 1, type: int32, unit: W}
  setpoint_enable:      {address: 3}
  reset:                {address: 4}
  operate:              {address: 5, values: {stop: 0, start: 1}}
  mode:                 {address: 6, values: {run: 0, standby: 1, maintenance: 2}}
  connect:              {address: 7}
  ramp:                 {address: 8, scale: 0.1, not_implemented: 0xFFFF}
  power_limit:          {address: 9, scale: 0.1}
  reserve:              {address: 10, scale: 0.1, not_implemented: 0xFFFF}
  controller_heartbeat: {address: 11}
settings:
  own:                  {address: 12, access: read-write}
`

// states are what a unit may be in when something is written to it.
var states = map[string][]unit.Fault{
	"well":                           nil,
	"in local control":               {{Kind: "local"}},
	"emergency button pressed":       {{Kind: "e-stop"}},
	"button pressed, and an alarm":   {{Kind: "over-voltage"}, {Kind: "e-stop"}},
	"tripped":                        {{Kind: "over-voltage"}},
	"contactors that do not close":   {{Kind: "contactor-open"}},
	"pressed, and they do not close": {{Kind: "e-stop"}, {Kind: "contactor-open"}},
}

// Whatever lies side by side is written together, in whatever state the unit is: a request
// that is answered with an exception has changed nothing, neither in the registers nor in
// the unit, and one that is taken is taken whole.
func TestWritesAreTakenWholeOrNotAtAll(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine writes and looks")
	}
	panel, err := modbus.ParseProfile("panel.yaml", []byte(panelProfile))
	if err != nil {
		t.Fatal(err)
	}
	model, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	values := []uint16{0, 1, 2, 3, 500, 1000, 1001, 20000, 0x7FFF, 0xFFFF}
	for name, faults := range states {
		for _, tt := range []struct {
			profile *modbus.Profile
			table   modbus.Table
			end     int
		}{{panel, modbus.Holding, 13}, {profile(t, "pcs-generic"), modbus.Holding, 11}, {profile(t, "pcs-generic"), modbus.Coils, 2}} {
			rng := rand.New(rand.NewPCG(1, 2))
			c := newClock()
			var u *unit.Unit
			var d *emul.Device
			anew := func() {
				if u, err = unit.New(unit.Options{ID: "rig-1", Model: model, SoC: 50, AmbientC: 25, Start: c.now()}); err != nil {
					t.Fatal(err)
				}
				if d, err = emul.NewDevice(emul.DeviceOptions{Unit: u, Profile: tt.profile, Now: c.now}); err != nil {
					t.Fatal(err)
				}
				for _, f := range faults {
					end, err := u.Inject(c.now(), f)
					if err != nil {
						t.Fatal(err)
					}
					if f.Kind == "over-voltage" { // its cause is gone, and it is latched
						end(c.now())
					}
				}
			}
			anew()
			image := func() string {
				regs, err := d.Read(tt.table, 0, uint16(tt.end))
				if err != nil {
					t.Fatal(err)
				}
				return fmt.Sprintf("%v %+v", regs, u.View(c.now()))
			}
			took, refused := 0, 0
			for range 2000 {
				from := rng.IntN(tt.end)
				list := make([]uint16, 1+rng.IntN(min(5, tt.end-from)))
				on := make([]bool, len(list))
				for i := range list {
					list[i] = uint16(rng.IntN(2))
					if rng.IntN(4) == 0 {
						list[i] = values[rng.IntN(len(values))]
					}
					on[i] = list[i]&1 != 0
				}
				before := image()
				if tt.table == modbus.Coils {
					err = d.WriteCoils(uint16(from), on)
				} else {
					err = d.Write(uint16(from), list)
				}
				if err == nil {
					if took++; took%3 == 0 { // else the next is written to what this has made of it
						anew()
					}
				} else {
					refused++
					if after := image(); after != before {
						t.Fatalf("%s: writing %v at %v %d is refused with %v, and has changed\n%s\n%s", name, list, tt.table, from, err, before, after)
					}
				}
				c.pass(10 * time.Millisecond)
			}
			if took == 0 && name == "well" || refused == 0 && tt.table == modbus.Holding {
				t.Errorf("%s: %d requests taken, %d refused", name, took, refused)
			}
		}
	}
}
