//go:build !nosim && unix

package main

import (
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"yunchu/harness/backend"
	"yunchu/harness/scenario"
)

// brokenWire is what a run has noted of a device whose wire was broken.
type brokenWire struct {
	*testing.T
	read   []brokenReading
	events string
}

type brokenReading struct {
	t                   float64
	soc, voltage, power *float64
	flags               []string
}

// between are the readings of a part of the run.
func (b *brokenWire) between(from, to float64) (list []brokenReading) {
	for _, r := range b.read {
		if r.t >= from && r.t < to {
			list = append(list, r)
		}
	}
	return list
}

func (b *brokenWire) disarmed(why string) {
	b.Helper()
	if !strings.Contains(b.events, "disarmed "+why) {
		b.Errorf("not disarmed for %q: %s (%d readings)", why, b.events, len(b.read))
	}
}

// silent: nothing is read while it lasts, and the device is not answered for any more.
func (b *brokenWire) silent() {
	b.Helper()
	if n := len(b.between(7, 12)); n > 0 {
		b.Errorf("%d readings over a broken wire", n)
	}
	b.disarmed("link lost")
}

// wireFaults are the faults that a scenario can inject into a wire, each of them between
// 5 (retained-command: 9) and 12 s, and what a run must have noted of each.
var wireFaults = map[string]struct {
	serve, device string // the wire; %d are its ports
	check         func(b *brokenWire)
}{
	"late-answer":     {sunspecWire, sunspecDevice, (*brokenWire).silent},
	"previous-answer": {sunspecWire, sunspecDevice, func(b *brokenWire) { b.disarmed("link lost") }},
	"exception": {modbusWire, modbusDevice, func(b *brokenWire) {
		b.silent()
		if !strings.Contains(b.events, "exception 4") {
			b.Errorf("nobody says what the device answers: %s", b.events)
		}
	}},
	"reset": {modbusWire, modbusDevice, (*brokenWire).silent},
	"pause": {sunspecWire, sunspecDevice, (*brokenWire).silent},
	"heartbeat-frozen": {sunspecWire, sunspecDevice, func(b *brokenWire) {
		b.disarmed("its heartbeat stands still")
	}},
	"soc-frozen": {sunspecWire, sunspecDevice, func(b *brokenWire) {
		during, after := b.between(5.5, 12), b.between(14, 17)
		if len(during) == 0 || len(after) == 0 || *after[0].soc == *during[0].soc {
			b.Errorf("the charge stands for ever: %d and %d readings", len(during), len(after))
			return
		}
		for _, r := range during {
			if *r.soc != *during[0].soc {
				b.Errorf("the charge moves from %g to %g", *during[0].soc, *r.soc)
				return
			}
		}
	}},
	"not-implemented": {sunspecWire, sunspecDevice, func(b *brokenWire) {
		for _, r := range b.between(5.5, 12) {
			if r.soc != nil || r.power != nil {
				b.Error("what is not implemented has a value")
				return
			}
		}
		b.disarmed("link lost")
	}},
	"scale-change": {sunspecWire, sunspecDevice, func(b *brokenWire) {
		if n := len(b.between(6, 12)); n < 20 || strings.Contains(b.events, "disarmed") {
			b.Errorf("a scale factor that changes is not followed: %d readings, %s", n, b.events)
		}
	}},
	"sign-flip": {sunspecWire, sunspecDevice, func(b *brokenWire) { b.disarmed("its power runs against the setpoint") }},
	"second-master": {modbusWire, modbusDevice, func(b *brokenWire) {
		b.disarmed("a second master")
		if last := b.between(11, 12); len(last) == 0 || math.Abs(*last[0].power-25) > 0.5 {
			b.Errorf("it is not left to the other master: %d readings", len(last))
		}
	}},
	"bus-off": {
		`modbus: {address: "tcp://127.0.0.1:%d", profile: pcs-generic}, can: {address: "slcan://127.0.0.1:%d", dbc: ecube-hv-pcs}`,
		`parts: {pcs: {device: modbus, address: "tcp://127.0.0.1:%d", profile: pcs-generic}, bms: {device: can, address: "slcan://127.0.0.1:%d", dbc: ecube-hv-pcs}}`,
		func(b *brokenWire) { b.disarmed("its heartbeat stands still") },
	},
	// Whoever subscribes already sees that somebody commands the device; the device itself,
	// which finds the command when it comes again, does not do what it says.
	"retained-command": {
		`mqtt: {address: "mqtt://127.0.0.1:%d"}`,
		`device: mqtt, address: "mqtt://127.0.0.1:%d", rated_kw: 100, rated_kwh: 215`,
		func(b *brokenWire) {
			b.disarmed("a second master")
			for _, r := range b.between(15.9, 17) { // our own setpoint has reverted by now
				if *r.power > 5 {
					b.Errorf("%g kW at %g s by a retained command: %s", *r.power, r.t, b.events)
				}
			}
		},
	},
}

