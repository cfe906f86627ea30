package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/report"
	"yunchu/harness/run"
	"yunchu/harness/scenario"
	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/web"
)

// runFlags are the flags of yunchu run.
type runFlags struct {
	out, speed, listen string
	seed               uint64
	seeds              int
	json, quiet        bool
	arm                []string
}

func runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run FILE...",
		Short: "Run scenario files and score them",
		Example: `  yunchu run scenarios/quickstart.yaml --out out
  yunchu run scenarios/*.yaml --json > result.json
  yunchu run my.yaml --seeds 20
  yunchu run my.yaml --listen 127.0.0.1:8080 --speed 60    watch it in the portal, a minute a second`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			return f.run(c.Context(), files, c.Flags().Changed("seed"), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	p := c.Flags()
	p.StringVar(&f.out, "out", "", "folder for the report; with several files a folder each in it")
	p.Uint64Var(&f.seed, "seed", 0, "seed instead of the file's")
	p.IntVar(&f.seeds, "seeds", 0, "run this many seeds, from the file's on, and summarise")
	p.StringVar(&f.speed, "speed", "", "max, or how many times real time (virtual clock)")
	p.BoolVar(&f.json, "json", false, "print the result as JSON on stdout")
	p.BoolVar(&f.quiet, "quiet", false, "no progress and no summary")
	p.StringArrayVar(&f.arm, "arm", nil, "let this device on a wire act (repeatable)")
	p.StringVar(&f.listen, "listen", "", "serve portal and API at this address while it runs")
	return c
}

