package settle

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a bill is the same on a machine without a database of zones
)

// Tariff is a rule by which is billed, as its file says it. One of its versions holds for
// local dates from Valid.From to Valid.To, both included.
type Tariff struct {
	APIVersion string `yaml:"apiVersion" json:"-" jsonschema:"enum=yunchu/v1"` // yunchu/v1, or left out
	Kind       string `yaml:"kind" json:"-" jsonschema:"enum=BillRule"`        // BillRule, or left out

	Name     string        `yaml:"name" json:"name" jsonschema:"required"`
	Title    string        `yaml:"title" json:"title"`
	Version  string        `yaml:"version" json:"version"`
	Source   string        `yaml:"source" json:"source"`
	Standing string        `yaml:"standing" json:"standing" jsonschema:"enum=verified,enum=secondary,enum=unverified"` // verified, secondary or unverified
	Doubts   []string      `yaml:"doubts" json:"doubts,omitempty"`
	Valid    Validity      `yaml:"valid" json:"valid"`
	Currency string        `yaml:"currency" json:"currency" jsonschema:"required"`
	Zone     string        `yaml:"time_zone" json:"time_zone" jsonschema:"required"`   // days, months and hours of the rule are in it
	Step     time.Duration `yaml:"interval" json:"-"`                                  // of settlement
	Fill     string        `yaml:"fill" json:"fill,omitempty"`                         // time: what is not known of an interval is estimated; else it is missing
	Coverage float64       `yaml:"coverage_percent" json:"coverage_percent,omitempty"` // with fill: how much of it has to be known
	Rounding Rounding      `yaml:"rounding" json:"rounding"`
	Lines    []Line        `yaml:"lines" json:"lines" jsonschema:"required,minItems=1"`

	zone *time.Location
}

// Validity are local dates, 2025-01-31; empty is open.
type Validity struct {
	From string `yaml:"from" json:"from,omitempty"`
	To   string `yaml:"to" json:"to,omitempty"`
}

// Line is one of a bill: quantity · price in each interval, or of each month's peak.
//
// Quantities are columns of the data, or of the meter: charge and discharge (what went in
// and came out net in the interval, both at least 0), net_in, net_out; kWh each.
type Line struct {
	ID     string `yaml:"id" json:"id" jsonschema:"required"`
	Title  string `yaml:"title" json:"title"`
	Source string `yaml:"source" json:"source,omitempty"`                     // clause of the rule
	Kind   string `yaml:"kind" json:"kind"`                                   // energy, demand (the month's largest mean power) or double-min
	Side   string `yaml:"side" json:"side" jsonschema:"enum=earns,enum=pays"` // earns or pays; amounts that are paid are below 0

	Where    string  `yaml:"where" json:"where,omitempty"` // only in intervals in which this column is above 0
	Quantity string  `yaml:"quantity" json:"quantity"`
	Plus     string  `yaml:"plus" json:"plus,omitempty"`             // added to it
	Minus    string  `yaml:"minus" json:"minus,omitempty"`           // taken from it
	Least    string  `yaml:"least" json:"least,omitempty"`           // no more than this is billed
	Floor    bool    `yaml:"floor" json:"floor,omitempty"`           // and no less than 0
	Times    string  `yaml:"times" json:"times,omitempty"`           // a further factor, such as a score
	AtMost   float64 `yaml:"times_most" json:"times_most,omitempty"` // that factor at most; 0: no bound

	Price   float64       `yaml:"price" json:"price,omitempty"`
	PriceOf string        `yaml:"price_of" json:"price_of,omitempty"` // a column, instead of Price
	Mean    time.Duration `yaml:"price_mean" json:"-"`                // its mean over local clock steps of this length
	Less    string        `yaml:"price_less" json:"price_less,omitempty"`
	Per     string        `yaml:"per" json:"per" jsonschema:"enum=kWh,enum=MWh,enum=kW,enum=unit"` // kWh, MWh, kW or unit
	Periods []Period      `yaml:"periods" json:"periods,omitempty"`
	// Otherwise is what holds where none of the periods does: none, nothing is billed. Without
	// it they have to leave no time out.
	Otherwise string `yaml:"otherwise" json:"otherwise,omitempty" jsonschema:"enum=none"`

	Beyond float64 `yaml:"cliff_percent" json:"cliff_percent,omitempty"` // of double-min: a larger deviation earns nothing
}

