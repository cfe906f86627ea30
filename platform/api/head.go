package api

import (
	"bytes"
	"strings"
)

// head is what the head of a request says.
type head struct {
	size   int // of it, bytes
	length int // of the body
	host   []byte
	token  []byte // Authorization, as it came
	id     []byte // X-Request-Id
}

var headLine = []byte("POST " + syncPath + " HTTP/1.1\r\n")

// parseHead reads the head of a POST of readings (RFC 9112). It is false for every other
// request, for a part of a head, and for one in which anything is unusual: what means
// something for the connection or the length, what is said twice or not at all, what is
// not allowed.
func parseHead(b []byte) (h head, ok bool) {
	rest, ok := bytes.CutPrefix(b, headLine)
	if !ok {
		return head{}, false
	}
	var hosts, lengths, tokens, ids int
	for {
		end := bytes.IndexByte(rest, '\n')
		if end < 1 || rest[end-1] != '\r' {
			return head{}, false
		}
		line := rest[:end-1]
		rest = rest[end+1:]
		if len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 1 {
			return head{}, false
		}
		name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
		if !usual(name, value) {
			return head{}, false
		}
		switch {
		case isWord(name, "Host"):
			h.host = value
			hosts++
		case isWord(name, "Authorization"):
			h.token = value
			tokens++
		case isWord(name, "Content-Length"):
			if h.length, ok = lengthOf(value); !ok {
				return head{}, false
			}
			lengths++
		case isWord(name, "X-Request-Id"):
			h.id = value
			ids++
		case isWord(name, "Connection"):
			if !isWord(value, "keep-alive") {
				return head{}, false
			}
		case isWord(name, "Transfer-Encoding"), isWord(name, "Expect"), isWord(name, "Upgrade"), isWord(name, "Trailer"), isWord(name, "TE"):
			return head{}, false
		}
	}
	h.size = len(b) - len(rest)
	return h, hosts == 1 && lengths == 1 && tokens == 1 && ids <= 1 && made(h.host, ".:-[]")
}

// usual reports whether a header is made of what headers are usually made of.
func usual(name, value []byte) bool {
	if !made(name, "-") {
		return false
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}

// made reports whether a word is made of letters, digits and some others.
func made(b []byte, others string) bool {
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte(others, c) >= 0:
		default:
			return false
		}
	}
	return len(b) > 0
}

// isWord compares a word with one that the program knows, whatever the case.
func isWord(b []byte, word string) bool {
	return len(b) == len(word) && (string(b) == word || bytes.EqualFold(b, []byte(word)))
}

// lengthOf is a length of up to seven digits.
func lengthOf(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 7 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}
