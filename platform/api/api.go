// Package api is how people and machines talk to a plant over HTTP: the two
// POSTs of devices and controllers, the ordinary routes, live frames over a
// WebSocket, the portal's files and the figures for monitoring.
//
// The two POSTs are made for rate: plain handlers, decoders written by hand, no
// middleware. Everything else is described to huma, which checks requests and
// writes the OpenAPI document. Every route but the portal's files and /healthz
// needs a bearer token, and each names the action of package auth that it takes.
// Every refusal is application/problem+json with a stable code.
//
// What the API needs of a plant is in Plant, a handful of small interfaces. The
// package knows no gateway, no store and no dispatch.
package api

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"

	"yunchu/platform/auth"
	"yunchu/platform/bus"
)

// Bounds of what is accepted.
const (
	MaxReadings = 10_000  // in one array
	MaxPage     = 10_000  // rows of history in one answer
	MaxDevices  = 1_000   // devices in one answer
	maxBody     = 1 << 20 // bytes of one body
	maxArray    = 8 << 20 // bytes of an array of readings
	maxAhead    = 5 * time.Minute
	commandWait = time.Second // for the acknowledgement of a command
)

// Options assemble a Server. Plant, Auth and Bus are required.
type Options struct {
	Plant Plant
	Auth  *auth.Authority
	Bus   bus.Bus
	Log   *slog.Logger // nil: none
	// UI has the portal's files, index.html at its root; nil: no portal.
	UI fs.FS
	// Now is the plant's clock, simulated where the plant is; nil: the wall's.
	Now func() time.Time
	// Wall is the clock of tokens; nil: the wall's.
	Wall func() time.Time
	// MaxInFlight bounds what is served at once of each kind: the sync of readings,
	// commands, all other requests. More are answered 429. 0 = 4,096.
	MaxInFlight int
	// MaxConnections bounds the connections of HTTP, where more are closed at once;
	// 0 = 16,384.
	MaxConnections int
	// MaxClients bounds the WebSockets; 0 = 5,000.
	MaxClients int
	// Limits bound what each principal asks for.
	Limits Limits
	// Metrics, when set, is where the figures are registered, beside others of
	// the plant; nil: a registry of its own.
	Metrics *prometheus.Registry
}

// Server answers the API. It is an http.Handler; Serve runs it on a listener.
type Server struct {
	plant          Plant
	auth           *auth.Authority
	log            *slog.Logger
	now, wall      func() time.Time
	maxConnections int

	mux     *http.ServeMux
	huma    huma.API
	openapi []byte
	files   map[string]*file
	origin  *http.CrossOriginProtection
	metrics *metrics
	hub     *hub
	fleet   fleetRecord
	queries chan struct{} // one for each that is evaluated
	graph   *executor.Executor

	readings, commands, documents, others room // documents of GraphQL, until it is known what they ask for

	limits atomic.Pointer[limiters]
	// strangers are the WebSockets of GraphQL that have not said who they are.
	strangers atomic.Int32
	heavyNow  atomic.Int32 // questions about whole fleets that are being answered
	computing computing
	ready     atomic.Bool
	large     budget
	scratch   sync.Pool
	pages     sync.Pool // *pageRoom
}

