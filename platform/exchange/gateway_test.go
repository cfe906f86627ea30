package exchange_test

import (
	"net/http/httptest"
	"testing"

	"yunchu/platform/exchange"
	"yunchu/platform/exchange/exchangetest"
	"yunchu/platform/market/order"
)

func simulator(t *testing.T) *exchange.Simulator {
	t.Helper()
	rules, err := order.Shipped(exchangetest.Rules)
	if err != nil {
		t.Fatal(err)
	}
	return &exchange.Simulator{Rules: rules, Others: exchangetest.Others}
}

func TestSimulator(t *testing.T) {
	exchangetest.Run(t, func(t *testing.T) exchangetest.Way {
		s := simulator(t)
		return exchangetest.Way{Gateway: s, Again: func() exchange.Gateway { return s }, Clear: s.Clear}
	})
}

func TestClient(t *testing.T) {
	exchangetest.Run(t, func(t *testing.T) exchangetest.Way {
		s := simulator(t)
		server := httptest.NewServer(exchange.Handler(s))
		t.Cleanup(server.Close)
		open := func() exchange.Gateway { return &exchange.Client{URL: server.URL} }
		return exchangetest.Way{Gateway: open(), Again: open, Clear: s.Clear}
	})
}

func TestFolder(t *testing.T) {
	exchangetest.Run(t, func(t *testing.T) exchangetest.Way {
		s, dir := simulator(t), t.TempDir()
		open := func() exchange.Gateway { return exchange.Folder{Dir: dir} }
		carry := func() {
			if err := exchange.Carry(t.Context(), dir, s); err != nil {
				t.Error(err)
			}
		}
		return exchangetest.Way{Gateway: open(), Again: open, Clear: func() int {
			carry()
			n := s.Clear()
			carry()
			return n
		}}
	})
}

// TestFolderOfAMarketThatForgets: what a market has taken and not answered is handed in to it
// again when it has forgotten everything; what is answered is not.
func TestFolderOfAMarketThatForgets(t *testing.T) {
	dir := t.TempDir()
	first := simulator(t)
	w := exchange.Folder{Dir: dir}
	orders := []order.Order{{At: exchangetest.Day.Add(3 * 3600e9), Product: order.Energy, Side: order.Buy, KW: 100, Limit: order.Any(order.Buy)}}
	if err := w.Submit(t.Context(), exchange.Batch{ID: "a", Orders: orders}); err != nil {
		t.Fatal(err)
	}
	if err := exchange.Carry(t.Context(), dir, first); err != nil {
		t.Fatal(err)
	}
	second := simulator(t)
	for range 2 {
		if err := exchange.Carry(t.Context(), dir, second); err != nil {
			t.Fatal(err)
		}
	}
	if n := second.Clear(); n != 1 {
		t.Errorf("%d batches in the second market", n)
	}
	if err := exchange.Carry(t.Context(), dir, second); err != nil {
		t.Fatal(err)
	}
	third := simulator(t)
	if err := exchange.Carry(t.Context(), dir, third); err != nil {
		t.Fatal(err)
	}
	if n := third.Clear(); n != 0 {
		t.Errorf("%d batches in the third, where all is answered", n)
	}
	if got, err := w.Awards(t.Context(), "a"); err != nil || len(got) != 2 || got[0].KW != 100 {
		t.Errorf("awards %v, %v", got, err)
	}
}
