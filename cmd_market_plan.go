package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"yunchu/harness/planning"
	"yunchu/harness/scenario"
	"yunchu/harness/sheet"
	"yunchu/platform/market/plan"
	"yunchu/platform/market/plan/worth"
)

// planFlags are the flags of market plan.
type planFlags struct {
	site, prices, from, to string
	zone, currency         string
	battery                map[string]*float64 // by key of a file
	given                  func(flag string) bool
	load, pv, wear         string
	curtail, balanced      bool
	products               []string
	energyUp, energyDown   float64
	duration               time.Duration
	importKW, exportKW     float64
	demand, peak, carbon   float64
	cvar, rolling, front   string
	out, schedule, page    string
	json                   bool
	o                      planning.Options
}

// planNumbers are the flags of a battery: key of a file, flag, what it says.
var planNumbers = [][3]string{
	{"power_kw", "power-kw", "power of charge and of discharge at the grid, kW"},
	{"charge_kw", "charge-kw", "power of charge, where it is another, kW"},
	{"energy_kwh", "energy-kwh", "energy of a full cycle, kWh"},
	{"efficiency", "efficiency", "what of the energy bought is stored, 0..1 (default 1)"},
	{"discharge_efficiency", "discharge-efficiency", "what of the energy taken is sold, 0..1 (default 1)"},
	{"least_kwh", "least-kwh", "what stays stored, kWh"},
	{"most_kwh", "most-kwh", "what is stored at most, kWh (default: all of it)"},
	{"begin_kwh", "begin-kwh", "what is stored at the begin, kWh"},
	{"end_kwh", "end-kwh", "what is stored at the end, kWh (default: as at the begin)"},
	{"end_value_per_mwh", "end-value", "what a stored MWh is worth at the end, instead of --end-kwh"},
	{"variable_cost_per_mwh", "variable-cost", "cost of each MWh discharged"},
}

// siteFlags are the flags that do something with --site. All others describe one battery and its site, which
// stand in the file then.
var siteFlags = []string{
	"site", "prices", "from", "to", "committed", "scenarios", "draws", "seed", "cvar", "robust", "pareto", "points",
	"actual", "rolling", "persistence", "nodes", "out", "schedule", "page", "json",
}

