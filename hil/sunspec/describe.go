package sunspec

import (
	"context"
	"time"

	"yunchu/platform/device"
)

// Describe implements device.Described, from the common model and the ratings.
func (d *Driver) Describe(ctx context.Context, _ time.Time) (device.Info, error) {
	info := device.Info{Kind: "sunspec", DeviceType: "battery-storage"}
	err := d.connect(ctx)
	if err == nil {
		err = d.fetch(ctx, func(l *layout) []request { return l.requests(l.nameplate()) })
	}
	if err != nil {
		return info, offline(d.lost(err))
	}
	found := d.layout.device
	number := func(names ...string) float64 {
		x := choose(found, names...).float()
		if !(x > 0) {
			return 0
		}
		return x
	}
	info.Manufacturer, info.Model = choose(found, "1.Mn").value().Text(), choose(found, "1.Md").value().Text()
	info.Firmware, info.Serial = choose(found, "1.Vr").value().Text(), choose(found, "1.SN").value().Text()
	info.RatedKW = number(ratedPower...) / 1000
	info.CapacityKWh = number(ratedEnergy...) / 1000
	info.SoCMin, info.SoCMax = number("802.SoCMin"), number("802.SoCMax")
	if p := d.layout.voltage; p.exists() {
		if step := p.block.Step(p.field); step > 0 {
			info.VoltStep = step
		}
	}
	return info, nil
}

var (
	ratedPower  = []string{"702.WMaxRtg", "120.WRtg", "802.WDisChaRteMax"}
	ratedEnergy = []string{"802.WHRtg", "713.WHRtg", "120.WHRtg"}
)

// nameplate are the points that Describe asks for.
func (l *layout) nameplate() (out []point) {
	for _, names := range [][]string{{"1.Mn"}, {"1.Md"}, {"1.Vr"}, {"1.SN"}, ratedPower, ratedEnergy, {"802.SoCMin"}, {"802.SoCMax"}} {
		out = appendOK(out, choose(l.device, names...))
	}
	return out
}