// New returns a server and subscribes it to what comes on the bus from now on.
// It is called when the plant has recovered and before its bus is used by other
// goroutines.
func New(o Options) (*Server, error) {
	if o.Auth == nil || o.Bus == nil || o.Plant.Intake == nil || o.Plant.Registry == nil || o.Plant.Latest == nil ||
		o.Plant.History == nil || o.Plant.Control == nil || o.Plant.Dispatch == nil || o.Plant.System == nil || o.Plant.Live == nil || o.Plant.Quality == nil {
		return nil, errors.New("api: Plant, Auth and Bus are required")
	}
	s := &Server{
		plant: o.Plant, auth: o.Auth, log: o.Log, now: o.Now, wall: o.Wall, maxConnections: o.MaxConnections,
		queries: make(chan struct{}, maxQueries), mux: http.NewServeMux(), origin: http.NewCrossOriginProtection(),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.wall == nil {
		s.wall = time.Now
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 4096
	}
	for _, r := range []*room{&s.readings, &s.commands, &s.documents, &s.others} {
		r.most = int64(o.MaxInFlight)
	}
	if s.maxConnections <= 0 {
		s.maxConnections = 16_384
	}
	if o.MaxClients <= 0 {
		o.MaxClients = 5000
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	s.SetLimits(o.Limits)
	s.large.left.Store(largeBodies)
	s.scratch.New = func() any { return &scratch{body: make([]byte, 0, 1024)} }
	var err error
	if s.files, err = load(o.UI); err != nil {
		return nil, fmt.Errorf("read the portal's files: %w", err)
	}
	s.auth.SetDevices(s.place)
	s.hub = newHub(s.plant, o.MaxClients)
	s.graph = s.newGraph()
	if s.metrics, err = newMetrics(o.Metrics, s); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if err := s.routes(); err != nil {
		return nil, err
	}
	if err := s.hub.subscribe(o.Bus); err != nil {
		return nil, err
	}
	return s, nil
}

// The routes that huma does not serve.
const (
	syncPath    = "/api/v1/device/data/sync"
	controlPath = "/api/v1/device/control"
	wsPath      = "/api/v1/ws"
)

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost && r.URL.Path == syncPath:
		s.hot(w, r, &s.readings, s.metrics.sync, s.sync)
	case r.Method == http.MethodPost && r.URL.Path == controlPath:
		s.hot(w, r, &s.commands, s.metrics.control, s.control)
	case r.Method == http.MethodGet && r.URL.Path == wsPath:
		s.websocket(w, r)
	case r.URL.Path == graphPath && r.Method == http.MethodGet && r.Header.Get("Upgrade") != "":
		s.graphWebsocket(w, r)
	case r.URL.Path == graphPath && (r.Method == http.MethodPost || r.Method == http.MethodGet):
		s.hot(w, r, nil, s.metrics.graphql, s.graphql)
	default:
		s.ordinary(w, r)
	}
}

// hot serves one request of a fast route: h answers and returns the status. Without a
// place h finds one itself.
func (s *Server) hot(w http.ResponseWriter, r *http.Request, place *room, m *route, h func(http.ResponseWriter, *http.Request) int) {
	start := time.Now()
	status := http.StatusInternalServerError
	admitted := place == nil || place.enter()
	defer func() {
		if admitted && place != nil {
			place.leave()
		}
		if fault := recover(); fault != nil {
			status = s.panicked(w, r, fault)
		}
		m.done(status, time.Since(start))
	}()
	if !admitted {
		status = place.full().write(w, r)
		return
	}
	if id := r.Header[requestIDHeader]; len(id) == 1 && validRequestID(id[0]) {
		w.Header()[requestIDHeader] = id
	}
	if !s.isReady() {
		status = refuse(CodeNotReady, "").write(w, r)
		return
	}
	status = h(w, r)
}

func (s *Server) panicked(w http.ResponseWriter, r *http.Request, fault any) int {
	if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(fault)
	}
	s.log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "request", requestID(w.Header(), r),
		"fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
	return refuse(CodeInternal, "").write(w, r)
}

func (s *Server) isReady() bool {
	if s.ready.Load() {
		return true
	}
	if !s.plant.System.Ready() {
		return false
	}
	s.ready.Store(true)
	return true
}

