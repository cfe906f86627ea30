package exchange_test

import (
	"errors"
	"net/http"
	"testing"

	"yunchu/platform/exchange"
	"yunchu/platform/exchange/exchangetest"
	"yunchu/platform/market/order"
)

// TestOpen: what looks like an address is none of a folder, and a token is for the market alone.
func TestOpen(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"./gate", "gate", "/srv/gate", "./localhost:8090", "days/10:00", `C:\gate`, "C:/gate"} {
		if got, err := exchange.Open(to, "secret"); err != nil || got != (exchange.Folder{Dir: to}) {
			t.Errorf("folder %s: %#v, %v", to, got, err)
		}
	}
	for _, to := range []string{"https://market", "HTTPS://market/v1", "Http://127.0.0.1:8090", "http://[::1]:8090", "http://localhost:8090"} {
		got, err := exchange.Open(to, "secret")
		if c, ok := got.(*exchange.Client); err != nil || !ok || c.URL != to || c.Token != "secret" {
			t.Errorf("URL %s: %#v, %v", to, got, err)
		}
	}
	for _, to := range []string{
		"http://market", "http://127.0.0.1.org", "HTTP://10.0.0.1", // a token goes there in clear
		"htps://market", "https:/market", "https://", "https://:443", "https://market:port", "ftp://market",
		"127.0.0.1:8090", "localhost:8090/v1", "[::1]:8090",
	} {
		if got, err := exchange.Open(to, "secret"); !errors.Is(err, exchange.ErrAddress) {
			t.Errorf("%s: %#v, %v, want ErrAddress", to, got, err)
		}
	}
	if _, err := exchange.Open("http://market", ""); err != nil {
		t.Errorf("without a token: %v", err)
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestTokenInClear: a token does not leave the computer where anybody can read it.
func TestTokenInClear(t *testing.T) {
	t.Parallel()
	sent := false
	c := exchange.Client{URL: "http://market.example", Token: "secret", HTTP: &http.Client{Transport: trip(func(*http.Request) (*http.Response, error) {
		sent = true
		return nil, http.ErrUseLastResponse
	})}, Tries: 1}
	orders := []order.Order{{At: exchangetest.Day, Product: order.Energy, Side: order.Buy, KW: 100, Limit: order.Any(order.Buy)}}
	if err := c.Submit(t.Context(), exchange.Batch{ID: "a", Orders: orders}); !errors.Is(err, exchange.ErrAddress) || sent {
		t.Errorf("submit: %v, sent %v", err, sent)
	}
	if _, err := c.Awards(t.Context(), "a"); !errors.Is(err, exchange.ErrAddress) || sent {
		t.Errorf("awards: %v, sent %v", err, sent)
	}
}
