// Package promql answers queries in a part of PromQL, the language in which
// Prometheus, and with it Grafana, asks for series.
//
// It has: selectors of instants and, inside functions, of ranges, with the four
// kinds of label matchers, offset and @; subqueries; all aggregations but limitk and
// limit_ratio; the functions that functions.go lists; arithmetic, comparisons and set
// operators, vectors matched one to one or with group_left and group_right. Everything else
// of the language is refused by name: an answer is the one that Prometheus gives, or an
// error.
//
// As in Prometheus 3 a selector of instants sees the newest sample of the five
// minutes before an instant, and a range of length r before t is t-r < x ≤ t.
//
// The package is pure: samples come from a Source, and instants are parameters.
package promql

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
)

// Lookback is how old the sample may be that a selector of instants shows, in ms.
const Lookback = 5 * 60 * 1000

// NameLabel is the label that holds the metric's name.
const NameLabel = "__name__"

// ErrLimit: the answer would be larger than the limits allow.
var ErrLimit = errors.New("query exceeds a limit")

// ErrExecution: the query is well formed and has no answer on these series, such as
// two that match the same one.
var ErrExecution = errors.New("query has no answer")

// Label is one name and value.
type Label struct{ Name, Value string }

// Labels name a series, sorted by name, each name once.
type Labels []Label

// Get is the value of a label, empty where there is none.
func (l Labels) Get(name string) string {
	for i := range l {
		if l[i].Name == name {
			return l[i].Value
		}
	}
	return ""
}

// keep is the labels of which ok says so.
func (l Labels) keep(ok func(name string) bool) Labels {
	out := make(Labels, 0, len(l))
	for _, x := range l {
		if ok(x.Name) {
			out = append(out, x)
		}
	}
	return out
}

// with is the labels with one set, or taken away where the value is empty.
func (l Labels) with(name, value string) Labels {
	out := l.keep(func(n string) bool { return n != name })
	if value == "" {
		return out
	}
	i, _ := slices.BinarySearchFunc(out, name, func(x Label, name string) int { return strings.Compare(x.Name, name) })
	return slices.Insert(out, i, Label{name, value})
}

func (l Labels) withoutName() Labels {
	return l.keep(func(name string) bool { return name != NameLabel })
}

// key is equal for equal labels only.
func (l Labels) key() string {
	var b strings.Builder
	for _, x := range l {
		b.WriteString(x.Name)
		b.WriteByte(0xff) // never in valid UTF-8
		b.WriteString(x.Value)
		b.WriteByte(0xff)
	}
	return b.String()
}

func (l Labels) compare(o Labels) int {
	return slices.CompareFunc(l, o, func(a, b Label) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
	})
}

// Ref is a series of a source.
type Ref struct {
	Labels Labels
	ID     uint64 // for the source
}

// Source has the series that queries are about.
type Source interface {
	// Select lists the series that satisfy all matchers.
	Select(ctx context.Context, matchers []Matcher) ([]Ref, error)
	// Read calls yield with every sample of the series at from ≤ at ≤ to (ms UTC),
	// ascending for each series; i is the index in refs. It stops when yield returns
	// false.
	Read(ctx context.Context, refs []Ref, from, to int64, yield func(i int, at int64, v float64) bool) error
}

// Span are the instants that a query is evaluated at: Start, Start+Step … up to
// and including End, in ms UTC. An instant query has Start = End.
type Span struct{ Start, End, Step int64 }

// Steps counts the instants.
func (s Span) Steps() int {
	if s.End < s.Start {
		return 0
	}
	if s.Step <= 0 {
		return 1
	}
	return int((s.End-s.Start)/s.Step) + 1
}

// At is instant i.
func (s Span) At(i int) int64 { return s.Start + int64(i)*s.Step }

// Limits bound one query. Zero: no limit.
type Limits struct {
	Series int // that one selector may match
	Points int // steps × series of any intermediate result
}

// Series is a series with a value for each instant; Absent where it has none.
type Series struct {
	Labels Labels
	Values []float64
}

// Value is the answer of a query: a scalar, or series in the order of their labels.
// A scalar has one series without labels.
type Value struct {
	Scalar  bool
	Ordered bool // the series are in the order that the query asks for
	Series  []Series
}

// absentBits is a NaN that no arithmetic makes.
const absentBits = 0x7ff0000000000002

// Absent stands where a series has no value. It is a NaN; only IsAbsent tells it
// from another one.
func Absent() float64 { return math.Float64frombits(absentBits) }

// IsAbsent reports whether v stands for no value.
func IsAbsent(v float64) bool { return math.Float64bits(v) == absentBits }
