package scenario

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// scalar returns the text of a plain or quoted value.
func scalar(n ast.Node) (text string, quoted, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		q := n.Token.Type == token.DoubleQuoteType || n.Token.Type == token.SingleQuoteType
		return n.Value, q, true
	case *ast.LiteralNode:
		return n.Value.Value, true, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, false, true
	}
	return "", false, false
}

// text reads a string and holds it against the allowed words or the pattern.
func (s *source) text(n ast.Node, at string, r rules) (string, bool) {
	text, quoted, ok := scalar(n)
	if !ok {
		s.fault(start(n), "", "%s is a text, got %s", name(at), describe(n))
		return "", false
	}
	if _, plain := n.(*ast.StringNode); !plain && !quoted && len(r.enum) == 0 {
		s.fault(start(n), fmt.Sprintf("put it into quotes: %q", text), "%s is a text, got %s", name(at), describe(n))
		return "", false
	}
	switch {
	case len(r.enum) > 0 && !slices.Contains(r.enum, text):
		s.fault(start(n), suggest(text, r.enum), "unknown %s %q", r.word(at), short(text))
		return "", false
	case r.pattern != nil && !r.pattern.MatchString(text):
		s.fault(start(n), r.hint, "%s %q is not allowed", name(at), short(text))
		return "", false
	}
	return text, true
}

// number reads a finite number within its range.
func (s *source) number(n ast.Node, at string, r rules) (float64, bool) {
	text, quoted, ok := scalar(n)
	x, err := strconv.ParseFloat(text, 64)
	switch {
	case !ok:
		s.fault(start(n), "", "%s is a number, got %s", name(at), describe(n))
		return 0, false
	case isNonFinite(n, text):
		s.fault(start(n), "", "%s is a finite number, got %s", name(at), text)
		return 0, false
	case err != nil || !decimal(text):
		s.fault(start(n), numberHint(text), "%s is a number, got %s", name(at), describe(n))
		return 0, false
	case quoted:
		s.fault(start(n), "take the quotes away", "%s is a number, got %s", name(at), describe(n))
		return 0, false
	}
	return x, s.within(start(n), x, text, at, r)
}

// within holds a number against its range.
func (s *source) within(p place, x float64, text, at string, r rules) bool {
	if r.admits(x) {
		return true
	}
	s.fault(p, r.span(), "%s cannot be %s", name(at), text)
	return false
}

// decimal tells a plain decimal number from the other forms Go and YAML read.
func decimal(text string) bool {
	return strings.IndexFunc(text, func(c rune) bool { return !strings.ContainsRune("0123456789+-.eE", c) }) < 0
}

func isNonFinite(n ast.Node, text string) bool {
	switch n.(type) {
	case *ast.NanNode, *ast.InfinityNode:
		return true
	}
	x, err := strconv.ParseFloat(strings.TrimPrefix(text, "."), 64)
	return err == nil && (math.IsNaN(x) || math.IsInf(x, 0))
}

// numberHint recognises a number with its unit behind it.
func numberHint(text string) string {
	i := 0
	for i < len(text) && strings.IndexByte("0123456789+-.eE", text[i]) >= 0 {
		i++
	}
	if head := strings.TrimRight(text[:i], "eE"); i < len(text) && head != "" {
		if _, err := strconv.ParseFloat(head, 64); err == nil {
			return "the unit is part of the key; write only the number: " + head
		}
	}
	return "write a plain decimal number such as 12.5"
}

// whole reads an integer within its range.
func (s *source) whole(n ast.Node, at string, r rules) (int, bool) {
	x, ok := s.number(n, at, r)
	if !ok {
		return 0, false
	}
	if x != math.Trunc(x) || math.Abs(x) > 1<<53 {
		s.fault(start(n), "write a whole number", "%s is a whole number, got %s", name(at), describe(n))
		return 0, false
	}
	return int(x), true
}

// seed reads an unsigned 64-bit number, all its digits.
func (s *source) seed(n ast.Node, at string) (uint64, bool) {
	text, quoted, _ := scalar(n)
	x, err := strconv.ParseUint(text, 10, 64)
	if err != nil || quoted {
		s.fault(start(n), "write a whole number from 0 to 18446744073709551615", "%s is a whole number, got %s", name(at), describe(n))
		return 0, false
	}
	return x, true
}

// time reads an instant.
func (s *source) time(n ast.Node, at string) (time.Time, bool) {
	text, _, _ := scalar(n)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		s.fault(start(n), "write an instant with its zone: 2026-01-01T00:00:00Z", "%s is an instant, got %s", name(at), describe(n))
		return time.Time{}, false
	}
	return t.UTC(), true
}
