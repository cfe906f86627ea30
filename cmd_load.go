package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/load"
	"yunchu/harness/report"
	"yunchu/harness/scenario"
	"yunchu/platform"
)

// loadFlags are the flags of yunchu load.
type loadFlags struct {
	url, mqtt, token, ca string
	entry                scenario.LoadEntry
	limits               []string
	out                  string
	json, quiet, foreign bool
}

func loadCommand() *cobra.Command {
	f := loadFlags{entry: scenario.LoadEntry{}}
	c := &cobra.Command{
		Use:   "load [FILE]",
		Short: "Put load on a running plant over REST, GraphQL, MQTT or WebSocket, and score how it answers",
		Long: `Put load on a running plant, open loop: each request is due at its instant whatever
became of those before, and its latency counts from then. A FILE (kind: Load) has several
loads side by side; the flags make one. Without --limit the targets of the design are held:
p99 below 100 ms, availability above 99.9 %, sync delay below 1 s, nothing lost.

Readings are stored by the plant under the ids load-NAME-0001 …, commands move its devices.`,
		Example: `  YUNCHU_TOKEN=… yunchu load --api rest-sync --users 2000 --rate 10000 --for 60s --ramp 10s --out out
  yunchu load --api mqtt --mqtt mqtt://127.0.0.1:1883 --users 1000 --rate 2000 --for 30s
  yunchu load --api rest-read --closed --think 100ms --users 50 --for 30s --limit "latency_ms p99 < 50"
  yunchu load my-load.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := f.file(c, args)
			if err != nil {
				return fail(exitInput, err)
			}
			return f.run(c.Context(), file, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	p, e := c.Flags(), &f.entry
	p.StringVar(&f.url, "url", "", "of the API (default that of the file, or http://127.0.0.1:8080)")
	p.StringVar(&f.mqtt, "mqtt", "", "of the broker: mqtt://host:1883 or mqtts://host:8883")
	p.StringVar(&f.token, "token", "", "bearer token (default "+tokenVariable+" of the environment, which other users do not see)")
	p.StringVar(&f.ca, "insecure-ca", "", "PEM file of an authority that is trusted beside the system's")
	p.StringVar(&e.API, "api", "rest-sync", "rest-sync, rest-control, rest-read, graphql, mqtt or ws")
	p.IntVar(&e.Users, "users", 100, "users, each on a connection of its own")
	p.Float64Var(&e.Rate, "rate", 100, "requests a second of all users together")
	p.DurationVar(&e.For, "for", time.Minute, "how long")
	p.DurationVar(&e.Ramp, "ramp", 0, "the first part of it, in which the rate rises from 0")
	p.StringVar(&e.Arrivals, "arrivals", "even", "even or poisson")
	p.BoolVar(&e.Closed, "closed", false, "users wait for their answers, and think; no rate")
	p.DurationVar(&e.Think, "think", 0, "from an answer to the next request, with --closed")
	p.IntVar(&e.Batch, "batch", 1, "readings in a request of rest-sync and mqtt")
	p.IntVar(&e.Devices, "devices", 0, "devices that the users of rest-sync and mqtt speak for (default one each)")
	p.StringVar(&e.Ask, "ask", "", "which devices the other kinds ask for, a glob (default all)")
	p.StringVar(&e.Query, "query", "", "of graphql, with $id")
	p.StringArrayVar(&f.limits, "limit", nil, `what must hold, as in "latency_ms p99 < 100" or "data.lost == 0" (repeatable; default the design's targets)`)
	p.StringVar(&f.out, "out", "", "folder for report.html, report.json and junit.xml")
	p.BoolVar(&f.json, "json", false, "print the report as JSON on stdout")
	p.BoolVar(&f.quiet, "quiet", false, "no progress and no summary")
	p.BoolVar(&f.foreign, "yes-load-this-host", false, "put load on a host that is not this machine")
	return c
}

// shape are the flags that a file says instead.
var shape = []string{"api", "users", "rate", "for", "ramp", "arrivals", "closed", "think", "batch", "devices", "ask", "query"}

// file is the file that is named, or that the flags amount to.
func (f *loadFlags) file(c *cobra.Command, args []string) (*scenario.LoadFile, error) {
	changed := c.Flags().Changed
	var (
		file *scenario.LoadFile
		err  error
	)
	if len(args) == 1 {
		for _, name := range shape {
			if changed(name) {
				return nil, fmt.Errorf("--%s does not go with a file, which says it", name)
			}
		}
		file, err = scenario.LoadLoad(args[0], scenarioOptions())
	} else {
		if f.entry.API == "mqtt" && f.mqtt == "" {
			return nil, errors.New("say where the broker is: --mqtt mqtt://127.0.0.1:1883")
		}
		file, err = scenario.ParseLoad("flags", []byte(f.text(changed)), scenarioOptions())
	}
	if err != nil {
		return nil, err
	}
	if f.url != "" {
		file.URL = f.url
	}
	if f.mqtt != "" {
		file.MQTT = f.mqtt
	}
	if len(f.limits) > 0 {
		file.Score = nil
		for _, l := range f.limits {
			scores, err := f.limit(l, file)
			if err != nil {
				return nil, err
			}
			file.Score = append(file.Score, scores...)
		}
	}
	if len(file.Score) == 0 {
		file.Score = targets(file)
	}
	return file, nil
}

// text is the flags as a file, so that they are checked as one is.
func (f *loadFlags) text(changed func(string) bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: yunchu/v1\nkind: Load\nname: load\n")
	if f.mqtt != "" {
		fmt.Fprintf(&b, "mqtt: %q\n", f.mqtt)
	}
	e := &f.entry
	fmt.Fprintf(&b, "load:\n  - api: %q\n    for: %s\n", e.API, scenario.FormatDuration(e.For))
	for _, x := range []struct {
		name  string
		value any
	}{
		{"users", e.Users},
		{"rate", e.Rate},
		{"ramp", scenario.FormatDuration(e.Ramp)},
		{"arrivals", e.Arrivals},
		{"closed", e.Closed},
		{"think", scenario.FormatDuration(e.Think)},
		{"batch", e.Batch},
		{"devices", e.Devices},
		{"ask", fmt.Sprintf("%q", e.Ask)},
		{"query", fmt.Sprintf("%q", e.Query)},
	} {
		if changed(x.name) {
			fmt.Fprintf(&b, "    %s: %v\n", x.name, x.value)
		}
	}
	return b.String()
}

// limitForm is METRIC [STAT] OP NUMBER.
var limitForm = regexp.MustCompile(`^\s*([A-Za-z0-9_.-]+)\s*(min|max|mean|last|sum|count|p50|p90|p95|p99|p999)?\s*((?:<=|>=|==|<|>)\s*[-+0-9.eE]+)\s*$`)

// limit reads a limit; one on latency_ms, rate_per_s and so on holds for every load.
func (f *loadFlags) limit(text string, file *scenario.LoadFile) ([]scenario.Score, error) {
	wrong := func(why string) error {
		return fmt.Errorf("--limit %q: %s; write it as \"latency_ms p99 < 100\", \"error_ratio <= 0.001\" or \"data.lost == 0\"", text, why)
	}
	m := limitForm.FindStringSubmatch(text)
	if m == nil {
		return nil, wrong("is not a limit")
	}
	l, err := scenario.ParseLimit(m[3])
	if err != nil {
		return nil, wrong(err.Error())
	}
	var out []scenario.Score
	add := func(name string) error {
		def, known := scenario.FindMetric(name)
		if !known {
			return wrong("there is no metric " + m[1])
		}
		s := scenario.Score{Metric: name, Stat: m[2], Limit: l}
		if s.Stat == "" {
			s.Stat = def.Stat
		} else if def.Over == scenario.OverRun && s.Stat != def.Stat {
			return wrong(m[1] + " is one number and has no " + s.Stat)
		}
		out = append(out, s)
		return nil
	}
	if slices.Contains(scenario.LoadMetrics(), m[1]) || strings.HasPrefix(m[1], "api.") {
		err := add(m[1])
		return out, err
	}
	for i := range file.Load {
		if err := add("api." + file.Load[i].Name + "." + m[1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// targets are those of the design.
func targets(file *scenario.LoadFile) []scenario.Score {
	must := func(metric, stat, limit, requirement string) scenario.Score {
		l, err := scenario.ParseLimit(limit)
		if err != nil {
			panic(err) // a limit of ours
		}
		return scenario.Score{Metric: metric, Stat: stat, Limit: l, Requirement: requirement}
	}
	var out []scenario.Score
	sync, sends := false, false
	for i := range file.Load {
		l := &file.Load[i]
		if l.API == load.WS {
			out = append(out, must("api."+l.Name+".latency_ms", "p99", "< 1000", "DESIGN-SYNC-DELAY"))
		} else {
			out = append(out, must("api."+l.Name+".latency_ms", "p99", "< 100", "DESIGN-RESPONSE"))
		}
		sync = sync || l.API == load.RESTSync
		sends = sends || len(l.Senders()) > 0
	}
	out = append(out, must("availability_percent", "last", "> 99.9", "DESIGN-AVAILABILITY"))
	if sync {
		out = append(out, must("sync.delay_ms", "p99", "< 1000", "DESIGN-SYNC-DELAY"))
	}
	if sends {
		out = append(out, must("data.lost", "last", "== 0", ""))
	}
	return out
}

func (f *loadFlags) run(ctx context.Context, file *scenario.LoadFile, stdout, stderr io.Writer) error {
	t, err := f.target(file)
	if err != nil {
		return fail(exitInput, err)
	}
	opt := load.Options{Binary: binaryHash(), Version: platform.Version}
	var bar *progress
	if !f.quiet && !f.json {
		bar = newProgress(stderr, file.Name)
		opt.Progress = bar.load
	}
	r, err := load.Do(ctx, file, t, opt)
	if bar != nil {
		bar.clear()
	}
	switch {
	case ctx.Err() != nil && err != nil:
		return fail(exitInterrupted, errors.New("interrupted"))
	case errors.Is(err, load.ErrNotThere):
		return fail(exitEnvironment, err)
	case err != nil:
		return fail(exitInput, err)
	}
	if file.Path != "" && len(file.Inputs) > 0 && file.Path != "flags" {
		for _, path := range file.Inputs {
			h, err := report.HashFile(filepath.Base(path), path)
			if err != nil {
				return fail(exitEnvironment, err)
			}
			r.Inputs = append(r.Inputs, h)
		}
	}
	r.Tags = buildTags
	if f.out != "" {
		if err := report.Write(f.out, r); err != nil {
			return fail(exitEnvironment, err)
		}
	}
	switch {
	case f.json:
		err = writeJSON(stdout, &r.Report)
	case !f.quiet:
		if err = report.Text(stdout, &r.Report, isTerminal(stdout)); err == nil && f.out != "" {
			_, err = fmt.Fprintf(stdout, "report: %s\n", filepath.Join(f.out, "report.html"))
		}
	}
	if err != nil {
		return fail(exitEnvironment, err)
	}
	return silently(code(ctx, []*report.Report{&r.Report}))
}

// load shows how far a load has come.
func (p *progress) load(at, of time.Duration) {
	if !p.tty && at-p.last < 10*time.Second {
		return
	}
	p.last = at
	line := fmt.Sprintf("%s  %s of %s", p.name, scenario.FormatDuration(at.Round(time.Second)), scenario.FormatDuration(of))
	if p.tty {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	} else {
		fmt.Fprintln(p.w, line)
	}
}

// target is where the load goes. What is not this machine must have been meant.
func (f *loadFlags) target(file *scenario.LoadFile) (load.Target, error) {
	t := load.Target{Token: f.token}
	if t.Token == "" {
		t.Token = os.Getenv(tokenVariable)
	}
	if t.Token == "" {
		return t, fmt.Errorf("no token: set %s or give --token; readings need an engineer's", tokenVariable)
	}
	if strings.ContainsAny(t.Token, " \r\n\t") {
		return t, errors.New("the token has white space in it")
	}
	roots, err := f.roots()
	if err != nil {
		return t, err
	}
	for _, x := range []struct {
		text, plain, secure, port, securePort string
		address                               *string
		tls                                   **tls.Config
	}{
		{file.URL, "http", "https", "80", "443", &t.Address, &t.TLS},
		{file.MQTT, "mqtt", "mqtts", "1883", "8883", &t.Broker, &t.BrokerTLS},
	} {
		if x.text == "" {
			continue
		}
		u, err := url.Parse(x.text)
		if err != nil || u.Hostname() == "" || u.Scheme != x.plain && u.Scheme != x.secure || strings.Trim(u.Path, "/") != "" {
			return t, fmt.Errorf("%q is not %s://host:port", x.text, x.plain)
		}
		port := u.Port()
		if u.Scheme == x.secure {
			*x.tls = &tls.Config{RootCAs: roots, ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
			if port == "" {
				port = x.securePort
			}
		} else if port == "" {
			port = x.port
		}
		*x.address = net.JoinHostPort(u.Hostname(), port)
		if !f.foreign && !loopback(u.Hostname()) {
			return t, fmt.Errorf("%s is not this machine; --yes-load-this-host puts load on it", u.Hostname())
		}
	}
	return t, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// roots are the authorities that are trusted; nil: the system's.
func (f *loadFlags) roots() (*x509.CertPool, error) {
	if f.ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", f.ca)
	}
	return pool, nil
}
