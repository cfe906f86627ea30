package billing_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/harness/billing"
	"yunchu/harness/scenario"
	"yunchu/platform/settle"
)

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func curve(t *testing.T, step float64, kw []float64) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("t_s,power_kw\n")
	for i, x := range kw {
		fmt.Fprintf(&b, "%g,%g\n", float64(i)*step, x)
	}
	return file(t, "curve.csv", b.String())
}

// TestGoldenScoresFromFiles: a whole day of the published signal every 2 s, in fractions and
// in kW, comes to the published scores: the last hour looks beyond the file and is left out.
func TestGoldenScoresFromFiles(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("YUNCHU_DATA")
	if dir == "" {
		t.Skip("YUNCHU_DATA is not set: the reference signal is not part of the repository")
	}
	rows := func(name string) [][]string {
		f, err := os.Open(filepath.Join(dir, "market", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := csv.NewReader(f)
		r.FieldsPerRecord = -1
		all, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return all[1:]
	}
	number := func(s string) float64 {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	var signal []float64
	for _, row := range rows("regd_pjm_2s_24h_noisy.csv") {
		signal = append(signal, number(row[2]))
	}
	respond := map[string]func(i int) float64{
		"perfect":       func(i int) float64 { return signal[i] },
		"delay 4 s":     func(i int) float64 { return signal[max(i-2, 0)] },
		"gain 0.8":      func(i int) float64 { return 0.8 * signal[i] },
		"zero response": func(int) float64 { return 0 },
	}
	for _, row := range rows("pjm_score_golden.csv") {
		of := respond[row[0]]
		if of == nil {
			continue // held by the package of the rules
		}
		for _, kw := range []float64{1, 2500} {
			x, y := make([]float64, len(signal)), make([]float64, len(signal))
			for i := range signal {
				x[i], y[i] = kw*signal[i], kw*of(i)
			}
			r, err := billing.Score(billing.ScoreOptions{Signal: curve(t, 2, x), Response: curve(t, 2, y), Rule: "pjm", Terms: settle.Terms{Variant: row[1]}})
			if err != nil {
				t.Fatal(err)
			}
			var rows, page bytes.Buffer
			if err := errors.Join(r.WriteCSV(&rows), r.WritePage(&page)); err != nil || strings.Count(rows.String(), "\n") != 25 || !strings.Contains(page.String(), "82800 (not whole)") {
				t.Errorf("%v, %d rows", err, strings.Count(rows.String(), "\n"))
			}
			for i, got := range []float64{r.Score, r.Accuracy, r.Delay, r.Precision} {
				if want := number(row[2+i]); math.Abs(got-want) > 1e-3 {
					t.Errorf("%s, %s, %g kW: %.4f, want %.4f", row[0], row[1], kw, got, want)
				}
			}
		}
	}
}

// TestIndexFromFiles: a command of 10 MW to a plant of 100 MW that answers at 60 MW a minute.
func TestIndexFromFiles(t *testing.T) {
	t.Parallel()
	signal := file(t, "signal.csv", "t_s,power_kw\n0,0\n60,10000\n240,10000\n")
	var power []float64
	for s := range 241 {
		power = append(power, min(max(float64(s)-64, 0)*1000, 10300)) // 4 s dead, then 1 MW a second, 0.3 MW too high
	}
	o := billing.ScoreOptions{Signal: signal, Response: curve(t, 1, power), Rule: "north-china", Terms: settle.Terms{RatedKW: 100e3, Share: 1}}
	r, err := billing.Score(o)
	if err != nil || r.N != 1 || r.MileageMW != 10 {
		t.Fatal(r, err)
	}
	// It is seen outside the band of 1 MW at 66 s, 6 s after the command.
	want := (2 - 1.5/r.Adjustments[0].Rate) * (2 - r.Adjustments[0].Error/1.5) * (2 - 6.0/20)
	if math.Abs(r.Score-want) > 1e-9 || math.Abs(r.Adjustments[0].Error-0.3) > 0.01 || *r.Fee != math.Round(100*10*5*(math.Log(want)+1))/100 {
		t.Errorf("%+v, fee %v; want %g", r, *r.Fee, want)
	}
	o.Rule, o.Price = "hunan", 8
	if r, err = billing.Score(o); err != nil || r.Settled != math.Round(100*r.Score)/100 || !*r.Admitted || *r.Fee != math.Round(100*10*8*min(r.Settled, 2))/100 {
		t.Errorf("%+v, %v", r, err)
	}
	o.Share = 0 // nothing of the award was for regulation
	if r, err := billing.Score(o); err != nil || *r.Fee != 0 {
		t.Errorf("no share: %v, %v", r, err)
	}
	o.Share = 1
	o.Price = 40
	if _, err := billing.Score(o); err == nil || !strings.Contains(err.Error(), "4 to 15") {
		t.Errorf("a price beyond the rule's: %v", err)
	}
	var rows, page bytes.Buffer
	if err := errors.Join(r.WriteCSV(&rows), r.WritePage(&page)); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(rows.String(), "t_s,from_kw,target_kw,moved_kw,rate_percent,delay_s,deviation_percent,K1,K2,K3,k\n60,0,10000,10000,") || strings.Count(rows.String(), "\n") != 2 {
		t.Errorf("rows:\n%s", rows.String())
	}
	if !strings.Contains(page.String(), "<svg") || !strings.Contains(page.String(), "2025-10-24") || strings.Contains(page.String(), "<script") {
		t.Errorf("page:\n%.2000s", page.String())
	}
	for _, name := range settle.ScoreNames() {
		x := o
		x.Rule, x.Price = name, 0
		var b bytes.Buffer
		if r, err := billing.Score(x); err != nil && !errors.Is(err, settle.ErrNoData) {
			t.Errorf("%s: %v", name, err)
		} else if err == nil {
			r.Print(&b)
			if !strings.Contains(b.String(), name) {
				t.Errorf("%s: %s", name, b.String())
			}
		}
	}
	still := o
	still.Signal = file(t, "still.csv", "t_s,power_kw\n0,5\n300,5\n")
	if _, err := billing.Score(still); !errors.Is(err, settle.ErrNoData) {
		t.Errorf("no command at all: %v", err)
	}
}

// TestHolesAreNotScored: the last value of a response holds until the next row, and not over
// half an hour in which nothing was written.
func TestHolesAreNotScored(t *testing.T) {
	t.Parallel()
	rows := func(from, to int) (s string) {
		for i := 0; i < 4200; i += 2 {
			if i < from || i >= to {
				s += fmt.Sprintf("%d,%g\n", i, 500*math.Sin(float64(i)/90))
			}
		}
		return "t_s,power_kw\n" + s
	}
	whole := file(t, "whole.csv", rows(0, 0))
	few := file(t, "few.csv", rows(600, 650))                                   // a minute and less
	half := file(t, "half.csv", rows(600, 2400))                                // line 302 is that of 2400 s
	steps := file(t, "steps.csv", "t_s,power_kw\n0,0\n10,400\n600,0\n4190,0\n") // a signal that is written when it changes
	for _, tt := range []struct{ rule, signal, response, want string }{
		{"pjm", whole, whole, ""},
		{"pjm", whole, few, ""},
		{"pjm", whole, half, "half.csv:302:1: 1802 s after the row above, where rows are 2 s apart"},
		{"pjm", half, whole, "half.csv:302:1: 1802 s"},
		{"hunan", steps, half, "half.csv:302:1: 1802 s"},
		{"hunan", steps, whole, ""},
	} {
		_, err := billing.Score(billing.ScoreOptions{Signal: tt.signal, Response: tt.response, Rule: tt.rule, Terms: settle.Terms{Share: 1}})
		if (tt.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %s %s: %v; want %s", tt.rule, filepath.Base(tt.signal), filepath.Base(tt.response), err, tt.want)
		}
	}
}

// TestHoursThatEarn: an hour earns when its last sample can look ten minutes ahead, and it is
// said which did not.
func TestHoursThatEarn(t *testing.T) {
	t.Parallel()
	score := func(seconds int) (*billing.ScoreResult, string) {
		var kw []float64
		for i := 0; i < seconds; i += 10 {
			kw = append(kw, 1000*math.Sin(float64(i)/90))
		}
		path := curve(t, 10, kw)
		r, err := billing.Score(billing.ScoreOptions{Signal: path, Response: path, Rule: "pjm", Terms: settle.Terms{RatedKW: 1000, RMCCP: 10, RMPCP: 2, MileageRatio: 1, Share: 1}})
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		r.Print(&said)
		return r, said.String()
	}
	r, said := score(3600)
	if r.Earning != 0 || *r.Fee != 0 || r.Hours[0].Earns || !strings.Contains(said, "0 of 1 hours earn; not that from 0 s, which is not whole") {
		t.Errorf("an hour alone: %+v\n%s", r.PJMResult, said)
	}
	r, said = score(2 * 3600)
	if r.Earning != 1 || *r.Fee < 11 || !r.Hours[0].Earns || r.Hours[1].Earns || !strings.Contains(said, "1 of 2 hours earn; not that from 3600 s") {
		t.Errorf("two: %+v\n%s", r.PJMResult, said)
	}
}

// TestScoreFaults: what is wrong is said with its place.
func TestScoreFaults(t *testing.T) {
	t.Parallel()
	good := file(t, "good.csv", "t_s,power_kw\n0,0\n10,5\n")
	own := file(t, "own.yaml", "name: own\nversion: 2025-01-01\nstanding: verified\naggregation: weighted\nterms:\n  - {name: K1, of: rate, form: rato, standard: 1}\n")
	for _, tt := range []struct {
		o    billing.ScoreOptions
		want string
	}{
		{billing.ScoreOptions{Signal: good, Response: good, Rule: "texas"}, "there are guangdong, hunan"},
		{billing.ScoreOptions{Signal: good, Response: good, Rule: "hunan", Terms: settle.Terms{Variant: "block"}}, "has no variants"},
		{billing.ScoreOptions{Signal: good, Response: good, Rule: "pjm", Terms: settle.Terms{Variant: "blocks"}}, "rolling10s"},
		{billing.ScoreOptions{Signal: good, Response: good, Rule: "pjm", Terms: settle.Terms{Share: 2}}, "a part of 1"},
		{billing.ScoreOptions{Signal: good, Response: file(t, "b.csv", "t_s,power_kw\n0,1\n0,2\n"), Rule: "pjm"}, "b.csv:3:1: 0 s comes after 0 s"},
		{billing.ScoreOptions{Signal: file(t, "c.csv", "t_s,kw\n0,1\n"), Response: good, Rule: "pjm"}, "c.csv:1:1: there is no column power_kw"},
		{billing.ScoreOptions{Signal: good, Response: good, Rule: own}, `own.yaml:6:32: "rato" is no form`},
		{billing.ScoreOptions{Signal: good, Response: good, Rule: "none.yaml"}, "none.yaml: no such file"},
	} {
		if _, err := billing.Score(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v; want %s", err, tt.want)
		}
	}
}

// TestShippedRulesAsFiles: what ships is read as a file too, as its own kind and no other.
func TestShippedRulesAsFiles(t *testing.T) {
	t.Parallel()
	for _, name := range append(settle.ScoreNames(), settle.TariffNames()...) {
		src, err := settle.RuleText(name)
		if err != nil {
			t.Fatal(err)
		}
		path := file(t, name+".yaml", string(src))
		_, asScore := billing.LoadScore(path)
		_, asBill := billing.LoadTariff(path)
		right, other := asScore, asBill
		if strings.Contains(string(src), "kind: "+billing.BillKind) {
			right, other = asBill, asScore
		}
		if right != nil || other == nil || !strings.Contains(other.Error(), ":2:7: this is a ") {
			t.Errorf("%s: %v; as the other kind: %v", name, right, other)
		}
	}
	if _, err := settle.RuleText("../doc"); err == nil {
		t.Error("a rule that is none was found")
	}
}

const twoLines = `name: own
version: 2025-01-01
standing: verified
currency: EUR
time_zone: Europe/Berlin
interval: 15m
lines:
  - {id: sold, side: earns, quantity: discharge, price_of: p, per: MWh}
  - {id: bought, side: pays, quantity: charge, price_of: p, per: MWh}
`

// meterFile is an hour of quarters from 2025-07-01 00:00 in Berlin on: +1,000, 0, 0, −900 kW.
const meterFile = "time,power_kw,quality\n2025-07-01T00:00:00+02:00,1000,good\n2025-07-01T00:15:00+02:00,0,\n2025-06-30T22:30:00Z,0,\n2025-06-30 22:45,-900,good\n"

// TestBillFromFiles: readings and hourly prices become a bill, items, a page and entries.
func TestBillFromFiles(t *testing.T) {
	t.Parallel()
	o := billing.BillOptions{
		Rules: []string{file(t, "own.yaml", twoLines)}, Readings: file(t, "meter.csv", meterFile),
		Data: []string{file(t, "prices.csv", "time,p\n2025-06-30T22:00:00Z,80\n")}, // one row: an interval of the rule
		Site: "north",
	}
	o.Data[0] = file(t, "prices.csv", "time,p\n2025-06-30T22:00:00Z,80\n2025-06-30T23:00:00Z,500\n")
	o.From, o.To = "2025-07-01", "2025-07-01"
	r, err := billing.Bill(o)
	if err != nil {
		t.Fatal(err)
	}
	// 225 kWh sold and 250 kWh bought at 80 a MWh; the other 92 quarters of the day are missing.
	if string(r.Total) != "-2.00" || r.Complete || len(r.Bills[0].Missing) != 2*92 {
		t.Errorf("total %s, %d missing", r.Total, len(r.Bills[0].Missing))
	}
	if err := r.Book(filepath.Join(t.TempDir(), "book"), "grid", time.Now()); err == nil {
		t.Error("an incomplete bill was booked")
	}
	o.From, o.To = "", ""
	o.Data[0] = file(t, "prices.csv", "time,p\n2025-06-30T22:00:00Z,80\n2025-06-30T22:15:00Z,80\n2025-06-30T22:30:00Z,80\n2025-06-30T22:45:00Z,80\n")
	if r, err = billing.Bill(o); err != nil || !r.Complete || string(r.Total) != "-2.00" {
		t.Fatal(r, err)
	}
	var items, page bytes.Buffer
	if err := errors.Join(r.WriteCSV(&items), r.WritePage(&page)); err != nil {
		t.Fatal(err)
	}
	if want := "2025-06-30T22:45:00Z,2025-07,sold,,225,80,,18,5,5,own,2025-01-01,\n"; !strings.Contains(items.String(), want) {
		t.Errorf("items:\n%s\nwant %s", items.String(), want)
	}
	for _, want := range []string{"<svg", "-2.00 EUR", "Europe/Berlin", "2025-07-01 00:00 &#43;02:00"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not say %s", want)
		}
	}
	if strings.Contains(page.String(), "<script") || strings.Contains(page.String(), "pro forma") {
		t.Error("the page has a script, or says that it is no bill")
	}
	book := filepath.Join(t.TempDir(), "book.jsonl")
	for _, want := range []int{1, 0} {
		if err := r.Book(book, "grid", time.Unix(0, 0)); err != nil || r.Booked != want {
			t.Errorf("booked %d entries, want %d: %v", r.Booked, want, err)
		}
	}
	if err := os.WriteFile(book, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Book(book, "grid", time.Unix(0, 0)); err == nil {
		t.Error("a broken ledger was written to")
	}
	o.Claims = file(t, "claims.csv", "line,amount\nsold,72.00\nbought,-80.00\n")
	if r, err = billing.Bill(o); err != nil || r.Reconciled.Trap != settle.TrapEnergy {
		t.Errorf("kW taken for kWh: %+v, %v", r, err)
	}
}

// TestPartOfAnInterval: a meter whose rows end or begin within an interval leaves it out, and says so.
func TestPartOfAnInterval(t *testing.T) {
	t.Parallel()
	rows := "time,power_kw\n"
	for m := 5; m < 40; m++ {
		rows += fmt.Sprintf("2025-06-30T22:%02d:00Z,100\n", m)
	}
	prices := "time,p\n"
	for m := 0; m < 60; m += 15 {
		prices += fmt.Sprintf("2025-06-30T22:%02d:00Z,1000\n", m)
	}
	own := strings.ReplaceAll(twoLines, "price_of: p", "price: 1000") // nothing but readings
	for _, o := range []billing.BillOptions{
		{Rules: []string{file(t, "own.yaml", twoLines)}, Data: []string{file(t, "prices.csv", prices)}},
		{Rules: []string{file(t, "own.yaml", own)}},
	} {
		o.Readings = file(t, "meter.csv", rows)
		r, err := billing.Bill(o)
		if err != nil || string(r.Total) != "-25.00" || r.Complete || len(r.Bills[0].Missing) < 4 {
			t.Errorf("%v, %+v", err, r)
		}
	}
}

// TestSignalsAreNoReadings: what a run has drawn is not billed as if it was a meter's.
func TestSignalsAreNoReadings(t *testing.T) {
	t.Parallel()
	_, err := billing.Bill(billing.BillOptions{
		Rules:    []string{"tou-demand"},
		Readings: file(t, "signals.csv", "t_s,time,target_kw,power_kw,available_charge_kw,available_discharge_kw,soc_mean_percent\n0,2025-01-01T00:00:00Z,1,1,1,1,50\n900,2025-01-01T00:15:00Z,1,1,1,1,50\n"),
	})
	if err == nil || !strings.Contains(err.Error(), "these are the signals of a run") {
		t.Error(err)
	}
}

// TestBookingAtOnce: whoever books reads what all others have booked.
func TestBookingAtOnce(t *testing.T) {
	t.Parallel()
	o := billing.BillOptions{
		Rules: []string{file(t, "own.yaml", twoLines)}, Readings: file(t, "meter.csv", meterFile),
		Data: []string{file(t, "prices.csv", "time,p\n2025-06-30T22:00:00Z,80\n2025-06-30T22:15:00Z,80\n2025-06-30T22:30:00Z,80\n2025-06-30T22:45:00Z,80\n")},
		Site: "north",
	}
	book := filepath.Join(t.TempDir(), "book.jsonl")
	const n = 16
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		r, err := billing.Bill(o)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			<-begin
			for month := range 4 {
				if err := r.Book(book, fmt.Sprintf("party%d-%d", i, month), time.Unix(0, 0)); err != nil || r.Booked != 1 {
					t.Errorf("booked %d: %v", r.Booked, err)
				}
			}
		})
	}
	close(begin)
	all.Wait()
	l, err := billing.ReadLedger(book)
	if err != nil || len(l.Entries) != 4*n {
		t.Errorf("%+v, %v", l, err)
	}
	o.Readings = file(t, "hole.csv", "time,power_kw\n2025-06-30T22:00:00Z,1\n2025-06-30T22:15:00Z,\n2025-06-30T22:30:00Z,0\n2025-06-30T22:45:00Z,0\n")
	r, err := billing.Bill(o)
	if err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none.jsonl")
	if err := r.Book(none, "grid", time.Unix(0, 0)); err == nil {
		t.Error("an incomplete bill was booked")
	}
	if _, err := os.Stat(none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a ledger of nothing was left: %v", err)
	}
}

