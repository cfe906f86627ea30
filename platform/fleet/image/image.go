// Package image is the process image of a plant as a value: for every device its
// last readings, their age and quality, its life cycle, and what it has been
// told. Decisions are made on it and on nothing else.
package image

import (
	"time"

	"yunchu/platform/device"
)

// Device is all that decisions may know of one device.
type Device struct {
	Info device.Info
	Last device.Reading // newest by its own time, of any quality; At 0 when none
	Good device.Reading // newest good one; At 0 when none
	Told Told
	// Mode is what the device was last put into, and ModeSeq the sequence in
	// log.control of the acknowledgement that says so; 0 when none does. Nothing
	// but another SetMode changes them: a mode outlives what was told since.
	Mode    device.Mode
	ModeSeq uint64
	// StopSeq is the sequence of the acknowledgement of an emergency stop that is
	// latched; 0 when none is.
	StopSeq uint64
}

// Told is the setpoint that a device last acknowledged.
type Told struct {
	Verb     device.Verb
	Mode     device.Mode
	Priority device.Priority
	Power    float64 // kW
	At       int64   // ms UTC
	Until    int64   // ms UTC; 0: nothing was told, or it was released
	Seq      uint64  // of the acknowledgement in log.control
}

// Live reports whether the setpoint still holds at now.
func (t *Told) Live(now int64) bool { return t.Until > now }

// Held reports whether somebody stronger than dispatch holds the device.
func (t *Told) Held(now int64) bool { return t.Live(now) && t.Priority > device.Dispatch }

// Image is the plant at one moment, by slot.
type Image struct {
	Devices []Device
}

// Fresh reports whether d has a good reading that is at most maxAge old at now.
// One that claims to be from the future is as old as its arrival.
func (d *Device) Fresh(now int64, maxAge time.Duration) bool {
	at := d.Good.At
	if d.Good.Arrived > 0 {
		at = min(at, d.Good.Arrived)
	}
	return d.Good.At != 0 && now-at <= maxAge.Milliseconds()
}

// Put takes a reading into the image: it becomes the newest, and the newest good
// one, by its own time. Of two with one time the later wins.
func (d *Device) Put(r *device.Reading) {
	if r.At >= d.Last.At {
		d.Last = *r
	}
	if r.Quality == device.Good && r.At >= d.Good.At {
		d.Good = *r
	}
}

// Take notes an acknowledgement, which has sequence seq in log.control, that
// changed what the device was told. One that repeats an earlier answer changes
// nothing.
func (d *Device) Take(seq uint64, a *device.Ack) {
	if a.Repeat {
		return
	}
	if a.Verb == device.EStop {
		d.StopSeq = seq
	}
	if a.Status != device.Done {
		return
	}
	if a.Verb == device.Reset {
		d.StopSeq = 0
	}
	if a.Verb == device.SetMode {
		d.Mode, d.ModeSeq = a.Mode, seq
	}
	switch a.Verb {
	case device.Release, device.EStop, device.Reset, device.Arm, device.Disarm:
		d.Told = Told{}
		return
	}
	d.Told = Told{Verb: a.Verb, Mode: a.Mode, Priority: a.Priority, Power: a.Power, At: a.At, Until: a.Until, Seq: seq}
}
