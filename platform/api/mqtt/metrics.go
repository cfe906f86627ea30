package mqtt

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of the broker.
type metrics struct {
	all      []prometheus.Collector
	listener atomic.Pointer[listener] // nil before Serve

	messages                  map[string]prometheus.Counter // that were taken, by kind
	unusable, refused, failed prometheus.Counter
	shed, dropped             prometheus.Counter
	denied, forbidden         prometheus.Counter
}

func (m *metrics) register(c prometheus.Collector) { m.all = append(m.all, c) }

// init makes the figures.
func (m *metrics) init() {
	m.messages = map[string]prometheus.Counter{}
	taken := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "yunchu_mqtt_messages_total", Help: "Messages that were taken from MQTT clients, by kind.",
	}, []string{"kind"})
	m.register(taken)
	for _, kind := range []string{data, control, ack, event} {
		m.messages[kind] = taken.WithLabelValues(kind)
	}
	not := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "yunchu_mqtt_refused_total", Help: "Messages of MQTT clients that were not taken, by reason.",
	}, []string{"reason"})
	m.register(not)
	m.unusable, m.refused, m.failed = not.WithLabelValues("unusable"), not.WithLabelValues("command"), not.WithLabelValues("failed")
	m.shed, m.forbidden = not.WithLabelValues("overload"), not.WithLabelValues("forbidden")
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.register(c)
		return c
	}
	m.dropped = counter("yunchu_mqtt_dropped_total", "Messages that slow MQTT subscribers did not get.")
	m.denied = counter("yunchu_mqtt_denied_total", "MQTT clients that did not say who they are.")
	m.register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "yunchu_mqtt_clients", Help: "MQTT connections that are open."}, func() float64 {
		if l := m.listener.Load(); l != nil {
			open, _ := l.counts()
			return float64(open)
		}
		return 0
	}))
	m.register(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "yunchu_mqtt_turned_away_total", Help: "MQTT connections for which there was no room.",
	}, func() float64 {
		if l := m.listener.Load(); l != nil {
			_, away := l.counts()
			return float64(away)
		}
		return 0
	}))
}
