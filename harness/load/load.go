// Package load puts load on the interfaces of a plant over real sockets: REST,
// GraphQL, MQTT and WebSocket.
//
// It is open loop: every request is due at an instant that does not depend on
// the answers before it, and its latency counts from then. A server that stalls
// is charged with every request that was due meanwhile (no coordinated omission).
// A closed loop, in which users wait for their answer and think, is there for
// comparison.
//
// Each user has an identity and a connection of its own and one request in
// flight; what falls due meanwhile waits for it, at most giveUp, and is dropped
// then and counted. The clients are as small as their protocols allow, so that on
// a shared machine the server gets the processors. How late the generator itself
// is, is measured: see [metric.Load.Late].
package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"yunchu/harness/metric"
)

// The interfaces that there are loads for.
const (
	RESTSync    = "rest-sync"
	RESTControl = "rest-control"
	RESTRead    = "rest-read"
	GraphQL     = "graphql"
	MQTT        = "mqtt"
	WS          = "ws"
)

// Target is where the load goes.
type Target struct {
	Address string      // host:port of the API
	TLS     *tls.Config // of the API; nil: plain
	Token   string      // bearer

	Broker    string      // host:port of the MQTT broker
	BrokerTLS *tls.Config // nil: plain
	// Password of a device at the broker, whose name is the user; nil: Token.
	Password func(device string) (string, error)

	// Dial opens connections; nil: over TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Spec is one load: so many users, each on a connection of its own.
type Spec struct {
	Target
	Name    string
	API     string
	Users   int
	Profile Profile       // of all users together; of a closed loop and of ws only its length counts
	Random  bool          // arrivals are a Poisson process, else evenly spaced
	Closed  bool          // users wait for their answers
	Think   time.Duration // of a closed loop: from an answer to the next request
	Ramp    time.Duration // the first part, which rates leave out; in a closed loop and with ws users come during it
	Batch   int           // readings in a request of rest-sync or mqtt; at least 1
	Senders []string      // devices that the users of rest-sync and mqtt speak for, at least one each
	Asked   []string      // devices that the others ask for
	Query   string        // of graphql, with $id; empty: [DefaultQuery]
	Frames  string        // what is heard of ws: "reading" (also when empty), or "readings", many in a frame
	Seed    uint64

	// Path and Form are those of another server that takes readings by POST and answers
	// a stored one with 2xx, for a comparison; empty and nil: of a plant.
	Path string
	Form *Form
}

// Result is what a load saw.
type Result struct {
	Load  *metric.Load
	Acked map[string][]int64 // timestamps of readings that were acknowledged, by device
	Err   error              // the first thing that went wrong with a connection or an answer
}

const (
	// giveUp is when a request counts as unanswered.
	giveUp = 10 * time.Second
	// dialling is how many connections are opened at a time.
	dialling = 32
	// stale is after what rest a connection may have been closed by the other side
	// without anybody's fault.
	stale = 5 * time.Second
)

// ErrUnsupported is returned for a load that cannot be put on.
var ErrUnsupported = errors.New("no such load")

// client is the connection of one user.
type client interface {
	// connect opens it, if it is not open.
	connect(ctx context.Context) error
	// exchange sends one request and waits for its answer. The code is empty for a
	// good one, with the number of readings that it took. After an error the
	// connection is of no use.
	exchange(now, deadline time.Time) (items int, code string, err error)
	// rest is called after it has been idle for restEvery, where that is not 0.
	rest(deadline time.Time) error
	restEvery() time.Duration
	close()
}

func (s *Spec) check() error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("load %s on %s: %w: %s", s.Name, s.API, ErrUnsupported, fmt.Sprintf(format, args...))
	}
	switch s.API {
	case RESTSync, MQTT:
		if n := len(s.Senders); n < s.Users {
			return fault("%d devices are fewer than %d users, and each speaks for one at least", n, s.Users)
		}
	case RESTControl, RESTRead, GraphQL, WS:
		if len(s.Asked) == 0 {
			return fault("no devices to ask for")
		}
	default:
		return fault("there are rest-sync, rest-control, rest-read, graphql, mqtt and ws")
	}
	switch {
	case s.Users < 1:
		return fault("no users")
	case s.API == MQTT && s.Broker == "":
		return fault("nothing says where the broker is")
	case s.Profile.Length() <= 0:
		return fault("it takes no time")
	case s.Profile.Count() <= 0 && !s.Closed && s.API != WS:
		return fault("its rate is 0")
	}
	return nil
}

