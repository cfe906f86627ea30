package promql

import (
	"context"
	"math"
)

// Summary is what the samples of a series amount to in one step: N of them at
// At ≤ t < At + step.
type Summary struct {
	At                     int64 // ms UTC
	N, Sum, Min, Max, Last float64
	Edge                   Edge // whether there is a sample exactly at At
	First                  float64
}

// Edge tells of the begin of a step.
type Edge uint8

// Whether there is a sample exactly at the begin of a step.
const (
	NoEdge      Edge = iota // there is none
	KnownEdge               // there is: First
	UnknownEdge             // there may be, and its value is not known
)

// Summarizer is a Source that keeps what samples amount to in steps. A query whose instants
// and ranges are multiples of one is answered by them where that gives the same answer: a
// range is t-r < x ≤ t and a step At ≤ x < At + step, so that what lies exactly on a border
// is moved from one side to the other, and where that cannot be done the samples are read.
type Summarizer interface {
	// SummarySteps are the steps that there are, ms, ascending.
	SummarySteps() []int64
	// Summaries calls yield with those of each series with from ≤ At < to, ascending; i is
	// the index in refs. It is not called for a series of which they cannot be told; what is
	// told again holds. The list is valid until yield returns.
	Summaries(ctx context.Context, refs []Ref, step, from, to int64, yield func(i int, list []Summary) error) error
}

// Of shorter times samples are read: that is no more work.
const summarizeFrom = 2 * 3600_000

// reducers make one value of a range of which n, sum, min, max and the last sample are known.
var reducers = map[string]func(s *Summary) float64{
	"avg_over_time":     func(s *Summary) float64 { return s.Sum / s.N },
	"sum_over_time":     func(s *Summary) float64 { return s.Sum },
	"count_over_time":   func(s *Summary) float64 { return s.N },
	"min_over_time":     func(s *Summary) float64 { return s.Min },
	"max_over_time":     func(s *Summary) float64 { return s.Max },
	"last_over_time":    func(s *Summary) float64 { return s.Last },
	"present_over_time": func(*Summary) float64 { return 1 },
}

// summaryStep is the longest step that ranges and instants are multiples of, 0 for none.
func (ev *evaluator) summaryStep(from, length, first int64) (step int64) {
	src, ok := ev.src.(Summarizer)
	if !ok || ev.instantsEnd(first)-from < summarizeFrom {
		return 0
	}
	for _, s := range src.SummarySteps() {
		if length%s == 0 && ev.span.Step%s == 0 && first%s == 0 {
			step = s
		}
	}
	return step
}

// instantsEnd is the last instant of those that begin at first.
func (ev *evaluator) instantsEnd(first int64) int64 {
	return first + ev.span.At(ev.span.Steps()-1) - ev.span.Start
}

// summarized fills in the values of series from what is kept of them; done says of which.
func (ev *evaluator) summarized(refs []Ref, op string, step, length int64, instant func(i int) int64, out []Series) (done []bool, err error) {
	done = make([]bool, len(refs))
	last := instant(ev.span.Steps() - 1)
	err = ev.src.(Summarizer).Summaries(ev.ctx, refs, step, instant(0)-length, last+step, func(i int, list []Summary) (err error) {
		done[i], err = ev.summarize(list, op, length, instant, out[i].Values)
		return err
	})
	return done, err
}

// summarize fills in the values of a series; false where samples have to be read.
func (ev *evaluator) summarize(list []Summary, op string, length int64, instant func(i int) int64, values []float64) (bool, error) {
	begin := 0
	for k := range values {
		to := instant(k)
		from := to - length
		for begin < len(list) && list[begin].At < from {
			begin++
		}
		var s Summary
		s.Min, s.Max = math.NaN(), math.NaN()
		end := begin
		for ; end < len(list) && list[end].At < to; end++ {
			x := list[end]
			if x.At == from && x.Edge != NoEdge && !x.cutEdge(op) {
				return false, nil
			}
			s.add(&x)
		}
		if end < len(list) && list[end].At == to {
			switch x := &list[end]; x.Edge {
			case UnknownEdge:
				return false, nil
			case KnownEdge:
				s.add(&Summary{N: 1, Sum: x.First, Min: x.First, Max: x.First, Last: x.First})
			}
		}
		if err := ev.look(end - begin); err != nil {
			return false, err
		}
		if values[k] = Absent(); s.N > 0 {
			values[k] = reducers[op](&s)
		}
	}
	return true, nil
}

// cutEdge takes the sample at the begin of the step away; false where what is left is not
// known.
func (s *Summary) cutEdge(op string) bool {
	if s.Edge == UnknownEdge || s.N > 1 && (op == "min_over_time" && s.First <= s.Min || op == "max_over_time" && s.First >= s.Max) {
		return false
	}
	s.N--
	s.Sum -= s.First
	return true
}

// add joins a later step.
func (s *Summary) add(x *Summary) {
	if x.N == 0 {
		return
	}
	if s.N == 0 {
		s.Min, s.Max = x.Min, x.Max
	}
	s.N += x.N
	s.Sum += x.Sum
	s.Min, s.Max, s.Last = min(s.Min, x.Min), max(s.Max, x.Max), x.Last
}