// TestExportOfDevices: what yunchu export writes is billed, good readings alone, and
// simulated ones are not.
func TestExportOfDevices(t *testing.T) {
	t.Parallel()
	export := func(flags string) string {
		var b strings.Builder
		b.WriteString("device,time,power_kw,quality,flags,gap_until,gap_reason\n")
		for _, id := range []string{"a", "b"} {
			for s := 0; s <= 900; s += 30 {
				fmt.Fprintf(&b, "%s,%s,-200,good,%s,,\n", id, time.Date(2025, 6, 30, 22, 0, s, 0, time.UTC).Format("2006-01-02T15:04:05.000Z"), flags)
			}
		}
		return file(t, "export.csv", b.String())
	}
	o := billing.BillOptions{Rules: []string{file(t, "own.yaml", twoLines)}, Readings: export(""), Data: []string{file(t, "p.csv", "time,p\n2025-06-30T22:00:00Z,80\n")}}
	r, err := billing.Bill(o)
	if err != nil || string(r.Total) != "8.00" || !r.Complete { // 2 · 200 kW · 0.25 h
		t.Fatal(r, err)
	}
	// The last 30 s are not there: nothing is billed, or what the rule fills in and says so.
	src, err := os.ReadFile(o.Readings)
	if err != nil {
		t.Fatal(err)
	}
	whole := o.Readings
	var short []string
	for line := range strings.Lines(string(src)) {
		if !strings.Contains(line, "22:15:00") {
			short = append(short, line)
		}
	}
	o.Readings = file(t, "short.csv", strings.Join(short, ""))
	if r, err = billing.Bill(o); err != nil || r.Complete || string(r.Total) != "0.00" {
		t.Errorf("870 of 900 s: %+v, %v", r, err)
	}
	own := o.Rules
	o.Rules = []string{file(t, "fill.yaml", strings.Replace(twoLines, "lines:", "fill: time\nlines:", 1))}
	if r, err = billing.Bill(o); err != nil || !r.Complete || string(r.Total) != "8.00" || r.Bills[0].Estimated != 1 {
		t.Fatalf("870 of 900 s, filled: %+v, %v", r, err)
	}
	var items, said bytes.Buffer
	if err := r.WriteCSV(&items); err != nil || !strings.Contains(items.String(), ",sold,,100,80,,8,2,61,own,2025-01-01,yes\n") {
		t.Errorf("%s, %v", items.String(), err)
	}
	if r.Print(&said); !strings.Contains(said.String(), "estimated: 1 interval that was read in part") {
		t.Error(said.String())
	}
	o.Readings = whole
	if r, err = billing.Bill(o); err != nil || r.Bills[0].Estimated != 0 {
		t.Errorf("nothing to fill: %+v, %v", r, err)
	}
	o.Rules = own
	o.Readings = export("simulated")
	_, err = billing.Bill(o)
	if faults, ok := errors.AsType[scenario.Faults](err); !ok || faults[0].Line != 2 || !strings.Contains(err.Error(), "simulated reading is not billed") {
		t.Errorf("simulated readings: %v", err)
	}
	o.ProForma = true
	o.From, o.To = "2025-06-30T22:00:00Z", "2025-07-01T00:15:00+02:00"
	r, err = billing.Bill(o)
	var page bytes.Buffer
	if err == nil {
		err = r.WritePage(&page)
	}
	if err != nil || !r.ProForma || string(r.Total) != "8.00" || !strings.Contains(page.String(), "and is none") {
		t.Errorf("pro forma: %+v, %v", r, err)
	}
	if err := r.Book(filepath.Join(t.TempDir(), "book"), "grid", time.Now()); err == nil {
		t.Error("a pro forma was booked")
	}
}