func marketPlanCommand() *cobra.Command {
	f := planFlags{battery: map[string]*float64{}}
	c := &cobra.Command{
		Use:   "plan --prices FILE --power-kw N --energy-kwh N | --site FILE",
		Short: "What batteries should do, and why",
		Long: `What batteries should do with prices that are expected: one battery by flags, or a portfolio of
sites by --site (kind: Portfolio; yunchu schema portfolio). What describes the battery and its site stands in that
file: the flags for it are refused with --site, and days of --from and --to are of its zone.

Energy, regulation and reserve, wear, demand charges and carbon are optimised as one, under the
limits of batteries, sites and feeders. No plan is worth more than gap above the value. Nothing charges and discharges at
once. Each interval has its reason, each bound that binds what more of it would be worth at most.

--scenarios is a CSV of prices that may come: a column each, or quantiles q05 ... q95 as forecast
backtest --out writes them, from which --draws are drawn. One plan is made for all of them;
--cvar LEVEL,WEIGHT counts the mean of the worst outcomes, those of the part 1-LEVEL, with WEIGHT, and
--robust N prices that go against the plan in N intervals at once. --pareto traces what a measure
costs. --actual says what the plan comes to with the prices that came, --rolling HORIZON/EVERY/KNOWN
what planning again and again would, the prices of KNOWN (default EVERY) being known each time. Capacity is
sold for a horizon, and what has been sold is kept.

--committed is what has been sold before: capacity is kept, and energy that is off is settled. What is missing
costs short_per_mwh of the prices, or the price itself; what is left over is paid long_per_mwh, or export_per_mwh,
or the price itself. The value is then that of what is off.

--out has a row for each interval and site, power_kw positive when it charges; --schedule is a target
for dispatch.`,
		Example: `  yunchu market plan --prices day.csv --power-kw 1000 --energy-kwh 4000 --efficiency 0.85 --out plan.csv --page plan.html
  yunchu market plan --prices day.csv --site feeder.yaml --schedule target.csv --json
  yunchu market plan --prices day.csv --power-kw 1000 --energy-kwh 4000 --scenarios forecast.csv --cvar 0.9,0.5
  yunchu market plan --prices expected.csv --power-kw 1000 --energy-kwh 4000 --actual came.csv --rolling 24h/1h`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f.given = c.Flags().Changed
			if err := f.besideSite(c.LocalFlags()); err != nil {
				return fail(exitInput, err)
			}
			return f.run(c)
		},
	}
	s := c.Flags()
	s.StringVar(&f.site, "site", "", "file of a portfolio (kind: Portfolio), instead of one battery by flags")
	s.StringVar(&f.prices, "prices", "", "CSV of prices: time, energy_per_mwh (or forecast, as forecast backtest writes it), and export_per_mwh, regup_per_mw, regdown_per_mw, reserve_per_mw, carbon_t_per_mwh where they are needed")
	s.StringVar(&f.from, "from", "", "the first day or instant that is planned (default: that of the prices)")
	s.StringVar(&f.to, "to", "", "the day or instant before which it ends (default: that of the prices)")
	s.StringVar(&f.zone, "zone", "UTC", "whose clock it is, as Europe/Berlin")
	s.StringVar(&f.currency, "currency", "USD", "what the prices are in; a name, nothing is converted")
	for _, x := range planNumbers {
		f.battery[x[0]] = s.Float64(x[1], 0, x[2])
	}
	s.StringVar(&f.wear, "wear", "", "cost of each MWh taken from the store, or a CSV by depth: to (0..1), cost_per_mwh")
	s.StringSliceVar(&f.products, "products", []string{"energy"}, "what is sold: energy, regup, regdown, reserve")
	s.Float64Var(&f.energyUp, "regulation-energy-up", 0.30, "part of regulation up that is called on average, 0..1")
	s.Float64Var(&f.energyDown, "regulation-energy-down", 0.15, "part of regulation down that is called on average, 0..1")
	s.DurationVar(&f.duration, "regulation-duration", time.Hour, "how long the whole of an offer must be possible")
	s.BoolVar(&f.balanced, "regulation-balanced", true, "regulation takes in no more energy than it gives, interval by interval")
	s.StringVar(&f.load, "load", "", "what else is consumed, kW: FILE:COLUMN (the column is load_kw when left out)")
	s.StringVar(&f.pv, "pv", "", "output of PV, kW, above 0: FILE:COLUMN (pv_kw when left out)")
	s.BoolVar(&f.curtail, "curtail", false, "PV may be turned down; needs --pv")
	s.Float64Var(&f.importKW, "import-limit-kw", 0, "the most that is taken from the grid, kW (default: no bound)")
	s.Float64Var(&f.exportKW, "export-limit-kw", 0, "the most that is given to the grid, kW (default: no bound)")
	s.Float64Var(&f.demand, "demand-charge", 0, "of each kW of the highest import of a month")
	s.Float64Var(&f.peak, "peak-kw", 0, "the peak of the month so far, kW; needs --demand-charge")
	s.Float64Var(&f.carbon, "carbon-price", 0, "of a tonne, for the column carbon_t_per_mwh")
	s.StringVar(&f.o.Committed, "committed", "", "CSV of what has been sold and must be kept: time, target_kw (what is taken, as market award writes it), regup_kw, regdown_kw, reserve_kw; each row holds until the next one, the last one as long as the one before; an interval has the mean of target_kw, and its capacity does not change within")
	s.StringVar(&f.o.Scenarios, "scenarios", "", "CSV of prices that may come: a column each, or quantiles q05 ... q95")
	s.IntVar(&f.o.Draws, "draws", 50, "how many scenarios are drawn from quantiles")
	s.Uint64Var(&f.o.Seed, "seed", 1, "what is drawn follows from it")
	s.StringVar(&f.cvar, "cvar", "", "LEVEL,WEIGHT of the worst outcomes, as 0.95,0.5")
	s.Float64Var(&f.o.Budget, "robust", 0, "in how many intervals prices go against the plan at once, as far as --scenarios says")
	s.StringVar(&f.front, "pareto", "", "what is set against money: wear, peak or carbon")
	s.IntVar(&f.o.Points, "points", 11, "points of --pareto")
	s.StringVar(&f.o.Actual, "actual", "", "CSV of the prices that came: FILE, or FILE:COLUMN")
	s.StringVar(&f.rolling, "rolling", "", "HORIZON/EVERY of planning again and again, as 24h/15m, with KNOWN of the prices that came where it is not EVERY, as 24h/24h/0s; needs --actual")
	s.Float64Var(&f.o.Keep, "persistence", 0.95, "of --rolling: what is left after an hour of how far the last known price was off, 0..1")
	s.IntVar(&f.o.Nodes, "nodes", 0, "programs that are solved at most for what may not be at once (default 12 to 100, by size)")
	s.StringVar(&f.out, "out", "", "CSV file for what is done in each interval")
	s.StringVar(&f.schedule, "schedule", "", "CSV file for the target of all batteries together: time, target_kw")
	s.StringVar(&f.page, "page", "", "HTML file with the plan, its reasons and plots")
	s.BoolVar(&f.json, "json", false, "print the result as JSON")
	return c
}

