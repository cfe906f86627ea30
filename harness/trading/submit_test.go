package trading_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"yunchu/harness/trading"
	"yunchu/platform/exchange"
	"yunchu/platform/market/order"
)

// TestSubmitToAMarketThatIsSlow: when waiting ends while the market is asked, the bids are in and
// not cleared; whoever interrupts is told so.
func TestSubmitToAMarketThatIsSlow(t *testing.T) {
	t.Parallel()
	rules, err := order.Shipped("day-ahead-hourly")
	if err != nil {
		t.Fatal(err)
	}
	market := &exchange.Simulator{Rules: rules, Others: func(*order.Terms, time.Time, order.KW) []order.Order { return nil }}
	take := exchange.Handler(market)
	asked := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			take.ServeHTTP(w, r)
			return
		}
		asked <- struct{}{}
		<-r.Context().Done() // no answer before the client has gone
	}))
	defer server.Close()
	bids := write(t, t.TempDir(), "bids.csv", []byte(strings.Join(order.OrderColumns, ",")+"\n2026-03-01T03:00:00Z,energy,buy,1,50\n"))
	o := trading.SubmitOptions{Market: "day-ahead-hourly", Bids: bids, To: server.URL}
	got, err := trading.Submit(t.Context(), o)
	if err != nil || got.Status != "open" || got.Orders != 1 {
		t.Errorf("%+v, %v, want one order that is open", got, err)
	}
	<-asked
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-asked
		interrupt()
	}()
	if got, err := trading.Submit(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %+v, %v", got, err)
	}
	if n := market.Clear(); n != 1 {
		t.Errorf("%d batches are in", n)
	}
}

// TestSubmitToAMarketThatLeavesOut: awards that say nothing of an order are none.
func TestSubmitToAMarketThatLeavesOut(t *testing.T) {
	t.Parallel()
	bids := write(t, t.TempDir(), "bids.csv", []byte(strings.Join(order.OrderColumns, ",")+"\n2026-03-01T03:00:00Z,energy,buy,1,50\n2026-03-01T04:00:00Z,energy,sell,1,50\n"))
	const row = `{"time":"2026-03-01T03:00:00Z","minutes":60,"product":"energy","side":"buy","quantity_mw":1,"price_per_mwh":50}`
	for awards, want := range map[string]string{
		row: "say nothing of energy at 2026-03-01T04:00:00Z",
		row + "," + strings.ReplaceAll(row, "T03:", "T04:"): "",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"id":"a","status":"cleared","awards":[` + awards + `]}`))
		}))
		got, err := trading.Submit(t.Context(), trading.SubmitOptions{Market: "day-ahead-hourly", Bids: bids, To: server.URL, ID: "a"})
		server.Close()
		if want == "" && (err != nil || !got.Cleared()) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %+v, %v, want %q", awards, got, err, want)
		}
	}
}

// TestOneMarketAFolder: a folder has one market at a time, and another one when that is closed.
func TestOneMarketAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	prices := write(t, dir, "prices.csv", []byte("time,energy_per_mwh\n2026-03-01T03:00:00Z,1\n2026-03-01T04:00:00Z,1\n"))
	o := trading.ClearOptions{Market: "day-ahead-hourly", Prices: prices, Column: "energy_per_mwh"}
	first, err := trading.Simulate(o, dir)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := trading.Simulate(o, dir); !errors.Is(err, exchange.ErrServed) {
		t.Errorf("a second market: %v, %v", second, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := trading.Simulate(o, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
}
