package can

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The ASCII protocol of Lawicel's adapters (CANUSB manual, 2007), which CANable, USBtin
// and others speak. A line ends with CR; an adapter answers CR when it has understood
// and BEL when it has not:
//
//	S6          bit rate, see bitRates          t iii l dd…       data frame, 11-bit identifier
//	O, C        open and close the channel      T iiiiiiii l dd…  data frame, 29-bit identifier
//	V, N        version, serial number          r iii l           remote frame, 11-bit
//	z, Z        a frame was taken (t/r, T/R)    R iiiiiiii l      remote frame, 29-bit
//
// All digits are hexadecimal. With time stamps switched on, four digits of milliseconds
// follow a received frame; they are read over.

// ErrLine: a line is no frame of the ASCII protocol.
var ErrLine = errors.New("not a frame in slcan's form")

// bitRates are the codes of the S command, in bit/s.
var bitRates = [...]int{10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000}

// BitRateCommand is the command that sets a bit rate.
func BitRateCommand(rate int) (string, error) {
	for code, r := range bitRates {
		if r == rate {
			return fmt.Sprintf("S%d", code), nil
		}
	}
	return "", fmt.Errorf("slcan has no bit rate of %d bit/s, only %s", rate, strings.Trim(fmt.Sprint(bitRates), "[]"))
}

// AppendSLCAN appends f as a line with its CR.
func AppendSLCAN(b []byte, f Frame) []byte {
	kind, digits := byte('t'), 3
	if f.IsRemote {
		kind = 'r'
	}
	if f.IsExtended {
		kind, digits = kind-'a'+'A', 8
	}
	b = append(b, kind)
	b = appendID(b, f.ID, digits)
	b = append(b, '0'+f.Length)
	if !f.IsRemote {
		b = appendHex(b, f.Data[:f.Length])
	}
	return append(b, '\r')
}

const upperHex = "0123456789ABCDEF"

func appendID(b []byte, id uint32, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		b = append(b, upperHex[id>>(4*i)&15])
	}
	return b
}

func appendHex(b, data []byte) []byte {
	for _, x := range data {
		b = append(b, upperHex[x>>4], upperHex[x&15])
	}
	return b
}

// ParseSLCAN reads a line without its CR.
func ParseSLCAN(line []byte) (Frame, error) {
	var f Frame
	if len(line) == 0 {
		return f, ErrLine
	}
	digits := 3
	switch line[0] {
	case 't':
	case 'r':
		f.IsRemote = true
	case 'T':
		f.IsExtended, digits = true, 8
	case 'R':
		f.IsExtended, f.IsRemote, digits = true, true, 8
	default:
		return f, ErrLine
	}
	rest := line[1:]
	if len(rest) < digits+1 {
		return Frame{}, ErrLine
	}
	id, ok := parseHex(rest[:digits])
	length := rest[digits] - '0'
	if !ok || length > 8 {
		return Frame{}, ErrLine
	}
	f.ID, f.Length = id, length
	rest = rest[digits+1:]
	if !f.IsRemote {
		n := 2 * int(length)
		if len(rest) < n {
			return Frame{}, ErrLine
		}
		if _, err := hex.Decode(f.Data[:], rest[:n]); err != nil {
			return Frame{}, ErrLine
		}
		rest = rest[n:]
	}
	if _, stamp := parseHex(rest); len(rest) != 0 && (len(rest) != 4 || !stamp) {
		return Frame{}, ErrLine
	}
	if f.Validate() != nil {
		return Frame{}, ErrLine
	}
	return f, nil
}

// parseHex reads at most eight hexadecimal digits.
func parseHex(s []byte) (v uint32, ok bool) {
	if len(s) == 0 || len(s) > 8 {
		return 0, false
	}
	for _, c := range s {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint32(c)
	}
	return v, true
}

// Splitter cuts what comes from a serial port into lines. The zero value is ready.
type Splitter struct {
	line [64]byte // twice the longest there is
	n    int
	over bool // the line is too long, and not read
}

// Feed calls emit for each line that ends in p, with what ended it: CR or BEL. A line
// that is longer than any there is, is left out.
func (s *Splitter) Feed(p []byte, emit func(line []byte, end byte)) {
	for _, c := range p {
		switch {
		case c == '\r' || c == '\a':
			if !s.over {
				emit(s.line[:s.n], c)
			}
			s.n, s.over = 0, false
		case c == '\n':
		case s.n == len(s.line):
			s.over = true
		default:
			s.line[s.n] = c
			s.n++
		}
	}
}
