package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yunchu/harness/links"
	"yunchu/harness/scenario"
	"yunchu/hil"
	"yunchu/platform"
	"yunchu/platform/api"
	"yunchu/platform/api/mqtt"
	"yunchu/platform/auth"
	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/dispatch"
	"yunchu/platform/ops"
	"yunchu/platform/sched"
	"yunchu/platform/store/series"
	"yunchu/web"
)

// tokenVariable holds an engineer token for automation.
const tokenVariable = "YUNCHU_TOKEN"

func serveCommand() *cobra.Command {
	var config, listen, role string
	var secure bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the production runtime",
		Long: `Run the production runtime: ingest, history, dispatch, API and portal, with the data
in ./data unless a configuration says otherwise. The first start prints a setup token
that makes the first administrator.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg := scenario.DefaultConfig()
			if config != "" {
				var err error
				if cfg, err = scenario.LoadConfig(config, serveOptions(secure)); err != nil {
					return fail(exitInput, err)
				}
			}
			if err := errors.Join(notYet(cfg), checkRole(role, cfg)); err != nil {
				return fail(exitInput, err)
			}
			if listen != "" {
				cfg.Listen = listen
			}
			cfg.TLS.Own = secure && cfg.TLS.Cert == ""
			return serve(c.Context(), cfg, c.ErrOrStderr())
		},
	}
	c.Flags().StringVarP(&config, "config", "c", "", "configuration file; without one everything has its default")
	c.Flags().StringVar(&listen, "listen", "", "address instead of the configuration's, such as 127.0.0.1:8080")
	c.Flags().BoolVar(&secure, "tls", false, "encrypt, with a certificate of its own where the configuration has none")
	c.Flags().StringVar(&role, "role", rolePlant, "plant, or edge: a site that keeps what it reads and sends it on to its plant")
	return c
}

// serveOptions are how a configuration is read: secure says that a certificate is made where
// it names none.
func serveOptions(secure bool) scenario.Options {
	o := scenarioOptions()
	o.OwnCertificate = secure
	return o
}

// notYet refuses what a configuration may say and this version does not do: a
// promise that is read and not kept is worse than none.
func notYet(cfg *scenario.Config) error {
	if cfg.NATS.Credentials != "" {
		return fmt.Errorf("%s: nats.credentials: this version joins clusters without credentials only", cfg.Path)
	}
	return nil
}

// serve runs a plant on the wall clock until ctx ends.
func serve(ctx context.Context, cfg *scenario.Config, stderr io.Writer) (err error) {
	private()
	if t := os.Getenv(tokenVariable); t != "" && len(strings.TrimSpace(t)) < auth.MinStatic {
		return fail(exitInput, fmt.Errorf("%s is a token of at least %d characters; leave it out or make it longer", tokenVariable, auth.MinStatic))
	}
	log := logger(stderr, slog.LevelInfo)
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return fail(exitEnvironment, fmt.Errorf("make the data folder: %w", err))
	}
	if info, err := os.Stat(cfg.Data); err == nil && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		log.Warn("others may look into the data folder; chmod 700 closes it", "folder", cfg.Data, "mode", info.Mode().Perm().String())
	}
	if _, err := ops.Prepare(cfg.Data, platform.Version, time.Now(), log); err != nil {
		return fail(exitEnvironment, err)
	}
	if err := ownCertificate(cfg, time.Now(), stderr); err != nil {
		return fail(exitEnvironment, err)
	}
	l, err := listenOn(cfg, log)
	if err != nil {
		return fail(exitEnvironment, err)
	}
	b, err := openBus(cfg, log)
	if err != nil {
		return fail(exitEnvironment, errors.Join(fmt.Errorf("open the bus: %w", err), l.Close()))
	}
	defer func() { err = errors.Join(err, closing("bus", b.Close())) }()
	started := time.Now()
	s := sched.New(sched.NewWall())
	var p *platform.Plant
	pc := platform.Config{
		Name: cfg.Name, Bus: b, Sched: s, Log: log, Dir: cfg.Data, Period: 500 * time.Millisecond,
		Dispatch:   cfg.Dispatch.Settings(),
		Limits:     limitsWithin(cfg),
		RampKWPerS: cfg.Dispatch.Ramp, Lease: cfg.Guard.Lease, CommandsPerS: cfg.Guard.CommandsPerS,
		Retain: cfg.Retention.Control, RetainHistory: cfg.Retention.History, Tiers: tiers(cfg.Retention.Tiers),
		Audit: true,
	}
	if pc.Postgres, err = historyServer(cfg); err != nil {
		return fail(exitInput, errors.Join(err, l.Close()))
	}
	remote, err := remoteWriters(cfg, b, &p, log)
	if err != nil {
		return fail(exitEnvironment, errors.Join(err, l.Close()))
	}
	pc.Needs = remote.needs
	for _, r := range cfg.Quality {
		pc.Quality = append(pc.Quality, platform.QualityRule{Devices: r.Devices, Profile: r.Profile})
	}
	if t := cfg.Dispatch.Target; t != nil {
		pc.Initial = func(now time.Time) platform.Target {
			return platform.Target{KW: t.Series.At(time.Duration(now.UnixNano())), Import: t.Import, Enabled: true}
		}
	}
	if d := cfg.Dispatch.Droop; d != nil {
		pc.Droop, pc.Hertz = d.Device(), device.ID(d.Meter)
	}
	if own := slices.ContainsFunc(pc.Limits, func(l dispatch.Limit) bool { return l.Target != nil }); pc.Initial == nil && (own || pc.Droop != nil) {
		// It needs no target of the fleet, only that nobody has switched dispatch off.
		pc.Initial = func(time.Time) platform.Target { return platform.Target{KW: math.NaN(), Enabled: true} }
	}
	if meter := device.ID(cfg.Site.Meter); meter != "" {
		pc.Site = func(now time.Time) platform.Site { return p.Metered(now, meter) }
	}
	tapes := recordings(cfg, log)
	defer tapes.close()
	p, err = platform.New(pc)
	if err != nil {
		return fail(exitEnvironment, errors.Join(err, l.Close()))
	}
	defer func() { err = errors.Join(err, closing("plant", p.Close())) }()
	if err := addDevices(ctx, p, pc, cfg, tapes); err != nil {
		return errors.Join(err, l.Close())
	}
	sites, err := joinSites(p, cfg, log)
	if err != nil {
		return fail(exitEnvironment, errors.Join(err, l.Close()))
	}
	defer func() { err = errors.Join(err, closing("links", sites.close())) }()
	parts := []func(context.Context) error{func(ctx context.Context) error { return s.Run(ctx, time.Time{}) }, p.Run, remote.run}
	if sites.up != nil {
		parts = append(parts, sites.up.Run)
	}
	figures := remote.figures()
	figures.MustRegister(sites, tapes)
	if len(pc.Limits) > 0 || cfg.Dispatch.Rest {
		figures.MustRegister(limitFigures{p, pc.Limits})
	}
	if h, ok := p.History.(series.Elsewhere); ok {
		historyFigures(figures, h)
	}
	name := cmp.Or(cfg.Name, "yunchu")
	gate, err := openGate(p.Records(), cfg, name, started, log)
	if err != nil {
		return fail(exitEnvironment, errors.Join(err, l.Close()))
	}
	authority := gate.authority
	parts = append(parts, gate.run)
	about := platform.AboutThis(name, binaryHash(), buildTags, cfg.Simulation, started)
	face := p.Face(about, nil)
	server, err := api.New(api.Options{Plant: face, Auth: authority, Bus: b, Log: log, UI: web.Dist, Now: s.Now, Metrics: figures, Limits: limitsOf(cfg)})
	if err != nil {
		return fail(exitEnvironment, errors.Join(err, l.Close()))
	}
	gate.limits = server.SetLimits
	front := []func(context.Context) error{func(ctx context.Context) error { return server.Serve(ctx, l) }}
	if cfg.MQTT.Listen != "" {
		broker, at, err := openBroker(cfg, mqtt.Options{
			API: server, Registry: face.Registry, Bus: b, Log: log, Now: s.Now, Metrics: figures, MaxClients: cfg.MQTT.MaxClients,
		}, p)
		if err != nil {
			return fail(exitEnvironment, errors.Join(err, l.Close()))
		}
		front = append(front, func(ctx context.Context) error { return broker.Serve(ctx, at) })
		fmt.Fprintf(stderr, "mqtt on %s\n", at.Addr())
	}
	if cfg.MQTT.Broker != "" {
		bridge, err := openBridge(cfg, mqtt.BridgeOptions{
			API: server, Registry: face.Registry, Bus: b, Log: log, Now: s.Now, Metrics: figures,
		}, p)
		if err != nil {
			return fail(exitEnvironment, errors.Join(err, l.Close()))
		}
		front = append(front, bridge.Run)
	}
	if secret, open, err := authority.NewSetup(started); err != nil {
		return fail(exitEnvironment, errors.Join(err, l.Close()))
	} else if open {
		fmt.Fprintf(stderr, "setup token: %s\n  valid for an hour, for one use: POST /api/v1/setup {\"token\", \"user\", \"password\"}\n", secret)
	}
	if err := p.Start(context.WithoutCancel(ctx), s.Now()); err != nil {
		return fail(exitEnvironment, errors.Join(err, l.Close()))
	}
	fmt.Fprintf(stderr, "listening on %s://%s\n", scheme(cfg), l.Addr())
	return runAll(ctx, b, func(ctx context.Context) error { return together(ctx, front) }, parts...)
}

// limitsWithin are the limits of groups, those of the configuration within the site's own.
func limitsWithin(cfg *scenario.Config) []dispatch.Limit {
	list := cfg.Dispatch.GroupLimits(func(now time.Time) time.Duration { return time.Duration(now.UnixNano()) })
	if cfg.Site.ImportLimitKW == nil {
		return list
	}
	site := dispatch.Limit{Name: "import_limit_kw", Import: *cfg.Site.ImportLimitKW, Export: math.Inf(1), Meter: device.ID(cfg.Site.Meter)}
	for i := range list {
		if list[i].Within == "" {
			list[i].Within = site.Name
		}
	}
	return append(list, site)
}

// tiers are what is stored of readings in steps.
func tiers(list []scenario.Tier) (out []series.Tier) {
	for _, t := range list {
		out = append(out, series.Tier{Step: t.Step, Keep: t.Keep})
	}
	return out
}

// together runs the listeners until ctx ends or one of them fails.
func together(ctx context.Context, list []func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make(chan error, len(list))
	for _, serve := range list {
		go func() {
			defer stop() // without one of them the others are no plant either
			errs <- serve(ctx)
		}()
	}
	var all []error
	for range list {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// runAll runs the parts of a plant until ctx ends or one of them fails, then
// waits for all. The front ends first: what it has begun needs the others to end.
func runAll(ctx context.Context, b bus.Bus, front func(context.Context) error, others ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	behind, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	errs := make(chan error, 1+len(others))
	go func() {
		err := front(ctx)
		end()
		errs <- err
	}()
	for _, run := range others {
		go func() {
			err := run(behind)
			stop()
			errs <- err
		}()
	}
	if f, ok := b.(interface{ Failed() <-chan struct{} }); ok {
		go func() {
			select {
			case <-f.Failed(): // nothing can be acknowledged any more
				stop()
			case <-ctx.Done():
			}
		}()
	}
	var all []error
	for range cap(errs) {
		if err := <-errs; err != nil && !errors.Is(err, context.Canceled) {
			all = append(all, err)
		}
	}
	if f, ok := b.(interface{ Err() error }); ok {
		all = append(all, f.Err())
	}
	if err := errors.Join(all...); err != nil {
		return fail(exitEnvironment, err)
	}
	return nil
}

func closing(what string, err error) error {
	if err == nil {
		return nil
	}
	return fail(exitEnvironment, fmt.Errorf("close the %s: %w", what, err))
}

func openBus(cfg *scenario.Config, log *slog.Logger) (bus.Bus, error) {
	return nats.Open(nats.Options{Dir: busDir(cfg), URL: cfg.NATS.URL, Replicas: cfg.NATS.Replicas, MaxInFlight: inFlight, Log: log, Reserve: diskReserve})
}

// diskReserve is how many bytes of the disk are kept for commands.
const diskReserve = 16 << 20

// busDir is the folder of the embedded bus, empty for an external one.
func busDir(cfg *scenario.Config) string {
	if cfg.NATS.URL != "" {
		return ""
	}
	return filepath.Join(cfg.Data, "bus")
}

// addDevices serves the devices of the configuration. One on a wire need not be there:
// it is looked for until it answers, and acts once somebody has armed it.
func addDevices(ctx context.Context, p *platform.Plant, on platform.Config, cfg *scenario.Config, tapes *recorder) error {
	var (
		simulated []scenario.ConfigDevice
		wired     []platform.Wired
	)
	configured := func(id device.ID) bool {
		return slices.ContainsFunc(cfg.Devices, func(d scenario.ConfigDevice) bool { return device.ID(d.ID) == id })
	}
	if err := p.Rest(ctx, configured); err != nil {
		return fail(exitEnvironment, err)
	}
	for _, d := range cfg.Devices {
		switch d.Kind {
		case scenario.Sim:
			if !cfg.Simulation {
				return fail(exitInput, fmt.Errorf("device %s is simulated: serve takes simulated devices only where the configuration says simulation: true", d.ID))
			}
			simulated = append(simulated, d)
			continue
		case scenario.MMS:
			return fail(exitEnvironment, fmt.Errorf("device %s: kind %s cannot be opened by this version", d.ID, d.Kind))
		}
		w, err := openWire(&d, p, on, tapes)
		if err != nil {
			return fail(exitInput, fmt.Errorf("device %s: %w", d.ID, err))
		}
		if d.Kind == scenario.Replay {
			w.Info.State = device.Active
			if err := p.Add(ctx, []device.Info{w.Info}, device.Solo(w.Driver)); err != nil {
				return fail(exitEnvironment, err)
			}
			continue
		}
		wired = append(wired, w)
		if d.Shadow != nil {
			simulated = append(simulated, d)
		}
	}
	if err := p.Attach(ctx, wired); err != nil {
		return fail(exitEnvironment, err)
	}
	if len(simulated) > 0 {
		if err := addSimulated(ctx, p, on, simulated, filepath.Dir(cfg.Path)); err != nil {
			return err
		}
	}
	if err := p.Fuse(ctx, fusions(cfg.Fusion)); err != nil {
		return fail(exitEnvironment, err)
	}
	return nil
}

// fusions are the devices of a configuration that are made of others.
func fusions(list []scenario.Fusion) (out []platform.Fusion) {
	from := func(ids []string, tolerance float64) platform.Fused {
		f := platform.Fused{Tolerance: tolerance}
		for _, id := range ids {
			f.From = append(f.From, device.ID(id))
		}
		return f
	}
	for _, f := range list {
		out = append(out, platform.Fusion{
			ID: device.ID(f.ID), MaxAge: f.MaxAge,
			SoC: from(f.SoC.From, f.SoC.Tolerance), SoH: from(f.SoH.From, f.SoH.Tolerance),
			Voltage: from(f.Voltage.From, f.Voltage.Tolerance), Current: from(f.Current.From, f.Current.Tolerance),
			Power: from(f.Power.From, f.Power.Tolerance), Temperature: from(f.Temperature.From, f.Temperature.Tolerance),
		})
	}
	return out
}

// openWire opens the driver of a device on a wire, or of a recording.
func openWire(d *scenario.ConfigDevice, p *platform.Plant, on platform.Config, tapes *recorder) (platform.Wired, error) {
	spec, err := links.Of(&d.Device, on.Log)
	if err != nil {
		return platform.Wired{}, err
	}
	spec.Started = on.Sched.Now()
	twin, err := twinOf(&d.Device)
	if err != nil {
		return platform.Wired{}, err
	}
	w := platform.Wired{Info: spec.Info(), Period: d.Poll, Twin: twin}
	w.Info.Use = d.Use()
	if roll := tapes.begin(&d.Device, &spec, p); roll != nil {
		w.Told = roll.Told
	}
	w.Driver, err = hil.Open(spec)
	return w, err
}
