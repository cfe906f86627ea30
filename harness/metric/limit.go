package metric

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limit is one side a value must stay on, as in "<= 0.02".
type Limit struct {
	Op    string // one of <, <=, >, >=, ==
	Value float64
}

// ParseLimit reads "<= 0.02". The number carries no unit: it is that of the metric.
func ParseLimit(s string) (Limit, error) {
	t := strings.TrimSpace(s)
	for _, op := range []string{"<=", ">=", "==", "<", ">", "="} {
		num, ok := strings.CutPrefix(t, op)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return Limit{}, fmt.Errorf("limit %q: want a number after %q", s, op)
		}
		if op == "=" {
			op = "=="
		}
		return Limit{op, v}, nil
	}
	return Limit{}, fmt.Errorf("limit %q: want one of <, <=, >, >=, == and a number", s)
}

// Holds says whether v keeps the limit. NaN keeps none.
func (l Limit) Holds(v float64) bool {
	switch l.Op {
	case "<":
		return v < l.Value
	case "<=":
		return v <= l.Value
	case ">":
		return v > l.Value
	case ">=":
		return v >= l.Value
	case "==":
		return v == l.Value
	}
	return false
}

// Proven says whether the whole interval keeps the limit; false without one.
func (l Limit) Proven(ci [2]float64) bool { return l.Holds(ci[0]) && l.Holds(ci[1]) }

func (l Limit) String() string {
	return l.Op + " " + strconv.FormatFloat(l.Value, 'g', -1, 64)
}
