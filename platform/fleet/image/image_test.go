package image_test

import (
	"testing"

	"yunchu/platform/device"
	"yunchu/platform/fleet/image"
)

func TestTake(t *testing.T) {
	power := device.Ack{Status: device.Done, Verb: device.SetPower, Priority: device.Normal, Power: 50, At: 10, Until: 100, Source: "user:ann"}
	standby := device.Ack{Status: device.Done, Verb: device.SetMode, Mode: device.StandbyMode, Priority: device.High, At: 20, Until: 90}
	run := device.Ack{Status: device.Done, Verb: device.SetMode, Mode: device.Run, At: 30}
	release := device.Ack{Status: device.Done, Verb: device.Release, At: 40}
	failed, again := power, power
	failed.Status, again.Repeat = device.Failure, true
	modeAgain := standby
	modeAgain.Repeat = true
	told := image.Told{Verb: device.SetPower, Priority: device.Normal, Power: 50, At: 10, Until: 100}
	asked := image.Told{Verb: device.SetMode, Mode: device.StandbyMode, Priority: device.High, At: 20, Until: 90}
	seq := func(x image.Told, n uint64) image.Told { x.Seq = n; return x }
	for _, tt := range []struct {
		name string
		acks []device.Ack // with sequences 1, 2, ...
		want image.Device
	}{
		{"nothing", nil, image.Device{}},
		{"a setpoint", []device.Ack{power}, image.Device{Told: seq(told, 1)}},
		{"one that failed", []device.Ack{failed}, image.Device{}},
		{"released", []device.Ack{power, release}, image.Device{}},
		{"repeated after the release", []device.Ack{power, release, again}, image.Device{}},
		{"a mode", []device.Ack{power, standby}, image.Device{Told: seq(asked, 2), Mode: device.StandbyMode, ModeSeq: 2}},
		{"a mode outlives a release", []device.Ack{standby, release}, image.Device{Mode: device.StandbyMode, ModeSeq: 1}},
		{"a mode outlives a setpoint", []device.Ack{standby, power}, image.Device{Told: seq(told, 2), Mode: device.StandbyMode, ModeSeq: 1}},
		{"run ends a mode", []device.Ack{standby, run, release}, image.Device{ModeSeq: 2}},
		{"a mode repeated after its end", []device.Ack{standby, run, release, modeAgain}, image.Device{ModeSeq: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d image.Device
			for i := range tt.acks {
				d.Take(uint64(i+1), &tt.acks[i])
			}
			if d.Told != tt.want.Told || d.Mode != tt.want.Mode || d.ModeSeq != tt.want.ModeSeq {
				t.Errorf("got %+v, mode %v of %d; want %+v, mode %v of %d", d.Told, d.Mode, d.ModeSeq, tt.want.Told, tt.want.Mode, tt.want.ModeSeq)
			}
		})
	}
}
