package gateway

import (
	"fmt"
	"sync"

	"yunchu/platform/device"
)

// asked is what somebody asks for under a commandId, as far as it must be the same again.
type asked struct {
	verb  device.Verb
	mode  device.Mode // of SetMode
	power float64     // kW, of SetPower
}

func contentOf(c *device.Command) asked {
	a := asked{verb: c.Verb}
	switch c.Verb {
	case device.SetMode:
		a.mode = c.Mode
	case device.SetPower:
		a.power = c.Power
	}
	return a
}

func (a asked) String() string {
	switch a.verb {
	case device.SetMode:
		return a.verb.String() + " " + a.mode.String()
	case device.SetPower:
		return fmt.Sprintf("%s %g kW", a.verb, a.power)
	}
	return a.verb.String()
}

// claims are what the newest commandIds were used for first. Those who send commands ask
// before they do, each on a goroutine of its own.
type claims struct {
	mu    sync.Mutex
	first map[request]asked
	order []request // keys of first, oldest first
}

// claim notes what a command asks for, if it is the first with its id, and returns what the
// first one asked for.
func (x *claims) claim(c *device.Command) asked {
	key := request{c.Slot, c.ID}
	x.mu.Lock()
	defer x.mu.Unlock()
	if first, known := x.first[key]; known {
		return first
	}
	if len(x.order) >= outcomes {
		delete(x.first, x.order[0])
		x.order = x.order[1:]
	}
	a := contentOf(c)
	x.first[key], x.order = a, append(x.order, key)
	return a
}

// Claim must allow a command with an id before it is published: a commandId takes effect
// once, and who asks for something else under it is not answered as if that were done. reason
// says what it was used for, and is empty where the command is the first, or the same again.
// An emergency stop is never refused. Safe from any goroutine.
func (g *Gateway) Claim(c device.Command) (reason string) {
	first, now := g.claims.claim(&c), contentOf(&c)
	if first == now || c.Verb == device.EStop {
		return ""
	}
	return fmt.Sprintf("commandId %q was used for %v, and %v was not done", c.ID, first, now)
}
