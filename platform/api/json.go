package api

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep values may nest.
const maxDepth = 64

// scanner walks over one JSON text (RFC 8259). It is stricter than encoding/json
// where that is lenient: text that is not UTF-8 and escapes that are half of a
// surrogate pair are refused instead of replaced. After the first syntax error
// every method returns false and fault says what and where.
type scanner struct {
	b     []byte
	i     int
	depth int
	fault string
	tmp   []byte // of the newest string that had escapes
}

func (s *scanner) reset(b []byte) {
	*s = scanner{b: b, tmp: s.tmp[:0]}
	if !utf8.Valid(b) {
		s.fail("text that is not UTF-8")
	}
}

func (s *scanner) fail(what string) bool {
	if s.fault == "" {
		s.fault = fmt.Sprintf("%s at byte %d", what, s.i)
	}
	return false
}

// peek is the first byte of the next token, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// end reports whether nothing follows.
func (s *scanner) end() bool {
	if s.fault != "" {
		return false
	}
	if s.peek(); s.i < len(s.b) {
		return s.fail("more text after the value")
	}
	return true
}

func (s *scanner) expect(c byte, what string) bool {
	if s.fault != "" {
		return false
	}
	if s.peek() != c {
		return s.fail("expected " + what)
	}
	s.i++
	return true
}

// object calls field with each key; field must walk over the value. The key is
// good until then.
func (s *scanner) object(field func(key []byte) bool) bool {
	if !s.expect('{', "an object") || !s.deeper() {
		return false
	}
	if s.peek() == '}' {
		s.i++
		s.depth--
		return true
	}
	for {
		key, ok := s.string()
		if !ok || !s.expect(':', "a colon") || !field(key) || s.fault != "" {
			return false
		}
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			s.depth--
			return true
		default:
			return s.fail("expected a comma or the end of the object")
		}
	}
}

// array calls element before each element; element must walk over it.
func (s *scanner) array(element func() bool) bool {
	if !s.expect('[', "an array") || !s.deeper() {
		return false
	}
	if s.peek() == ']' {
		s.i++
		s.depth--
		return true
	}
	for {
		if !element() || s.fault != "" {
			return false
		}
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			s.i++
			s.depth--
			return true
		default:
			return s.fail("expected a comma or the end of the array")
		}
	}
}

func (s *scanner) deeper() bool {
	if s.depth++; s.depth > maxDepth {
		return s.fail("values nested too deep")
	}
	return true
}

// string walks over a string. The bytes are those of the text, or of tmp where
// there were escapes: good until the next string.
func (s *scanner) string() ([]byte, bool) {
	if !s.expect('"', "a string") {
		return nil, false
	}
	from := s.i
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[from : s.i-1], true
		case c == '\\':
			return s.escaped(from)
		case c < 0x20:
			return nil, s.fail("a control character in a string")
		}
	}
	return nil, s.fail("a string without end")
}

func (s *scanner) escaped(from int) ([]byte, bool) {
	s.tmp = append(s.tmp[:0], s.b[from:s.i]...)
	for s.i < len(s.b) {
		c := s.b[s.i]
		switch {
		case c == '"':
			s.i++
			return s.tmp, true
		case c < 0x20:
			return nil, s.fail("a control character in a string")
		case c != '\\':
			s.tmp = append(s.tmp, c)
			s.i++
			continue
		}
		s.i++
		if s.i >= len(s.b) {
			break
		}
		c = s.b[s.i]
		s.i++
		switch c {
		case '"', '\\', '/':
			s.tmp = append(s.tmp, c)
		case 'b':
			s.tmp = append(s.tmp, '\b')
		case 'f':
			s.tmp = append(s.tmp, '\f')
		case 'n':
			s.tmp = append(s.tmp, '\n')
		case 'r':
			s.tmp = append(s.tmp, '\r')
		case 't':
			s.tmp = append(s.tmp, '\t')
		case 'u':
			r, ok := s.hex4()
			if !ok {
				return nil, false
			}
			if utf16.IsSurrogate(r) {
				if s.i+1 >= len(s.b) || s.b[s.i] != '\\' || s.b[s.i+1] != 'u' {
					return nil, s.fail("half of a surrogate pair")
				}
				s.i += 2
				low, ok := s.hex4()
				if !ok {
					return nil, false
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return nil, s.fail("half of a surrogate pair")
				}
			}
			s.tmp = utf8.AppendRune(s.tmp, r)
		default:
			return nil, s.fail("an unknown escape")
		}
	}
	return nil, s.fail("a string without end")
}

