package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"yunchu/platform/market/order"
)

// message is a batch, or awards, as JSON. Numbers are decimals as in the files.
type message struct {
	ID     string `json:"id"`
	Orders []line `json:"orders,omitempty"`
	Awards []line `json:"awards,omitempty"`
	Status string `json:"status,omitempty"` // of an answer
}

// Statuses of a batch.
const (
	statusOpen    = "open"
	statusCleared = "cleared"
)

type line struct {
	Time     string      `json:"time"`
	Minutes  int         `json:"minutes,omitempty"`
	Product  string      `json:"product"`
	Side     string      `json:"side"`
	Quantity json.Number `json:"quantity_mw"`
	Price    json.Number `json:"price_per_mwh,omitempty"`
}

// problem is an error as RFC 9457 has it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Codes of problems.
const (
	codeConflict = "CONFLICT"
	codeRefused  = "REFUSED"
	codeUnknown  = "UNKNOWN"
	codeForm     = "INVALID_REQUEST"
)

// Bounds of a message, and of patience.
const (
	mostBytes = 8 << 20
	// A batch is tried for some 15 s, with a pause that doubles from half a second.
	defaultTries   = 6
	defaultPause   = 500 * time.Millisecond
	defaultTimeout = 10 * time.Second
)

// Client is a gateway by REST: POST URL/orders with the ID as Idempotency-Key, GET
// URL/orders/ID/awards. It tries again where the network or the market fails, and where it is
// told to wait (429, 503 with Retry-After).
type Client struct {
	URL     string
	Token   string       // sent as a bearer token where there is one; only by https, or to this computer
	HTTP    *http.Client // nil: one with a timeout of 10 s
	Tries   int          // 0: 6
	Pause   time.Duration
	patient func(ctx context.Context, d time.Duration) error // nil: sleeps
}

