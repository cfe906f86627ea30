package settle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/settle"
)

// TestShippedTariffs: every rule that ships says where it is from and how far it is verified.
func TestShippedTariffs(t *testing.T) {
	t.Parallel()
	if len(settle.TariffNames()) < 6 {
		t.Errorf("rules: %v", settle.TariffNames())
	}
	for _, name := range settle.TariffNames() {
		if r := tariff(t, name); r.Name != name || r.Source == "" || (r.Standing != "verified" && len(r.Doubts) == 0) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	var bad settle.Tariff
	bad.Coverage, bad.Fill = 101, "mean"
	bad.Lines = []settle.Line{{Kind: "fee", Mean: time.Minute, Price: 1, Periods: []settle.Period{{Hours: []float64{1}, Days: "holiday"}}}}
	bad.Valid.From = "yesterday"
	var keys []string
	for _, w := range bad.Check() {
		keys = append(keys, w.Key)
	}
	for _, key := range []string{"name", "version", "standing", "time_zone", "interval", "valid.from", "lines[0].id", "lines[0].kind", "lines[0].side", "lines[0].per", "lines[0].quantity", "lines[0].price", "lines[0].price_mean", "coverage_percent", "fill", "lines[0].periods[0]", "lines[0].periods[0].days"} {
		if !slices.Contains(keys, key) {
			t.Errorf("%s is wrong, and was not told: %v", key, keys)
		}
	}
}

// TestPeriods: a time of the year that no period has is told when the rule is read, and so is
// a period that is none.
func TestPeriods(t *testing.T) {
	t.Parallel()
	rule := func(otherwise string, periods ...settle.Period) *settle.Tariff {
		r := settle.NewTariff()
		r.Name, r.Version, r.Standing, r.Zone, r.Step = "x", "1", "unverified", "Asia/Kolkata", 15*time.Minute
		r.Lines = []settle.Line{{ID: "e", Side: "pays", Quantity: "charge", Per: "kWh", Periods: periods, Otherwise: otherwise}}
		return r
	}
	day, night := settle.Period{Hours: []float64{8.5, 22}, Price: 2}, settle.Period{Hours: []float64{22, 8.5}, Price: 1}
	with := func(p settle.Period, change func(p *settle.Period)) settle.Period {
		change(&p)
		return p
	}
	for _, tt := range []struct {
		otherwise string
		periods   []settle.Period
		want      string // key and words; empty: nothing is wrong
	}{
		{"", []settle.Period{day, night}, ""},
		{"", []settle.Period{day}, "lines[0].periods: no period has workdays of month 1 from 00:00 on"},
		{"none", []settle.Period{day}, ""},
		{"", []settle.Period{day, with(night, func(p *settle.Period) { p.Hours = []float64{22, 8} })}, "lines[0].periods: no period has workdays of month 1 from 08:00 on"},
		{"", []settle.Period{day, with(night, func(p *settle.Period) { p.Days = "workdays" })}, "lines[0].periods: no period has weekend of month 1 from 00:00 on"},
		{"", []settle.Period{with(day, func(p *settle.Period) { p.Months = []int{4, 9} }), night}, "lines[0].periods: no period has workdays of month 1 from 08:30 on"},
		{"", []settle.Period{with(day, func(p *settle.Period) { p.Months = []int{10, 3} }), with(day, func(p *settle.Period) { p.Months = []int{4, 9} }), night}, ""},
		{"", []settle.Period{{Months: []int{13, 14}}}, "lines[0].periods[0].months: months are 1 to 12"},
		{"", []settle.Period{{Hours: []float64{8, 25}}}, "lines[0].periods[0].hours: hours are 0 to 24, and begin an interval of 15m0s"},
		{"", []settle.Period{{Hours: []float64{8.1, 12}}}, "lines[0].periods[0].hours: hours are 0 to 24, and begin an interval of 15m0s"},
		{"free", []settle.Period{day, night}, `lines[0].otherwise: "free" is not known here`},
		{"none", nil, "lines[0].otherwise: "},
	} {
		got := ""
		for _, w := range rule(tt.otherwise, tt.periods...).Check() {
			got += w.Key + ": " + w.Msg
		}
		if (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%q %+v: %s; want %s", tt.otherwise, tt.periods, got, tt.want)
		}
	}
	// Half past eight begins the day: 34 quarters at 1, 54 at 2 and 8 at 1.
	r := rule("", day, night)
	if wrong := r.Check(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	d := &settle.Data{At: quarters(t, r.Zone, "2025-07-01 00:00", 96)}
	for range d.At {
		d.Energy = append(d.Energy, 1)
	}
	if b, err := r.Bill(d); err != nil || !b.Complete || string(b.Total) != "-150.00" {
		t.Errorf("%+v, %v", b, err)
	}
}
