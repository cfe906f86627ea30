package api

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"sync/atomic"
)

// Header values that are shared by all answers. Nobody may change them.
var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	noSniff     = []string{"nosniff"}
	noStore     = []string{"no-store"}
	noReferrer  = []string{"no-referrer"}
	sameOrigin  = []string{"same-origin"}
	policy      = []string{"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"}
)

// secure sets the headers that tell browsers what not to do with an answer.
func secure(h http.Header) {
	h["X-Content-Type-Options"] = noSniff
	h["Content-Security-Policy"] = policy
	h["Referrer-Policy"] = noReferrer
	h["Cross-Origin-Opener-Policy"] = sameOrigin
	h["Cross-Origin-Resource-Policy"] = sameOrigin
	h["Cache-Control"] = noStore
}

const requestIDHeader = "X-Request-Id"

// Request ids are a random word of this process and a count.
var (
	process  = randomWord()
	requests atomic.Uint64
)

func randomWord() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// requestID is the id of this request: one that is set already, the sender's, or
// a new one. It is set on h.
func requestID(h http.Header, r *http.Request) string {
	if id := h[requestIDHeader]; len(id) == 1 {
		return id[0]
	}
	id := r.Header.Get(requestIDHeader)
	if !validRequestID(id) {
		id = process + "-" + strconv.FormatUint(requests.Add(1), 36)
	}
	h[requestIDHeader] = []string{id}
	return id
}

// validRequestID reports whether a sender's id may be repeated in answers and
// logs.
func validRequestID(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
