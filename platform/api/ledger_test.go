package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/settle"
)

// TestBookRoute: a bill is booked in the caller's ledger, better readings with the difference alone; the ledger is
// proved, and another party's bill is compared.
func TestBookRoute(t *testing.T) {
	w := newWorld(t)
	begin := time.UnixMilli(start).UTC().Truncate(time.Hour).Add(-24 * time.Hour)
	slot, ok := w.Slot("MINE")
	if !ok {
		t.Fatal("no MINE")
	}
	push := func(kw float64, flags device.Flags, from, to int) {
		t.Helper()
		var rows []device.Reading
		for s := from; s <= to; s += 30 {
			rows = append(rows, device.Reading{Slot: slot, At: begin.Add(time.Duration(s) * time.Second).UnixMilli(), Power: kw, SoC: 50, Quality: device.Good, Flags: flags})
		}
		if err := w.Push(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	push(100, 0, 0, 3600)
	ask := func(price float64, more string) string {
		rule := `name: t\ntitle: t\nversion: \"1\"\nsource: own\nstanding: unverified\ncurrency: CNY\ntime_zone: UTC\ninterval: 15m\nrounding: {digits: 2, mode: half-up, of: month}\nlines:\n  - {id: energy, title: e, side: pays, quantity: charge, price_of: price, per: kWh}\n`
		return fmt.Sprintf(`{"rule":"","rule_text":"%s","devices":"MINE","from":%q,"to":%q,"columns":[{"name":"price","values":[%g,0,0,0]}],%s}`,
			rule, begin.Format(time.RFC3339), begin.Add(time.Hour).Format(time.RFC3339), price, more)
	}
	type answer struct {
		Total  json.Number
		Booked struct {
			Append string
			settle.Statement
		}
		Reconciled settle.Reconciled
		Detail     string
	}
	book := ""
	booked := func(price float64) (a answer) {
		t.Helper()
		quoted, err := json.Marshal(book)
		if err != nil {
			t.Fatal(err)
		}
		w.post("/api/v1/settle/bill", ask(price, `"book":{"party":"grid","site":"north","ledger":`+string(quoted)+`}`), 200, &a)
		book += a.Booked.Append
		return a
	}
	if a := booked(2); a.Total != "-50.00" || a.Booked.Entries != 1 || strings.Count(book, "\n") != 1 {
		t.Fatalf("%+v", a)
	}
	if a := booked(2); a.Booked.Append != "" || a.Booked.Entries != 1 {
		t.Errorf("the same again: %+v", a)
	}
	a := booked(3)
	if got := fmt.Sprint(a.Booked.Accounts); a.Booked.Entries != 2 || got != "[{line:energy CNY 75.00 0} {party:grid CNY -75.00 0}]" || !strings.Contains(book, `"ref":1`) {
		t.Errorf("another price: %+v\n%s", a.Booked, book)
	}
	ledger := func(text string, status int, into any) {
		t.Helper()
		body, err := json.Marshal(map[string]string{"ledger": text})
		if err != nil {
			t.Fatal(err)
		}
		w.post("/api/v1/settle/ledger", string(body), status, into)
	}
	var all settle.Statement
	if ledger(book, 200, &all); fmt.Sprint(all) != fmt.Sprint(a.Booked.Statement) || all.Hash == "" {
		t.Errorf("%+v, want %+v", all, a.Booked.Statement)
	}
	if ledger("", 200, &all); all.Entries != 0 {
		t.Errorf("nothing: %+v", all)
	}
	for name, bad := range map[string]string{"changed": strings.Replace(book, "50.00", "60.00", 1), "cut off": book[:len(book)-1], "no ledger": "x\n"} {
		var p answer
		if ledger(bad, 400, &p); !strings.Contains(p.Detail, "of the ledger") {
			t.Errorf("%s: %s", name, p.Detail)
		}
	}

	// The other party took kWh for kW, a quarter of an hour once more.
	var c answer
	if w.post("/api/v1/settle/bill", ask(2, `"claims":[{"line":"energy","amount":-12.50}]`), 200, &c); c.Reconciled.Trap != settle.TrapEnergy || c.Reconciled.Agrees || c.Booked.Entries != 0 {
		t.Errorf("%+v", c.Reconciled)
	}
	if w.post("/api/v1/settle/bill", ask(2, `"currency":"EUR","book":{"party":"grid","site":"north","ledger":""}`), 200, &c); !strings.Contains(c.Booked.Append, `"currency":"EUR"`) {
		t.Errorf("in another currency: %s", c.Booked.Append)
	}
	var agreed answer
	if w.post("/api/v1/settle/bill", ask(2, `"claims":[{"line":"energy","amount":-50}]`), 200, &agreed); !agreed.Reconciled.Agrees {
		t.Errorf("%+v", agreed.Reconciled)
	}
	if w.post("/api/v1/settle/bill", ask(2, `"claims":[{"line":"fees","amount":1}]`), 400, &c); !strings.Contains(c.Detail, `"fees"`) {
		t.Errorf("a line that the rule does not have: %s", c.Detail)
	}
	// Neither what is missing nor what was simulated is booked.
	if w.post("/api/v1/settle/bill", strings.Replace(ask(2, `"book":{"party":"grid","ledger":""}`), "[2,", "[null,", 1), 400, &c); !strings.Contains(c.Detail, "not complete") {
		t.Errorf("incomplete: %s", c.Detail)
	}
	push(100, device.FlagSimulated, 1801, 1801)
	if w.post("/api/v1/settle/bill", ask(2, `"pro_forma":true,"book":{"party":"grid","ledger":""}`), 400, &c); !strings.Contains(c.Detail, "simulated") {
		t.Errorf("simulated: %s", c.Detail)
	}
}
