package promql_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"yunchu/platform/promql"
)

// memory is a source in memory.
type memory []struct {
	labels promql.Labels
	at     []int64
	v      []float64
}

func (m memory) Select(_ context.Context, ms []promql.Matcher) (out []promql.Ref, _ error) {
	for i, s := range m {
		if promql.MatchesAll(ms, s.labels) {
			out = append(out, promql.Ref{Labels: s.labels, ID: uint64(i)})
		}
	}
	return out, nil
}

func (m memory) Read(_ context.Context, refs []promql.Ref, from, to int64, yield func(int, int64, float64) bool) error {
	for i, r := range refs {
		s := m[r.ID]
		for k, at := range s.at {
			if at >= from && at <= to && !yield(i, at, s.v[k]) {
				return nil
			}
		}
	}
	return nil
}

func labels(pairs ...string) (l promql.Labels) {
	for i := 0; i < len(pairs); i += 2 {
		l = append(l, promql.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return l
}

// two are p{d="a"} = 1, 2, 3 … every 10 s from 1 s on, and p{d="b"} = 10, which ends
// after a minute.
func two() memory {
	m := make(memory, 2)
	m[0].labels, m[1].labels = labels("__name__", "p", "d", "a"), labels("__name__", "p", "d", "b")
	for i := range 100 {
		m[0].at, m[0].v = append(m[0].at, int64(i)*10_000+1000), append(m[0].v, float64(i+1))
		if i < 6 {
			m[1].at, m[1].v = append(m[1].at, int64(i)*10_000+1000), append(m[1].v, 10)
		}
	}
	return m
}

func show(v promql.Value) string {
	var out []string
	for _, s := range v.Series {
		var b strings.Builder
		for _, l := range s.Labels {
			fmt.Fprintf(&b, "%s=%s ", l.Name, l.Value)
		}
		for _, x := range s.Values {
			if promql.IsAbsent(x) {
				b.WriteString("- ")
				continue
			}
			fmt.Fprintf(&b, "%.6g ", x)
		}
		out = append(out, strings.TrimSpace(b.String()))
	}
	return strings.Join(out, " | ")
}

func TestEval(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{"p", "__name__=p d=a 1 11 21 31 41 51 | __name__=p d=b 10 10 10 10 - -"},
		{`p{d="a"} offset 90s`, "__name__=p d=a - 2 12 22 32 42"},
		{`p{d="a"} offset -10s`, "__name__=p d=a 2 12 22 32 42 52"},
		{`{__name__=~"p|q",d!~"a.*"}`, "__name__=p d=b 10 10 10 10 - -"},
		{"sum(p)", "11 21 31 41 41 51"},
		{"avg without(d) (p)", "5.5 10.5 15.5 20.5 41 51"},
		{"min by(d) (p)", "d=a 1 11 21 31 41 51 | d=b 10 10 10 10 - -"},
		{"max(p)", "10 11 21 31 41 51"},
		{"count(p)", "2 2 2 2 1 1"},
		{"count_over_time(p[50s])", "d=a 1 5 5 5 5 5 | d=b 1 - - - - -"},
		{`last_over_time(p{d="b"}[50s])`, "__name__=p d=b 10 - - - - -"},
		{`rate(p{d="a"}[50s])`, "d=a - 0.1 0.1 0.1 0.1 0.1"},
		{`increase(p{d="a"}[50s])`, "d=a - 5 5 5 5 5"},
		{`delta(p{d="a"}[50s])`, "d=a - 5 5 5 5 5"},
		{`avg_over_time(p{d="a"}[20s])`, "d=a 1 10.5 20.5 30.5 40.5 50.5"},
		{`max_over_time(p{d="a"}[20s]) - min_over_time(p{d="a"}[20s])`, "d=a 0 1 1 1 1 1"},
		{`sum_over_time(p{d="a"}[20s])`, "d=a 1 21 41 61 81 101"},
		{"1 + 2 * 3 ^ 2 ^ 1", "19 19 19 19 19 19"},
		{"-2 ^ 2", "-4 -4 -4 -4 -4 -4"},
		{"0x10 + 010 + 1e1 - 7 % 4", "31 31 31 31 31 31"},
		{`-p{d="a"} / 2`, "d=a -0.5 -5.5 -10.5 -15.5 -20.5 -25.5"},
		{"p > 20", "__name__=p d=a - - 21 31 41 51"},
		{"20 > p", "__name__=p d=a 1 11 - - - - | __name__=p d=b 10 10 10 10 - -"},
		{"p >= bool 11", "d=a 0 1 1 1 1 1 | d=b 0 0 0 0 - -"},
		{"1 < bool 2", "1 1 1 1 1 1"},
		{"p - p", "d=a 0 0 0 0 0 0 | d=b 0 0 0 0 - -"},
		{`p{d="a"} + on() p{d="b"}`, "11 21 31 41 - -"},
		{`p{d="a"} - ignoring(d) p{d="b"}`, "-9 1 11 21 - -"},
		{`p{d="a"} > on(d) p{d="a"} offset 1m`, "d=a - 11 21 31 41 51"},
		{"clamp_max(clamp_min(p, 5), 40)", "d=a 5 11 21 31 40 40 | d=b 10 10 10 10 - -"},
		{"abs(-p)", "d=a 1 11 21 31 41 51 | d=b 10 10 10 10 - -"},
		{"time() - 1", "0 100 200 300 400 500"},
		{"vector(3) # a comment", "3 3 3 3 3 3"},
		{"q", ""},
		{"sum(q)", ""},
		{"topk(1, p)", "__name__=p d=a - 11 21 31 41 51 | __name__=p d=b 10 - - - - -"},
		{"bottomk(scalar(q) > bool 0, p)", ""},
		{"quantile(0.5, p)", "5.5 10.5 15.5 20.5 41 51"},
		{"stdvar(p)", "20.25 0.25 30.25 110.25 0 0"},
		{"group by(d) (p)", "d=a 1 1 1 1 1 1 | d=b 1 1 1 1 - -"},
		{`count_values("v", p > 20 < 35)`, "v=21 - - 1 - - - | v=31 - - - 1 - -"},
		{`p and p{d="b"}`, "__name__=p d=b 10 10 10 10 - -"},
		{`p unless p{d="b"}`, "__name__=p d=a 1 11 21 31 41 51"},
		{`p > 30 or p < 20`, "__name__=p d=a 1 11 - 31 41 51 | __name__=p d=b 10 10 10 10 - -"},
		{`p{d="a"} and on() p{d="b"}`, "__name__=p d=a 1 11 21 31 - -"},
		{"p / on() group_left sum(p)", "d=a 0.0909091 0.52381 0.677419 0.756098 1 1 | d=b 0.909091 0.47619 0.322581 0.243902 - -"},
		{`sum(p) > on() group_right() p{d="a"}`, "__name__=p d=a 11 21 31 41 - -"},
		{`p @ 101`, "__name__=p d=a 11 11 11 11 11 11 | __name__=p d=b 10 10 10 10 10 10"},
		{`p{d="a"} @ end() - p{d="a"} @ start() offset -10s`, "d=a 49 49 49 49 49 49"},
		{`max_over_time(p{d="a"}[100s:50s])`, "d=a - 10 20 30 40 50"},
		{`sum_over_time((p * 2)[100s:50s] offset 1s) - 2`, "d=a - 28 68 108 148 188 | d=b - 38 38 38 18 -"},
		{`irate(p{d="a"}[50s])`, "d=a - 0.1 0.1 0.1 0.1 0.1"},
		{`deriv(p{d="a"}[50s])`, "d=a - 0.1 0.1 0.1 0.1 0.1"},
		{`predict_linear(p{d="a"}[50s], 10)`, "d=a - 12 22 32 42 52"},
		{`quantile_over_time(0.25, p{d="a"}[50s])`, "d=a 1 8 18 28 38 48"},
		{`stddev_over_time(p{d="a"}[30s])`, "d=a 0 0.816497 0.816497 0.816497 0.816497 0.816497"},
		{`changes(p[50s])`, "d=a 0 4 4 4 4 4 | d=b 0 - - - - -"},
		{`resets((-p{d="a"})[50s:10s])`, "d=a - 4 4 4 4 4"},
		{`absent(p{d="b"})`, "d=b - - - - 1 1"},
		{`absent_over_time(q{d="x",e=~"y"}[5m])`, "d=x 1 1 1 1 1 1"},
		{`scalar(p{d="b"}) + 0`, "10 10 10 10 NaN NaN"},
		{`timestamp(p{d="b"})`, "d=b 1 51 51 51 - -"},
		{`round(p{d="a"} / 3, 0.5)`, "d=a 0.5 3.5 7 10.5 13.5 17"},
		{"clamp(p, 5, 40)", "d=a 5 11 21 31 40 40 | d=b 10 10 10 10 - -"},
		{"minute() + hour(vector(7200)) * 100", "200 201 203 205 206 208"},
		{`label_replace(p{d="a"}, "e", "$1-x", "d", "(.)")`, "__name__=p d=a e=a-x 1 11 21 31 41 51"},
		{`label_join(p{d="a"}, "d", "/", "d", "d", "none")`, "__name__=p d=a/a/ 1 11 21 31 41 51"},
		{"sgn(-p) atan2 vector(0)", ""},
	} {
		e, err := promql.Parse(tt.query)
		if err != nil {
			t.Errorf("%s: %v", tt.query, err)
			continue
		}
		v, err := promql.Eval(t.Context(), two(), e, promql.Span{Start: 1000, End: 501_000, Step: 100_000}, promql.Limits{})
		if got := show(v); err != nil || got != tt.want {
			t.Errorf("%s\n got %s, %v\nwant %s", tt.query, got, err, tt.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{"", "at character 1: unexpected the end, want an expression"},
		{"p[5m]", "a range by itself"},
		{"rate(p)", "rate takes a range here, not an instant vector"},
		{"limitk(3, p)", "not supported: the aggregation limitk"},
		{"histogram_quantile(0.9, p)", "not supported: the function histogram_quantile"},
		{`"text"`, "not supported: a string by itself"},
		{"p @ x", "want seconds since 1970, start() or end()"},
		{"(1)[5m:1m]", "a subquery takes an instant vector, not a scalar"},
		{"p[5m:0s]", "longer than nothing"},
		{"topk(p, p)", "topk takes a scalar here, not an instant vector"},
		{"topk(p)", "topk takes a scalar here"},
		{`count_values("a-b", p)`, "not the name of a label"},
		{"p and 1", "and takes instant vectors, not scalars"},
		{"p and on(d) group_left p", "do not belong to and"},
		{"p * group_left p", "group_left belongs behind on or ignoring"},
		{"p * on(d) group_left(d) p", "stands both in on and in group_left"},
		{"p and bool p", "bool belongs to comparisons"},
		{`p + "x"`, "not strings"},
		{`label_replace(p, "1", "", "d", "")`, "not the name of a label"},
		{`label_replace(p, "e", "", "d", "(")`, "not a regular expression"},
		{"round(p, 1, 2)", "round takes at most 2 arguments, not 3"},
		{"clamp(p, 1)", "clamp takes 3 arguments, not 2"},
		{`{d=""}`, "a matcher that the empty string does not satisfy"},
		{`p{d=~"("}`, "not a regular expression"},
		{`p{d="a}`, "the string is not closed"},
		{"1 > 2", "a comparison of scalars needs bool"},
		{"1 + bool 2", "bool belongs to comparisons"},
		{"p[5q]", `neither a number nor a duration`},
		{"p[1m1h]", `neither a number nor a duration`},
		{"sum(1)", "sum takes an instant vector, not a scalar"},
		{"sum(p) by (d", `want ")"`},
		{"p p", "want an operator or the end"},
		{"1 +", "unexpected the end"},
		{"p offset 5", "want a duration"},
		{"1 + on(d) p", "on belongs between two vectors"},
		{"rate(p[5m], 1)", "rate takes 1 arguments, not 2"},
		{"\xff", "not valid UTF-8"},
		{"p ? 1", `unexpected '?'`},
		{strings.Repeat("(", 100) + "1", "nested too deeply"},
		{strings.Repeat("-", 100) + "1", "nested too deeply"},
		{strings.Repeat("1+", 10_000) + "1", "more than 16384 bytes"},
	} {
		_, err := promql.Parse(tt.query)
		var at *promql.Error
		if !errors.As(err, &at) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40s: %v, want %q", tt.query, err, tt.want)
		}
	}
}

// TestWhatHasNoAnswer: questions that are well formed, and that neither Prometheus
// nor we answer.
func TestWhatHasNoAnswer(t *testing.T) {
	m := append(append(two(), two()...), two()[0])
	m[2].labels, m[3].labels = labels("__name__", "q", "d", "a"), labels("__name__", "q", "d", "b")
	m[4].labels = labels("__name__", "r", "d", "a")
	for _, tt := range []struct {
		query string
		want  error
	}{
		{`-{__name__=~"p|q"}`, promql.ErrExecution},
		{`p + on() p`, promql.ErrExecution},
		{`p{d="a"} + on() p`, promql.ErrExecution},
		{`{d=~".+"}`, promql.ErrLimit},
	} {
		e, err := promql.Parse(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = promql.Eval(t.Context(), m, e, promql.Span{Start: 1000, End: 2000, Step: 1000}, promql.Limits{Series: 4})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.query, err, tt.want)
		}
	}
	e, _ := promql.Parse("max_over_time(p[1y:1s])")
	if _, err := promql.Eval(t.Context(), m, e, promql.Span{}, promql.Limits{Points: 20_000}); !errors.Is(err, promql.ErrLimit) {
		t.Errorf("a year of seconds inside: %v, want %v", err, promql.ErrLimit)
	}
	e, _ = promql.Parse("p")
	if _, err := promql.Eval(t.Context(), m, e, promql.Span{Start: 0, End: 10_000, Step: 1}, promql.Limits{Points: 20_000}); !errors.Is(err, promql.ErrLimit) {
		t.Errorf("two series of 10,001 points: %v, want %v", err, promql.ErrLimit)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := promql.Eval(ctx, m, e, promql.Span{}, promql.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestLookback(t *testing.T) {
	m := memory{{labels: labels("__name__", "p"), at: []int64{1000}, v: []float64{math.NaN()}}}
	e, _ := promql.Parse("p")
	for at, want := range map[int64]string{999: "", 1000: "__name__=p NaN", 1000 + promql.Lookback - 1: "__name__=p NaN", 1000 + promql.Lookback: ""} {
		v, err := promql.Eval(t.Context(), m, e, promql.Span{Start: at, End: at}, promql.Limits{})
		if got := show(v); err != nil || got != want {
			t.Errorf("at %d: %q, %v, want %q", at, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, q := range []string{
		`sum by (a) (rate(x{b=~"c|d",e!="f"}[5m] offset 1h)) / 2 ^ -1 > bool 0x1F`, "p * on(d) p", "1h", `{__name__="a\x41\u00e4"}`, "#", "topk(2, a) or b @ end() unless on(d) c", "p / on() group_left(e) sum(p)", "max_over_time(rate(a[5m])[1h:1m] offset 3m)",
		`label_replace(a, "b", "$1", "c", "(.*)")`, `count_values("d", a)`, "round(a, 0.1) atan2 b",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		e, err := promql.Parse(query)
		if err != nil {
			return // refused is fine; a panic is not
		}
		span := promql.Span{Start: 0, End: 60_000, Step: 20_000}
		v, err := promql.Eval(t.Context(), two(), e, span, promql.Limits{Points: 2000}) // a subquery may ask for any number
		if err == nil && v.Scalar && len(v.Series) != 1 {
			t.Errorf("%q is a scalar of %d series", query, len(v.Series))
		}
		for _, s := range v.Series {
			if len(s.Values) != span.Steps() {
				t.Errorf("%q has %d values at %d instants", query, len(s.Values), span.Steps())
			}
		}
	})
}
