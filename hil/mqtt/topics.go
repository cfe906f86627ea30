package mqtt

import (
	"context"
	"fmt"
	"slices"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// This file is what a link listens to.

// subscribeAtOnce bounds the topics of one request: 3,000 of a thousand devices in one
// packet are more than some brokers take.
const subscribeAtOnce = 100

// mostEarly bounds the messages that wait; the oldest gives way.
const mostEarly = 4096

// subscription is a topic and who listens to it.
type subscription struct {
	to      []*listener
	request *paho.SubscribeToken // the newest
}

type listener struct{ fn func(Message) }

// subscribe asks for all topics, and then opens the link: nothing is sent before its
// answer can come back.
func (l *Link) subscribe(ctx context.Context, client paho.Client) error {
	asked := map[string]bool{}
	for {
		next := map[string]byte{}
		l.mu.Lock()
		for t := range l.topics {
			if !asked[t] && len(next) < subscribeAtOnce {
				next[t], asked[t] = 1, true
			}
		}
		if len(next) == 0 {
			l.client, l.why, l.sessions = client, nil, l.sessions+1
			l.mu.Unlock()
			l.catchUp()
			return nil
		}
		l.mu.Unlock()
		t := client.SubscribeMultiple(next, nil)
		if err := wait(ctx, t); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		l.mu.Lock()
		for topic := range next {
			if s := l.topics[topic]; s != nil {
				s.request, _ = t.(*paho.SubscribeToken)
			}
		}
		l.mu.Unlock()
	}
}

// wait is for the answer to a request of ours, which a broker owes at once.
func wait(ctx context.Context, t paho.Token) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Listen calls fn with each message on a topic, on the goroutine that all messages come
// by: it must not block. The returned function ends it.
func (l *Link) Listen(topic string, fn func(Message)) (end func()) {
	me := &listener{fn}
	l.asking.Lock()
	defer l.asking.Unlock()
	l.mu.Lock()
	s := l.topics[topic]
	fresh := s == nil
	if fresh {
		s = &subscription{}
		l.topics[topic] = s
	}
	s.to = append(s.to, me)
	client := l.client
	l.mu.Unlock()
	if fresh && client != nil {
		t, _ := client.Subscribe(topic, 1, nil).(*paho.SubscribeToken)
		l.mu.Lock()
		s.request = t
		l.mu.Unlock()
	}
	return func() {
		l.asking.Lock()
		defer l.asking.Unlock()
		l.mu.Lock()
		s.to = slices.DeleteFunc(s.to, func(x *listener) bool { return x == me })
		client := l.client
		last := len(s.to) == 0 && l.topics[topic] == s
		if last {
			delete(l.topics, topic)
		}
		l.mu.Unlock()
		if last && client != nil {
			client.Unsubscribe(topic)
		}
	}
}

// catchUp delivers what came early.
func (l *Link) catchUp() {
	for {
		l.mu.Lock()
		list := l.early
		l.early = nil
		l.opening = len(list) > 0
		l.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for _, m := range list {
			l.tell(m)
		}
	}
}

func (l *Link) deliver(p paho.Message) {
	m := Message{Topic: p.Topic(), Body: p.Payload(), Retained: p.Retained(), At: time.Now()}
	l.mu.Lock()
	wait := l.opening
	if wait {
		l.early = append(l.early[max(len(l.early)+1-mostEarly, 0):], m)
	}
	l.mu.Unlock()
	if !wait {
		l.tell(m)
	}
}

// tell calls whoever listens.
func (l *Link) tell(m Message) {
	l.mu.Lock()
	var to []*listener
	if s := l.topics[m.Topic]; s != nil {
		to = slices.Clone(s.to)
	}
	l.mu.Unlock()
	for _, x := range to {
		x.fn(m)
	}
}

// Refused reports whether the broker has refused the subscription to a topic.
func (l *Link) Refused(topic string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.topics[topic]
	if s == nil || s.request == nil {
		return false
	}
	select {
	case <-s.request.Done():
		return s.request.Result()[topic] >= 0x80
	default:
		return false
	}
}
