package can

import (
	"bytes"
	"encoding/hex"
	"errors"
)

// The ASCII protocol of socketcand (linux-can/socketcand, doc/protocol.md): messages in
// angle brackets, words between blanks, digits hexadecimal:
//
//	server: < hi >                            client: < open can0 >
//	server: < ok >                            client: < rawmode >
//	server: < ok >
//	server: < frame 123 1.000000 1122 >       client: < send 123 2 11 22 >
//
// An identifier is extended when it has more than three digits: servers write three or
// eight, and take eight for an extended one. The protocol has no remote frames.

// ErrMessage: a message is no frame in socketcand's form.
var ErrMessage = errors.New("not a frame in socketcand's form")

// AppendSocketcand appends the message that sends f. Remote frames cannot be sent.
func AppendSocketcand(b []byte, f Frame) ([]byte, error) {
	if f.IsRemote {
		return b, errors.New("socketcand sends no remote frames")
	}
	digits := 3
	if f.IsExtended {
		digits = 8
	}
	b = append(b, "< send "...)
	b = appendID(b, f.ID, digits)
	b = append(b, ' ', '0'+f.Length)
	for _, x := range f.Data[:f.Length] {
		b = append(b, ' ')
		b = appendHex(b, []byte{x})
	}
	return append(b, " >"...), nil
}

// ParseSocketcand reads what stands between the brackets of a frame message.
func ParseSocketcand(message []byte) (Frame, error) {
	words := bytes.Fields(message)
	if len(words) < 3 || string(words[0]) != "frame" {
		return Frame{}, ErrMessage
	}
	id, ok := parseHex(words[1])
	data := bytes.Join(words[3:], nil)
	if !ok || len(data) > 16 || len(data)%2 != 0 {
		return Frame{}, ErrMessage
	}
	f := Frame{ID: id, IsExtended: len(words[1]) > 3 || id > 0x7FF, Length: uint8(len(data) / 2)}
	if _, err := hex.Decode(f.Data[:], data); err != nil || f.Validate() != nil {
		return Frame{}, ErrMessage
	}
	return f, nil
}

// brackets cuts a stream into what stands between < and >.
type brackets struct {
	text   [256]byte // a frame takes at most 60
	n      int
	inside bool
}

func (s *brackets) feed(p []byte, emit func(message []byte)) {
	for _, c := range p {
		switch {
		case c == '<':
			s.n, s.inside = 0, true
		case !s.inside:
		case c == '>':
			emit(bytes.TrimSpace(s.text[:s.n]))
			s.inside = false
		case s.n == len(s.text):
			s.inside = false
		default:
			s.text[s.n] = c
			s.n++
		}
	}
}
