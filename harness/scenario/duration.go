package scenario

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// units of a duration, longest first, and the words people use for them.
var units = []struct {
	name  string
	size  time.Duration
	words []string
}{
	{"d", 24 * time.Hour, []string{"day", "days", "天"}},
	{"h", time.Hour, []string{"hr", "hrs", "hour", "hours", "小时"}},
	{"m", time.Minute, []string{"min", "mins", "minute", "minutes", "分钟", "分"}},
	{"s", time.Second, []string{"sec", "secs", "second", "seconds", "秒"}},
	{"ms", time.Millisecond, []string{"msec", "millisecond", "milliseconds", "毫秒"}},
	{"us", time.Microsecond, []string{"µs", "μs", "usec", "microsecond", "microseconds"}},
	{"ns", time.Nanosecond, []string{"nanosecond", "nanoseconds"}},
}

// durationForm is the pattern of a duration, as the schema states it.
const durationForm = `^-?([0-9]+(\.[0-9]*)?(d|h|m|s|ms|us|ns))+$`

// DurationError says what is wrong with a duration and what to write instead.
type DurationError struct{ Text, Msg, Hint string }

func (e *DurationError) Error() string { return fmt.Sprintf("duration %q: %s", e.Text, e.Msg) }

// ParseDuration reads a Go duration that may also have days: 90s, 1h30m, 2d,
// 1d12h, 200ms. Its error is a *DurationError.
func ParseDuration(text string) (time.Duration, error) {
	fail := func(msg, hint string) (time.Duration, error) {
		if joined := strings.ReplaceAll(text, " ", ""); joined != text {
			if _, err := ParseDuration(joined); err == nil {
				hint = "write " + joined
			}
		}
		return 0, &DurationError{Text: text, Msg: msg, Hint: hint}
	}
	const how = "write a number and its unit, as in 500ms, 10s, 5m, 1h, 2d or 1h30m"
	rest, negative := strings.CutPrefix(text, "-")
	if rest == "" {
		return fail("is empty", how)
	}
	var total float64
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		x, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil {
			return fail("is not a duration", how)
		}
		word := rest[digits:]
		if next := strings.IndexAny(strings.TrimLeft(word, " "), "0123456789."); next >= 0 {
			word = word[:next+len(word)-len(strings.TrimLeft(word, " "))]
		}
		rest = rest[digits+len(word):]
		size, hint := unitOf(word, text[:len(text)-len(rest)-len(word)])
		if size == 0 {
			if strings.TrimSpace(word) == "" {
				return fail("has no unit", fmt.Sprintf("write %ss, %sm or %sh", text, text, text))
			}
			return fail(fmt.Sprintf("has the unknown unit %q", strings.TrimSpace(word)), hint)
		}
		total += x * float64(size)
	}
	if total > math.MaxInt64/2 {
		return fail("is longer than 146 years", how)
	}
	if negative {
		total = -total
	}
	return time.Duration(math.Round(total)), nil
}

// unitOf finds a unit. For a word that is not one it returns 0 and a hint,
// which shows the number before it with the unit that was meant.
func unitOf(word, number string) (time.Duration, string) {
	plain := strings.ToLower(strings.TrimSpace(word))
	for _, u := range units {
		if u.name == word {
			return u.size, ""
		}
		if plain == u.name {
			return 0, "write " + strings.TrimSpace(number) + u.name
		}
		if slices.Contains(u.words, plain) {
			return 0, "write " + strings.TrimSpace(number) + u.name
		}
	}
	return 0, "units are d, h, m, s, ms, us and ns"
}

// FormatDuration writes a duration as people would in a file: 5m, not 5m0s.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	text := strings.Replace(d.String(), "µ", "u", 1)
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// duration reads a duration within its range; a minimum of 0 is in seconds.
func (s *source) duration(n ast.Node, at string, r rules) (time.Duration, bool) {
	text, _, ok := scalar(n)
	if !ok {
		s.fault(start(n), "write it as in 10s, 5m or 1h", "%s is a duration, got %s", name(at), describe(n))
		return 0, false
	}
	d, err := ParseDuration(text)
	if err != nil {
		e := func() *DurationError {
			target := &DurationError{}
			_ = errors.As(err, &target)
			return target
		}()
		s.fault(start(n), e.Hint, "%s is a duration; %q %s", name(at), short(text), e.Msg)
		return 0, false
	}
	return d, s.within(start(n), d.Seconds(), text, at, r)
}