// ordinary serves everything but the fast routes and the WebSocket.
func (s *Server) ordinary(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	h := w.Header()
	h[requestIDHeader] = []string{requestID(h, r)}
	secure(h)
	m := s.metrics.unknown
	admitted := s.others.enter()
	defer func() {
		if admitted {
			s.others.leave()
		}
		if fault := recover(); fault != nil {
			s.panicked(rec, r, fault)
		}
		m.done(rec.status, time.Since(start))
	}()
	if f := s.files[r.URL.Path]; f != nil {
		m = s.metrics.files
		f.serve(rec, r)
		return
	}
	handler, pattern := s.mux.Handler(r)
	if pattern == "" {
		s.noRoute(handler, rec, r)
		return
	}
	m = s.metrics.of(pattern)
	switch {
	case pattern == healthPattern:
	case !admitted:
		s.others.full().write(rec, r)
		return
	case !s.isReady():
		refuse(CodeNotReady, "").write(rec, r)
		return
	}
	if err := s.origin.Check(r); err != nil {
		refuse(CodeCrossOrigin, err.Error()).write(rec, r)
		return
	}
	s.mux.ServeHTTP(rec, r)
}

// noRoute answers what the mux has no handler for: with 405 where another method
// has one, else with 404.
func (s *Server) noRoute(handler http.Handler, w http.ResponseWriter, r *http.Request) {
	probe := &headersOnly{header: http.Header{}}
	handler.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		p := refuse(CodeMethodNotAllowed, r.Method+" is not for "+shorten(r.URL.Path))
		p.allow = probe.header.Get("Allow")
		p.write(w, r)
		return
	}
	if s.files[r.URL.Path] == nil && r.URL.Path == "/" {
		refuse(CodeNotFound, "this program was built without the portal").write(w, r)
		return
	}
	refuse(CodeNotFound, "there is nothing at "+shorten(r.URL.Path)).write(w, r)
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// headersOnly takes an answer that nobody gets.
type headersOnly struct {
	header http.Header
	status int
}

func (w *headersOnly) Header() http.Header         { return w.header }
func (w *headersOnly) Write(b []byte) (int, error) { return len(b), nil }
func (w *headersOnly) WriteHeader(status int)      { w.status = status }

// bearer is the token of the Authorization header, empty when there is none.
func bearer(r *http.Request) string {
	h := r.Header["Authorization"]
	if len(h) != 1 {
		return ""
	}
	return bearerOf(h[0])
}

func bearerOf(header string) string {
	if len(header) < 7 || !strings.EqualFold(header[:7], "bearer ") {
		return ""
	}
	return strings.TrimSpace(header[7:])
}

// who finds the sender of a request and checks that the action is open to it.
func (s *Server) who(r *http.Request, token string, a auth.Action) (*auth.Principal, *Problem) {
	p, err := s.auth.Check(token, s.wall())
	if err != nil && token == "" {
		if p = s.certified(r); p != nil {
			// A browser sends its certificate with whatever any site has it ask for.
			if err = s.origin.Check(r); err != nil {
				return nil, refuse(CodeCrossOrigin, err.Error())
			}
		}
	}
	if err != nil {
		detail := auth.ErrUnknown.Error()
		switch {
		case token == "":
			detail = "there is no bearer token"
		case errors.Is(err, auth.ErrForged), errors.Is(err, auth.ErrForeign):
			s.auth.Refused(s.wall(), nil, hostOf(r), r.Method+" "+shorten(r.URL.Path), err.Error())
		}
		return nil, refuse(CodeUnauthorized, detail)
	}
	if !p.May(a) {
		s.auth.Refused(s.wall(), p, hostOf(r), r.Method+" "+shorten(r.URL.Path), "the role "+p.Role.String()+" does not allow "+a.String())
		return nil, refuse(CodeForbidden, fmt.Sprintf("the role %s does not allow %s", p.Role, a))
	}
	if refused := s.within(p, a); refused != nil {
		return nil, refused
	}
	return p, nil
}

// certified is the registered device whose certificate the sender has proven to hold,
// nil when there is none.
func (s *Server) certified(r *http.Request) *auth.Principal {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	p := s.auth.Certified(r.TLS.VerifiedChains[0][0], s.wall())
	if p == nil {
		return nil
	}
	if _, known := s.plant.Registry.Slot(p.Device); !known {
		return nil
	}
	return p
}