// TestRoundingByField: what a rule does not say of its rounding is what it always is.
func TestRoundingByField(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		says string
		want settle.Rounding
	}{
		{"", settle.Rounding{Digits: 2, Mode: "half-up", Of: "month"}},
		{"rounding: {}\n", settle.Rounding{Digits: 2, Mode: "half-up", Of: "month"}},
		{"rounding: {of: interval}\n", settle.Rounding{Digits: 2, Mode: "half-up", Of: "interval"}},
		{"rounding: {mode: half-even}\n", settle.Rounding{Digits: 2, Mode: "half-even", Of: "month"}},
		{"rounding: {digits: 0}\n", settle.Rounding{Digits: 0, Mode: "half-up", Of: "month"}},
		{"rounding: {digits: 4, of: interval}\n", settle.Rounding{Digits: 4, Mode: "half-up", Of: "interval"}},
	} {
		r, err := billing.LoadTariff(file(t, "own.yaml", strings.Replace(twoLines, "lines:\n", tt.says+"lines:\n", 1)))
		if err != nil || r.Rounding != tt.want {
			t.Errorf("%q: %+v, %v; want %+v", tt.says, r.Rounding, err, tt.want)
		}
	}
}

// TestVersionsOfARule: each date by the version that is valid, none by two or none.
func TestVersionsOfARule(t *testing.T) {
	t.Parallel()
	version := func(date, valid string) string {
		return file(t, date+".yaml", strings.Replace(twoLines, "version: 2025-01-01", "version: "+date+"\nvalid: "+valid, 1))
	}
	var meter strings.Builder
	meter.WriteString("time,energy_kwh,p\n")
	for i := range 192 {
		fmt.Fprintf(&meter, "%s,10,100\n", time.Date(2025, 6, 29, 22, 15*i, 0, 0, time.UTC).Format(time.RFC3339))
	}
	o := billing.BillOptions{Readings: file(t, "m.csv", meter.String()), Rules: []string{version("2025-01-01", "{to: 2025-06-30}"), version("2025-07-01", "{from: 2025-07-01}")}}
	r, err := billing.Bill(o)
	if err != nil || len(r.Bills) != 2 || string(r.Bills[0].Total) != "-96.00" || r.Bills[1].Months[0].Month != "2025-07" || string(r.Total) != "-192.00" {
		t.Fatal(r, err)
	}
	o.Rules = o.Rules[:1]
	if _, err := billing.Bill(o); err == nil || !strings.Contains(err.Error(), "2025-07-01T00:00:00+02:00: 0 versions") {
		t.Errorf("a date without a version: %v", err)
	}
	// A column that only the later version needs is read too.
	fee := version("2025-07-01", "{from: 2025-07-01}")
	src, err := os.ReadFile(fee)
	if err != nil {
		t.Fatal(err)
	}
	fee = file(t, "fee.yaml", string(src)+"  - {id: fee, side: pays, quantity: charge, price_of: fee, per: MWh}\n")
	o.Rules = append(o.Rules, fee)
	if _, err := billing.Bill(o); err == nil || !strings.Contains(err.Error(), "rule own of 2025-07-01 needs a column fee") {
		t.Errorf("without the column: %v", err)
	}
	fees := "time,fee\n"
	for i := range 48 {
		fees += time.Date(2025, 6, 29, 22+i, 0, 0, 0, time.UTC).Format(time.RFC3339) + ",50\n"
	}
	o.Data = []string{file(t, "fee.csv", fees)}
	r, err = billing.Bill(o)
	if err != nil || string(r.Total) != "-240.00" {
		t.Fatalf("with the column: %+v, %v", r, err)
	}
	var page bytes.Buffer
	if err := r.WritePage(&page); err != nil || strings.Count(page.String(), ">fee</text>") != 1 {
		t.Errorf("the line of the later version is not drawn: %v", err)
	}
}

