package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"yunchu/hil/modbus"
)

// What is read: as the client of libmodbus does.
const (
	first = 40
	count = 60
)

// sources of the peers, from the root of the repository.
var sources = filepath.FromSlash("hil/modbus/testdata")

// pair is a client with a server.
type pair struct {
	client, server string
	turn           func(ctx context.Context, reads int) (float64, error) // reads per second
	rates          []float64
}

// errAlone: there is nothing to compare with.
var errAlone = errors.New("no libmodbus here")

// race has all pairs take turns and prints what they did.
func race(ctx context.Context, rounds, reads int) error {
	dir, err := os.MkdirTemp("", "yunchu-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left is in the folder for such things
	var made [2]string
	for i, name := range []string{"client", "server"} {
		if made[i], err = compile(ctx, dir, name); err != nil {
			return fmt.Errorf("%w: %w", errAlone, err)
		}
	}
	ours, err := startOurs(ctx, 2)
	if err != nil {
		return err
	}
	defer ours.stop()
	theirs, err := start(ctx, made[1], "tcp")
	if err != nil {
		return err
	}
	defer theirs.stop()
	pairs := []pair{ // the first is what the others are held against
		{client: "libmodbus", server: "libmodbus", turn: byLibmodbus(made[0], theirs)},
		{client: "ours", server: "libmodbus", turn: byUs(theirs)},
		{client: "libmodbus", server: "ours", turn: byLibmodbus(made[0], ours)},
		{client: "ours", server: "ours", turn: byUs(ours)},
	}
	for range rounds {
		for i := range pairs {
			rate, err := pairs[i].turn(ctx, reads)
			if err != nil {
				return fmt.Errorf("client %s, server %s: %w", pairs[i].client, pairs[i].server, err)
			}
			pairs[i].rates = append(pairs[i].rates, rate)
		}
	}
	fmt.Printf("%d holding registers per read, one connection on loopback, %d turns of %d reads\n\n", count, rounds, reads)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "client\tserver\treads/s\tof libmodbus alone")
	for _, p := range pairs {
		ratios := make([]float64, rounds)
		for i := range ratios {
			ratios[i] = p.rates[i] / pairs[0].rates[i]
		}
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%.2f\n", p.client, p.server, median(p.rates), median(ratios))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Println()
	return nil
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}

// compile makes a program of libmodbus.
func compile(ctx context.Context, dir, name string) (string, error) {
	flags, err := exec.CommandContext(ctx, "pkg-config", "--cflags", "--libs", "libmodbus").Output()
	if err != nil {
		return "", fmt.Errorf("libmodbus: %w", err)
	}
	to := filepath.Join(dir, name)
	args := append([]string{"-O2", filepath.Join(sources, name+".c"), "-o", to}, strings.Fields(string(flags))...)
	if out, err := exec.CommandContext(ctx, "gcc", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("gcc: %w: %s", err, out)
	}
	return to, nil
}

func byLibmodbus(client string, s server) func(context.Context, int) (float64, error) {
	return func(ctx context.Context, reads int) (float64, error) {
		out, err := exec.CommandContext(ctx, client, "tcp", strconv.Itoa(s.port), strconv.Itoa(reads)).Output()
		if err != nil {
			return 0, err
		}
		return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	}
}

var errWrong = errors.New("wrong registers")

func byUs(s server) func(context.Context, int) (float64, error) {
	return func(ctx context.Context, reads int) (float64, error) {
		c, err := modbus.Dial(modbus.Options{Address: s.address(), Unit: 1})
		if err != nil {
			return 0, err
		}
		defer c.Close()                                                      //nolint:errcheck // nothing was written
		if _, err := c.Read(ctx, modbus.Holding, first, count); err != nil { // connected before the clock runs, as the other is
			return 0, err
		}
		began := time.Now()
		for range reads {
			v, err := c.Read(ctx, modbus.Holding, first, count)
			if err != nil {
				return 0, err
			}
			if v[0] != first {
				return 0, errWrong
			}
		}
		return float64(reads) / time.Since(began).Seconds(), nil
	}
}
