// Package sites makes of what people say of the sites of a plan what is planned, in one form for commands and for the API:
// many that are alike under one id, fees beside the price of energy, demand charges by calendar month.
package sites

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"yunchu/platform/market/plan"
)

// Entry stands for a site, or with a Count for so many alike.
type Entry struct {
	ID    string
	Count int // 0: one, whose id is ID itself
}

// IDs are those of the sites that an entry stands for: its own, or with a count ID-001 and on.
func (e Entry) IDs() []string {
	if e.Count == 0 {
		return []string{e.ID}
	}
	ids := make([]string, e.Count)
	for k := range ids {
		ids[k] = fmt.Sprintf("%s-%0*d", e.ID, max(3, len(strconv.Itoa(e.Count))), k+1)
	}
	return ids
}

// Among are the places of the sites that a glob over their ids means, where those of one entry stand behind those of the one
// before. A glob that the id of an entry answers to has all of its sites.
func Among(entries []Entry, glob string) (places []int) {
	matches := func(id string) bool {
		ok, err := path.Match(glob, id)
		return err == nil && ok || id == glob
	}
	n := 0
	for _, e := range entries {
		all := matches(e.ID)
		for _, id := range e.IDs() {
			if all || matches(id) {
				places = append(places, n)
			}
			n++
		}
	}
	return places
}

// Fees are paid beside the price of energy, per MWh: for what is taken, and off what is paid for export.
type Fees struct{ Import, Export float64 }

// Tariff is what a site pays and is paid by interval, per MWh. Without prices of export these are those of energy.
func (f Fees) Tariff(energy, export []float64) (o plan.Outlook) {
	o.Buy = plus(energy, f.Import)
	switch {
	case len(export) > 0:
		o.Sell = plus(export, -f.Export)
	case f.Import+f.Export != 0:
		o.Sell = plus(energy, -f.Export)
	}
	return o
}

// Position is what all sites have sold together, MW by interval, with the prices at which what is off of it is settled: what is
// missing costs short, or the price of energy; what is left over brings long, or what is paid for export, or the price of energy.
// Short, long and export are empty where they are not known.
func Position(sold, energy, export, short, long []float64) *plan.Position {
	out := &plan.Position{Sold: sold, Short: energy, Long: energy}
	if len(short) > 0 {
		out.Short = short
	}
	switch {
	case len(long) > 0:
		out.Long = long
	case len(export) > 0:
		out.Long = export
	}
	return out
}

func plus(list []float64, x float64) []float64 {
	if x == 0 {
		return list
	}
	out := slices.Clone(list)
	for k := range out {
		out[k] += x
	}
	return out
}

// Export are the prices of export where those of energy are others than expected: as far off from them as they are expected to be.
// Without any that are expected there are none.
func Export(energy, expected, export []float64) (out []float64) {
	for t, price := range export {
		out = append(out, price+(energy[t]-expected[t]))
	}
	return out
}

// Months are the demand charges of the calendar months that intervals lie in, on the clock of their begins. Of the first month
// a peak has been paid for already, kW.
func Months(at []time.Time, perKW, soFarKW float64) (out []plan.Demand) {
	const month = "2006-01"
	for t := range at {
		if t == 0 || at[t].Format(month) != at[t-1].Format(month) {
			out = append(out, plan.Demand{PerMW: 1000 * perKW, Within: make([]bool, len(at))})
		}
		out[len(out)-1].Within[t] = true
	}
	out[0].SoFar = soFarKW / 1000
	return out
}