// Run puts on the load and returns when its time is over and every answer is in.
func Run(ctx context.Context, s Spec) (Result, error) {
	if err := s.check(); err != nil {
		return Result{}, err
	}
	if s.Dial == nil {
		d := net.Dialer{Timeout: giveUp}
		s.Dial = func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	}
	j := &job{Spec: &s, begun: make(chan struct{}), length: s.Profile.Length(), shards: make([]shard, runtime.GOMAXPROCS(0))}
	for i := range j.shards {
		j.shards[i].seen = metric.NewLoad()
		j.shards[i].seen.Watch(j.length.Seconds())
	}
	users := make([]*user, s.Users)
	for i := range users {
		users[i] = j.user(i)
	}
	// Connections are opened before the clock starts, a few at a time. Who only listens does
	// so from then on: what came before the start must not lie there until it.
	var (
		opened, wg sync.WaitGroup
		slots      = make(chan struct{}, dialling)
		connected  atomic.Int64
	)
	for _, u := range users {
		opened.Add(1)
		wg.Go(func() {
			slots <- struct{}{}
			u.connect(ctx)
			<-slots
			if u.up {
				connected.Add(1)
			}
			opened.Done()
			u.run(ctx)
		})
	}
	opened.Wait()
	j.start = time.Now().Add(20 * time.Millisecond)
	close(j.begun)
	wg.Wait()
	out := Result{Load: metric.NewLoad(), Acked: map[string][]int64{}}
	for i := range j.shards {
		out.Load.Merge(j.shards[i].seen)
	}
	for _, u := range users {
		u.client.close()
		if s, ok := u.client.(sender); ok {
			s.acknowledged(out.Acked)
		}
		if out.Err == nil {
			out.Err = u.err
		}
	}
	// What was answered late took that time too: a rate must not profit from it.
	out.Load.Ran((max(j.length, time.Since(j.start)) - s.Ramp).Seconds(), connected.Load())
	return out, nil
}

// sender is a client that sends readings.
type sender interface {
	// acknowledged adds the timestamps of those that were acknowledged.
	acknowledged(into map[string][]int64)
}

// job is a load while it is put on.
type job struct {
	*Spec
	begun  chan struct{} // closed when start is known
	start  time.Time
	length time.Duration
	shards []shard // as many as processors, so that users seldom wait for each other
}

// shard is where some of the users write down what they see.
type shard struct {
	mu   sync.Mutex
	seen *metric.Load
	_    [40]byte // keeps shards on cache lines of their own
}

// user is one client that works through its arrivals.
type user struct {
	*job
	index    int
	client   client
	shard    *shard
	arrivals *arrivals
	timer    *time.Timer
	used     time.Time // when the connection was used last
	up       bool      // the connection is open
	err      error
}

func (j *job) user(i int) *user {
	rng := rand.New(rand.NewPCG(j.Seed, uint64(i)+1))
	u := &user{job: j, index: i, shard: &j.shards[i%len(j.shards)]}
	var random *rand.Rand
	if j.Random {
		random = rand.New(rand.NewPCG(j.Seed, uint64(i)+1<<32))
	}
	u.arrivals = newArrivals(j.Profile, i, j.Users, random)
	switch j.API {
	case MQTT:
		u.client = newPublisher(j.Spec, newReadings(j.Spec, i, rng))
	case WS:
		u.client = newSubscriber(j.Spec, j.Asked[i%len(j.Asked)])
	default:
		u.client = newRequester(j.Spec, i, rng)
	}
	return u
}

func (u *user) connect(ctx context.Context) {
	err := u.client.connect(ctx)
	u.used = time.Now()
	if u.up = err == nil; !u.up {
		u.failed(err)
	}
}

func (u *user) failed(err error) {
	if u.err == nil {
		u.err = fmt.Errorf("load %s, user %d: %w", u.Name, u.index+1, err)
	}
	u.client.close()
	u.up = false
}

