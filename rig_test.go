//go:build !nosim && unix

package main

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"yunchu/harness/backend"
)

// nextPort goes through the ports below those that connections of others begin at.
var nextPort atomic.Int32

// ports are free on this machine, and nobody gets one of them by chance before it is used.
func ports(t *testing.T, n int) (list []int) {
	t.Helper()
	const first, last = 11000, 32000
	begin := os.Getpid() * 37 // others run these tests too
	for range last - first {
		port := first + (begin+int(nextPort.Add(1)))%(last-first)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		if list = append(list, port); len(list) == n {
			return list
		}
	}
	t.Fatal("no port is free")
	return nil
}

// write puts a file into the program's folder.
func (p program) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read is a file of the program's folder.
func (p program) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// plantOnARig is the production runtime in one process and a rig with a SunSpec unit in
// another.
type plantOnARig struct {
	*testing.T
	p      program
	rig    *process
	bridge *process
	back   *backend.Client
	client
	n int
}

const rigToken = "token-of-an-engineer"

func onARig(t *testing.T) *plantOnARig {
	t.Helper()
	port := ports(t, 1)[0]
	return onARigOf(t, fmt.Sprintf(`sunspec: {address: "tcp://127.0.0.1:%d"}`, port), fmt.Sprintf(`device: sunspec, address: "tcp://127.0.0.1:%d", dead_man: 3s`, port))
}

// onARigOf is onARig with a unit that is served and reached in other ways.
func onARigOf(t *testing.T, serve, reach string) *plantOnARig {
	t.Helper()
	port := ports(t, 1)[0]
	x := &plantOnARig{T: t, p: fresh(t, "YUNCHU_TOKEN="+rigToken)}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(x.p.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rig.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Rig
backend: {address: "tcp://127.0.0.1:%d"}
devices:
  - {id: rig-1, model: ess-100kw-215kwh, soc: 50, serve: {%s}}
`, port, serve))
	write("plant.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Config
devices:
  - {id: rig-1, %s, poll: 100ms}
`, reach))
	x.rig = x.p.start(t, "rig", "rig.yaml")
	eventually(t, "the rig is ready", func() bool { return strings.Contains(x.rig.stdout.String(), "ready") })
	back, err := backend.Dial(t.Context(), fmt.Sprintf("tcp://127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(back.Close)
	x.back = back
	x.start()
	return x
}

// start brings the bridge up, and waits until it reads the rig: what it remembers of
// before does not count.
func (x *plantOnARig) start() {
	x.Helper()
	begun := time.Now().UnixMilli()
	x.bridge, x.client = serving(x.T, x.p, "-c", "plant.yaml")
	x.token = rigToken
	eventually(x.T, "the bridge reads the rig", func() bool {
		status, answer, err := x.try(http.MethodGet, "/api/v1/devices/rig-1/latest?quality=good", nil)
		if err != nil || status != http.StatusOK {
			return false
		}
		var r struct{ Timestamp int64 }
		decode(x.T, answer, &r)
		return r.Timestamp >= begun
	})
}

// send asks for a command and returns status and code of the answer.
func (x *plantOnARig) send(command string, parameters map[string]any) string {
	x.Helper()
	x.n++
	status, answer, err := x.try(http.MethodPost, "/api/v1/device/control", order{
		Device: "rig-1", ID: fmt.Sprintf("%s-%d-%d", command, x.n, time.Now().UnixNano()), Command: command, Parameters: parameters,
	})
	if err != nil {
		x.Fatal(err)
	}
	var a struct{ Code string }
	decode(x.T, answer, &a)
	return fmt.Sprint(status, " ", a.Code)
}

func (x *plantOnARig) state() string {
	x.Helper()
	var d struct{ State string }
	x.get(x.T, "/api/v1/devices/rig-1", &d)
	return d.State
}

// status is the word of the rig's newest reading.
func (x *plantOnARig) status() string {
	x.Helper()
	var r struct{ Data struct{ Status string } }
	x.get(x.T, "/api/v1/devices/rig-1/latest", &r)
	return r.Data.Status
}

func (x *plantOnARig) arm() {
	x.Helper()
	// A bridge that has just been started knows neither a reading nor the rating for a moment.
	eventually(x.T, "it can be armed", func() bool { return x.send("arm", nil) == "202 ACCEPTED" })
	eventually(x.T, "the rig is armed", func() bool { return x.state() == "active" })
}

// kw is what flows at the rig, by an instrument that nothing of ours can fool.
func (x *plantOnARig) kw() float64 {
	x.Helper()
	v, err := x.back.Truth(x.Context(), "rig-1")
	if err != nil {
		x.Fatal(err)
	}
	return v.PowerKW
}

func (x *plantOnARig) at(kw float64) {
	x.Helper()
	eventually(x.T, fmt.Sprintf("the rig is at %g kW", kw), func() bool { return math.Abs(x.kw()-kw) < 0.5 })
}

// quiet watches the rig for a while: nothing may flow.
func (x *plantOnARig) quiet(d time.Duration) {
	x.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if kw := x.kw(); math.Abs(kw) > 0.5 {
			x.Fatalf("%g kW flow", kw)
		}
	}
}

