package sched_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"yunchu/platform/sched"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

// journal notes what ran when.
type journal []string

func (j *journal) note(what string) func(time.Time) {
	return func(now time.Time) { *j = append(*j, fmt.Sprint(now.Sub(start), " ", what)) }
}

func (j *journal) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(*j, want) {
		t.Errorf("ran\n%q\nwant\n%q", *j, want)
	}
}

func virtual() *sched.Scheduler { return sched.New(sched.NewVirtual(start)) }

func run(t *testing.T, s *sched.Scheduler, until time.Time) {
	t.Helper()
	if err := s.Run(t.Context(), until); err != nil {
		t.Fatal(err)
	}
}

func TestEventsRunByInstantPriorityAndInsertion(t *testing.T) {
	type row struct {
		at   time.Duration
		prio sched.Priority
		name string
	}
	rows := []row{
		{time.Second, sched.Physics, "physics"},
		{time.Second, sched.Arrival, "arrival 1"},
		{time.Second, sched.Arrival, "arrival 2"},
		{time.Second, sched.Image, "image"},
		{time.Second, sched.Decide, "decide"},
		{time.Second, sched.Write, "write"},
		{time.Second, sched.Check, "check"},
		{2 * time.Second, sched.Physics, "later"},
	}
	var want []string
	for _, r := range rows {
		want = append(want, fmt.Sprint(r.at, " ", r.name))
	}
	for seed := range uint64(20) {
		var j journal
		s := virtual()
		for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(len(rows)) {
			if r := rows[i]; r.prio != sched.Arrival {
				s.At(at(r.at), r.prio, j.note(r.name))
			} else if r.name == "arrival 1" { // the two keep the order of insertion
				s.At(at(r.at), r.prio, j.note("arrival 1"))
				s.At(at(r.at), r.prio, j.note("arrival 2"))
			}
		}
		run(t, s, at(time.Minute))
		j.want(t, want...)
	}
}

func TestRunUntil(t *testing.T) {
	var j journal
	s := virtual()
	s.At(at(time.Second), sched.Check, j.note("before"))
	s.At(at(2*time.Second), sched.Check, j.note("at"))
	s.At(at(2*time.Second+1), sched.Physics, j.note("after"))
	run(t, s, at(2*time.Second))
	j.want(t, "1s before", "2s at")
	if !s.Now().Equal(at(2 * time.Second)) {
		t.Errorf("time stands at %v, want 2 s", s.Now().Sub(start))
	}
	run(t, s, at(time.Hour))
	j.want(t, "1s before", "2s at", "2.000000001s after")
	if !s.Now().Equal(at(time.Hour)) {
		t.Errorf("time stands at %v, want the end of the run", s.Now().Sub(start))
	}
}

func TestEventsMadeByEvents(t *testing.T) {
	var j journal
	s := virtual()
	s.At(at(time.Second), sched.Decide, func(now time.Time) {
		j.note("decide")(now)
		s.At(now, sched.Write, j.note("write"))
		s.At(now, sched.Physics, j.note("physics of the same instant"))
		s.At(start, sched.Check, j.note("past"))
	})
	s.At(at(2*time.Second), sched.Physics, j.note("next"))
	run(t, s, at(3*time.Second))
	j.want(t, "1s decide", "1s past", "1s physics of the same instant", "1s write", "2s next")
}

func TestEvery(t *testing.T) {
	var j journal
	s := virtual()
	n := 0
	s.Every(at(500*time.Millisecond), time.Second, sched.Check, func(now time.Time) bool {
		j.note("tick")(now)
		n++
		return n < 3
	})
	run(t, s, at(time.Minute))
	j.want(t, "500ms tick", "1.5s tick", "2.5s tick")
}

func TestEveryKeepsItsGridWhenItBeginsLate(t *testing.T) {
	var j journal
	s := sched.New(sched.NewVirtual(at(3700 * time.Millisecond)))
	s.Every(start, time.Second, sched.Check, func(now time.Time) bool { j.note("tick")(now); return true })
	run(t, s, at(6*time.Second))
	j.want(t, "3.7s tick", "4s tick", "5s tick", "6s tick")
}

