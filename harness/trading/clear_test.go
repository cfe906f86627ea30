package trading_test

import (
	"bytes"
	"strings"
	"testing"

	"yunchu/harness/trading"
)

// TestRankTakesTheOthers: offers of a ranked market come to the same whether the others stand in a
// file of their own or in one with ours; what the market does not take is refused.
func TestRankTakesTheOthers(t *testing.T) {
	t.Parallel()
	const (
		head  = "time,product,side,quantity_mw,price_per_mwh,party,index_k,storage\n"
		ours  = "2026-03-01T00:00:00Z,regup,sell,60,10,,2,1\n"
		other = "2026-03-01T00:00:00Z,regup,sell,60,10,a,1,0\n2026-03-01T00:00:00Z,regup,sell,60,9,b,1,0\n2026-03-01T00:00:00Z,regup,sell,60,8,c,1,0\n2026-03-01T00:00:00Z,regup,sell,60,7,d,1,0\n"
		later = "2026-03-01T01:00:00Z,regup,sell,60,7,d,1,0\n"
	)
	dir := t.TempDir()
	mine := write(t, dir, "ours.csv", []byte(head+ours))
	clearing := func(o trading.ClearOptions) *trading.ClearResult {
		t.Helper()
		o.Market, o.Demand = "hunan-regulation", 300
		r, err := trading.Clear(o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	together := clearing(trading.ClearOptions{Bids: write(t, dir, "all.csv", []byte(head+ours+other))})
	apart := clearing(trading.ClearOptions{Bids: mine, Others: write(t, dir, "others.csv", []byte(strings.ReplaceAll(head+other+later, ",d,", ",,")))})
	if len(together.Cleared) != 1 || len(apart.Cleared) != 1 || together.Cleared[0] != apart.Cleared[0] {
		t.Errorf("in one file %+v, in two %+v", together.Cleared, apart.Cleared)
	}
	if c := apart.Cleared[0]; c.Price != "20" || c.Volume != "300" || c.Awarded != "-60" || c.Curtailed != "" {
		t.Errorf("cleared %+v", c)
	}
	// Who is not admitted is awarded nothing, and then there is no price of 0.
	slow := clearing(trading.ClearOptions{Bids: write(t, dir, "slow.csv", []byte(head+strings.Replace(ours, ",2,1", ",0.2,1", 1)))})
	var awards bytes.Buffer
	if err := slow.WriteCSV(&awards); err != nil {
		t.Fatal(err)
	}
	if c := slow.Cleared[0]; c.Price != "" || c.Volume != "0" || !strings.HasSuffix(awards.String(), "\n2026-03-01T00:00:00Z,60,regup,,0,,0\n") {
		t.Errorf("nobody is admitted: %+v, %s", c, awards.String())
	}
	for _, o := range []trading.ClearOptions{
		{Market: "hunan-regulation", Bids: mine, Demand: 300, Prices: mine},
		{Market: "hunan-regulation", Bids: mine, Demand: 300, Slope: 1},
		{Market: "day-ahead-hourly", Bids: mine, Demand: 300, Others: mine},
	} {
		if _, err := trading.Clear(o); err == nil {
			t.Errorf("%+v is cleared", o)
		}
	}
}

// TestNobodyTrades: where nobody agrees there is an award of 0 MW without a price; a schedule
// stands still for it, and its bill needs a price of real time.
func TestNobodyTrades(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const head = "time,product,side,quantity_mw,price_per_mwh\n"
	r, err := trading.Clear(trading.ClearOptions{
		Market: "day-ahead-hourly",
		Bids:   write(t, dir, "bids.csv", []byte(head+"2026-01-05T00:00:00Z,energy,buy,1,5\n")),
		Others: write(t, dir, "others.csv", []byte(head+"2026-01-05T00:00:00Z,energy,sell,1,30\n")),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.To.Sub(r.From).Hours(); got != 1 {
		t.Errorf("cleared from %s to %s", r.From, r.To)
	}
	var awards, page, schedule, data bytes.Buffer
	if err := r.WriteCSV(&awards); err != nil {
		t.Fatal(err)
	}
	if err := r.WritePage(&page); err != nil {
		t.Fatal(err)
	}
	const want = "time,minutes,product,side,quantity_mw,price_per_mwh,amount\n2026-01-05T00:00:00Z,60,energy,,0,,0\n"
	if awards.String() != want {
		t.Errorf("awards %q", awards.String())
	}
	a, err := trading.Award(trading.AwardOptions{Awards: []string{write(t, dir, "awards.csv", awards.Bytes())}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.WriteCSV(&schedule); err != nil {
		t.Fatal(err)
	}
	if err := a.WriteData(&data); err == nil || !strings.Contains(err.Error(), "awards.csv: no energy has a price at 2026-01-05T00:00:00Z") {
		t.Errorf("a bill without a price: %v", err)
	}
	if got := schedule.String(); got != "time,target_kw\n2026-01-05T00:00:00Z,0\n2026-01-05T01:00:00Z,0\n" {
		t.Errorf("schedule %q", got)
	}
}

// TestPricesLackWhatIsBidFor: the first bid without a price of its delivery is told, and from when to when there are prices.
func TestPricesLackWhatIsBidFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const head = "time,product,side,quantity_mw,price_per_mwh\n"
	_, err := trading.Clear(trading.ClearOptions{
		Market: "day-ahead-hourly", Column: "energy_per_mwh",
		Bids:   write(t, dir, "bids.csv", []byte(head+"2026-03-01T00:00:00Z,energy,buy,1,5\n2026-03-01T05:00:00Z,energy,buy,1,5\n2026-03-01T04:00:00Z,energy,buy,1,5\n")),
		Prices: write(t, dir, "prices.csv", realTime(4)),
	})
	if err == nil || !strings.Contains(err.Error(), "bids.csv:3:1: ") || !strings.Contains(err.Error(), "prices.csv has no price of this delivery of energy") ||
		!strings.Contains(err.Error(), "from 2026-03-01T00:00:00Z to 2026-03-01T03:00:00Z") {
		t.Errorf("%v", err)
	}
}
