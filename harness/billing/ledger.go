package billing

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"strconv"
	"time"

	"yunchu/harness/plot"
	"yunchu/harness/scenario"
	"yunchu/platform/durable"
	"yunchu/platform/plural"
	"yunchu/platform/settle"
)

// Book appends the bills to a ledger on disk. Whoever else books waits until it is done.
func (r *BillResult) Book(path, party string, now time.Time) (err error) {
	if _, err := new(settle.Ledger).Settle(party, now, r.Bills...); err != nil {
		return err // and leave no empty file
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	unlock, err := durable.Lock(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	l, err := readLedger(path, f)
	if err != nil {
		return err
	}
	before := len(l.Entries)
	out, err := l.Settle(party, now, r.Bills...)
	if err != nil {
		return err
	}
	r.Booked = len(l.Entries) - before
	if len(out) == 0 {
		return nil
	}
	_, err = f.Write(out)
	return errors.Join(err, f.Sync())
}

// Ledger is a book that was read and proved.
type Ledger struct {
	*settle.Ledger
	path string
}

// ReadLedger reads a ledger and proves it. An error of the file says its path.
func ReadLedger(path string) (*Ledger, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := readLedger(path, f)
	if err != nil {
		return nil, err
	}
	return &Ledger{l, path}, nil
}

func readLedger(path string, f io.Reader) (*settle.Ledger, error) {
	src, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	l, err := settle.ReadLedger(src)
	if err != nil {
		return nil, scenario.Faults{{Path: path, Msg: err.Error()}}
	}
	return l, nil
}

// MarshalJSON has what the book comes to.
func (l *Ledger) MarshalJSON() ([]byte, error) { return json.Marshal(l.Statement()) }

// Print writes the accounts for people.
func (l *Ledger) Print(w io.Writer) {
	s := l.Statement()
	for _, a := range s.Accounts {
		fmt.Fprintf(w, "%-30s %16s %s\n", a.Name, a.Balance, a.Currency)
	}
	fmt.Fprintf(w, "%s, hash %s\n", plural.Count(s.Entries, "entry", "entries"), s.Hash)
}

// WriteCSV writes a row for each posting.
func (l *Ledger) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"entry", "ref", "booked", "from", "to", "key", "site", "version", "account", "amount", "currency"})
	for _, e := range l.Entries {
		ref := ""
		if e.Ref > 0 {
			ref = strconv.Itoa(e.Ref)
		}
		for _, p := range e.Postings {
			_ = c.Write([]string{
				strconv.Itoa(e.N), ref, e.Booked.Format(time.RFC3339), e.From.Format(time.RFC3339), e.To.Format(time.RFC3339),
				e.Key, e.Site, e.Version, p.Account, string(p.Amount), e.Currency,
			})
		}
	}
	c.Flush()
	return c.Error() // also those of the rows
}

var ledgerPage = template.Must(template.New("ledger").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Ledger</title>
` + plot.PageStyle + `</head><body>
<h1>Ledger</h1>
<p>{{.Path}}. {{.Statement.Entries}} entries that follow from one another, hash {{.Statement.Hash}}. Above 0 is a debit.</p>
<table><tr><th>account</th><th>balance</th><th></th></tr>
{{range .Statement.Accounts}}<tr><td>{{.Name}}</td><td>{{.Balance}}</td><td class="text">{{.Currency}}</td></tr>
{{end}}</table>
{{.Figure}}
<table><tr><th>entry</th><th class="text">of</th><th class="text">site</th><th class="text">rule</th><th class="text">booked</th><th class="text">account</th><th>amount</th></tr>
{{range .Entries}}{{$e := .}}{{range $i, $p := .Postings}}<tr><td>{{if not $i}}{{$e.N}}{{with $e.Ref}}, again of {{.}}{{end}}{{end}}</td><td class="text">{{if not $i}}{{$e.Key}}{{end}}</td><td class="text">{{if not $i}}{{$e.Site}}{{end}}</td><td class="text">{{if not $i}}{{$e.Version}}{{end}}</td><td class="text">{{if not $i}}{{$e.Booked.Format "2006-01-02 15:04"}}{{end}}</td><td class="text">{{.Account}}</td><td>{{.Amount}} {{$e.Currency}}</td></tr>
{{end}}{{end}}</table>
</body></html>
`))

// WritePage writes the book as one HTML file to print, without scripts.
func (l *Ledger) WritePage(w io.Writer) error {
	s := l.Statement()
	money := plot.Panel{Y: "balance"}
	for k, a := range s.Accounts {
		c := plot.Curve{Name: a.Name + ", " + a.Currency, Color: plot.Cycle(k), Style: plot.Marked}
		sum := 0.0
		for _, e := range l.Entries {
			for _, p := range e.Postings {
				if p.Account == a.Name && e.Currency == a.Currency {
					sum += value(p.Amount)
				}
			}
			c.X, c.Y = append(c.X, float64(e.N)), append(c.Y, sum)
		}
		money.Curves = append(money.Curves, c)
	}
	var drawn template.HTML
	if len(money.Curves) > 0 {
		f := plot.Figure{Title: "What is on the accounts after each entry", X: "entry", Panels: []plot.Panel{money}}
		var err error
		if drawn, err = f.HTML(); err != nil {
			return err
		}
	}
	return ledgerPage.Execute(w, struct {
		Path      string
		Statement settle.Statement
		Entries   []settle.Entry
		Figure    template.HTML
	}{l.path, s, l.Entries, drawn})
}
