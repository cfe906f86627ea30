package can

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Memory is a bus without a wire: what one node sends, all others receive, in the same
// order. It lives in the time that its nodes are told, and works on the wall clock too.
type Memory struct {
	mu    sync.Mutex
	now   time.Time
	nodes []*memoryNode
}

// NewMemory returns a bus without nodes.
func NewMemory() *Memory { return &Memory{} }

// Node attaches a node.
func (m *Memory) Node() Stepped {
	n := &memoryNode{bus: m, queue: newQueue()}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes = append(m.nodes, n)
	return n
}

type memoryNode struct {
	bus *Memory
	*queue
}

// SetNow implements Stepped; the time of a bus does not run backwards.
func (n *memoryNode) SetNow(now time.Time) {
	n.bus.mu.Lock()
	defer n.bus.mu.Unlock()
	if now.After(n.bus.now) {
		n.bus.now = now
	}
}

// Poll implements Stepped.
func (n *memoryNode) Poll() (Frame, time.Time, bool) {
	a, ok, _ := n.take(endOfTime) // what is in the queue was sent before now
	return a.frame, a.at, ok
}

// Send implements Bus.
func (n *memoryNode) Send(_ context.Context, f Frame) error {
	if err := f.Validate(); err != nil {
		return err
	}
	n.bus.mu.Lock()
	defer n.bus.mu.Unlock()
	if !slices.Contains(n.bus.nodes, n) {
		return ErrClosed
	}
	for _, other := range n.bus.nodes {
		if other != n {
			other.put(f, n.bus.now)
		}
	}
	return nil
}

// Receive implements Bus.
func (n *memoryNode) Receive(ctx context.Context) (Frame, error) { return n.receive(ctx) }

// Close implements Bus.
func (n *memoryNode) Close() error {
	n.bus.mu.Lock()
	defer n.bus.mu.Unlock()
	n.bus.nodes = slices.DeleteFunc(n.bus.nodes, func(o *memoryNode) bool { return o == n })
	n.end(ErrClosed)
	return nil
}
