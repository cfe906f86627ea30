package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"yunchu/platform/sample"
)

// metrics are the figures of the API: rate, errors and duration of each route,
// and what was turned away.
type metrics struct {
	handler http.Handler

	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	routes   map[string]*route // by pattern; not changed after New

	sync, control, ws, graphql, files, unknown *route

	readings struct{ accepted, rejected prometheus.Counter }
	limited  struct{ queries, commands, telemetry prometheus.Counter }
	shed     struct{ memory, overload, heavy, space, connections prometheus.Counter }
}

// route has the figures of one route, found before the first request.
type route struct {
	latency  prometheus.Observer
	statuses map[int]prometheus.Counter // of the usual statuses
	other    func(status string) prometheus.Counter
}

// Buckets are dense around the target of 100 ms.
var buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .075, .1, .25, .5, 1, 2.5, 10}

func newMetrics(reg *prometheus.Registry, s *Server) (*metrics, error) {
	m := &metrics{
		routes: map[string]*route{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "yunchu_http_requests_total", Help: "Requests that were answered, by route and status.",
		}, []string{"route", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "yunchu_http_request_duration_seconds", Help: "Time from a request's header to its answer.", Buckets: buckets,
		}, []string{"route"}),
		handler: promhttp.HandlerFor(reg, promhttp.HandlerOpts{}),
	}
	readings := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "yunchu_sync_readings_total", Help: "Readings of the sync, by whether they were stored.",
	}, []string{"result"})
	shed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "yunchu_http_shed_total", Help: "Requests that were turned away for want of room, by what was full.",
	}, []string{"full"})
	m.readings.accepted, m.readings.rejected = readings.WithLabelValues("accepted"), readings.WithLabelValues("rejected")
	s.readings.shed, s.commands.shed = shed.WithLabelValues("readings"), shed.WithLabelValues("commands")
	s.others.shed, s.hub.shed = shed.WithLabelValues("requests"), shed.WithLabelValues("clients")
	s.documents.shed = s.others.shed
	m.shed.connections, m.shed.memory = shed.WithLabelValues("connections"), shed.WithLabelValues("memory")
	m.shed.overload, m.shed.heavy = shed.WithLabelValues("plant"), shed.WithLabelValues("heavy")
	m.shed.space = shed.WithLabelValues("disk")
	often := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "yunchu_api_limited_total", Help: "Requests and messages of principals that ask too often, by what they asked for.",
	}, []string{"class"})
	m.limited.queries, m.limited.commands, m.limited.telemetry = often.WithLabelValues("queries"), often.WithLabelValues("commands"), often.WithLabelValues("telemetry")
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	var faults []error
	for _, c := range []prometheus.Collector{
		m.requests, m.latency, readings, shed, often,
		gauge("yunchu_http_in_flight", "Requests that are being served.", func() float64 {
			return float64(s.readings.now.Load() + s.commands.now.Load() + s.documents.now.Load() + s.others.now.Load())
		}),
		gauge("yunchu_store_damages", "Parts of log, history and state that are lost or are not what was written.", func() float64 {
			return float64(len(s.plant.System.About().Damage))
		}),
		gauge("yunchu_ws_clients", "WebSockets that are open.", func() float64 { return float64(s.hub.count.Load()) }),
		gauge("yunchu_ws_queue_frames_max", "Frames that wait for the slowest WebSocket.", func() float64 { return float64(s.hub.longest()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "yunchu_ws_dropped_readings_total", Help: "Readings that slow WebSockets did not get.",
		}, func() float64 { return float64(s.hub.dropped.Load()) }),
	} {
		faults = append(faults, reg.Register(c))
	}
	for i := range sample.Fleet {
		f := &sample.Fleet[i]
		value := func() float64 { return s.fleetNow(i) }
		c := prometheus.Collector(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: f.Name, Help: f.Help}, value))
		if f.Counter {
			c = prometheus.NewCounterFunc(prometheus.CounterOpts{Name: f.Name, Help: f.Help}, value)
		}
		faults = append(faults, reg.Register(c))
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		var there prometheus.AlreadyRegisteredError
		if err := reg.Register(c); err != nil && !errors.As(err, &there) {
			faults = append(faults, err)
		}
	}
	m.sync, m.control, m.ws = m.add("POST "+syncPath), m.add("POST "+controlPath), m.add("GET "+wsPath)
	m.graphql = m.add("POST " + graphPath)
	m.files, m.unknown = m.add("files"), m.add("unknown")
	return m, errors.Join(faults...)
}

// add makes the figures of a route known. It is called from New only.
func (m *metrics) add(pattern string) *route {
	if r := m.routes[pattern]; r != nil {
		return r
	}
	r := &route{
		latency: m.latency.WithLabelValues(pattern), statuses: map[int]prometheus.Counter{},
		other: func(status string) prometheus.Counter { return m.requests.WithLabelValues(pattern, status) },
	}
	for _, status := range []int{200, 202, 400, 401, 403, 404, 409, 422, 429, 503} {
		r.statuses[status] = r.other(strconv.Itoa(status))
	}
	m.routes[pattern] = r
	return r
}

func (m *metrics) of(pattern string) *route {
	if r := m.routes[pattern]; r != nil {
		return r
	}
	return m.unknown
}

func (r *route) done(status int, took time.Duration) {
	if status == 0 {
		status = http.StatusOK
	}
	r.latency.Observe(took.Seconds())
	if c := r.statuses[status]; c != nil {
		c.Inc()
		return
	}
	r.other(strconv.Itoa(status)).Inc()
}
