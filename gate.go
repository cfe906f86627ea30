package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"time"

	"yunchu/harness/scenario"
	"yunchu/platform/api"
	"yunchu/platform/auth"
)

// gate is who gets in, which can be changed while the plant runs.
type gate struct {
	authority *auth.Authority
	oidc      scenario.OIDC // as it is now
	config    string        // path of the configuration, empty without one
	secure    bool          // a certificate of our own
	limits    func(api.Limits)
	log       *slog.Logger
	hangup    <-chan os.Signal // from the start on: a SIGHUP would end the program else
}

func openGate(r auth.Records, cfg *scenario.Config, name string, now time.Time, log *slog.Logger) (*gate, error) {
	keys, err := auth.OpenKeys(jwtDir(cfg.Data), rand.Reader, now)
	if err != nil {
		return nil, fmt.Errorf("keys of access tokens: %w", err)
	}
	issuer, err := cfg.Access.OIDC.Verifier(log)
	if err != nil {
		return nil, err
	}
	a, err := auth.New(r, now, auth.Options{
		Static: os.Getenv(tokenVariable), Log: log, Keys: keys, Issuer: name, Users: cfg.Access.List(), Policies: cfg.Access.Rules, External: issuer,
	})
	return &gate{authority: a, oidc: cfg.Access.OIDC, config: cfg.Path, secure: cfg.TLS.Own, log: log, hangup: hangups()}, err
}

// run reads again what can be changed while the plant runs, at each SIGHUP until ctx ends.
func (g *gate) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.hangup:
			if err := g.reload(ctx); err != nil {
				g.log.Error("access is as it was: what was to be read again is wrong", "error", err)
			} else {
				g.log.Info("access read again; devices, their limits and all else of the configuration stay as they were at the start")
			}
		}
	}
}

func (g *gate) reload(ctx context.Context) error {
	if err := g.authority.Reload(time.Now()); err != nil {
		return err
	}
	if g.config == "" {
		return nil
	}
	cfg, err := scenario.LoadConfig(g.config, serveOptions(g.secure))
	if err != nil {
		return err
	}
	rules := cfg.Access.Rules
	if rules == nil {
		if rules, err = auth.ParsePolicies("", nil); err != nil {
			return err
		}
	}
	if !reflect.DeepEqual(cfg.Access.OIDC, g.oidc) {
		issuer, err := cfg.Access.OIDC.Verifier(g.log)
		if err != nil {
			return err
		}
		g.authority.SetExternal(issuer)
		g.oidc = cfg.Access.OIDC
	}
	g.authority.SetPolicies(rules)
	g.limits(limitsOf(cfg))
	return g.authority.Configure(ctx, cfg.Access.List())
}

func limitsOf(cfg *scenario.Config) api.Limits {
	l := cfg.Access.Limits
	return api.Limits{Queries: api.Rate(l.Queries), Commands: api.Rate(l.Commands), Telemetry: api.Rate(l.Telemetry)}
}
