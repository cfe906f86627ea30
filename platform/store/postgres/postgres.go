// Package postgres is a history of readings in a PostgreSQL database: the same promises
// and the same answers as platform/store/series, for plants whose readings shall lie in a
// server of their own.
//
// The log is the truth and this is a view of it. Readings are written in its order, in
// batches: one transaction copies them in and notes the sequence that they came with, so
// that after a crash of either side nothing is missing and nothing is there twice. What is
// appended waits in memory of bounded size; what does not fit there is read from the log
// again, which is kept until this store has committed it. While the server is away readings
// are acknowledged as before, questions are answered with series.ErrAway, and afterwards
// the store catches up.
//
// Readings and each tier are tables that are partitioned by time, so that what is kept no
// longer goes as whole tables. Tiers are made hour by hour once an hour is past; an hour
// that readings came late for is made again, and answered from the readings until then.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// Kind is the name of this store in a Condition.
const Kind = "postgres"

// ErrRefused: the server answers, and what lies there must not be used: it belongs to
// another plant or another log, a newer program has written it, or the server does not
// keep what it has committed.
var ErrRefused = errors.New("the history's database must not be used")

const (
	bufferRows   = 1 << 16 // about 11 MB that wait, and as much that are being written
	connections  = 8       // for questions and tiers, beside the one that writes
	firstRetry   = 100 * time.Millisecond
	lastRetry    = 5 * time.Second
	openPatience = 10 * time.Second // for a server that answers at the start
	readPatience = 2 * time.Second  // of a question, for what was appended before it
	writeTimeout = 2 * time.Minute  // of a batch
)

// Log is the log that the store is a view of.
type Log interface {
	// Bounds are the first and the last sequence that the log has; first is last+1 when it
	// has none.
	Bounds() (first, last uint64, err error)
	// Replay calls fn with the readings from sequence from on, until the end or ctx's.
	Replay(ctx context.Context, from uint64, fn func(seq uint64, f *device.Readings)) error
}

// Server is where the database is.
type Server struct {
	DSN      string // as of libpq, without a password
	Password string // empty: as PGPASSWORD or the password file of libpq say
	Schema   string // of the tables; default yunchu
}

// Options say what is kept where.
type Options struct {
	Server
	Plant  string                      // whose history it is: no other plant may write to the schema
	Source Log                         // what is read again
	Keep   time.Duration               // how long readings are kept; 0: for ever
	Tiers  []series.Tier               // what is stored beside them, by ascending step; nil: series.DefaultTiers
	Name   func(device.Slot) device.ID // for the table of devices; default: the slot's digits
	Log    *slog.Logger                // default: none
}

// Store is a history in a database. Append is called by one goroutine at a time,
// everything else by any.
type Store struct {
	opt    Options
	log    *slog.Logger
	config *pgx.ConnConfig
	pool   *pgxpool.Pool
	life   context.Context
	end    context.CancelFunc
	ended  sync.WaitGroup

	// writing is held while a batch or a claim of hours is one transaction, so that every
	// reading is either in the snapshot that an hour is made from or marks it stale.
	writing sync.Mutex
	built   int64                // hours before it are made, but for stale ones; unknown: none
	named   map[device.Slot]bool // whose ids are written

	mu         sync.Mutex
	change     *sync.Cond // of anything below that somebody waits for
	closed     bool
	lastSeq    uint64 // newest sequence appended or covered
	flight     uint64 // up to it is being committed, out of the buffer; 0: nothing is
	covered    uint64 // committed; before the first connection what the log says must be
	known      bool   // covered is what the database says
	buffer     batch  // of the appended, what follows on what is committed or later
	cond       series.Condition
	failures   int // attempts to write that failed
	failure    error
	now        time.Time // as of SealIfDue
	expireAt   time.Time // as of Expire; zero: done
	staleHours bool      // some hour may have to be made
	todo       bool      // upkeep has something to do
	working    bool      // and does it
	since      map[int64]int64
	spans      map[int64][]int64 // by table: the begins of its partitions, ascending
	holes      []series.Gap
	hole       string // why what follows next does not follow on what was there; empty: it does
	faults     []series.Fault
	stats      Stats
}

var _ series.Elsewhere = (*Store)(nil)

// Stats count since the start.
type Stats struct {
	Rows     int64 // committed
	Batches  int64
	Replayed int64 // messages that were read from the log again
	Dropped  int64 // rows of impossible slots
	TooLate  int64 // rows older than what is kept
	Failures int64
	Hours    int64 // of tiers that were made
}