// TestHoursOfTheZone: hours begin where they do in the rule's zone, which may be at half past
// of UTC; and columns that nobody needs may hold anything.
func TestHoursOfTheZone(t *testing.T) {
	t.Parallel()
	hourly := strings.NewReplacer("Europe/Berlin", "Asia/Kolkata", "interval: 15m", "interval: 1h").Replace(twoLines)
	quarterly := strings.Replace(twoLines, "Europe/Berlin", "Asia/Kolkata", 1)
	const prices = "time,node,p\n2025-07-01T10:00:00+05:30,north,80\n2025-07-01T11:00:00+05:30,north,100\n"
	var export, quarters strings.Builder
	export.WriteString("device,time,power_kw,quality,temperature\n")
	quarters.WriteString("time,station,energy_kwh\n")
	for m := 0; m <= 120; m++ {
		at := time.Date(2025, 7, 1, 4, 30+m, 0, 0, time.UTC).Format(time.RFC3339)
		fmt.Fprintf(&export, "a,%s,-1000,good,warm\n", at)
		if m%15 == 0 && m < 120 {
			fmt.Fprintf(&quarters, "%s,S1,-250\n", at)
		}
	}
	for name, tt := range map[string]struct{ rule, readings string }{
		"a meter of hours":    {hourly, "time,station,energy_kwh\n2025-07-01T10:00:00+05:30,S1,-1000\n2025-07-01T11:00:00+05:30,S1,-1000\n"},
		"a meter of quarters": {hourly, quarters.String()},
		"devices":             {hourly, export.String()},
		"hourly prices":       {quarterly, quarters.String()},
	} {
		o := billing.BillOptions{Rules: []string{file(t, "own.yaml", tt.rule)}, Readings: file(t, "r.csv", tt.readings), Data: []string{file(t, "p.csv", prices)}}
		r, err := billing.Bill(o)
		if err != nil || !r.Complete || string(r.Total) != "180.00" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		o.From, o.To = "2025-07-01T11:00:00+05:30", "2025-07-01T12:00:00+05:30"
		if r, err = billing.Bill(o); err != nil || string(r.Total) != "100.00" {
			t.Errorf("%s, the second hour: %+v, %v", name, r, err)
		}
	}
	own := strings.ReplaceAll(hourly, "price_of: p", "price: 80")
	r, err := billing.Bill(billing.BillOptions{Rules: []string{file(t, "own.yaml", own)}, Readings: file(t, "r.csv", export.String())})
	if err != nil || string(r.Total) != "160.00" || !r.Complete {
		t.Errorf("hours that readings span: %+v, %v", r, err)
	}
	_, err = billing.Bill(billing.BillOptions{Rules: []string{file(t, "own.yaml", own)}, Readings: file(t, "r.csv", "time,energy_kwh\n2025-07-01T04:00:00Z,1\n2025-07-01T05:00:00Z,1\n")})
	if err == nil || !strings.Contains(err.Error(), "r.csv:2:1: rows are 1h0m0s apart, and 2025-07-01T09:30:00+05:30 is not at a multiple of it") {
		t.Errorf("from half past to half past: %v", err)
	}
}

