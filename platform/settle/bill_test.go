package settle_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/settle"
)

func tariff(t *testing.T, name string) *settle.Tariff {
	t.Helper()
	r, err := settle.ShippedTariff(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// quarters are n intervals of 15 minutes from a local time on.
func quarters(t *testing.T, zone, begin string, n int) []time.Time {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	from, err := time.ParseInLocation("2006-01-02 15:04", begin, loc)
	if err != nil {
		t.Fatal(err)
	}
	at := make([]time.Time, n)
	for i := range at {
		at[i] = from.UTC().Add(time.Duration(i) * 15 * time.Minute)
	}
	return at
}

func amounts(t *testing.T, b *settle.Bill, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, m := range b.Months {
		for _, l := range m.Lines {
			s = append(s, l.Line+" "+string(l.Amount))
		}
	}
	return strings.Join(append(s, "total "+string(b.Total)), ", ")
}

// TestBillsByHand: each rule that ships, on numbers that can be followed with a pencil.
func TestBillsByHand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule   string
		energy []float64 // kWh, > 0 charges
		column map[string][]float64
		want   string
	}{
		{ // 900 sold at 500, 1,000 delivered: 450 + 100 · 0.3; contract 400 · (0.45 − 0.4)
			"two-settlement",
			[]float64{-1000},
			map[string][]float64{"da_kwh": {900}, "da_price": {500}, "rt_price": {300}, "cfd_kwh": {400}, "cfd_price": {450}, "ref_price": {400}},
			"day-ahead 450.00, real-time 30.00, contract 20.00, total 500.00",
		},
		{ // what was sold and not delivered is bought back
			"two-settlement",
			[]float64{-500},
			map[string][]float64{"da_kwh": {900}, "da_price": {500}, "rt_price": {1000}, "cfd_kwh": {0}, "cfd_price": {0}, "ref_price": {0}},
			"day-ahead 450.00, real-time -400.00, contract 0.00, total 50.00",
		},
		{ // charged at the mean of the hour, 250, whatever its own quarter cost; discharged at its own
			"mengxi",
			[]float64{1000, 0, 0, -800},
			map[string][]float64{"rt_price": {100, 200, 300, 400}, "cfd_kwh": {0, 0, 0, 500}, "cfd_price": {0, 0, 0, 380}, "ref_price": {0, 0, 0, 400}, "green_kwh": {0, 0, 0, 600}, "green_price": {0, 0, 0, 50}},
			"discharge 320.00, charge -250.00, contract -10.00, green 30.00, total 90.00",
		},
		{ // 100 committed: 80 delivered and 20 short, then 130 delivered
			"demand-response",
			[]float64{20, -30},
			map[string][]float64{"baseline_kwh": {100, 100}, "committed_kwh": {100, 100}, "comp_price": {3, 3}, "pen_price": {1.5, 1.5}},
			"compensation 540.00, penalty -30.00, total 510.00",
		},
		{ // somebody who takes more than the baseline earns nothing and pays for all of it
			"demand-response",
			[]float64{150},
			map[string][]float64{"baseline_kwh": {100}, "committed_kwh": {40}, "comp_price": {3}, "pen_price": {1.5}},
			"compensation 0.00, penalty -135.00, total -135.00",
		},
		{ // nothing is committed outside of the event, and nobody needs to know a baseline there
			"demand-response",
			[]float64{150, 20, 150},
			map[string][]float64{"baseline_kwh": {100, 100, math.NaN()}, "committed_kwh": {0, 100, 0}, "comp_price": {3, 3, 3}, "pen_price": {1.5, 1.5, 1.5}},
			"compensation 240.00, penalty -30.00, total 210.00",
		},
		{ // 80 of 100: 2 · 0.8 · 80; 120: 2 · 100; 69 and 131 are beyond the cliff; 70 and 130 are not
			"peak-shaving-double-min",
			[]float64{-80, -120, -69, -131, -70, -130},
			map[string][]float64{"promised_kwh": {100, 100, 100, 100, 100, 100}, "k": {1, 1, 1, 1, 1, 1}, "comp_price": {2, 2, 2, 2, 2, 2}},
			"shaving 626.00, total 626.00",
		},
		{ // K counts up to 2
			"regulation-mileage",
			[]float64{0, 0},
			map[string][]float64{"mileage_mw": {40, 10}, "mileage_price": {8, 6}, "k": {1.72, 2.4}},
			"mileage 670.40, total 670.40",
		},
	} {
		d := &settle.Data{At: quarters(t, "Asia/Shanghai", "2025-07-01 12:00", len(tt.energy)), Energy: tt.energy, Column: tt.column}
		b, err := tariff(t, tt.rule).Bill(d)
		if got := amounts(t, b, err); got != tt.want || !b.Complete {
			t.Errorf("%s: %s; want %s", tt.rule, got, tt.want)
		}
	}
}

