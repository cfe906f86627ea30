package order

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The columns of a file of orders and of one of awards. A limit that is empty takes any price.
var (
	OrderColumns = []string{"time", "product", "side", "quantity_mw", "price_per_mwh"}
	AwardColumns = []string{"time", "minutes", "product", "side", "quantity_mw", "price_per_mwh", "amount"}
)

// TradeColumn is what awards of a continuous market have beside [AwardColumns].
const TradeColumn = "trade"

// WriteOrders writes orders as CSV.
func WriteOrders(w io.Writer, orders []Order) error {
	c := csv.NewWriter(w)
	_ = c.Write(OrderColumns) // told by Error
	for i := range orders {
		o := &orders[i]
		limit := ""
		if !o.Limit.IsAny() {
			limit = o.Limit.String()
		}
		_ = c.Write([]string{o.At.UTC().Format(time.RFC3339), string(o.Product), o.Side.String(), o.KW.String(), limit})
	}
	c.Flush()
	return c.Error()
}

// WriteAwards writes awards as CSV, with what each earns; [TradeColumn] is there where one is a trade.
func WriteAwards(w io.Writer, awards []Award) error {
	c := csv.NewWriter(w)
	columns := AwardColumns
	trades := slices.ContainsFunc(awards, func(a Award) bool { return a.Trade != "" })
	if trades {
		columns = append(slices.Clone(columns), TradeColumn)
	}
	_ = c.Write(columns) // told by Error
	for i := range awards {
		a := &awards[i]
		side := a.Side.String()
		if a.KW == 0 {
			side = ""
		}
		price := a.Price.String()
		if a.Price.IsAny() {
			price = ""
		}
		earns := a.Earns().FloatString(9)
		earns = strings.TrimSuffix(strings.TrimRight(earns, "0"), ".")
		row := []string{a.At.UTC().Format(time.RFC3339), strconv.Itoa(int(a.Length / time.Minute)), string(a.Product), side, a.KW.String(), price, earns}
		if trades {
			row = append(row, a.Trade)
		}
		_ = c.Write(row)
	}
	c.Flush()
	return c.Error()
}

// ErrFile is what is wrong with a file of orders or awards.
var ErrFile = errors.New("no file of its kind")

// rows reads the rows of a file with just these columns.
func rows(r io.Reader, columns []string, each func(field map[string]string) error) error {
	c := csv.NewReader(r)
	head, err := c.Read()
	if err != nil || !slices.Equal(head, columns) {
		return fmt.Errorf("%w: its columns are %s, not %s", ErrFile, strings.Join(head, ","), strings.Join(columns, ","))
	}
	field := make(map[string]string, len(columns))
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: %w", ErrFile, err)
		}
		for i, name := range columns {
			field[name] = row[i]
		}
		if err := each(field); err != nil {
			line, _ := c.FieldPos(0)
			return fmt.Errorf("%w: line %d: %w", ErrFile, line, err)
		}
	}
}

// ReadOrders reads what [WriteOrders] writes.
func ReadOrders(r io.Reader) (out []Order, err error) {
	err = rows(r, OrderColumns, func(f map[string]string) error {
		o, err := ParseOrder(f["time"], f["product"], f["side"], f["quantity_mw"], f["price_per_mwh"])
		out = append(out, o)
		return err
	})
	return out, err
}

// ReadAwards reads what [WriteAwards] writes of an auction.
func ReadAwards(r io.Reader) (out []Award, err error) {
	seen := Seen{}
	err = rows(r, AwardColumns, func(f map[string]string) error {
		a, err := ParseAward(f["time"], f["minutes"], f["product"], f["side"], f["quantity_mw"], f["price_per_mwh"])
		if err != nil {
			return err
		}
		out = append(out, a)
		return seen.Add(&a)
	})
	return out, err
}

// Seen are the awards of an answer or of a file so far.
type Seen map[Award]bool

// Add is an error for an award that is there already: the same delivery of a product, on the same side at the same price.
func (s Seen) Add(a *Award) error {
	part := a.Part()
	if s[part] {
		return fmt.Errorf("a second award of %s at %s", a.Product, part.At.Format(time.RFC3339))
	}
	s[part] = true
	return nil
}

// MostMinutes of a delivery: a day of 25 hours.
const MostMinutes = 25 * 60

// ParseAward reads an award from the words of a file or of a message. One of 0 MW may be on no side,
// and at no price, where nobody traded; any other has both.
func ParseAward(at, minutes, product, side, quantity, price string) (a Award, err error) {
	word := side
	if side == "" {
		word = Buy.String()
	}
	o, err := ParseOrder(at, product, word, quantity, price)
	if err != nil {
		return a, err
	}
	n, err := strconv.Atoi(minutes)
	switch {
	case err != nil || n <= 0 || n > MostMinutes:
		return a, fmt.Errorf("%q minutes are no delivery", minutes)
	case side == "" && o.KW != 0:
		return a, fmt.Errorf("%s MW on no side", o.KW)
	case price == "" && o.KW != 0:
		return a, fmt.Errorf("%s MW at no price", o.KW)
	}
	return Award{At: o.At, Length: time.Duration(n) * time.Minute, Product: o.Product, Side: o.Side, KW: o.KW, Price: o.Limit}, nil
}

// ParseOrder reads an order from the words of a file or of a message.
func ParseOrder(at, product, side, quantity, limit string) (o Order, err error) {
	if o.At, err = time.Parse(time.RFC3339, at); err != nil {
		return o, fmt.Errorf("%q is no instant", at)
	}
	if o.At = o.At.UTC(); o.At.Year() < 1 || o.At.Year() > 9999 { // a zone has moved it out of what can be written
		return o, fmt.Errorf("%q is no instant", at)
	}
	if o.Product = Product(product); !slices.Contains(Products, o.Product) {
		return o, fmt.Errorf("%q is no product", product)
	}
	switch side {
	case "buy":
	case "sell":
		o.Side = Sell
	default:
		return o, fmt.Errorf("%q is no side", side)
	}
	x, err := strconv.ParseFloat(quantity, 64)
	kw, ok := OfMW(x)
	if err != nil || !ok || kw < 0 {
		return o, fmt.Errorf("%q is no quantity", quantity)
	}
	o.KW, o.Limit = kw, Any(o.Side)
	if limit != "" {
		x, err := strconv.ParseFloat(limit, 64)
		if o.Limit, ok = Of(x); err != nil || !ok {
			return o, fmt.Errorf("%q is no price", limit)
		}
	}
	return o, nil
}
