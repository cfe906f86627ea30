// Modbus measures hil/modbus on loopback, all in one run: reads of 60 holding registers a
// second by one client, ours and libmodbus's with each other's servers; and what it takes
// to poll many devices once a second.
//
//	go run ./bench/modbus
//
// It is started in the root of the repository, and needs gcc and libmodbus-dev for the
// first table. Every server is a process of its own, and so is the client of libmodbus.
// The pairs take turns, so what else the machine does falls on all of them; figures are
// medians over the turns, ratios are medians of ratios within a round.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 9, "turns of every pair")
	reads := flag.Int("reads", 10_000, "reads in a turn")
	devices := flag.Int("devices", 1000, "devices that are polled; 0 leaves that out")
	during := flag.Duration("for", 20*time.Second, "how long they are")
	serves := flag.Int("serve", 0, "be a server for so many clients, of one unit, until the input ends")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *reads, *devices, *during, *serves); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the context has nobody any more
	}
}

func run(ctx context.Context, rounds, reads, devices int, during time.Duration, serves int) error {
	if serves > 0 {
		return serve(ctx, serves)
	}
	switch err := race(ctx, rounds, reads); {
	case errors.Is(err, errAlone):
		fmt.Printf("nothing to compare with: %v\n\n", err)
	case err != nil:
		return err
	}
	if devices == 0 {
		return nil
	}
	return poll(ctx, devices, time.Second, during)
}
