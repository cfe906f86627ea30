package params

// Validate returns all faults of the set, each naming its key, joined.
func (a *Aging) Validate() error {
	var f faults
	if a.Kind != "Aging" {
		f.add("kind", "is %q, want Aging", a.Kind)
	}
	if a.Name == "" {
		f.add("name", "missing: give the set a name")
	}
	f.within("T_max_K", a.TMaxK, 273.15, 473.15)
	calendar, cycle := a.Calendar.validate(&f), a.Cycle.validate(&f)
	if calendar+cycle == 0 {
		f.add("calendar", "missing, and cycle too: give the set a law")
	}
	needsAnode := a.Calendar.Schimpe2018 != nil || a.Calendar.BLAST2019 != nil
	switch {
	case a.Anode != nil:
		a.Anode.validate(&f)
	case needsAnode:
		f.add("anode", "missing: the calendar law asks for its potential")
	}
	for _, s := range []struct {
		key, text string
		used      bool
	}{
		{"sources.calendar", a.Sources.Calendar, calendar > 0},
		{"sources.cycle", a.Sources.Cycle, cycle > 0},
		{"sources.anode", a.Sources.Anode, a.Anode != nil},
	} {
		if s.used && s.text == "" {
			f.add(s.key, "missing: say where the numbers come from")
		}
	}
	return f.join()
}

// validate returns how many laws there are.
func (c *CalendarAging) validate(f *faults) (laws int) {
	if p := c.Naumann2018; p != nil {
		laws++
		k := keys{f, "calendar.naumann2018."}
		k.positive(key{"gas_constant_J_per_molK", p.GasConstant}, key{"T_ref_K", p.TRefK}, key{"q_ref", p.QRef}, key{"r_ref", p.RRef})
		k.positive(key{"q_exponent", p.QExponent}, key{"r_exponent", p.RExponent})
		k.number(key{"soc_centre", p.SoCCentre}, key{"q_Ea_J_per_mol", p.QActivation}, key{"q_soc_slope", p.QSoCSlope}, key{"q_soc_offset", p.QSoCOffset},
			key{"r_Ea_J_per_mol", p.RActivation}, key{"r_soc_slope", p.RSoCSlope}, key{"r_soc_offset", p.RSoCOffset})
		k.power("q_soc_power", p.QSoCPower)
		k.power("r_soc_power", p.RSoCPower)
	}
	if p := c.Swierczynski2015; p != nil {
		laws++
		k := keys{f, "calendar.swierczynski2015."}
		k.positive(key{"soc_power", p.SoCPower}, key{"temp_power", p.TempPower}, key{"month_s", p.MonthS})
		k.positive(key{"exponent", p.Exponent})
		k.number(key{"soc_slope_pct", p.SoCSlope}, key{"soc_offset_pct", p.SoCOffset}, key{"temp_slope", p.TempSlope}, key{"temp_offset", p.TempOffset})
	}
	if p := c.Schimpe2018; p != nil {
		laws++
		k := keys{f, "calendar.schimpe2018."}
		k.positive(key{"gas_constant_J_per_molK", p.GasConstant}, key{"faraday_C_per_mol", p.Faraday}, key{"T_ref_K", p.TRefK}, key{"ref", p.Ref})
		k.positive(key{"exponent", p.Exponent})
		k.number(key{"Ea_J_per_mol", p.Activation}, key{"alpha", p.Alpha}, key{"k0", p.K0}, key{"U_ref_V", p.URef})
	}
	if p := c.BLAST2019; p != nil {
		laws++
		k := keys{f, "calendar.blast2019."}
		k.positive(key{"ref", p.Ref})
		k.positive(key{"exponent", p.Exponent})
		k.number(key{"temp_K", p.TempK}, key{"anode_K_per_V", p.AnodeKPer})
	}
	if laws > 1 {
		f.add("calendar", "has %d laws, want one at most", laws)
	}
	return laws
}