var hold = map[string]any{"power": 50.0, "duration": 3600}

// TestKilledBridgeStopsTheRig: whoever loses the bridge to kill -9 finds the battery at
// rest, by the dead-man that every setpoint arms, and a new bridge touches nothing until
// somebody arms it.
func TestKilledBridgeStopsTheRig(t *testing.T) {
	t.Parallel()
	x := onARig(t)
	if got := x.send("setPower", hold); got != "409 NOT_ARMED" {
		t.Errorf("a setpoint before arming: %s", got)
	}
	x.quiet(time.Second)
	x.arm()
	if got := x.send("setPower", hold); got != "200 SUCCESS" {
		t.Fatalf("a setpoint: %s", got)
	}
	x.at(50)
	time.Sleep(4 * time.Second) // longer than the dead-man: it is renewed
	x.at(50)

	x.bridge.kill(t)
	killed := time.Now()
	x.at(0)
	if took := time.Since(killed); took > 5*time.Second {
		t.Errorf("at rest %v after the bridge was killed, dead-man 3 s", took)
	}
	x.start()
	if got := x.state(); got != "inactive" {
		t.Errorf("after a restart the rig is %s", got)
	}
	x.quiet(2 * time.Second)
	if got := x.send("setPower", hold); got != "409 NOT_ARMED" {
		t.Errorf("a setpoint after a restart: %s", got)
	}
	x.arm()
	x.at(0)
	x.quiet(2 * time.Second) // the hold of before does not come back
	if got := x.send("setPower", hold); got != "200 SUCCESS" {
		t.Errorf("a setpoint after arming: %s", got)
	}
	x.at(50)
}

// TestDeviceThatIsTakenOut: a device that was armed, and is not in the configuration any more,
// does not act, is not told to, and is not shown as if it might.
func TestDeviceThatIsTakenOut(t *testing.T) {
	t.Parallel()
	x := onARig(t)
	x.arm()
	if got := x.send("setPower", hold); got != "200 SUCCESS" {
		t.Fatalf("a setpoint: %s", got)
	}
	x.at(50)
	x.p.write(t, "plant.yaml", "apiVersion: yunchu/v1\nkind: Config\n")
	x.bridge.kill(t)
	x.bridge, x.client = serving(t, x.p, "-c", "plant.yaml")
	x.token = rigToken
	if got := x.state(); got != "inactive" {
		t.Errorf("a device that was taken out is %s", got)
	}
	if got := x.send("setPower", hold); got != "409 NOT_ARMED" {
		t.Errorf("a setpoint: %s", got)
	}
	x.at(0)
}