func TestEveryRefusesNoPeriod(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a period of 0 is taken")
		}
	}()
	virtual().Every(start, 0, sched.Check, func(time.Time) bool { return false })
}

func TestPostsThatWaitTogetherAreSorted(t *testing.T) {
	want := []string{"0s a1", "0s a2", "0s b1", "0s b2", "0s c1", "0s event"}
	for range 20 {
		var j journal
		s := virtual()
		s.At(start, sched.Physics, j.note("event"))
		var wg sync.WaitGroup
		for _, source := range []string{"c", "a", "b"} {
			wg.Go(func() {
				s.Post(source, j.note(source+"1"))
				if source != "c" {
					s.Post(source, j.note(source+"2"))
				}
			})
		}
		wg.Wait()
		run(t, s, at(time.Second))
		j.want(t, want...)
	}
}

func TestTimeStandsStillWhileWorkIsOutside(t *testing.T) {
	for range 20 {
		var j journal
		s := virtual()
		s.At(at(time.Second), sched.Write, func(now time.Time) {
			j.note("sent")(now)
			for _, name := range []string{"x", "y"} {
				s.Enter()
				go func() {
					time.Sleep(rand.N(200 * time.Microsecond))
					s.Post(name, j.note("answer "+name))
					s.Leave()
				}()
			}
		})
		s.At(at(time.Second+1), sched.Physics, j.note("next"))
		run(t, s, at(time.Minute))
		j.want(t, "1s sent", "1s answer x", "1s answer y", "1.000000001s next")
	}
}

// An answer that sends more work out holds time again.
func TestWorkSentOutByAPostHoldsTime(t *testing.T) {
	var j journal
	s := virtual()
	s.Post("first", func(now time.Time) {
		j.note("first")(now)
		s.Enter()
		go func() {
			time.Sleep(2 * time.Millisecond)
			s.Post("second", j.note("second"))
			s.Leave()
		}()
	})
	s.At(at(time.Second), sched.Physics, j.note("event"))
	run(t, s, at(time.Second))
	j.want(t, "0s first", "0s second", "1s event")
}

func TestCancelEndsTheWaitForWorkOutside(t *testing.T) {
	for range 50 {
		s := virtual()
		s.Enter()
		s.At(start, sched.Physics, func(time.Time) { t.Error("an event ran while work was outside") })
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(rand.N(100 * time.Microsecond)); cancel() }()
		if err := s.Run(ctx, at(time.Second)); !errors.Is(err, context.Canceled) {
			t.Fatalf("Run() = %v, want Canceled", err)
		}
	}
}

func TestCancelledRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := virtual()
	n := 0
	s.Every(start, time.Second, sched.Check, func(time.Time) bool {
		if n++; n == 10 {
			cancel()
		}
		return true
	})
	if err := s.Run(ctx, time.Time{}); !errors.Is(err, context.Canceled) || n != 10 {
		t.Errorf("Run() = %v after %d events, want Canceled after 10", err, n)
	}
}

