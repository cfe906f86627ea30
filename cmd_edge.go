package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

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

// joined is what connects a plant with others.
type joined struct {
	hub   *edge.Hub             // nil: no sites join this plant
	sites map[string]*edge.Site // by name
	leaf  *edge.Leaf            // nil: this plant is no site
	up    *edge.Uplink
}

// joinSites lets sites join the plant, and joins it to its own, as the configuration says.
func joinSites(p *platform.Plant, cfg *scenario.Config, log *slog.Logger) (_ *joined, err error) {
	j := &joined{sites: map[string]*edge.Site{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.close())
		}
	}()
	if cfg.Sites.Listen != "" {
		if err := j.listen(p, cfg, log); err != nil {
			return nil, err
		}
	}
	if cfg.Edge.Plant == "" {
		return j, nil
	}
	me, err := member(cfg.Edge.Name, cfg.Edge.Secret)
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS13}
	if cfg.Edge.CA != "" {
		if secure.RootCAs, err = trusted(cfg.Edge.CA); err != nil {
			return nil, err
		}
	}
	if j.leaf, err = edge.Join(cfg.Edge.Plant, me, secure, log); err != nil {
		return nil, err
	}
	if err := j.leaf.Serve(p.Orders().Handle); err != nil {
		return nil, err
	}
	j.up, err = p.Uplink(platform.UplinkOptions{Line: j.leaf, Verify: cfg.Edge.Verify, Hold: cfg.Edge.Hold})
	if err != nil {
		return nil, err
	}
	return j, nil
}

func (j *joined) listen(p *platform.Plant, cfg *scenario.Config, log *slog.Logger) error {
	var members []edge.Member
	for _, s := range cfg.Sites.List {
		m, err := member(s.Name, s.Secret)
		if err != nil {
			return err
		}
		members = append(members, m)
	}
	var secure *tls.Config
	if cfg.TLS.Cert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
		if err != nil {
			return fmt.Errorf("load the certificate: %w", err)
		}
		secure = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	}
	var err error
	if j.hub, err = edge.Listen(cfg.Sites.Listen, secure, members, log); err != nil {
		return err
	}
	for _, m := range members {
		down := edge.NewDownlink(j.hub.Line(m.Name), func() bool { return j.hub.Joined(m.Name) }, log)
		j.sites[m.Name] = p.Site(m.Name, down)
		if err := j.hub.Serve(m.Name, j.sites[m.Name].Handle); err != nil {
			return err
		}
	}
	return nil
}

// close is called before the plant is closed.
func (j *joined) close() (err error) {
	if j.hub != nil {
		err = j.hub.Close()
	}
	if j.leaf != nil {
		err = errors.Join(err, j.leaf.Close())
	}
	return err
}

// Figures of the links, for monitoring.
var (
	siteJoined   = prometheus.NewDesc("yunchu_site_joined", "Whether the site's link stands.", []string{"site"}, nil)
	siteReadings = prometheus.NewDesc("yunchu_site_readings_total", "Readings that came from the site.", []string{"site"}, nil)
	siteRefused  = prometheus.NewDesc("yunchu_site_refused_total", "Messages of the site that could not be taken.", []string{"site"}, nil)
	edgeUp       = prometheus.NewDesc("yunchu_edge_up", "Whether the plant of this site has answered the last request.", nil, nil)
	edgeBehind   = prometheus.NewDesc("yunchu_edge_behind_frames", "Frames of readings that the plant of this site does not have yet.", nil, nil)
	edgeSent     = prometheus.NewDesc("yunchu_edge_sent_readings_total", "Readings that the plant of this site has taken.", nil, nil)
	edgeRepaired = prometheus.NewDesc("yunchu_edge_repaired_readings_total", "Readings that were sent again because the histories differed.", nil, nil)
	edgeVerified = prometheus.NewDesc("yunchu_edge_verified_timestamp_seconds", "All readings before were compared with the plant's and the same.", nil, nil)
)

// Describe implements prometheus.Collector.
func (j *joined) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(j, out) }

// Collect implements prometheus.Collector.
func (j *joined) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	is := map[bool]float64{true: 1}
	for name, s := range j.sites {
		gauge(siteJoined, is[j.hub.Joined(name)], name)
		count(siteReadings, s.Readings.Load(), name)
		count(siteRefused, s.Refused.Load(), name)
	}
	if j.up != nil {
		s := j.up.State()
		gauge(edgeUp, is[s.Up])
		gauge(edgeBehind, float64(s.Behind))
		count(edgeSent, j.up.Sent.Load())
		count(edgeRepaired, j.up.Repaired.Load())
		gauge(edgeVerified, float64(s.Checked)/1000)
	}
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
