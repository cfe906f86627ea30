package ingest

import (
	"math"
	"slices"
	"time"

	"yunchu/platform/device"
)

// Clock is what the readings say of the clock of a device: when they arrived less when
// they say they were measured, which is its error and the delay on the way.
type Clock struct {
	Behind *float64 `json:"behind_ms" doc:"middle of arrival less own time; below zero its clock is ahead; null: too few readings"`
	Spread *float64 `json:"spread_ms" doc:"of half the readings, about that middle"`
	Steady bool     `json:"steady" doc:"the spread is small: it is an error of its clock, not of the way"`
	Zone   string   `json:"time_zone_error" doc:"such as -8h0m0s where a steady error is one of a time zone: what its clock is ahead by, which units.clock takes off; empty: none"`
}

// What tells an error of a clock from delays.
const (
	clockReadings = 20
	clockSteady   = 2 * time.Second
	clockKeep     = 512 // newest readings that are looked at
	zoneStep      = 15 * time.Minute
	zoneLeast     = 30 * time.Minute
	zoneFrom      = -14 * time.Hour // behind_ms of the farthest zones ahead and behind
	zoneTo        = 14 * time.Hour
)

type clock struct {
	late []float64 // ring of arrival less own time, ms
	next int
}

func (c *clock) add(r *device.Reading) {
	if r.Arrived <= 0 {
		return
	}
	d := apart(r.At, r.Arrived)
	if len(c.late) < clockKeep {
		c.late = append(c.late, d)
		return
	}
	c.late[c.next] = d
	c.next = (c.next + 1) % clockKeep
}

func (c *clock) done() (out Clock) {
	if len(c.late) < clockReadings {
		return out
	}
	v := slices.Clone(c.late)
	slices.Sort(v)
	middle := v[len(v)/2]
	for i := range v {
		v[i] = math.Abs(v[i] - middle)
	}
	slices.Sort(v)
	spread := v[len(v)/2]
	out.Behind, out.Spread = &middle, &spread
	out.Steady = spread <= float64(clockSteady.Milliseconds())
	if !out.Steady || !(middle >= float64(zoneFrom.Milliseconds()) && middle <= float64(zoneTo.Milliseconds())) {
		return out
	}
	zone := (time.Duration(middle) * time.Millisecond).Round(zoneStep)
	near := math.Abs(middle - float64(zone.Milliseconds()))
	if zone.Abs() >= zoneLeast && near <= float64(time.Minute.Milliseconds()) {
		out.Zone = (-zone).String()
	}
	return out
}