// validate returns how many laws there are.
func (c *CycleAging) validate(f *faults) (laws int) {
	if p := c.Naumann2020; p != nil {
		laws++
		k := keys{f, "cycle.naumann2020."}
		k.positive(key{"q_exponent", p.QExponent}, key{"r_exponent", p.RExponent})
		k.number(key{"q_rate_slope_pct_h", p.QRateSlope}, key{"q_rate_offset_pct", p.QRateOffset},
			key{"q_depth_slope", p.QDepthSlope}, key{"q_depth_offset", p.QDepthOffset}, key{"q_depth_centre", p.QDepthCentre},
			key{"r_rate_slope_pct_h", p.RRateSlope}, key{"r_rate_offset_pct", p.RRateOffset},
			key{"r_depth_slope", p.RDepthSlope}, key{"r_depth_offset", p.RDepthOffset}, key{"r_depth_centre", p.RDepthCentre})
	}
	if p := c.Wang2011; p != nil {
		laws++
		p.validate(keys{f, "cycle.wang2011."})
	}
	if p := c.Schimpe2018; p != nil {
		laws++
		k := keys{f, "cycle.schimpe2018."}
		k.positive(key{"gas_constant_J_per_molK", p.GasConstant}, key{"T_ref_K", p.TRefK}, key{"capacity_Ah", p.CapacityAh})
		k.positive(key{"exponent", p.Exponent})
		k.number(key{"rate_ref_per_h", p.RateRefPerH}, key{"warm_ref", p.WarmRef}, key{"warm_Ea_J_per_mol", p.WarmActivation},
			key{"cold_ref", p.ColdRef}, key{"cold_Ea_J_per_mol", p.ColdActivation}, key{"cold_beta_h", p.ColdBetaH},
			key{"cold_full_ref", p.ColdFullRef}, key{"cold_full_Ea_J_per_mol", p.ColdFullActivation},
			key{"cold_full_beta_h", p.ColdFullBetaH}, key{"cold_full_soc_ref", p.ColdFullSoCRef})
	}
	if p := c.BLAST2019; p != nil {
		laws++
		k := keys{f, "cycle.blast2019."}
		k.positive(key{"exponent", p.Exponent})
		k.number(key{"offset", p.Offset}, key{"depth_slope", p.DepthSlope}, key{"rate_slope_h", p.RateSlopeH}, key{"warm_K", p.WarmK}, key{"hot_K", p.HotK})
	}
	if laws > 1 {
		f.add("cycle", "has %d laws, want one at most", laws)
	}
	return laws
}

func (p *Wang2011) validate(k keys) {
	k.positive(key{"gas_constant_J_per_molK", p.GasConstant}, key{"capacity_Ah", p.CapacityAh}, key{"counted_share", p.CountedShare})
	k.positive(key{"exponent", p.Exponent})
	k.number(key{"Ea_J_per_mol", p.Activation}, key{"Ea_slope_J_h_per_mol", p.ActivationSlope})
	if len(p.RatePerH) == 0 || len(p.RatePerH) != len(p.B) {
		k.f.add(k.path+"rate_per_h", "has %d entries and B_pct %d, want as many of either and one at least", len(p.RatePerH), len(p.B))
	}
	for i, c := range p.RatePerH {
		if !positive(c) || i > 0 && c <= p.RatePerH[i-1] {
			k.f.add(k.path+"rate_per_h", "entry %d is %g, want above 0 and strictly rising", i+1, c)
		}
	}
	for i, b := range p.B {
		if !notNegative(b) {
			k.f.add(k.path+"B_pct", "entry %d is %g, want 0 or more", i+1, b)
		}
	}
}

func (a *Anode) validate(f *faults) {
	k := keys{f, "anode."}
	k.number(key{"x_empty", a.XEmpty}, key{"x_full", a.XFull}, key{"offset_V", a.Offset}, key{"exp_height_V", a.ExpHeight}, key{"exp_rate", a.ExpRate})
	if n := len(a.StepHeight); n != len(a.StepCentre) || n != len(a.StepWidth) {
		f.add("anode.step_height_V", "has %d entries, step_centre %d and step_width %d, want as many", n, len(a.StepCentre), len(a.StepWidth))
		return
	}
	for i, w := range a.StepWidth {
		k.positive(key{"step_width", w})
		k.number(key{"step_height_V", a.StepHeight[i]}, key{"step_centre", a.StepCentre[i]})
	}
}

// keys checks numbers under one path of a file.
type keys struct {
	f    *faults
	path string // ends in a dot
}

type key struct {
	name  string
	value float64
}

func (k keys) positive(list ...key) {
	for _, x := range list {
		k.f.positive(k.path+x.name, x.value)
	}
}

func (k keys) number(list ...key) {
	for _, x := range list {
		if !anyNumber(x.value) {
			k.f.add(k.path+x.name, "is %g, want a number", x.value)
		}
	}
}

// power demands an exponent that the law knows with either sign of its base.
func (k keys) power(name string, n int) {
	if n != 2 && n != 3 {
		k.f.add(k.path+name, "is %d, want 2 or 3", n)
	}
}
