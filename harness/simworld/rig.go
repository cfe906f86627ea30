//go:build !nosim

package simworld

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"yunchu/harness/backend"
	"yunchu/harness/run"
	"yunchu/harness/scenario"
	"yunchu/hil/can"
	canemul "yunchu/hil/can/emul"
	"yunchu/hil/modbus"
	modbusemul "yunchu/hil/modbus/emul"
	"yunchu/hil/mqtt"
	mqttemul "yunchu/hil/mqtt/emul"
	sunspecemul "yunchu/hil/sunspec/emul"
	"yunchu/hil/unit"
	"yunchu/twin/params"
)

// Rig is the twins of a rig file, served on wires.
type Rig struct {
	units map[string]*unit.Unit
	faces []face
	lines []string // what is served where
	back  net.Listener
	log   *slog.Logger
}

// face is one server.
type face interface {
	Serve(ctx context.Context) error
}

var _ run.Rig = (*Rig)(nil)

// OpenRig builds the twins of a rig and opens all that they are served on, so that
// whoever asks next finds them.
func OpenRig(r *scenario.Rig, log *slog.Logger) (run.Rig, error) {
	rig := &Rig{units: map[string]*unit.Unit{}, log: log}
	start := time.Now()
	registers := map[string]*modbusemul.Options{} // by address: units share a server
	var addresses []string
	serve := func(address string, unitNo int, pem scenario.PEM, bank modbusemul.Bank, u *unit.Unit) {
		o, ok := registers[address]
		if !ok {
			o = &modbusemul.Options{
				Address: address, Units: map[byte]modbusemul.Served{}, Cert: pem.Cert, Key: pem.Key, CA: pem.CA, Log: log,
			}
			registers[address] = o
			addresses = append(addresses, address)
		}
		o.Units[byte(unitNo)] = modbusemul.Served{Bank: bank, Wire: func() unit.Wire { return u.Wire() }}
	}
	for i := range r.Devices {
		d := &r.Devices[i]
		if d.Serve == nil {
			continue
		}
		u, err := newUnit(d, start)
		if err != nil {
			return nil, err
		}
		rig.units[d.ID] = u
		if err := rig.open(d, u, serve); err != nil {
			return nil, errors.Join(fmt.Errorf("serve %s: %w", d.ID, err), rig.close())
		}
	}
	for _, a := range addresses {
		s, err := modbusemul.Listen(*registers[a])
		if err != nil {
			return nil, errors.Join(err, rig.close())
		}
		rig.faces = append(rig.faces, s)
	}
	if r.Backend != nil {
		l, err := backend.Listen(r.Backend.Address)
		if err != nil {
			return nil, errors.Join(err, rig.close())
		}
		rig.back = l
		rig.lines = append(rig.lines, "backend of tests at tcp://"+l.Addr().String())
	}
	return rig, nil
}

func newUnit(d *scenario.RigDevice, start time.Time) (*unit.Unit, error) {
	model, err := params.LoadModel(d.Model)
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", d.ID, err)
	}
	o := unit.Options{ID: d.ID, Model: model, SoC: d.SoC.Mean, Seed: 1, AmbientC: 25, Start: start, Watchdog: d.Watchdog, Ramp: d.Ramp / 100}
	if d.AmbientC != nil {
		o.AmbientC = *d.AmbientC
	}
	if f := d.Response; f != nil {
		o.Response = &unit.Response{DeadbandHz: f.DeadbandHz, DroopPercent: f.DroopPercent, LimitPercent: f.LimitPercent}
	}
	return unit.New(o)
}

// open opens the faces of one device.
func (r *Rig) open(d *scenario.RigDevice, u *unit.Unit, serve func(string, int, scenario.PEM, modbusemul.Bank, *unit.Unit)) error {
	v := d.Serve
	note := func(what, address string) {
		r.lines = append(r.lines, fmt.Sprintf("%s: %s at %s", d.ID, what, address))
	}
	if f := v.SunSpec; f != nil {
		b, err := sunspecemul.New(sunspecemul.Options{Unit: u, Base: f.Base, Log: r.log})
		if err != nil {
			return err
		}
		serve(f.Address, f.Unit, f.PEM, b, u)
		note(fmt.Sprintf("SunSpec, unit %d", f.Unit), f.Address)
	}
	registers := func(what, address string, unitNo int, pem scenario.PEM, profile string) error {
		p, err := modbus.LoadProfile(profile)
		if err != nil {
			return err
		}
		b, err := modbusemul.NewDevice(modbusemul.DeviceOptions{Unit: u, Profile: p, Log: r.log})
		if err != nil {
			return err
		}
		serve(address, unitNo, pem, b, u)
		note(fmt.Sprintf("%s %s, unit %d", what, profile, unitNo), address)
		return nil
	}
	if f := v.Modbus; f != nil {
		if err := registers("Modbus", f.Address, f.Unit, f.PEM, f.Profile); err != nil {
			return err
		}
	}
	if f := v.RTU; f != nil {
		address := f.Address
		if !strings.Contains(address, "baud=") {
			address += fmt.Sprintf("?baud=%d", f.Baud)
		}
		if err := registers("Modbus RTU", address, f.Unit, scenario.PEM{}, f.Profile); err != nil {
			return err
		}
	}
	if f := v.CAN; f != nil {
		p, err := can.LoadProfile(f.DBC)
		if err != nil {
			return err
		}
		e, err := canemul.New(canemul.Options{Unit: u, Profile: p, Address: f.Address, Log: r.log})
		if err != nil {
			return err
		}
		r.faces = append(r.faces, e)
		note("CAN "+f.DBC, f.Address)
	}
	if f := v.MQTT; f != nil {
		access := mqtt.Access{Address: f.Address, User: f.User, Cert: f.Cert, Key: f.Key, CA: f.CA}
		if f.Secret != "" {
			secret, err := os.ReadFile(f.Secret)
			if err != nil {
				return fmt.Errorf("password of %s: %w", d.ID, err)
			}
			access.Password = strings.TrimSpace(string(secret))
		}
		e, err := mqttemul.New(mqttemul.Options{Unit: u, Access: access, Log: r.log})
		if err != nil {
			return err
		}
		r.faces = append(r.faces, e)
		note("MQTT", f.Address)
	}
	if v.MMS != nil {
		return errors.New("IEC 61850 is not served by this version")
	}
	return nil
}

