package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"yunchu/harness/load"
)

// writers is the load that all who speak HTTP get.
func writers(o *options, address string, batch int) load.Spec {
	s := load.Spec{
		Target: load.Target{Address: address, Token: token}, Name: "peers", API: load.RESTSync, Users: o.users, Batch: batch,
		Profile: load.Steady(1, o.during+ramp, 0), Closed: true, Ramp: ramp, Seed: 1,
	}
	s.Senders = senders(o.users)
	return s
}

// senders are the devices of so many users, one each.
func senders(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("peers-%04d", i)
	}
	return out
}

// ramp is in which users come, one after the other.
const ramp = time.Second

// put puts a load on a server; one error makes the turn worthless. Rates are of readings.
func put(ctx context.Context, on *process, s load.Spec) (figure, error) {
	before, err := on.used()
	if err != nil {
		return figure{}, err
	}
	r, err := load.Run(ctx, s)
	if err != nil {
		return figure{}, err
	}
	after, err := on.used()
	if err != nil {
		return figure{}, err
	}
	c := r.Load.Counts()
	if c.OK < c.Sent || r.Err != nil {
		return figure{}, fmt.Errorf("%d of %d requests failed: %w", c.Sent-c.OK, c.Sent, r.Err)
	}
	all := 0 // also those of the ramp, which cost as much
	for _, at := range r.Acked {
		all += len(at)
	}
	return figure{
		rate: float64(c.Readings) / c.Seconds, p99: r.Load.Latency().Quantile(0.99),
		cpu: float64((after - before).Microseconds()) / float64(all),
	}, nil
}

func oursStoring(batch int) peer {
	return peer{
		name: "yunchu serve", promise: "kept: the log is synced before the answer",
		turn: func(ctx context.Context, o *options) (figure, error) {
			p, err := serve(ctx, o)
			if err != nil {
				return figure{}, err
			}
			defer p.stop()
			return put(ctx, p.process, writers(o, p.address, batch))
		},
	}
}

// influxConfig has the durability of the defaults written out. It stores nothing of its
// own and writes no log of requests, which would cost it something.
const influxConfig = `reporting-disabled = true
bind-address = %q
[meta]
  dir = %q
[data]
  dir = %q
  wal-dir = %q
  wal-fsync-delay = "0s"
[monitor]
  store-enabled = false
[continuous_queries]
  enabled = false
[http]
  bind-address = %q
  log-enabled = false
`

func influxStoring(batch int) peer {
	return peer{
		name: "InfluxDB 1.6", promise: `kept: wal-fsync-delay = "0s", the default, syncs the WAL before the answer`,
		turn: func(ctx context.Context, o *options) (figure, error) {
			program, err := find("influxd", "influxdb")
			if err != nil {
				return figure{}, err
			}
			dir, err := os.MkdirTemp(o.dir, "influxdb-")
			if err != nil {
				return figure{}, err
			}
			at, err := free()
			if err != nil {
				return figure{}, err
			}
			rpc, err := free()
			if err != nil {
				return figure{}, err
			}
			in := func(name string) string { return filepath.Join(dir, name) }
			text := fmt.Sprintf(influxConfig, rpc, in("meta"), in("data"), in("wal"), at)
			if err := os.WriteFile(in("influxdb.conf"), []byte(text), 0o600); err != nil {
				return figure{}, err
			}
			p, err := start(dir, nil, program, "-config", in("influxdb.conf"))
			if err != nil {
				return figure{}, err
			}
			defer p.stop()
			if err := p.until(ctx, func() error { return answers(ctx, "http://"+at+"/ping") }); err != nil {
				return figure{}, err
			}
			if err := query(ctx, at, "CREATE DATABASE peers"); err != nil {
				return figure{}, err
			}
			s := writers(o, at, batch)
			s.Path, s.Form = "/write?db=peers&precision=ms", &lineProtocol
			return put(ctx, p, s)
		},
	}
}

func query(ctx context.Context, address, text string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/query?q="+url.QueryEscape(text), nil)
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("InfluxDB answers %q with %s", text, a.Status)
	}
	return nil
}

// lineProtocol is the same reading in the words of InfluxDB.
var lineProtocol = load.Form{Between: "\n", Append: func(b []byte, s *load.Sample) []byte {
	b = append(b, "reading,device="...)
	b = append(b, s.Device...)
	b = append(b, " soc="...)
	b = load.AppendFixed(b, s.SoC, 2)
	b = append(b, ",voltage="...)
	b = load.AppendFixed(b, s.Volts, 1)
	b = append(b, ",current="...)
	b = load.AppendFixed(b, s.Amps, 1)
	b = append(b, ",power="...)
	b = load.AppendFixed(b, s.KW, 2)
	b = append(b, ",temperature="...)
	b = load.AppendFixed(b, s.Celsius, 1)
	b = append(b, `,status="charging" `...)
	return strconv.AppendInt(b, s.At, 10)
}}

// postgresTable is what history amounts to there: found by device and time.
const postgresTable = `CREATE TABLE reading (device text NOT NULL, at timestamptz NOT NULL, soc real, voltage real, current real,
  power real, temperature real, status text, PRIMARY KEY (device, at))`

