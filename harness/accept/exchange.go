package accept

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"yunchu/harness/metric"
	"yunchu/platform/device"
)

// errNoFrames: the metric is about wires that the device does not have.
var errNoFrames = errors.New("no wire of it brings frames by itself")

// exchanged measures what was asked of the device beside readings and commands.
func (r *Record) exchanged(name string, w *Window) (measured, error) {
	m := measured{doubts: w.Doubts, n: w.To - w.From}
	switch name {
	case "mismatches", "settings_tried":
		m.n = len(w.Settings)
		for i := range w.Settings {
			if name == "settings_tried" || !w.Settings[i].OK() {
				m.Value++
			}
		}
	case "not_refused", "changed":
		m.n = 0
		var notes []string
		for _, t := range w.Trials {
			if t.Skipped != "" {
				notes = append(notes, t.Name+" not tried: "+t.Skipped)
				continue
			}
			m.n++
			if name == "not_refused" && !t.Refused || name == "changed" && t.Changed {
				m.Value++
				notes = append(notes, found(&t))
			}
		}
		m.note = strings.Join(notes, "; ")
	case "frame_loss_percent":
		if m.n = int(w.Came + w.Lost); m.n == 0 {
			return m, errNoFrames
		}
		m.Value = 100 * float64(max(w.Lost, 0)) / float64(m.n)
		m.note = fmt.Sprintf("%d of %d frames", w.Lost, m.n)
	case "exchange_ms", "exchange_error_percent":
		return r.exchanges(name, w.From, w.To, m)
	}
	if m.n == 0 {
		return m, metric.ErrNoData
	}
	return m, nil
}

// found says what a trial has found out.
func found(t *device.Trial) string {
	s := fmt.Sprintf("%s: wanted %s, got %s", t.Name, t.Want, t.Got)
	switch {
	case t.Restored:
		s += ", taken and put back"
	case t.Changed:
		s += ", and the device is not as it was"
	}
	return s
}

func (r *Record) exchanges(name string, from, to int, m measured) (measured, error) {
	list := r.Exchanges[min(from, len(r.Exchanges)):min(to, len(r.Exchanges))]
	if m.n = len(list); m.n == 0 {
		return m, fmt.Errorf("the driver has timed no exchange: %w", metric.ErrNoData)
	}
	var took []float64
	failed := 0
	for _, x := range list {
		if x.Err != nil {
			failed++
			continue
		}
		took = append(took, float64(x.Took)/float64(time.Millisecond))
	}
	if name == "exchange_error_percent" {
		m.Value = 100 * float64(failed) / float64(len(list))
		m.note = causes(list)
		return m, nil
	}
	if len(took) == 0 {
		return m, fmt.Errorf("no exchange was answered: %w", metric.ErrNoData)
	}
	slices.Sort(took)
	m.Value = took[min(len(took)-1, int(0.99*float64(len(took))))]
	m.note = fmt.Sprintf("99th percentile; median %.3g ms, longest %.3g ms", took[len(took)/2], took[len(took)-1])
	return m, nil
}

// causes are why exchanges have failed, the most frequent first: the innermost error of
// each, which is what the wire showed. Empty: none has.
func causes(list []Exchange) string {
	n := map[string]int{}
	var all []string
	for _, x := range list {
		if x.Err == nil {
			continue
		}
		why := innermost(x.Err)
		if n[why]++; n[why] == 1 {
			all = append(all, why)
		}
	}
	slices.SortStableFunc(all, func(a, b string) int { return n[b] - n[a] })
	for i, why := range all {
		all[i] = fmt.Sprintf("%s (%d of %d)", why, n[why], len(list))
	}
	return strings.Join(all, "; ")
}

// innermost is the text of the error that all others are about: of several the last.
func innermost(err error) string {
	for {
		switch e := err.(type) { //nolint:errorlint // it takes the tree apart itself
		case interface{ Unwrap() error }:
			if inner := e.Unwrap(); inner != nil {
				err = inner
				continue
			}
		case interface{ Unwrap() []error }:
			if inner := e.Unwrap(); len(inner) > 0 {
				err = inner[len(inner)-1]
				continue
			}
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return "nothing came in time"
		}
		return err.Error()
	}
}
