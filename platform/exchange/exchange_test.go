package exchange

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yunchu/platform/market/order"
)

func someBatch(id string) Batch {
	return Batch{ID: id, Orders: []order.Order{{At: time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC), Product: order.Energy, Side: order.Buy, KW: 1300, Limit: order.Any(order.Buy)}}}
}

// TestFolderAfterACrash: wherever a process ends while it hands in a batch, the next one hands it
// in once; also where the market has taken it already.
func TestFolderAfterACrash(t *testing.T) {
	t.Parallel()
	text := func() string { b := someBatch("a"); return b.text() }()
	for name, files := range map[string]map[string]string{
		"nothing is written":             {},
		"half of what is sent":           {"journal/a.send.tmp": text[:9]},
		"what is sent, and no record":    {"journal/a.send": text},
		"half of the record":             {"journal/a.send": text, "journal/a.csv.tmp": text[:3]},
		"record, nothing sent":           {"journal/a.send": text, "journal/a.csv": text},
		"sent":                           {"journal/a.csv": text, "out/a.csv": text},
		"sent, and taken by the market":  {"journal/a.csv": text, "taken/a.csv": text},
		"sent, and cleared":              {"journal/a.csv": text, "taken/a.csv": text, "in/a.csv": "time,minutes,product,side,quantity_mw,price_per_mwh,amount\n"},
		"another batch has been sent":    {"journal/b.csv": "x", "taken/b.csv": "x"},
		"a record of another one's file": {"journal/b.send": "x", "journal/b.csv": "x"},
	} {
		dir := t.TempDir()
		for path, text := range files {
			path = filepath.Join(dir, path)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := (Folder{dir}).Submit(t.Context(), someBatch("a")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		sent, _ := filepath.Glob(filepath.Join(dir, "[ot]*", "a.csv")) // out or taken
		if len(sent) != 1 {
			t.Errorf("%s: the batch is at %v", name, sent)
			continue
		}
		if got, _ := os.ReadFile(sent[0]); string(got) != text {
			t.Errorf("%s: %s holds %q", name, sent[0], got)
		}
	}
}

// TestClientTriesAgain: what fails on the way is tried again, with pauses that grow and are as
// long as the market wants, and a batch whose answer was lost is in once.
func TestClientTriesAgain(t *testing.T) {
	t.Parallel()
	rules, err := order.Shipped("day-ahead-hourly")
	if err != nil {
		t.Fatal(err)
	}
	market := &Simulator{Rules: rules, Others: func(*order.Terms, time.Time, order.KW) []order.Order { return nil }}
	good := Handler(market)
	var calls int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		switch calls {
		case 1:
			http.Error(w, "down", http.StatusBadGateway)
		case 2:
			w.Header().Set("Retry-After", "7")
			http.Error(w, "slowly", http.StatusTooManyRequests)
		case 3: // it is in, and the answer breaks off
			good.ServeHTTP(httptest.NewRecorder(), r)
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			if r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Idempotency-Key") != "a" {
				t.Errorf("headers %v", r.Header)
			}
			good.ServeHTTP(w, r)
		}
	}))
	defer server.Close()
	var pauses []time.Duration
	c := &Client{URL: server.URL + "/", Token: "secret", patient: func(_ context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return nil
	}}
	if err := c.Submit(t.Context(), someBatch("a")); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{500 * time.Millisecond, 7 * time.Second, 2 * time.Second}; !slices.Equal(pauses, want) {
		t.Errorf("pauses %v, want %v", pauses, want)
	}
	if n := market.Clear(); n != 1 || calls != 4 {
		t.Errorf("%d batches are in after %d calls", n, calls)
	}
}

