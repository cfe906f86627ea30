package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"yunchu/harness/load"
)

// aim is a figure that this program shall reach by itself.
type aim struct {
	name, what, aim string
	turn            func(ctx context.Context, o *options) ([]value, error)
}

// value is a part of what came of a turn.
type value struct {
	name string // with its unit, where it has one
	x    float64
}

func aims(o *options) []aim {
	return []aim{
		{
			"post", "one reading a POST, 256 connections, closed loop", "30,000/s, p99 below 25 ms",
			posts(func(s *load.Spec) { s.Users = 256 }),
		},
		{
			"open", "one reading a POST, 20,000/s from 2,000 users, open loop", "20,000/s, p99 below 50 ms",
			posts(func(s *load.Spec) {
				s.Users, s.Closed, s.Ramp = 2000, false, 3*ramp
				s.Profile = load.Steady(20_000, o.during+s.Ramp, s.Ramp)
			}),
		},
		{
			"array", "100 readings a POST, 64 connections, closed loop", "500,000/s, better 700,000",
			posts(func(s *load.Spec) { s.Users, s.Batch = 64, 100 }),
		},
		{
			"publish", "MQTT, QoS 1, PUBACK when it is durable, 2,000 connections, closed loop", "25,000/s",
			posts(func(s *load.Spec) { s.API, s.Users, s.Ramp = load.MQTT, 2000, 2*ramp }),
		},
		{
			"clients", fmt.Sprintf("%d WebSockets, 10 frames of 4 kB a second to each", o.clients), "p99 below 60 ms, 25 kB a client", clients,
		},
		{
			"idle", fmt.Sprintf("%d MQTT connections, of which 10 a second say something", o.idle), "500 MB", idle,
		},
		{
			"delay", fmt.Sprintf("from before a POST until it is heard, beside %d readings/s", underLoad), "p99 below 150 ms", delay,
		},
	}
}

// posts puts a load of readings on a plant.
func posts(as func(*load.Spec)) func(context.Context, *options) ([]value, error) {
	return func(ctx context.Context, o *options) ([]value, error) {
		p, err := serve(ctx, o)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		s := writers(o, p.address, 1)
		s.Broker = p.broker
		as(&s)
		s.Senders = senders(s.Users)
		s.Profile = longer(s, o)
		f, err := put(ctx, p.process, s)
		return []value{{"readings/s", f.rate}, {"p99, ms", f.p99}, {"server's µs for each", f.cpu}}, err
	}
}

// longer is the profile of a load, with the time in which users come before it.
func longer(s load.Spec, o *options) load.Profile {
	if s.Closed {
		return load.Steady(1, o.during+s.Ramp, 0)
	}
	return s.Profile
}

// measure takes the medians over the rounds.
func (a *aim) measure(ctx context.Context, o *options, w io.Writer) error {
	var seen [][]value
	for range o.rounds {
		v, err := a.turn(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		seen = append(seen, v)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s; the aim is %s (medians of %d turns of %v)\n", a.what, a.aim, o.rounds, o.during)
	for i := range seen[0] {
		var x []float64
		for _, v := range seen {
			x = append(x, v[i].x)
		}
		fmt.Fprintf(&b, "   %10.1f %s\n", median(x), seen[0][i].name)
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// busy is how many programs want a processor: what is measured beside others is worth
// less. It is empty where the system does not say.
func busy() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s: load average %s", time.Now().UTC().Format(time.RFC3339), strings.TrimSpace(string(b)))
}
