package trading_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/harness/billing"
	"yunchu/harness/trading"
)

const awardHead = "time,minutes,product,side,quantity_mw,price_per_mwh\n"

// realTime are hourly prices of so many hours, 11, 12 and so on, none in those that are named.
func realTime(hours int, without ...int) []byte {
	var b strings.Builder
	b.WriteString("time,energy_per_mwh\n")
	for k := range hours {
		price := fmt.Sprint(11 + k)
		if slices.Contains(without, k) {
			price = ""
		}
		fmt.Fprintf(&b, "2026-03-01T%02d:00:00Z,%s\n", k, price)
	}
	return []byte(b.String())
}

// data is the bill of awards.
func data(t *testing.T, awards string, prices []byte) (string, error) {
	t.Helper()
	dir := t.TempDir()
	o := trading.AwardOptions{Awards: []string{write(t, dir, "awards.csv", []byte(awardHead+awards))}, Column: "energy_per_mwh"}
	if prices != nil {
		o.RealTime = write(t, dir, "prices.csv", prices)
	}
	r, err := trading.Award(o)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = r.WriteData(&out)
	return out.String(), err
}

// TestBillHasAllDeliveries: a delivery without energy, between others, before or after them, has a row of 0 kWh.
func TestBillHasAllDeliveries(t *testing.T) {
	t.Parallel()
	got, err := data(t, "2026-03-01T00:00:00Z,60,regup,sell,1,5\n2026-03-01T01:00:00Z,60,energy,buy,1,20\n2026-03-01T03:00:00Z,60,energy,sell,1,50\n2026-03-01T04:00:00Z,60,regup,sell,1,5\n", realTime(5))
	const want = `time,da_kwh,da_price,rt_price,cfd_kwh,cfd_price,ref_price,regup_kwh,regup_price,regdown_kwh,regdown_price,reserve_kwh,reserve_price
2026-03-01T00:00:00Z,0,0,11,0,0,0,1000,5,0,0,0,0
2026-03-01T01:00:00Z,-1000,20,12,0,0,0,0,0,0,0,0,0
2026-03-01T02:00:00Z,0,0,13,0,0,0,0,0,0,0,0,0
2026-03-01T03:00:00Z,1000,50,14,0,0,0,0,0,0,0,0,0
2026-03-01T04:00:00Z,0,0,15,0,0,0,1000,5,0,0,0,0
`
	if err != nil || got != want {
		t.Errorf("%v, got\n%swant\n%s", err, got, want)
	}
}

// TestBillLacksNoPrice: where a price of real time is missing that a bill needs, the row that should have it is told, or the last before it.
func TestBillLacksNoPrice(t *testing.T) {
	t.Parallel()
	const bought = "2026-03-01T01:00:00Z,60,energy,buy,1,20\n2026-03-01T02:00:00Z,60,energy,buy,1,20\n2026-03-01T03:00:00Z,60,energy,sell,1,50\n"
	hole := bytes.Replace(realTime(4), []byte("2026-03-01T02:00:00Z,13\n"), nil, 1)
	late := bytes.Replace(realTime(4), []byte("2026-03-01T00:00:00Z,11\n2026-03-01T01:00:00Z,12\n"), nil, 1)
	for _, tt := range []struct {
		name, awards string
		prices       []byte
		want         string
	}{
		{"ends before", bought, realTime(3), "prices.csv:4:22: there is no energy_per_mwh of 2026-03-01T03:00:00Z"},
		{"begins after", bought, late, "prices.csv:2:22: there is no energy_per_mwh of 2026-03-01T01:00:00Z"},
		{"empty field", bought, realTime(4, 2), "prices.csv:4:22: there is no energy_per_mwh of 2026-03-01T02:00:00Z"},
		{"hole", bought, hole, "prices.csv:3:22: there is no energy_per_mwh of 2026-03-01T02:00:00Z"},
		{"nothing of energy, no real time", "2026-03-01T01:00:00Z,60,regup,sell,1,20\n", nil, "awards.csv: no energy has a price at 2026-03-01T01:00:00Z"},
		{"overlap", "2026-03-01T01:00:00Z,60,energy,buy,1,20\n2026-03-01T01:30:00Z,60,energy,buy,1,20\n", realTime(4), "two deliveries of energy overlap at 2026-03-01T01:30:00Z"},
	} {
		if _, err := data(t, tt.awards, tt.prices); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %s", tt.name, err, tt.want)
		}
	}
}

