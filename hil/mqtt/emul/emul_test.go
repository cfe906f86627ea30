package emul_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"yunchu/hil/mqtt"
	"yunchu/hil/mqtt/emul"
	"yunchu/hil/unit"
	"yunchu/platform/device"
	"yunchu/platform/device/devicetest"
	"yunchu/twin/params"
)

// These tests wait most of the time: more of them run side by side than there are
// processors.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) { s.mu.Lock(); defer s.mu.Unlock(); return s.b.Write(p) }

func (s *safe) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

// served is a unit behind a broker, and its driver.
type served struct {
	testing.TB
	unit   *unit.Unit
	driver *mqtt.Driver
}

func serve(t testing.TB, a mqtt.Access, change ...func(*mqtt.Options)) *served {
	t.Helper()
	m, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		t.Fatal(err)
	}
	u, err := unit.New(unit.Options{ID: "rig", Model: m, SoC: 50, AmbientC: 25, Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	d, err := emul.New(emul.Options{Unit: u, Access: a, Period: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var over sync.WaitGroup
	over.Go(func() { _ = u.Run(ctx) })
	over.Go(func() {
		if err := d.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); over.Wait() })
	c := mqtt.Options{ID: "rig", Access: a}
	for _, f := range change {
		f(&c)
	}
	driver, err := mqtt.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	s := &served{t, u, driver}
	await(t, "the device reports", func() bool { _, err := driver.Read(t.Context(), time.Now()); return err == nil })
	return s
}

func (s *served) kw() float64 { return s.unit.Truth(time.Now()).ACW / 1000 }

func (s *served) setPower(kw float64, d time.Duration) device.Ack {
	s.Helper()
	now := time.Now()
	a, err := s.driver.Write(s.Context(), now, device.Command{
		Verb: device.SetPower, Power: kw, At: now.UnixMilli(), Duration: d.Milliseconds(), Until: now.Add(d).UnixMilli(),
	})
	if err != nil {
		s.Fatal(err)
	}
	return a
}

func TestPeerMosquitto(t *testing.T) {
	t.Parallel()
	overBroker(t, func(t *testing.T) mqtt.Access { return newBroker(t).access() })
}

// The same over a broker within a program.
func TestEmbeddedBroker(t *testing.T) {
	t.Parallel()
	overBroker(t, embedded)
}

func overBroker(t *testing.T, access func(t *testing.T) mqtt.Access) {
	t.Helper()
	devicetest.RunOnWire(t, func(t *testing.T) (device.Driver, func(time.Duration) time.Time) {
		s := serve(t, access(t))
		return s.driver, func(d time.Duration) time.Time {
			// A reading of before is not one of then: the device reports every 50 ms.
			for end := time.Now().Add(d + 120*time.Millisecond); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				_, _ = s.driver.Read(t.Context(), time.Now()) // keeps the setpoint alive, and is repeated by the test
			}
			return time.Now()
		}
	})
}

func TestPeerMosquittoClients(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	lines := b.sub("device/#")
	d, err := mqtt.New(mqtt.Options{ID: "other", Access: b.access()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	body := func(at time.Time, more string) string {
		return fmt.Sprintf(`{"deviceId":"other","timestamp":%d,"data":{"soc":75.5,"voltage":382.4,"current":125.6,"power":48.1,"temperature":25.3,"status":"charging"}}%s`, at.UnixMilli(), more)
	}
	await(t, "what mosquitto_pub sends is read", func() bool {
		b.pub("device/other/data", body(time.Now(), ""))
		r, err := d.Read(t.Context(), time.Now())
		return err == nil && r.SoC == 75.5 && r.Power == 48.1 && r.Status == device.Charging && math.IsNaN(r.MaxCharge)
	})
	// Rubbish is counted and changes nothing.
	for _, rubbish := range []string{"", "{", `{"deviceId":"x"}`, "[]" + strings.Repeat(" ", 10) + "x", body(time.Now(), "}")} {
		b.pub("device/other/data", rubbish+" ")
	}
	await(t, "rubbish is counted", func() bool { return d.Counts().Malformed == 5 })
	if r, err := d.Read(t.Context(), time.Now()); err != nil || r.SoC != 75.5 {
		t.Errorf("%+v, %v", r, err)
	}
	// An array: the newest counts.
	b.pub("device/other/data", "["+body(time.Now().Add(-time.Second), ",")+strings.Replace(body(time.Now(), ""), "75.5", "66.5", 1)+"]")
	await(t, "the newest of an array", func() bool { r, err := d.Read(t.Context(), time.Now()); return err == nil && r.SoC == 66.5 })
	// Nobody answers.
	now := time.Now()
	_, err = d.Write(t.Context(), now, device.Command{Verb: device.SetPower, Power: 5, Until: now.Add(time.Minute).UnixMilli()})
	if !errors.Is(err, device.ErrOffline) {
		t.Errorf("a command that nobody answers: %v", err)
	}
	seen := func(topic, part string) bool {
		return slices.ContainsFunc(lines(), func(l string) bool { return strings.HasPrefix(l, topic+" ") && strings.Contains(l, part) })
	}
	await(t, "mosquitto_sub sees the command", func() bool {
		return seen("device/other/control", `"command":"setPower","parameters":{"power":5,"duration":6,"priority":"low"}`)
	})
	// What is too old, or of the past by being retained, is not a reading of now.
	b.pub("device/other/data", body(time.Now().Add(-time.Minute), ""), "-r")
	e, err := mqtt.New(mqtt.Options{ID: "other", Access: b.access()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	late, err := mqtt.New(mqtt.Options{ID: "late", Access: b.access()})
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	b.pub("device/late/data", strings.ReplaceAll(body(time.Now().Add(-time.Minute), ""), "other", "late"), "-r")
	time.Sleep(200 * time.Millisecond)
	if r, err := late.Read(t.Context(), time.Now()); !errors.Is(err, device.ErrOffline) {
		t.Errorf("an old reading is taken for one of now: %+v, %v", r, err)
	}
}

func TestPeerDeviceAnswersMosquittoPub(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	lines := b.sub("device/rig/ack")
	s := serve(t, b.access())
	control := func(id, rest string) { b.pub("device/rig/control", `{"deviceId":"rig","commandId":"`+id+`",`+rest+`}`) }
	acked := func(id, status string) {
		t.Helper()
		await(t, id+" is "+status, func() bool {
			return slices.ContainsFunc(lines(), func(l string) bool {
				return strings.Contains(l, `"commandId":"`+id+`"`) && strings.Contains(l, `"status":"`+status+`"`)
			})
		})
	}
	control("a", `"command":"setPower","parameters":{"power":20,"duration":60}`)
	acked("a", "done")
	control("a", `"command":"setPower","parameters":{"power":90,"duration":60}`) // once is once
	control("b", fmt.Sprintf(`"command":"setPower","parameters":{"power":90},"timestamp":%d`, time.Now().Add(-2*time.Minute).UnixMilli()))
	acked("b", "expired")
	control("c", fmt.Sprintf(`"command":"setPower","parameters":{"power":90},"timestamp":%d`, time.Now().Add(time.Minute).UnixMilli()))
	acked("c", "rejected")
	control("d", `"command":"explode"`)
	acked("d", "rejected")
	control("e", `"command":"setPower"`)
	acked("e", "rejected")
	control("f", `"command":"setPower","parameters":{"power":900}`)
	acked("f", "rejected")
	await(t, "20 kW", func() bool { return math.Abs(s.kw()-20) < 0.5 })
	control("g", `"command":"eStop"`)
	acked("g", "done")
	await(t, "0 kW", func() bool { return s.kw() == 0 })
	control("h", `"command":"setPower","parameters":{"power":20}`)
	acked("h", "rejected")
	control("i", `"command":"reset"`)
	acked("i", "done")
	control("j", `"command":"setPower","parameters":{"power":20}`)
	acked("j", "done")
}

// Losing the driver stops the device: it holds a setpoint for the dead-man time only,
// and the driver renews it.
func TestPeerDeadMan(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := serve(t, b.access(), func(c *mqtt.Options) { c.DeadMan = 600 * time.Millisecond })
	if a := s.setPower(30, time.Minute); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, err := s.driver.Read(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if kw := s.kw(); math.Abs(kw-30) > 0.5 {
		t.Errorf("%g kW while it is renewed", kw)
	}
	await(t, "nobody renews it: 0 kW", func() bool { return s.kw() == 0 })
}

// A retained command is of the past whatever it says of itself: neither one that lies on
// the broker when the device comes, nor one that it finds when it comes again.
func TestPeerRetainedCommandIsRefused(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	events, acks := b.sub("device/rig/event"), b.sub("device/rig/ack")
	b.pub("device/rig/control", fmt.Sprintf(`{"deviceId":"rig","commandId":"fresh","command":"setPower","parameters":{"power":90,"duration":3600},"timestamp":%d}`,
		time.Now().UnixMilli()), "-r")
	refusals := func() int { return strings.Count(strings.Join(events(), ""), `"retained-command"`) }
	s := serve(t, b.access())
	await(t, "the first refusal is told", func() bool { return refusals() == 1 })
	end, err := s.unit.Inject(time.Now(), unit.Fault{Kind: "retained-command"})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the second refusal is told", func() bool { return refusals() >= 2 })
	await(t, "the device reports again", func() bool { _, err := s.driver.Read(t.Context(), time.Now()); return err == nil })
	if kw := s.kw(); kw != 0 {
		t.Errorf("%g kW by a retained command", kw)
	}
	// The moment it was planted it came without the mark: then its age gave it away.
	if text := strings.Join(acks(), "\n"); strings.Contains(text, "fresh") || strings.Contains(text, `"done"`) {
		t.Errorf("answers to retained commands: %s", text)
	}
	if a := s.setPower(10, time.Minute); a.Status != device.Done { // others are taken meanwhile
		t.Errorf("%+v", a)
	}
	end(time.Now())
	await(t, "the broker holds it no more", func() bool {
		out, _ := exec.Command(peer(t, "mosquitto_sub"), "-h", "127.0.0.1", "-p", fmt.Sprint(b.port), "-t", "device/rig/control", "-W", "1", "-C", "1").CombinedOutput()
		return !strings.Contains(string(out), "planted")
	})
}

// While the broker is away nothing is read and nothing queued; when it is back the
// device is found again, and what was asked meanwhile does not happen.
func TestPeerBrokerGoesAndComesBack(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := serve(t, b.access(), func(c *mqtt.Options) { c.MaxAge = time.Second })
	program := b.cmd.Path
	b.stop()
	await(t, "it is offline", func() bool {
		_, err := s.driver.Read(t.Context(), time.Now())
		return errors.Is(err, device.ErrOffline)
	})
	now := time.Now()
	if a, err := s.driver.Write(t.Context(), now, device.Command{Verb: device.SetPower, Power: 40, Until: now.Add(time.Minute).UnixMilli()}); !errors.Is(err, device.ErrOffline) {
		t.Errorf("%+v, %v", a, err)
	}
	b.start(program)
	await(t, "it is found again", func() bool { _, err := s.driver.Read(t.Context(), time.Now()); return err == nil })
	time.Sleep(500 * time.Millisecond)
	if kw := s.kw(); kw != 0 {
		t.Errorf("%g kW by a command of before", kw)
	}
	if a := s.setPower(10, time.Minute); a.Status != device.Done {
		t.Errorf("%+v", a)
	}
}

func TestPeerFaultsOfTheLink(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := serve(t, b.access(), func(c *mqtt.Options) { c.MaxAge, c.Timeout = 500*time.Millisecond, 400*time.Millisecond })
	inject := func(f unit.Fault) func() {
		t.Helper()
		end, err := s.unit.Inject(time.Now(), f)
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			end(time.Now())
			await(t, f.Kind+" is over", func() bool { _, err := s.driver.Read(t.Context(), time.Now()); return err == nil })
		}
	}
	for _, kind := range []string{"pause", "link-down"} {
		end := inject(unit.Fault{Kind: kind})
		begun := time.Now()
		await(t, kind+" makes it offline", func() bool {
			_, err := s.driver.Read(t.Context(), time.Now())
			return errors.Is(err, device.ErrOffline)
		})
		if took := time.Since(begun); kind == "link-down" && took > 400*time.Millisecond {
			t.Errorf("its last will took %v to make it offline", took)
		}
		end()
	}
	end := inject(unit.Fault{Kind: "late-answer", By: 700 * time.Millisecond})
	now := time.Now()
	if a, err := s.driver.Write(t.Context(), now, device.Command{Verb: device.SetPower, Power: 7, Until: now.Add(time.Minute).UnixMilli()}); !errors.Is(err, device.ErrOffline) {
		t.Errorf("a late answer is taken: %+v, %v", a, err)
	}
	end()
	await(t, "the late answer has come", func() bool { return s.driver.Counts().Unasked > 0 })
	if a := s.setPower(9, time.Minute); a.Status != device.Done || a.Power != 9 { // and is not taken for this one's
		t.Errorf("%+v", a)
	}
	end = inject(unit.Fault{Kind: "not-implemented"})
	await(t, "what is not implemented is not reported", func() bool {
		r, err := s.driver.Read(t.Context(), time.Now())
		return err == nil && math.IsNaN(r.SoC) && math.IsNaN(r.Power)
	})
	end()
}

// A command that reaches a device only when its process goes on is over by then.
func TestPeerPausedDeviceTakesNoOldCommand(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	acks := b.sub("device/rig/ack")
	s := serve(t, b.access(), func(c *mqtt.Options) { c.Timeout, c.DeadMan = 300*time.Millisecond, 300*time.Millisecond })
	end, err := s.unit.Inject(time.Now(), unit.Fault{Kind: "pause"})
	if err != nil {
		t.Fatal(err)
	}
	setPower(t, s.driver, 40, wantOffline)
	end(time.Now())
	await(t, "it answers", func() bool { return strings.Contains(strings.Join(acks(), ""), `"expired"`) })
	if kw := s.kw(); kw != 0 {
		t.Errorf("%g kW by a command that was over", kw)
	}
}

func TestPeerSecondMaster(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		act  func(*served, *mosquitto)
	}{
		{"on the broker", func(_ *served, b *mosquitto) {
			b.pub("device/rig/control", `{"deviceId":"rig","commandId":"theirs","command":"setPower","parameters":{"power":-20,"duration":60}}`)
		}},
		{"at the device", func(s *served, _ *mosquitto) {
			if _, err := s.unit.Inject(time.Now(), unit.Fault{Kind: "second-master", KW: -20}); err != nil {
				s.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t)
			s := serve(t, b.access(), func(c *mqtt.Options) { c.DeadMan = 600 * time.Millisecond })
			if a := s.setPower(30, time.Minute); a.Status != device.Done {
				t.Fatalf("%+v", a)
			}
			await(t, "30 kW", func() bool { return math.Abs(s.kw()-30) < 0.5 && power(t, s.driver) == 30 })
			tt.act(s, b)
			await(t, "it is told", func() bool {
				r, err := s.driver.Read(t.Context(), time.Now())
				return err == nil && r.Flags == device.FlagMaster
			})
			heard := connect(t, b.access()).hear("rig")
			for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				power(t, s.driver)
			}
			if got := heard(); len(got) != 0 {
				t.Errorf("the setpoint is fought for: %+v", got)
			}
			if a := s.setPower(10, time.Minute); a.Status != device.Done { // who takes it back has it
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestPeerPanelOfTheDevice(t *testing.T) {
	t.Parallel()
	s := serve(t, newBroker(t).access())
	flags := func(want device.Flags) {
		t.Helper()
		await(t, fmt.Sprintf("flags %v", want), func() bool { r, err := s.driver.Read(t.Context(), time.Now()); return err == nil && r.Flags == want })
	}
	for _, tt := range []struct {
		kind string
		flag device.Flags
	}{{"local", device.FlagLocal}, {"e-stop", device.FlagEStop}} {
		if a := s.setPower(30, time.Minute); a.Status != device.Done {
			t.Fatalf("%+v", a)
		}
		end, err := s.unit.Inject(time.Now(), unit.Fault{Kind: tt.kind})
		if err != nil {
			t.Fatal(err)
		}
		flags(tt.flag)
		if a := s.setPower(10, time.Minute); a.Status != device.Rejected || a.Code == "" || a.Code == "REJECTED" {
			t.Errorf("%s: %+v", tt.kind, a)
		}
		end(time.Now())
		if tt.kind == "e-stop" {
			if a, err := s.driver.Write(t.Context(), time.Now(), command(device.Reset, 0)); err != nil || a.Status != device.Done {
				t.Errorf("%+v, %v", a, err)
			}
		}
		flags(0)
	}
	await(t, "no power comes back by itself", func() bool { return power(t, s.driver) == 0 })
}

// A broker that stands still is waited for no longer than for a device.
func TestPeerBrokerStandsStill(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := serve(t, b.access(), func(c *mqtt.Options) { c.Timeout, c.MaxAge = 300*time.Millisecond, time.Second })
	if a := s.setPower(20, time.Minute); a.Status != device.Done {
		t.Fatalf("%+v", a)
	}
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	setPower(t, s.driver, 40, wantOffline)
	await(t, "it is offline", func() bool {
		begun := time.Now()
		_, err := s.driver.Read(t.Context(), begun)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("reading took %v", took)
		}
		return errors.Is(err, device.ErrOffline)
	})
	begun := time.Now()
	if err := s.driver.Close(); err != nil || time.Since(begun) > 3*time.Second {
		t.Errorf("closing took %v, %v", time.Since(begun), err)
	}
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// A subscription that the broker refuses is told as that, and not as a silent device.
func TestPeerBrokerRefusesSubscriptions(t *testing.T) {
	t.Parallel()
	p := newBroker(t).behindProxy()
	p.forbids.Store(true)
	d, err := mqtt.New(mqtt.Options{ID: "rig", Access: p.access(), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	await(t, "it is told", func() bool {
		_, err := d.Read(t.Context(), time.Now())
		return errors.Is(err, device.ErrOffline) && strings.Contains(err.Error(), "refuses to tell of device/rig/data")
	})
	setPower(t, d, 1, func(t testing.TB, a device.Ack, err error) {
		t.Helper()
		wantOffline(t, a, err)
		if !strings.Contains(fmt.Sprint(err), "refuses to tell of device/rig/ack") {
			t.Error(err)
		}
	})
}

func TestPeerMosquittoWithTLSAndPassword(t *testing.T) {
	t.Parallel()
	ca, cert, key := certificates(t)
	passwords := filepath.Join(t.TempDir(), "passwords")
	if out, err := exec.Command(peer(t, "mosquitto_passwd"), "-c", "-b", passwords, "rig", "secret-of-rig").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b := newBroker(t, "certfile "+cert, "keyfile "+key, "allow_anonymous false", "password_file "+passwords)
	a := mqtt.Access{Address: fmt.Sprintf("mqtts://127.0.0.1:%d", b.port), CA: ca, User: "rig", Password: "secret-of-rig"}
	s := serve(t, a)
	if ack := s.setPower(10, time.Minute); ack.Status != device.Done {
		t.Errorf("%+v", ack)
	}
	for name, bad := range map[string]func(*mqtt.Access){
		"wrong password":                      func(a *mqtt.Access) { a.Password = "guessed" },
		"no password":                         func(a *mqtt.Access) { a.User, a.Password = "", "" },
		"unknown authority":                   func(a *mqtt.Access) { a.CA = "" },
		"another name than its certificate's": func(a *mqtt.Access) { a.Address = strings.Replace(a.Address, "127.0.0.1", "localhost", 1) },
		"plain where it is not":               func(a *mqtt.Access) { a.Address, a.CA = strings.Replace(a.Address, "mqtts", "mqtt", 1), "" },
	} {
		x := a
		bad(&x)
		d, err := mqtt.New(mqtt.Options{ID: "rig", Access: x})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		if r, err := d.Read(t.Context(), time.Now()); !errors.Is(err, device.ErrOffline) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		_ = d.Close()
	}
	if _, err := mqtt.New(mqtt.Options{ID: "rig", Access: mqtt.Access{Address: a.Address, CA: filepath.Join(t.TempDir(), "none")}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// A broker that asks for certificates takes no device without one.
func TestPeerMosquittoWithClientCertificates(t *testing.T) {
	t.Parallel()
	ca, cert, key := certificates(t)
	b := newBroker(t, "cafile "+ca, "certfile "+cert, "keyfile "+key, "require_certificate true", "allow_anonymous true")
	a := mqtt.Access{Address: fmt.Sprintf("mqtts://127.0.0.1:%d", b.port), CA: ca}
	d, err := mqtt.New(mqtt.Options{ID: "rig", Access: a})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a.Cert, a.Key = cert, key
	s := serve(t, a)
	if ack := s.setPower(10, time.Minute); ack.Status != device.Done {
		t.Errorf("%+v", ack)
	}
	if !away(t, d) {
		t.Error("the broker takes one without a certificate")
	}
}
