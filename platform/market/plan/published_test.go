package plan_test

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"yunchu/platform/market"
	"yunchu/platform/market/plan"
)

// reference reads a file of the reference data, without its first line.
func reference(t *testing.T, name string) [][]string {
	t.Helper()
	dir := os.Getenv("YUNCHU_DATA")
	if dir == "" {
		t.Skip("YUNCHU_DATA is not set: published prices and bills are not part of the repository")
	}
	f, err := os.Open(filepath.Join(dir, "market", name))
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

func number(t *testing.T, text string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestPublishedPrices: on the days of a year, energy alone and with regulation, a plan earns what a backtest
// does, or less where that charges and discharges at once, and never more.
func TestPublishedPrices(t *testing.T) {
	rows := reference(t, "caiso2020.csv")
	inf := math.Inf(1)
	days, same, step := 0, 0, 24
	if testing.Short() {
		step = 10 * 24
	}
	for from := 0; from+24 <= len(rows); from += step {
		var lists [3][]float64
		for _, row := range rows[from : from+24] {
			for k := range lists {
				lists[k] = append(lists[k], number(t, row[k+1]))
			}
		}
		against := func(p plan.Portfolio, r market.Regulation, cost float64) {
			got := solved(t, &p)
			want, err := market.Best(t.Context(), market.Battery{PowerMW: 1, EnergyMWh: 4, Efficiency: 0.85, VariableCost: cost}, r, market.Prices{Hours: 1, Energy: lists[0], RegUp: lists[1], RegDown: lists[2]})
			if err != nil {
				t.Fatal(err)
			}
			both := false
			for k := range want.Charge {
				both = both || want.Charge[k] > 1e-6 && want.Discharge[k] > 1e-6
			}
			days++
			switch {
			case !both:
				same++
				near(t, rows[from][0], got.Value, want.Value, 1e-6)
			case got.Value > want.AtMost+1e-4:
				t.Errorf("%s: %v is more than %v", rows[from][0], got.Value, want.AtMost)
			}
		}
		against(day(lists[0]), market.Regulation{}, 0)
		if from%(24*10) == 0 {
			p := day(lists[0])
			p.Sites[0].Battery.VariableCost, p.Balanced = 2, true
			p.Products = []plan.Product{{Name: "regup", Up: true, Price: lists[1], Called: 0.3, Hours: 1, MostMW: inf}, {Name: "regdown", Price: lists[2], Called: 0.15, Hours: 1, MostMW: inf}}
			against(p, market.Regulation{Up: true, Down: true, EnergyUp: 0.3, EnergyDown: 0.15, Hours: 1, Balanced: true}, 2)
		}
	}
	if t.Logf("%d of %d are the same program", same, days); same < days*9/10 {
		t.Errorf("only %d of %d", same, days)
	}
}

// TestPublishedBill: DER-VET's site of 2017 has a battery and PV that lower its energy and demand charges. It was
// optimised over the year as one, so that energy goes over the ends of months, and where it does several plans cost the same: the
// peak of each month is the published one to the cent, the year's cost is the published one within the rounding of its 24 amounts,
// and the energy of a month may be another's.
func TestPublishedBill(t *testing.T) {
	if testing.Short() {
		t.Skip("one site is planned by one goroutine")
	}
	rows, expected := reference(t, "dervet-bill-2017/input_timeseries.csv"), reference(t, "dervet-bill-2017/expected_simple_monthly_bill.csv")
	tariff := reference(t, "dervet-bill-2017/input_tariff.csv")
	price := func(at time.Time) float64 {
		for _, row := range tariff {
			n := func(i int) int { return int(number(t, row[i])) }
			month, ending, workday := int(at.Month()), at.Hour()+1, at.Weekday() != time.Saturday && at.Weekday() != time.Sunday
			if row[9] == "Energy" && n(1) <= month && month <= n(2) && n(3) <= ending && ending <= n(4) && (row[7] == "1") == workday {
				return 1000 * number(t, row[8])
			}
		}
		t.Fatalf("no price at %s", at)
		return 0
	}
	p := day(nil)
	s := &p.Sites[0]
	s.Battery = plan.Battery{ChargeMW: 1.575, DischargeMW: 1.575, MWh: 9.45, Most: 9.45, In: 0.91, Out: 1, Start: 4.725, End: plan.End{Least: 4.725, Most: 4.725}}
	var months []time.Month
	for k, row := range rows {
		if at := time.Date(2017, 1, 1, k, 0, 0, 0, time.UTC); at.Year() == 2017 {
			months = append(months, at.Month())
			s.Buy = append(s.Buy, price(at))
			s.Load, s.PV = append(s.Load, number(t, row[2])/1000), append(s.PV, number(t, row[3]))
		}
	}
	for month := time.January; month <= time.December; month++ {
		within := make([]bool, len(months))
		for k, m := range months {
			within[k] = m == month
		}
		s.Demand = append(s.Demand, plan.Demand{PerMW: 7016, Within: within})
	}
	p.Intervals = len(s.Buy)
	got := solved(t, &p)
	kept(t, &p, got)
	idle, err := p.Idle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	published := 0.0
	for month := time.January; month <= time.December; month++ {
		row, peak := expected[month-1], 0.0
		for k, m := range months {
			if m == month {
				peak = max(peak, got.Sites[0].Net[k])
			}
		}
		if cents := math.Abs(7016*peak - number(t, row[4])); cents > 0.006 {
			t.Errorf("%s: demand charge %.3f, published %s", row[0], 7016*peak, row[4])
		}
		published += number(t, row[1]) + number(t, row[4])
	}
	t.Logf("%.4f, at most %.2g less; published %.2f; without the battery %.2f", -got.Value, got.AtMost-got.Value, published, -idle.Sum())
	if apart := math.Abs(-got.Value - published); apart > 24*0.005 {
		t.Errorf("the year costs %.4f, published %.2f", -got.Value, published)
	}
	if !(got.Totals.Demand > idle.Demand+12*1000) {
		t.Errorf("the demand charges are %.2f, %.2f without the battery", -got.Totals.Demand, -idle.Demand)
	}
}