// Submit implements [Gateway].
func (c *Client) Submit(ctx context.Context, b Batch) error {
	if err := b.check(); err != nil {
		return err
	}
	m := message{ID: b.ID}
	for i := range b.Orders {
		o := &b.Orders[i]
		l := line{Time: o.At.UTC().Format(time.RFC3339), Product: string(o.Product), Side: o.Side.String(), Quantity: json.Number(o.KW.String())}
		if !o.Limit.IsAny() {
			l.Price = json.Number(o.Limit.String())
		}
		m.Orders = append(m.Orders, l)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = c.call(ctx, http.MethodPost, "/orders", b.ID, body)
	return err
}

// Awards implements [Gateway].
func (c *Client) Awards(ctx context.Context, id string) ([]order.Award, error) {
	if !idForm.MatchString(id) {
		return nil, fmt.Errorf("%q: %w", id, ErrUnknown)
	}
	m, err := c.call(ctx, http.MethodGet, "/orders/"+id+"/awards", id, nil)
	if err != nil {
		return nil, err
	}
	if m.Status == statusOpen {
		return nil, fmt.Errorf("%s: %w", id, ErrOpen)
	}
	out, seen := make([]order.Award, len(m.Awards)), order.Seen{}
	for i, l := range m.Awards {
		out[i], err = order.ParseAward(l.Time, strconv.Itoa(l.Minutes), l.Product, l.Side, l.Quantity.String(), l.Price.String())
		if err == nil {
			err = seen.Add(&out[i])
		}
		if err != nil {
			return nil, fmt.Errorf("award %d of %s: %w: %w", i, id, order.ErrFile, err)
		}
	}
	return out, nil
}

// call tries until there is an answer about the batch.
func (c *Client) call(ctx context.Context, method, path, id string, body []byte) (m message, err error) {
	if err := checkAddress(c.URL, c.Token); err != nil {
		return m, err
	}
	tries, pause := c.Tries, c.Pause
	if tries <= 0 {
		tries = defaultTries
	}
	if pause <= 0 {
		pause = defaultPause
	}
	wait := c.patient
	if wait == nil {
		wait = sleep
	}
	for n := 1; ; n++ {
		var again bool
		var after time.Duration
		m, again, after, err = c.once(ctx, method, path, id, body)
		if err == nil || !again || n == tries {
			return m, err
		}
		if err := wait(ctx, max(pause, after)); err != nil {
			return m, err
		}
		pause *= 2
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// once asks once. again: another try may have an answer, after so long.
func (c *Client) once(ctx context.Context, method, path, id string, body []byte) (m message, again bool, after time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return m, false, 0, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", id)
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	h := http.Client{Timeout: defaultTimeout}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	// Nothing is sent on: a POST would become a GET, and the token might go elsewhere.
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := h.Do(r)
	if err != nil {
		return m, ctx.Err() == nil, 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostBytes))
	if err != nil {
		return m, ctx.Err() == nil, 0, err
	}
	if resp.StatusCode/100 == 2 {
		if err := json.Unmarshal(text, &m); err != nil {
			return m, false, 0, fmt.Errorf("%s %s: %w", method, path, err)
		}
		// What answers may be no market: a proxy, or a page to log in at.
		if m.ID != id || m.Status != statusOpen && m.Status != statusCleared {
			return m, false, 0, fmt.Errorf("%s %s: the answer has id %q and status %q, which says nothing of batch %s", method, path, m.ID, m.Status, id)
		}
		return m, false, 0, nil
	}
	var p problem
	_ = json.Unmarshal(text, &p) // what is no problem document has no code
	switch p.Code {
	case codeConflict:
		return m, false, 0, fmt.Errorf("%s: %w", id, ErrConflict)
	case codeRefused, codeForm:
		return m, false, 0, fmt.Errorf("%w: %s", ErrRefused, p.Detail)
	case codeUnknown:
		return m, false, 0, fmt.Errorf("%s: %w", path, ErrUnknown)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		after = time.Duration(s) * time.Second
	}
	again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
	if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 && to != "" {
		return m, false, 0, fmt.Errorf("%s %s: %s to %s: name the market's own URL", method, path, resp.Status, to)
	}
	return m, again, after, fmt.Errorf("%s %s: %s", method, path, resp.Status)
}

// Handler answers by REST for a gateway, such as a [Simulator].
func Handler(g Gateway) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		var m message
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBytes))
		d.DisallowUnknownFields()
		if err := d.Decode(&m); err != nil {
			refuse(w, http.StatusBadRequest, codeForm, err)
			return
		}
		if key := r.Header.Get("Idempotency-Key"); key != m.ID {
			refuse(w, http.StatusBadRequest, codeForm, fmt.Errorf("the Idempotency-Key is the id of the batch, not %q", key))
			return
		}
		b := Batch{ID: m.ID}
		for i, l := range m.Orders {
			o, err := order.ParseOrder(l.Time, l.Product, l.Side, l.Quantity.String(), l.Price.String())
			if err != nil {
				refuse(w, http.StatusUnprocessableEntity, codeRefused, fmt.Errorf("order %d: %w", i, err))
				return
			}
			b.Orders = append(b.Orders, o)
		}
		if err := g.Submit(r.Context(), b); err != nil {
			fail(w, err)
			return
		}
		answer(w, message{ID: b.ID, Status: statusOpen})
	})
	mux.HandleFunc("GET /orders/{id}/awards", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		awards, err := g.Awards(r.Context(), id)
		if errors.Is(err, ErrOpen) {
			answer(w, message{ID: id, Status: statusOpen})
			return
		} else if err != nil {
			fail(w, err)
			return
		}
		m := message{ID: id, Status: statusCleared}
		for _, a := range awards {
			l := line{
				Time: a.At.UTC().Format(time.RFC3339), Minutes: int(a.Length / time.Minute), Product: string(a.Product), Side: a.Side.String(),
				Quantity: json.Number(a.KW.String()),
			}
			if !a.Price.IsAny() {
				l.Price = json.Number(a.Price.String())
			}
			if a.KW == 0 {
				l.Side = ""
			}
			m.Awards = append(m.Awards, l)
		}
		answer(w, m)
	})
	return mux
}

func fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrConflict):
		refuse(w, http.StatusConflict, codeConflict, err)
	case errors.Is(err, ErrRefused):
		refuse(w, http.StatusUnprocessableEntity, codeRefused, errors.New(strings.TrimPrefix(err.Error(), ErrRefused.Error()+": ")))
	case errors.Is(err, ErrUnknown):
		refuse(w, http.StatusNotFound, codeUnknown, err)
	default:
		refuse(w, http.StatusInternalServerError, "INTERNAL", err)
	}
}

func refuse(w http.ResponseWriter, status int, code string, err error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{"about:blank", http.StatusText(status), status, code, err.Error()}) // the client may have gone
}

func answer(w http.ResponseWriter, m message) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(m) // the client may have gone
}
