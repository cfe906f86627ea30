//go:build !nosim && unix

package main

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yunchu/harness/report"
	"yunchu/platform/audit"
)

// swapped is a device of TestSwappingATwinForItsWire: what is served of it, and how that is
// reached. %d are its ports.
type swapped struct {
	id, soc, serve, reach string
}

var swappedDevices = []swapped{
	{"u", "55", `sunspec: {address: "tcp://127.0.0.1:%d"}`, `device: sunspec, address: "tcp://127.0.0.1:%d", poll: 200ms`},
	{"m", "45", `modbus: {address: "tcp://127.0.0.1:%d", profile: pcs-generic}`, `device: modbus, profile: pcs-generic, address: "tcp://127.0.0.1:%d", poll: 200ms`},
	{
		"c", "52", `modbus: {address: "tcp://127.0.0.1:%d", profile: pcs-generic}, can: {address: "slcan://127.0.0.1:%d", dbc: ecube-hv-pcs}`,
		`poll: 200ms, parts: {pcs: {device: modbus, address: "tcp://127.0.0.1:%d", profile: pcs-generic}, bms: {device: can, address: "slcan://127.0.0.1:%d", dbc: ecube-hv-pcs}}`,
	},
}

// TestSwappingATwinForItsWire: dispatch does not know whether a twin stands beside it or
// behind a wire (SunSpec, registers, registers and CAN), and a recording of the wire is
// answered like the wire itself, on the wall clock and in virtual time.
func TestSwappingATwinForItsWire(t *testing.T) {
	t.Parallel()
	x := swap(t, swappedDevices, 0, func(d *swapped) []int { return ports(t, strings.Count(d.serve, "%d")) })
	tapes := ""
	for _, d := range swappedDevices {
		tapes += fmt.Sprintf("  - {id: %s, device: replay, recording: wire/links-%[1]s.rec.gz}\n", d.id)
	}
	x.scene("replay", "wall", "", tapes)
	x.scene("faster", "virtual", "", tapes)
	x.run("twin")
	x.run("wire")
	x.kept("wire")
	x.run("replay")
	hashes := map[string]bool{}
	for range 2 {
		x.run("faster")
		var r struct {
			Hash string `json:"journal_sha256"`
		}
		decode(t, []byte(x.p.read(t, "faster/report.json")), &r)
		hashes[r.Hash] = true
	}
	if len(hashes) != 1 || hashes[""] {
		t.Errorf("two runs of a recording in virtual time have the journals %v", hashes)
	}
	x.same("wire", "replay", "faster")
}

// TestSwappingATwinForItsBroker: nor does it know whether a twin stands beside it or behind
// an MQTT broker, once that is armed: who stands behind a broker is armed by name, after its
// sign test. A recording of it acts from then on.
func TestSwappingATwinForItsBroker(t *testing.T) {
	if testing.Short() {
		t.Skip("two runs of 25 s")
	}
	t.Parallel()
	broker := mosquitto(t)
	if broker == 0 {
		t.Skip("mosquitto is not installed")
	}
	devices := []swapped{{"q", "48", `mqtt: {address: "mqtt://127.0.0.1:%d"}`, `device: mqtt, address: "mqtt://127.0.0.1:%d", rated_kw: 100, rated_kwh: 215`}}
	x := swap(t, devices, 16, func(*swapped) []int { return []int{broker} })
	x.run("twin")
	x.scene("faster", "virtual", "", "  - {id: q, device: replay, recording: wire/links-q.rec.gz}\n")
	x.run("wire", "--arm", "q")
	x.run("faster") // nobody was told anything by dispatch before it was armed
	x.same("wire", "faster")
}

// swaps is one schedule under which twins are swapped for their wires.
type swaps struct {
	*testing.T
	p       program
	devices []swapped
	begin   int // s: when there is something to follow
	streams map[string]map[string][]float64
}

// swap writes the scenarios twin and wire.
func swap(t *testing.T, devices []swapped, begin int, at func(*swapped) []int) *swaps {
	x := &swaps{t, fresh(t), devices, begin, map[string]map[string][]float64{}}
	rig, twins, wires := "apiVersion: yunchu/v1\nkind: Rig\ndevices:\n", "", ""
	for _, d := range devices {
		var places []any
		for _, port := range at(&d) {
			places = append(places, port)
		}
		rig += fmt.Sprintf("  - {id: %s, model: ess-100kw-215kwh, soc: %s, serve: {%s}}\n", d.id, d.soc, fmt.Sprintf(d.serve, places...))
		twins += fmt.Sprintf("  - {id: %s, device: sim, soc: %s}\n", d.id, d.soc)
		wires += fmt.Sprintf("  - {id: %s, %s}\n", d.id, fmt.Sprintf(d.reach, places...))
	}
	x.p.write(t, "rig.yaml", rig)
	x.scene("twin", "wall", "", twins)
	x.scene("wire", "wall", "rig: rig.yaml", wires)
	return x
}

