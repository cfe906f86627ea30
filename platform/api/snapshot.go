package api

import (
	"encoding/json"
	"slices"
	"strconv"

	"yunchu/platform/device"
)

// snapshot is the plant as it stands, as far as the filter shows it. What
// belongs to the plant as a whole is null for a device token.
func (h *hub) snapshot(key filterKey) []byte {
	fleet := h.plant.Live.Fleet()
	b := append(textOf("snapshot", ""), `{"time":`...)
	b = strconv.AppendInt(b, fleet.Time, 10)
	b = append(b, `,"devices":[`...)
	n := 0
	h.each(key, func(info device.Info) {
		if r, ok := h.plant.Latest.Latest(info.Slot, false); ok {
			if n++; n > 1 {
				b = append(b, ',')
			}
			b = appendReading(b, info.ID, &r)
		}
	})
	b = append(b, `],"events":[`...)
	h.inbox.Lock()
	events := slices.Clone(h.inbox.history[max(0, len(h.inbox.history)-remembered):])
	h.inbox.Unlock()
	n = 0
	for i := range events {
		e := &events[i]
		var id device.ID
		if e.Slot != device.Plant {
			info, known := h.plant.Registry.Device(e.Slot)
			if id = info.ID; !known || !key.lets(&info) {
				continue
			}
		} else if !key.whole() {
			continue
		}
		if n++; n > 1 {
			b = append(b, ',')
		}
		b = appendEvent(b, id, e)
	}
	if !key.whole() {
		return append(b, `],"fleet":null,"dispatch":null,"scores":null}}`...)
	}
	b = append(b, `],"fleet":`...)
	b = appendFleet(b, &fleet)
	b = append(b, `,"dispatch":`...)
	settings, err := json.Marshal(h.plant.settings())
	if err != nil {
		panic(err) // Settings are made of numbers, strings and times
	}
	b = append(b, settings...)
	b = append(b, `,"scores":`...)
	b = appendScores(b, h.plant.Live.Scores())
	return append(b, "}}"...)
}

// each calls fn with the devices that the filter shows, by id.
func (h *hub) each(key filterKey, fn func(device.Info)) {
	if key.only != "" {
		if slot, ok := h.plant.Registry.Slot(key.only); ok {
			if info, ok := h.plant.Registry.Device(slot); ok && key.lets(&info) {
				fn(info)
			}
		}
		return
	}
	for after := device.ID(""); ; {
		page := h.plant.Registry.Devices(after, MaxDevices)
		for i := range page {
			if key.lets(&page[i]) {
				fn(page[i])
			}
		}
		if len(page) < MaxDevices {
			return
		}
		after = page[len(page)-1].ID
	}
}
