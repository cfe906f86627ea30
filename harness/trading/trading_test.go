package trading_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/harness/billing"
	"yunchu/harness/trading"
	"yunchu/platform/market/order"
)

// write writes a file of the test.
func write(t *testing.T, dir, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAwardsAreTheBillsLine: whatever is awarded, by the quarter or by the hour, at prices with up
// to six digits, earns what the bill of two settlements has as sold the day before, to the cent.
func TestAwardsAreTheBillsLine(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(21, 22))
	begin := time.Date(2026, 3, 9, 16, 0, 0, 0, time.UTC) // midnight in Shanghai
	for round := range 20 {
		dir := t.TempDir()
		length := 15 * time.Minute
		if round%2 == 1 {
			length = time.Hour
		}
		var awards []order.Award
		var meter strings.Builder
		meter.WriteString("time,energy_kwh\n")
		for at := begin; at.Before(begin.Add(48 * time.Hour)); at = at.Add(15 * time.Minute) {
			fmt.Fprintf(&meter, "%s,%.3f\n", at.Format(time.RFC3339), rng.NormFloat64()*100)
			if at.Sub(begin)%length == 0 {
				awards = append(awards, order.Award{
					At: at, Length: length, Product: order.Energy, Side: order.Side(rng.IntN(2)), KW: order.KW(rng.IntN(2000)), Price: order.Price(rng.Int64N(4e9) - 5e8),
				})
			}
		}
		var text bytes.Buffer
		if err := order.WriteAwards(&text, awards); err != nil {
			t.Fatal(err)
		}
		r, err := trading.Award(trading.AwardOptions{Awards: []string{write(t, dir, "awards.csv", text.Bytes())}})
		if err != nil {
			t.Fatal(err)
		}
		text.Reset()
		if err := r.WriteData(&text); err != nil {
			t.Fatal(err)
		}
		bill, err := billing.Bill(billing.BillOptions{
			Rules: []string{"two-settlement"}, Readings: write(t, dir, "meter.csv", []byte(meter.String())), Data: []string{write(t, dir, "data.csv", text.Bytes())},
		})
		if err != nil {
			t.Fatal(err)
		}
		line := bill.Bills[0].Months[0].Lines[0]
		if line.Line != "day-ahead" || line.Amount != r.Earned || !bill.Complete {
			t.Errorf("round %d: line %s is %s, the awards earned %s; complete: %v", round, line.Line, line.Amount, r.Earned, bill.Complete)
		}
	}
}

// TestAwardFaults: what is no award is told with its line.
func TestAwardFaults(t *testing.T) {
	t.Parallel()
	const head = "time,minutes,product,side,quantity_mw,price_per_mwh\n"
	for _, tt := range []struct{ text, want string }{
		{head + "2026-03-01T00:00:00Z,60,energy,up,1,5\n", `:2:32: "up" is no side`},
		{head + "2026-03-01T00:00:00Z,60,energy,,1,5\n", ":2:32: 1 MW on no side"},
		{head + "2026-03-01T00:00:00Z,0,energy,buy,1,5\n", ":2:22: a delivery of 0 minutes"},
		{head + "2026-03-01T00:00:00Z,1e300,energy,buy,1,5\n", ":2:22: a delivery of 1e+300 minutes"},
		{head + "2026-03-01T00:00:00Z,7.5,energy,buy,1,5\n", ":2:22: a delivery of 7.5 minutes"},
		{head + "2026-03-01T00:00:00Z,60,power,buy,1,5\n", `:2:25: "power" is no product`},
		{head + "yesterday,60,energy,buy,1,5\n", ":2:1: this is none of an award"},
		{head + "2026-03-01T00:00:00Z,60,energy,buy,-1,5\n", ":2:36: this is none of an award"},
		{head + "2026-03-01T00:00:00Z,60,energy,buy,1,\n", ":2:38: column price_per_mwh has no value"},
		{"time,product\n2026-03-01T00:00:00Z,energy\n", ":1:1: there is no column side"},
	} {
		path := write(t, t.TempDir(), "awards.csv", []byte(tt.text))
		if _, err := trading.Award(trading.AwardOptions{Awards: []string{path}}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v; want %s", tt.text, err, tt.want)
		}
	}
}
