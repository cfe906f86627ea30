package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/accept"
	"yunchu/harness/backend"
	"yunchu/harness/keep"
	"yunchu/harness/links"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/hil"
	"yunchu/hil/can"
	"yunchu/platform/device"
	"yunchu/scenarios"
)

// acceptFlags are the flags of yunchu accept.
type acceptFlags struct {
	rig, out, operator string
	devices, tests     []string
	arm, set           []string
	poll               time.Duration
	polled             bool // poll was asked for
	short, json, quiet bool
}

func acceptCommand() *cobra.Command {
	var f acceptFlags
	c := &cobra.Command{
		Use:   "accept [PROCEDURE FILE...]",
		Short: "Do the acceptance suite with a twin, or with the devices of a rig",
		Long: `Do the acceptance suite: the procedures that ship (scenarios/accept), or the given
procedure files, with a twin in virtual time or with the devices of a rig file over
their wires. Leaves a report that can be signed and filed.

Exit codes: 0 every test passed or does not apply, and one besides the sign test passed; 1 failed or
inconclusive; 2 bad input; 3 the rig is not there; 130 interrupted.`,
		Example: `  yunchu accept --short --out out                   the whole suite with a twin, briefly
  yunchu accept --test T05,T06 --set T05.hold_s=5    two tests
  yunchu accept --rig rig.yaml --arm rig-1 --operator "Li Wei" --out out`,
		RunE: func(c *cobra.Command, files []string) error {
			for _, x := range [][2]string{{"rig", "file"}, {"out", "folder"}, {"test", "test"}, {"device", "device"}, {"arm", "device"}} {
				if v := c.Flags().Lookup(x[0]); v.Changed && strings.Trim(v.Value.String(), "[]") == "" { // a variable that is not set
					return fail(exitInput, fmt.Errorf("--%s: no %s is named", x[0], x[1]))
				}
			}
			f.polled = c.Flags().Changed("poll")
			return f.run(c.Context(), files, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	p := c.Flags()
	p.StringVar(&f.rig, "rig", "", "rig file whose devices are tested; without it a twin in virtual time")
	p.StringSliceVar(&f.devices, "device", nil, "only these devices of the rig")
	p.StringSliceVar(&f.tests, "test", nil, "only these tests, such as T05,T06; the sign test comes before those that act")
	p.BoolVar(&f.short, "short", false, "with short parameters: a quick look, no proof of a standard")
	p.StringVar(&f.out, "out", "", "folder for the report")
	p.BoolVar(&f.json, "json", false, "print the result as JSON on stdout")
	p.BoolVar(&f.quiet, "quiet", false, "no progress and no summary")
	p.StringVar(&f.operator, "operator", "", "who does the tests, for the report and the audit")
	p.StringArrayVar(&f.arm, "arm", nil, "let this device act (repeatable); emulators on this machine need no naming")
	p.StringArrayVar(&f.set, "set", nil, "change a number, as in T05.hold_s=5, T05.levels=90,-90 or T05.limits.response_s=\"<= 0.8\" (repeatable)")
	p.DurationVar(&f.poll, "poll", 50*time.Millisecond, "how often a device is read, over poll of its entry")
	return c
}

func (f *acceptFlags) run(ctx context.Context, files []string, stdout, stderr io.Writer) error {
	procedures, err := f.procedures(files)
	if err != nil {
		return fail(exitInput, err)
	}
	over, err := f.overrides()
	if err != nil {
		return fail(exitInput, err)
	}
	if f.poll < time.Millisecond {
		return fail(exitInput, fmt.Errorf("--poll %v: at least 1ms", f.poll))
	}
	for _, p := range procedures { // a wrong name is found before anything moves
		if _, err := accept.Compile(p, 1, f.short, over[p.Name]); err != nil {
			return fail(exitInput, fmt.Errorf("--set: %w", err))
		}
	}
	for test := range over {
		if !slices.ContainsFunc(procedures, func(p *scenario.Procedure) bool { return p.Name == test }) {
			return fail(exitInput, notDone(test, procedures))
		}
	}
	if err := f.canWrite(); err != nil {
		return fail(exitEnvironment, err)
	}
	tapes := &keep.Tapes{Out: f.out}
	defer tapes.Remove()
	benches, closeAll, err := f.benches(ctx, tapes, logger(stderr, slog.LevelError))
	if err != nil {
		return err
	}
	defer closeAll()
	inputs := inputsOf(procedures, f.rig) // as they are now: somebody may change them during the tests
	opt := accept.Options{
		Durable: durable, Short: f.short, Arm: f.arm, Over: over, Operator: f.operator, Log: logger(stderr, slog.LevelError),
	}
	if f.out != "" {
		opt.Audit = path.Join(f.out, auditFolder)
	}
	if !f.quiet && !f.json {
		opt.Progress = acceptProgress(stderr)
	}
	result, err := accept.Run(ctx, benches, procedures, opt)
	links, broken := tapes.Close()
	if isTerminal(stderr) && opt.Progress != nil {
		fmt.Fprint(stderr, "\r\x1b[K")
	}
	if err != nil {
		code := exitEnvironment
		if ctx.Err() != nil {
			code = exitInterrupted
		}
		if errors.Is(err, accept.ErrNotThere) {
			err = fmt.Errorf("%w; look at the address in %s, and whether another program has its line", err, f.rig)
		}
		err = fail(code, err)
		if len(result.Devices) == 0 {
			return err
		}
	}
	audits, lost := f.audits(result)
	broken = errors.Join(broken, lost)
	if told := f.tell(result, inputs, links, audits, stdout); told != nil {
		return told
	}
	if broken != nil {
		return fail(exitEnvironment, fmt.Errorf("what is kept beside the report: %w", broken))
	}
	if err != nil {
		return err
	}
	return silently(acceptCode(ctx, result))
}

// acts reports whether a test moves the device.
func (f *acceptFlags) acts(p *scenario.Procedure) bool {
	g, err := accept.Compile(p, 1, f.short)
	return err != nil || g.Acts()
}

// notDone says why a test cannot be changed.
func notDone(test string, done []*scenario.Procedure) error {
	var names []string
	for _, p := range done {
		names = append(names, p.Name)
	}
	if slices.Contains(procedureNames(), test) {
		return fmt.Errorf("--set %s: that test is not done, only %s", test, strings.Join(names, ", "))
	}
	return fmt.Errorf("--set %s: there is no test %s: %s", test, test, scenario.Suggest(test, names))
}

// canWrite makes the folder of the report, and a file in it: what cannot be written is
// found before hours of tests, and not after.
func (f *acceptFlags) canWrite() error {
	if f.out == "" {
		return nil
	}
	err := os.MkdirAll(f.out, 0o755)
	if err == nil {
		var x *os.File
		if x, err = os.CreateTemp(f.out, ".accept-*"); err == nil {
			err = errors.Join(x.Close(), os.Remove(x.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("--out: the report cannot be written: %w", err)
	}
	return nil
}

func acceptCode(ctx context.Context, r *accept.Result) int {
	switch {
	case ctx.Err() != nil:
		return exitInterrupted
	case r.Verdict == report.Passed:
		return exitPassed
	}
	return exitFailed
}

// tell prints and writes the result.
func (f *acceptFlags) tell(result *accept.Result, inputs []report.File, links, audits []report.Kept, stdout io.Writer) error {
	doc := &accept.Document{
		Result: result, Operator: f.operator, Rig: f.rig, Short: f.short, Binary: binaryHash(), Tags: buildTags, Inputs: inputs, Links: links, Audits: audits,
	}
	if f.out != "" {
		if err := accept.Write(f.out, doc); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	switch {
	case f.json:
		if err := writeJSON(stdout, doc.Report()); err != nil {
			return fail(exitEnvironment, err)
		}
	case !f.quiet:
		if err := doc.Text(stdout, isTerminal(stdout)); err != nil {
			return fail(exitEnvironment, err)
		}
		if f.out != "" {
			fmt.Fprintf(stdout, "\nreport: %s\n", path.Join(f.out, "accept.html"))
		}
	}
	return nil
}

// inputsOf are the files that went in, by their names in the report.
func inputsOf(procedures []*scenario.Procedure, rig string) (list []report.File) {
	for _, p := range procedures {
		for _, name := range p.Inputs {
			text, err := fs.ReadFile(scenarios.Files, path.Clean(name))
			if err != nil {
				text, err = os.ReadFile(name)
			}
			if err == nil && !slices.ContainsFunc(list, func(f report.File) bool { return f.Name == path.Base(name) }) {
				list = append(list, report.HashBytes(path.Base(name), text))
			}
		}
	}
	if rig == "" {
		return list
	}
	for _, name := range append([]string{rig}, profilesOf(rig)...) {
		if text, err := os.ReadFile(name); err == nil {
			list = append(list, report.HashBytes(path.Base(name), text))
		}
	}
	return list
}

// profilesOf are the files that say what the registers and frames of a rig mean: they
// decide signs and scales, and belong to the evidence.
func profilesOf(rig string) (list []string) {
	r, err := scenario.LoadRig(rig, scenarioOptions())
	if err != nil {
		return nil // it was read before
	}
	for i := range r.Devices {
		d, ok := r.Devices[i].Reached()
		if !ok {
			continue
		}
		links := []scenario.Link{d.Link}
		if d.Parts != nil {
			links = nil
			for _, p := range []*scenario.Part{d.Parts.PCS, d.Parts.BMS, d.Parts.Meter} {
				if p != nil {
					links = append(links, p.Link)
				}
			}
		}
		for _, l := range links {
			for _, name := range append([]string{l.Profile}, can.Files(l.DBC)...) {
				if scenario.IsPath(name) && !slices.Contains(list, name) {
					list = append(list, name)
				}
			}
		}
	}
	return list
}

// procedures are those of the files, or those that ship; of them the ones asked for,
// and the sign test before all.
func (f *acceptFlags) procedures(files []string) (list []*scenario.Procedure, err error) {
	all, err := shippedProcedures()
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		sign := all[:1]
		all = sign
		var faults scenario.Faults
		for _, file := range files {
			if slices.Contains(procedureNames(), file) {
				return nil, fmt.Errorf("%s is a test that ships, and no file: name it with --test %s", file, file)
			}
			p, err := scenario.LoadProcedure(file, scenarioOptions())
			if wrong, ok := errors.AsType[scenario.Faults](err); ok {
				faults = append(faults, wrong...)
				continue
			} else if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(all, func(q *scenario.Procedure) bool { return q.Name == p.Name }) {
				return nil, fmt.Errorf("%s: there are two procedures named %s", file, p.Name)
			}
			all = append(all, p)
		}
		if len(faults) > 0 {
			return nil, faults
		}
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	for _, t := range f.tests {
		if !slices.Contains(names, t) {
			return nil, fmt.Errorf("--test %s: no such test: %s", t, scenario.Suggest(t, names))
		}
	}
	for _, p := range all[1:] {
		if len(f.tests) == 0 || slices.Contains(f.tests, p.Name) {
			list = append(list, p)
		}
	}
	if slices.ContainsFunc(list, f.acts) || slices.Contains(f.tests, accept.SignTest) { // what only reads moves nothing before
		list = slices.Insert(list, 0, all[0])
	}
	return list, nil
}

// shippedProcedures are those of scenarios/accept, in the order of their names.
func shippedProcedures() ([]*scenario.Procedure, error) {
	var list []*scenario.Procedure
	for _, n := range procedureNames() {
		p, err := shippedProcedure(n)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// procedureNames are the procedures that ship.
func procedureNames() (names []string) {
	files, _ := fs.Glob(scenarios.Files, "accept/*.yaml") // errs on a wrong pattern only
	for _, f := range files {
		names = append(names, strings.TrimSuffix(path.Base(f), ".yaml"))
	}
	return names
}

// shippedProcedure is one of them.
func shippedProcedure(name string) (*scenario.Procedure, error) {
	return scenario.LoadProcedure("accept/"+name+".yaml", scenario.Options{FS: scenarios.Files})
}

// overrides reads the --set flags.
func (f *acceptFlags) overrides() (map[string]accept.Overrides, error) {
	over := map[string]accept.Overrides{}
	for _, s := range f.set {
		at, text, ok := strings.Cut(s, "=")
		test, name, dotted := strings.Cut(at, ".")
		if !ok || !dotted {
			return nil, fmt.Errorf("--set %s: write TEST.PARAMETER=VALUE, such as T05.hold_s=5", s)
		}
		o := over[test]
		if limit, is := strings.CutPrefix(name, "limits."); is {
			l, err := scenario.ParseLimit(text)
			if err != nil {
				return nil, fmt.Errorf("--set %s: %w; write %s=\"<= 0.8\"", s, err, at)
			}
			if o.Limits == nil {
				o.Limits = map[string]scenario.Limit{}
			}
			o.Limits[limit] = l
		} else {
			v, err := scenario.ParseValues(text)
			if err != nil {
				return nil, fmt.Errorf("--set %s: %w; write %s=5, or several as in %s=90,-90", s, err, at, at)
			}
			if o.Parameters == nil {
				o.Parameters = map[string]scenario.Values{}
			}
			o.Parameters[name] = v
		}
		over[test] = o
	}
	return over, nil
}

// benches are the devices to be tested.
func (f *acceptFlags) benches(ctx context.Context, tapes *keep.Tapes, log *slog.Logger) (list []*accept.Bench, closeAll func(), err error) {
	closeAll = func() {}
	if f.rig == "" {
		if len(f.devices) > 0 || len(f.arm) > 0 {
			return nil, closeAll, fail(exitInput, errors.New("--device and --arm belong to a rig: add --rig FILE"))
		}
		if openBench == nil {
			return nil, closeAll, fail(exitInput, errNoTwins)
		}
		b, err := openBench(&scenario.RigDevice{Device: scenario.Device{ID: "twin-1", Model: scenario.DefaultModel, SoC: scenario.SoC{Mean: 50}}}, virtualStart, f.poll)
		if err != nil {
			return nil, closeAll, fail(exitInput, err)
		}
		b.Period = f.poll
		return []*accept.Bench{b}, closeAll, nil
	}
	rig, err := scenario.LoadRig(f.rig, scenarioOptions())
	if err != nil {
		return nil, closeAll, fail(exitInput, err)
	}
	var ids []string
	for _, d := range rig.Devices {
		ids = append(ids, d.ID)
	}
	for _, id := range append(slices.Clone(f.devices), f.arm...) {
		if !slices.Contains(ids, id) {
			return nil, closeAll, fail(exitInput, fmt.Errorf("%s has no device %s: %s", f.rig, id, scenario.Suggest(id, ids)))
		}
	}
	over := rigOverrides(rig)
	var face backend.Face
	if rig.Backend != nil {
		c, err := backend.Dial(ctx, rig.Backend.Address)
		if err != nil {
			return nil, closeAll, fail(exitEnvironment, err)
		}
		face, closeAll = c, c.Close
	}
	for i := range rig.Devices {
		d := &rig.Devices[i]
		if len(f.devices) > 0 && !slices.Contains(f.devices, d.ID) {
			continue
		}
		b, err := f.bench(ctx, d, face, tapes, log)
		if err != nil {
			closeAll()
			return nil, func() {}, err
		}
		b.Over = over
		list = append(list, b)
	}
	return list, closeAll, nil
}

// bench is one device of a rig file.
func (f *acceptFlags) bench(ctx context.Context, d *scenario.RigDevice, face backend.Face, tapes *keep.Tapes, log *slog.Logger) (*accept.Bench, error) {
	if d.Kind == scenario.Sim {
		if openBench == nil {
			return nil, fail(exitInput, errNoTwins)
		}
		b, err := openBench(d, virtualStart, f.poll)
		if err != nil {
			return nil, fail(exitInput, err)
		}
		b.Period = f.poll
		return b, nil
	}
	reached, ok := d.Reached()
	if !ok {
		return nil, fail(exitInput, fmt.Errorf("device %s: nothing says how it is reached: add device and address", d.ID))
	}
	spec, err := links.Of(&reached, log)
	if err != nil {
		return nil, fail(exitInput, fmt.Errorf("device %s: %w", d.ID, err))
	}
	if d, err := hil.Open(spec); err != nil { // a wrong profile is bad input, and no missing rig
		return nil, fail(exitInput, fmt.Errorf("device %s: %w", reached.ID, err))
	} else if err := d.Close(); err != nil {
		return nil, fail(exitEnvironment, err)
	}
	twin, err := twinOf(&reached)
	if err != nil {
		return nil, fail(exitInput, fmt.Errorf("device %s: %w", reached.ID, err))
	}
	tape, err := f.record(ctx, tapes, &spec)
	if err != nil {
		return nil, fail(exitEnvironment, fmt.Errorf("record device %s: %w", reached.ID, err))
	}
	period := f.poll
	if !f.polled {
		period = cmp.Or(reached.Poll, f.poll)
	}
	var step float64
	if reached.Compare != nil {
		step = reached.Compare.VoltStep
	}
	return &accept.Bench{
		Tape: tape, VoltStep: step, Info: spec.Info(), Loopback: spec.Loopback(), Twin: twin, Backend: face, Period: period, Serials: d.Serial, Tools: d.Tools, Address: addressOf(&reached),
		Open: func(timed device.Timed) (device.Driver, error) {
			spec.Timed = timed
			return hil.Open(spec)
		},
	}, nil
}

func addressOf(d *scenario.Device) string {
	if d.Parts == nil {
		return d.Kind + " " + d.Address
	}
	var all []string
	for _, p := range []struct {
		name string
		part *scenario.Part
	}{{"pcs", d.Parts.PCS}, {"bms", d.Parts.BMS}, {"meter", d.Parts.Meter}} {
		if p.part != nil {
			all = append(all, p.name+" "+p.part.Kind+" "+p.part.Address)
		}
	}
	return strings.Join(all, ", ")
}

// rigOverrides are the changes that a rig file asks for; the reader has found those
// that name nothing.
func rigOverrides(rig *scenario.Rig) map[string]accept.Overrides {
	out := map[string]accept.Overrides{}
	for test, c := range rig.Accept {
		out[test] = accept.Overrides{Parameters: c.Parameters, Limits: c.Limits}
	}
	return out
}

// virtualStart is where virtual time begins.
var virtualStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var errNoTwins = errors.New("built without simulation: name a rig with --rig FILE")

// acceptProgress shows which test is being done, about once a second.
func acceptProgress(w io.Writer) func(device, test, why string, at time.Duration) {
	var last time.Time
	var shown string
	tty := isTerminal(w)
	return func(device, test, why string, at time.Duration) {
		now := time.Now()
		line := device + " " + test
		if why != "" {
			line += " " + why
		}
		switch {
		case tty && now.Sub(last) >= 200*time.Millisecond:
			fmt.Fprintf(w, "\r\x1b[K%s %s", line, scenario.FormatDuration(at.Round(time.Second)))
		case !tty && line != shown:
			fmt.Fprintln(w, line)
		default:
			return
		}
		last, shown = now, line
	}
}
