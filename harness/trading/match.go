package trading

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"yunchu/harness/sheet"
	"yunchu/platform/market/book"
	"yunchu/platform/market/order"
	"yunchu/platform/plural"
)

// MatchOptions say what comes in to a continuous market.
type MatchOptions struct {
	Market string
	Orders string // in the order in which they come in
	Oldest bool   // of a party that would trade with itself, the order that waits gives way
	Party  string // whose trades are awards
}

// Matched is what came of it.
type Matched struct {
	Market  string      `json:"market"`
	Books   int         `json:"books"`
	Events  int         `json:"events"`
	Trades  int         `json:"trades"`
	Volume  json.Number `json:"volume_mw"`
	Waiting int         `json:"waiting"`
	Party   string      `json:"party,omitempty"`
	Earned  json.Number `json:"earned"` // of the party, to the cent
	Tops    []Top       `json:"tops"`

	events []happened
	awards []order.Award
}

// Top is what a book ends with.
type Top struct {
	Time    time.Time     `json:"time"`
	Product order.Product `json:"product"`
	Bid     json.Number   `json:"bid,omitempty"`
	BidMW   json.Number   `json:"bid_mw,omitempty"`
	Ask     json.Number   `json:"ask,omitempty"`
	AskMW   json.Number   `json:"ask_mw,omitempty"`
}

// contract is what a book is of.
type contract struct {
	at      int64
	product order.Product
}

// happened is an event of one of the books.
type happened struct {
	book.Event
	of contract
}

var (
	lives   = map[string]book.Life{"": book.Rest, "rest": book.Rest, "ioc": book.IOC, "fok": book.FOK}
	kinds   = map[book.Kind]string{book.Rested: "rested", book.Traded: "traded", book.Cancelled: "cancelled", book.Reduced: "reduced", book.Refused: "refused"}
	reasons = map[book.Why]string{book.Asked: "asked", book.Unfilled: "unfilled", book.Self: "self-trade", book.Known: "known", book.Unknown: "unknown", book.Quantity: "quantity"}
)

// Match lets orders meet, one after the other.
func Match(o MatchOptions) (*Matched, error) {
	rules, err := Rules(o.Market)
	if err != nil {
		return nil, err
	}
	s, err := sheet.Read(o.Orders, func(c string) bool { return c == "id" || c == quantityColumn || c == priceColumn },
		timeColumn, productColumn, sideColumn, partyColumn, "action", "life")
	if err != nil {
		return nil, err
	}
	for _, c := range []string{timeColumn, productColumn, sideColumn, partyColumn} {
		if s.Texts(c) == nil {
			return nil, s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "there is no column %s", c)
		}
	}
	ids, err := s.Full("id")
	if err != nil {
		return nil, err
	}
	var columns [2][]float64
	for i, name := range []string{quantityColumn, priceColumn} {
		k := slices.Index(s.Header, name)
		if k < 0 {
			return nil, s.Fault(1, 1, "its columns are "+strings.Join(s.Header, ", "), "there is no column %s", name)
		}
		columns[i] = s.Column[k]
	}
	prevention := book.CancelNewest
	if o.Oldest {
		prevention = book.CancelOldest
	}
	out := &Matched{Market: rules.Name, Party: o.Party}
	books := map[contract]*book.Book{}
	var open []contract
	var parties []string // by number
	earned, volume := new(big.Rat), order.KW(0)
	owner := map[uint64]order.Side{} // of our orders, their side
	var events []book.Event
	for k := range s.Line {
		x := order.Order{Product: order.Product(s.Texts(productColumn)[k]), Party: s.Texts(partyColumn)[k]}
		var ok bool
		if x.At, ok = sheet.Instant(s.Texts(timeColumn)[k]); !ok {
			return nil, s.At(k, []string{timeColumn}, "write it as 2020-01-31T13:00:00Z", "%q is no instant", s.Texts(timeColumn)[k])
		}
		if ids[k] != math.Trunc(ids[k]) || ids[k] < 0 || ids[k] > 1<<53 {
			return nil, s.At(k, []string{"id"}, "", "%v is no whole number", ids[k])
		}
		id, action := uint64(ids[k]), "new"
		if words := s.Texts("action"); words != nil && words[k] != "" {
			action = words[k]
		}
		of := contract{x.At.Unix(), x.Product}
		b := books[of]
		if b == nil {
			b = book.New(prevention)
			books[of], open = b, append(open, of)
		}
		if action != "cancel" {
			if s.Texts(sideColumn)[k] == "sell" {
				x.Side = order.Sell
			} else if s.Texts(sideColumn)[k] != "buy" {
				return nil, s.At(k, []string{sideColumn}, "write buy or sell", "%q is no side", s.Texts(sideColumn)[k])
			}
			if x.KW, ok = order.OfMW(columns[0][k]); !ok {
				return nil, s.At(k, []string{quantityColumn}, "the smallest part is 0.001 MW", "%v MW", columns[0][k])
			}
			x.Limit = order.Any(x.Side)
			if !math.IsNaN(columns[1][k]) {
				if x.Limit, ok = order.Of(columns[1][k]); !ok {
					return nil, s.At(k, []string{priceColumn}, "six digits after the point are the most", "%v is no price", columns[1][k])
				}
			}
			if wrong := rules.Admit(&x, time.Time{}); wrong != nil {
				return nil, s.At(k, []string{wrong.Column}, wrong.Hint, "%s", wrong.Msg)
			}
		}
		events = events[:0]
		switch action {
		case "new":
			word := ""
			if words := s.Texts("life"); words != nil {
				word = words[k]
			}
			life, is := lives[word]
			if !is {
				return nil, s.At(k, []string{"life"}, "write rest, ioc or fok", "%q is none of them", word)
			}
			if x.Limit.IsAny() && life == book.Rest {
				return nil, s.At(k, []string{priceColumn}, "an order at any price is ioc or fok", "an order that may wait needs a price")
			}
			n := slices.Index(parties, x.Party)
			if n < 0 {
				n = len(parties)
				parties = append(parties, x.Party)
			}
			if x.Party == o.Party {
				owner[id] = x.Side
			}
			events = b.Submit(book.Order{ID: id, Party: uint32(n), Side: x.Side, Life: life, KW: x.KW, Limit: x.Limit}, events)
		case "cancel":
			events = b.Cancel(id, events)
		case "replace":
			events = b.Replace(id, x.KW, x.Limit, events)
		default:
			return nil, s.At(k, []string{"action"}, "write new, cancel or replace", "%q is none of them", action)
		}
		for _, e := range events {
			out.events = append(out.events, happened{e, of})
			if e.Kind != book.Traded {
				continue
			}
			out.Trades++
			volume += e.KW
			for _, id := range []uint64{e.ID, e.Against} {
				side, ours := owner[id]
				if !ours {
					continue
				}
				a := order.Award{At: x.At, Length: rules.Terms(x.Product).Interval, Product: x.Product, Side: side, KW: e.KW, Price: e.Limit, Trade: strconv.FormatUint(e.Seq, 10)}
				out.awards = append(out.awards, a)
				earned.Add(earned, a.Earns())
			}
		}
	}
	out.Books, out.Events, out.Volume, out.Earned = len(open), len(out.events), json.Number(volume.String()), json.Number(money(earned))
	slices.SortStableFunc(out.awards, func(a, b order.Award) int { return a.At.Compare(b.At) })
	for _, of := range open {
		b := books[of]
		out.Waiting += b.Len()
		t := Top{Time: time.Unix(of.at, 0).UTC(), Product: of.product}
		if p, kw, ok := b.Best(order.Buy); ok {
			t.Bid, t.BidMW = json.Number(p.String()), json.Number(kw.String())
		}
		if p, kw, ok := b.Best(order.Sell); ok {
			t.Ask, t.AskMW = json.Number(p.String()), json.Number(kw.String())
		}
		out.Tops = append(out.Tops, t)
	}
	return out, nil
}

