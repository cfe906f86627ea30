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

// tooClose tells of the first limit that no power keeps to, or for which batteries hold too little or too much; nil where each may be
// kept to.
func (p *Portfolio) tooClose() error {
	for i := range p.Sites {
		s := &p.Sites[i]
		if err := p.room(s.Name, []int{i}, s.ImportMW, s.ExportMW); err != nil {
			return err
		}
		if err := p.reach(s.Name, []int{i}, s.ImportMW, s.ExportMW); err != nil {
			return err
		}
	}
	for _, l := range p.Limits {
		if err := p.room(l.Name, l.Sites, l.ImportMW, l.ExportMW); err != nil {
			return err
		}
		if err := p.reach(l.Name, l.Sites, l.ImportMW, l.ExportMW); err != nil {
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

// OutOfReach is energy that batteries do not come to, whatever they do. It is an lp.ErrInfeasible.
type OutOfReach struct {
	Of      string  // the site or the limit of sites
	Several bool    // batteries, of a limit
	At      int     // the interval in which they hold too little or too much to keep to the limit; -1: the end
	Most    bool    // they hold this at most, and it is too little; else at least, and too much
	LimitMW float64 // of At: what they have to keep to, of import where it is too little, else of export
	MWh     float64 // of At: what is missing, or has no room; else what they come to
	WantMWh float64 // at the end, at least where they come to too little, else at most
	label   string
}

func (e *OutOfReach) Error() string {
	its, are, lack, have, come := "battery", "is", "lacks", "has", "it comes"
	if e.Several {
		its, are, lack, have, come = "batteries", "are", "lack", "have", "they come"
	}
	switch {
	case e.At >= 0 && e.Most:
		return fmt.Sprintf("the import limit of %s is %s, and its %s %s at least %sh at %s to keep to it", e.Of, signed(e.LimitMW), its, lack, power(e.MWh), e.label)
	case e.At >= 0:
		return fmt.Sprintf("the export limit of %s is %s, and its %s %s no room for at least %sh at %s to keep to it", e.Of, signed(e.LimitMW), its, have, power(e.MWh), e.label)
	case e.Most:
		return fmt.Sprintf("the %s of %s %s to hold %sh at the end, and %sh are the most that %s to", its, e.Of, are, power(e.WantMWh), power(e.MWh), come)
	}
	return fmt.Sprintf("the %s of %s %s to hold no more than %sh at the end, and %sh are the least that %s to", its, e.Of, are, power(e.WantMWh), power(e.MWh), come)
}

// Unwrap is what it is for those who ask for no more.
func (e *OutOfReach) Unwrap() error { return lp.ErrInfeasible }

// reach follows what the batteries of some sites can hold together, from the least to the most, from interval to interval, with limits of
// what the sites take together. It is no narrower than what they can: charging and discharging at once wastes energy, and of several
// batteries each has the best efficiency of all.
func (p *Portfolio) reach(name string, sites []int, in, out float64) error {
	pool, worst := Battery{}, Battery{In: 1, Out: 1} // with the best of the efficiencies, and with the worst
	for _, i := range sites {
		b := &p.Sites[i].Battery
		if !b.there() {
			continue
		}
		pool.ChargeMW, pool.DischargeMW = pool.ChargeMW+b.ChargeMW, pool.DischargeMW+b.DischargeMW
		pool.Least, pool.Most, pool.Start = pool.Least+b.Least, pool.Most+b.Most, pool.Start+b.Start
		pool.End.Least, pool.End.Most = pool.End.Least+max(b.End.Least, b.Least), pool.End.Most+min(b.End.Most, b.Most)
		pool.In, pool.Out = max(pool.In, b.In), max(pool.Out, b.Out)
		worst.In, worst.Out = min(worst.In, b.In), min(worst.Out, b.Out)
	}
	if !pool.there() {
		return nil
	}
	lo, hi := pool.Start, pool.Start
	slack := nothing * (1 + pool.Most + p.Hours*float64(p.Intervals)*(pool.ChargeMW+pool.DischargeMW))
	found := func(t int, most bool, mwh float64) error {
		e := &OutOfReach{Of: name, Several: len(sites) > 1, At: t, Most: most, MWh: mwh}
		switch {
		case t >= 0 && most:
			e.LimitMW, e.label = in, p.label(t)
		case t >= 0:
			e.LimitMW, e.label = out, p.label(t)
		case most:
			e.WantMWh = pool.End.Least
		default:
			e.WantMWh = pool.End.Most
		}
		return e
	}
	for t := range p.Intervals {
		least, most := p.leeway(sites, t, in, out)
		least, most = max(least, -pool.DischargeMW), min(most, pool.ChargeMW)
		hi += p.Hours * (max(most, 0)*pool.In + min(most, 0)/pool.Out)
		charge := max(0, min(pool.ChargeMW, least+pool.DischargeMW))
		lo += p.Hours * (charge*worst.In - (charge-least)/worst.Out)
		switch {
		case hi < pool.Least-slack:
			return found(t, true, pool.Least-hi)
		case lo > pool.Most+slack:
			return found(t, false, lo-pool.Most)
		}
		lo, hi = max(lo, pool.Least), min(hi, pool.Most)
	}
	switch {
	case hi < pool.End.Least-slack:
		return found(-1, true, hi)
	case lo > pool.End.Most+slack:
		return found(-1, false, lo)
	}
	return nil
}

// leeway is what the batteries of some sites may take at least and at most together in an interval for what the sites take to stay
// within limits, in each scenario.
func (p *Portfolio) leeway(sites []int, t int, in, out float64) (least, most float64) {
	least, most = math.Inf(-1), math.Inf(1)
	if math.IsInf(in, 1) && math.IsInf(out, 1) {
		return least, most
	}
	for k := range max(1, len(p.Scenarios)) {
		net, turned := 0.0, 0.0
		for _, i := range sites {
			o := &p.Sites[i].Outlook
			if len(p.Scenarios) > 0 {
				o = &p.Scenarios[k].Sites[i]
			}
			net += o.base(t)
			if p.Sites[i].Curtail && o.PV != nil {
				turned += max(o.PV[t], 0)
			}
		}
		least, most = max(least, -out-net-turned), min(most, in-net)
	}
	return least, most
}