const (
	sunspecWire   = `sunspec: {address: "tcp://127.0.0.1:%d"}`
	sunspecDevice = `device: sunspec, address: "tcp://127.0.0.1:%d"`
	modbusWire    = `modbus: {address: "tcp://127.0.0.1:%d", profile: pcs-generic}`
	modbusDevice  = `device: modbus, profile: pcs-generic, address: "tcp://127.0.0.1:%d"`
)

// TestWireFaultsInARun: every fault of a wire that a scenario knows is accepted, does on
// the wire what it says, is noticed, lets no wrong value through, and ends.
func TestWireFaultsInARun(t *testing.T) {
	t.Parallel()
	broker := 0
	var rig, fleet, timeline strings.Builder
	for _, k := range scenario.FaultKinds() {
		f, known := wireFaults[k.Name]
		if !known {
			if k.Seam == scenario.SeamWire {
				t.Errorf("%s: no test", k.Name)
			}
			continue
		}
		port := ports(t, 2)
		if k.Name == "retained-command" {
			if broker = mosquitto(t); broker == 0 {
				continue
			}
			port[0] = broker
		}
		places := make([]any, strings.Count(f.serve, "%d"))
		for i := range places {
			places[i] = port[i]
		}
		fmt.Fprintf(&rig, "  - {id: %s, model: ess-100kw-215kwh, soc: 50, serve: {%s}}\n", k.Name, fmt.Sprintf(f.serve, places...))
		fmt.Fprintf(&fleet, "  - {id: %s, poll: 200ms, %s}\n", k.Name, fmt.Sprintf(f.device, places...))
		at, long := "5s", "7s"
		if k.Name == "retained-command" { // what is behind a broker does not arm itself: its signs are tested first
			at, long = "9s", "3s"
		}
		fmt.Fprintf(&timeline, "  - {at: %s, fault: {kind: %s, devices: %s, for: %s}}\n", at, k.Name, k.Name, long)
	}
	p := fresh(t)
	p.write(t, "rig.yaml", "apiVersion: yunchu/v1\nkind: Rig\ndevices:\n"+rig.String())
	p.write(t, "broken.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Scenario
name: broken
clock: wall
duration: 21s
step: 250ms
journal: full
rig: rig.yaml
fleet:
%sdispatch: {every: 1s, strategy: proportional, target: {kw: 200}}
timeline:
%s`, fleet.String(), timeline.String()))
	if o := p.run(t, "validate", "broken.yaml"); o.code != exitPassed {
		t.Fatalf("validate: exit code %d: %s", o.code, o.stderr)
	}
	if o := p.run(t, "run", "broken.yaml", "--out", "out", "--arm", "retained-command"); o.code != exitPassed {
		t.Fatalf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
	}
	notes := map[string]*brokenWire{}
	for text := range strings.Lines(p.read(t, "out/journal.jsonl")) {
		var l struct {
			T                   float64 `json:"t_s"`
			Kind, Device, Text  string
			SoC, Voltage, Power *float64
			Flags               []string
		}
		decode(t, []byte(text), &l)
		b := notes[l.Device]
		if b == nil {
			b = &brokenWire{}
			notes[l.Device] = b
		}
		switch l.Kind {
		case "reading":
			b.read = append(b.read, brokenReading{l.T, l.SoC, l.Voltage, l.Power, l.Flags})
		case "disarmed", "offline":
			_, why, _ := strings.Cut(l.Text, ": ")
			b.events += fmt.Sprintf("%s %s (at %g s); ", l.Kind, why, l.T)
		}
	}
	for kind, f := range wireFaults {
		if kind == "retained-command" && broker == 0 {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			b := notes[kind]
			if b == nil {
				t.Fatal("nothing is noted of its device")
			}
			b.T = t
			f.check(b)
			for _, r := range b.read {
				if r.soc != nil && (*r.soc < 49 || *r.soc > 52) || r.voltage != nil && (*r.voltage < 780 || *r.voltage > 810) {
					t.Errorf("a wrong value got through at %g s: soc %g, %g V", r.t, *r.soc, *r.voltage)
				}
			}
			// A link is tried again after 5 s at most.
			if after := b.between(19, 22); len(after) == 0 || after[0].soc == nil || after[0].power == nil {
				t.Errorf("the fault does not end: %d readings", len(after))
			}
		})
	}
}

// mosquitto is the port of a broker, 0 where the program is not installed.
func mosquitto(t *testing.T) (port int) {
	t.Helper()
	program := ""
	for _, path := range []string{"mosquitto", "/usr/sbin/mosquitto"} {
		if found, err := exec.LookPath(path); err == nil {
			program = found
		}
	}
	if program == "" && os.Getenv("YUNCHU_PEERS") == "1" {
		t.Fatal("mosquitto is not installed (Debian: mosquitto)")
	}
	if program == "" {
		t.Log("mosquitto is not installed: no retained command")
		return 0
	}
	port = ports(t, 1)[0]
	c := exec.Command(program, "-p", fmt.Sprint(port)) // on this machine only
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // it was killed
	})
	eventually(t, "the broker listens", func() bool {
		l, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			l.Close()
		}
		return err == nil
	})
	return port
}

// TestBridgeThatStandsStillInARun: kill and pause of the runtime are those of the process:
// the device hears nothing and its dead-man brings it to rest. Who was paused does not go on
// afterwards; who was killed starts anew, and then an emulator on this machine arms itself.
func TestBridgeThatStandsStillInARun(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"kill", "pause"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := fresh(t)
			port := ports(t, 2)
			p.write(t, "rig.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Rig
backend: {address: "tcp://127.0.0.1:%d"}
devices:
  - {id: u, model: ess-100kw-215kwh, soc: 55, serve: {sunspec: {address: "tcp://127.0.0.1:%d"}}}
`, port[0], port[1]))
			p.write(t, "still.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Scenario
name: still
clock: wall
duration: 14s
step: 250ms
rig: rig.yaml
fleet:
  - {id: u, device: sunspec, address: "tcp://127.0.0.1:%d", poll: 200ms, dead_man: 2s}
dispatch: {every: 1s, target: {kw: 40}}
timeline:
  - {at: 4s, fault: {kind: %s, for: 6s}}
`, port[1], kind))
			x := p.start(t, "run", "still.yaml", "--out", "out", "--quiet")
			var back *backend.Client
			eventually(t, "the rig is served", func() bool {
				c, err := backend.Dial(t.Context(), fmt.Sprintf("tcp://127.0.0.1:%d", port[0]))
				back = c
				return err == nil
			})
			t.Cleanup(back.Close)
			var (
				moved, rest time.Time // it took up its power, and came to rest
				worst       float64   // after that
			)
			for v, err := back.Truth(t.Context(), "u"); err == nil; v, err = back.Truth(t.Context(), "u") {
				switch {
				case moved.IsZero() && v.PowerKW > 39:
					moved = v.At
				case !moved.IsZero() && rest.IsZero() && v.PowerKW == 0:
					rest = v.At
				case !rest.IsZero() && (kind == "pause" || v.At.Sub(rest) < 3*time.Second):
					worst = max(worst, math.Abs(v.PowerKW))
				}
				time.Sleep(20 * time.Millisecond)
			}
			<-x.done
			if code := x.cmd.ProcessState.ExitCode(); code != exitPassed {
				t.Fatalf("exit code %d: %s", code, x.stderr.String())
			}
			// Dispatch begins after 1 s; the fault comes 3 s later and the dead-man 2 s after
			// its last renewal, long before the runtime is back.
			if took := rest.Sub(moved); moved.IsZero() || took < 3*time.Second || took > 7*time.Second {
				t.Errorf("at rest %v after it took up its power, want about 5 s", took)
			}
			if worst > 0.5 {
				t.Errorf("%.1f kW flow after its dead-man brought it to rest", worst)
			}
		})
	}
}
