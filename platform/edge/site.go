package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"yunchu/platform/bus"
	"yunchu/platform/device"
)

// Plant is what a Site needs of the plant that it belongs to.
type Plant interface {
	// Register adds a device or changes what is known of it, as the site says.
	Register(ctx context.Context, info device.Info) (device.Info, error)
	// Slot finds a device, and says what is known of it.
	Slot(id device.ID) (device.Info, bool)
	// Push returns nil when all rows are durable. bus.ErrOverload: later.
	Push(ctx context.Context, rows []device.Reading) error
	// Tell writes events to the log.
	Tell(ctx context.Context, events []device.Event) error
	// Rows calls each with the readings of a device in from ≤ t < to, ascending.
	Rows(ctx context.Context, s device.Slot, from, to int64, each func(*device.Reading)) error
}

// Kind is the kind of a device that another site serves.
const Kind = "edge"

// maxSpans bounds one question for sums.
const maxSpans = 10_000

// Site is the plant's end of one site.
type Site struct {
	name  string
	plant Plant
	log   *slog.Logger

	// Readings counts those that came, Refused the messages that could not be taken.
	Readings, Refused atomic.Uint64

	mu  sync.Mutex
	has greeting // how far the site's log is stored, as far as this process knows
}

// NewSite returns the plant's end of the site of that name.
func NewSite(name string, p Plant, log *slog.Logger) *Site {
	return &Site{name: name, plant: p, log: log}
}

// Handle answers a request of the site; it is the Handler of its line.
func (s *Site) Handle(ctx context.Context, b []byte) []byte {
	body, err := s.answer(ctx, b)
	switch {
	case err == nil:
		return request(endOK, body)
	case errors.Is(err, bus.ErrOverload) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, bus.ErrClosed):
		return request(endBusy, []byte(err.Error()))
	}
	s.Refused.Add(1)
	s.log.Error("what a site sends is not taken", "site", s.name, "error", err)
	return request(endRefused, []byte(err.Error()))
}

func (s *Site) answer(ctx context.Context, b []byte) ([]byte, error) {
	kind, body, err := parse(b)
	if err != nil {
		return nil, err
	}
	switch kind {
	case askHello:
		var g greeting
		if err := json.Unmarshal(body, &g); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMessage, err)
		}
		s.mu.Lock()
		if s.has.Log != g.Log {
			s.has = greeting{Log: g.Log}
		}
		g = s.has
		s.mu.Unlock()
		return json.Marshal(g)
	case askDevices:
		return nil, s.devices(ctx, body)
	case askReadings:
		return nil, s.readings(ctx, body)
	case askEvents:
		return nil, s.events(ctx, body)
	case askSums:
		return s.sums(ctx, body)
	}
	return nil, fmt.Errorf("%w: a request of kind %q", ErrMessage, kind)
}

// own finds a device of this site.
func (s *Site) own(id device.ID) (device.Info, error) {
	info, ok := s.plant.Slot(id)
	switch {
	case !ok:
		return info, fmt.Errorf("%s is not registered", id)
	case info.Kind != Kind || info.Edge != s.name:
		return info, fmt.Errorf("%s does not belong to the site %s", id, s.name)
	}
	return info, nil
}

// devices registers what the site has, under slots of the plant. Here they are armed by
// themselves: what the site lets them do is its own business.
func (s *Site) devices(ctx context.Context, body []byte) error {
	var list []device.Info
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	for _, info := range list {
		if !info.ID.Valid() {
			return fmt.Errorf("%w: a device with the id %.70q", ErrMessage, info.ID)
		}
		if _, known := s.plant.Slot(info.ID); known {
			if _, err := s.own(info.ID); err != nil {
				return err
			}
		}
		info.Slot, info.Kind, info.Edge, info.State = 0, Kind, s.name, device.Inactive
		if _, err := s.plant.Register(ctx, info); err != nil {
			return fmt.Errorf("register %s: %w", info.ID, err)
		}
	}
	return nil
}

func (s *Site) readings(ctx context.Context, body []byte) error {
	m, err := parseReadings(body)
	if err != nil {
		return err
	}
	slots := make(map[device.Slot]device.Slot, len(m.IDs))
	for at, id := range m.IDs {
		info, err := s.own(id)
		if err != nil {
			return err
		}
		slots[at] = info.Slot
	}
	rows := make([]device.Reading, m.Rows.Rows())
	for i := range rows {
		m.Rows.Row(i, &rows[i])
		rows[i].Slot = slots[rows[i].Slot]
	}
	if err := s.plant.Push(ctx, rows); err != nil {
		return err
	}
	s.Readings.Add(uint64(len(rows)))
	if m.Seq > 0 {
		s.mu.Lock()
		if s.has.Log == m.Log {
			s.has.Seq = max(s.has.Seq, m.Seq)
		} else {
			s.has = greeting{m.Log, m.Seq}
		}
		s.mu.Unlock()
	}
	return nil
}

// siteEvent is an event with the id of its device; empty: of the site.
type siteEvent struct {
	Device device.ID    `json:"device,omitempty"`
	Event  device.Event `json:"event"`
}

func (s *Site) events(ctx context.Context, body []byte) error {
	var list []siteEvent
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	out := make([]device.Event, 0, len(list))
	for _, x := range list {
		e := x.Event
		e.ID = s.name + "/" + e.ID
		e.Slot = device.Plant
		if x.Device != "" {
			info, err := s.own(x.Device)
			if err != nil {
				return err
			}
			e.Slot = info.Slot
		}
		out = append(out, e)
	}
	return s.plant.Tell(ctx, out)
}

func (s *Site) sums(ctx context.Context, body []byte) ([]byte, error) {
	var spans []Span
	if err := json.Unmarshal(body, &spans); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if len(spans) > maxSpans {
		return nil, fmt.Errorf("%w: sums of %d spans, at most %d", ErrMessage, len(spans), maxSpans)
	}
	sums := make([]Sum, len(spans))
	for i, x := range spans {
		info, err := s.own(x.Device)
		if err != nil {
			return nil, err
		}
		t := newSummer()
		if err := s.plant.Rows(ctx, info.Slot, x.From, x.To, t.add); err != nil {
			return nil, err
		}
		sums[i] = t.sum()
	}
	return json.Marshal(sums)
}
