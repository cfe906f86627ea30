package promql_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"yunchu/platform/promql"
)

// kept is a source in memory that also keeps what samples amount to by the minute and by
// 15 minutes, and knows the first sample of a step where a series says so.
type kept struct {
	memory
	edges     []promql.Edge // what is told of a sample at the begin of a step, by series
	told, not int
}

func (k *kept) SummarySteps() []int64 { return []int64{60_000, 900_000} }

func (k *kept) Summaries(_ context.Context, refs []promql.Ref, step, from, to int64, yield func(int, []promql.Summary) error) error {
	if from%step != 0 || to%step != 0 {
		return fmt.Errorf("from %d to %d in steps of %d", from, to, step)
	}
	for i, r := range refs {
		k.told++
		if err := yield(i, k.summaries(r, step, from, to)); err != nil {
			return err
		}
	}
	return nil
}

func (k *kept) summaries(r promql.Ref, step, from, to int64) (list []promql.Summary) {
	s := k.memory[r.ID]
	for i, at := range s.at {
		if at < from || at >= to {
			continue
		}
		v := s.v[i]
		if n := len(list); n == 0 || list[n-1].At != at-at%step {
			list = append(list, promql.Summary{At: at - at%step, Min: math.Inf(1), Max: math.Inf(-1), First: v})
			if at%step == 0 {
				list[n].Edge = k.edges[r.ID]
			}
		}
		x := &list[len(list)-1]
		x.N++
		x.Sum += v
		x.Min, x.Max, x.Last = min(x.Min, v), max(x.Max, v), v
	}
	return list
}

func (k *kept) Read(ctx context.Context, refs []promql.Ref, from, to int64, yield func(int, int64, float64) bool) error {
	k.not += len(refs)
	return k.memory.Read(ctx, refs, from, to, yield)
}

// TestSummaries: what is answered from summaries is what the samples give, wherever these
// lie, on borders of steps among other places.
func TestSummaries(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	told, not := 0, 0
	for round := range 60 {
		k := &kept{memory: make(memory, 3), edges: []promql.Edge{promql.UnknownEdge, promql.KnownEdge, promql.KnownEdge}}
		for i := range k.memory {
			k.memory[i].labels = labels("__name__", "p", "d", fmt.Sprint(i))
			grid := []int64{1, 1000, 15_000}[rng.IntN(3)]
			for at := rng.Int64N(3_600_000); at < 8*3_600_000; at += 1 + rng.Int64N([]int64{20_000, 90_000, 1_200_000}[rng.IntN(3)]) {
				if x := at - at%grid; len(k.memory[i].at) == 0 || x > k.memory[i].at[len(k.memory[i].at)-1] {
					k.memory[i].at, k.memory[i].v = append(k.memory[i].at, x), append(k.memory[i].v, float64(rng.IntN(50)))
				}
			}
		}
		step := []int64{60_000, 300_000, 900_000, 3_600_000, 90_000}[rng.IntN(5)]
		span := promql.Span{Start: 3_600_000 + rng.Int64N(3)*30_000, Step: step}
		span.End = span.Start + 4*3_600_000
		for _, f := range []string{"avg", "sum", "count", "min", "max", "last", "present", ""} {
			query := fmt.Sprintf("%s_over_time(p[%dm] offset %dm)", f, []int{1, 5, 15, 60, 61}[rng.IntN(5)], rng.IntN(3))
			if f == "" {
				query = "p"
			}
			e, err := promql.Parse(query)
			if err != nil {
				t.Fatal(err)
			}
			want, err := promql.Eval(t.Context(), k.memory, e, span, promql.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := promql.Eval(t.Context(), k, e, span, promql.Limits{})
			if err != nil || show(got) != show(want) {
				t.Fatalf("round %d: %s, %+v: %v\n got %s\nwant %s", round, query, span, err, show(got), show(want))
			}
		}
		told, not = told+k.told, not+k.not
	}
	if told < 300 || not == 0 {
		t.Errorf("summaries were asked for %d times, samples %d times", told, not)
	}
}