// TestStoppedBridgeStopsTheRig: SIGSTOP is worse than kill, because the process goes on
// later as if nothing had been.
func TestStoppedBridgeStopsTheRig(t *testing.T) {
	t.Parallel()
	x := onARig(t)
	x.arm()
	x.send("setPower", hold)
	x.at(50)
	if err := x.bridge.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	x.at(0)
	x.quiet(2 * time.Second)
	if err := x.bridge.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	x.quiet(3 * time.Second) // not for a moment
	eventually(t, "the rig is disarmed", func() bool { return x.state() == "inactive" })
	if got := x.send("setPower", hold); got != "409 NOT_ARMED" {
		t.Errorf("a setpoint after it stood still: %s", got)
	}
}

// TestEmergencyStopOfARig: it latches in the bridge and at the device, outlives a power
// cut of the bridge, and only a reset and arming again let power flow.
func TestEmergencyStopOfARig(t *testing.T) {
	t.Parallel()
	x := onARig(t)
	x.arm()
	x.send("setPower", hold)
	x.at(50)
	if got := x.send("eStop", nil); got != "200 SUCCESS" {
		t.Errorf("emergency stop: %s", got)
	}
	x.at(0)
	if got := x.send("setPower", hold); got != "409 E_STOP" {
		t.Errorf("a setpoint after the stop: %s", got)
	}
	if got := x.send("arm", nil); got != "409 E_STOP" {
		t.Errorf("arm after the stop: %s", got)
	}
	x.bridge.kill(t)
	x.start()
	if got := x.send("arm", nil); got != "409 E_STOP" {
		t.Errorf("arm after the stop and a restart: %s", got)
	}
	x.quiet(time.Second)
	if got := x.send("reset", nil); got != "200 SUCCESS" {
		t.Errorf("reset: %s", got)
	}
	x.quiet(time.Second)
	eventually(t, "it can be armed", func() bool { return x.send("arm", nil) == "202 ACCEPTED" })
	eventually(t, "the rig is armed", func() bool { return x.state() == "active" })
	x.send("setPower", hold)
	x.at(50)
}

// TestUnheardStopOfARig: a rig that could not be reached when it was stopped, and whose
// bridge was killed then, is stopped by the next one, which only reads it otherwise.
func TestUnheardStopOfARig(t *testing.T) {
	t.Parallel()
	x := onARig(t)
	x.arm()
	x.send("setPower", hold)
	x.at(50)
	if got := x.status(); got != "charging" {
		t.Fatalf("before: %s", got)
	}
	end, err := x.back.Inject(t.Context(), "rig-1", backend.Fault{Kind: "link-down"})
	if err != nil {
		t.Fatal(err)
	}
	if got := x.send("eStop", nil); strings.HasPrefix(got, "200") {
		t.Errorf("emergency stop of a rig that is not there: %s", got)
	}
	x.bridge.kill(t)
	x.at(0) // by its dead-man, after which it waits for the next setpoint
	if err := end(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.start()
	eventually(t, "the rig is stopped", func() bool { return x.status() == "fault" }) // its contactors are open
	if got := x.send("arm", nil); got != "409 E_STOP" {
		t.Errorf("arm: %s", got)
	}
	if got := x.send("reset", nil); got != "200 SUCCESS" {
		t.Errorf("reset: %s", got)
	}
	eventually(t, "the rig is started", func() bool { return x.status() == "idle" })
}

// TestRestingRigIsArmed: a unit that was disarmed in standby is armed all the same, on every
// wire that carries power: it is started first, at no power. After a restart
// of the bridge too, whose drivers have forgotten that it rests.
func TestRestingRigIsArmed(t *testing.T) {
	port := ports(t, 4)
	for name, wire := range map[string][2]string{
		"modbus": {
			fmt.Sprintf(`modbus: {address: "tcp://127.0.0.1:%d", profile: pcs-generic}`, port[0]),
			fmt.Sprintf(`device: modbus, address: "tcp://127.0.0.1:%d", profile: pcs-generic, rated_kw: 100`, port[0]),
		},
		"sunspec": {
			fmt.Sprintf(`sunspec: {address: "tcp://127.0.0.1:%d"}`, port[1]),
			fmt.Sprintf(`device: sunspec, address: "tcp://127.0.0.1:%d", dead_man: 3s`, port[1]),
		},
		"parts": {
			fmt.Sprintf(`modbus: {address: "tcp://127.0.0.1:%d", profile: pcs-generic}, can: {address: "slcan://127.0.0.1:%d", dbc: ecube-hv-pcs}`, port[2], port[3]),
			fmt.Sprintf(`parts: {pcs: {device: modbus, address: "tcp://127.0.0.1:%d", profile: pcs-generic}, bms: {device: can, address: "slcan://127.0.0.1:%d", dbc: ecube-hv-pcs}}, rated_kw: 100`, port[2], port[3]),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := onARigOf(t, wire[0], wire[1])
			x.arm()
			rest := func() {
				t.Helper()
				if got := x.send("setMode", map[string]any{"mode": "standby"}); got != "200 SUCCESS" {
					t.Fatalf("standby: %s", got)
				}
				if got := x.send("disarm", nil); got != "200 SUCCESS" {
					t.Fatalf("disarm: %s", got)
				}
				if got := x.send("setMode", map[string]any{"mode": "run"}); got != "409 NOT_ARMED" {
					t.Errorf("run, while it is disarmed: %s", got)
				}
				eventually(t, "it shows that it rests", func() bool { return x.status() == "standby" })
			}
			works := func() {
				t.Helper()
				x.arm()
				if got := x.send("setPower", hold); got != "200 SUCCESS" {
					t.Fatalf("a setpoint: %s", got)
				}
				x.at(50)
			}
			rest()
			works()
			rest()
			x.bridge.kill(t)
			x.start()
			works()
		})
	}
}

