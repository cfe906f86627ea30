package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/trading"
	"yunchu/platform/exchange"
	"yunchu/platform/plural"
)

// exchangeCommands hand bids in, answer them, and let them meet one after the other.
func exchangeCommands() []*cobra.Command {
	return []*cobra.Command{marketSubmitCommand(), marketServeCommand(), marketMatchCommand()}
}

func marketSubmitCommand() *cobra.Command {
	var (
		o        trading.SubmitOptions
		out, now string
		asJSON   bool
	)
	c := &cobra.Command{
		Use:   "submit --bids FILE --to DIR|URL",
		Short: "Hand bids in to a market, once, and fetch their awards",
		Long: `Hand bids in to a market and fetch their awards: by files (out/ID.csv for the market, in/ID.csv from it)
or by REST (POST URL/orders with an Idempotency-Key, GET URL/orders/ID/awards; a bearer token in
YUNCHU_MARKET_TOKEN, which goes over https or to this computer only). The ID follows from the orders, so the
same command hands in nothing twice, whatever happened to the one before, and asks for the awards.

The exit code is 2 where the market refuses them or --to is no place for one, 3 where it cannot be reached.`,
		Example: `  yunchu market submit --bids bids.csv --to ./gate --awards awards.csv
  yunchu market submit --bids bids.csv --to http://127.0.0.1:8090 --wait 1m --awards awards.csv --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Bids == "" || o.To == "" {
				return fail(exitInput, errors.New("name bids and a market: yunchu market submit --bids FILE --to DIR|URL"))
			}
			if now != "" {
				var err error
				if o.Now, err = time.Parse(time.RFC3339, now); err != nil {
					return fail(exitInput, fmt.Errorf("--now %s: write it as 2026-03-01T11:00:00Z", now))
				}
			}
			o.Token = os.Getenv("YUNCHU_MARKET_TOKEN")
			r, err := trading.Submit(c.Context(), o)
			_, faulty := faultsOf(err)
			switch {
			case err == nil:
			case faulty, errors.Is(err, exchange.ErrRefused), errors.Is(err, exchange.ErrConflict), errors.Is(err, exchange.ErrAddress):
				return failed(c.Context(), err)
			case c.Context().Err() != nil:
				return failed(c.Context(), err)
			default:
				return fail(exitEnvironment, err)
			}
			if r.Cleared() {
				if err := writeFile(out, r.WriteCSV); err != nil {
					return fail(exitEnvironment, err)
				}
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), r)
			}
			r.Print(c.OutOrStdout())
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&o.Bids, "bids", "", "CSV of bids")
	f.StringVar(&o.To, "to", "", "folder, or URL, of the market")
	f.StringVar(&o.Market, "market", "day-ahead-hourly", marketUsage)
	f.StringVar(&o.ID, "id", "", "of the batch (default: it follows from the orders)")
	f.StringVar(&now, "now", "", "when they are sent: the gate must be open then (default: it is not looked at)")
	f.DurationVar(&o.Wait, "wait", 0, "how long to wait for awards")
	f.DurationVar(&o.Every, "every", time.Second, "how often to ask for them")
	f.StringVar(&out, "awards", "", "CSV file for the awards")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func marketServeCommand() *cobra.Command {
	var (
		o              trading.ClearOptions
		listen, folder string
		every          time.Duration
		once           bool
	)
	c := &cobra.Command{
		Use:   "serve --prices FILE --listen ADDR|--folder DIR",
		Short: "Be a simulated market that takes bids and answers with awards",
		Long: `Be a simulated market: it takes bids by REST and from a folder, clears them with the others, who come to the
prices of a file (see yunchu market clear), and answers with awards. It clears at once on POST /clear, and
every --every. It keeps nothing: what it has not answered in a folder it takes again when it begins anew.
A folder has one market at a time (exit code 3). There is no token; it is for trying things out.`,
		Example: `  yunchu market serve --prices prices.csv --listen 127.0.0.1:8090 --every 10s
  yunchu market serve --prices prices.csv --folder ./gate --once`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if o.Prices == "" || listen == "" && folder == "" {
				return fail(exitInput, errors.New("name prices and a place: yunchu market serve --prices FILE --listen ADDR|--folder DIR"))
			}
			if err := slopeGood(o.Slope); err != nil {
				return fail(exitInput, err)
			}
			m, err := trading.Simulate(o, folder)
			if _, ok := errors.AsType[*os.PathError](err); ok || errors.Is(err, exchange.ErrServed) {
				return fail(exitEnvironment, err)
			} else if err != nil {
				return failed(c.Context(), err)
			}
			defer func() { err = errors.Join(err, m.Close()) }()
			if once {
				n, err := m.Round(c.Context())
				if err != nil {
					return fail(exitEnvironment, err)
				}
				fmt.Fprintf(c.OutOrStdout(), "%s cleared\n", plural.Count(n, "batch", "batches"))
				return nil
			}
			return serveMarket(c, m, listen, every)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Prices, "prices", "", "CSV of the prices that the others come to")
	f.StringVar(&o.Market, "market", "day-ahead-hourly", marketUsage)
	f.StringVar(&o.Column, "column", energyColumn, "of --prices, the price of energy")
	f.Float64Var(&o.Slope, "slope", 0, "what a MW besides moves the price of energy by, per MWh")
	f.StringVar(&listen, "listen", "", "address for REST, as 127.0.0.1:8090")
	f.StringVar(&folder, "folder", "", "folder of files")
	f.DurationVar(&every, "every", 10*time.Second, "how often it clears; 0: only when told")
	f.BoolVar(&once, "once", false, "look into the folder, clear, answer and end")
	return c
}

// serveMarket answers until the command is interrupted.
func serveMarket(c *cobra.Command, m *trading.Simulated, listen string, every time.Duration) error {
	ctx := c.Context()
	ended := make(chan error, 1)
	var server *http.Server
	if listen != "" {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
		if err != nil {
			return fail(exitEnvironment, err)
		}
		server = &http.Server{Handler: m.Handler(), ReadHeaderTimeout: 10 * time.Second}
		go func() { ended <- server.Serve(l) }()
		fmt.Fprintf(c.OutOrStdout(), "market on http://%s\n", l.Addr())
	}
	var tick <-chan time.Time
	if every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-ctx.Done():
			if server == nil {
				return nil
			}
			rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return server.Shutdown(rest)
		case err := <-ended:
			return fail(exitEnvironment, err)
		case <-tick:
			n, err := m.Round(ctx)
			if err != nil {
				return fail(exitEnvironment, err)
			}
			if n > 0 {
				fmt.Fprintf(c.OutOrStdout(), "%s cleared\n", plural.Count(n, "batch", "batches"))
			}
		}
	}
}

func marketMatchCommand() *cobra.Command {
	var (
		o           trading.MatchOptions
		out, awards string
		asJSON      bool
	)
	c := &cobra.Command{
		Use:   "match --orders FILE",
		Short: "Let orders meet on a continuous market, one after the other",
		Long: `Let orders meet on a continuous market, one after the other, by price and then by time: a book for each
product and delivery. The file has id, party, time (of delivery), product, side, quantity_mw, price_per_mwh, and
may have action (new, cancel, replace) and life (rest, ioc: immediate or cancel, fok: fill or kill).

Who replaces an order by a smaller one at the same price keeps its place. A party does not trade with itself:
the order that comes in is cancelled, or with --cancel-oldest the one that waits. --out has every event; the
trades of --party are awards, each at its own price and with its seq as trade.`,
		Example: "  yunchu market match --orders orders.csv --market day-ahead-96 --party us --out events.csv --awards intraday.csv",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Orders == "" {
				return fail(exitInput, errors.New("name the orders: yunchu market match --orders FILE"))
			}
			r, err := trading.Match(o)
			if err != nil {
				return failed(c.Context(), err)
			}
			return tell(c, r, asJSON, errors.Join(writeFile(out, r.WriteCSV), writeFile(awards, r.WriteAwards)))
		},
	}
	f := c.Flags()
	f.StringVar(&o.Orders, "orders", "", "CSV of orders, in the order in which they come in")
	f.StringVar(&o.Market, "market", "day-ahead-hourly", marketUsage)
	f.BoolVar(&o.Oldest, "cancel-oldest", false, "of a party that would trade with itself, cancel the order that waits")
	f.StringVar(&o.Party, "party", "", "whose trades are awards")
	f.StringVar(&out, "out", "", "CSV file for the events")
	f.StringVar(&awards, "awards", "", "CSV file for the trades of --party")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}