// scene writes one scenario: the targets come 2 s and more apart, the first at once or when
// it begins.
func (x *swaps) scene(name, clock, more, fleet string) {
	first, later := -90, ""
	if x.begin > 0 {
		first, later = 0, fmt.Sprintf("  - {at: %ds, target_kw: -90}\n", x.begin)
	}
	x.p.write(x.T, name+".yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Scenario
name: %s
clock: %s
duration: %ds
step: 250ms
journal: full
%s
fleet:
  - {id: ess, count: 2, device: sim, soc: 50}
%sdispatch: {every: 2s, target: {kw: %d}}
timeline:
%s  - {at: %ds, target_kw: 150}
  - {at: %ds, target_kw: -30}
`, name, clock, x.begin+9, more, fleet, first, later, x.begin+3, x.begin+5))
}

// run does one of the scenarios, and keeps the powers, in kW, that devices were told. None
// of them may have been refused, nor taken for somebody else's.
func (x *swaps) run(name string, more ...string) {
	x.Helper()
	if o := x.p.run(x.T, append([]string{"run", name + ".yaml", "--out", name, "--quiet"}, more...)...); o.code != exitPassed {
		x.Fatalf("%s: exit code %d: %s", name, o.code, o.stderr)
	}
	streams := map[string][]float64{}
	for line := range strings.Lines(x.p.read(x.T, name+"/journal.jsonl")) {
		var c struct {
			T                            float64 `json:"t_s"`
			Kind, Device, Status, Source string
			Power                        float64 `json:"power_kw"`
			Flags                        []string
		}
		decode(x.T, []byte(line), &c)
		if slices.Contains(c.Flags, "second-master") { // what was written then is not somebody else's
			x.Errorf("%s: %s", name, line)
		}
		switch ours := slices.ContainsFunc(x.devices, func(d swapped) bool { return d.id == c.Device }); {
		case !ours || c.T < float64(x.begin):
		case c.Kind == "command":
			streams[c.Device] = append(streams[c.Device], c.Power)
		case c.Kind == "ack" && c.Status != "done" && c.Source != "guard":
			x.Errorf("%s: %s", name, line)
		}
	}
	x.streams[name] = streams
}

// kept looks at what a run on wires leaves as evidence: recordings and an audit of every value
// that was written to a wire, in the manifest and as they were signed.
func (x *swaps) kept(name string) {
	x.Helper()
	dir := filepath.Join(x.p.dir, name)
	if err := report.Verify(dir); err != nil {
		x.Error(err)
	}
	m, err := report.LoadManifest(dir)
	if err != nil {
		x.Fatal(err)
	}
	want := []string{"audit/audit/checkpoint", "audit/audit/entries-000000000000.jsonl", "audit/keys/audit.pub"}
	for _, d := range x.devices {
		want = append(want, "links-"+d.id+".rec.gz")
	}
	for _, n := range want {
		if !slices.ContainsFunc(m.Outputs, func(f report.File) bool { return f.Name == n }) {
			x.Errorf("the manifest does not list %s: %v", n, m.Outputs)
		}
	}
	if o := x.p.run(x.T, "audit", "verify", "--data", name+"/audit"); o.code != exitPassed || !strings.HasPrefix(o.stdout, "intact: ") {
		x.Errorf("the audit: %d, %s%s", o.code, o.stdout, o.stderr)
	}
	entries := x.p.read(x.T, name+"/audit/audit/entries-000000000000.jsonl")
	for _, d := range x.devices {
		asked, over := false, false
		for line := range strings.Lines(entries) {
			var e audit.Entry
			decode(x.T, []byte(line), &e)
			for _, i := range e.Items {
				asked = asked || i.Device == d.id && e.Kind == "outcome" && e.Source == "dispatch" && i.Before != nil && i.After != nil && *i.After != *i.Before
			}
			over = over || e.Kind == "outcome" && e.Device == d.id && e.Act == "disarm" && e.Outcome == "done" && e.Reason == "the run is over" && *e.After == 0
			if e.Device == "ess-001" || slices.ContainsFunc(e.Items, func(i audit.DeviceEntry) bool { return strings.HasPrefix(i.Device, "ess-") }) {
				x.Errorf("the audit is of twins too: %s", line)
			}
		}
		if !asked || !over {
			x.Errorf("%s: dispatch %t, the end %t in\n%s", d.id, asked, over, entries)
		}
	}
}

// same compares the commands of runs with those of the twin.
func (x *swaps) same(names ...string) {
	x.Helper()
	for _, d := range x.devices {
		want := x.streams["twin"][d.id]
		if len(want) < 4 {
			x.Fatalf("commands %v", want)
		}
		for _, name := range names {
			got := x.streams[name][d.id]
			if len(got) != len(want) {
				x.Errorf("%s, %s: commands %v, of the twin %v", name, d.id, got, want)
				continue
			}
			for i := range got {
				if math.Abs(got[i]-want[i]) > 0.2 {
					x.Errorf("%s, %s: command %d is %g kW, of the twin %g kW", name, d.id, i+1, got[i], want[i])
				}
			}
		}
	}
}
