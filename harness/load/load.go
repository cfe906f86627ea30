// Package load sends requests to the API over real sockets, open loop: every
// request is due at an instant that does not depend on the answers before it, and
// its latency counts from then. A server that stalls is charged with every
// request that was due meanwhile (no coordinated omission).
//
// The client is as small as HTTP/1.1 allows, so that on a shared machine the
// server gets the processors.
package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"yunchu/harness/metric"
)

// Spec is one load: so many users, each on a connection of its own, that share a
// rate.
type Spec struct {
	Name    string
	API     string  // rest-sync, rest-read, rest-control
	Users   int     // connections
	Rate    float64 // requests a second of all together
	For     time.Duration
	Address string   // host:port
	Token   string   // bearer
	Devices []string // that rest-read and rest-control ask; rest-sync makes its own
	Seed    uint64
}

// Result is what a load saw.
type Result struct {
	Load  *metric.Load
	Acked map[string][]int64 // timestamps of readings that were answered 200, by device
	Err   error              // the first thing that went wrong with a connection or an answer
}

// giveUp is when a request counts as unanswered.
const giveUp = 10 * time.Second

// ErrUnsupported is returned for an API that this version puts no load on.
var ErrUnsupported = errors.New("no load generator for this API in this version")

// Run sends the load and returns when its time is over and every answer is in.
func Run(ctx context.Context, s Spec) (Result, error) {
	request, ok := map[string]func(*user, []byte, time.Time) []byte{
		"rest-sync": (*user).syncRequest, "rest-read": (*user).readRequest, "rest-control": (*user).controlRequest,
	}[s.API]
	if !ok {
		return Result{}, fmt.Errorf("load %s on %s: %w", s.Name, s.API, ErrUnsupported)
	}
	if s.API != "rest-sync" && len(s.Devices) == 0 {
		return Result{}, fmt.Errorf("load %s on %s: no devices to ask for", s.Name, s.API)
	}
	users := make([]*user, s.Users)
	var wg sync.WaitGroup
	// Connections are opened before the clock starts, a few at a time.
	slots := make(chan struct{}, 32)
	for i := range users {
		users[i] = newUser(&s, i, request)
		wg.Go(func() {
			slots <- struct{}{}
			users[i].dial(ctx)
			<-slots
		})
	}
	wg.Wait()
	start := time.Now().Add(20 * time.Millisecond)
	connected := 0
	for _, u := range users {
		if u.conn != nil {
			connected++
		}
		wg.Go(func() { u.run(ctx, start) })
	}
	wg.Wait()
	r := Result{Load: metric.NewLoad(), Acked: map[string][]int64{}}
	for _, u := range users {
		r.Load.Merge(u.seen)
		if s.API == "rest-sync" {
			r.Acked[u.device] = u.acked
		}
		if r.Err == nil {
			r.Err = u.err
		}
		u.close()
	}
	// What was answered late took that time too: a rate must not profit from it.
	r.Load.Ran(max(s.For, time.Since(start)).Seconds(), int64(connected))
	return r, nil
}

// user is one client on one connection.
type user struct {
	spec    *Spec
	index   int
	device  string
	rng     *rand.Rand
	request func(*user, []byte, time.Time) []byte
	head    []byte // of sync and control requests, up to the length
	n       int

	conn  net.Conn
	in    *bufio.Reader
	out   []byte
	body  []byte
	sent  int64 // timestamp of the reading in flight
	seen  *metric.Load
	acked []int64
	err   error
}

func newUser(s *Spec, i int, request func(*user, []byte, time.Time) []byte) *user {
	u := &user{
		spec: s, index: i, device: fmt.Sprintf("load-%s-%04d", s.Name, i+1),
		rng: rand.New(rand.NewPCG(s.Seed, uint64(i)+1)), request: request, seen: metric.NewLoad(),
	}
	path := "/api/v1/device/data/sync"
	if s.API == "rest-control" {
		path = "/api/v1/device/control"
	}
	u.head = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: ", path, s.Address, s.Token)
	return u
}

func (u *user) dial(ctx context.Context) {
	d := net.Dialer{Timeout: giveUp}
	c, err := d.DialContext(ctx, "tcp", u.spec.Address)
	if err != nil {
		u.fail(err)
		return
	}
	u.conn = c
	u.in = bufio.NewReaderSize(c, 1024)
}

func (u *user) fail(err error) {
	if u.err == nil {
		u.err = fmt.Errorf("load %s, user %d: %w", u.spec.Name, u.index+1, err)
	}
	u.close()
}

func (u *user) close() {
	if u.conn != nil {
		_ = u.conn.Close() // nothing is lost: what was answered is counted
		u.conn = nil
	}
}

