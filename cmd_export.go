package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yunchu/platform"
	"yunchu/platform/api"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/export"
	"yunchu/platform/ops"
	"yunchu/platform/sched"
	"yunchu/platform/store/series"
)

// exported is what an export is asked for.
type exported struct {
	data, config, url, to, format        string
	devices, first, last, step, quantity string
}

func exportCommand() *cobra.Command {
	var x exported
	c := &cobra.Command{
		Use:   "export --to FILE",
		Short: "Write readings to a CSV or Parquet file",
		Long: `Write the readings of devices, or their means in steps, to a CSV or Parquet file. Of a plant
that runs they are fetched from its API with --url and a token in YUNCHU_TOKEN; of one that is
stopped --data is read, or with -c FILE what its configuration names. Where readings are known to be missing the file has a row that says so
(gap_until, gap_reason), and how many there are is printed.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if x.to == "" {
				return fail(exitInput, errors.New("export: --to FILE is missing; - is standard output"))
			}
			if x.format == "" {
				x.format = export.CSV
				if filepath.Ext(x.to) == ".parquet" {
					x.format = export.Parquet
				}
			}
			var report export.Report
			write := func(w io.Writer) (err error) {
				if x.url != "" {
					report, err = x.running(c.Context(), w)
				} else {
					report, err = x.stopped(c.Context(), w)
				}
				return err
			}
			var err error
			if x.to == "-" {
				err = write(c.OutOrStdout())
			} else {
				err = toFile(x.to, write)
			}
			if errors.Is(err, errFlag) {
				return fail(exitInput, err)
			} else if err != nil {
				return fail(exitEnvironment, err)
			}
			fmt.Fprintf(c.ErrOrStderr(), "%d readings or steps\n", report.Rows)
			if report.Gaps > 0 {
				fmt.Fprintf(c.ErrOrStderr(), "%d gaps where readings are missing; the rows with gap_reason tell where and why\n", report.Gaps)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&x.data, "data", "data", "data folder of a plant that is stopped")
	f.StringVarP(&x.config, "config", "c", "", "configuration of a plant that is stopped, which names its data folder and where its history is")
	f.StringVar(&x.url, "url", "", "address of a plant that runs, such as http://127.0.0.1:8080")
	f.StringVar(&x.to, "to", "", "file to write; - is standard output")
	f.StringVar(&x.format, "format", "", "csv or parquet; without it as the name of the file says, or csv")
	f.StringVar(&x.devices, "devices", "*", "glob of device ids")
	f.StringVar(&x.first, "from", "", "RFC 3339 or ms since 1970 UTC; default: a day before --until")
	f.StringVar(&x.last, "until", "", "RFC 3339 or ms since 1970 UTC, not included; default: now")
	f.StringVar(&x.step, "step", "", "means over steps such as 1m, 15m or 1h; without it readings as stored")
	f.StringVar(&x.quantity, "fields", "", "comma separated, such as soc,power,status; default: all")
	return c
}

// errFlag: a flag is wrong.
var errFlag = errors.New("wrong flag")

// request is what the flags ask for, but the devices.
func (x *exported) request(now time.Time) (q export.Request, err error) {
	instant := func(flag, text string, or int64) int64 {
		if text == "" {
			return or
		}
		if ms, e := strconv.ParseInt(text, 10, 64); e == nil {
			return ms
		}
		t, e := time.Parse(time.RFC3339, text)
		if e != nil {
			err = fmt.Errorf("%w: --%s %q is neither RFC 3339 nor milliseconds since 1970 UTC", errFlag, flag, text)
		}
		return t.UnixMilli()
	}
	q.To = instant("until", x.last, now.UnixMilli()+1)
	q.From = instant("from", x.first, q.To-(24*time.Hour).Milliseconds())
	if err != nil {
		return q, err
	}
	if x.step != "" {
		if q.Step, err = time.ParseDuration(x.step); err != nil || q.Step < time.Millisecond {
			return q, fmt.Errorf("%w: --step %q is not a duration such as 1m, 15m or 1h", errFlag, x.step)
		}
	}
	if x.quantity != "" {
		if q.Fields, err = series.ParseFields(x.quantity); err != nil {
			return q, fmt.Errorf("%w: --fields: %w", errFlag, err)
		}
	}
	if _, err := path.Match(x.devices, ""); err != nil {
		return q, fmt.Errorf("%w: --devices %q is not a glob", errFlag, x.devices)
	}
	if x.format != export.CSV && x.format != export.Parquet {
		return q, fmt.Errorf("%w: --format %q: there are csv and parquet", errFlag, x.format)
	}
	return q, nil
}

// stopped reads the data folder of a plant that does not run: its history, and what of its
// log the history does not have yet.
func (x *exported) stopped(ctx context.Context, w io.Writer) (report export.Report, err error) {
	q, err := x.request(time.Now())
	if err != nil {
		return report, err
	}
	at, dir, err := placeOf(x.config, x.data)
	if err != nil {
		return report, err
	}
	bus := filepath.Join(dir, "bus")
	if _, err := os.Stat(bus); err != nil {
		return report, fmt.Errorf("%s is not a data folder: %w", dir, err)
	}
	log := slog.New(slog.DiscardHandler)
	if _, err := ops.Prepare(dir, platform.Version, time.Now(), log); err != nil {
		return report, err
	}
	b, err := nats.Open(nats.Options{Dir: bus, Log: log})
	if errors.Is(err, nats.ErrLocked) {
		return report, fmt.Errorf("the plant runs, export from it with --url: %w", err)
	} else if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	p, err := platform.New(platform.Config{Bus: b, Sched: sched.New(sched.NewWall()), Dir: dir, Log: log, Postgres: at})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if at != nil { // what the log has and the database has not yet belongs to the answer
		if err := p.History.Seal(ctx); err != nil {
			return report, err
		}
	}
	for after := device.ID(""); ; {
		list := p.Fleet.Page(after, api.MaxDevices)
		for _, info := range list {
			if ok, _ := path.Match(x.devices, string(info.ID)); ok {
				q.Devices = append(q.Devices, export.Device{ID: info.ID, Slot: info.Slot})
			}
		}
		if len(list) < api.MaxDevices {
			break
		}
		after = list[len(list)-1].ID
	}
	return export.Write(ctx, w, x.format, q, p.History.Query)
}

// running fetches from the API of a plant.
func (x *exported) running(ctx context.Context, w io.Writer) (report export.Report, err error) {
	if _, err := x.request(time.Now()); err != nil {
		return report, err
	}
	token := strings.TrimSpace(os.Getenv(tokenVariable))
	if token == "" {
		return report, fmt.Errorf("%s is not set: an export from a running plant needs a token", tokenVariable)
	}
	v := url.Values{}
	for key, value := range map[string]string{"devices": x.devices, "from": x.first, "to": x.last, "step": x.step, "fields": x.quantity, "format": x.format} {
		if value != "" {
			v.Set(key, value)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(x.url, "/")+"/api/v1/history/export?"+v.Encode(), http.NoBody)
	if err != nil {
		return report, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return report, err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(a.Body, 1<<12))
		return report, fmt.Errorf("the plant answers %s: %s", a.Status, b)
	}
	if _, err := io.Copy(w, a.Body); err != nil {
		return report, err
	}
	report.Rows, err = strconv.ParseInt(a.Trailer.Get(api.TrailerRows), 10, 64)
	if err == nil {
		report.Gaps, err = strconv.ParseInt(a.Trailer.Get(api.TrailerGaps), 10, 64)
	}
	if err != nil {
		return report, errors.New("the answer was cut off: it does not say how many rows it has")
	}
	return report, nil
}
