package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"yunchu/harness/load"
)

// publishers is the load that both brokers get.
func publishers(o *options, broker string) load.Spec {
	s := writers(o, "", 1)
	s.API, s.Broker = load.MQTT, broker
	return s
}

func oursMQTT() peer {
	return peer{
		name: "yunchu serve", promise: "kept: PUBACK after the log is synced; the taker is its own history",
		turn: func(ctx context.Context, o *options) (figure, error) {
			p, err := serve(ctx, o)
			if err != nil {
				return figure{}, err
			}
			defer p.stop()
			return put(ctx, p.process, publishers(o, p.broker))
		},
	}
}

// mosquittoConfig leaves persistence as it is without a word: off. Where it is on, the
// broker writes all it has in memory now and then, and answers without waiting for that.
const mosquittoConfig = `listener %s %s
allow_anonymous true
max_queued_messages 0
log_type error
`

func mosquitto() peer {
	return peer{
		name: "Mosquitto 2.0", promise: "lost: PUBACK says that it is in memory (persistence writes a snapshot now and then)",
		turn: func(ctx context.Context, o *options) (figure, error) {
			program, err := find("mosquitto", "mosquitto", "/usr/sbin")
			if err != nil {
				return figure{}, err
			}
			taker, err := find("mosquitto_sub", "mosquitto-clients")
			if err != nil {
				return figure{}, err
			}
			dir, err := os.MkdirTemp(o.dir, "mosquitto-")
			if err != nil {
				return figure{}, err
			}
			at, err := free()
			if err != nil {
				return figure{}, err
			}
			host, port, err := net.SplitHostPort(at)
			if err != nil {
				return figure{}, err
			}
			config := filepath.Join(dir, "mosquitto.conf")
			if err := os.WriteFile(config, fmt.Appendf(nil, mosquittoConfig, port, host), 0o644); err != nil { //nolint:gosec // another user reads it
				return figure{}, err
			}
			p, err := start(dir, nil, program, "-c", config)
			if err != nil {
				return figure{}, err
			}
			defer p.stop()
			if err := p.until(ctx, open(at)); err != nil {
				return figure{}, err
			}
			ctx, enough := context.WithCancel(ctx)
			defer enough()
			listener := exec.CommandContext(ctx, taker, "-h", host, "-p", port, "-q", "1", "-t", "device/+/data")
			listener.WaitDelay = time.Second
			if err := listener.Start(); err != nil { // what it hears goes nowhere
				return figure{}, err
			}
			defer listener.Wait() //nolint:errcheck // it is killed
			defer enough()
			return put(ctx, p, publishers(o, at))
		},
	}
}
