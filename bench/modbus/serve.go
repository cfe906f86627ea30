package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"yunchu/hil/modbus"
	"yunchu/hil/modbus/emul"
	"yunchu/hil/unit"
	"yunchu/twin/params"
)

// perListener is how many units stand behind one address: unit numbers end at 247.
const perListener = 125

// serveUntil serves devices, each with a battery behind it, or for -1 registers that hold
// their addresses. It prints the addresses, and ends with ctx or with its standard input.
func serveUntil(ctx context.Context, devices int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that counts
		cancel()
	}()
	banks, err := registers(devices)
	if err != nil {
		return err
	}
	var servers []*emul.Server
	var addrs []string
	for len(banks) > 0 {
		n := min(len(banks), perListener)
		units := map[byte]emul.Served{}
		for i, b := range banks[:n] {
			units[byte(i+1)] = b
		}
		banks = banks[n:]
		s, err := emul.Listen(emul.Options{Address: "tcp://127.0.0.1:0", Units: units, MaxConns: 2 * perListener})
		if err != nil {
			return err
		}
		servers, addrs = append(servers, s), append(addrs, s.Addr())
	}
	if _, err := fmt.Println(strings.Join(addrs, " ")); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(servers))
	for i, s := range servers {
		wg.Go(func() { errs[i] = s.Serve(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func registers(devices int) ([]emul.Served, error) {
	if devices < 0 {
		m := &emul.Memory{Holding: make([]uint16, 1000)}
		for i := range m.Holding {
			m.Holding[i] = uint16(i)
		}
		return []emul.Served{{Bank: m}}, nil
	}
	model, err := params.LoadModel("ess-100kw-215kwh")
	if err != nil {
		return nil, err
	}
	profile, err := modbus.LoadProfile("pcs-generic")
	if err != nil {
		return nil, err
	}
	banks := make([]emul.Served, devices)
	for i := range banks {
		u, err := unit.New(unit.Options{ID: fmt.Sprintf("rig-%d", i), Model: model, SoC: 50, Seed: uint64(i), AmbientC: 25, Start: time.Now()})
		if err != nil {
			return nil, err
		}
		d, err := emul.NewDevice(emul.DeviceOptions{Unit: u, Profile: profile})
		if err != nil {
			return nil, err
		}
		banks[i] = emul.Served{Bank: d, Wire: d.Wire}
	}
	return banks, nil
}
