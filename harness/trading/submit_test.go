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