// postgresStoring is written to by pgbench, PostgreSQL's own client in C.
func postgresStoring(batch int) peer {
	return peer{
		name: "PostgreSQL 15", promise: "kept: synchronous_commit = on, the default, syncs the WAL before the answer",
		turn: func(ctx context.Context, o *options) (figure, error) {
			d, err := startPostgres(ctx, o)
			if err != nil {
				return figure{}, err
			}
			defer d.stop()
			if err := d.as("psql", d.where("-q", "-c", postgresTable)...); err != nil {
				return figure{}, err
			}
			return d.bench(ctx, o, batch)
		},
	}
}

type postgres struct {
	*process
	bin, host, port string
}

func startPostgres(ctx context.Context, o *options) (*postgres, error) {
	const home = "/usr/lib/postgresql/15/bin"
	if _, err := find("pgbench", "postgresql", home); err != nil {
		return nil, err
	}
	at, err := free()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.dir, "postgresql-")
	if err != nil {
		return nil, err
	}
	d := &postgres{bin: home}
	if d.host, d.port, err = net.SplitHostPort(at); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 { // it does not run as root
		if out, err := exec.CommandContext(ctx, "chown", "postgres", dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: user postgres: %s", errAbsent, out)
		}
	}
	d.process = &process{dir: dir}
	data := filepath.Join(dir, "data")
	if err := d.as("initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	name, args := d.command("postgres", "-D", data, "-h", d.host, "-p", d.port, "-k", dir,
		"-c", "fsync=on", "-c", "synchronous_commit=on", "-c", fmt.Sprintf("max_connections=%d", o.users+20))
	if d.process, err = start(dir, nil, name, args...); err != nil {
		return nil, err
	}
	if err := d.until(ctx, func() error { return d.as("psql", d.where("-q", "-c", "SELECT 1")...) }); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

// command is a program of PostgreSQL, run as its user where we are root.
func (d *postgres) command(name string, args ...string) (string, []string) {
	path := filepath.Join(d.bin, name)
	if os.Getuid() != 0 {
		return path, args
	}
	return "setpriv", append([]string{"--reuid=postgres", "--regid=postgres", "--clear-groups", path}, args...)
}

func (d *postgres) as(name string, args ...string) error {
	name, args = d.command(name, args...)
	c := exec.Command(name, args...) //nolint:noctx // it is done in a moment
	c.Dir = d.dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (d *postgres) where(args ...string) []string {
	return append([]string{"-h", d.host, "-p", d.port, "-U", "postgres"}, args...)
}

// bench puts the load on. A single row is a statement that is prepared once; one of many
// is a text that is parsed each time, as the bodies of the others are.
func (d *postgres) bench(ctx context.Context, o *options, batch int) (figure, error) {
	var b strings.Builder
	b.WriteString("INSERT INTO reading VALUES ")
	for i := range batch {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "('peers-' || :client_id, clock_timestamp() + interval '%d us', %d.25, 382.4, 101.3, 38.74, 25.4, 'charging')", i, 20+i%60)
	}
	b.WriteString(" ON CONFLICT DO NOTHING;\n")
	script := filepath.Join(d.dir, "script.sql")
	if err := os.WriteFile(script, []byte(b.String()), 0o644); err != nil { //nolint:gosec // another user reads it
		return figure{}, err
	}
	mode := "prepared"
	if batch > 1 {
		mode = "simple"
	}
	seconds := max(int((o.during + ramp).Seconds()), 2)
	before, err := d.used()
	if err != nil {
		return figure{}, err
	}
	if err := d.as("pgbench", d.where("-n", "-M", mode, "-c", strconv.Itoa(o.users), "-j", "2", "-T", strconv.Itoa(seconds),
		"-f", script, "-l", "--log-prefix", filepath.Join(d.dir, "log"), "postgres")...); err != nil {
		return figure{}, err
	}
	after, err := d.used()
	if err != nil {
		return figure{}, err
	}
	f, err := d.read(batch, seconds, ctx.Err())
	f.cpu = float64((after - before).Microseconds()) / max(1, f.rate*float64(seconds))
	return f, err
}

// read takes the latencies from what pgbench has written: client, number, µs, …
func (d *postgres) read(batch, seconds int, err error) (figure, error) {
	if err != nil {
		return figure{}, err
	}
	logs, err := filepath.Glob(filepath.Join(d.dir, "log.*"))
	if err != nil {
		return figure{}, err
	}
	var ms []float64
	for _, path := range logs {
		f, err := os.Open(path)
		if err != nil {
			return figure{}, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			us, err := strconv.ParseFloat(strings.Fields(lines.Text())[2], 64)
			if err != nil {
				return figure{}, fmt.Errorf("%s: %w", path, err)
			}
			ms = append(ms, us/1000)
		}
		if err := f.Close(); err != nil {
			return figure{}, err
		}
	}
	if len(ms) == 0 {
		return figure{}, fmt.Errorf("pgbench has written no latencies in %v", logs)
	}
	slices.Sort(ms)
	return figure{rate: float64(len(ms)*batch) / float64(seconds), p99: ms[len(ms)*99/100]}, nil
}
