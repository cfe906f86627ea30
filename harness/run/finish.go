package run

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"yunchu/harness/load"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform/device"
	"yunchu/platform/export"
)

// energyTolerance is how large the energy residual of a unit may be in parts of
// the energy that it has moved.
const energyTolerance = 1e-9

// finish makes the checks, scores the run and composes the report.
func (r *Run) finish(loopErr error) (*report.Run, error) {
	s := r.Scenario
	wall := time.Since(r.began).Seconds()
	sim := r.elapsed(r.Sched.Now()).Seconds()
	interrupted := loopErr != nil
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := errors.Join(r.loadErrs...); err != nil {
		return nil, err
	}
	r.Metrics.Speed(sim, wall)
	acked, lost, example, err := r.lostOfAll()
	if err != nil {
		return nil, err
	}
	r.Metrics.Data(acked, lost)
	r.Metrics.Guard(r.notes.commands+r.notes.steps, r.notes.outOfLimits+r.notes.unguarded)
	out := &report.Run{
		Report: report.Report{
			Scenario: s.Name, Description: s.Description, Seed: s.Seed, Clock: s.Clock,
			Binary: r.opt.Binary, JournalSHA256: r.journalHash(), Kernel: "none",
			SimS: sim, WallS: wall, Speed: sim / wall, Devices: len(s.IDs()),
			Duration: s.Duration.Seconds(), Start: r.start, Events: r.notes.kinds, Faults: r.windows,
			Machine: fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
		},
		RatedKW: r.ratedKW, Signals: r.signals, EventLog: r.events, Tags: r.opt.Tags,
	}
	if !s.Virtual() {
		out.FileSystem = fileSystem(r.dir)
	}
	if r.world != nil {
		out.Kernel = r.world.Kernel()
	}
	if len(r.fleets) > 0 {
		window := r.fleets[0].Infos[0]
		out.Band = report.SoCBand{Min: window.SoCMin, Max: window.SoCMax}
	}
	for _, w := range r.Metrics.Recoveries() {
		for k := range out.Faults {
			if f := &out.Faults[k]; f.Label == w.Label && f.To == w.EndS && !math.IsNaN(w.TimeS) {
				f.RecoveryS = &w.TimeS
			}
		}
	}
	out.Checks = r.checks(acked, lost, example)
	for _, sc := range s.Score {
		limit := ""
		if !sc.Limit.IsZero() {
			limit = sc.Limit.String()
		}
		out.Scores = append(out.Scores, report.Judge(r.Metrics, sc.Metric, sc.Stat, limit, sc.Requirement))
	}
	for i := range s.Load {
		l := &s.Load[i]
		out.Loads = append(out.Loads, report.LoadOf(l.Name, l.API, load.Shape(l), l.At, r.Metrics.Load(l.Name)))
	}
	if len(out.Loads) > 0 && s.Checks.On(scenario.CheckOnTime) {
		c := report.OnTime(out.Loads)
		out.Checks = append(out.Checks, c)
		report.Excuse(c, out.Scores)
	}
	out.Verdict = report.Decide(report.Outcome{Interrupted: interrupted}, out.Scores, out.Checks)
	for _, h := range []struct{ metric, unit string }{{"command.latency_ms", "ms"}, {"sync.delay_ms", "ms"}, {"control.jitter_ms", "ms"}} {
		if d := r.Metrics.Dist(h.metric); d != nil && d.N() > 0 {
			out.Latency = append(out.Latency, report.HistogramOf(h.metric, h.unit, d))
		}
	}
	for _, l := range s.Load {
		name := "api." + l.Name + ".latency_ms"
		if d := r.Metrics.Dist(name); d != nil && d.N() > 0 {
			out.Latency = append(out.Latency, report.HistogramOf(name, "ms", d))
		}
	}
	if s.Record.Devices != "" {
		out.Devices = slices.Values(r.devices)
	}
	if err := r.journal.flush(); err != nil {
		return nil, err
	}
	r.over = true // what is still heard of, as the end of the devices' right to act, is no part of the run
	out.Journal = r.journal.path()
	if r.opt.Out == "" {
		return out, nil
	}
	if s.Record.Readings != "" {
		kept, err := r.readingsFile()
		if err != nil {
			return nil, err
		}
		out.Kept = append(out.Kept, kept)
	}
	for _, path := range s.Inputs { // for the manifest
		name := path
		if rel, err := filepath.Rel(filepath.Dir(s.Path), path); err == nil {
			name = filepath.ToSlash(rel)
		}
		f, err := report.HashFile(name, path)
		if err != nil {
			return nil, fmt.Errorf("hash the inputs: %w", err)
		}
		out.Inputs = append(out.Inputs, f)
	}
	return out, nil
}

// readingsFile writes what the history has of the devices that are asked for, as an export does.
func (r *Run) readingsFile() (kept report.Kept, err error) {
	q := export.Request{From: math.MinInt64, To: math.MaxInt64}
	for _, id := range r.Scenario.MatchDevices(r.Scenario.Record.Readings) {
		if slot, ok := r.plant.Fleet.Slot(device.ID(id)); ok {
			q.Devices = append(q.Devices, export.Device{ID: device.ID(id), Slot: slot})
		}
	}
	kept = report.Kept{File: report.File{Name: "readings.csv"}, Path: filepath.Join(r.dir, "readings.csv")}
	f, err := os.Create(kept.Path)
	if err != nil {
		return kept, err
	}
	w := bufio.NewWriter(f)
	_, err = export.Write(context.Background(), w, export.CSV, q, r.plant.History.Query)
	return kept, errors.Join(err, w.Flush(), f.Close())
}

