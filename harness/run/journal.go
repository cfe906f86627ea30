package run

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/dispatch"
)

// journal writes journal.jsonl: what was decided, refused and what happened, one
// JSON object a line, in the order in which it happened.
type journal struct {
	level string                            // none, events, commands, full
	since func(now time.Time) time.Duration // the start
	file  *os.File
	w     *bufio.Writer
	err   error // the first one
}

func newJournal(path, level string, since func(now time.Time) time.Duration) (*journal, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create the journal: %w", err)
	}
	return &journal{level: level, since: since, file: f, w: bufio.NewWriterSize(f, 1<<16)}, nil
}

func (j *journal) commands() bool { return j.level == "commands" || j.level == "full" }
func (j *journal) full() bool     { return j.level == "full" }

// line writes one object; t_s and time lead it.
func (j *journal) line(now time.Time, kind string, rest any) {
	if j.level == "none" {
		return
	}
	head := fmt.Sprintf(`{"t_s":%.3f,"time":%q,"kind":%q`, j.since(now).Seconds(), now.UTC().Format("2006-01-02T15:04:05.000Z07:00"), kind)
	body, err := json.Marshal(rest)
	if err == nil {
		_, err = fmt.Fprintf(j.w, "%s,%s\n", head, body[1:])
	}
	if err != nil && j.err == nil {
		j.err = err
	}
}

// kw is a number for JSON: what nobody knows is null.
func kw(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	v = math.Round(v*1e6) / 1e6
	return &v
}

// bound is a limit of a group that held devices back, or was not kept.
type bound struct {
	Name  string   `json:"name"`
	KW    *float64 `json:"limit_kw"`
	Sum   *float64 `json:"sum_kw"`
	Price *float64 `json:"price,omitempty"`
	Kept  bool     `json:"kept"`
}

// aim is the target of a site.
type aim struct {
	Name    string   `json:"name"`
	Target  *float64 `json:"target_kw"`
	Planned *float64 `json:"planned_kw"`
}

func (j *journal) cycle(now time.Time, d *dispatch.Decision) {
	var bounds []bound
	for _, b := range d.Bounds {
		bounds = append(bounds, bound{b.Name, kw(b.KW), kw(b.SumKW), kw(b.Price), b.Kept})
	}
	var aims []aim
	for _, a := range d.Aims {
		aims = append(aims, aim{a.Name, kw(a.TargetKW), kw(a.PlannedKW)})
	}
	j.line(now, "cycle", struct {
		Target      *float64 `json:"target_kw"`
		Planned     *float64 `json:"planned_kw"`
		Shortfall   *float64 `json:"shortfall_kw"`
		Charge      *float64 `json:"available_charge_kw"`
		Discharge   *float64 `json:"available_discharge_kw"`
		Commands    int      `json:"commands"`
		Held        int      `json:"held,omitempty"`
		Unreachable int      `json:"unreachable,omitempty"`
		Resting     int      `json:"resting,omitempty"`
		Limits      []bound  `json:"limits,omitempty"`
		Sites       []aim    `json:"sites,omitempty"`
		Reason      string   `json:"reason,omitempty"`
	}{
		kw(d.Target), kw(d.Planned), kw(d.Shortfall), kw(d.AvailableCharge), kw(d.AvailableDischarge),
		len(d.Commands), d.Held, d.Unreachable, d.Resting, bounds, aims, d.Reason,
	})
}

func (j *journal) event(now time.Time, kind string, sev device.Severity, name, text string) {
	j.line(now, kind, struct {
		Severity device.Severity `json:"severity"`
		Device   string          `json:"device,omitempty"`
		Text     string          `json:"text"`
	}{sev, name, text})
}

func (j *journal) command(now time.Time, c *device.Command, name func(device.Slot) string) {
	j.line(now, "command", struct {
		Device   string   `json:"device"`
		ID       string   `json:"command_id,omitempty"`
		Seq      uint64   `json:"seq,omitempty"`
		Command  string   `json:"command"`
		Power    *float64 `json:"power_kw"`
		Priority string   `json:"priority"`
		Source   string   `json:"source"`
		Reason   string   `json:"reason,omitempty"`
	}{name(c.Slot), c.ID, c.Seq, c.Verb.String(), kw(c.Power), c.Priority.String(), c.Source, c.Reason})
}

// ack writes every acknowledgement at level commands; below, what was refused
// stands there as an event.
func (j *journal) ack(now time.Time, a *device.Ack, name func(device.Slot) string) {
	if !j.commands() {
		return
	}
	j.line(now, "ack", struct {
		Device  string   `json:"device"`
		ID      string   `json:"command_id,omitempty"`
		Seq     uint64   `json:"seq,omitempty"`
		Status  string   `json:"status"`
		Code    string   `json:"code,omitempty"`
		Reason  string   `json:"reason,omitempty"`
		Power   *float64 `json:"power_kw"`
		Before  *float64 `json:"before_kw"`
		Reduced bool     `json:"reduced,omitempty"`
		Latency int64    `json:"latency_ms"`
	}{name(a.Slot), a.ID, a.Seq, a.Status.String(), a.Code, a.Reason, kw(a.Power), kw(a.Before), a.Reduced, j.since(now).Milliseconds() - j.since(device.Time(a.Issued)).Milliseconds()})
}

func (j *journal) readings(now time.Time, f *device.Readings, name func(device.Slot) string) {
	var r device.Reading
	for i := range f.Slot {
		f.Row(i, &r)
		j.line(now, "reading", struct {
			Device      string   `json:"device"`
			Timestamp   int64    `json:"timestamp"`
			SoC         *float64 `json:"soc"`
			Voltage     *float64 `json:"voltage"`
			Current     *float64 `json:"current"`
			Power       *float64 `json:"power"`
			Temperature *float64 `json:"temperature"`
			Status      string   `json:"status"`
			Quality     string   `json:"quality"`
			Flags       []string `json:"flags"`
		}{
			name(r.Slot), r.At, kw(r.SoC), kw(r.Voltage), kw(r.Current), kw(r.Power), kw(r.Temperature),
			r.StatusWord(), r.Quality.String(), r.Flags.Names(),
		})
	}
}

// flush writes what is buffered and reports the first error of all.
func (j *journal) flush() error {
	if err := j.w.Flush(); err != nil && j.err == nil {
		j.err = err
	}
	if j.err != nil {
		return fmt.Errorf("write the journal: %w", j.err)
	}
	return nil
}

func (j *journal) path() string { return j.file.Name() }

func (j *journal) close() error { return j.file.Close() }