// TestClientGivesUp: what cannot help is not tried again, and trying has an end.
func TestClientGivesUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		body   string
		calls  int
		want   error
	}{
		{http.StatusInternalServerError, "", 3, nil},
		{http.StatusUnauthorized, "", 1, nil},
		{http.StatusUnprocessableEntity, `{"code":"REFUSED","detail":"too late"}`, 1, ErrRefused},
		{http.StatusConflict, `{"code":"CONFLICT"}`, 1, ErrConflict},
		{http.StatusOK, `no json`, 1, nil},
		{http.StatusOK, `{}`, 1, nil},
		{http.StatusOK, `{"id":"b","status":"open"}`, 1, nil},
		{http.StatusOK, `{"id":"a"}`, 1, nil},
		{http.StatusOK, `{"id":"a","status":"closed"}`, 1, nil},
		{http.StatusFound, `{"id":"a","status":"open"}`, 1, nil},
		{http.StatusTemporaryRedirect, `{"id":"a","status":"open"}`, 1, nil},
	} {
		calls := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls++
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
			_, _ = w.Write([]byte(tt.body))
		}))
		c := &Client{URL: server.URL, Tries: 3, patient: func(context.Context, time.Duration) error { return nil }}
		err := c.Submit(t.Context(), someBatch("a"))
		server.Close()
		if err == nil || calls != tt.calls || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%d: %v after %d calls, want %v after %d", tt.status, err, calls, tt.want, tt.calls)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&Client{URL: "http://127.0.0.1:1"}).Submit(ctx, someBatch("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestAwardsOfSomethingElse: what answers, and not about the batch, has cleared nothing.
func TestAwardsOfSomethingElse(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `{"id":"a"}`, `{"id":"b","status":"cleared"}`, `{"id":"b","status":"open"}`, `{"id":"a","status":"late"}`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		got, err := (&Client{URL: server.URL}).Awards(t.Context(), "a")
		server.Close()
		if err == nil || errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
}

// TestAwardsThatSayTooLittle: an award of something has a price, a side and a length; whoever leaves one
// out is told so, and nothing of it counts.
func TestAwardsThatSayTooLittle(t *testing.T) {
	t.Parallel()
	const good = `"time":"2026-03-01T03:00:00Z","product":"energy"`
	for award, want := range map[string]string{
		good + `,"minutes":60,"side":"buy","quantity_mw":1.3,"price_per_mwh":50`:              "",
		good + `,"minutes":60,"quantity_mw":0`:                                                "",
		good + `,"minutes":60,"quantity_mw":0,"price_per_mwh":50`:                             "",
		good + `,"minutes":60,"quantity_mw":0},{` + good + `,"minutes":60,"quantity_mw":0`:    "a second award of energy",
		good + `,"minutes":60,"side":"buy","quantity_mw":1.3`:                                 "1.3 MW at no price",
		good + `,"minutes":60,"side":"sell","quantity_mw":1.3,"price_per_mwh":null`:           "1.3 MW at no price",
		good + `,"minutes":60,"quantity_mw":1.3,"price_per_mwh":50`:                           "1.3 MW on no side",
		good + `,"minutes":60,"side":"buy","price_per_mwh":50`:                                `"" is no quantity`,
		good + `,"side":"buy","quantity_mw":1.3,"price_per_mwh":50`:                           `"0" minutes`,
		good + `,"minutes":9000000000000,"side":"buy","quantity_mw":1.3,"price_per_mwh":50`:   `"9000000000000" minutes`,
		good + `,"minutes":60,"side":"buy","quantity_mw":1.3,"price_per_mwh":1e400`:           `"1e400" is no price`,
		`"minutes":60,"product":"energy","side":"buy","quantity_mw":1.3,"price_per_mwh":50`:   `"" is no instant`,
		good[:len(good)-8] + `"","minutes":60,"side":"buy","quantity_mw":1,"price_per_mwh":5`: `"" is no product`,
	} {
		body := `{"id":"a","status":"cleared","awards":[{` + award + `}]}`
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		got, err := (&Client{URL: server.URL}).Awards(t.Context(), "a")
		server.Close()
		if want == "" {
			if err != nil || len(got) != 1 {
				t.Errorf("%s: %v, %v", award, got, err)
			}
		} else if !errors.Is(err, order.ErrFile) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), " of a: ") {
			t.Errorf("%s: %v, %v, want %q", award, got, err, want)
		}
	}
}