// In puts the rule in the currency of its data: only where all of its prices are columns. Nothing is
// converted.
func (t *Tariff) In(currency string) error {
	for i := range t.Lines {
		if l := &t.Lines[i]; currency != t.Currency && l.PriceOf == "" && (l.Price != 0 || len(l.Periods) > 0) {
			return fmt.Errorf("the bill cannot be in %s: the price of line %s is one of rule %s, in %s", currency, l.ID, t.Name, t.Currency)
		}
	}
	t.Currency = currency
	return nil
}

// Formula is what the line comes to in an interval, for people.
func (l *Line) Formula() string {
	q := l.Quantity
	if l.Plus != "" {
		q += " + " + l.Plus
	}
	if l.Minus != "" {
		q += " − " + l.Minus
	}
	switch {
	case l.Kind == "demand":
		q = "largest mean power of the month"
	case l.Kind == "double-min":
		q = fmt.Sprintf("min(%s / %s, 1) · min(%[1]s, %[2]s)", q, l.Least)
	case l.Least != "":
		q = fmt.Sprintf("min(%s, %s)", q, l.Least)
	case l.Plus+l.Minus != "" && !l.Floor:
		q = "(" + q + ")"
	}
	if l.Floor {
		q = fmt.Sprintf("max(%s, 0)", q)
	}
	p := strconv.FormatFloat(l.Price, 'f', -1, 64)
	switch {
	case len(l.Periods) > 0:
		p = "price of the period"
	case l.PriceOf != "" && l.Mean > 0:
		p = fmt.Sprintf("mean of %s over %v", l.PriceOf, l.Mean)
	case l.PriceOf != "":
		p = l.PriceOf
	}
	if l.Less != "" {
		p = fmt.Sprintf("(%s − %s)", p, l.Less)
	}
	s := q + " · " + p
	switch {
	case l.Times != "" && l.AtMost > 0:
		s += fmt.Sprintf(" · min(%s, %g)", l.Times, l.AtMost)
	case l.Times != "":
		s += " · " + l.Times
	}
	if l.Per == "MWh" {
		s += " / 1000"
	}
	if l.Side == "pays" {
		s = "−" + s
	}
	if l.Beyond > 0 {
		s += fmt.Sprintf(", nothing beyond %g %% of deviation", l.Beyond)
	}
	if l.Where != "" {
		s += fmt.Sprintf(", where %s > 0", l.Where)
	}
	return s
}

// Period is a part of the year in which a price of its own holds. The first that fits does.
type Period struct {
	Name   string    `yaml:"name" json:"name"`
	Months []int     `yaml:"months" json:"months,omitempty"` // first and last, 1..12; from 11 to 2 is winter
	Hours  []float64 `yaml:"hours" json:"hours,omitempty"`   // from ≤ local hour < to; 8.5 is half past eight
	Days   string    `yaml:"days" json:"days,omitempty"`     // workdays (Monday to Friday), weekend or empty for all
	Price  float64   `yaml:"price" json:"price"`
}

// covers tells whether a local time lies in the period.
func (p *Period) covers(t time.Time) bool {
	weekend := t.Weekday() == time.Saturday || t.Weekday() == time.Sunday
	return p.has(int(t.Month()), t.Hour()*3600+t.Minute()*60+t.Second(), weekend)
}

// has tells the same of a second of any workday or weekend of a month.
func (p *Period) has(month, second int, weekend bool) bool {
	return (len(p.Months) != 2 || within(month, p.Months[0], p.Months[1]+1)) &&
		(len(p.Hours) != 2 || within(second, seconds(p.Hours[0]), seconds(p.Hours[1]))) &&
		(p.Days == "" || (p.Days == "weekend") == weekend)
}

func seconds(hour float64) int { return int(math.Round(hour * 3600)) }

