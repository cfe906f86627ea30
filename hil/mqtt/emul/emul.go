// Package emul is a device behind a broker, with a twin for its battery: it publishes
// what it measures and obeys commands, once each, unless they are retained or old.
package emul

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"yunchu/hil/mqtt"
	"yunchu/hil/unit"
	"yunchu/platform/device"
)

// Options say which unit is served where.
type Options struct {
	Unit   *unit.Unit
	Access mqtt.Access
	Period time.Duration // between readings; 0: 500 ms
	Log    *slog.Logger
}

// Device is one served unit. It is made by New and runs in Serve.
type Device struct {
	opt    Options
	id     device.ID
	client paho.Client

	mu      sync.Mutex
	done    map[string]mqtt.Ack // by commandId
	order   []string
	was     device.Status
	events  int
	mode    device.Mode
	planted bool // the retained command of a fault is on the broker
}

// Bounds of commands that a device takes, as for every other one.
const (
	maxAge   = 60 * time.Second
	maxAhead = 5 * time.Second
	outcomes = 4096
)

// New returns a device that serves nobody yet.
func New(o Options) (*Device, error) {
	o.Period = cmp.Or(o.Period, 500*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Device{opt: o, id: device.ID(o.Unit.ID()), done: map[string]mqtt.Ack{}}
	c, err := mqtt.Options(o.Access)
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", d.id, err)
	}
	c.SetOnConnectHandler(func(c paho.Client) { c.Subscribe(mqtt.Topic(d.id, "control"), 1, d.control) })
	will, err := json.Marshal(d.event("offline", "warning", "the connection was lost"))
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", d.id, err)
	}
	c.SetBinaryWill(mqtt.Topic(d.id, "event"), will, 1, false)
	d.client = paho.NewClient(c)
	return d, nil
}

// Serve publishes and obeys until ctx ends.
func (d *Device) Serve(ctx context.Context) error {
	d.client.Connect()
	defer d.client.Disconnect(100)
	t := time.NewTicker(d.opt.Period)
	defer t.Stop()
	for {
		d.publish()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// publish sends what the instruments show, and what has changed.
func (d *Device) publish() {
	v := d.opt.Unit.View(time.Now())
	d.plant(v.Wire.Retained)
	if v.Wire.Down || v.Wire.Paused {
		return
	}
	r := Reading(&v, d.modeNow())
	values := mqtt.ValuesOf(&r)
	if v.Wire.NotImplemented {
		values = mqtt.Values{Status: values.Status}
	}
	d.send("data", mqtt.Data{DeviceID: d.id, Timestamp: v.At.UnixMilli(), Data: values}, v.Wire.Late)
	d.mu.Lock()
	was := d.was
	d.was = r.Status
	d.mu.Unlock()
	if r.Status == device.Fault && was != device.Fault {
		what := "fault"
		if v.EStop {
			what = "e-stop"
		}
		d.send("event", d.event(what, "critical", "the unit has stopped"), v.Wire.Late)
	}
}

func (d *Device) modeNow() device.Mode {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mode
}

// Reading is what a unit shows, in the words and units of devices.
func Reading(v *unit.View, m device.Mode) device.Reading {
	r := device.Empty()
	round := func(x, steps float64) float64 { return math.Round(x*steps) / steps }
	r.SoC, r.SoH = round(v.SoC, 100), round(v.SoH, 100)
	r.Voltage, r.Current = round(v.DCV, 10), round(v.DCA, 10)
	r.Power, r.Temperature = round(v.ACW/1000, 1000), round(v.TempMaxC, 100)
	switch {
	case v.Fault:
		r.Status = device.Fault
	case m == device.MaintenanceMode:
		r.Status = device.Maintenance
	case v.Standby || !v.Started || !v.Connected:
		r.Status = device.Standby
	case r.Power > 0:
		r.Status = device.Charging
	case r.Power < 0:
		r.Status = device.Discharging
	default:
		r.Status = device.Idle
	}
	return r
}

func (d *Device) event(what, severity, text string) mqtt.Event {
	d.mu.Lock()
	d.events++
	n := d.events
	d.mu.Unlock()
	now := time.Now().UnixMilli()
	return mqtt.Event{
		EventID: fmt.Sprintf("%s-%d-%d", what, now, n), DeviceID: d.id, EventType: what, Severity: severity, Description: text, Timestamp: now,
	}
}

// send publishes now, or late where that is broken.
func (d *Device) send(what string, v any, late time.Duration) {
	body, err := json.Marshal(v)
	if err != nil {
		d.opt.Log.Error("message not sent", "device", d.id, "error", err)
		return
	}
	if !d.client.IsConnectionOpen() {
		return
	}
	if late > 0 {
		time.AfterFunc(late, func() { d.client.Publish(mqtt.Topic(d.id, what), 1, false, body) })
		return
	}
	d.client.Publish(mqtt.Topic(d.id, what), 1, false, body)
}

// control obeys one command. It runs on the library's goroutine.
func (d *Device) control(_ paho.Client, m paho.Message) {
	now := time.Now()
	v := d.opt.Unit.View(now)
	if v.Wire.Down || v.Wire.Paused {
		return
	}
	if m.Retained() {
		d.send("event", d.event("retained-command", "warning", "a retained command was refused: it is of the past"), 0)
		return
	}
	c, err := mqtt.ParseControl(d.id, m.Payload())
	if err != nil {
		d.send("event", d.event("malformed-command", "warning", err.Error()), 0)
		return
	}
	d.mu.Lock()
	a, known := d.done[c.CommandID]
	d.mu.Unlock()
	if !known {
		a = d.obey(now, &c)
		d.remember(a)
	}
	d.send("ack", a, v.Wire.Late)
}

func (d *Device) remember(a mqtt.Ack) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.order) >= outcomes {
		delete(d.done, d.order[0])
		d.order = d.order[1:]
	}
	d.done[a.CommandID] = a
	d.order = append(d.order, a.CommandID)
}

