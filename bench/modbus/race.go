package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"yunchu/hil/modbus"
)

// What is read: 60 registers, as a device's block of measurements has.
const (
	from  = 40
	count = 60
)

// patience is the same for both clients: a busy machine is no failure.
const patience = 5 * time.Second

// client reads so many times from an address and returns the reads per second.
type client func(ctx context.Context, addr string, reads int) (float64, error)

func ours(ctx context.Context, addr string, reads int) (float64, error) {
	c, err := modbus.Dial(modbus.Options{Address: addr, Unit: 1, Timeout: patience})
	if err != nil {
		return 0, err
	}
	defer c.Close() //nolint:errcheck // nothing is expected any more
	began := time.Now()
	for range reads {
		v, err := c.Read(ctx, modbus.Holding, from, count)
		if err != nil {
			return 0, err
		}
		if v[count-1] != from+count-1 {
			return 0, fmt.Errorf("read %v", v)
		}
	}
	return float64(reads) / time.Since(began).Seconds(), nil
}

func theirs(bin string) client {
	return func(ctx context.Context, addr string, reads int) (float64, error) {
		port := addr[strings.LastIndex(addr, ":")+1:]
		cmd := exec.CommandContext(ctx, bin, "bench", "tcp", port, strconv.Itoa(reads))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return 0, err
		}
		return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	}
}

// pairing is a client with a server.
type pairing struct {
	name  string
	ask   client
	addr  string
	rates []float64
}

// race has all pairings take turns.
func race(ctx context.Context, rounds, reads int) error {
	dir, err := os.MkdirTemp("", "yunchu-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	us, err := ourselves(-1)
	if err != nil {
		return err
	}
	defer us.stop() //nolint:errcheck // it ends with us
	list := []*pairing{{name: "ours from ours", ask: ours, addr: us.addrs[0]}}
	if bin, err := libmodbus(dir); err != nil {
		fmt.Println(err)
	} else {
		them, err := start(bin, "serve", "tcp")
		if err != nil {
			return err
		}
		defer them.stop() //nolint:errcheck // it ends with us
		at := "tcp://127.0.0.1:" + them.addrs[0]
		list = append([]*pairing{{name: "libmodbus from libmodbus", ask: theirs(bin), addr: at}}, append(list,
			&pairing{name: "ours from libmodbus", ask: ours, addr: at},
			&pairing{name: "libmodbus from ours", ask: theirs(bin), addr: us.addrs[0]},
		)...)
	}
	fmt.Printf("reads of %d registers over one connection, %d turns of %d reads\n\n", count, rounds, reads)
	for range rounds {
		for _, p := range list {
			rate, err := p.ask(ctx, p.addr, reads)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			p.rates = append(p.rates, rate)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "client and server\treads/s\tspread\tto the first")
	for _, p := range list {
		ratios := make([]float64, rounds)
		for i := range ratios {
			ratios[i] = p.rates[i] / list[0].rates[i]
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.0f..%.0f\t%.2f\n", p.name, median(p.rates), slices.Min(p.rates), slices.Max(p.rates), median(ratios))
	}
	return w.Flush()
}

func median(v []float64) float64 { return quantile(v, 0.5) }

func quantile(v []float64, q float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[min(int(q*float64(len(v))), len(v)-1)]
}