// send sends what is due and notes what became of it.
func (u *user) send(ctx context.Context, due time.Time) {
	a := metric.Answer{DueS: due.Sub(u.start).Seconds(), Ramp: due.Sub(u.start) < u.Ramp}
	var err error
	a.Items, a.Code, err = u.attempt(ctx, due)
	a.MS = float64(time.Since(due)) / 1e6
	if err != nil {
		if ctx.Err() != nil {
			return // it was cut off, and is nobody's fault
		}
		a.Code = reason(err)
		u.failed(err)
	} else if a.Code != "" && u.err == nil {
		u.err = fmt.Errorf("load %s: answered %s", u.Name, a.Code)
	}
	u.note(a)
}

func (u *user) note(a metric.Answer) {
	u.shard.mu.Lock()
	u.shard.seen.Request(a)
	u.shard.mu.Unlock()
}

// attempt sends the request that is due, on a new connection where there is none.
func (u *user) attempt(ctx context.Context, due time.Time) (int64, string, error) {
	now := time.Now()
	rested := u.up && now.Sub(u.used) > stale
	for {
		if !u.up {
			if u.connect(ctx); !u.up {
				return 0, "", errNotConnected
			}
		}
		items, code, err := u.client.exchange(now, due.Add(giveUp))
		u.used = time.Now()
		// A server may close a connection that nobody uses. What was sent into it is
		// sent again: readings and commands take effect once.
		if err == nil || !rested || !gone(err) {
			return int64(items), code, err
		}
		rested, u.up = false, false
		u.client.close()
	}
}

var errNotConnected = errors.New("not connected")

// gone tells an error of a connection that the other side had closed.
func gone(err error) bool {
	return strings.Contains(reason(err), "closed") || reason(err) == "reset"
}

// reason is a short word for an error, for counts.
func reason(err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, errNotConnected):
		return "not connected"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case isEnd(err):
		return "closed"
	}
	return "broken answer"
}

// run works through what is due. Each request is sent at its instant, or as soon
// as the one before is answered when that is later.
func (u *user) run(ctx context.Context) {
	u.timer = time.NewTimer(time.Hour)
	defer u.timer.Stop()
	if s, ok := u.client.(*subscriber); ok {
		u.subscribe(ctx, s)
		return
	}
	<-u.begun
	if u.Closed {
		u.loop(ctx)
		return
	}
	for {
		at, ok := u.arrivals.next()
		if !ok {
			return
		}
		due := u.start.Add(at)
		waited, ok := u.wait(ctx, due)
		if !ok {
			return
		}
		late := time.Since(due)
		if waited {
			u.shard.mu.Lock()
			u.shard.seen.Late(float64(late) / 1e6)
			u.shard.mu.Unlock()
		}
		if late >= giveUp { // nobody would wait for its answer any more
			u.note(metric.Answer{DueS: at.Seconds(), MS: float64(late) / 1e6, Code: "dropped", Ramp: at < u.Ramp, Dropped: true})
			if u.err == nil {
				u.err = fmt.Errorf("load %s, user %d: %v behind", u.Name, u.index+1, giveUp)
			}
			continue
		}
		u.send(ctx, due)
	}
}

// loop is a closed loop: the next request is due when the answer to the one
// before has been thought about. Users come one after the other during the ramp.
func (u *user) loop(ctx context.Context) {
	end := u.start.Add(u.length)
	due := u.start.Add(u.Ramp * time.Duration(u.index) / time.Duration(u.Users))
	for due.Before(end) {
		if _, ok := u.wait(ctx, due); !ok {
			return
		}
		now := time.Now() // a closed loop charges nobody for its own delay
		u.send(ctx, now)
		if due = time.Now().Add(u.Think); !u.up {
			due = due.Add(time.Second) // where nobody is there, nobody is asked without pause
		}
	}
}

// wait waits for an instant, and keeps the connection alive meanwhile. It tells
// whether there was anything to wait for; ok is false when ctx has ended.
func (u *user) wait(ctx context.Context, until time.Time) (waited, ok bool) {
	every := u.client.restEvery()
	for {
		d := time.Until(until)
		if d <= 0 {
			return waited, ctx.Err() == nil
		}
		waited = true
		rest := every > 0 && u.up && time.Until(u.used.Add(every)) < d
		if rest {
			d = time.Until(u.used.Add(every))
		}
		u.timer.Reset(d)
		select {
		case <-u.timer.C:
		case <-ctx.Done():
			return waited, false
		}
		if rest {
			u.used = time.Now()
			if err := u.client.rest(u.used.Add(giveUp)); err != nil {
				u.failed(err)
			}
		}
	}
}