// TestWrongSignIsNotArmed: a rig that counts power the other way round is found before
// it is given to anybody.
func TestWrongSignIsNotArmed(t *testing.T) {
	t.Parallel()
	x := onARig(t)
	end, err := x.back.Inject(t.Context(), "rig-1", backend.Fault{Kind: "sign-flip"})
	if err != nil {
		t.Fatal(err)
	}
	x.send("arm", nil)
	worst := 0.0
	for until := time.Now().Add(4 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		worst = max(worst, math.Abs(x.kw()))
	}
	if got := x.state(); got != "inactive" {
		t.Errorf("it is %s", got)
	}
	if worst < 1 || worst > 5.5 {
		t.Errorf("%.1f kW flowed in the test, want 5 %% of 100 kW", worst)
	}
	x.at(0)
	if got := x.send("setPower", hold); got != "409 NOT_ARMED" {
		t.Errorf("a setpoint: %s", got)
	}
	if err := end(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.arm()
}

// TestClockIsSet: somebody sets the clock of the machine that dispatches, an hour forth or
// back, and right again. Nothing that was promised for seconds holds for an hour, nothing
// that was promised ends early, no reading is lost, and nobody loses their place in time.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		by       string
		leap     int64 // ms, of the times of readings
		released float64
		wire     func(t *testing.T, kw func(at float64) float64)
	}{
		// As after a sleep of the machine: all setpoints have expired, and whoever did not
		// hear of a device for an hour does not answer for it any more.
		{"1h", 3_600_000, 5.5, func(t *testing.T, kw func(float64) float64) {
			if before, after := kw(4.9), kw(6.5); before != 40 || after != 0 || kw(12) != 0 {
				t.Errorf("the device on the wire was at %g kW before the step, at %g and %g after it", before, after, kw(12))
			}
		}},
		// The plant's time goes slower. The dead-man of 2 s is renewed all the time.
		{"-1h", 0, 7.5, func(t *testing.T, kw func(float64) float64) {
			for at := 4.0; at < 12; at += 0.25 {
				if got := kw(at); got != 40 {
					t.Errorf("at %g s the device on the wire is at %g kW", at, got)
				}
			}
		}},
	} {
		t.Run(tt.by, func(t *testing.T) {
			t.Parallel()
			p := fresh(t)
			port := ports(t, 1)[0]
			p.write(t, "rig.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Rig
devices:
  - {id: u, model: ess-100kw-215kwh, soc: 55, serve: {sunspec: {address: "tcp://127.0.0.1:%d"}}}
`, port))
			p.write(t, "set.yaml", fmt.Sprintf(`apiVersion: yunchu/v1
kind: Scenario
name: set
clock: wall
duration: 13s
step: 250ms
journal: full
rig: rig.yaml
fleet:
  - {id: ess, count: 2, device: sim, soc: 50}
  - {id: u, device: sunspec, address: "tcp://127.0.0.1:%d", poll: 200ms, dead_man: 2s}
dispatch: {every: 1s, strategy: proportional, target: {kw: -20}}
timeline:
  - {at: 2s, command: {device: u, power_kw: 40, duration: 60s}}
  - {at: 3s, command: {device: ess-001, power_kw: 30, duration: 4s, priority: high}}
  - {at: 5s, fault: {kind: clock-step, by: %s, for: 7s}}
score:
  - {metric: data.lost, limit: "== 0"}
  - {metric: guard.violations, limit: "== 0"}
  - {metric: control.jitter_ms, stat: max, limit: "< 2000"}
`, port, tt.by))
			if o := p.run(t, "run", "set.yaml", "--out", "out"); o.code != exitPassed {
				t.Fatalf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
			}
			type line struct {
				T            float64 `json:"t_s"`
				Kind, Device string
				Text         string
				Timestamp    int64
				Power        float64
			}
			var (
				last    float64
				read    = map[string][]line{}
				marks   []float64
				journal = p.read(t, "out/journal.jsonl")
			)
			for text := range strings.Lines(journal) {
				var l line
				decode(t, []byte(text), &l)
				if l.T < last-0.1 || l.T > 13.5 { // an event is of when it was found
					t.Errorf("out of order, after %g s: %s", last, text)
				}
				last = max(last, l.T)
				switch l.Kind {
				case "reading":
					read[l.Device] = append(read[l.Device], l)
				case "fault":
					marks = append(marks, l.T)
				}
			}
			if len(marks) != 2 || math.Abs(marks[0]-5) > 0.5 || math.Abs(marks[1]-12) > 0.5 {
				t.Errorf("the clock is set at %v s", marks)
			}
			for id, grid := range map[string]float64{"u": 0.2, "ess-001": 0.25, "ess-002": 0.25} {
				list, leaps := read[id], int64(0)
				for i := 1; i < len(list); i++ {
					if d := list[i].T - list[i-1].T; d > 1+2*grid {
						t.Errorf("%s: no reading for %.2f s at %g s", id, d, list[i].T)
					}
					switch d := list[i].Timestamp - list[i-1].Timestamp; {
					case d <= 0:
						t.Errorf("%s: a reading goes back by %d ms", id, -d)
					case d > 60_000:
						leaps += d
					}
				}
				if want := int(13 / grid); len(list) < want*9/10 || len(list) > want+5 {
					t.Errorf("%s: %d readings, want about %d", id, len(list), want)
				}
				if d := leaps - tt.leap; d < 0 || d > 2000 {
					t.Errorf("%s: its time leaps by %d ms, want %d", id, leaps, tt.leap)
				}
			}
			kw := func(id string) func(float64) float64 {
				return func(at float64) (kw float64) {
					for _, l := range read[id] {
						if l.T <= at {
							kw = l.Power
						}
					}
					return kw
				}
			}
			if held, free := kw("ess-001")(4.9), kw("ess-001")(tt.released); held != 30 || free == 30 {
				t.Errorf("a hold of 4 s from 3 s on: %g kW at 4.9 s, %g kW at %g s", held, free, tt.released)
			}
			tt.wire(t, kw("u"))
			// Dispatch goes on with those who may act.
			if got := kw("ess-002")(11.5); got >= 0 {
				t.Errorf("dispatch has ended: %g kW", got)
			}
		})
	}
}