// What is posted while a run is being cancelled is for the next one: somebody who waits
// for it would wait for ever.
func TestPostOutlivesACancelledRun(t *testing.T) {
	for name, clock := range map[string]sched.Clock{"virtual": sched.NewVirtual(start), "wall": sched.NewWall()} {
		s := sched.New(clock)
		ctx, cancel := context.WithCancel(t.Context())
		ran := false
		s.At(s.Now(), sched.Check, func(time.Time) {
			cancel()
			s.Post("test", func(time.Time) { ran = true })
		})
		if err := s.Run(ctx, time.Time{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: a cancelled run ends with %v", name, err)
		}
		run(t, s, s.Now().Add(time.Millisecond))
		if !ran {
			t.Errorf("%s: what was posted while the run was cancelled was lost", name)
		}
	}
}

func TestSchedulerWithNothingToDoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		s := virtual()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Minute)
			s.Post("api", j.note("command"))
			time.Sleep(time.Minute)
			cancel()
		}()
		if err := s.Run(ctx, time.Time{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v, want Canceled", err)
		}
		j.want(t, "0s command")
		if !s.Now().Equal(start) {
			t.Errorf("time went on to %v with nothing to do", s.Now())
		}
	})
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := sched.NewVirtual(start)
		s := sched.New(v)
		if !s.Virtual() {
			t.Error("Virtual() = false on a virtual clock")
		}
		began := time.Now()
		wall := func(want time.Duration) func(time.Time) {
			return func(now time.Time) {
				if got := time.Since(began); got != want {
					t.Errorf("simulated %v ran %v after the start, want %v", now.Sub(start), got, want)
				}
			}
		}
		v.SetPace(10)
		s.At(at(10*time.Second), sched.Check, wall(time.Second))
		s.At(at(20*time.Second), sched.Check, func(now time.Time) { wall(2 * time.Second)(now); v.SetPace(1) })
		s.At(at(23*time.Second), sched.Check, func(now time.Time) { wall(5 * time.Second)(now); v.SetPace(0) })
		s.At(at(time.Hour), sched.Check, wall(5*time.Second))
		// What comes from outside does not wait for the next event.
		answered := make(chan time.Duration, 1)
		go func() {
			time.Sleep(1500 * time.Millisecond)
			s.Post("api", func(time.Time) { answered <- time.Since(began) })
		}()
		run(t, s, at(2*time.Hour))
		if got := <-answered; got != 1500*time.Millisecond {
			t.Errorf("the post was answered %v after the start, want 1.5 s", got)
		}
	})
}

func TestWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sched.New(sched.NewWall())
		if s.Virtual() {
			t.Error("Virtual() = true on the wall clock")
		}
		began := s.Now()
		if began.Location() != time.UTC {
			t.Errorf("Now() is in %v, want UTC", began.Location())
		}
		var lags []time.Duration
		s.Lag = func(d time.Duration) { lags = append(lags, d) }
		var ticks []time.Duration
		s.Every(began.Add(time.Second), time.Second, sched.Decide, func(now time.Time) bool {
			ticks = append(ticks, now.Sub(began))
			if len(ticks) == 2 {
				time.Sleep(2500 * time.Millisecond) // overruns until 4.5 s
			}
			return true
		})
		go func() {
			time.Sleep(1200 * time.Millisecond)
			s.Post("api", func(now time.Time) {
				if d := now.Sub(began); d != 1200*time.Millisecond {
					t.Errorf("posted at 1.2 s, ran at %v", d)
				}
			})
		}()
		if err := s.Run(t.Context(), began.Add(6*time.Second)); err != nil {
			t.Fatal(err)
		}
		// 3 s is skipped, 4 s comes late, 5 s is on the grid again
		ms := time.Millisecond
		if want := []time.Duration{1000 * ms, 2000 * ms, 4500 * ms, 5000 * ms, 6000 * ms}; !slices.Equal(ticks, want) {
			t.Errorf("ticks at %v, want %v", ticks, want)
		}
		if want := []time.Duration{0, 0, 500 * ms, 0, 0}; !slices.Equal(lags, want) {
			t.Errorf("lags %v, want %v", lags, want)
		}
		if d := time.Since(began); d != 6*time.Second {
			t.Errorf("Run() returned after %v, want 6 s", d)
		}
	})
}

func TestCancelEndsTheWaitOnTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sched.New(sched.NewWall())
		s.At(s.Now().Add(time.Hour), sched.Check, func(time.Time) { t.Error("ran") })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := s.Run(ctx, time.Time{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("Run() = %v after %v, want DeadlineExceeded after 1 s", err, time.Since(began))
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	s := virtual()
	n := 0
	s.Every(start, time.Second, sched.Physics, func(time.Time) bool { n++; return n < b.N })
	b.ResetTimer()
	if err := s.Run(b.Context(), at(time.Duration(b.N+1)*time.Second)); err != nil {
		b.Fatal(err)
	}
}
