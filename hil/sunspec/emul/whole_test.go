package emul_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"yunchu/hil/unit"
	"yunchu/twin/params"
)

// Whatever lies side by side is written together, in whatever state the unit is: a request
// that is answered with an exception has changed nothing, neither in the map nor in the unit.
func TestWritesAreTakenWholeOrNotAtAll(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine writes and looks")
	}
	model, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	values := []uint16{0, 1, 2, 3, 50, 1000, 10000, 20000, 0xD8F0, 0xFFFF}
	for name, faults := range map[string][]unit.Fault{
		"well":                           nil,
		"in local control":               {{Kind: "local"}},
		"emergency button pressed":       {{Kind: "e-stop"}},
		"button pressed, and an alarm":   {{Kind: "over-voltage"}, {Kind: "e-stop"}},
		"tripped":                        {{Kind: "over-voltage"}},
		"contactors that do not close":   {{Kind: "contactor-open"}},
		"pressed, and they do not close": {{Kind: "e-stop"}, {Kind: "contactor-open"}},
	} {
		var r *rig
		anew := func() {
			r = newRigOf(t, model)
			for _, f := range faults {
				end, err := r.unit.Inject(r.now, f)
				if err != nil {
					t.Fatal(err)
				}
				if f.Kind == "over-voltage" { // its cause is gone, and it is latched
					end(r.now)
				}
			}
		}
		anew()
		_, d := registers(t, r)
		type run struct{ at, size int }
		var points []run // that the model says can be written, which the device may still refuse
		for _, b := range d.Blocks {
			for f := range b.Fields() {
				if f.RW {
					points = append(points, run{b.Addr + f.At, f.Size})
				}
			}
		}
		image := func() string {
			regs, _ := registers(t, r)
			return fmt.Sprintf("%v %+v", regs, r.unit.View(r.now))
		}
		rng := rand.New(rand.NewPCG(1, 2))
		took, refused := 0, 0
		for range 1000 {
			k := rng.IntN(len(points))
			from, n := points[k].at, points[k].size
			for range rng.IntN(4) { // and its neighbours
				if k++; k < len(points) && points[k].at == from+n {
					n += points[k].size
				}
			}
			list := make([]uint16, n)
			for i := range list {
				list[i] = uint16(rng.IntN(2))
				if rng.IntN(4) == 0 {
					list[i] = values[rng.IntN(len(values))]
				}
			}
			before := image()
			if err := r.bank.Write(uint16(from), list); err == nil {
				if took++; took%3 == 0 { // else the next is written to what this has made of it
					anew()
				}
			} else if refused++; image() != before {
				t.Fatalf("%s: writing %v at %d is refused with %v, and has changed\n%s\n%s", name, list, from, err, before, image())
			}
			r.step(10 * time.Millisecond)
		}
		if took == 0 && name == "well" || refused == 0 {
			t.Errorf("%s: %d requests taken, %d refused", name, took, refused)
		}
	}
}
