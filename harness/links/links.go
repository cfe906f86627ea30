// Package links turns a device on a wire, as files name it, into a driver.
package links

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"yunchu/harness/scenario"
	"yunchu/hil"
	"yunchu/platform/device"
)

// Of is what hil needs to open the device.
func Of(d *scenario.Device, log *slog.Logger) (hil.Device, error) {
	out := hil.Device{
		ID: device.ID(d.ID), RatedKW: d.RatedKW, RatedKWh: d.RatedKWh, Limits: d.Acting(), ArmWithoutSoC: d.ArmWithoutSoC, Log: log,
	}
	if d.Kind == scenario.Replay {
		out.Recording = d.Recording
		return out, nil
	}
	if d.Parts == nil {
		l, err := link(d.Kind, &d.Link)
		out.Link = l
		return out, err
	}
	out.Parts = map[string]hil.Link{}
	for name, p := range map[string]*scenario.Part{"pcs": d.Parts.PCS, "bms": d.Parts.BMS, "meter": d.Parts.Meter} {
		if p == nil {
			continue
		}
		l, err := link(p.Kind, &p.Link)
		if err != nil {
			return out, fmt.Errorf("part %s: %w", name, err)
		}
		out.Parts[name] = l
	}
	return out, nil
}

func link(kind string, l *scenario.Link) (hil.Link, error) {
	out := hil.Link{
		Kind: kind, Address: l.Address, Unit: l.Unit, Profile: l.Profile, DBC: l.DBC, Timeout: l.Timeout, DeadMan: l.DeadMan,
		Base: l.Base, BatteryPositive: l.Battery, Cert: l.Cert, Key: l.Key, CA: l.CA, User: l.User,
	}
	if l.Secret == "" {
		return out, nil
	}
	secret, err := os.ReadFile(l.Secret)
	if err != nil {
		return out, fmt.Errorf("password of %s: %w", l.Address, err)
	}
	out.Password = strings.TrimSpace(string(secret))
	return out, nil
}

// ErrNotThere: the device does not answer.
var ErrNotThere = errors.New("the rig is not there")

// Await reads the device until it answers, at most for the time given, and asks it for
// its nameplate. ErrNotThere when it does not.
func Await(ctx context.Context, d device.Driver, within time.Duration) (device.Reading, device.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		r, err := d.Read(ctx, time.Now())
		if err == nil {
			info, err := describe(ctx, d)
			if err == nil {
				return r, info, nil
			}
		}
		select {
		case <-ctx.Done():
			return device.Reading{}, device.Info{}, fmt.Errorf("%w: no answer within %v: %w", ErrNotThere, within, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func describe(ctx context.Context, d device.Driver) (device.Info, error) {
	if x, ok := d.(device.Described); ok {
		return x.Describe(ctx, time.Now())
	}
	return device.Info{}, nil
}

// Fill adds to a device's information what its nameplate says and nobody else did.
func Fill(i *device.Info, said device.Info) {
	if i.Manufacturer == "" {
		i.Manufacturer = said.Manufacturer
	}
	if i.Model == "" {
		i.Model = said.Model
	}
	for _, f := range []struct {
		to   *float64
		from float64
	}{
		{&i.RatedKW, said.RatedKW},
		{&i.CapacityKWh, said.CapacityKWh},
		{&i.SoCMin, said.SoCMin},
		{&i.SoCMax, said.SoCMax},
		{&i.VoltMin, said.VoltMin},
		{&i.VoltMax, said.VoltMax},
	} {
		if *f.to == 0 {
			*f.to = f.from
		}
	}
}