// patience is how long the log may take for its end to be seen.
const patience = time.Minute

// lostOfAll is lost once notes are taken of the whole log. The history has each frame before
// that: one more in it would make up for one that it has lost. The caller holds mu, without
// which nothing is noted; meanwhile it is let go of.
func (r *Run) lostOfAll() (acked, lost int64, example string, err error) {
	for began := time.Now(); ; {
		if acked, lost, example, err = r.lost(); err != nil {
			return 0, 0, "", err
		}
		all, err := r.allNoted() // since before lost has counted: what is stored later is not in its count
		switch {
		case err != nil:
			return 0, 0, "", fmt.Errorf("look for the end of the log: %w", err)
		case all:
			return acked, lost, example, nil
		case time.Since(began) > patience:
			return 0, 0, "", fmt.Errorf("the end of the log has not come in %v", patience)
		}
		r.mu.Unlock()
		time.Sleep(time.Millisecond)
		r.mu.Lock()
	}
}

// lost compares the readings that were acknowledged with the history: by number
// those that the log took, and one by one those that a client was told of.
func (r *Run) lost() (acked, lost int64, example string, err error) {
	ctx := context.Background()
	told := map[device.Slot][]int64{}
	for id, times := range r.acked {
		if len(times) == 0 {
			continue
		}
		slot, ok := r.plant.Fleet.Slot(device.ID(id))
		if !ok {
			return 0, 0, "", fmt.Errorf("device %s of a load is not registered", id)
		}
		told[slot] = times
		for int(slot) >= len(r.notes.stored) {
			r.notes.stored = append(r.notes.stored, 0)
		}
	}
	for i, stored := range r.notes.stored {
		slot := device.Slot(i)
		want := max(int64(stored), int64(len(told[slot])))
		if want == 0 {
			continue
		}
		got, err := r.plant.History.Count(ctx, slot, math.MinInt64, math.MaxInt64)
		if err != nil {
			return 0, 0, "", fmt.Errorf("look for acknowledged readings of %s: %w", r.name(slot), err)
		}
		absent := make(map[int64]bool, len(told[slot]))
		for _, at := range told[slot] {
			absent[at] = true
		}
		if len(absent) > 0 {
			err = r.plant.History.Times(ctx, slot, math.MinInt64, math.MaxInt64, func(at int64) bool {
				delete(absent, at)
				return true
			})
			if err != nil {
				return 0, 0, "", fmt.Errorf("look for acknowledged readings of %s: %w", r.name(slot), err)
			}
		}
		acked += want
		if missing := max(want-got, int64(len(absent))); missing > 0 {
			lost += missing
			example = fmt.Sprintf("%d of %d of %s", missing, want, r.name(slot))
		}
	}
	return acked, lost, example, nil
}

func (r *Run) checks(acked, lost int64, example string) []report.Check {
	var out []report.Check
	add := func(name string, pass bool, detail string) {
		if r.Scenario.Checks.On(name) {
			out = append(out, report.Check{Name: name, Pass: pass, Detail: detail})
		}
	}
	// What there was nothing of is not a check that has passed.
	if r.world != nil {
		ratio, worst := r.world.Balance()
		if worst != "" {
			add(scenario.CheckEnergyBalance, ratio <= energyTolerance,
				fmt.Sprintf("largest residual %.1e of the energy moved (%s), at most %.0e", ratio, worst, energyTolerance))
		}
		detail := fmt.Sprintf("%d device-steps and %d commands, none beyond charge, voltage, temperature or power limits", r.notes.steps, r.notes.commands)
		beyond := r.notes.outOfLimits + r.notes.unguarded
		if beyond > 0 {
			detail = fmt.Sprintf("%d device-steps of %d and %d commands of %d beyond a limit, first %s",
				r.notes.outOfLimits, r.notes.steps, r.notes.unguarded, r.notes.commands, r.notes.offender)
		}
		add(scenario.CheckLimits, beyond == 0, detail)
	}
	detail := fmt.Sprintf("%d acknowledged readings, all in the history", acked)
	if lost > 0 {
		detail = fmt.Sprintf("%d of %d acknowledged readings are not in the history, among them %s", lost, acked, example)
	}
	if add(scenario.CheckReadings, lost == 0, detail); acked == 0 && r.Scenario.Checks.On(scenario.CheckReadings) {
		out[len(out)-1].Pass, out[len(out)-1].Inconclusive = false, true
	}
	detail = fmt.Sprintf("%d commands answered, none applied after its expiry", r.notes.commands)
	if r.notes.late > 0 {
		detail = fmt.Sprintf("%d of %d commands applied after their expiry: %s", r.notes.late, r.notes.commands, r.notes.lateExample)
	}
	if r.notes.commands > 0 {
		add(scenario.CheckExpiry, r.notes.late == 0, detail)
	}
	return out
}