// Lines say what is served where, for people.
func (r *Rig) Lines() []string { return r.lines }

// close gives up what was opened and is not to be served.
func (r *Rig) close() error {
	var errs []error
	for _, f := range r.faces {
		if c, ok := f.(interface{ Close() error }); ok {
			errs = append(errs, c.Close())
		}
	}
	if r.back != nil {
		errs = append(errs, r.back.Close())
	}
	return errors.Join(errs...)
}

// Serve implements run.Rig.
func (r *Rig) Serve(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		over sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	serve := func(what func(context.Context) error) {
		over.Go(func() {
			if err := what(ctx); err != nil && !errors.Is(err, context.Canceled) {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				stop()
			}
		})
	}
	for _, u := range r.units {
		serve(u.Run)
	}
	for _, f := range r.faces {
		serve(f.Serve)
	}
	if r.back != nil {
		s := &http.Server{Handler: backend.Handler(r), ReadHeaderTimeout: 5 * time.Second}
		serve(func(context.Context) error {
			if err := s.Serve(r.back); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		over.Go(func() { <-ctx.Done(); _ = s.Close() }) // nobody waits for a test's last answer
	}
	over.Wait()
	return errors.Join(errs...)
}

func (r *Rig) unit(id string) (*unit.Unit, error) {
	if u, ok := r.units[id]; ok {
		return u, nil
	}
	return nil, fmt.Errorf("device %q of the rig: %w", id, backend.ErrUnknown)
}

// Inject implements backend.Face.
func (r *Rig) Inject(_ context.Context, device string, f backend.Fault) (func(context.Context) error, error) {
	u, err := r.unit(device)
	if err != nil {
		return nil, err
	}
	end, err := u.Inject(time.Now(), unit.Fault{Kind: f.Kind, By: f.By, Code: byte(f.Code), ToC: f.ToC, KW: f.KW})
	if errors.Is(err, unit.ErrUnable) {
		return nil, fmt.Errorf("%w: %w", backend.ErrUnknown, err)
	}
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { end(time.Now()); return nil }, nil
}

// Grid implements backend.Face.
func (r *Rig) Grid(_ context.Context, device string, hz, voltage float64) error {
	u, err := r.unit(device)
	if err != nil {
		return err
	}
	return u.Grid(time.Now(), hz, voltage/100)
}

// Truth implements backend.Face.
func (r *Rig) Truth(_ context.Context, device string) (backend.Truth, error) {
	u, err := r.unit(device)
	if err != nil {
		return backend.Truth{}, err
	}
	v := u.Truth(time.Now())
	t := backend.Truth{
		At: v.At, PowerKW: v.ACW / 1000, ReactiveKvar: v.ACVar / 1000, Hz: v.Hz, Voltage: 100 * v.LineV / unit.NominalV,
		DCVolt: v.DCV, DCAmp: v.DCA, SoC: v.SoC, SoH: v.SoH, TempC: v.TempMaxC, InKWh: v.InWh / 1000, OutKWh: v.OutWh / 1000,
		Contactors: v.Contactors, Tripped: v.Tripped || v.EStop,
	}
	if v.SetActive {
		t.SetKW = v.SetW / 1000
	}
	return t, nil
}

// Share is the part of its rated power that a device has now, without a sign.
func (r *Rig) Share(device string) (float64, error) {
	u, err := r.unit(device)
	if err != nil {
		return 0, err
	}
	return math.Abs(u.Truth(time.Now()).ACW) / (u.Model().RatedKW * 1000), nil
}

// Faults implements backend.Face.
func (r *Rig) Faults(context.Context) ([]string, error) { return slices.Clone(unit.Kinds()), nil }
