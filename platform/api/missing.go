package api

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// maxWarnings bounds what one answer tells of readings that are missing from it.
const maxWarnings = 20

// missing are the gaps that a query has met, each with the devices that have it.
type missing map[series.Gap]map[device.ID]bool

// add notes the gaps of a device; a page may tell those of the one before again.
func (m missing) add(id device.ID, gaps []series.Gap) {
	for _, g := range gaps {
		if m[g] == nil {
			m[g] = map[device.ID]bool{}
		}
		m[g][id] = true
	}
}

// append writes them as the warnings of an answer in Prometheus's form, in the order of time.
func (m missing) append(b []byte) []byte {
	if len(m) == 0 {
		return b
	}
	gaps := make([]series.Gap, 0, len(m))
	for g := range m {
		gaps = append(gaps, g)
	}
	slices.SortFunc(gaps, func(x, y series.Gap) int {
		return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To), cmp.Compare(x.Reason, y.Reason))
	})
	b = append(b, `,"warnings":[`...)
	for i, g := range gaps {
		if i > 0 {
			b = append(b, ',')
		}
		if i == maxWarnings {
			b = appendString(b, fmt.Sprintf("%d more gaps", len(gaps)-i))
			break
		}
		var first device.ID
		for id := range m[g] {
			if first == "" || id < first {
				first = id
			}
		}
		who := string(first)
		if n := len(m[g]) - 1; n > 0 {
			who += fmt.Sprintf(" and %d more devices", n)
		}
		b = appendString(b, fmt.Sprintf("readings of %s from %s to %s are missing: %s", who,
			device.Time(g.From).Format(time.RFC3339Nano), device.Time(g.To).Format(time.RFC3339Nano), g.Reason))
	}
	return append(b, ']')
}
