// Peers measures this program beside others that do a part of what it does, all in one
// run: REST and history beside InfluxDB 1.x and PostgreSQL, the MQTT broker beside
// Mosquitto, the WebSocket beside the package ws of node, the optimiser of plans beside GLPK and
// HiGHS. Then it measures what has no
// peer and has an aim: POSTs and messages of many connections, many clients of one plant,
// many connections at rest, how long a reading takes to those who listen.
//
//	go run ./bench/peers
//
// It is started in the root of the repository. Peers come from Debian's packages influxdb,
// postgresql, mosquitto, glpk-utils and nodejs; ws and HiGHS come from npm. One that is not there is left out,
// and said so. Every server is a process on loopback with a folder of its own, started
// for its turn and stopped after it; the turns of a round follow each other, so what else
// the machine does falls on all of them. Figures are medians over the rounds, ratios are
// medians of ratios within a round. What a server has used of the processors is put beside
// them: it hardly depends on what else the machine does, and not on what the generator takes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// options are the flags.
type options struct {
	rounds  int
	during  time.Duration
	only    string
	users   int
	batch   int
	clients int
	idle    int
	dir     string // with the binary and the folders of all servers
	binary  string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "turns of every peer")
	flag.DurationVar(&o.during, "for", 8*time.Second, "how long a turn is")
	flag.StringVar(&o.only, "only", "", "of plans, store, batch, mqtt, ws, post, open, array, publish, clients, idle, delay: a list with commas (default all)")
	flag.IntVar(&o.users, "users", 64, "connections that write, each with one request in flight")
	flag.IntVar(&o.batch, "batch", 100, "readings in a request of the batches")
	flag.IntVar(&o.clients, "clients", 5000, "WebSockets that listen")
	flag.IntVar(&o.idle, "idle", 10_000, "MQTT connections at rest")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the context has nobody any more
	}
}

// errAbsent is returned for a peer that is not on this machine.
var errAbsent = errors.New("not here")

// peer is one who does the work of a contest.
type peer struct {
	name, promise string // what it promises for the case that the power is cut
	// turn starts it, puts the load on and stops it.
	turn func(ctx context.Context, o *options) (figure, error)
	seen []figure
	gone error // why it is left out
}

// figure is what came of a turn.
type figure struct {
	rate float64 // a second
	p50  float64 // ms, where it is asked for
	p99  float64 // ms
	cpu  float64 // of the server for each, µs; 0 where nobody knows
}

// contest is one kind of work. The first peer is ours, the others are held against it.
type contest struct {
	name, what, unit string
	peers            []peer
}

func run(ctx context.Context, o *options, w io.Writer) (err error) {
	if o.dir, err = os.MkdirTemp("", "yunchu-peers-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)                      //nolint:errcheck // what is left is in the folder for such things
	if err := os.Chmod(o.dir, 0o755); err != nil { //nolint:gosec // PostgreSQL runs as a user of its own
		return err
	}
	if _, err := fmt.Fprintln(w, busy()); err != nil {
		return err
	}
	names := strings.Split(o.only, ",")
	wanted := func(name string) bool { return o.only == "" || slices.Contains(names, name) }
	if wanted("plans") {
		if err := comparePlans(ctx, o.dir, o.rounds, plans(), w); err != nil {
			return err
		}
		if len(names) == 1 && o.only != "" {
			return nil
		}
	}
	if o.binary, err = build(ctx, o.dir); err != nil {
		return err
	}
	for _, c := range contests(o) {
		if !wanted(c.name) {
			continue
		}
		if err := c.play(ctx, o); err != nil {
			return err
		}
		if err := c.print(w); err != nil {
			return err
		}
	}
	for _, a := range aims(o) {
		if !wanted(a.name) {
			continue
		}
		if err := a.measure(ctx, o, w); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(w, busy())
	return err
}

func contests(o *options) []contest {
	return []contest{
		{
			"store", fmt.Sprintf("one reading a request, %d connections, closed loop of %v", o.users, o.during), "readings/s",
			[]peer{oursStoring(1), influxStoring(1), postgresStoring(1)},
		},
		{
			"batch", fmt.Sprintf("%d readings a request, %d connections, closed loop of %v", o.batch, o.users, o.during), "readings/s",
			[]peer{oursStoring(o.batch), influxStoring(o.batch), postgresStoring(o.batch)},
		},
		{
			"mqtt", fmt.Sprintf("one reading a message, QoS 1, %d connections, closed loop of %v; somebody takes what comes", o.users, o.during), "messages/s",
			[]peer{oursMQTT(), mosquitto()},
		},
		{
			"ws", fmt.Sprintf("10 frames of 4 kB a second to each of %d WebSockets, for %v", fanOut, o.during), "frames/s",
			[]peer{oursFanOut(), nodeFanOut()},
		},
	}
}

func (c *contest) play(ctx context.Context, o *options) error {
	for range o.rounds {
		for i := range c.peers {
			p := &c.peers[i]
			if p.gone != nil {
				continue
			}
			f, err := p.turn(ctx, o)
			switch {
			case errors.Is(err, errAbsent):
				p.gone = err
				continue
			case err != nil:
				return fmt.Errorf("%s, %s: %w", c.name, p.name, err)
			}
			p.seen = append(p.seen, f)
		}
	}
	return nil
}

// print says what came of it. A rate above 1 and a p99 below 1 of the ratios speak for us.
func (c *contest) print(w io.Writer) error {
	fmt.Fprintf(w, "%s\n\n", c.what)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(t, "\t%s\tp99, ms\tserver's µs for each\tours/theirs\tp99 ours/theirs\tµs theirs/ours\twhat an answer promises when the power is cut\n", c.unit)
	for _, p := range c.peers {
		if p.gone != nil {
			fmt.Fprintf(t, "%s\t–\t–\t–\t–\t–\t–\tleft out: %v\n", p.name, p.gone)
			continue
		}
		var rate, p99, cpu, ratio, slower, dearer []float64
		for i, f := range p.seen {
			us := c.peers[0].seen[i]
			rate, p99, cpu = append(rate, f.rate), append(p99, f.p99), append(cpu, f.cpu)
			ratio, slower, dearer = append(ratio, us.rate/f.rate), append(slower, us.p99/f.p99), append(dearer, f.cpu/us.cpu)
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.1f\t%.1f\t%.2f\t%.2f\t%.2f\t%s\n", p.name, median(rate), median(p99), median(cpu), median(ratio), median(slower), median(dearer), p.promise)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}