// TestBillOfCapacityAlone: it earns what was printed, to the cent, besides a deviation from no energy; there is no schedule of it.
func TestBillOfCapacityAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, err := trading.Award(trading.AwardOptions{
		Awards: []string{write(t, dir, "awards.csv", []byte(awardHead+"2026-03-01T00:00:00Z,60,regup,sell,0.7,5.123457\n2026-03-01T00:00:00Z,60,regdown,sell,0.3,2\n2026-03-01T01:00:00Z,60,reserve,sell,1,3.5\n"))},
		Column: "energy_per_mwh", RealTime: write(t, dir, "prices.csv", realTime(2)),
	})
	if err != nil {
		t.Fatal(err)
	}
	var out, none bytes.Buffer
	if err := r.WriteData(&out); err != nil {
		t.Fatal(err)
	}
	for _, w := range []func(io.Writer) error{r.WriteCSV, r.WriteDispatch} {
		if err := w(&none); err == nil || !strings.Contains(err.Error(), "there are no awards of energy") || none.Len() > 0 {
			t.Errorf("%v, %q", err, none.String())
		}
	}
	meter := "time,energy_kwh\n"
	for k := range 8 {
		meter += fmt.Sprintf("2026-03-01T%02d:%02d:00Z,%d\n", k/4, k%4*15, 10*(k%2))
	}
	bill, err := billing.Bill(billing.BillOptions{
		Rules: []string{"two-settlement-capacity"}, Readings: write(t, dir, "meter.csv", []byte(meter)), Data: []string{write(t, dir, "data.csv", out.Bytes())},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range bill.Bills[0].Months[0].Lines {
		got = append(got, l.Line+" "+string(l.Amount))
	}
	if want := "[day-ahead 0.00 real-time -0.46 regup 3.59 regdown 0.60 reserve 3.50 contract 0.00]"; fmt.Sprint(got) != want || !bill.Complete || r.Capacity != "7.69" {
		t.Errorf("%v, complete %v, capacity %s: want %s", got, bill.Complete, r.Capacity, want)
	}
}

// TestScenariosOfCapacity: capacity earns its price in each scenario of energy, which no other column is; without that price
// it is refused.
func TestScenariosOfCapacity(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := trading.CheckOptions{
		Market: "day-ahead-hourly", Column: "energy_per_mwh",
		Bids:      write(t, dir, "bids.csv", []byte("time,product,side,quantity_mw,price_per_mwh\n2026-03-01T03:00:00Z,regup,sell,1,\n")),
		Limits:    write(t, dir, "limits.yaml", []byte("apiVersion: yunchu/v1\nkind: TradingLimits\nname: none\nsoc: off\n")),
		Scenarios: write(t, dir, "scenarios.csv", []byte("time,low,high,regup_per_mw,carbon_t_per_mwh\n2026-03-01T03:00:00Z,10,90,7,0.3\n2026-03-01T04:00:00Z,10,90,7,0.3\n")),
	}
	got, err := trading.Check(o)
	if err != nil {
		t.Fatal(err)
	}
	if got.Scenarios != 2 || math.Abs(got.Expected-7) > 1e-9 {
		t.Errorf("%d scenarios, %v expected: want 2, and 7", got.Scenarios, got.Expected)
	}
	o.Scenarios = write(t, dir, "energy.csv", []byte("time,low,high\n2026-03-01T03:00:00Z,10,90\n2026-03-01T04:00:00Z,10,90\n"))
	if _, err := trading.Check(o); err == nil || !strings.Contains(err.Error(), "regup_per_mw") {
		t.Errorf("without a price of capacity: %v", err)
	}
}

// TestReplayFromALaterDay: days that are not asked for need no price of the day before.
func TestReplayFromALaterDay(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("time,energy_per_mwh,forecast,regup_per_mw,regdown_per_mw\n")
	for at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC); at.Day() < 4; at = at.Add(time.Hour) {
		fmt.Fprintf(&b, "%s,%d,%d,5,3\n", at.Format(time.RFC3339), 20+at.Hour(), 20+at.Hour())
	}
	path := write(t, t.TempDir(), "prices.csv", []byte(b.String()))
	o := trading.ReplayOptions{Strategies: []string{trading.Regulation}, Prices: path, PriceColumn: "energy_per_mwh", From: "2026-03-02"}
	o.Market, o.Column, o.Forecast = "day-ahead-hourly", "energy_per_mwh", path
	o.Battery.PowerKW, o.Battery.EnergyKWh, o.Battery.Efficiency = 1000, 2000, 0.9
	got, err := trading.Replay(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got.From != "2026-03-02" || got.Days != 2 {
		t.Errorf("%d days from %s", got.Days, got.From)
	}
}
