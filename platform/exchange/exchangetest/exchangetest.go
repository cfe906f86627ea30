// Package exchangetest is what every gateway to a market promises, as a test suite.
package exchangetest

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"yunchu/platform/exchange"
	"yunchu/platform/market/order"
)

// Way is a gateway under test and the market behind it, which knows no batch yet.
type Way struct {
	Gateway exchange.Gateway
	// Again is the gateway as it is after its process has ended and begun anew.
	Again func() exchange.Gateway
	// Clear lets the market clear what has reached it, and what it answers be there; it returns
	// how many batches it has cleared.
	Clear func() int
}

// Day is the delivery day of the suite.
var Day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// Rules that the market behind a gateway has.
const Rules = "day-ahead-hourly"

// Others are the orders of everybody else on that market: they trade 5 MW at 50 in the hours from
// three to five, and nothing in others.
func Others(t *order.Terms, at time.Time, _ order.KW) []order.Order {
	if h := at.Sub(Day).Hours(); t.Product != order.Energy || h < 3 || h >= 5 {
		return nil
	}
	fifty, _ := order.Of(50)
	return []order.Order{
		{At: at, Product: t.Product, Party: "others", Side: order.Buy, KW: 5000, Limit: fifty},
		{At: at, Product: t.Product, Party: "others", Side: order.Sell, KW: 5000, Limit: fifty},
	}
}

func batch(id string) exchange.Batch {
	sixty, _ := order.Of(60)
	return exchange.Batch{ID: id, Orders: []order.Order{
		{At: Day.Add(3 * time.Hour), Product: order.Energy, Side: order.Buy, KW: 1300, Limit: order.Any(order.Buy)},
		{At: Day.Add(4 * time.Hour), Product: order.Energy, Side: order.Sell, KW: 400, Limit: sixty},
	}}
}

func awards() []order.Award {
	fifty, _ := order.Of(50)
	return []order.Award{
		{At: Day.Add(3 * time.Hour), Length: time.Hour, Product: order.Energy, Side: order.Buy, KW: 1300, Price: fifty},
		{At: Day.Add(4 * time.Hour), Length: time.Hour, Product: order.Energy, Side: order.Buy, KW: 0, Price: fifty},
	}
}

// Run opens a fresh way for each promise.
func Run(t *testing.T, open func(t *testing.T) Way) {
	t.Run("OrdersComeBackAsAwards", func(t *testing.T) {
		w := open(t)
		if err := w.Gateway.Submit(t.Context(), batch("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Gateway.Awards(t.Context(), "a"); !errors.Is(err, exchange.ErrOpen) {
			t.Errorf("before it is cleared: %v, want ErrOpen", err)
		}
		if n := w.Clear(); n != 1 {
			t.Fatalf("%d batches cleared", n)
		}
		got, err := w.Gateway.Awards(t.Context(), "a")
		if err != nil || !reflect.DeepEqual(got, awards()) {
			t.Errorf("awards %+v, %v\nwant %+v", got, err, awards())
		}
	})
	t.Run("HandedInOnce", func(t *testing.T) {
		w := open(t)
		for range 3 {
			if err := w.Gateway.Submit(t.Context(), batch("a")); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Again().Submit(t.Context(), batch("a")); err != nil {
			t.Fatal(err)
		}
		if n := w.Clear(); n != 1 {
			t.Errorf("%d batches cleared, want 1", n)
		}
		if err := w.Again().Submit(t.Context(), batch("a")); err != nil {
			t.Errorf("handed in when it is cleared already: %v", err)
		}
		if n := w.Clear(); n != 0 {
			t.Errorf("%d batches cleared again", n)
		}
		if got, err := w.Again().Awards(t.Context(), "a"); err != nil || !reflect.DeepEqual(got, awards()) {
			t.Errorf("awards %+v, %v", got, err)
		}
	})
	t.Run("TwoBatches", func(t *testing.T) {
		w := open(t)
		for _, id := range []string{"a", "b_2-C"} {
			if err := w.Gateway.Submit(t.Context(), batch(id)); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.Clear(); n != 2 {
			t.Errorf("%d batches cleared, want 2", n)
		}
	})
	t.Run("OneIDOneBatch", func(t *testing.T) {
		w := open(t)
		if err := w.Gateway.Submit(t.Context(), batch("a")); err != nil {
			t.Fatal(err)
		}
		other := batch("a")
		other.Orders = other.Orders[:1]
		if err := w.Again().Submit(t.Context(), other); !errors.Is(err, exchange.ErrConflict) {
			t.Errorf("other orders under the same ID: %v, want ErrConflict", err)
		}
		w.Clear()
		if got, err := w.Gateway.Awards(t.Context(), "a"); err != nil || !reflect.DeepEqual(got, awards()) {
			t.Errorf("awards %v, %v", got, err)
		}
	})
	t.Run("NobodyTrades", func(t *testing.T) {
		w := open(t)
		b := batch("a")
		b.Orders = b.Orders[:1]
		b.Orders[0].At = Day.Add(7 * time.Hour)
		if err := w.Gateway.Submit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		w.Clear()
		got, err := w.Gateway.Awards(t.Context(), "a")
		if err != nil || len(got) != 3 {
			t.Fatalf("awards %v, %v, want those of three deliveries", got, err)
		}
		if a := got[2]; !a.At.Equal(b.Orders[0].At) || a.KW != 0 || !a.Price.IsAny() {
			t.Errorf("nobody trades, and the award is %s MW at %s", a.KW, a.Price)
		}
	})
	t.Run("Refused", func(t *testing.T) {
		w := open(t)
		bad := batch("a")
		bad.Orders[1].KW = 450 // no whole lots
		err := w.Gateway.Submit(t.Context(), bad)
		if n := w.Clear(); n != 0 {
			t.Errorf("%d batches cleared", n)
		}
		if err == nil { // told with the answer
			_, err = w.Gateway.Awards(t.Context(), "a")
		}
		if !errors.Is(err, exchange.ErrRefused) {
			t.Errorf("%v, want ErrRefused", err)
		}
		for _, b := range []exchange.Batch{{ID: "empty"}, {ID: "../a", Orders: batch("a").Orders}, {Orders: batch("a").Orders}} {
			if err := w.Gateway.Submit(t.Context(), b); !errors.Is(err, exchange.ErrRefused) {
				t.Errorf("batch %q of %d orders: %v, want ErrRefused", b.ID, len(b.Orders), err)
			}
		}
	})
	t.Run("Unknown", func(t *testing.T) {
		w := open(t)
		for _, id := range []string{"nobody", "../a", ""} {
			if _, err := w.Gateway.Awards(t.Context(), id); !errors.Is(err, exchange.ErrUnknown) {
				t.Errorf("%q: %v, want ErrUnknown", id, err)
			}
		}
	})
}