// run sends each request at its instant, or as soon as the one before is
// answered when that is later.
func (u *user) run(ctx context.Context, start time.Time) {
	period := time.Duration(float64(u.spec.Users) / u.spec.Rate * float64(time.Second))
	due := start.Add(time.Duration(float64(u.index) / u.spec.Rate * float64(time.Second)))
	end := start.Add(u.spec.For)
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for ; due.Before(end); due = due.Add(period) {
		if d := time.Until(due); d > 0 {
			timer.Reset(d)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		} else if ctx.Err() != nil {
			return
		}
		if late := time.Since(due); late >= giveUp { // nobody would wait for its answer any more
			u.seen.Request(float64(late)/1e6, false)
			if u.err == nil {
				u.err = fmt.Errorf("load %s, user %d: %v behind", u.spec.Name, u.index+1, giveUp)
			}
			continue
		}
		status, err := u.exchange(ctx, due)
		ok := err == nil && status >= 200 && status < 300
		u.seen.Request(float64(time.Since(due))/1e6, ok)
		switch {
		case err != nil:
			u.fail(err)
		case ok && u.spec.API == "rest-sync":
			u.acked = append(u.acked, u.sent)
		case !ok && u.err == nil:
			u.err = fmt.Errorf("load %s: answered %d", u.spec.Name, status)
		}
	}
}

// exchange sends one request and reads its answer.
func (u *user) exchange(ctx context.Context, due time.Time) (status int, err error) {
	if u.conn == nil {
		if u.dial(ctx); u.conn == nil {
			return 0, errors.New("not connected")
		}
	}
	now := time.Now()
	u.out = u.request(u, u.out[:0], now)
	if err := u.conn.SetDeadline(due.Add(giveUp)); err != nil {
		return 0, err
	}
	if _, err := u.conn.Write(u.out); err != nil {
		return 0, err
	}
	return readAnswer(u.in)
}

// readAnswer reads the status of an HTTP/1.1 response and passes over the rest,
// which must have a length.
func readAnswer(in *bufio.Reader) (status int, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("not an HTTP answer: %.40q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("not an HTTP answer: %.40q", line)
	}
	length := -1
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if name, value, found := bytes.Cut(line, []byte(":")); found && bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, fmt.Errorf("content length %q: %w", value, err)
			}
		}
	}
	if length < 0 {
		return 0, errors.New("the answer has no length")
	}
	_, err = in.Discard(length)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return status, err
}

func (u *user) post(b []byte) []byte {
	b = append(b, u.head...)
	b = strconv.AppendInt(b, int64(len(u.body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, u.body...)
}

// syncRequest is the next reading of the user's own device: a battery of 380 V
// that charges with a slowly varying current.
func (u *user) syncRequest(b []byte, now time.Time) []byte {
	ms := now.UnixMilli()
	if ms <= u.sent { // a device's readings have distinct times
		ms = u.sent + 1
	}
	u.sent = ms
	u.n++
	volts := 380 + 4*u.rng.Float64()
	amps := 100 + 20*math.Sin(float64(u.n)/40+float64(u.index))
	u.body = append(u.body[:0], `{"deviceId":"`...)
	u.body = append(u.body, u.device...)
	u.body = append(u.body, `","timestamp":`...)
	u.body = strconv.AppendInt(u.body, ms, 10)
	u.body = append(u.body, `,"data":{"soc":`...)
	u.body = strconv.AppendFloat(u.body, 20+math.Mod(float64(u.n)*0.01, 60), 'f', 2, 64)
	u.body = append(u.body, `,"voltage":`...)
	u.body = strconv.AppendFloat(u.body, volts, 'f', 1, 64)
	u.body = append(u.body, `,"current":`...)
	u.body = strconv.AppendFloat(u.body, amps, 'f', 1, 64)
	u.body = append(u.body, `,"power":`...)
	u.body = strconv.AppendFloat(u.body, volts*amps/1000, 'f', 2, 64)
	u.body = append(u.body, `,"temperature":`...)
	u.body = strconv.AppendFloat(u.body, 25+3*u.rng.Float64(), 'f', 1, 64)
	u.body = append(u.body, `,"status":"charging"}}`...)
	return u.post(b)
}

func (u *user) readRequest(b []byte, _ time.Time) []byte {
	u.n++
	device := u.spec.Devices[(u.index+u.n)%len(u.spec.Devices)]
	return fmt.Appendf(b, "GET /api/v1/devices/%s/latest HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", device, u.spec.Address, u.spec.Token)
}

func (u *user) controlRequest(b []byte, now time.Time) []byte {
	u.n++
	device := u.spec.Devices[(u.index+u.n)%len(u.spec.Devices)]
	u.body = fmt.Appendf(u.body[:0], `{"deviceId":%q,"commandId":"load-%s-%d-%d","command":"setPower","parameters":{"power":%.1f,"duration":30},"timestamp":%d}`,
		device, u.spec.Name, u.index, u.n, 20*math.Sin(float64(u.n)), now.UnixMilli())
	return u.post(b)
}
