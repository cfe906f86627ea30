package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"yunchu/harness/metric"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
)

// verifyAll is up to how many acknowledged readings each is looked for.
const verifyAll = 2_000_000

// Options are how a load file is put on.
type Options struct {
	Binary, Version string // of this program
	Progress        func(at, of time.Duration)
}

// Do puts the loads of a file on a plant that runs somewhere else, looks for what
// it has acknowledged, and scores it. An error means that it could not be done:
// [ErrNotThere], [ErrUnsupported].
func Do(ctx context.Context, f *scenario.LoadFile, t Target, opt Options) (*report.Run, error) {
	c := NewClient(t)
	defer c.Close()
	about, err := c.About(ctx)
	if err != nil {
		return nil, err
	}
	specs := make([]Spec, len(f.Load))
	for i := range f.Load {
		e := &f.Load[i]
		var asked []string
		if len(e.Senders()) == 0 {
			known, err := c.Devices(ctx, e.API == RESTControl)
			if err != nil {
				return nil, err
			}
			asked = f.Asked(e, known)
		}
		specs[i] = Of(e, t, asked, f.Seed+uint64(i)<<32)
		if err := specs[i].check(); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	used := processorTime()
	s := &session{file: f, collector: metric.New(metric.Config{}), acked: map[string][]int64{}, began: began}
	delays, failed := s.put(ctx, c, specs, opt.Progress)
	used = processorTime() - used
	wall := time.Since(began)
	interrupted := ctx.Err() != nil

	out := &report.Run{Report: report.Report{
		Scenario: f.Name, Description: f.Description, Seed: f.Seed, Clock: "wall", Binary: opt.Binary, Kernel: "none",
		SimS: wall.Seconds(), WallS: wall.Seconds(), Speed: 1, Devices: len(s.acked), Start: began.UTC(), Duration: length(f).Seconds(),
		Machine: fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
	}}
	if out.Scenario == "" {
		out.Scenario = "load"
	}
	var sent int64
	for i := range f.Load {
		l := &f.Load[i]
		out.Loads = append(out.Loads, report.LoadOf(l.Name, l.API, Shape(l), l.At, s.collector.Load(l.Name)))
		sent += out.Loads[i].Sent
		name := "api." + l.Name + ".latency_ms"
		if d := s.collector.Dist(name); d != nil && d.N() > 0 {
			out.Latency = append(out.Latency, report.HistogramOf(name, "ms", d))
		}
	}
	if delays.N() > 0 {
		out.Latency = append(out.Latency, report.HistogramOf("sync.delay_ms", "ms", delays))
	}
	out.Environment = s.environment(about, t, opt, used, wall, sent)
	if len(s.acked) > 0 && !interrupted {
		check, err := s.verify(ctx, c)
		if err != nil {
			return nil, err
		}
		out.Checks = append(out.Checks, check)
	}
	if failed > 0 {
		out.Checks = append(out.Checks, report.Check{Name: "probes-answered", Detail: fmt.Sprintf("%d readings that were to measure the sync delay could not be read back", failed)})
	}
	for _, sc := range f.Score {
		limit := ""
		if !sc.Limit.IsZero() {
			limit = sc.Limit.String()
		}
		out.Scores = append(out.Scores, report.Judge(s.collector, sc.Metric, sc.Stat, limit, sc.Requirement))
	}
	onTime := report.OnTime(out.Loads)
	out.Checks = append(out.Checks, onTime)
	report.Excuse(onTime, out.Scores)
	out.Events = map[string]int{}
	for _, err := range s.errs {
		out.EventLog = append(out.EventLog, report.Event{T: wall.Seconds(), Kind: "load", Severity: "warning", Text: err.Error()})
		out.Events["load"]++
	}
	out.Verdict = report.Decide(report.Outcome{Interrupted: interrupted}, out.Scores, out.Checks)
	return out, nil
}

type session struct {
	file      *scenario.LoadFile
	began     time.Time
	mu        sync.Mutex
	collector *metric.Collector
	acked     map[string][]int64
	errs      []error
}

func length(f *scenario.LoadFile) (d time.Duration) {
	for i := range f.Load {
		d = max(d, f.Load[i].At+f.Load[i].For)
	}
	return d
}

// put puts all loads on and measures the sync delay meanwhile, where the file
// asks for it.
func (s *session) put(ctx context.Context, c *Client, specs []Spec, progress func(at, of time.Duration)) (*metric.Dist, int64) {
	var loads, beside sync.WaitGroup
	besideCtx, stop := context.WithCancel(ctx)
	defer stop()
	delays, failed := metric.NewLatency(), int64(0)
	if slices.ContainsFunc(s.file.Score, func(x scenario.Score) bool { return x.Metric == "sync.delay_ms" }) {
		beside.Go(func() {
			d, n, acked := c.Delay(besideCtx)
			delays, failed = d, n
			s.mu.Lock()
			defer s.mu.Unlock()
			s.collector.SyncDelays(d)
			if len(acked) > 0 {
				s.acked[probe] = acked
			}
		})
	}
	if progress != nil {
		beside.Go(func() {
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					progress(time.Since(s.began), length(s.file))
				case <-besideCtx.Done():
					return
				}
			}
		})
	}
	for i := range specs {
		loads.Go(func() {
			select {
			case <-time.After(time.Until(s.began.Add(s.file.Load[i].At))):
			case <-ctx.Done():
				return
			}
			r, err := Run(ctx, specs[i])
			s.mu.Lock()
			defer s.mu.Unlock()
			if err = errors.Join(err, r.Err); err != nil {
				s.errs = append(s.errs, err)
			}
			if r.Load == nil {
				return
			}
			s.collector.Load(specs[i].Name).Merge(r.Load)
			for id, at := range r.Acked {
				s.acked[id] = append(s.acked[id], at...)
			}
		})
	}
	loads.Wait()
	stop()
	beside.Wait()
	return delays, failed
}

