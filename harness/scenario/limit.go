package scenario

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Limit is what a score must be. The zero value is no limit.
type Limit struct {
	Op    string // <, <=, >, >= or ==; empty: no limit
	Value float64
}

// limitForm is the pattern of a limit, as the schema states it.
const limitForm = `^\s*(<=|>=|==|<|>)\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$`

// ParseLimit reads a limit such as "< 100" or ">= 0.999".
func ParseLimit(text string) (Limit, error) {
	rest := strings.TrimSpace(text)
	for _, op := range []string{"<=", ">=", "==", "<", ">"} {
		number, ok := strings.CutPrefix(rest, op)
		if !ok {
			continue
		}
		number = strings.TrimSpace(number)
		x, err := strconv.ParseFloat(number, 64)
		if err != nil || !decimal(number) || math.IsInf(x, 0) {
			return Limit{}, fmt.Errorf("limit %q: %q is not a number", text, number)
		}
		return Limit{Op: op, Value: x}, nil
	}
	return Limit{}, fmt.Errorf("limit %q does not begin with <, <=, >, >= or ==", text)
}

// Holds tells whether v keeps the limit. Without a limit everything does; NaN
// keeps none.
func (l Limit) Holds(v float64) bool {
	switch l.Op {
	case "":
		return true
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

// Proven tells whether a whole interval keeps the limit.
func (l Limit) Proven(interval [2]float64) bool { return l.Holds(interval[0]) && l.Holds(interval[1]) }

// IsZero tells that there is no limit.
func (l Limit) IsZero() bool { return l.Op == "" }

// String is the limit as it is written, or nothing.
func (l Limit) String() string {
	if l.IsZero() {
		return ""
	}
	return l.Op + " " + strconv.FormatFloat(l.Value, 'g', -1, 64)
}

func (l *Limit) read(s *source, n ast.Node, at string, _ rules) {
	text, _, ok := scalar(n)
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		s.fault(start(n), fmt.Sprintf(`write "<= %s" or ">= %s"`, text, text), "%s has no comparison", name(at))
		return
	}
	v, err := ParseLimit(text)
	if !ok || err != nil {
		s.fault(start(n), `write a comparison (<, <=, >, >=, ==) and a number, in quotes: "< 100"`,
			"%s is a comparison with a number, got %s", name(at), describe(n))
		return
	}
	*l = v
}
