package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/billing"
	"yunchu/platform/market"
	"yunchu/platform/settle"
)

func settleCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "settle",
		Short: "Score regulation, make bills, and say why another party's differs",
	}
	c.AddCommand(settleScoreCommand(), settleBillCommand(), settleLedgerCommand(), settleRulesCommand())
	return c
}

func settleScoreCommand() *cobra.Command {
	var o billing.ScoreOptions
	var out, page string
	var asJSON bool
	c := &cobra.Command{
		Use:   "score --signal FILE --response FILE --rule NAME",
		Short: "Score how a regulation signal was followed, by a market's rule",
		Long: `Score how a regulation signal was followed, by a market's rule.

Both files have t_s and power_kw, with the same sign; the last value holds until the next row. The
signals.csv of a run is both: its target_kw is the signal.
Rules that ship are ` + strings.Join(settle.ScoreNames(), ", ") + `; a file of the same form (.yaml) is one too.

pjm is scored in samples of 10 s by the hour, and its score is the mean of the hours that are whole;
where none is, of what there is. Its manual can be read in three ways: --variant. The other rules
score each command that moves far and holds long enough. What is measured as a part of rated power
is one of --rated-kw, or of the largest power of the signal.`,
		Example: `  yunchu settle score --signal signal.csv --response response.csv --rule pjm --variant block --json
  yunchu settle score --signal signal.csv --response response.csv --rule hunan --rated-kw 100000 --price 8`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Signal == "" || o.Response == "" || o.Rule == "" {
				return fail(exitInput, errors.New("name a signal, a response and a rule: yunchu settle score --signal FILE --response FILE --rule NAME"))
			}
			for flag, value := range map[string]float64{"rated-kw": o.RatedKW, "price": o.Price, "rmccp": o.RMCCP, "rmpcp": o.RMPCP, "mileage-ratio": o.MileageRatio} {
				if err := inRange(flag, value, 0, market.MostPrice); err != nil {
					return fail(exitInput, err)
				}
			}
			if err := inRange("share", o.Share, 0, 1); err != nil {
				return fail(exitInput, err)
			}
			r, err := billing.Score(o)
			if errors.Is(err, settle.ErrNoData) {
				return fail(exitFailed, err)
			} else if err != nil {
				return failed(c.Context(), err)
			}
			return tell(c, r, asJSON, errors.Join(writeFile(out, r.WriteCSV), writeFile(page, r.WritePage)))
		},
	}
	f := c.Flags()
	f.StringVar(&o.Signal, "signal", "", "CSV of what was asked for")
	f.StringVar(&o.Response, "response", "", "CSV of what was delivered")
	f.StringVar(&o.Rule, "rule", "", "a rule that ships, or the file of one")
	f.StringVar(&o.Variant, "variant", "", "of pjm: rolling (default), rolling10s or block")
	f.Float64Var(&o.RatedKW, "rated-kw", 0, "rated power, of pjm the assigned capability (default: largest power of the signal)")
	f.Float64Var(&o.Price, "price", 0, "of a MW of mileage, for the fee (default: that of the rule, if it has one)")
	f.Float64Var(&o.Share, "share", 1, "part of an award that was for regulation, 0..1")
	f.Float64Var(&o.RMCCP, "rmccp", 0, "of pjm: price of capability, per MWh")
	f.Float64Var(&o.RMPCP, "rmpcp", 0, "of pjm: price of performance, per MWh")
	f.Float64Var(&o.MileageRatio, "mileage-ratio", 1, "of pjm: mileage of the signal to that of the traditional one")
	f.StringVar(&out, "out", "", "CSV file for each hour, or each command")
	f.StringVar(&page, "page", "", "HTML file to print")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func settleBillCommand() *cobra.Command {
	var o billing.BillOptions
	var out, page, ledger, party string
	var asJSON, items bool
	c := &cobra.Command{
		Use:   "bill --rule NAME --readings FILE [--data FILE]",
		Short: "Bill readings by a rule, and compare with another party's bill",
		Long: `Bill readings by a rule, and compare with another party's bill.

Rules that ship are ` + strings.Join(settle.TariffNames(), ", ") + `; a file of the same form (.yaml) is one too,
and several versions of one may be named, each for its dates.

The readings are a meter's (time, energy_kwh or power_kw; above 0 is taken from the grid), or what
yunchu export writes of devices. Readings that are not good are not billed, and simulated ones are
refused; --pro-forma shows what a bill of them would be. --data are further columns that the rule
needs (prices, awards, commitments) by time, in the same file or others. Times are UTC or with a zone.

The exit code is 1 where something is missing, and where another party's bill (--claims: line, amount,
month) does not agree. --ledger books the bill in double entry; what was booked before is booked
again with the difference alone. --site says whose bill it is: of a meter's file it is needed, of devices where
a party has several sites.`,
		Example: `  yunchu settle bill --rule mengxi --readings meter.csv --data prices.csv --out items.csv --page bill.html
  yunchu settle bill --rule mengxi --readings meter.csv --data prices.csv --claims grid.csv --json
  yunchu settle bill --rule tariff.yaml --readings export.csv --ledger book.jsonl --party grid`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(o.Rules) == 0 || o.Readings == "" {
				return fail(exitInput, errors.New("name a rule and readings: yunchu settle bill --rule NAME --readings FILE"))
			}
			if ledger != "" && party == "" {
				return fail(exitInput, errors.New("--ledger needs the --party that the bill is with"))
			}
			r, err := billing.Bill(o)
			if err != nil {
				return failed(c.Context(), err)
			}
			if ledger != "" {
				err := r.Book(ledger, party, time.Now())
				if _, ok := errors.AsType[*os.PathError](err); ok {
					return fail(exitEnvironment, err)
				} else if err != nil {
					return failed(c.Context(), err)
				}
			}
			if err := errors.Join(writeFile(out, r.WriteCSV), writeFile(page, r.WritePage)); err != nil {
				return fail(exitEnvironment, err)
			}
			if !asJSON {
				r.Print(c.OutOrStdout())
			} else {
				if !items {
					r.WithoutItems()
				}
				if err := printJSON(c.OutOrStdout(), r); err != nil {
					return err
				}
			}
			switch {
			case !r.Complete:
				return fail(exitFailed, fmt.Errorf("the bill is not complete"))
			case r.Reconciled != nil && !r.Reconciled.Agrees:
				return fail(exitFailed, errors.New(r.Reconciled.Said(r.Currency)))
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.Rules, "rule", nil, "a rule that ships, or the file of one; several for versions")
	f.StringVar(&o.Readings, "readings", "", "CSV of a meter, or an export of devices")
	f.StringSliceVar(&o.Data, "data", nil, "CSV of prices, awards, commitments")
	f.StringVar(&o.From, "from", "", "first local date that is billed, or an instant")
	f.StringVar(&o.To, "to", "", "last local date that is billed, or the instant of the end")
	f.DurationVar(&o.Gap, "gap", time.Minute, "readings of a device further apart than this say nothing of what is between them")
	f.BoolVar(&o.ProForma, "pro-forma", false, "take simulated readings, for what is no bill")
	f.StringVar(&o.Currency, "currency", "", "what the prices of --data are in, where the rule has no other (default: that of the rule); nothing is converted")
	f.StringVar(&o.Claims, "claims", "", "CSV of another party's bill")
	f.StringVar(&out, "out", "", "CSV file for every item: interval, quantity, price, amount, rows of readings")
	f.StringVar(&page, "page", "", "HTML file to print")
	f.StringVar(&ledger, "ledger", "", "file of the ledger that the bill is booked in")
	f.StringVar(&party, "party", "", "whom the bill is with, in the ledger")
	f.StringVar(&o.Site, "site", "", "whose readings they are, for the ledger: several sites are booked apart, and a meter's file does not say")
	f.BoolVar(&items, "items", false, "with --json: every item too")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func settleLedgerCommand() *cobra.Command {
	var out, page string
	var asJSON bool
	c := &cobra.Command{
		Use:   "ledger FILE",
		Short: "Prove a ledger, and say what is on its accounts",
		Long: `Prove a ledger, and say what is on its accounts: entries have their place and follow from one another,
and postings balance. Above 0 is a debit. The hash is that of the whole: whoever keeps it elsewhere
finds a change in the last line too.`,
		Example: `  yunchu settle ledger book.jsonl
  yunchu settle ledger book.jsonl --out postings.csv --page book.html --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := billing.ReadLedger(args[0])
			if _, ok := errors.AsType[*os.PathError](err); ok {
				return fail(exitInput, err)
			} else if err != nil {
				return fail(exitFailed, err)
			}
			return tell(c, l, asJSON, errors.Join(writeFile(out, l.WriteCSV), writeFile(page, l.WritePage)))
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "CSV file with every posting")
	f.StringVar(&page, "page", "", "HTML file to print")
	f.BoolVar(&asJSON, "json", false, "print the accounts and the hash as JSON")
	return c
}

func settleRulesCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "rules [NAME]",
		Short: "List the rules that ship, or print the file of one to start another from",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			w := c.OutOrStdout()
			if len(args) == 1 {
				src, err := settle.RuleText(args[0])
				if err != nil {
					return fail(exitInput, err)
				}
				_, err = w.Write(src)
				return err
			}
			type rule struct {
				Command  string `json:"command"`
				Name     string `json:"name"`
				Version  string `json:"version"`
				Standing string `json:"standing"`
				Title    string `json:"title"`
			}
			var list []rule
			for _, name := range settle.ScoreNames() {
				r, err := settle.ShippedScore(name)
				if err != nil {
					return err
				}
				list = append(list, rule{"score", name, r.Version, r.Standing, r.Title})
			}
			for _, name := range settle.TariffNames() {
				t, err := settle.ShippedTariff(name)
				if err != nil {
					return err
				}
				list = append(list, rule{"bill", name, t.Version, t.Standing, t.Title})
			}
			if asJSON {
				return printJSON(w, list)
			}
			for _, r := range list {
				fmt.Fprintf(w, "%-6s %-24s %s  %-11s %s\n", r.Command, r.Name, r.Version, r.Standing, r.Title)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return c
}