func (f *runFlags) run(ctx context.Context, files []string, seeded bool, stdout, stderr io.Writer) error {
	if f.seeds < 0 || (f.seeds > 0 && f.listen != "") {
		return fail(exitInput, errors.New("--seeds takes a positive number and does not go with --listen"))
	}
	scenarios := make([]*scenario.Scenario, 0, len(files))
	var faults scenario.Faults
	for _, file := range files {
		s, err := scenario.Load(file, scenarioOptions())
		if wrong, ok := errors.AsType[scenario.Faults](err); ok {
			faults = append(faults, wrong...)
			continue
		} else if err != nil {
			return fail(exitInput, err)
		}
		for _, id := range f.arm {
			if !slices.Contains(s.IDs(), id) {
				return fail(exitInput, fmt.Errorf("--arm %s: scenario %s has no such device", id, s.Name))
			}
		}
		if seeded {
			s.Seed = f.seed
		}
		if f.speed != "" {
			v, err := scenario.ParseSpeed(f.speed)
			if err != nil {
				return fail(exitInput, fmt.Errorf("--speed: %w", err))
			}
			s.Speed = v
		}
		if same := slices.IndexFunc(scenarios, func(o *scenario.Scenario) bool { return o.Name == s.Name }); same >= 0 && f.out != "" {
			return fail(exitInput, fmt.Errorf("%s and %s are both named %s: their reports would share a folder", scenarios[same].Path, file, s.Name))
		}
		scenarios = append(scenarios, s)
	}
	if len(faults) > 0 {
		return fail(exitInput, faults)
	}
	if f.seeds > 0 {
		return f.manySeeds(ctx, scenarios, stdout, stderr)
	}
	var reports []*report.Report
	for _, s := range scenarios {
		out := f.out
		if out != "" && len(scenarios) > 1 {
			out = filepath.Join(out, s.Name)
		}
		r, err := f.one(ctx, s, out, stderr)
		if err != nil {
			return err
		}
		reports = append(reports, &r.Report)
		if !f.json && !f.quiet {
			if err := report.Text(stdout, &r.Report, isTerminal(stdout)); err != nil {
				return fail(exitEnvironment, err)
			}
			if out != "" {
				fmt.Fprintf(stdout, "\nreport: %s\n", filepath.Join(out, "report.html"))
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if f.json {
		var v any = reports
		if len(scenarios) == 1 {
			v = reports[0]
		}
		if err := writeJSON(stdout, v); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	return silently(code(ctx, reports))
}

// code is the exit code of finished runs.
func code(ctx context.Context, reports []*report.Report) int {
	if ctx.Err() != nil {
		return exitInterrupted
	}
	for _, r := range reports {
		if r.Verdict != report.Passed && r.Verdict != report.NotApplicable {
			return exitFailed
		}
	}
	return exitPassed
}

// one runs one scenario.
func (f *runFlags) one(ctx context.Context, s *scenario.Scenario, out string, stderr io.Writer) (*report.Run, error) {
	opt := f.options(stderr)
	opt.Out = out
	opt.Listen, opt.UI, opt.Token = f.listen, web.Dist, os.Getenv(tokenVariable)
	opt.Listening = func(portal string) {
		if f.listen != "" {
			fmt.Fprintf(stderr, "portal: %s\n", portal)
		}
	}
	var bar *progress
	if !f.quiet && !f.json {
		bar = newProgress(stderr, s.Name)
		opt.Progress = bar.show
	}
	r, err := run.Do(ctx, s, opt)
	if bar != nil {
		bar.clear()
	}
	if err != nil {
		return nil, broken(s, err)
	}
	return r, nil
}

// broken is a run that could not be made.
func broken(s *scenario.Scenario, err error) error {
	code := exitEnvironment
	if errors.Is(err, run.ErrRig) {
		return fail(code, fmt.Errorf("run %s: %w", s.Path, err))
	}
	if errors.Is(err, run.ErrNoSimulation) || errors.Is(err, run.ErrWorld) {
		code = exitInput
	}
	return fail(code, fmt.Errorf("run %s: %w", s.Path, err))
}

func (f *runFlags) options(stderr io.Writer) run.Options {
	return run.Options{
		Rig: openRig, Arm: f.arm, Twin: twinOf,
		World: openWorld, Durable: durable, Binary: binaryHash(), Tags: buildTags,
		Log: logger(stderr, slog.LevelError),
	}
}

// inFlight is how many frames a stream of the bus may hold before it sheds: more
// than the connections that may each register a device at one moment.
const inFlight = 8192

func durable(dir string) (bus.Bus, error) {
	return nats.Open(nats.Options{Dir: dir, MaxInFlight: inFlight})
}

// manySeeds runs each scenario with as many seeds, in parallel over the
// processors: runs share nothing.
func (f *runFlags) manySeeds(ctx context.Context, scenarios []*scenario.Scenario, stdout, stderr io.Writer) error {
	var (
		summaries []report.Summary
		worst     int
	)
	for _, s := range scenarios {
		runs := make([]*report.Report, f.seeds)
		errs := make([]error, f.seeds)
		workers := runtime.GOMAXPROCS(0)
		if !s.Virtual() {
			workers = 1
		}
		var wg sync.WaitGroup
		next := make(chan int)
		for range workers {
			wg.Go(func() {
				for i := range next {
					one := *s
					one.Seed = s.Seed + uint64(i)
					opt := f.options(stderr)
					if f.out != "" {
						opt.Out = filepath.Join(f.out, s.Name, fmt.Sprintf("seed-%d", one.Seed))
					}
					r, err := run.Do(ctx, &one, opt)
					if errs[i] = err; err == nil {
						runs[i] = &r.Report
					}
				}
			})
		}
		for i := range f.seeds {
			next <- i
		}
		close(next)
		wg.Wait()
		for _, err := range errs { // the first speaks for all
			if err != nil {
				return broken(s, err)
			}
		}
		summary := report.Summarise(runs)
		summaries = append(summaries, summary)
		worst = max(worst, code(ctx, runs))
		if !f.json && !f.quiet {
			if err := summary.Text(stdout, isTerminal(stdout)); err != nil {
				return fail(exitEnvironment, err)
			}
			for _, r := range runs {
				if r.Verdict == report.Failed {
					fmt.Fprintf(stdout, "failed: yunchu run %s --seed %d\n", s.Path, r.Seed)
				}
			}
		}
	}
	if f.json {
		var v any = summaries
		if len(summaries) == 1 {
			v = summaries[0]
		}
		if err := writeJSON(stdout, v); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	return silently(worst)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// progress is one line on a terminal that is rewritten, or a plain line every
// ten seconds where there is none.
type progress struct {
	w    io.Writer
	name string
	tty  bool
	last time.Duration
}

func newProgress(w io.Writer, name string) *progress {
	return &progress{w: w, name: name, tty: isTerminal(w)}
}

func (p *progress) show(at run.Progress) {
	if !p.tty && at.Wall-p.last < 10*time.Second {
		return
	}
	p.last = at.Wall
	share := float64(at.Sim) / float64(at.Of)
	const width = 24
	filled := min(max(int(share*width), 0), width)
	line := fmt.Sprintf("%s %s%s %3.0f %%  %s of %s  %s", p.name, strings.Repeat("━", filled), strings.Repeat("─", width-filled),
		100*share, scenario.FormatDuration(at.Sim.Round(time.Second)), scenario.FormatDuration(at.Of), speed(at))
	if at.Faults > 0 {
		line += fmt.Sprintf("  %d faults active", at.Faults)
	}
	if p.tty {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	} else {
		fmt.Fprintln(p.w, line)
	}
}

func speed(at run.Progress) string {
	if at.Wall <= 0 {
		return ""
	}
	return fmt.Sprintf("%.0f × real time", at.Sim.Seconds()/at.Wall.Seconds())
}

func (p *progress) clear() {
	if p.tty {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