// TestBillFaults: what is wrong is said with its place.
func TestBillFaults(t *testing.T) {
	t.Parallel()
	rule, meter := file(t, "own.yaml", twoLines), file(t, "meter.csv", meterFile)
	prices := file(t, "p.csv", "time,p\n2025-06-30T22:00:00Z,80\n")
	for _, tt := range []struct {
		o    billing.BillOptions
		want string
	}{
		{billing.BillOptions{Rules: []string{rule}, Readings: meter}, "rule own of 2025-01-01 needs a column p"},
		{billing.BillOptions{Rules: []string{"texas"}, Readings: meter}, "there are demand-response, mengxi"},
		{billing.BillOptions{Rules: []string{rule}, Readings: file(t, "x.csv", "time,power\n2025-06-30T22:00:00Z,1\n"), Data: []string{prices}}, "x.csv:1:1: there is no column energy_kwh, power_kw, or charge_kwh and discharge_kwh"},
		{billing.BillOptions{Rules: []string{rule}, Readings: file(t, "x.csv", "time,power_kw\n2025-06-30T22:00:00Z,1\n2025-06-30T22:15:00Z,1\n2025-06-30T22:40:00Z,1\n"), Data: []string{prices}}, "x.csv:4:1: rows are 15m0s apart"},
		{billing.BillOptions{Rules: []string{file(t, "q.yaml", strings.ReplaceAll(twoLines, "price_of: p", "price_of: quality"))}, Readings: meter}, "meter.csv:1:1: column quality is one of texts"},
		{billing.BillOptions{Rules: []string{rule}, Readings: meter, Data: []string{prices}, From: "July"}, "write a date"},
		{billing.BillOptions{Rules: []string{rule}, Readings: meter, Data: []string{prices}, From: "2025-06-30T22:01:00Z"}, "begin of an interval"},
		{billing.BillOptions{Rules: []string{rule}, Readings: meter, Data: []string{prices}, To: "2025-06-30T22:00:00Z"}, "there is nothing to bill"},
		{billing.BillOptions{Rules: []string{rule}, Readings: meter, Data: []string{prices}, Claims: file(t, "c.csv", "line,amount\nsold,1\nfees,2\n")}, `c.csv:3:1: there is no line "fees"`},
		{billing.BillOptions{Rules: []string{file(t, "bad.yaml", strings.Replace(twoLines, "Europe/Berlin", "Berlin", 1))}, Readings: meter}, `bad.yaml:5:12: "Berlin" is no time zone`},
		{billing.BillOptions{Rules: []string{file(t, "bad.yaml", strings.Replace(twoLines, "side: pays", "sides: pays", 1))}, Readings: meter}, `unknown field "sides"`},
	} {
		if _, err := billing.Bill(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v; want %s", err, tt.want)
		}
	}
}

