package mqtt

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"yunchu/platform/api"
	"yunchu/platform/device"
)

// Message is one that a device has sent.
type Message struct {
	Topic string
	Body  []byte // may not be changed
	At    time.Time
}

// Line is the way between a device that connects to us and its driver.
type Line struct {
	ID device.ID

	send  func(topic string, body []byte) error
	heard func() bool // whether anybody is at the other end

	mu   sync.Mutex
	ears map[string][]*ear // by topic
}

type ear struct{ fn func(Message) }

// Listen calls fn with each message of the device on a topic, until end is called. fn must
// not block. It is called by several goroutines, one after the other for one connection.
func (l *Line) Listen(topic string, fn func(Message)) (end func()) {
	me := &ear{fn}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ears[topic] = append(slices.Clip(l.ears[topic]), me)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ears[topic] = slices.DeleteFunc(slices.Clone(l.ears[topic]), func(x *ear) bool { return x == me })
	}
}

// Publish sends to the device now, or fails with device.ErrOffline: nothing is kept for
// one that is away. That nothing failed does not mean that it has come.
func (l *Line) Publish(_ context.Context, topic string, body []byte) error {
	if err := l.Away(); err != nil {
		return err
	}
	return l.send(topic, body)
}

// Away is nil while the device listens to its commands.
func (l *Line) Away() error {
	if !l.heard() {
		return fmt.Errorf("%s does not listen to %s: %w", l.ID, topic(l.ID, control), device.ErrOffline)
	}
	return nil
}

func (l *Line) tell(m Message) {
	l.mu.Lock()
	ears := l.ears[m.Topic]
	l.mu.Unlock()
	for _, x := range ears {
		x.fn(m)
	}
}

// Drivers give the devices that listen to us to the plant.
type Drivers struct {
	// Open makes a driver of a line.
	Open func(l *Line) (device.Driver, error)
	// Take gives it to the gateway, for as long as the plant runs. listening says whether
	// the device is there.
	Take func(ctx context.Context, s device.Slot, d device.Driver, listening func() bool) error
}

// station knows the devices that are at the other end of a broker, ours or another's.
type station struct {
	registry api.Registry
	drivers  Drivers
	log      *slog.Logger
	send     func(topic string, body []byte) error

	mu    sync.Mutex // held while a device is taken in, too
	lines map[device.ID]*post
}

// post is a device and who listens for it.
type post struct {
	line  *Line
	count atomic.Int64 // connections that listen to its commands
	spoke atomic.Int64 // ms UTC, when it was heard last behind another's broker
}

func newStation(r api.Registry, d Drivers, log *slog.Logger, send func(string, []byte) error) *station {
	return &station{registry: r, drivers: d, log: log, send: send, lines: map[device.ID]*post{}}
}

// find is the device's post; nil when it has never listened.
func (s *station) find(id device.ID) *post {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines[id]
}

// take gives a device that listens for the first time to the plant. A device that a driver
// of ours reads gets no line: its commands go by that.
func (s *station) take(ctx context.Context, id device.ID, heard func(*post) bool) (*post, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.lines[id]; p != nil {
		return p, nil
	}
	slot, known := s.registry.Slot(id)
	switch {
	case s.drivers.Open == nil:
		return nil, errNoDrivers
	case !known:
		return nil, fmt.Errorf("there is no device %s", id)
	case s.registry.ReadByUs(slot):
		return nil, fmt.Errorf("%s is read by a driver of this plant", id)
	}
	p := &post{}
	listening := func() bool { return heard(p) }
	p.line = &Line{ID: id, send: s.send, heard: listening, ears: map[string][]*ear{}}
	d, err := s.drivers.Open(p.line)
	if err != nil {
		return nil, fmt.Errorf("open the driver of %s: %w", id, err)
	}
	if err := s.drivers.Take(ctx, slot, d, listening); err != nil {
		_ = d.Close() // it was never used
		return nil, fmt.Errorf("take in %s: %w", id, err)
	}
	s.lines[id] = p
	return p, nil
}

// tell hands what a device has said to its driver.
func (s *station) tell(id device.ID, what string, body []byte) {
	if p := s.find(id); p != nil {
		p.line.tell(Message{Topic: topic(id, what), Body: body, At: time.Now()})
	}
}
