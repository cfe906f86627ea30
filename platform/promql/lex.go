package promql

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is a fault in the text of a query.
type Error struct {
	Pos int // bytes from the beginning
	Msg string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("at character %d: %s", e.Pos+1, e.Msg) }

type tokenKind uint8

const (
	end  tokenKind = iota
	word           // name, keyword or metric
	number
	duration
	text
	symbol
)

type token struct {
	kind tokenKind
	pos  int
	text string  // of a string: its value
	num  float64 // of a number; of a duration: ms
}

func (t token) String() string {
	if t.kind == end {
		return "the end"
	}
	if t.kind == text {
		return "the string " + strconv.Quote(t.text)
	}
	return strconv.Quote(t.text)
}

// symbols, the longer before those that they begin with.
var symbols = []string{"==", "!=", "=~", "!~", "<=", ">=", "(", ")", "{", "}", "[", "]", ",", "+", "-", "*", "/", "%", "^", "<", ">", "=", ":", "@"}

// lex cuts the text into tokens; the last one is the end.
func lex(s string) ([]token, error) {
	if !utf8.ValidString(s) {
		return nil, &Error{0, "the query is not valid UTF-8"}
	}
	var out []token
	for i := 0; ; {
		for i < len(s) && strings.IndexByte(" \t\r\n", s[i]) >= 0 {
			i++
		}
		if i == len(s) {
			return append(out, token{kind: end, pos: i}), nil
		}
		if s[i] == '#' {
			n := strings.IndexByte(s[i:], '\n')
			if n < 0 {
				n = len(s) - i
			}
			i += n
			continue
		}
		t := token{pos: i}
		var err error
		switch c := s[i]; {
		case letter(c):
			t.kind, t.text = word, s[i:i+wordLength(s[i:])]
			i += len(t.text)
		case digit(c) || c == '.' && i+1 < len(s) && digit(s[i+1]):
			n := numberLength(s[i:])
			t.text = s[i : i+n]
			i += n
			t.kind = number
			if strings.Contains(t.text, "_") {
				return nil, &Error{t.pos, fmt.Sprintf("%q is not a number", t.text)}
			}
			if whole, err := strconv.ParseInt(t.text, 0, 64); err == nil { // 0x10 and 010 too
				t.num = float64(whole)
				break
			}
			if t.num, err = strconv.ParseFloat(t.text, 64); err == nil {
				break
			}
			t.kind = duration
			if t.num, err = ParseDuration(t.text); err != nil {
				return nil, &Error{t.pos, err.Error()}
			}
		case c == '"' || c == '\'' || c == '`':
			var n int
			if t.text, n, err = unquote(s[i:]); err != nil {
				return nil, &Error{i, err.Error()}
			}
			t.kind = text
			i += n
		default:
			for _, sym := range symbols {
				if strings.HasPrefix(s[i:], sym) {
					t.kind, t.text = symbol, sym
					break
				}
			}
			if t.kind != symbol {
				r, _ := utf8.DecodeRuneInString(s[i:])
				return nil, &Error{i, fmt.Sprintf("unexpected %q", r)}
			}
			i += len(t.text)
		}
		out = append(out, t)
	}
}

func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }

// wordLength is how far a name reaches; colons belong to names of metrics.
func wordLength(s string) int {
	n := 0
	for n < len(s) && (letter(s[n]) || digit(s[n]) || s[n] == ':') {
		n++
	}
	return n
}

// numberLength is how far a number or duration reaches.
func numberLength(s string) int {
	n := 0
	hex := strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X")
	for n < len(s) {
		c := s[n]
		sign := (c == '+' || c == '-') && n > 0 && !hex && (s[n-1] == 'e' || s[n-1] == 'E')
		if !letter(c) && !digit(c) && c != '.' && !sign {
			break
		}
		n++
	}
	return n
}

// unquote reads the string that s begins with and how long it is.
func unquote(s string) (value string, n int, err error) {
	quote := s[0]
	if quote == '`' {
		i := strings.IndexByte(s[1:], '`')
		if i < 0 {
			return "", 0, fmt.Errorf("the string is not closed")
		}
		return s[1 : 1+i], i + 2, nil
	}
	var b strings.Builder
	rest := s[1:]
	for rest != "" && rest[0] != quote {
		if rest[0] == '\n' {
			break
		}
		r, multibyte, tail, err := strconv.UnquoteChar(rest, quote)
		if err != nil {
			return "", 0, fmt.Errorf("the string has an escape that does not exist")
		}
		if r < utf8.RuneSelf || !multibyte {
			b.WriteByte(byte(r))
		} else {
			b.WriteRune(r)
		}
		rest = tail
	}
	if rest == "" || rest[0] != quote {
		return "", 0, fmt.Errorf("the string is not closed")
	}
	if !utf8.ValidString(b.String()) {
		return "", 0, fmt.Errorf("the string is not valid UTF-8")
	}
	return b.String(), len(s) - len(rest) + 1, nil
}

// units of durations, in the order in which they may follow each other.
var units = []struct {
	name string
	ms   float64
}{{"y", 365 * 86_400_000}, {"w", 7 * 86_400_000}, {"d", 86_400_000}, {"h", 3_600_000}, {"m", 60_000}, {"s", 1000}, {"ms", 1}}

// maxDuration is about 100 years, in ms.
const maxDuration = 100 * 365 * 86_400_000

// ParseDuration reads a duration such as 5m, 1h30m or 500ms, in ms. A day has 24 h,
// a year 365 days.
func ParseDuration(s string) (ms float64, err error) {
	wrong := fmt.Errorf("%q is neither a number nor a duration such as 30s, 5m or 1h30m", s)
	if s == "0" {
		return 0, nil
	}
	next := 0
	for rest := s; rest != ""; {
		i := 0
		for i < len(rest) && digit(rest[i]) {
			i++
		}
		j := i
		for j < len(rest) && !digit(rest[j]) {
			j++
		}
		n, err := strconv.ParseUint(rest[:i], 10, 40)
		if err != nil {
			return 0, wrong
		}
		u := next
		for u < len(units) && units[u].name != rest[i:j] {
			u++
		}
		if u == len(units) {
			return 0, wrong
		}
		ms += float64(n) * units[u].ms
		next, rest = u+1, rest[j:]
	}
	if s == "" {
		return 0, wrong
	}
	if ms > maxDuration {
		return 0, fmt.Errorf("the duration %q is longer than 100 years", s)
	}
	return ms, nil
}