func (f *planFlags) run(c *cobra.Command) error {
	if err := f.check(); err != nil {
		return fail(exitInput, err)
	}
	var err error
	if f.o.Portfolio, err = f.portfolio(); err != nil {
		return failed(c.Context(), err)
	}
	if err := f.span(); err != nil {
		return fail(exitInput, err)
	}
	r, err := planning.Run(c.Context(), f.o)
	if err != nil {
		return failed(c.Context(), err)
	}
	if err := errors.Join(writeFile(f.out, r.WriteCSV), writeFile(f.schedule, r.WriteSchedule), writeFile(f.page, r.WritePage)); err != nil {
		return fail(exitEnvironment, err)
	}
	if f.json {
		return printJSON(c.OutOrStdout(), r.Summary(true))
	}
	r.Print(c.OutOrStdout())
	return nil
}

func (f *planFlags) check() error {
	for _, flag := range []string{"power-kw", "energy-kwh"} {
		if x := *f.battery[strings.ReplaceAll(flag, "-", "_")]; f.given(flag) && !(x > 0) {
			return fmt.Errorf("--%s %v: write a number above 0", flag, x)
		}
	}
	if f.given("peak-kw") && !(f.demand > 0) {
		return errors.New("--peak-kw needs --demand-charge: what a kW above it costs")
	}
	if f.curtail && f.pv == "" {
		return errors.New("--curtail needs --pv: the output that may be turned down")
	}
	if f.site == "" && (f.prices == "" || !(*f.battery["power_kw"] > 0) || !(*f.battery["energy_kwh"] > 0)) {
		return errors.New("name prices and a battery, or a portfolio: yunchu market plan --prices FILE --power-kw N --energy-kwh N, or --site FILE")
	}
	if f.cvar != "" {
		list, err := scenario.ParseValues(f.cvar)
		if err != nil || len(list) != 2 || !(list[0] >= 0 && list[0] < 1 && list[1] >= 0 && list[1] <= 1) {
			return fmt.Errorf("--cvar %s: write LEVEL,WEIGHT as 0.95,0.5, both within 0..1", f.cvar)
		}
		f.o.Level, f.o.Tail = list[0], list[1]
	}
	if f.o.Scenarios == "" && (f.cvar != "" || f.o.Budget != 0) {
		return errors.New("--cvar and --robust need --scenarios: what may come")
	}
	if f.o.Committed != "" && (f.o.Scenarios != "" || f.o.Actual != "") {
		return errors.New("--committed is planned for with the prices that are expected: take --scenarios and --actual away")
	}
	if f.cvar != "" && f.o.Budget != 0 {
		return errors.New("--cvar and --robust are two ways to count what may come: keep one")
	}
	f.o.Actual, f.o.ActualColumn = fileColumn(f.o.Actual, "")
	switch f.o.Front = plan.Measure(f.front); f.o.Front {
	case "", plan.Wear, plan.Peak, plan.Carbon:
	default:
		return fmt.Errorf("--pareto %s: write wear, peak or carbon", f.front)
	}
	if f.rolling != "" {
		var err error
		if f.o.Rolling, err = worth.ParseRolling(f.rolling, scenario.ParseDuration); err != nil {
			return fmt.Errorf("--%w", err)
		}
		if f.o.Actual == "" {
			return errors.New("--rolling needs --actual: the prices that came")
		}
	}
	if !(f.o.Keep >= 0 && f.o.Keep <= 1) {
		return fmt.Errorf("--persistence %v: write a part of 1, as in 0.95", f.o.Keep)
	}
	if f.o.Draws < 2 || f.o.Points < 2 || f.o.Nodes < 0 || f.o.Budget < 0 {
		return errors.New("--draws and --points are at least 2, --nodes and --robust 0")
	}
	return nil
}

// besideSite is an error where a flag is given that does nothing with --site.
func (f *planFlags) besideSite(flags *pflag.FlagSet) (err error) {
	if f.site == "" {
		return nil
	}
	flags.VisitAll(func(x *pflag.Flag) {
		if err == nil && x.Changed && !slices.Contains(siteFlags, x.Name) {
			err = fmt.Errorf("--%s belongs to one battery by flags; with --site it stands in the file", x.Name)
		}
	})
	return err
}

