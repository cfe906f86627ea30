package run

import "time"

// excess is by how much the worst limit of a group is passed, kW.
func (r *Run) excess(t time.Duration) (most float64) {
	for i := range r.Scenario.Dispatch.Limits {
		l, kw := &r.Scenario.Dispatch.Limits[i], r.flow(i, t)
		if l.ImportKW != nil {
			most = max(most, kw-*l.ImportKW)
		}
		if l.ExportKW != nil {
			most = max(most, -*l.ExportKW-kw)
		}
	}
	return most
}

// flow is what flows through the connection of limit i, kW: what its meter shows; without one
// the devices there by the twins' own state, the load, and what flows through limits within.
func (r *Run) flow(i int, t time.Duration) (kw float64) {
	list := r.Scenario.Dispatch.Limits
	if m := r.meters[i]; m >= 0 {
		return r.sample.PowerKW[m]
	}
	if load := list[i].Load; load != nil {
		kw = load.At(t)
	}
	for _, n := range r.behind[i] {
		kw += r.sample.PowerKW[n]
	}
	for k := range list {
		if list[k].Within == list[i].Name {
			kw += r.flow(k, t)
		}
	}
	return kw
}
