//go:build !nosim

package simworld_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"yunchu/harness/accept"
	"yunchu/harness/links"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/harness/simworld"
	"yunchu/hil"
	"yunchu/platform/audit"
	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/twin/params"
)

// free is an address of this machine that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "tcp://" + l.Addr().String()
}

// nickel writes the shipped cell with the voltage of a layered oxide and as much energy.
func nickel(t *testing.T, dir string) {
	t.Helper()
	c, err := params.LoadCell("lfp280_ref")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../twin/params/lfp280_ref.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var volts []string
	for _, z := range c.OCV.SoC {
		volts = append(volts, fmt.Sprintf("%.4f", 3.4+0.8*z))
	}
	before, rest, _ := strings.Cut(string(text), "U_avg_V: [")
	_, after, ok := strings.Cut(rest, "]")
	if !ok {
		t.Fatal("the shipped cell has no table of its voltage")
	}
	made := before + "U_avg_V: [" + strings.Join(volts, ", ") + "]" + after
	for from, to := range map[string]string{"V_max: 3.65": "V_max: 4.3", "capacity_Ah: 280.0": "capacity_Ah: 235.7"} { // as much energy
		made = strings.Replace(made, from, to, 1)
	}
	if err := os.WriteFile(filepath.Join(dir, "nickel.yaml"), []byte(made), 0o600); err != nil {
		t.Fatal(err)
	}
}

// armed serves the shipped unit, changed, over one protocol, lets the acceptance suite arm it
// where its entry says as, and returns the test and what the audit holds of it.
func armed(t *testing.T, protocol, change, as string) (*accept.TestResult, string) {
	t.Helper()
	dir := t.TempDir()
	nickel(t, dir)
	text, err := os.ReadFile("../../twin/params/ess-100kw-215kwh.yaml")
	if err != nil {
		t.Fatal(err)
	}
	is := string(text)
	for pair := range strings.SplitSeq(change, ";") {
		from, to, _ := strings.Cut(pair, " => ")
		if !strings.Contains(is, from) {
			t.Fatalf("the shipped model has no %q", from)
		}
		is = strings.Replace(is, from, to, 1)
	}
	address, face := free(t), "sunspec: {address: %q}"
	reach := fmt.Sprintf("device: sunspec, address: %q", address)
	if protocol == "modbus" {
		face = "modbus: {address: %q, profile: pcs-generic}"
		reach = fmt.Sprintf("device: modbus, address: %q, profile: pcs-generic", address)
	}
	write := func(name, text string) *scenario.Rig {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "is.yaml" {
			return nil
		}
		r, err := scenario.LoadRig(path, scenario.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	write("is.yaml", is)
	const head = "apiVersion: yunchu/v1\nkind: Rig\ndevices:\n"
	served, err := simworld.OpenRig(write("served.yaml", head+fmt.Sprintf("  - {id: rig-1, model: ./is.yaml, soc: 60, serve: {"+face+"}}\n", address)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- served.Serve(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	d := write("reached.yaml", head+fmt.Sprintf("  - {id: rig-1, %s%s}\n", reach, as)).Devices[0].Device
	spec, err := links.Of(&d, nil)
	if err != nil {
		t.Fatal(err)
	}
	twin, err := simworld.Compare(&d)
	if err != nil {
		t.Fatal(err)
	}
	p, err := scenario.ParseProcedure("T00.yaml", []byte(`apiVersion: yunchu/v1
kind: Procedure
name: T00
title: Arming
source: test
counts: charge
steps:
  - {arm: true}
  - {power_percent: 5, hold_s: 1, measure: {name: sign, kind: hold, after_s: 0.5}}
limits:
  - {name: wrong_sign, measure: sign, metric: wrong_sign, stat: sum, limit: "== 0", source: test}
`), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(dir, "audit")
	r, err := accept.Run(t.Context(), []*accept.Bench{{
		Info: spec.Info(), Loopback: true, Twin: twin, Period: 100 * time.Millisecond, Address: address,
		Open: func(device.Timed) (device.Driver, error) { return hil.Open(spec) },
	}}, []*scenario.Procedure{p}, accept.Options{
		Audit: kept, Durable: func(dir string) (bus.Bus, error) { return nats.Open(nats.Options{Dir: dir}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(kept, "rig-1", audit.Folder, "entries-*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no audit is kept", err)
	}
	entries, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var of []string
	for line := range bytes.Lines(entries) {
		if bytes.Contains(line, []byte(`"arm"`)) {
			of = append(of, string(line))
		}
	}
	return r.Devices[0].Tests[0], strings.Join(of, "")
}

// TestArmingComparesWithTheTwin: over real wires a unit of its model is armed, and one that
// is another is not, for the reason that it has. Event and audit tell what it was held
// against.
func TestArmingComparesWithTheTwin(t *testing.T) {
	const own = ", model: ess-100kw-215kwh"
	var all sync.WaitGroup // they wait for most of the time, more of them than there are processors
	defer all.Wait()
	for _, tt := range []struct {
		name, change, as string
		fails            bool
		want             string // of event and audit
	}{
		{"its model", "series: 240 => series: 240", own, false, "compared with the twin of ess-100kw-215kwh: "},
		{"no model", "series: 240 => series: 240", "", false, "held against its nameplate alone"},
		{"another chemistry", "cell: lfp280_ref => cell: ./nickel.yaml;cell_v: {min: 2.5, max: 3.65} => cell_v: {min: 2.5, max: 4.3}", own, true, "it differs from the twin of ess-100kw-215kwh: voltage "},
		{"half the cells in series", "series: 240 => series: 120;rated_kwh: 215 => rated_kwh: 107.5", own, true, "voltage "},
		{"twice the capacity", "parallel: 1 => parallel: 2;rated_kwh: 215 => rated_kwh: 430", own, true, "rated energy on its nameplate 430 kWh, expected 215 ± 21.5 kWh"},
		{"a margin for that", "parallel: 1 => parallel: 2;rated_kwh: 215 => rated_kwh: 430", own + ", compare: {nameplate_percent: 100}", false, "rated energy on its nameplate 430 kWh"},
	} {
		for _, protocol := range []string{"sunspec", "modbus"} {
			if testing.Short() && protocol == "modbus" || tt.name == "twice the capacity" && protocol == "modbus" || tt.name == "a margin for that" && protocol == "modbus" {
				continue // this profile's nameplate has no energy
			}
			run := func(t *testing.T) {
				x, entries := armed(t, protocol, tt.change, tt.as)
				want := report.Passed
				if tt.fails {
					want = report.Failed
				}
				if x.Verdict != want || tt.fails && !strings.Contains(x.Why, tt.want) {
					t.Errorf("the sign test is %s: %s", x.Verdict, x.Why)
				}
				var told []string
				for _, e := range x.Record.Events {
					told = append(told, e.Type+" "+e.Text)
				}
				kind := "armed "
				if tt.fails {
					kind = "arm-failed "
				}
				if text := strings.Join(told, "\n"); !strings.Contains(text, tt.want) || !strings.Contains(text, kind) {
					t.Errorf("the events are %q, want %s%q", told, kind, tt.want)
				}
				if !strings.Contains(entries, tt.want) {
					t.Errorf("the audit says %q, want %q", entries, tt.want)
				}
			}
			all.Go(func() { t.Run(protocol+" "+tt.name, run) })
		}
	}
}