// span reads --from and --to, whose days are of the clock of the portfolio.
func (f *planFlags) span() error {
	zone, err := time.LoadLocation(f.o.Portfolio.Zone)
	if err != nil {
		return err
	}
	for _, x := range []struct {
		flag, text string
		at         *time.Time
	}{{"from", f.from, &f.o.From}, {"to", f.to, &f.o.To}} {
		if x.text == "" {
			continue
		}
		day, err := time.ParseInLocation(time.DateOnly, x.text, zone)
		at, ok := sheet.Instant(x.text)
		switch {
		case err == nil:
			*x.at = day
		case ok:
			*x.at = at
		default:
			return fmt.Errorf("--%s %q: write a day or an instant, as 2020-01-31 or 2020-01-31T13:00:00Z", x.flag, x.text)
		}
	}
	return nil
}

// portfolio is that of the file, or of the flags: they are read as a file would be.
func (f *planFlags) portfolio() (*scenario.Portfolio, error) {
	if f.site != "" {
		p, err := scenario.LoadPortfolio(f.site, scenarioOptions())
		if err != nil {
			return nil, err
		}
		if f.prices != "" {
			p.Prices = f.prices
		}
		if p.Prices == "" {
			return nil, fail(exitInput, errors.New("name the prices: --prices FILE, or prices: FILE in the portfolio"))
		}
		return p, nil
	}
	var b strings.Builder
	line := func(indent int, key string, value any) {
		if text, ok := value.(string); ok && text != "" {
			value = strconv.Quote(text)
		}
		fmt.Fprintf(&b, "%*s%s: %v\n", indent, "", key, value)
	}
	line(0, "apiVersion", scenario.APIVersion)
	line(0, "kind", "Portfolio")
	line(0, "prices", f.prices)
	line(0, "currency", f.currency)
	line(0, "zone", f.zone)
	line(0, "carbon_price_per_t", f.carbon)
	line(0, "products", "")
	for _, name := range f.products {
		fmt.Fprintf(&b, "  - %q\n", strings.TrimSpace(name))
	}
	line(0, "regulation", "")
	line(2, "energy_up", f.energyUp)
	line(2, "energy_down", f.energyDown)
	line(2, "duration", f.duration.String())
	line(2, "reserve_duration", f.duration.String())
	line(2, "balanced", f.balanced)
	b.WriteString("sites:\n  - id: site\n")
	for _, x := range []struct{ key, text, column, scale string }{{"load", f.load, "load_kw", "1"}, {"pv", f.pv, "pv_kw", "-1"}} {
		if x.text == "" {
			continue
		}
		path, column := fileColumn(x.text, x.column)
		fmt.Fprintf(&b, "    %s: {csv: %q, time: time, column: %q, scale_kw: %s}\n", x.key, path, column, x.scale)
	}
	line(4, "curtail", f.curtail)
	for _, x := range []struct {
		flag, key string
		value     float64
	}{
		{"import-limit-kw", "import_limit_kw", f.importKW},
		{"export-limit-kw", "export_limit_kw", f.exportKW},
		{"demand-charge", "demand_charge_per_kw", f.demand},
		{"peak-kw", "peak_so_far_kw", f.peak},
	} {
		if f.given(x.flag) {
			line(4, x.key, x.value)
		}
	}
	b.WriteString("    battery:\n")
	for _, x := range planNumbers {
		if f.given(x[1]) {
			line(6, x[0], *f.battery[x[0]])
		}
	}
	if f.wear != "" {
		segments, err := wearOf(f.wear)
		if err != nil {
			return nil, err
		}
		b.WriteString("      wear:\n")
		for _, s := range segments {
			fmt.Fprintf(&b, "        - {to: %v, cost_per_mwh: %v}\n", s[0], s[1])
		}
	}
	return scenario.ParsePortfolio("command line", []byte(b.String()), scenarioOptions())
}

// fileColumn cuts FILE:COLUMN.
func fileColumn(text, column string) (string, string) {
	if at := strings.LastIndexByte(text, ':'); at > 1 { // a drive has one letter
		return text[:at], text[at+1:]
	}
	return text, column
}

// wearOf reads segments of wear: a cost for all depths, or a file of them.
func wearOf(text string) (segments [][2]float64, err error) {
	if cost, err := strconv.ParseFloat(text, 64); err == nil {
		return [][2]float64{{1, cost}}, nil
	}
	columns := []string{"to", "cost_per_mwh"}
	s, err := sheet.Read(text, func(name string) bool { return slices.Contains(columns, name) })
	if err != nil {
		return nil, err
	}
	to, err := s.Full(columns[0])
	if err != nil {
		return nil, err
	}
	cost, err := s.Full(columns[1])
	if err != nil {
		return nil, err
	}
	for k := range to {
		segments = append(segments, [2]float64{to[k], cost[k]})
	}
	return segments, nil
}