// TestRegisters: a meter that counts both ways is billed as it counts, and a net power in rows finer than
// the rule's interval as what the interval comes to.
func TestRegisters(t *testing.T) {
	t.Parallel()
	prices := file(t, "prices.csv", "time,rt_price,cfd_kwh,cfd_price,ref_price,green_kwh,green_price\n2025-07-01T00:00:00Z,100,0,0,0,0,0\n2025-07-01T01:00:00Z,100,0,0,0,0,0\n")
	registers, net := "time,charge_kwh,discharge_kwh\n", "time,energy_kwh\n"
	for i := range 24 { // 3 kWh in, 1 out, 1 out: 3 and 2 of each quarter, 1 net
		at := time.Date(2025, 7, 1, 0, 5*i, 0, 0, time.UTC).Format(time.RFC3339)
		in, out := 0, 1
		if i%3 == 0 {
			in, out = 3, 0
		}
		registers += fmt.Sprintf("%s,%d,%d\n", at, in, out)
		net += fmt.Sprintf("%s,%d\n", at, in-out)
	}
	for name, tt := range map[string]struct{ readings, discharge, charge string }{
		"registers": {registers, "1.60", "-2.40"}, // 16 and 24 kWh at 100 a MWh
		"net":       {net, "0.00", "-0.80"},
	} {
		r, err := billing.Bill(billing.BillOptions{Rules: []string{"mengxi"}, Readings: file(t, "r.csv", tt.readings), Data: []string{prices}})
		if err != nil {
			t.Fatal(name, err)
		}
		lines := r.Bills[0].Months[0].Lines
		if string(lines[0].Amount) != tt.discharge || string(lines[1].Amount) != tt.charge || !r.Complete {
			t.Errorf("%s: discharge %s, charge %s; want %s, %s", name, lines[0].Amount, lines[1].Amount, tt.discharge, tt.charge)
		}
	}
	for text, want := range map[string]string{
		"time,charge_kwh\n2025-07-01T00:00:00Z,1\n":                         "r.csv:1:1: there is no column discharge_kwh",
		"time,charge_kwh,discharge_kwh\n2025-07-01T00:00:00Z,1,-1\n":        "r.csv:2:24: a register that counts down",
		"time,energy_kwh\n2025-07-01T00:00:00Z,1\n2025-07-01T01:00:00Z,1\n": "r.csv:3:1: the rows are 1h0m0s apart, where the rule bills by 15m0s",
	} {
		_, err := billing.Bill(billing.BillOptions{Rules: []string{"mengxi"}, Readings: file(t, "r.csv", text), Data: []string{prices}})
		if err == nil || !strings.Contains(err.Error(), want) || !hinted(err) {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
}

// hinted tells whether a fault says what to do.
func hinted(err error) bool {
	faults, ok := errors.AsType[scenario.Faults](err)
	return ok && faults[0].Hint != ""
}
