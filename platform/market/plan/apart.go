package plan

import (
	"cmp"
	"math"
	"slices"
)

// apart are the groups of sites that nothing ties together, each in order: every group is a plan of its own.
func (p *Portfolio) apart() (groups [][]int) {
	tied := p.Position != nil || p.Risk.Weight > 0 || p.Risk.Budget > 0
	for _, x := range p.Products {
		tied = tied || x.Committed != nil || !math.IsInf(x.MostMW, 1)
	}
	of := make([]int, len(p.Sites)) // by site, the first of its group
	for i := range of {
		if !tied {
			of[i] = i
		}
	}
	for _, l := range p.Limits {
		for _, i := range l.Sites {
			from, to := max(of[i], of[l.Sites[0]]), min(of[i], of[l.Sites[0]])
			for k := range of {
				if of[k] == from {
					of[k] = to
				}
			}
		}
	}
	place := map[int]int{}
	for i, first := range of {
		if _, seen := place[first]; !seen {
			place[first] = len(groups)
			groups = append(groups, nil)
		}
		groups[place[first]] = append(groups[place[first]], i)
	}
	return groups
}

// of is the portfolio of some sites, with the limits that are theirs.
func (p *Portfolio) of(sites []int) *Portfolio {
	out := *p
	out.Sites, out.Limits, out.Scenarios = nil, nil, nil
	for _, i := range sites {
		out.Sites = append(out.Sites, p.Sites[i])
	}
	for _, l := range p.Limits {
		if len(l.Sites) == 0 || !slices.Contains(sites, l.Sites[0]) {
			continue
		}
		mine := l
		mine.Sites = nil
		for _, i := range l.Sites {
			mine.Sites = append(mine.Sites, slices.Index(sites, i))
		}
		out.Limits = append(out.Limits, mine)
	}
	for _, s := range p.Scenarios {
		mine := Scenario{Weight: s.Weight}
		for _, i := range sites {
			mine.Sites = append(mine.Sites, s.Sites[i])
		}
		out.Scenarios = append(out.Scenarios, mine)
	}
	return &out
}

// add takes in the plan of some sites.
func (plan *Plan) add(part *Plan, sites []int) {
	for k, i := range sites {
		plan.Sites[i] = part.Sites[k]
	}
	a, b := &plan.Totals, part.Totals
	*a = Money{a.Energy + b.Energy, a.Products + b.Products, a.Wear + b.Wear, a.Demand + b.Demand, a.Carbon + b.Carbon, a.Ending + b.Ending}
	plan.CarbonT += part.CarbonT
	plan.Value += part.Value
	plan.AtMost += part.AtMost
	plan.Nodes += part.Nodes
	if plan.Outcomes == nil {
		plan.Outcomes = make([]float64, len(part.Outcomes))
	}
	for k, x := range part.Outcomes {
		plan.Outcomes[k] += x
	}
	plan.Bounds = append(plan.Bounds, part.Bounds...)
}

// finish says what only the whole has.
func (plan *Plan) finish(intervals int) {
	plan.PeakMW = math.Inf(-1)
	for t := range intervals {
		all := 0.0
		for i := range plan.Sites {
			all += plan.Sites[i].Net[t]
		}
		plan.PeakMW = max(plan.PeakMW, all)
	}
	slices.SortStableFunc(plan.Bounds, func(a, b Bound) int { return cmp.Compare(b.Worth, a.Worth) })
}