// WriteCSV writes all that happened.
func (m *Matched) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{timeColumn, productColumn, "seq", "event", "id", "against", sideColumn, quantityColumn, priceColumn, "reason"}) // told by Error
	for _, e := range m.events {
		against := ""
		if e.Kind == book.Traded {
			against = strconv.FormatUint(e.Against, 10)
		}
		limit := ""
		if !e.Limit.IsAny() {
			limit = e.Limit.String()
		}
		_ = c.Write([]string{
			time.Unix(e.of.at, 0).UTC().Format(time.RFC3339), string(e.of.product), strconv.FormatUint(e.Seq, 10), kinds[e.Kind],
			strconv.FormatUint(e.ID, 10), against, e.Side.String(), e.KW.String(), limit, reasons[e.Why],
		})
	}
	c.Flush()
	return c.Error()
}

// WriteAwards writes the trades of the party, each with the seq of its event.
func (m *Matched) WriteAwards(w io.Writer) error { return order.WriteAwards(w, m.awards) }

// Print prints for people.
func (m *Matched) Print(w io.Writer) {
	fmt.Fprintf(w, "%s: %s of %s MW in %s, %s\n", m.Market, plural.Count(m.Trades, "trade", "trades"), m.Volume, plural.Count(m.Books, "book", "books"), plural.Count(m.Waiting, "order waits", "orders wait"))
	for _, t := range m.Tops {
		fmt.Fprintf(w, "%s %s: %s\n", t.Time.Format(time.RFC3339), t.Product, t.spread())
	}
	fmt.Fprintf(w, "%s has %s, earned %s\n", who(m.Party), plural.Count(len(m.awards), "trade", "trades"), m.Earned)
}

func (t *Top) spread() string {
	bid, ask := "nothing is bid", "nothing asked"
	if t.Bid != "" {
		bid = fmt.Sprintf("%s MW bid at %s", t.BidMW, t.Bid)
	}
	if t.Ask != "" {
		ask = fmt.Sprintf("%s MW asked at %s", t.AskMW, t.Ask)
	}
	return bid + ", " + ask
}

func who(party string) string {
	if party == "" {
		return "who is not named"
	}
	return party
}
