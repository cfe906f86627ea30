package billing

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"yunchu/harness/sheet"
	"yunchu/platform/plural"
	"yunchu/platform/settle"
)

// BillOptions say what is billed.
type BillOptions struct {
	Rules    []string // versions of a rule: those that ship, or files
	Readings string
	Data     []string // files of prices, awards, commitments
	From, To string   // local dates, both included, or instants, the latter not
	Gap      time.Duration
	Site     string // whose readings they are, where a party has several
	ProForma bool
	Claims   string // another party's bill
	Currency string // of the prices of the data; empty: that of the rule
}

// BillResult are bills, one of each version of the rule.
type BillResult struct {
	Total      json.Number        `json:"total"`
	Currency   string             `json:"currency"`
	Complete   bool               `json:"complete"`
	ProForma   bool               `json:"pro_forma,omitempty"`
	Bills      []*settle.Bill     `json:"bills"`
	Reconciled *settle.Reconciled `json:"reconciled,omitempty"`
	Booked     int                `json:"booked,omitempty"` // entries

	rules []*settle.Tariff
	data  *settle.Data
}

// Bill reads the files and bills them.
func Bill(o BillOptions) (*BillResult, error) {
	rules, err := tariffs(o.Rules)
	if err != nil {
		return nil, err
	}
	if o.Currency != "" {
		for _, t := range rules {
			if err := t.In(o.Currency); err != nil {
				return nil, err
			}
		}
	}
	d, err := o.load(rules)
	if err != nil {
		return nil, err
	}
	r := &BillResult{Currency: rules[0].Currency, Complete: true, ProForma: d.simulated, rules: rules, data: d.Data}
	for _, at := range d.At {
		n := 0
		for _, t := range rules {
			if t.Holds(at) {
				n++
			}
		}
		if n != 1 {
			return nil, fmt.Errorf("%s: %d versions of the rule are valid, and it has to be one", at.In(rules[0].Location()).Format(time.RFC3339), n)
		}
	}
	var sum settle.Amount
	for _, t := range rules {
		b, err := t.Bill(d.Data)
		if errors.Is(err, settle.ErrNoData) {
			continue // another version's time
		} else if err != nil {
			return nil, err
		}
		b.ProForma, b.Site, b.Of = d.simulated, o.Site, d.devicesRead
		r.Bills = append(r.Bills, b)
		r.Complete = r.Complete && b.Complete
		sum += b.Sum
	}
	r.Total = json.Number(rules[0].Rounding.Text(sum))
	if o.Claims == "" {
		return r, nil
	}
	if len(r.Bills) != 1 {
		return nil, errors.New("--claims are compared with one version of a rule: narrow the dates with --from and --to")
	}
	claims, err := readClaims(o.Claims, rules[0], r.Bills[0])
	if err != nil {
		return nil, err
	}
	for _, t := range rules {
		if t.Version == r.Bills[0].Version {
			r.Reconciled, err = t.Reconcile(d.Data, claims)
		}
	}
	return r, err
}

// readClaims reads another party's bill: line, amount and, where it is by months, month.
func readClaims(path string, t *settle.Tariff, b *settle.Bill) (list []settle.Claim, err error) {
	s, err := sheet.Read(path, func(c string) bool { return c == "amount" }, "line", "month")
	if err != nil {
		return nil, err
	}
	amounts, err := s.Full("amount")
	if err != nil {
		return nil, err
	}
	lines := s.Texts("line")
	if lines == nil {
		return nil, s.Fault(1, 1, "line is that of the rule, month is optional", "there is no column line")
	}
	for i, a := range amounts {
		c := settle.Claim{Line: lines[i]}
		if m := s.Texts("month"); m != nil {
			c.Month = m[i]
		}
		c.Amount, err = t.Rounding.Parse(strconv.FormatFloat(a, 'f', -1, 64))
		if err != nil {
			return nil, err
		}
		if _, err := b.Claimed(c); err != nil {
			return nil, s.At(i, []string{"line"}, "lines of the rule: "+names(t), "%v", err)
		}
		list = append(list, c)
	}
	return list, nil
}

func names(t *settle.Tariff) (s string) {
	for i, l := range t.Lines {
		if i > 0 {
			s += ", "
		}
		s += l.ID
	}
	return s
}

// WriteCSV writes every item of every line.
func (r *BillResult) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"time", "month", "line", "period", "quantity", "price", "factor", "amount", "first_row", "last_row", "rule", "version", "estimated"})
	for _, b := range r.Bills {
		for _, m := range b.Months {
			for _, l := range m.Lines {
				for _, x := range l.Items {
					row := []string{x.At.Format(time.RFC3339), m.Month, x.Line, x.Period, string(x.Quantity), string(x.Price), string(x.Factor), string(x.Amount), "", "", b.Rule, b.Version, ""}
					if x.Estimated {
						row[12] = "yes"
					}
					if x.Rows != nil && x.Rows[0] > 0 {
						row[8], row[9] = strconv.Itoa(x.Rows[0]), strconv.Itoa(x.Rows[1])
					}
					_ = c.Write(row)
				}
			}
		}
	}
	c.Flush()
	return c.Error() // also those of the rows
}

// WithoutItems leaves the sums alone.
func (r *BillResult) WithoutItems() {
	for _, b := range r.Bills {
		for _, m := range b.Months {
			for i := range m.Lines {
				m.Lines[i].Items = nil
			}
		}
	}
}

// Print says it in a few lines.
func (r *BillResult) Print(w io.Writer) {
	if r.ProForma {
		fmt.Fprintln(w, "pro forma: of simulated readings, no bill")
	}
	for _, b := range r.Bills {
		for _, m := range b.Months {
			for _, l := range m.Lines {
				fmt.Fprintf(w, "%s  %-16s %16s %s  %s\n", m.Month, l.Line, l.Amount, b.Currency, l.Title)
			}
		}
		if b.Estimated > 0 {
			fmt.Fprintf(w, "estimated: %s read in part\n", plural.Count(b.Estimated, "interval that was", "intervals that were"))
		}
		for i, m := range b.Missing {
			if i == 10 {
				fmt.Fprintf(w, "missing: and %d more\n", len(b.Missing)-i)
				break
			}
			fmt.Fprintf(w, "missing: %s %s %s\n", m.At.Format(time.RFC3339), m.Line, m.What)
		}
	}
	fmt.Fprintf(w, "total %s %s\n", r.Total, r.Currency)
	if x := r.Reconciled; x != nil {
		fmt.Fprintln(w, x.Said(r.Currency))
		if x.Trap != settle.TrapNone {
			fmt.Fprintf(w, "trap: %s\n", x.Trap)
		}
	}
}

// value of an exact amount, for a plot.
func value(n json.Number) float64 {
	x, err := n.Float64()
	if err != nil {
		return math.NaN()
	}
	return x
}
