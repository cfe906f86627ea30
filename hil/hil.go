package hil

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"yunchu/hil/record"
	"yunchu/platform/device"
)

// Link is one wire to a device. What does not belong to its kind is ignored.
type Link struct {
	Kind            string        `json:"kind"`              // modbus, sunspec, can, mqtt
	Address         string        `json:"address,omitempty"` // tcp://host:port and so on
	Unit            int           `json:"unit,omitempty"`
	Profile         string        `json:"profile,omitempty"` // by shipped name or path
	DBC             string        `json:"dbc,omitempty"`     // likewise
	Timeout         time.Duration `json:"timeout,omitempty"` // 0: the protocol's default
	DeadMan         time.Duration `json:"deadMan,omitempty"` // 0: 6 s
	Base            int           `json:"base"`              // of SunSpec; -1: look for it
	BatteryPositive string        `json:"batteryPositive,omitempty"`

	Cert, Key, CA  string `json:"-"` // paths, PEM
	User, Password string `json:"-"`
}

// Device is what a driver is opened for: one link, or parts by name (pcs, bms, meter).
type Device struct {
	ID       device.ID       `json:"id"`
	Link     Link            `json:"link"`
	Parts    map[string]Link `json:"parts,omitempty"`
	RatedKW  float64         `json:"ratedKw,omitempty"`
	RatedKWh float64         `json:"ratedKwh,omitempty"`
	Limits   device.Limits   `json:"limits,omitzero"` // of the configuration
	// ArmWithoutSoC: it may be armed although it does not report its state of charge.
	ArmWithoutSoC bool `json:"armWithoutSoc,omitempty"`
	// Recording is the path of a recording that the device is answered from, whatever
	// Link says. Replayed is that recording where it is read already, and Started the
	// instant at which it begins again; zero: when it is opened.
	Recording string            `json:"-"`
	Replayed  *record.Recording `json:"-"`
	Started   time.Time         `json:"-"`

	Log *slog.Logger `json:"-"`
	// Tap, when set, gives each link what is told of all that crosses it; the link's
	// name is a part's, or empty.
	Tap   func(link string) device.Tap `json:"-"`
	Timed device.Timed                 `json:"-"`
}

// Kind is what the registry calls the device.
func (d *Device) Kind() string {
	switch {
	case d.Recording != "":
		return "replay"
	case len(d.Parts) > 0:
		return "parts"
	}
	return d.Link.Kind
}

// links are all of the device's.
func (d *Device) links() map[string]Link {
	if len(d.Parts) > 0 {
		return d.Parts
	}
	return map[string]Link{"": d.Link}
}

// Loopback reports whether all of a device's links end on this machine, at an
// emulator: on a loopback address, or at a pseudo-terminal. A broker, or a daemon for a bus,
// is here and says nothing of where the device behind it is.
func (d *Device) Loopback() bool {
	for _, l := range d.links() {
		if !loopback(l.Address) {
			return false
		}
	}
	return true
}

func loopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "rtu", "slcan":
		if _, _, err := net.SplitHostPort(u.Host); err != nil { // a device file
			return pseudoTerminal(u.Host + u.Path)
		}
	case "socketcan", "socketcand", "mqtt", "mqtts":
		return false
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (d *Device) tap(link string) device.Tap {
	if d.Tap == nil {
		return nil
	}
	return d.Tap(link)
}

// Info is what is known of the device before it is asked.
func (d *Device) Info() device.Info {
	return device.Info{
		ID: d.ID, Kind: d.Kind(), State: device.Inactive, DeviceType: "battery-storage", RatedKW: d.RatedKW, CapacityKWh: d.RatedKWh,
		Limits: d.Limits, ArmWithoutSoC: d.ArmWithoutSoC,
	}
}

// Record begins a recording of the device, of which info is known, at path: its Tap is
// what Tap is set to.
func (d *Device) Record(path string, started time.Time, info device.Info) (*record.Writer, error) {
	h, err := d.Head(info)
	if err != nil {
		return nil, err
	}
	h.Started = started
	return record.Create(path, h, 0)
}

// Head is that of a recording of the device, of which info is known.
func (d *Device) Head(info device.Info) (record.Head, error) {
	spec, err := json.Marshal(d)
	if err != nil {
		return record.Head{}, fmt.Errorf("record %s: %w", d.ID, err)
	}
	return record.Head{ID: d.ID, Info: info, Device: spec}, nil
}

// Open returns the driver of a device. The device need not be there: a driver
// connects when it is read first. An error means that what is asked for is wrong.
func Open(d Device) (device.Driver, error) {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Recording != "" {
		return openReplay(d)
	}
	if len(d.Parts) == 0 {
		return openLink(&d, "", d.Link)
	}
	p := &Parts{}
	for name, l := range d.Parts {
		to, ok := map[string]*device.Driver{"pcs": &p.PCS, "bms": &p.BMS, "meter": &p.Meter}[name]
		if !ok {
			return nil, fmt.Errorf("device %s has a part %q: known are pcs, bms, meter", d.ID, name)
		}
		x, err := openLink(&d, name, l)
		if err != nil {
			return nil, fmt.Errorf("part %s: %w", name, err)
		}
		*to = x
	}
	return p, nil
}
