package api

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"yunchu/platform/device"
)

const (
	// smallBody is up to where a body needs no share of the budget.
	smallBody = 64 << 10
	// largeBodies is how many bytes of larger bodies are held at once.
	largeBodies = 256 << 20
	// smallWithin is how long a body of that size may take to come: one that creeps in
	// holds a place that others may need. For larger ones it is the server's timeout.
	smallWithin = 4 * time.Second
)

// budget bounds the memory of large bodies, so that a few hundred senders of
// big arrays cannot take all of it.
type budget struct{ left atomic.Int64 }

func (b *budget) take(n int64) bool {
	if b.left.Add(-n) < 0 {
		b.left.Add(n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.left.Add(n) }

// scratch is the memory of one fast request.
type scratch struct {
	body  []byte
	taken int64 // of the budget
	dec   decoder
	entry entry
	order order
	rows  []device.Reading
}

func (s *Server) borrow() *scratch { return s.scratch.Get().(*scratch) }

// giveBack keeps the memory for the next request, unless it has grown large.
func (s *Server) giveBack(m *scratch) {
	if m.taken > 0 {
		s.large.give(m.taken)
		return
	}
	if cap(m.rows) > 1024 {
		m.rows = nil
	}
	s.scratch.Put(m)
}

// read reads the body of r into m, up to limit bytes.
func (s *Server) read(w http.ResponseWriter, m *scratch, r *http.Request, limit int) *Problem {
	if r.ContentLength > smallBody {
		return s.readAll(m, r, limit)
	}
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(smallWithin)) // where there is a connection
	refused := s.readAll(m, r, limit)
	if refused == nil { // the answer may take longer; what is left of a broken body may not
		_ = conn.SetReadDeadline(time.Time{})
	}
	return refused
}

func (s *Server) readAll(m *scratch, r *http.Request, limit int) *Problem {
	if r.ContentLength > int64(limit) {
		return refuse(CodeTooLarge, "the body is larger than allowed")
	}
	m.body = m.body[:0]
	if n := int(r.ContentLength); n >= cap(m.body) {
		if !s.grow(m, n+1) {
			return s.noMemory()
		}
	}
	for {
		n, err := r.Body.Read(m.body[len(m.body):cap(m.body)])
		m.body = m.body[:len(m.body)+n]
		switch {
		case len(m.body) > limit:
			return refuse(CodeTooLarge, "the body is larger than allowed")
		case err == io.EOF:
			return nil
		case err != nil:
			return refuse(CodeInvalidRequest, "the body did not arrive whole")
		}
		if len(m.body) == cap(m.body) && !s.grow(m, 2*cap(m.body)) {
			return s.noMemory()
		}
	}
}

func (s *Server) grow(m *scratch, size int) bool {
	if size > smallBody {
		more := int64(size) - m.taken
		if !s.large.take(more) {
			return false
		}
		m.taken += more
	}
	m.body = append(make([]byte, 0, size), m.body...)
	return true
}

func (s *Server) noMemory() *Problem {
	s.metrics.shed.memory.Inc()
	return refuse(CodeOverload, "too many large bodies are being read")
}
