package settle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"yunchu/platform/plural"
)

// Posting moves an amount on one account: above 0 it is a debit, below 0 a credit.
type Posting struct {
	Account string      `json:"account"`
	Amount  json.Number `json:"amount"`

	cents Amount
}

// Entry is booked once and never changed. What it says later is wrong is booked as another
// one that refers to it.
type Entry struct {
	N        int       `json:"n"`             // from 1
	Ref      int       `json:"ref,omitempty"` // the first entry about the same
	Key      string    `json:"key"`           // what it is about, with the site: party, rule and month
	Site     string    `json:"site,omitempty"`
	Of       []string  `json:"of,omitempty"` // devices that were read; none: a meter
	From     time.Time `json:"from"`         // what of the month was billed
	To       time.Time `json:"to"`
	Booked   time.Time `json:"booked"`
	Version  string    `json:"version"` // of the rule
	Currency string    `json:"currency"`
	Digits   int       `json:"digits"`
	Postings []Posting `json:"postings"`
	Prev     string    `json:"prev"` // SHA-256 of the line before
}

// Ledger is a book of double entry, a line of JSON an entry. Each line carries the hash of
// the one before, so that none can be changed or taken out unseen.
type Ledger struct {
	Entries []Entry
	hash    string
}

// ReadLedger reads a book and proves it: numbers, hashes, and that postings balance.
func ReadLedger(src []byte) (*Ledger, error) {
	var l Ledger
	for line := range bytes.Lines(src) {
		n := len(l.Entries) + 1
		line, whole := bytes.CutSuffix(line, []byte("\n"))
		if !whole {
			return nil, fmt.Errorf("line %d of the ledger, the last, is cut off: it was not booked, take it out", n)
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("line %d of the ledger: %w", n, err)
		}
		switch {
		case e.N != n:
			return nil, fmt.Errorf("line %d of the ledger is entry %d: one is missing, or not in its place", n, e.N)
		case e.Prev != l.hash:
			return nil, fmt.Errorf("line %d of the ledger does not follow from the line before, which was changed", n)
		}
		if err := e.balance(); err != nil {
			return nil, fmt.Errorf("line %d of the ledger: %w", n, err)
		}
		l.add(e, line)
	}
	return &l, nil
}

func (l *Ledger) add(e Entry, line []byte) {
	sum := sha256.Sum256(line)
	l.Entries, l.hash = append(l.Entries, e), hex.EncodeToString(sum[:])
}

// balance reads the amounts of the postings, whose sum is 0.
func (e *Entry) balance() error {
	var sum Amount
	for i := range e.Postings {
		c, err := Rounding{Digits: e.Digits}.Parse(string(e.Postings[i].Amount))
		if err != nil {
			return err
		}
		e.Postings[i].cents = c
		sum += c
	}
	if sum != 0 {
		return fmt.Errorf("entry %d does not balance: its postings add up to %s", e.N, Rounding{Digits: e.Digits}.Text(sum))
	}
	return nil
}

// Hash is that of the last line, and so of the whole book; empty where nothing is booked.
func (l *Ledger) Hash() string { return l.hash }

// Account is what is on one, in one currency: above 0 a debit.
type Account struct {
	Name     string      `json:"account"`
	Currency string      `json:"currency"`
	Balance  json.Number `json:"balance"`

	Cents Amount `json:"-"`
}

// Statement is what a book comes to.
type Statement struct {
	Entries  int       `json:"entries"`
	Hash     string    `json:"hash"` // of the last line, and so of the whole: kept elsewhere, it proves the last line too
	Accounts []Account `json:"accounts"`
}

// Statement proves nothing more: a book that was read is proved.
func (l *Ledger) Statement() Statement {
	return Statement{len(l.Entries), l.hash, append([]Account{}, l.Accounts()...)}
}

// Accounts are all that were posted to, by name.
func (l *Ledger) Accounts() (list []Account) {
	for _, e := range l.Entries {
		r := Rounding{Digits: e.Digits}
		for _, p := range e.Postings {
			i := slices.IndexFunc(list, func(a Account) bool { return a.Name == p.Account && a.Currency == e.Currency })
			if i < 0 {
				i, list = len(list), append(list, Account{Name: p.Account, Currency: e.Currency})
			}
			list[i].Cents += p.cents
			list[i].Balance = json.Number(r.Text(list[i].Cents))
		}
	}
	slices.SortFunc(list, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Currency, b.Currency))
	})
	return list
}

