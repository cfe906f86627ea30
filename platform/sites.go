package platform

import (
	"context"
	"path/filepath"
	"time"

	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/edge"
	"yunchu/platform/gateway"
	"yunchu/platform/store/series"
)

// Site is the plant's end of a site that is joined to it. What the site serves is
// registered here under its name, and commanded by way of down; nil: not at all.
func (p *Plant) Site(name string, down *edge.Downlink) *edge.Site {
	return edge.NewSite(name, joined{p, down}, p.log)
}

// Orders is this plant's end of what a plant that it is a site of asks for.
func (p *Plant) Orders() *edge.Orders { return edge.NewOrders(commander{p}, p.sched.Now, p.log) }

// commander hands commands of another plant to this one's guard.
type commander struct{ plant *Plant }

// Slot implements edge.Commander.
func (c commander) Slot(id device.ID) (device.Info, bool) { return c.plant.Fleet.Info(id) }

// Command implements edge.Commander.
func (c commander) Command(ctx context.Context, cmd device.Command) (device.Ack, error) {
	return (&Face{plant: c.plant}).Command(ctx, cmd)
}

// UplinkOptions say how a plant that is a site of another one sends on what it has.
type UplinkOptions struct {
	Line   edge.Line
	Verify time.Duration // how often histories are compared; 0 = the default
	// Hold is how long the log keeps what the other plant does not have yet; 0 = two days.
	// What it gives up then is in the history, and is sent when the histories are compared.
	Hold time.Duration
}

// Uplink makes this plant a site of another one. It is called before Start; the uplink is
// the caller's to run.
func (p *Plant) Uplink(o UplinkOptions) (*edge.Uplink, error) {
	u, err := edge.NewUplink(edge.Options{
		Bus: p.bus, Line: o.Line, Source: joined{plant: p}, File: filepath.Join(p.cfg.Dir, "uplink.json"),
		Log: p.log, Now: p.sched.Now, Verify: o.Verify,
	})
	if err != nil {
		return nil, err
	}
	if o.Hold <= 0 {
		o.Hold = 48 * time.Hour
	}
	p.uplink = &held{link: u, most: o.Hold}
	return u, nil
}

// held is what the log of readings keeps for an uplink.
type held struct {
	link  *edge.Uplink
	most  time.Duration
	marks []mark // how far the log was at a moment, the oldest first
}

// before is the first sequence that the log must keep, where the views need it from
// sequence want on and it has come to last.
func (h *held) before(now time.Time, want, last uint64) uint64 {
	if n := len(h.marks); n == 0 || now.Sub(h.marks[n-1].at) >= h.most/16 || now.Before(h.marks[n-1].at) {
		h.marks = append(h.marks, mark{now, last})
	}
	for len(h.marks) > 1 && now.Sub(h.marks[1].at) > h.most {
		h.marks = h.marks[1:]
	}
	has := h.link.Has(bus.Data)
	if first := h.marks[0]; now.Sub(first.at) > h.most {
		has = max(has, first.seq) // what lies before has waited for too long
	}
	return min(want, has+1)
}

// joined shows a plant to package edge.
type joined struct {
	plant *Plant
	down  *edge.Downlink // of a site; nil: its devices are not commanded
}

var (
	_ edge.Plant  = joined{}
	_ edge.Source = joined{}
)

// Register implements edge.Plant.
func (j joined) Register(ctx context.Context, info device.Info) (device.Info, error) {
	info.PollMS = int(remotePeriod.Milliseconds())
	if old, known := j.plant.Fleet.Info(info.ID); known {
		if _, reached := j.plant.listening.Load(old.Slot); reached { // whether it is armed here the site does not know
			info.State = old.State
		}
	}
	info, err := j.plant.register(ctx, info)
	if err == nil && j.down != nil {
		j.plant.reach(info, j.down)
	}
	return info, err
}

// remotePeriod is how often it is looked whether a device behind a site is there.
const remotePeriod = time.Second

// reach serves a device that a site serves: its commands go to the site, and its readings
// come from there. Like a device on a wire of ours it acts once somebody has armed it.
func (p *Plant) reach(info device.Info, down *edge.Downlink) {
	if _, there := p.listening.LoadOrStore(info.Slot, down.Joined); there || p.sched.Virtual() {
		return
	}
	d := down.Driver(info.ID, func() (device.Reading, bool) {
		d, ok := p.Fleet.Device(info.Slot)
		return d.Last, ok && d.Last.At != 0
	})
	p.sched.Post("reach", func(time.Time) {
		if p.life.Err() != nil {
			return
		}
		p.serving.Add(1)
		err := p.Gateway.Attach(p.life, gateway.Wire{Driver: d, Slot: info.Slot, Period: remotePeriod, Pushed: true}, p.serving.Done)
		if err != nil {
			p.serving.Done()
			p.log.Error("device of a site not taken in", "device", info.ID, "error", err)
		}
	})
}

// Slot implements edge.Plant.
func (j joined) Slot(id device.ID) (device.Info, bool) { return j.plant.Fleet.Info(id) }

// Push implements edge.Plant. A reading that lies in this plant's future is passed over: its
// site's clock is wrong, or ours is. It comes again when the histories are compared.
func (j joined) Push(ctx context.Context, rows []device.Reading) error {
	_, err := j.plant.Gateway.Push(ctx, rows)
	return err
}

// Tell implements edge.Plant.
func (j joined) Tell(ctx context.Context, events []device.Event) error {
	if len(events) == 0 {
		return nil
	}
	return j.plant.publish(ctx, bus.Control, &device.Events{List: events})
}

// Rows implements edge.Plant and edge.Source.
func (j joined) Rows(ctx context.Context, s device.Slot, from, to int64, each func(*device.Reading)) error {
	q := series.Query{Slot: s, From: from, To: to}
	for {
		page, err := j.plant.History.Query(ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Rows {
			each(&page.Rows[i].Reading)
		}
		if page.Next == "" || ctx.Err() != nil {
			return ctx.Err()
		}
		q.Cursor = page.Next
	}
}

// Devices implements edge.Source: all that this plant serves itself.
func (j joined) Devices() (list []device.Info) {
	for page := j.plant.Fleet.Page("", 1000); len(page) > 0; page = j.plant.Fleet.Page(page[len(page)-1].ID, 1000) {
		for _, info := range page {
			if info.Kind != edge.Kind {
				list = append(list, info)
			}
		}
	}
	return list
}

// Device implements edge.Source.
func (j joined) Device(s device.Slot) (device.Info, bool) {
	d, ok := j.plant.Fleet.Device(s)
	return d.Info, ok && d.Info.ID != ""
}