func (d *Device) obey(now time.Time, c *mqtt.Control) mqtt.Ack {
	a := mqtt.Ack{DeviceID: d.id, CommandID: c.CommandID, Status: "done", Timestamp: now.UnixMilli()}
	refuse := func(status, reason string) mqtt.Ack {
		a.Status, a.Reason = status, reason
		return a
	}
	if c.Timestamp != 0 {
		switch age := now.Sub(device.Time(c.Timestamp)); {
		case age > maxAge:
			return refuse("expired", fmt.Sprintf("issued %.0f s ago", age.Seconds()))
		case age < -maxAhead:
			return refuse("rejected", "issued in the future")
		}
	}
	verb, ok := device.ParseVerb(c.Command)
	if !ok {
		return refuse("rejected", "there is no command "+c.Command)
	}
	if err := d.do(now, verb, &c.Parameters); err != nil {
		return refuse("rejected", err.Error())
	}
	return a
}

var errParameter = errors.New("a parameter is missing or makes no sense")

func (d *Device) do(now time.Time, verb device.Verb, p *mqtt.Parameters) error {
	u := d.opt.Unit
	switch verb {
	case device.SetPower:
		if p.Power == nil || p.Duration != nil && !(*p.Duration > 0 && *p.Duration <= 7*24*3600) {
			return errParameter
		}
		seconds := 60.0
		if p.Duration != nil {
			seconds = *p.Duration
		}
		if v := u.View(now); v.Standby || v.Fault {
			return fmt.Errorf("the unit takes no setpoint: standby %v, fault %v", v.Standby, v.Fault)
		}
		return u.SetPower(now, "mqtt", *p.Power*1000, time.Duration(seconds*float64(time.Second)))
	case device.Stop, device.Release:
		return u.Clear(now)
	case device.SetMode:
		m, ok := device.ParseMode(p.Mode)
		if !ok {
			return errParameter
		}
		op := unit.OpLeaveStandby
		if m != device.Run {
			op = unit.OpStandby
		}
		d.mu.Lock()
		d.mode = m
		d.mu.Unlock()
		return u.Operate(now, op)
	case device.EStop:
		u.EStop(now)
		return nil
	case device.Reset:
		if err := u.Acknowledge(now); err != nil {
			return err
		}
		return u.Operate(now, unit.OpStart)
	}
	return device.ErrUnsupported
}

// stale is how old the retained command of a fault is: such a message may lie on a
// broker for ever.
const stale = 24 * time.Hour

// plant lays a retained old command on the broker, or takes it away: the hand of a
// test, which the device must not obey.
func (d *Device) plant(on bool) {
	d.mu.Lock()
	change := on != d.planted
	d.mu.Unlock()
	if !change || !d.client.IsConnectionOpen() {
		return
	}
	var body []byte // an empty one takes it away
	if on {
		kw, s := d.opt.Unit.Model().RatedKW, 3600.0
		b, err := json.Marshal(mqtt.Control{
			DeviceID: d.id, CommandID: "planted", Command: device.SetPower.String(),
			Parameters: mqtt.Parameters{Power: &kw, Duration: &s}, Timestamp: time.Now().Add(-stale).UnixMilli(),
		})
		if err != nil {
			d.opt.Log.Error("command not planted", "device", d.id, "error", err)
			return
		}
		body = b
	}
	topic := mqtt.Topic(d.id, "control")
	d.client.Publish(topic, 1, true, body)
	d.client.Subscribe(topic, 1, d.control) // subscribed anew, it is delivered as retained
	d.mu.Lock()
	d.planted = on
	d.mu.Unlock()
}