// dervet reads the case of DER-VET: its load by hours, its tariff and the bills it expects.
func dervet(t *testing.T, name string) [][]string {
	t.Helper()
	dir := os.Getenv("YUNCHU_DATA")
	if dir == "" {
		t.Skip("YUNCHU_DATA is not set: the reference bill is not part of the repository")
	}
	f, err := os.Open(filepath.Join(dir, "market/dervet-bill-2017", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

// TestPublishedTariff: time of use and demand of a year, every month to the cent.
func TestPublishedTariff(t *testing.T) {
	t.Parallel()
	d := &settle.Data{}
	for i, row := range dervet(t, "input_timeseries.csv") {
		d.At = append(d.At, time.Date(2017, 1, 1, i, 0, 0, 0, time.UTC)) // it labels the end of the hour
		d.Energy = append(d.Energy, number(t, row[2]))
	}
	rule := &settle.Tariff{Name: "dervet", Version: "2017-01-01", Standing: "verified", Currency: "USD", Zone: "UTC", Step: time.Hour, Rounding: settle.Rounding{Digits: 2}}
	energy := settle.Line{ID: "energy", Side: "pays", Quantity: "charge", Per: "kWh"}
	for _, row := range dervet(t, "input_tariff.csv") {
		n := func(i int) int { return int(number(t, row[i])) }
		if row[9] == "Demand" {
			rule.Lines = append(rule.Lines, settle.Line{ID: "demand", Kind: "demand", Side: "pays", Quantity: "charge", Price: number(t, row[8]), Per: "kW"})
			continue
		}
		p := settle.Period{Name: row[0], Months: []int{n(1), n(2)}, Hours: []float64{float64(n(3) - 1), float64(n(4))}, Price: number(t, row[8]), Days: "weekend"}
		if row[7] == "1" {
			p.Days = "workdays"
		}
		energy.Periods = append(energy.Periods, p)
	}
	rule.Lines = append(rule.Lines, energy)
	if wrong := rule.Check(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	b, err := rule.Bill(d)
	if err != nil || !b.Complete || len(b.Months) != 12 {
		t.Fatal(err, b)
	}
	for i, row := range dervet(t, "expected_simple_monthly_bill.csv") {
		m := b.Months[i]
		if m.Month != row[0] || string(m.Lines[0].Amount) != "-"+row[5] || string(m.Lines[1].Amount) != "-"+row[2] {
			t.Errorf("%s: demand %s, energy %s; want %s and %s", m.Month, m.Lines[0].Amount, m.Lines[1].Amount, row[5], row[2])
		}
	}
	// The peak is an interval that can be pointed at.
	peak := b.Months[0].Lines[0].Items
	if len(peak) != 1 || string(peak[0].Quantity) != fmt.Sprint(slices.Max(d.Energy[:744])) {
		t.Errorf("peak of January: %+v", peak)
	}
}

// TestDaysOf23And25Hours: both days of a change of clocks have the hours that they have.
func TestDaysOf23And25Hours(t *testing.T) {
	t.Parallel()
	rule := tariff(t, "mengxi")
	rule.Zone, rule.Lines = "Europe/Berlin", []settle.Line{
		{ID: "night", Side: "pays", Quantity: "charge", Per: "kWh", Periods: []settle.Period{{Hours: []float64{22, 6}, Price: 1}}, Otherwise: "none"},
		{ID: "hour", Side: "pays", Quantity: "charge", PriceOf: "p", Mean: time.Hour, Per: "kWh"},
	}
	again := *rule
	if wrong := again.Check(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	for _, tt := range []struct {
		day          string
		n            int
		night, hours string
	}{
		{"2025-03-30 00:00", 92, "-28.00", "-92.00"}, // 7 hours of night: 02:00 is left out
		{"2025-10-26 00:00", 100, "-36.00", "-100.00"},
		{"2025-06-15 00:00", 96, "-32.00", "-96.00"},
	} {
		d := &settle.Data{At: quarters(t, rule.Zone, tt.day, tt.n), Column: map[string][]float64{"p": nil}}
		for i := range tt.n {
			d.Energy = append(d.Energy, 1)
			d.Column["p"] = append(d.Column["p"], []float64{0, 2, 0, 2}[i%4]) // mean 1 of each hour, also of that which comes twice
		}
		next := d.At[tt.n-1].Add(15 * time.Minute).In(again.Location())
		if next.Hour() != 0 || next.Minute() != 0 {
			t.Fatalf("%s: %d quarters end at %s", tt.day, tt.n, next)
		}
		b, err := again.Bill(d)
		if err != nil || !b.Complete {
			t.Fatal(err, b)
		}
		if l := b.Months[0].Lines; string(l[0].Amount) != tt.night || string(l[1].Amount) != tt.hours {
			t.Errorf("%s: night %s, hours %s; want %s and %s", tt.day, l[0].Amount, l[1].Amount, tt.night, tt.hours)
		}
	}
}

// TestRounding: the last digit is decided on exact decimals, and by the rule.
func TestRounding(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ x, up, even string }{
		{"1.005", "1.01", "1.00"}, {"-1.005", "-1.01", "-1.00"}, {"1.015", "1.02", "1.02"}, {"0.0049999", "0.00", "0.00"}, {"-0.05", "-0.05", "-0.05"}, {"2.675", "2.68", "2.68"},
	} {
		x, _ := new(big.Rat).SetString(tt.x)
		for mode, want := range map[string]string{"half-up": tt.up, "half-even": tt.even} {
			r := settle.Rounding{Digits: 2, Mode: mode}
			if got := r.Text(r.Round(x)); got != want {
				t.Errorf("%s %s: %s, want %s", tt.x, mode, got, want)
			}
		}
	}
	// A million times 0.1 kWh at 0.1 is 10,000.00 and no float near it; rounded each time, 0.01.
	d := &settle.Data{At: quarters(t, "UTC", "2025-01-01 00:00", 2900)}
	for range d.At {
		d.Energy = append(d.Energy, 0.1)
	}
	rich := tariff(t, "tou-demand")
	rich.Lines[1].Price = 1e30
	if _, err := rich.Bill(&settle.Data{At: d.At[:1], Energy: []float64{-1}}); err == nil || !strings.Contains(err.Error(), "feed-in of 2025-01") {
		t.Errorf("more money than there is: %v", err)
	}
	for of, want := range map[string]string{"month": "-26.10", "interval": "-29.00"} {
		rule := &settle.Tariff{
			Name: "x", Version: "1", Standing: "unverified", Zone: "UTC", Step: 15 * time.Minute, Rounding: settle.Rounding{Digits: 2, Of: of},
			Lines: []settle.Line{{ID: "e", Side: "pays", Quantity: "charge", Price: 0.09, Per: "kWh"}},
		}
		if wrong := rule.Check(); len(wrong) > 0 {
			t.Fatal(wrong)
		}
		b, err := rule.Bill(d)
		if err != nil || string(b.Total) != want {
			t.Errorf("rounded by the %s: %v, want %s (%v)", of, b.Total, want, err)
		}
	}
}

// random is a month with gaps in nothing.
func random(t *testing.T, n int) *settle.Data {
	rng := rand.New(rand.NewPCG(6, 1))
	d := &settle.Data{At: quarters(t, "Asia/Shanghai", "2025-07-01 00:00", n), Rows: make([][2]int, n), Column: map[string][]float64{}}
	for i := range n {
		hour := float64(d.At[i].Add(8*time.Hour).Hour()) + float64(i%4)/4
		e := 0.0
		switch {
		case hour >= 10 && hour < 14:
			e = 250 - 40*float64(i%4)
		case hour >= 18 && hour < 21:
			e = -280 + math.Round(rng.Float64()*100)/10
		}
		d.Energy = append(d.Energy, e)
		d.Rows[i] = [2]int{2 + 4*i, 5 + 4*i}
		for c, x := range map[string]float64{
			"rt_price": math.Round(3000-1000*math.Sin(hour/4)+200*rng.Float64()*10) / 10, "cfd_kwh": 100, "cfd_price": 320.5, "ref_price": 300.25, "green_kwh": 200, "green_price": 12.5,
		} {
			d.Column[c] = append(d.Column[c], x)
		}
	}
	return d
}

// TestAmountsTrace: a line is what its items add up to, each with its interval and readings,
// and each item is its quantity times its price.
func TestAmountsTrace(t *testing.T) {
	t.Parallel()
	d := random(t, 96*31)
	b, err := tariff(t, "mengxi").Bill(d)
	if err != nil || len(b.Months) != 1 {
		t.Fatal(err, b)
	}
	var total settle.Amount
	for _, l := range b.Months[0].Lines {
		sum := new(big.Rat)
		for i, x := range l.Items {
			a, _ := new(big.Rat).SetString(string(x.Amount))
			signed := new(big.Rat).Set(a)
			q, _ := new(big.Rat).SetString(string(x.Quantity))
			p, _ := new(big.Rat).SetString(string(x.Price))
			if q.Mul(q, p).Mul(q, big.NewRat(1, 1000)); q.Abs(q).Cmp(a.Abs(a)) != 0 {
				t.Fatalf("%s: %v is not %s · %s / 1000", l.Line, x.Amount, x.Quantity, x.Price)
			}
			if x.Rows == nil || *x.Rows != d.Rows[i] || !x.At.Equal(d.At[i]) || x.Line != l.Line {
				t.Fatalf("%s: item %d is of %+v", l.Line, i, x)
			}
			sum.Add(sum, signed)
		}
		if b.Rounding.Round(sum) != l.Cents || len(l.Items) != len(d.At) {
			t.Errorf("%s: items come to %s, the line says %s", l.Line, sum.FloatString(4), l.Amount)
		}
		total += l.Cents
	}
	if total != b.Sum {
		t.Errorf("lines come to %d, the bill to %d", total, b.Sum)
	}
}

// TestMissingIsTold: what is not there is not billed as 0 and leaves the bill incomplete.
func TestMissingIsTold(t *testing.T) {
	t.Parallel()
	d := random(t, 96)
	d.Energy[41] = math.NaN()
	d.Column["rt_price"][42] = math.NaN() // and with it the mean of its hour
	d.At = slices.Delete(d.At, 50, 51)
	d.Energy, d.Rows = slices.Delete(d.Energy, 50, 51), slices.Delete(d.Rows, 50, 51)
	for c := range d.Column {
		d.Column[c] = slices.Delete(d.Column[c], 50, 51)
	}
	b, err := tariff(t, "mengxi").Bill(d)
	if err != nil || b.Complete {
		t.Fatal(err, b)
	}
	seen := map[string]int{}
	for _, m := range b.Missing {
		seen[m.Line+":"+m.What]++
	}
	want := map[string]int{
		":interval": 1, "discharge:readings": 1, "charge:readings": 1, "green:readings": 1,
		"discharge:rt_price": 1, "charge:rt_price": 1, "charge:rt_price over the hour": 2 + 3,
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("missing: %v; want %v", seen, want)
	}
	if _, err := (&settle.Ledger{}).Settle("grid", time.Unix(0, 0), b); err == nil {
		t.Error("an incomplete bill was booked")
	}
	delete(d.Column, "green_kwh")
	if _, err := tariff(t, "mengxi").Bill(d); err == nil || !strings.Contains(err.Error(), "green_kwh") {
		t.Errorf("a column that is not there: %v", err)
	}
}

// TestVersionsHoldForTheirDates: of local dates, and of no others.
func TestVersionsHoldForTheirDates(t *testing.T) {
	t.Parallel()
	d := random(t, 96*31)
	rule := tariff(t, "mengxi")
	rule.Valid = settle.Validity{From: "2025-07-10", To: "2025-07-11"}
	b, err := rule.Bill(d)
	if err != nil {
		t.Fatal(err)
	}
	if from := b.From.In(rule.Location()).Format("01-02 15:04"); from != "07-10 00:00" || b.To.Sub(b.From) != 48*time.Hour {
		t.Errorf("from %s for %v", from, b.To.Sub(b.From))
	}
	rule.Valid = settle.Validity{From: "2025-08-01"}
	if _, err := rule.Bill(d); !errors.Is(err, settle.ErrNoData) {
		t.Errorf("of no date: %v", err)
	}
}

// balance is what the grid owes.
func balance(l *settle.Ledger) settle.Amount {
	for _, a := range l.Accounts() {
		if a.Name == "party:grid" {
			return a.Cents
		}
	}
	return 0
}

// TestLedger: postings balance, what is booked stays, and another settlement books the
// difference and says to what.
func TestLedger(t *testing.T) {
	t.Parallel()
	d := random(t, 96*31)
	rule := tariff(t, "mengxi")
	first, err := rule.Bill(d)
	if err != nil {
		t.Fatal(err)
	}
	var l settle.Ledger
	// A meter's file does not say whose it is: two stations would be one.
	if _, err := l.Settle("grid", time.Unix(1e9, 0), first); err == nil || !strings.Contains(err.Error(), "name the site") || len(l.Entries) != 0 {
		t.Errorf("a meter's bill of nobody's: %v", err)
	}
	first.Site = "north"
	book, err := l.Settle("grid", time.Unix(1e9, 0), first)
	if err != nil || len(l.Entries) != 1 || balance(&l) != first.Sum {
		t.Fatal(err, l.Entries)
	}
	if more, err := l.Settle("grid", time.Unix(1e9, 0), first); err != nil || len(more) != 0 {
		t.Errorf("the same bill was booked again: %s, %v", more, err)
	}
	for i := range d.Energy[:960] {
		d.Energy[i] *= 0.5
	}
	second, err := rule.Bill(d)
	if err != nil {
		t.Fatal(err)
	}
	second.Site = "north"
	more, err := l.Settle("grid", time.Unix(2e9, 0), second)
	if err != nil || len(l.Entries) != 2 || l.Entries[1].Ref != 1 {
		t.Fatal(err, l.Entries)
	}
	book = append(book, more...)
	again, err := settle.ReadLedger(book)
	if err != nil {
		t.Fatal(err)
	}
	var sum settle.Amount
	for _, a := range again.Accounts() {
		sum += a.Cents
	}
	if balance(again) != second.Sum || sum != 0 || first.Sum == second.Sum {
		t.Errorf("the party owes %d, the bill says %d; accounts add up to %d", balance(again), second.Sum, sum)
	}
	for _, p := range again.Entries[1].Postings {
		if p.Account == "line:contract" {
			t.Error("a line that did not change was booked again")
		}
	}
	lines := strings.SplitAfter(string(book), "\n")
	for name, bad := range map[string]string{
		"an amount changed": strings.Replace(string(book), `"amount":`, `"amount":1`, 1),
		"a name changed":    strings.Replace(string(book), `"key":"grid`, `"key":"grit`, 1),
		"the first removed": lines[1],
		"one put in twice":  lines[0] + lines[0],
		"cut off":           string(book[:len(book)-9]),
		"its end cut off":   string(book[:len(book)-1]),
	} {
		if bad == string(book) {
			t.Errorf("%s: nothing is", name)
		}
		if _, err := settle.ReadLedger([]byte(bad)); err == nil {
			t.Errorf("%s, and nobody noticed", name)
		}
	}
	// A bill of a part of what was booked would take the rest of it back.
	rule.Valid = settle.Validity{To: "2025-07-20"}
	early, err := rule.Bill(d)
	if err != nil {
		t.Fatal(err)
	}
	early.Site = "north"
	if _, err := again.Settle("grid", time.Unix(3e9, 0), early); err == nil || !strings.Contains(err.Error(), "bill the whole of it") {
		t.Errorf("a part of what was booked: %v", err)
	}
	// Two versions in one month are one entry.
	late := tariff(t, "mengxi")
	late.Version, late.Valid = "2025-07-21", settle.Validity{From: "2025-07-21"}
	rest, err := late.Bill(d)
	if err != nil {
		t.Fatal(err)
	}
	rest.Site = "north"
	var both settle.Ledger
	if _, err := both.Settle("grid", time.Unix(0, 0), early, rest); err != nil || len(both.Entries) != 1 || balance(&both) != early.Sum+rest.Sum || both.Entries[0].Version != "2025-06-01, 2025-07-21" {
		t.Errorf("%+v, %v", both.Entries, err)
	}
	// Another site with the same party, rule and month is no correction of this one.
	elsewhere := *first
	elsewhere.Site = "south"
	var sites settle.Ledger
	for range 2 {
		if _, err := sites.Settle("grid", time.Unix(0, 0), first); err != nil {
			t.Fatal(err)
		}
		if _, err := sites.Settle("grid", time.Unix(0, 0), &elsewhere); err != nil {
			t.Fatal(err)
		}
	}
	if len(sites.Entries) != 2 || sites.Entries[1].Ref != 0 || sites.Entries[1].Site != "south" || balance(&sites) != 2*first.Sum {
		t.Errorf("two sites: %+v", sites.Entries)
	}
	// Nor are other devices, unless they are said to be of one site.
	of := *first
	of.Site, of.Of = "", []string{"a", "b"}
	var devices settle.Ledger
	if _, err := devices.Settle("grid", time.Unix(0, 0), &of); err != nil {
		t.Fatal(err)
	}
	of.Of = []string{"c"}
	if _, err := devices.Settle("grid", time.Unix(0, 0), &of); err == nil || !strings.Contains(err.Error(), "was booked of a, b, and not of c: name the --site") {
		t.Errorf("other devices under the same key: %v", err)
	}
	of.Site = "south"
	if _, err := sites.Settle("grid", time.Unix(0, 0), &of); err != nil || len(sites.Entries) != 2 {
		t.Errorf("a site with a device replaced: %v", err)
	}
	// What was booked without a site is that of its devices: others have a site of their own, the same or a
	// meter may be the one that was booked.
	for _, tt := range []struct {
		site string
		of   []string
		ok   bool
	}{{"south", []string{"c"}, true}, {"north", []string{"b", "d"}, false}, {"north", nil, false}} {
		of.Site, of.Of = tt.site, tt.of
		if _, err := devices.Settle("grid", time.Unix(0, 0), &of); (err == nil) != tt.ok || !tt.ok && !strings.Contains(err.Error(), "was booked of a, b without a site") {
			t.Errorf("%+v beside devices that were booked without a site: %v", tt, err)
		}
	}
	// In whatever order they are named; and a part is a part of both.
	var turned settle.Ledger
	if _, err := turned.Settle("grid", time.Unix(0, 0), rest, early); err != nil || len(turned.Entries) != 1 || !turned.Entries[0].From.Equal(early.From) || !turned.Entries[0].To.Equal(rest.To) || turned.Entries[0].Version != "2025-06-01, 2025-07-21" {
		t.Errorf("the later one first: %+v, %v", turned.Entries, err)
	}
	for _, part := range []*settle.Bill{early, rest} {
		if _, err := turned.Settle("grid", time.Unix(0, 0), part); err == nil || !strings.Contains(err.Error(), "bill the whole of it") {
			t.Errorf("a part of both: %v", err)
		}
	}
	late.Valid.From = "2025-07-25"
	gap, err := late.Bill(d)
	if err != nil {
		t.Fatal(err)
	}
	gap.Site = "north"
	if _, err := new(settle.Ledger).Settle("grid", time.Unix(0, 0), early, gap); err == nil || !strings.Contains(err.Error(), "is billed by none") {
		t.Errorf("days between two versions: %v", err)
	}
	second.ProForma = true
	if _, err := l.Settle("other", time.Unix(0, 0), second); err == nil {
		t.Error("a bill of simulated readings was booked")
	}
}

// TestMeter: energy of readings, and none where none is known.
func TestMeter(t *testing.T) {
	t.Parallel()
	from := time.Date(2025, 7, 1, 0, 0, 0, 0, time.UTC)
	var s []settle.Sample
	for i := range 4*90 + 1 { // every 10 s of an hour, 100 kW rising to 460
		s = append(s, settle.Sample{At: from.UnixMilli() + int64(i)*10000, KW: 100 + float64(i), Row: i + 2})
	}
	for i := 100; i < 120; i++ { // 200 s of the second quarter are bad
		s[i].Quality = device.Bad
	}
	s[200].Quality = device.Suspect // 20 s are still a reading apart
	energy, rows, _, err := settle.Meter(s, from, from.Add(time.Hour), 15*time.Minute, time.Minute, 100)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "first quarter", energy[0], (100+190)/2.0/4, 1e-6)
	near(t, "third quarter", energy[2], (280+370)/2.0/4, 1e-6)
	if !math.IsNaN(energy[1]) || rows[0] != [2]int{2, 92} || rows[3] != [2]int{272, 362} {
		t.Errorf("%v, %v", energy, rows)
	}
	gap := slices.Clone(s)
	gap[300] = settle.Sample{At: gap[300].At, Gap: true, Row: 302}
	energy, _, _, err = settle.Meter(gap, from, from.Add(time.Hour), 15*time.Minute, time.Minute, 99)
	if err != nil || !math.IsNaN(energy[3]) {
		t.Errorf("across a gap: %v, %v", energy, err)
	}
	// 20 s of a quarter are not known: nothing, unless it may be filled by its mean power.
	late := s[2:]
	energy, _, _, err = settle.Meter(late, from, from.Add(15*time.Minute), 15*time.Minute, time.Minute, 100)
	if err != nil || !math.IsNaN(energy[0]) {
		t.Errorf("880 of 900 s: %v, %v", energy, err)
	}
	energy, _, known, err := settle.Meter(late, from, from.Add(15*time.Minute), 15*time.Minute, time.Minute, 95)
	if err != nil || known[0] != 880.0/900 {
		t.Fatal(known, err)
	}
	near(t, "filled by time", energy[0], (102+190)/2.0/4, 1e-6)
	if err := settle.Refuse(s); err != nil {
		t.Error(err)
	}
	s[7].Flags = device.FlagSimulated | device.FlagSign
	var simulated *settle.SimulatedError
	if err := settle.Refuse(s); !errors.As(err, &simulated) || simulated.Row != 9 {
		t.Errorf("simulated readings: %v", err)
	}
}

// TestTraps: of a bill that fell into a known trap it is said which; of others, that it was none.
func TestTraps(t *testing.T) {
	t.Parallel()
	days := 14 * 96
	if testing.Short() {
		days = 3 * 96
	}
	right := tariff(t, "mengxi")
	claims := func(rule *settle.Tariff, d *settle.Data) (list []settle.Claim) {
		b, err := rule.Bill(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range b.Months[0].Lines {
			list = append(list, settle.Claim{Line: l.Line, Amount: l.Cents})
		}
		return list
	}
	scaled := func(k float64) *settle.Data {
		d := random(t, days)
		for i := range d.Energy {
			d.Energy[i] *= k
		}
		return d
	}
	shifted := func(n int) *settle.Data { // prices of n quarters later
		d := random(t, days)
		for c, x := range d.Column {
			d.Column[c] = append(slices.Clone(x[n:]), x[:n]...)
		}
		return d
	}
	own, everywhere := tariff(t, "mengxi"), tariff(t, "mengxi")
	own.Lines[1].Mean, everywhere.Lines[0].Mean = 0, time.Hour
	mixed := claims(right, random(t, days)) // one line in one trap, one in another
	mixed[0].Amount, mixed[1].Amount = claims(right, scaled(0.25))[0].Amount, claims(own, random(t, days))[1].Amount
	odd := claims(right, random(t, days))
	odd[0].Amount += 12345
	for _, tt := range []struct {
		name, trap, what string
		claims           []settle.Claim
	}{
		{"the same", settle.TrapNone, "as the rule says", claims(right, random(t, days))},
		{"× 0.25", settle.TrapEnergy, "times 0.25", claims(right, scaled(0.25))},
		{"× 4", settle.TrapEnergy, "times 4", claims(right, scaled(4))},
		{"eight hours", settle.TrapZone, "8h0m0s later", claims(right, shifted(32))},
		{"an hour", settle.TrapZone, "1h0m0s later", claims(right, shifted(4))},
		{"end labels", settle.TrapZone, "15m0s later", claims(right, shifted(1))},
		{"charge at its own price", settle.TrapHourly, "own price where", claims(own, random(t, days))},
		{"discharge at the mean", settle.TrapHourly, "the mean of the hour where", claims(everywhere, random(t, days))},
		{"two traps", settle.TrapSeveral, "charge: each interval's own price", mixed},
		{"something else", settle.TrapNone, "none of the known", odd},
	} {
		r, err := right.Reconcile(random(t, days), tt.claims)
		if err != nil {
			t.Fatal(err)
		}
		if r.Trap != tt.trap || !strings.Contains(r.Because, tt.what) || r.Agrees != (tt.name == "the same") {
			t.Errorf("%s: %s, because %s (apart %s)", tt.name, r.Trap, r.Because, r.Apart)
		}
	}
	// A line or a month that the other bill does not have is no agreement.
	d := random(t, 32*96) // of which the last day of July and the first of August are taken
	d.At, d.Energy, d.Rows = d.At[30*96:], d.Energy[30*96:], d.Rows[30*96:]
	for c, x := range d.Column {
		d.Column[c] = x[30*96:]
	}
	b, err := right.Bill(d)
	if err != nil || len(b.Months) != 2 {
		t.Fatal(err, b)
	}
	var whole []settle.Claim
	for _, m := range b.Months {
		for _, l := range m.Lines {
			whole = append(whole, settle.Claim{Line: l.Line, Month: m.Month, Amount: l.Cents})
		}
	}
	for _, tt := range []struct {
		name   string
		claims []settle.Claim
		left   []string
	}{
		{"all of it", whole, nil},
		{"a month", whole[:len(whole)/2], []string{"discharge 2025-08", "charge 2025-08", "contract 2025-08", "green 2025-08"}},
		{"a line of a month", slices.Delete(slices.Clone(whole), 2, 3), []string{"contract 2025-07"}},
	} {
		r, err := right.Reconcile(d, tt.claims)
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, x := range r.LeftOut {
			left = append(left, x.Line+" "+x.Month)
		}
		if r.Agrees != (tt.left == nil) || r.Trap != settle.TrapNone || !slices.Equal(left, tt.left) || strings.Contains(r.Because, "leaves out") != (tt.left != nil) {
			t.Errorf("%s: agrees %v, left out %v, because %s", tt.name, r.Agrees, left, r.Because)
		}
	}
	// A cent of a line is rounding. Two are none, however many lines there are and agree.
	for by, agrees := range map[settle.Amount]bool{0: true, 1: true, -1: true, 2: false, 3: false, -4: false} {
		off := slices.Clone(whole)
		off[1].Amount += by
		r, err := right.Reconcile(d, off)
		if err != nil || r.Agrees != agrees || r.Lines[1].Trap != settle.TrapNone || strings.Contains(r.Because, "none of the known") == agrees {
			t.Errorf("a line off by %d cents: agrees %v, because %s, %v", by, r.Agrees, r.Because, err)
		}
	}
	left, err := right.Reconcile(d, whole[1:])
	if err != nil {
		t.Fatal(err)
	}
	if said, want := left.Said("CNY"), fmt.Sprintf("the other bill leaves out discharge of 2025-07 (%s); the other lines are 0.00 apart: as the rule says", b.Months[0].Lines[0].Amount); said != want {
		t.Errorf("%s; want %s", said, want)
	}
	if _, err := right.Reconcile(random(t, 96), []settle.Claim{{Line: "fees", Amount: 1}}); err == nil {
		t.Error("a line that the rule does not have was compared")
	}
}

// TestTrapsOfData: energies of the data fall into the trap as those of the meter do, together with them or by themselves, and
// in one line as in all.
func TestTrapsOfData(t *testing.T) {
	t.Parallel()
	rule := tariff(t, "two-settlement")
	data := func(meter, sold float64) *settle.Data {
		d := random(t, 96)
		for i := range d.Energy {
			price := d.Column["rt_price"][i]
			d.Column["da_kwh"] = append(d.Column["da_kwh"], sold*(20-d.Energy[i]*float64(1+i%3)/2))
			d.Column["da_price"] = append(d.Column["da_price"], price-40+float64(i%7))
			d.Column["cfd_kwh"][i] *= sold
			d.Energy[i] *= meter
		}
		return d
	}
	claims := func(d *settle.Data) (list []settle.Claim) {
		b, err := rule.Bill(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range b.Months[0].Lines {
			list = append(list, settle.Claim{Line: l.Line, Amount: l.Cents})
		}
		return list
	}
	right := claims(data(1, 1))
	alone := func(line int, of []settle.Claim) []settle.Claim {
		list := slices.Clone(right)
		list[line] = of[line]
		return list
	}
	for _, tt := range []struct {
		name, what string
		claims     []settle.Claim
	}{
		{"all of it", "energy times 0.25: ", claims(data(0.25, 0.25))},
		{"all of it the other way", "energy times 4: ", claims(data(4, 4))},
		{"the meter", "the meter's energy times 0.25: ", claims(data(0.25, 1))},
		{"the data", "energy of the data times 4: ", claims(data(1, 4))},
		{"one line", "day-ahead: energy times 0.25: ", alone(0, claims(data(0.25, 0.25)))},
		{"a line of both", "real-time: energy times 4: ", alone(1, claims(data(4, 4)))},
		{"a line of both, of which one", "real-time: energy of the data times 0.25: ", alone(1, claims(data(1, 0.25)))},
	} {
		r, err := rule.Reconcile(data(1, 1), tt.claims)
		if err != nil {
			t.Fatal(err)
		}
		if r.Trap != settle.TrapEnergy || !strings.HasPrefix(r.Because, tt.what) {
			t.Errorf("%s: %s, because %s (apart %s)", tt.name, r.Trap, r.Because, r.Apart)
		}
	}
	// A rule of the meter alone has one reading each way.
	if r, err := tariff(t, "tou-demand").Reconcile(random(t, 96), nil); err != nil || slices.ContainsFunc(r.Tried, func(x settle.Reading) bool { return strings.Contains(x.What, "of the data") }) {
		t.Errorf("%+v, %v", r, err)
	}
}
