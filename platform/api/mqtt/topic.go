package mqtt

import (
	"strings"

	"yunchu/platform/auth"
	"yunchu/platform/device"
)

// The last levels of topics.
const (
	data    = "data"
	control = "control"
	ack     = "ack"
	event   = "event"
)

const root = "device/"

// topic is the address of something about a device.
func topic(id device.ID, what string) string { return root + string(id) + "/" + what }

// parseTopic takes a topic apart; ok is false when it is none of ours.
func parseTopic(s string) (id device.ID, what string, ok bool) {
	rest, found := strings.CutPrefix(s, root)
	if !found {
		return "", "", false
	}
	name, what, found := strings.Cut(rest, "/")
	if !found || !device.ID(name).Valid() {
		return "", "", false
	}
	switch what {
	case data, control, ack, event:
		return device.ID(name), what, true
	}
	return "", "", false
}

// mayPublish is the policy of what is sent to us.
func mayPublish(p *auth.Principal, s string) bool {
	id, what, ok := parseTopic(s)
	switch {
	case !ok:
		return false
	case what == control:
		return p.MayOn(auth.Control, id)
	}
	return p.MayOn(auth.Ingest, id)
}

// mayHear is the policy of filters and of what is told: a device hears its commands, and
// everybody else what it may read. The library asks again for each topic, so that a
// filter with a wildcard brings no more than that.
func mayHear(p *auth.Principal, filter string) bool {
	if p.Device != "" {
		return filter == topic(p.Device, control) && p.MayOn(auth.Read, p.Device)
	}
	if id, _, ok := parseTopic(filter); ok {
		return p.MayOn(auth.Read, id)
	}
	first, _, _ := strings.Cut(filter, "/")
	return p.May(auth.Read) && (first == "device" || first == "+" || first == "#")
}
