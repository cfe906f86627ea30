package run

import "time"

// excess is by how much the worst limit of a group is passed, by the twins' own state, kW.
func (r *Run) excess(t time.Duration) (most float64) {
	d := &r.Scenario.Dispatch
	for i, list := range r.behind {
		sum := d.Loads(i, t)
		for _, n := range list {
			sum += r.sample.PowerKW[n]
		}
		if kw := d.Limits[i].ImportKW; kw != nil {
			most = max(most, sum-*kw)
		}
		if kw := d.Limits[i].ExportKW; kw != nil {
			most = max(most, -*kw-sum)
		}
	}
	return most
}