func within(x, from, to int) bool {
	if from < to {
		return from <= x && x < to
	}
	return x >= from || x < to
}

// hole is a time that none of the periods has, in words; empty where there is none.
func (l *Line) hole() string {
	begins := []int{0} // a hole begins where a period ends, or with the day
	for _, p := range l.Periods {
		if len(p.Hours) == 2 {
			begins = append(begins, seconds(p.Hours[1])%(24*3600))
		}
	}
	slices.Sort(begins)
	for month := 1; month <= 12; month++ {
		for _, days := range []string{"workdays", "weekend"} {
			for _, s := range begins {
				if !slices.ContainsFunc(l.Periods, func(p Period) bool { return p.has(month, s, days == "weekend") }) {
					return fmt.Sprintf("%s of month %d from %02d:%02d on", days, month, s/3600, s/60%60)
				}
			}
		}
	}
	return ""
}

// check tells what is wrong with a period of a rule that bills by step.
func (p *Period) check(step time.Duration, wrong func(key, hint, format string, args ...any)) (good bool) {
	good = true
	fault := func(key, hint, format string, args ...any) {
		good = false
		wrong(key, hint, format, args...)
	}
	if (len(p.Months) != 0 && len(p.Months) != 2) || (len(p.Hours) != 0 && len(p.Hours) != 2) {
		fault("", "as in months: [6, 9], hours: [12, 18]", "months and hours have a first and a last")
	}
	if slices.ContainsFunc(p.Months, func(m int) bool { return m < 1 || m > 12 }) {
		fault(".months", "as in [6, 9], or [11, 2] for a winter", "months are 1 to 12")
	}
	off := func(h float64) bool {
		s := time.Duration(seconds(h)) * time.Second
		return h < 0 || h > 24 || s%max(step, 1) != 0 || math.Abs(h*3600-s.Seconds()) > 1e-3
	}
	if slices.ContainsFunc(p.Hours, off) {
		fault(".hours", "as in [12, 18], or [8.5, 12] from half past eight on", "hours are 0 to 24, and begin an interval of %v", step)
	}
	if !slices.Contains([]string{"", "workdays", "weekend"}, p.Days) {
		fault(".days", "one of workdays, weekend", "%q is not known here", p.Days)
	}
	return good
}

// quantities are the columns that the line's quantity is made of.
func (l *Line) quantities() []string {
	return slices.DeleteFunc([]string{l.Quantity, l.Plus, l.Minus, l.Least}, func(c string) bool { return c == "" })
}

// metered tells whether a quantity of the line is the meter's.
func (l *Line) metered() bool {
	return slices.ContainsFunc(l.quantities(), func(c string) bool { return slices.Contains(meterColumns, c) })
}

// ofEnergy tells whether the quantities of the line are energies, kWh, also those that are not the meter's.
func (l *Line) ofEnergy() bool { return l.Per == "kWh" || l.Per == "MWh" || l.Kind == "demand" }

// meterColumns are the quantities of the meter.
var meterColumns = []string{"charge", "discharge", "net_in", "net_out"}

// Columns are those that the data must have beside the meter.
func (t *Tariff) Columns() (names []string) {
	for _, l := range t.Lines {
		for _, c := range []string{l.Where, l.Quantity, l.Plus, l.Minus, l.Least, l.Times, l.PriceOf, l.Less} {
			if c != "" && !slices.Contains(meterColumns, c) && !slices.Contains(names, c) {
				names = append(names, c)
			}
		}
	}
	return names
}

// Needs is how much of an interval has to be known, percent.
func (t *Tariff) Needs() float64 {
	if t.Fill == "" {
		return 100
	}
	return t.Coverage
}

// Location is the rule's time zone.
func (t *Tariff) Location() *time.Location {
	if t.zone == nil {
		t.zone, _ = time.LoadLocation(t.Zone) // Check has seen it
	}
	return t.zone
}

// Floor is the begin of the step of local clock that a time lies in. An hour that comes
// twice when summer time ends is two.
func (t *Tariff) Floor(at time.Time, step time.Duration) time.Time {
	_, offset := at.In(t.Location()).Zone()
	local := at.UnixNano() + int64(offset)*int64(time.Second)
	return at.Add(-time.Duration(local % int64(step)))
}

