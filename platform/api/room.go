package api

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// room bounds how many requests of a kind are served at once. Each kind has one of its
// own, so that readings which come faster than they can be stored turn away readings and
// nothing else: commands are what ends such a state.
type room struct {
	most int64
	now  atomic.Int64
	shed prometheus.Counter
}

// enter takes a place, if there is one. Who is turned away is not counted as inside, not
// even for a moment: it would have others turned away.
func (r *room) enter() bool {
	for {
		n := r.now.Load()
		if n >= r.most {
			return false
		}
		if r.now.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (r *room) leave() { r.now.Add(-1) }

// full refuses one for whom there was no place.
func (r *room) full() *Problem {
	r.shed.Inc()
	return refuse(CodeOverload, "too many requests of this kind are being served")
}

// connections are those of a listener on which HTTP is spoken; WebSockets leave them. They
// are bounded because each costs a descriptor before it has said a word.
type connections struct {
	most int
	shed prometheus.Counter

	mu   sync.Mutex
	open map[net.Conn]http.ConnState
}

// follow is told the states of all connections: it is a http.Server's ConnState. Between the
// requests of a connection nothing changes that anybody looks at.
func (x *connections) follow(c net.Conn, state http.ConnState) {
	if state == http.StateIdle {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch state {
	case http.StateNew:
		if len(x.open) >= x.most {
			x.shed.Inc()
			_ = c.Close() // there is no room for a word
			return
		}
		x.open[c] = state
	case http.StateClosed, http.StateHijacked:
		delete(x.open, c)
	default:
		if was, known := x.open[c]; known && was != state {
			x.open[c] = state
		}
	}
}

// closeUnused ends those on which no request has come yet. Browsers and pools of
// connections dial ahead, for a request that may then take another one.
func (x *connections) closeUnused() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for c, state := range x.open {
		if state == http.StateNew {
			_ = c.Close() // nobody waits for an answer on it
		}
	}
}