// verify is the check that nothing that was acknowledged is lost.
func (s *session) verify(ctx context.Context, c *Client) (report.Check, error) {
	v, err := c.Verify(ctx, s.acked, verifyAll)
	if err != nil {
		return report.Check{}, err
	}
	s.collector.Data(v.Looked, v.Lost)
	check := report.Check{Name: scenario.CheckReadings, Pass: v.Lost == 0 && v.Looked > 0, Inconclusive: v.Looked == 0}
	check.Detail = fmt.Sprintf("%d acknowledged readings, all in the history", v.Looked)
	if v.Lost > 0 {
		check.Detail = fmt.Sprintf("%d of %d acknowledged readings are not in the history, among them %s", v.Lost, v.Looked, v.Example)
	}
	if v.Looked < v.Acked {
		check.Detail += fmt.Sprintf(" (of %d devices, a sample of %d readings)", v.Devices, v.Acked)
	}
	return check, nil
}

func (s *session) environment(a About, t Target, opt Options, used, wall time.Duration, sent int64) []report.Fact {
	facts := []report.Fact{
		{Name: "Target", Value: fmt.Sprintf("%s, %s %s", t.Address, a.Name, a.Version)},
		{Name: "Target binary", Value: a.Binary},
		{Name: "Generator", Value: fmt.Sprintf("yunchu %s, %s", opt.Version, runtime.Version())},
	}
	if len(a.Tags) > 0 {
		facts[0].Value += ", tags " + strings.Join(a.Tags, " ")
	}
	if a.Simulation {
		facts[0].Value += ", with simulation"
	}
	if t.Broker != "" {
		facts = append(facts, report.Fact{Name: "Broker", Value: t.Broker})
	}
	if used > 0 && sent > 0 {
		facts = append(facts, report.Fact{Name: "Generator CPU", Value: fmt.Sprintf("%.0f %% of one core, %.1f µs a request",
			100*used.Seconds()/wall.Seconds(), float64(used.Microseconds())/float64(sent))})
	}
	return facts
}