// Begins tells whether a step begins at a time. One of several hours may also be one of UTC:
// those of local clock are not equally long where clocks change.
func (t *Tariff) Begins(at time.Time, step time.Duration) bool {
	return t.Floor(at, step).Equal(at) || (step > time.Hour && at.UnixNano()%int64(step) == 0)
}

// Holds tells whether the version is valid at a time.
func (t *Tariff) Holds(at time.Time) bool {
	date := at.In(t.Location()).Format(time.DateOnly)
	return t.Valid.From <= date && (t.Valid.To == "" || date <= t.Valid.To)
}

// NewTariff is a rule that says nothing yet, to be read into. What it leaves out of rounding
// is half-up to two digits by the month.
func NewTariff() *Tariff {
	return &Tariff{Rounding: Rounding{Digits: 2, Mode: "half-up", Of: "month"}}
}

// Check tells all that is wrong with a rule, and fills in what it may leave out: rounding,
// which is that of [NewTariff], and that with fill 95 % of an interval have to be known.
func (t *Tariff) Check() (list []Wrong) {
	wrong := func(key, hint, format string, args ...any) {
		list = append(list, Wrong{key, fmt.Sprintf(format, args...), hint})
	}
	oneOf := func(key, word string, known ...string) {
		if !slices.Contains(known, word) {
			wrong(key, "one of "+strings.Join(known, ", "), "%q is not known here", word)
		}
	}
	if t.APIVersion != "" && t.APIVersion != apiVersion {
		wrong("apiVersion", "write "+apiVersion, "%q is no version of files", t.APIVersion)
	}
	if t.Name == "" {
		wrong("name", "", "the rule has no name")
	}
	if t.Version == "" {
		wrong("version", "the date of its edition, as in 2025-10-24", "the rule has no version")
	}
	oneOf("standing", t.Standing, "verified", "secondary", "unverified")
	if _, err := time.LoadLocation(t.Zone); err != nil || t.Zone == "" || t.Zone == "Local" {
		wrong("time_zone", "as in Asia/Shanghai, Europe/Berlin or UTC", "%q is no time zone", t.Zone)
	}
	if t.Step < time.Minute || (24*time.Hour)%max(t.Step, 1) != 0 {
		wrong("interval", "as in 15m", "an interval of %v does not divide a day", t.Step)
	}
	if t.Rounding == (Rounding{}) {
		t.Rounding = NewTariff().Rounding
	}
	if t.Rounding.Mode == "" {
		t.Rounding.Mode = "half-up"
	}
	if t.Rounding.Of == "" {
		t.Rounding.Of = "month"
	}
	oneOf("rounding.mode", t.Rounding.Mode, "half-up", "half-even")
	oneOf("rounding.of", t.Rounding.Of, "interval", "month")
	if t.Rounding.Digits < 0 || t.Rounding.Digits > 6 {
		wrong("rounding.digits", "", "a currency has 0 to 6 digits")
	}
	oneOf("fill", t.Fill, "", "time")
	switch {
	case t.Fill != "" && t.Coverage == 0:
		t.Coverage = 95
	case t.Fill == "" && t.Coverage != 0 && t.Coverage != 100:
		wrong("coverage_percent", "write fill: time with it", "an interval that is known in part is not billed, unless the rule fills it")
	}
	for _, end := range []struct{ key, date string }{{"valid.from", t.Valid.From}, {"valid.to", t.Valid.To}} {
		if _, err := time.Parse(time.DateOnly, end.date); end.date != "" && err != nil {
			wrong(end.key, "as in 2025-01-31", "%q is no date", end.date)
		}
	}
	if t.Coverage < 0 || t.Coverage > 100 {
		wrong("coverage_percent", "", "readings cover 0 to 100 %% of an interval")
	}
	if len(t.Lines) == 0 {
		wrong("lines", "", "a bill has at least one line")
	}
	seen := map[string]bool{}
	for i := range t.Lines {
		l := &t.Lines[i]
		at := func(key string) string { return fmt.Sprintf("lines[%d].%s", i, key) }
		if l.ID == "" || seen[l.ID] {
			wrong(at("id"), "", "each line has an id of its own")
		}
		seen[l.ID] = true
		if l.Kind == "" {
			l.Kind = "energy"
		}
		oneOf(at("kind"), l.Kind, "energy", "demand", "double-min")
		oneOf(at("side"), l.Side, "earns", "pays")
		oneOf(at("per"), l.Per, "kWh", "MWh", "kW", "unit")
		if l.Quantity == "" {
			wrong(at("quantity"), "a column, or one of "+strings.Join(meterColumns, ", "), "the line has no quantity")
		}
		if l.Kind == "demand" {
			if l.Quantity != "charge" {
				wrong(at("quantity"), "", "demand is the peak of what is taken: charge")
			}
			if t.Valid.From != "" && !strings.HasSuffix(t.Valid.From, "-01") {
				wrong("valid.from", "", "with a demand charge a version begins with a month")
			}
		}
		if l.Mean != 0 && (t.Step <= 0 || l.Mean < t.Step || l.Mean%t.Step != 0 || (24*time.Hour)%l.Mean != 0) {
			wrong(at("price_mean"), "as in 1h", "a mean over %v is none of whole intervals", l.Mean)
		}
		switch {
		case l.PriceOf != "" && (l.Price != 0 || len(l.Periods) > 0), l.Price != 0 && len(l.Periods) > 0:
			wrong(at("price"), "", "a line has a price, a column of prices or periods, and one of them")
		case l.PriceOf == "" && l.Mean != 0:
			wrong(at("price_mean"), "", "a mean is that of a column of prices")
		}
		for _, c := range [][2]string{{"times", l.Times}, {"price_of", l.PriceOf}, {"price_less", l.Less}} {
			if slices.Contains(meterColumns, c[1]) {
				wrong(at(c[0]), "write a column of the data", "%s is what the meter says, and a quantity alone", c[1])
			}
		}
		if l.Kind == "double-min" && l.Least == "" {
			wrong(at("least"), "the column of what was promised", "double-min needs what was promised")
		}
		good := true
		for j := range l.Periods {
			good = l.Periods[j].check(t.Step, func(key, hint, format string, args ...any) {
				wrong(fmt.Sprintf("lines[%d].periods[%d]%s", i, j, key), hint, format, args...)
			}) && good
		}
		oneOf(at("otherwise"), l.Otherwise, "", "none")
		switch hole := l.hole(); {
		case l.Otherwise != "" && len(l.Periods) == 0:
			wrong(at("otherwise"), "", "it is said of what no period has, and there are none")
		case good && l.Otherwise == "" && len(l.Periods) > 0 && hole != "":
			wrong(at("periods"), "end with one without months, hours and days, or write otherwise: none", "no period has %s", hole)
		}
	}
	return list
}

// TariffNames are the rules for bills that ship.
func TariffNames() (names []string) {
	files, err := ruleFiles.ReadDir("rules/bill")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// ShippedTariff is one of [TariffNames].
func ShippedTariff(name string) (*Tariff, error) {
	src, err := ruleFiles.ReadFile(path.Join("rules/bill", name+".yaml"))
	if err != nil {
		return nil, fmt.Errorf("there is no rule %q: there are %s", name, strings.Join(TariffNames(), ", "))
	}
	t, err := ParseTariff(src)
	if err != nil {
		panic(name + ": " + err.Error())
	}
	return t, nil
}

// ParseTariff reads the text of a rule. The error is of its form, or says the first thing that is
// wrong with it.
func ParseTariff(src []byte) (*Tariff, error) {
	t := NewTariff()
	if err := decode(src, t); err != nil {
		return nil, fmt.Errorf("a rule for bills: %w", err)
	}
	if wrong := t.Check(); len(wrong) > 0 {
		return nil, fmt.Errorf("%s: %s", wrong[0].Key, wrong[0].Msg)
	}
	return t, nil
}