// Open opens the history. A server that does not answer is waited for behind: the error is
// ErrRefused, or that of options that are wrong.
func Open(opt Options) (*Store, error) {
	if opt.Tiers == nil {
		opt.Tiers = series.DefaultTiers()
	}
	for i, t := range opt.Tiers {
		if !slices.Contains(series.Steps, t.Step) || i > 0 && t.Step <= opt.Tiers[i-1].Step {
			return nil, fmt.Errorf("open history: tiers %v: ascending steps of %v", opt.Tiers, series.Steps)
		}
	}
	if opt.Name == nil {
		opt.Name = func(s device.Slot) device.ID { return device.ID(strconv.FormatUint(uint64(s), 10)) }
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Schema == "" {
		opt.Schema = defaultSchema
	}
	config, err := opt.config()
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	s := &Store{opt: opt, log: opt.Log, config: config.ConnConfig, named: map[device.Slot]bool{}, built: unknown, staleHours: true}
	s.change = sync.NewCond(&s.mu)
	s.life, s.end = context.WithCancel(context.Background())
	s.cond = series.Condition{Store: Kind, State: series.Away, Since: time.Now(), Error: "not connected yet"}
	first, _, err := opt.Source.Bounds()
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	// What the log no longer has was covered.
	s.covered = max(first, 1) - 1
	s.lastSeq = s.covered
	if s.pool, err = pgxpool.NewWithConfig(s.life, config); err != nil {
		s.end()
		return nil, fmt.Errorf("open history: %w", plain(err))
	}
	w, err := s.first()
	if err != nil {
		s.end()
		s.pool.Close()
		return nil, fmt.Errorf("open history: %w", err)
	}
	s.ended.Go(func() { s.run(w) })
	s.ended.Go(s.upkeep)
	return s, nil
}

// first makes the first connection. Of a server that does not answer there is none, and no
// error; one on which a session of before has not ended yet is asked again.
func (s *Store) first() (*pgx.Conn, error) {
	for until := time.Now().Add(openPatience); ; time.Sleep(firstRetry / 4) {
		w, err := s.connect(s.life)
		switch {
		case err == nil:
			return w, nil
		case errors.Is(err, errLocked) && time.Now().Before(until):
			continue
		case errors.Is(err, ErrRefused) && !errors.Is(err, errLocked):
			return nil, err
		}
		s.stand(err)
		return nil, nil
	}
}

// Append takes the readings into memory, or leaves them in the log where there is no room.
// It never waits.
func (s *Store) Append(seq uint64, f *device.Readings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || seq <= s.lastSeq {
		return
	}
	s.lastSeq = seq
	if b := &s.buffer; b.empty() || b.last() == seq-1 && b.rows()+f.Rows() <= bufferRows {
		b.add(seq, f)
	}
	s.change.Broadcast()
}

// Covered is the last log sequence that is committed.
func (s *Store) Covered() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.covered
}

// Stats counts.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Condition says how the store stands.
func (s *Store) Condition() series.Condition {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cond
	c.Behind = s.lastSeq - min(s.covered, s.lastSeq)
	if c.State == series.Ready && s.behind() {
		c.State = series.Behind
	}
	return c
}

// behind reports whether readings wait that are not in memory. It is called with the lock
// held.
func (s *Store) behind() bool {
	have := max(s.covered, s.flight)
	return s.lastSeq > have && (s.buffer.empty() || s.buffer.first() > have+1)
}

// stand notes how the store stands.
func (s *Store) stand(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, text := series.Ready, ""
	switch {
	case errors.Is(err, ErrRefused):
		state, text = series.Refused, err.Error()
	case err != nil:
		state, text = series.Away, err.Error()
	}
	s.flight = 0
	if err != nil {
		s.failures++
		s.stats.Failures++
		s.failure = err
	}
	if state != s.cond.State {
		s.cond.Since = time.Now()
		if err != nil {
			s.log.Error("history not written; readings stay in the log", "store", Kind, "state", state, "error", err)
		} else {
			s.log.Info("history connected", "store", Kind, "covered", s.covered, "behind", s.lastSeq-min(s.covered, s.lastSeq))
		}
	}
	s.cond.State, s.cond.Error = state, text
	s.change.Broadcast()
}

// Seal returns when everything appended so far is committed, or with the error of the
// attempt, which is repeated in the background.
func (s *Store) Seal(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wake(ctx)()
	failures, goal := s.failures, s.lastSeq
	for {
		switch {
		case s.known && s.covered >= goal:
			return nil
		case s.closed:
			return series.ErrClosed
		case ctx.Err() != nil:
			return fmt.Errorf("seal history: %w", ctx.Err())
		case s.failures > failures:
			return s.failure
		case s.cond.State == series.Away || s.cond.State == series.Refused:
			return fmt.Errorf("%w: %s", series.ErrAway, s.cond.Error)
		}
		s.change.Wait()
	}
}

// wake lets a wait on change see the end of ctx. It is called with the lock held; what it
// returns is, too.
func (s *Store) wake(ctx context.Context) (stop func()) {
	end := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.change.Broadcast()
	})
	return func() { end() }
}

// SealIfDue makes the tiers of hours that are past at now, behind.
func (s *Store) SealIfDue(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !now.Equal(s.now) {
		s.now, s.todo = now, true
		s.change.Broadcast()
	}
}

// Expire drops what is kept no longer at now, behind. How much that is nobody counts.
func (s *Store) Expire(now time.Time) (rows int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireAt, s.todo = now, true
	s.change.Broadcast()
	return 0
}

// Settle returns when everything is committed and every tier made, or when an attempt to
// has failed.
func (s *Store) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for failures := s.failures; (s.covered < s.lastSeq || s.todo || s.working) && !s.closed && s.failures == failures && s.cond.State == series.Ready; {
		s.change.Wait()
	}
}

// Faults lists the damage that was found.
func (s *Store) Faults() []series.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

// Close stops. A batch that is being committed is committed or not; the log has it.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.change.Broadcast()
	s.mu.Unlock()
	s.end()
	s.ended.Wait()
	s.pool.Close()
	return nil
}
