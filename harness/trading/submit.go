package trading

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"yunchu/platform/exchange"
	"yunchu/platform/market/auction"
	"yunchu/platform/market/order"
	"yunchu/platform/plural"
)

// SubmitOptions say what is handed in to whom.
type SubmitOptions struct {
	Market string
	Bids   string
	To     string // a folder, or the URL of a market
	Token  string
	ID     string        // empty: it follows from the orders
	Wait   time.Duration // for awards
	Every  time.Duration // how often they are asked for
	Now    time.Time
}

// Submitted is what was handed in.
type Submitted struct {
	ID      string      `json:"id"`
	Orders  int         `json:"orders"`
	Status  string      `json:"status"` // open or cleared
	Awarded int         `json:"awards"`
	Earned  json.Number `json:"earned,omitempty"`
	Partial string      `json:"partial,omitempty"` // what of an answer is there, and not whole

	awards []order.Award
}

// Submit hands bids in, and waits for awards.
func Submit(ctx context.Context, o SubmitOptions) (*Submitted, error) {
	rules, err := Rules(o.Market)
	if err != nil {
		return nil, err
	}
	b, err := readBids(o.Bids, rules, o.Now)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(b.orders, func(x order.Order) bool { return x.Party != "" }) {
		return nil, b.Fault(1, 1, "leave out the column party", "orders of others are theirs to hand in")
	}
	if o.ID == "" {
		o.ID = exchange.IDOf(b.orders)
	}
	g, err := exchange.Open(o.To, o.Token)
	if err != nil {
		return nil, err
	}
	out := &Submitted{ID: o.ID, Orders: len(b.orders), Status: "open"}
	if err := g.Submit(ctx, exchange.Batch{ID: o.ID, Orders: b.orders}); err != nil {
		return nil, err
	}
	patient, cancel := context.WithTimeout(ctx, max(o.Wait, time.Second))
	defer cancel()
	for {
		awards, err := g.Awards(patient, o.ID)
		if err == nil {
			if x := exchange.LeftOut(b.orders, awards); x != nil {
				return nil, fmt.Errorf("the awards of %s say nothing of %s at %s, for which there is an order: ask the market", o.ID, x.Product, x.At.Format(time.RFC3339))
			}
			out.Status, out.awards, out.Awarded = "cleared", awards, len(awards)
			out.Earned = json.Number(money(earned(awards)))
			return out, nil
		}
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && patient.Err() != nil {
			return out, nil // it is in, whether or not the market has had time to say more
		}
		if !errors.Is(err, exchange.ErrOpen) {
			return nil, err
		}
		out.Partial = ""
		if errors.Is(err, exchange.ErrPartial) {
			out.Partial = err.Error()
		}
		if o.Wait <= 0 {
			return out, nil
		}
		select {
		case <-patient.Done():
			return out, nil
		case <-time.After(max(o.Every, 100*time.Millisecond)):
		}
	}
}

// WriteCSV writes the awards.
func (s *Submitted) WriteCSV(w io.Writer) error { return order.WriteAwards(w, s.awards) }

// Cleared tells whether there are awards.
func (s *Submitted) Cleared() bool { return s.Status == "cleared" }

// Print prints for people.
func (s *Submitted) Print(w io.Writer) {
	fmt.Fprintf(w, "batch %s is handed in, orders: %d\n", s.ID, s.Orders)
	if s.Cleared() {
		fmt.Fprintf(w, "%s, earned %s\n", plural.Count(s.Awarded, "award", "awards"), s.Earned)
	} else {
		if s.Partial != "" {
			fmt.Fprintln(w, s.Partial)
		}
		fmt.Fprintln(w, "not cleared yet: the same command asks again, and hands nothing in twice")
	}
}

// Simulated is a market of which the others come to known prices.
type Simulated struct {
	*exchange.Simulator
	Folder string // served too, where there is one
	leave  func() error
}

// Close leaves the folder to another market.
func (s *Simulated) Close() error { return s.leave() }

// Simulate makes a market. It clears energy, and capacity that the file has prices of. The folder is
// its own until it is closed: exchange.ErrServed where another market has it.
func Simulate(o ClearOptions, folder string) (*Simulated, error) {
	rules, err := Rules(o.Market)
	if err != nil {
		return nil, err
	}
	if rules.Ranking != nil {
		return nil, fmt.Errorf("%s ranks offers: yunchu market clear does that", rules.Name)
	}
	market, err := readPrices(o.Prices, func(c string) bool { return isPrice(c, o.Column) })
	if err != nil {
		return nil, err
	}
	if _, err := market.column(o.Column); err != nil {
		return nil, err
	}
	for i := range rules.Products {
		t := &rules.Products[i]
		name := columnOf(t.Product, o.Column)
		k := slices.Index(market.Header, name)
		if k < 0 {
			continue
		}
		if err := market.tradedAs(rules, t, name, market.Column[k], func(time.Time) bool { return true }); err != nil {
			return nil, err
		}
	}
	others := func(t *order.Terms, at time.Time, sum order.KW) []order.Order {
		i := slices.Index(market.Header, columnOf(t.Product, o.Column))
		if i < 0 {
			return nil
		}
		x, ok := market.value(market.Column[i], at)
		if !ok {
			return nil
		}
		slope := o.Slope
		if t.Product != order.Energy {
			slope = 0
		}
		return auction.Others(order.Near(x), order.Near(slope), t.Lot(), sum+2*t.Lot())
	}
	leave := func() error { return nil }
	if folder != "" {
		if leave, err = exchange.Serve(folder); err != nil {
			return nil, err
		}
	}
	return &Simulated{&exchange.Simulator{Rules: rules, Others: others}, folder, leave}, nil
}

// Handler answers by REST, and clears on POST /clear.
func (s *Simulated) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", exchange.Handler(s))
	mux.HandleFunc("POST /clear", func(w http.ResponseWriter, r *http.Request) {
		n, err := s.Round(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]int{"cleared": n}) // the client may have gone
	})
	return mux
}

// Round takes what lies in the folder, clears, and brings the answers.
func (s *Simulated) Round(ctx context.Context) (cleared int, err error) {
	if s.Folder != "" {
		if err := exchange.Carry(ctx, s.Folder, s); err != nil {
			return 0, err
		}
	}
	cleared = s.Clear()
	if s.Folder != "" {
		err = exchange.Carry(ctx, s.Folder, s)
	}
	return cleared, err
}
