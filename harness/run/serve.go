package run

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"yunchu/harness/load"
	"yunchu/harness/report"
	"yunchu/platform"
	"yunchu/platform/api"
	"yunchu/platform/auth"
	"yunchu/platform/device"
)

// server is the API over a run.
type server struct {
	address string
	stop    context.CancelFunc
	done    chan error
}

// access is who may use the API of a run. It outlives a restart.
type access struct {
	authority *auth.Authority
	token     string // an engineer's, for the load
	viewer    string // for the portal's address
}

func newAccess(ctx context.Context, opt Options) (*access, error) {
	a := &access{token: opt.Token}
	if a.token == "" {
		a.token = rand.Text()
	}
	var err error
	now := time.Now()
	a.authority, err = auth.New(&memory{records: map[[2]string][]byte{}}, now, auth.Options{Static: a.token, Log: opt.Log})
	if err != nil {
		return nil, err
	}
	viewer, err := a.authority.Issue(ctx, now, "run", auth.Grant{Name: "portal", Role: auth.Viewer})
	a.viewer = viewer.Secret
	return a, err
}

// memory keeps tokens of a run in virtual time out of its log, whose hash must
// not know random secrets.
type memory struct {
	mu      sync.Mutex
	records map[[2]string][]byte
}

func (m *memory) Put(kind, key, _ string, value []byte, done func(error)) {
	m.mu.Lock()
	if len(value) == 0 {
		delete(m.records, [2]string{kind, key})
	} else {
		m.records[[2]string{kind, key}] = value
	}
	m.mu.Unlock()
	done(nil)
}

// Act forgets it: a run has no audit.
func (*memory) Act(device.Act) {}

func (m *memory) Load(kind string, each func(key string, value []byte)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.records {
		if k[0] == kind {
			each(k[1], v)
		}
	}
	return nil
}

// listen opens the API on an address.
func (r *Run) listen(address string) (*server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	about := platform.AboutThis(r.Scenario.Name, r.opt.Binary, r.opt.Tags, r.world != nil || r.rig != nil, time.Now())
	s, err := api.New(api.Options{
		Plant: r.plant.Face(about, r), Auth: r.access.authority, Bus: r.bus, Log: r.opt.Log, UI: r.opt.UI,
		Now: r.Sched.Now, Wall: r.machine.now,
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	ctx, stop := context.WithCancel(r.ctx)
	out := &server{address: l.Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() { out.done <- s.Serve(ctx, l) }()
	return out, nil
}

// closeAPI lets the requests that were begun end. Some of them wait for the loop,
// which stands still meanwhile: they are answered here.
func (r *Run) closeAPI() error {
	r.api.stop()
	for {
		select {
		case err := <-r.api.done:
			r.api = nil
			return err
		case <-time.After(time.Millisecond):
			// Nothing on the queue is this old, so only what was posted runs.
			if err := r.Sched.Run(r.ctx, time.Unix(0, 0)); err != nil {
				return err
			}
		}
	}
}

// portal is where people look at the run.
func (r *Run) portal() string {
	return fmt.Sprintf("http://%s/#token=%s", r.api.address, r.access.viewer)
}

// Run implements platform.Driver.
func (r *Run) Run() api.Run {
	speed := 1.0
	if wall := time.Since(r.began).Seconds(); r.Scenario.Virtual() && wall > 0 {
		speed = r.elapsed(r.Sched.Now()).Seconds() / wall
	}
	return api.Run{Scenario: r.Scenario.Name, Clock: r.Scenario.Clock, Speed: speed}
}

// Scores implements platform.Driver: where the scores stand now.
func (r *Run) Scores() []api.Score {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]api.Score, 0, len(r.Scenario.Score))
	for _, sc := range r.Scenario.Score {
		limit := ""
		if !sc.Limit.IsZero() {
			limit = sc.Limit.String()
		}
		j := report.Judge(r.Metrics, sc.Metric, sc.Stat, limit, sc.Requirement)
		s := api.Score{Metric: j.Metric, Stat: j.Stat, Value: j.Value, Unit: j.Unit, Limit: j.Limit}
		if !j.Inconclusive && limit != "" && !math.IsNaN(j.Value) {
			pass := j.Pass
			s.Pass = &pass
		}
		out = append(out, s)
	}
	return out
}

// loads starts the scenario's loads at their instants. The returned wait returns
// when all are done.
func (r *Run) loads(ctx context.Context, s *server) {
	for i := range r.Scenario.Load {
		l := &r.Scenario.Load[i]
		spec := load.Of(l, load.Target{Address: s.address, Token: r.access.token}, r.Scenario.Asked(l), r.Scenario.Seed)
		r.loading.Go(func() {
			select {
			case <-time.After(time.Until(r.start.Add(l.At))):
			case <-ctx.Done():
				return
			}
			res, err := load.Run(ctx, spec)
			r.mu.Lock()
			defer r.mu.Unlock()
			if err != nil {
				r.loadErrs = append(r.loadErrs, err)
				return
			}
			r.Metrics.Load(spec.Name).Merge(res.Load)
			if res.Err != nil {
				r.event(r.Sched.Now(), "load", device.Warning, device.Plant, res.Err.Error())
			}
			for id, at := range res.Acked {
				r.acked[id] = append(r.acked[id], at...)
			}
		})
	}
}