// TestHandlerRefuses: what is no batch is told so.
func TestHandlerRefuses(t *testing.T) {
	t.Parallel()
	rules, _ := order.Shipped("day-ahead-hourly")
	h := Handler(&Simulator{Rules: rules})
	for body, code := range map[string]string{
		`{`:                codeForm,
		`{"id":"a","x":1}`: codeForm,
		`{"id":"other"}`:   codeForm,
		`{"id":"a"}`:       codeRefused,
		`{"id":"a","orders":[{"time":"2026-03-01T03:00:00Z","product":"energy","side":"up","quantity_mw":1}]}`:                          codeRefused,
		`{"id":"a","orders":[{"time":"2026-03-01T03:00:00Z","product":"energy","side":"buy","quantity_mw":0.0001}]}`:                    codeRefused,
		`{"id":"a","orders":[{"time":"2026-03-01T03:00:00Z","product":"energy","side":"buy","quantity_mw":1,"price_per_mwh":9999999}]}`: codeRefused,
	} {
		r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body))
		r.Header.Set("Idempotency-Key", "a")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), `"code":"`+code+`"`) || w.Code < 400 {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

// TestFolderAtOnce: of several that hand in the same batch at the same time, beside a market that
// takes it away, one does, and none is told of an error.
func TestFolderAtOnce(t *testing.T) {
	t.Parallel()
	for range 4 {
		dir := t.TempDir()
		ended := make(chan error)
		const callers = 4
		for range callers {
			go func() { ended <- (Folder{dir}).Submit(t.Context(), someBatch("a")) }()
		}
		taken := 0
		take := func() {
			if os.Rename(filepath.Join(dir, "out", "a.csv"), filepath.Join(dir, "a.taken")) == nil {
				taken++
			}
		}
		for left := callers; left > 0; {
			select {
			case err := <-ended:
				left--
				if err != nil {
					t.Error(err)
				}
			default:
				take()
			}
		}
		if take(); taken != 1 {
			t.Fatalf("the market has taken the batch %d times", taken)
		}
	}
}

// TestFolderOfAnAnswerThatGrows: where a market writes its answer in place, nothing is taken for it that
// breaks off within a line, or after one with orders of which it says nothing, nor for a fault.
func TestFolderOfAnAnswerThatGrows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := Folder{dir}
	b := someBatch("a")
	b.Orders = append(b.Orders, b.Orders[0], b.Orders[0])
	b.Orders[1].At = b.Orders[0].At.Add(time.Hour)
	b.Orders[2] = order.Order{At: b.Orders[1].At, Product: order.RegUp, Side: order.Sell, KW: 100, Limit: order.Any(order.Sell)}
	if err := f.Submit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	const whole = "time,minutes,product,side,quantity_mw,price_per_mwh,amount\n" +
		"2026-03-01T03:00:00Z,60,energy,buy,1.3,50,-65.00\n2026-03-01T04:00:00Z,60,energy,,0,50,0.00\n" +
		"2026-03-01T04:00:00Z,60,regup,sell,0.1,5,0.50\n2026-03-01T05:00:00Z,60,energy,,0,50,0.00\n"
	for n := range len(whole) + 1 {
		if err := os.WriteFile(filepath.Join(dir, "in", "a.csv"), []byte(whole[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := f.Awards(t.Context(), "a")
		if rows := strings.Count(whole[:n], "\n") - 1; rows >= len(b.Orders) && whole[n-1] == '\n' {
			if err != nil || len(got) != rows {
				t.Errorf("%d bytes: %d awards, %v, want %d", n, len(got), err, rows)
			}
		} else if !errors.Is(err, ErrOpen) || !errors.Is(err, ErrPartial) {
			t.Errorf("%d bytes: %d awards, %v, want ErrOpen and ErrPartial", n, len(got), err)
		}
	}
}