// Settle books the bills of a rule and a site with a party by months, those of several
// versions of it together: what is earned is a debit of the party and a credit of the line's account. A
// month that was booked before is booked again with the difference alone, and refers to the
// first entry; without a difference there is none. Such a bill has to cover what was booked.
// The lines are what has to be appended to the book.
func (l *Ledger) Settle(party string, booked time.Time, bills ...*Bill) (lines []byte, err error) {
	entries := map[string]*Entry{}
	due := map[string]*dues{}
	var order []string
	bills = slices.SortedStableFunc(slices.Values(bills), func(a, b *Bill) int { return a.From.Compare(b.From) })
	for _, b := range bills {
		if b.ProForma {
			return nil, &SimulatedError{}
		}
		if b.Site == "" && len(b.Of) == 0 {
			return nil, errors.New("the readings are of a meter, which does not say whose they are, so that two stations would be booked as one: name the site (--site)")
		}
		if !b.Complete {
			return nil, fmt.Errorf("the bill is not complete: %s missing", plural.Count(len(b.Missing), "interval of its lines is", "intervals of its lines are"))
		}
		for _, m := range b.Months {
			key := party + " " + b.Rule + " " + m.Month
			e := entries[key]
			if e == nil {
				e = &Entry{Key: key, Site: b.Site, Of: b.Of, From: m.From, Booked: booked.UTC(), Version: b.Version, Currency: b.Currency, Digits: b.Rounding.Digits}
				entries[key], due[key], order = e, &dues{of: map[string]Amount{}}, append(order, key)
			} else if !m.From.Equal(e.To) {
				return nil, fmt.Errorf("from %s to %s is billed by none of the versions, or by two", e.To.Format(time.RFC3339), m.From.Format(time.RFC3339))
			} else {
				e.Version += ", " + b.Version
			}
			e.To = m.To
			for _, s := range m.Lines {
				due[key].post("party:"+party, s.Cents)
				due[key].post("line:"+s.Line, -s.Cents)
			}
		}
	}
	for _, key := range order {
		e := entries[key]
		e.N, e.Prev = len(l.Entries)+1, l.hash
		for _, old := range l.Entries {
			switch {
			case old.Key != key:
				continue
			case old.Site != e.Site && !mayBeOne(&old, e):
				continue
			case old.Site == "" && e.Site != "":
				return nil, fmt.Errorf("%s was booked of %s without a site, and may be the same as of site %s: bill it without one, or begin another ledger", key, readOf(old.Of), e.Site)
			case old.Site != e.Site:
				return nil, fmt.Errorf("%s was booked of site %s, and may be the same: name the site (--site)", key, old.Site)
			case e.Site == "" && !slices.Equal(old.Of, e.Of):
				return nil, fmt.Errorf("%s was booked of %s, and not of %s: name the --site of each, from its first bill on", key, readOf(old.Of), readOf(e.Of))
			case old.Currency != e.Currency || old.Digits != e.Digits:
				return nil, fmt.Errorf("%s was booked in %s with %d digits, and not in %s with %d", key, old.Currency, old.Digits, e.Currency, e.Digits)
			case old.From.Before(e.From) || old.To.After(e.To):
				return nil, fmt.Errorf("%s was booked from %s to %s, which this bill does not cover: bill the whole of it", key, old.From.Format(time.RFC3339), old.To.Format(time.RFC3339))
			}
			if e.Ref == 0 {
				e.Ref = old.N
			}
			for _, p := range old.Postings {
				due[key].post(p.Account, -p.cents)
			}
		}
		for _, a := range due[key].accounts {
			if x := due[key].of[a]; x != 0 {
				e.Postings = append(e.Postings, Posting{a, json.Number(Rounding{Digits: e.Digits}.Text(x)), x})
			}
		}
		if len(e.Postings) == 0 {
			continue
		}
		if err := e.balance(); err != nil {
			return nil, err
		}
		line, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		l.add(*e, line)
		lines = append(append(lines, line...), '\n')
	}
	return lines, nil
}

// mayBeOne tells whether entries of which one names no site may be of the same one: unless both name their
// devices, and none of them is in both.
func mayBeOne(a, b *Entry) bool {
	if a.Site != "" && b.Site != "" {
		return false
	}
	return len(a.Of) == 0 || len(b.Of) == 0 || slices.ContainsFunc(a.Of, func(id string) bool { return slices.Contains(b.Of, id) })
}

// readOf names what was read.
func readOf(devices []string) string {
	if len(devices) == 0 {
		return "a meter"
	}
	return strings.Join(devices, ", ")
}

// dues are debits by account, in the order they came up.
type dues struct {
	of       map[string]Amount
	accounts []string
}

func (d *dues) post(account string, a Amount) {
	if _, seen := d.of[account]; !seen {
		d.accounts = append(d.accounts, account)
	}
	d.of[account] += a
}
