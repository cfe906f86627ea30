package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"yunchu/harness/scenario"
	"yunchu/platform"
	"yunchu/platform/edge"
)

// Roles of a running plant.
const (
	rolePlant = "plant"
	roleEdge  = "edge"
)

// checkRole refuses a role that the configuration does not have, and the other way round: a
// site that was started as a plant would seem to work, and send nothing on.
func checkRole(role string, cfg *scenario.Config) error {
	switch {
	case role != rolePlant && role != roleEdge:
		return fmt.Errorf("--role %s: a role is %s or %s", role, rolePlant, roleEdge)
	case role == roleEdge && cfg.Edge.Plant == "":
		return errors.New("--role edge: the configuration has no edge: {name, plant, secret_file}, so there is nobody to send to")
	case role == rolePlant && cfg.Edge.Plant != "":
		return fmt.Errorf("%s: edge: is for serve --role edge", cfg.Path)
	}
	return nil
}

// part is something that runs beside a plant.
type part struct {
	run   func(context.Context) error
	close func() error
}

// joinSites lets sites join the plant, and joins it to its own, as the configuration says.
func joinSites(p *platform.Plant, cfg *scenario.Config, log *slog.Logger) (parts []part, err error) {
	defer func() {
		if err != nil {
			for _, x := range parts {
				err = errors.Join(err, x.close())
			}
			parts = nil
		}
	}()
	if cfg.Sites.Listen != "" {
		hub, err := listenForSites(p, cfg, log)
		if err != nil {
			return parts, err
		}
		parts = append(parts, part{close: hub.Close})
	}
	if cfg.Edge.Plant == "" {
		return parts, nil
	}
	me, err := member(cfg.Edge.Name, cfg.Edge.Secret)
	if err != nil {
		return parts, err
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS13}
	if cfg.Edge.CA != "" {
		if secure.RootCAs, err = trusted(cfg.Edge.CA); err != nil {
			return parts, err
		}
	}
	leaf, err := edge.Join(cfg.Edge.Plant, me, secure, log)
	if err != nil {
		return parts, err
	}
	parts = append(parts, part{close: leaf.Close})
	up, err := p.Uplink(platform.UplinkOptions{Line: leaf, Verify: cfg.Edge.Verify, Hold: cfg.Edge.Hold})
	if err != nil {
		return parts, err
	}
	return append(parts, part{run: up.Run, close: func() error { return nil }}), nil
}

func listenForSites(p *platform.Plant, cfg *scenario.Config, log *slog.Logger) (*edge.Hub, error) {
	var members []edge.Member
	for _, s := range cfg.Sites.List {
		m, err := member(s.Name, s.Secret)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	var secure *tls.Config
	if cfg.TLS.Cert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("load the certificate: %w", err)
		}
		secure = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	}
	hub, err := edge.Listen(cfg.Sites.Listen, secure, members, log)
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		if err := hub.Serve(m.Name, p.Site(m.Name).Handle); err != nil {
			return nil, errors.Join(err, hub.Close())
		}
	}
	return hub, nil
}

// member reads the secret of a site.
func member(name, file string) (edge.Member, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return edge.Member{}, fmt.Errorf("secret of the site %s: %w", name, err)
	}
	return edge.Member{Name: name, Secret: strings.TrimSpace(string(b))}, nil
}

// trusted reads certificates that are trusted.
func trusted(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}
