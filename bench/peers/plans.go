package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"yunchu/platform/market/lp"
)

// solver is one who finds the optimum of a plan that lies at path.
type solver struct {
	name  string
	solve func(ctx context.Context, p *plan, path string) (optimum, error)
}

// optimum is what a solver came to. Times are in seconds, without those of reading the file.
type optimum struct {
	Objective, Wall, CPU float64
	Optimal              bool
	rounds               int
}

// Why a solver has no part in a plan.
var (
	errGaveUp    = errors.New("it ends without an optimum")
	errNoSquares = errors.New("it takes no squares")
)

const (
	plansAgree = 1e-6 // relative
	mostWait   = 120 * time.Second
	quick      = 1.0 // seconds, below which all but the last of repeats are to warm up
	repeats    = 3
)

// comparePlans solves every plan by all who can, one after the other, so that what else the machine
// does falls on all of them. It is an error if they do not agree.
func comparePlans(ctx context.Context, dir string, rounds int, all []plan, w io.Writer) (err error) {
	peers := []solver{{"GLPK, simplex", glpk()}, {"GLPK, interior point", glpk("--interior")}}
	highs, absent := highs(ctx, dir)
	if absent == nil {
		peers = append(peers, solver{"HiGHS", highs})
	} else if !errors.Is(absent, errAbsent) {
		return absent
	}
	fmt.Fprintln(w, "plans as linear programs; times in s, of the processor and by the clock, without reading the file")
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "\tvariables, rows\t\tobjective\tprocessor\tclock\trounds\tprocessor theirs/ours\tclock theirs/ours")
	for i := range all {
		err = errors.Join(err, all[i].compare(ctx, dir, rounds, peers, t))
	}
	if absent != nil {
		fmt.Fprintf(t, "HiGHS\tleft out: %v\n", absent)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return err
}

// compare writes the lines of one plan.
func (p *plan) compare(ctx context.Context, dir string, rounds int, peers []solver, w io.Writer) error {
	path := filepath.Join(dir, "plan.mps")
	if err := p.write(path); err != nil {
		return err
	}
	all := append([]solver{{"yunchu, lp", func(context.Context, *plan, string) (optimum, error) { return repeat(p.ours) }}}, peers...)
	if p.exact != nil {
		all = append(all[:1:1], append([]solver{{"yunchu, " + p.by, func(context.Context, *plan, string) (optimum, error) { return repeat(p.exact) }}}, peers...)...)
	}
	seen := make([][]optimum, len(all))
	gone := make([]error, len(all))
	for range rounds {
		for i := range all {
			if gone[i] != nil {
				continue
			}
			limit, stop := context.WithTimeout(ctx, mostWait)
			o, err := all[i].solve(limit, p, path)
			over := limit.Err() != nil && ctx.Err() == nil
			stop()
			switch {
			case over:
				gone[i] = fmt.Errorf("more than %v", mostWait)
			case errors.Is(err, errAbsent), errors.Is(err, errGaveUp), errors.Is(err, errNoSquares):
				gone[i] = err
			case err != nil:
				return fmt.Errorf("%s, %s: %w", p.name, all[i].name, err)
			default:
				seen[i] = append(seen[i], o)
			}
		}
	}
	variables, rows := p.build().Size()
	fmt.Fprintf(w, "%s\t%d, %d\n", p.name, variables, rows)
	var wrong error
	for i := range all {
		if gone[i] != nil {
			fmt.Fprintf(w, "\t\t%s\t–\t–\t–\t–\t–\t–\t%v\n", all[i].name, gone[i])
			continue
		}
		var wall, cpu, slower, dearer []float64
		for k, o := range seen[i] {
			us := seen[0][k]
			wall, cpu = append(wall, o.Wall), append(cpu, o.CPU)
			slower, dearer = append(slower, o.Wall/us.Wall), append(dearer, o.CPU/us.CPU)
			if math.Abs(o.Objective-us.Objective) > plansAgree*(1+math.Abs(us.Objective)) {
				wrong = errors.Join(wrong, fmt.Errorf("%s: %s finds %.10g, %s finds %.10g", p.name, all[0].name, us.Objective, all[i].name, o.Objective))
			}
		}
		took := "–"
		if n := seen[i][0].rounds; n > 0 {
			took = strconv.Itoa(n)
		}
		fmt.Fprintf(w, "\t\t%s\t%.8g\t%.3g\t%.3g\t%s\t%.2g\t%.2g\n", all[i].name, seen[i][0].Objective, median(cpu), median(wall), took, median(dearer), median(slower))
	}
	return wrong
}

