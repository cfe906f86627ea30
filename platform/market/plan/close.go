package plan

import (
	"fmt"
	"math"

	"yunchu/platform/market/lp"
)

// TooClose is a limit that no power of the batteries keeps to, whatever they hold. It is an lp.ErrInfeasible.
type TooClose struct {
	Of                  string  // the site or the limit of sites
	Import              bool    // else export
	LimitMW, MW         float64 // the limit, and what is exchanged at least at First
	First, Last, Number int     // intervals with too much
	label               string
}

func (e *TooClose) Error() string {
	way := "export"
	if e.Import {
		way = "import"
	}
	more := ""
	if e.Number > 1 {
		more = fmt.Sprintf(", and too much in %d more", e.Number-1)
	}
	return fmt.Sprintf("the %s limit of %s is %s, and at least %s remain at %s%s", way, e.Of, signed(e.LimitMW), signed(e.MW), e.label, more)
}

// Unwrap is what it is for those who ask for no more.
func (e *TooClose) Unwrap() error { return lp.ErrInfeasible }

func signed(mw float64) string {
	if mw < 0 {
		return "-" + power(-mw)
	}
	return power(mw)
}

// tooClose tells of the first limit that no power keeps to; nil where each may be kept to.
func (p *Portfolio) tooClose() error {
	for i := range p.Sites {
		s := &p.Sites[i]
		if err := p.room(s.Name, []int{i}, s.ImportMW, s.ExportMW); err != nil {
			return err
		}
	}
	for _, l := range p.Limits {
		if err := p.room(l.Name, l.Sites, l.ImportMW, l.ExportMW); err != nil {
			return err
		}
	}
	return nil
}

// room compares what some sites take together, at least and at most, with their limits.
func (p *Portfolio) room(name string, sites []int, in, out float64) error {
	var found *TooClose
	tell := func(t int, limit, mw float64, imports bool) {
		switch {
		case mw <= limit+nothing*(1+math.Abs(limit)+math.Abs(mw)) || found != nil && found.Import != imports:
		case found == nil:
			found = &TooClose{Of: name, Import: imports, LimitMW: limit, MW: mw, First: t, Last: t, Number: 1, label: p.label(t)}
		case found.Last != t: // not in another scenario
			found.Last, found.Number = t, found.Number+1
		}
	}
	if math.IsInf(in, 1) && math.IsInf(out, 1) {
		return nil
	}
	for t := range p.Intervals {
		for k := range max(1, len(p.Scenarios)) {
			least, most := 0.0, 0.0
			for _, i := range sites {
				s := &p.Sites[i]
				o := &s.Outlook
				if len(p.Scenarios) > 0 {
					o = &p.Scenarios[k].Sites[i]
				}
				net := o.base(t)
				least += net - s.Battery.DischargeMW
				most += net + s.Battery.ChargeMW
				if s.Curtail && o.PV != nil {
					most += max(o.PV[t], 0)
				}
			}
			tell(t, in, least, true)
			tell(t, out, -most, false)
		}
	}
	if found == nil {
		return nil
	}
	return found
}
