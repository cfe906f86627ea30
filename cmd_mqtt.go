package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"yunchu/harness/links"
	"yunchu/harness/scenario"
	"yunchu/platform"
	"yunchu/platform/api/mqtt"
	"yunchu/platform/device"
)

// openBroker opens the embedded MQTT broker and its listener.
func openBroker(cfg *scenario.Config, o mqtt.Options, p *platform.Plant) (*mqtt.Broker, net.Listener, error) {
	o.Drivers = driversOf(cfg, p, o.Log)
	broker, err := mqtt.New(o)
	if err != nil {
		return nil, nil, err
	}
	address, secure := cfg.MQTT.Split()
	l, err := listenAt(address, cfg.TLS, secure, o.Log)
	return broker, l, err
}

// driversOf gives devices that speak MQTT to the plant.
func driversOf(cfg *scenario.Config, p *platform.Plant, log *slog.Logger) mqtt.Drivers {
	return mqtt.Drivers{
		Open: func(l *mqtt.Line) (device.Driver, error) { return links.Line(l, cfg.MQTT.Silence, log) },
		Take: func(ctx context.Context, s device.Slot, d device.Driver, listening func() bool) error {
			return p.Take(ctx, s, d, cfg.MQTT.Silence, listening)
		},
	}
}

// openBridge makes this plant a client of somebody else's broker.
func openBridge(cfg *scenario.Config, o mqtt.BridgeOptions, p *platform.Plant) (*mqtt.Bridge, error) {
	m := &cfg.MQTT
	o.Drivers = driversOf(cfg, p, o.Log)
	o.Address, o.Client, o.User, o.Register, o.Silence = m.Broker, m.Client, m.User, m.Register, m.Silence
	if m.Password != "" {
		b, err := os.ReadFile(m.Password)
		if err != nil {
			return nil, fmt.Errorf("password for the broker %s: %w", m.Broker, err)
		}
		o.Password = strings.TrimSpace(string(b))
	}
	if strings.HasPrefix(m.Broker, "tls://") {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if m.CA != "" {
			var err error
			if o.TLS.RootCAs, err = trusted(m.CA); err != nil {
				return nil, err
			}
		}
		if m.Cert != "" {
			pair, err := tls.LoadX509KeyPair(m.Cert, m.Key)
			if err != nil {
				return nil, fmt.Errorf("certificate for the broker %s: %w", m.Broker, err)
			}
			o.TLS.Certificates = []tls.Certificate{pair}
		}
	}
	return mqtt.NewBridge(o)
}