func (s *scanner) hex4() (rune, bool) {
	if s.i+4 > len(s.b) {
		return 0, s.fail("an escape without end")
	}
	var r rune
	for _, c := range s.b[s.i : s.i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, s.fail("an escape that is not hexadecimal")
		}
		r = r<<4 | rune(c)
	}
	s.i += 4
	return r, true
}

// numeric reports whether a number begins with c.
func numeric(c byte) bool { return c == '-' || '0' <= c && c <= '9' }

// number walks over a number: its text, and whether it is an integer literal.
func (s *scanner) number() (raw []byte, integer, ok bool) {
	if s.fault != "" {
		return nil, false, false
	}
	s.peek()
	from := s.i
	if s.at('-') {
		s.i++
	}
	switch {
	case s.at('0'):
		s.i++
	case !s.digits():
		return nil, false, s.fail("expected a digit")
	}
	integer = true
	if s.at('.') {
		s.i++
		if integer = false; !s.digits() {
			return nil, false, s.fail("expected a digit")
		}
	}
	if s.at('e') || s.at('E') {
		s.i++
		if s.at('+') || s.at('-') {
			s.i++
		}
		if integer = false; !s.digits() {
			return nil, false, s.fail("expected a digit")
		}
	}
	return s.b[from:s.i], integer, true
}

func (s *scanner) at(c byte) bool { return s.i < len(s.b) && s.b[s.i] == c }

func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > from
}

// skip walks over any value.
func (s *scanner) skip() bool {
	if s.fault != "" {
		return false
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(func([]byte) bool { return s.skip() })
	case c == '[':
		return s.array(s.skip)
	case c == '"':
		_, ok := s.string()
		return ok
	case numeric(c):
		_, _, ok := s.number()
		return ok
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.fail("expected a value")
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.fail("expected a value")
	}
	s.i += len(w)
	return true
}

// kindOf names the JSON type of the value that begins with c.
func kindOf(c byte) string {
	switch c {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// pow10 are the powers of ten that a double holds exactly.
var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// float is the double nearest to a number of JSON, the same as
// strconv.ParseFloat gives; ok is false when it would be infinite.
//
// A decimal of at most 2^53 times or divided by an exact power of ten is one
// correctly rounded operation (Clinger, How to read floating point numbers
// accurately, PLDI 1990); everything else goes the long way.
func float(raw []byte) (v float64, ok bool) {
	var (
		mant uint64
		exp  int
		i    int
	)
	neg := raw[0] == '-'
	if neg {
		i++
	}
	if len(raw)-i <= 16 { // so many digits cannot overflow mant
		point := false
		for ; i < len(raw); i++ {
			c := raw[i]
			if c == '.' {
				point = true
				continue
			}
			if c < '0' || c > '9' {
				break
			}
			mant = mant*10 + uint64(c-'0')
			if point {
				exp--
			}
		}
		if i == len(raw) && mant <= 1<<53 {
			v = float64(mant) / pow10[-exp]
			if neg {
				v = -v
			}
			return v, true
		}
	}
	v, err := strconv.ParseFloat(string(raw), 64)
	return v, err == nil
}

// integer is a literal without fraction and exponent; ok is false when it does
// not fit.
func integer(raw []byte) (v int64, ok bool) {
	i, neg := 0, raw[0] == '-'
	if neg {
		i++
	}
	if len(raw)-i > 18 {
		v, err := strconv.ParseInt(string(raw), 10, 64)
		return v, err == nil
	}
	for ; i < len(raw); i++ {
		v = v*10 + int64(raw[i]-'0')
	}
	if neg {
		v = -v
	}
	return v, true
}
