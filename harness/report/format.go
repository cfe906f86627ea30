package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// num is v with about four significant digits, whole thousands grouped.
func num(v float64) string {
	a := math.Abs(v)
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 1):
		return "∞"
	case math.IsInf(v, -1):
		return "−∞"
	case a >= 1e15 || a != 0 && a < 1e-4:
		return minus(strconv.FormatFloat(v, 'e', 3, 64))
	case a >= 1000 && v == math.Trunc(v) || a >= 10_000:
		return minus(group(strconv.FormatFloat(v, 'f', 0, 64)))
	case a >= 1000:
		s := strconv.FormatFloat(v, 'f', 1, 64)
		i := strings.IndexByte(s, '.')
		return minus(group(s[:i]) + strings.TrimSuffix(s[i:], ".0"))
	}
	// Four significant digits; trailing zeros say nothing here.
	digits := 4
	if a >= 1 {
		digits = max(0, 3-int(math.Floor(math.Log10(a))))
	} else if a > 0 {
		digits = 3 - int(math.Floor(math.Log10(a)))
	}
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.ContainsRune(s, '.') {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return minus(s)
}

func minus(s string) string {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		return "−" + rest
	}
	return s
}

// group puts commas between thousands.
func group(s string) string {
	start := 0
	if strings.HasPrefix(s, "-") {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func count(n int64) string { return group(strconv.FormatInt(n, 10)) }

// symbols are units as people read them; files carry the words.
var symbols = map[string]string{"percent": " %", "degC": " °C", "percent/s": " %/s", "x": "×", "": ""}

func symbol(unit string) string {
	if s, ok := symbols[unit]; ok {
		return s
	}
	return " " + unit
}

func withUnit(v float64, unit string) string {
	if math.IsNaN(v) {
		return "no value"
	}
	return num(v) + symbol(unit)
}

func withLimitUnit(limit, unit string) string {
	if limit == "" {
		return ""
	}
	return limit + symbol(unit)
}

// interval is the 95 % interval as text, empty where there is none.
func (s Score) interval() string {
	if !s.bounded() {
		return ""
	}
	return num(s.CI95[0]) + " … " + num(s.CI95[1])
}

// span is s seconds for people: 1 h, 1 h 30 min, 24 h, 12.5 s, 340 ms.
func span(s float64) string {
	switch {
	case !isFinite(s):
		return "–"
	case s < 1 && s > 0:
		return num(s*1000) + " ms"
	case s < 120:
		return num(s) + " s"
	}
	t := int64(math.Round(s))
	var parts []string
	for _, u := range []struct {
		s    int64
		name string
	}{{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}} {
		if n := t / u.s; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
			t %= u.s
		}
	}
	return strings.Join(parts, " ")
}

// Number is v for people, with about four significant digits.
func Number(v float64) string { return num(v) }

// Quantity is v with its unit.
func Quantity(v float64, unit string) string { return withUnit(v, unit) }

// Bound is a limit as it is set on paper, with its unit.
func Bound(limit, unit string) string { return relations.Replace(withLimitUnit(limit, unit)) }

// Span is a time of s seconds for people.
func Span(s float64) string { return span(s) }
