package mqtt

import (
	"log/slog"
	"sync"
)

// shared are the links in use, by their access: a thousand devices behind one broker are
// one connection, which the last of them closes.
var (
	sharedMu sync.Mutex
	shared   = map[Access]*sharedLink{}
)

type sharedLink struct {
	*Link
	users int // guarded by sharedMu
}

func join(a Access, log *slog.Logger) (*sharedLink, error) {
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if s, ok := shared[a]; ok {
		s.users++
		return s, nil
	}
	l, err := Connect(a, LinkOptions{Log: log})
	if err != nil {
		return nil, err
	}
	s := &sharedLink{Link: l, users: 1}
	shared[a] = s
	return s, nil
}

// Close gives up one use.
func (s *sharedLink) Close() {
	sharedMu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(shared, s.access)
	}
	sharedMu.Unlock()
	if last {
		s.Link.Close()
	}
}
