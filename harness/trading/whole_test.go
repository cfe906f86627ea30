package trading_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"yunchu/harness/trading"
)

const awardHead = "time,minutes,product,side,quantity_mw,price_per_mwh\n"

// TestBillHasAllDeliveries: a delivery without energy, between others, before or after them, has a row of 0 kWh.
func TestBillHasAllDeliveries(t *testing.T) {
	t.Parallel()
	r, err := trading.Award(trading.AwardOptions{Awards: []string{write(t, t.TempDir(), "awards.csv", []byte(awardHead+
		"2026-03-01T00:00:00Z,60,regup,sell,1,5\n2026-03-01T01:00:00Z,60,energy,buy,1,20\n2026-03-01T03:00:00Z,60,energy,sell,1,50\n2026-03-01T04:00:00Z,60,regup,sell,1,5\n"))}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.WriteData(&out); err != nil {
		t.Fatal(err)
	}
	const want = `time,da_kwh,da_price,rt_price,cfd_kwh,cfd_price,ref_price
2026-03-01T00:00:00Z,0,0,,0,0,0
2026-03-01T01:00:00Z,-1000,20,20,0,0,0
2026-03-01T02:00:00Z,0,0,,0,0,0
2026-03-01T03:00:00Z,1000,50,50,0,0,0
2026-03-01T04:00:00Z,0,0,,0,0,0
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
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
	got, err := trading.Replay(o)
	if err != nil {
		t.Fatal(err)
	}
	if got.From != "2026-03-02" || got.Days != 2 {
		t.Errorf("%d days from %s", got.Days, got.From)
	}
}