func (p *plan) write(path string) error {
	f, err := os.Create(path) //nolint:gosec // of a folder of our own
	if err != nil {
		return err
	}
	return errors.Join(p.build().WriteMPS(f), f.Close())
}

// repeat times one of ours as plans.mjs does with HiGHS.
func repeat(ready func() func() (optimum, error)) (optimum, error) {
	for run := 1; ; run++ {
		solve := ready()
		used, begun := processor(), time.Now()
		o, err := solve()
		o.Wall, o.CPU = time.Since(begun).Seconds(), (processor() - used).Seconds()
		if err != nil || o.Wall > quick || run == repeats {
			return o, err
		}
	}
}

// processor is what this process has used until now.
func processor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ours is lp, from a problem that is built to its solution.
func (p *plan) ours() func() (optimum, error) {
	problem := p.build()
	return func() (optimum, error) {
		s, err := problem.Solve(context.Background())
		if err != nil {
			return optimum{}, err
		}
		return optimum{Objective: s.Objective, rounds: s.Rounds}, nil
	}
}

// glpk is glpsol. What it takes to read the file is measured by itself and taken off.
func glpk(args ...string) func(context.Context, *plan, string) (optimum, error) {
	return func(ctx context.Context, p *plan, path string) (optimum, error) {
		if p.squares {
			return optimum{}, errNoSquares
		}
		program, err := find("glpsol", "glpk-utils")
		if err != nil {
			return optimum{}, err
		}
		read, err := timed(exec.CommandContext(ctx, program, "--freemps", path, "--check"))
		if err != nil {
			return optimum{}, err
		}
		o, err := timed(exec.CommandContext(ctx, program, append(args, "--freemps", path, "--write", path+".out")...)) //nolint:gosec // ours
		if err != nil {
			return optimum{}, err
		}
		o.Wall, o.CPU = max(o.Wall-read.Wall, 1e-4), max(o.CPU-read.CPU, 1e-4)
		b, err := os.ReadFile(path + ".out")
		if err != nil {
			return optimum{}, err
		}
		for line := range strings.Lines(string(b)) {
			// s bas ROWS COLUMNS f f OBJECTIVE, or s ipt ROWS COLUMNS o OBJECTIVE
			if f := strings.Fields(line); len(f) > 4 && f[0] == "s" && (f[4] == "f" || f[4] == "o") {
				o.Objective, err = strconv.ParseFloat(f[len(f)-1], 64)
				return o, err
			}
		}
		return optimum{}, errGaveUp
	}
}

// timed runs a program.
func timed(c *exec.Cmd) (optimum, error) {
	begun := time.Now()
	out, err := c.CombinedOutput()
	if err != nil {
		return optimum{}, fmt.Errorf("%s: %w: %.300s", c.Path, err, out)
	}
	return optimum{Wall: time.Since(begun).Seconds(), CPU: (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()}, nil
}

//go:embed plans.mjs
var plansScript []byte

//go:embed npm/package.json
var packageJSON []byte

//go:embed npm/package-lock.json
var packageLock []byte

// highs fetches HiGHS, compiled for node, in the version of the lock file.
func highs(ctx context.Context, dir string) (func(context.Context, *plan, string) (optimum, error), error) {
	node, err := find("node", "nodejs")
	if err != nil {
		return nil, err
	}
	npm, err := find("npm", "npm")
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "highs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for name, b := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock, "plans.mjs": plansScript} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return nil, err
		}
	}
	c := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund") //nolint:gosec // found in the PATH
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: npm ci: %w: %.300s", errAbsent, err, out)
	}
	return func(ctx context.Context, p *plan, path string) (optimum, error) {
		c := exec.CommandContext(ctx, node, "plans.mjs", strconv.Itoa(int(mostWait.Seconds())), path) //nolint:gosec // found in the PATH
		c.Dir = dir
		var said bytes.Buffer
		c.Stderr = &said
		out, err := c.Output()
		if err != nil {
			return optimum{}, fmt.Errorf("node: %w: %.300s", err, said.String())
		}
		var o optimum
		if err := json.Unmarshal(out, &o); err != nil {
			return optimum{}, fmt.Errorf("%w: %.200s", err, out)
		}
		if !o.Optimal {
			return optimum{}, errGaveUp
		}
		return o, nil
	}, nil
}

// plan is a problem, the same each time it is built.
type plan struct {
	name    string
	build   func() *lp.Problem
	squares bool
	by      string                         // the package that has other means
	exact   func() func() (optimum, error) // ours by those
}
