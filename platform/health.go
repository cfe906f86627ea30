package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"

	"yunchu/platform/api"
	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/ops"
	"yunchu/platform/store/series"
	"yunchu/platform/store/state"
)

// scrubEvery is how often the whole log is compared with its checkpoints, and the history
// with its manifest.
const scrubEvery = 24 * time.Hour

// damage is what of the stores is lost or wrong, and how many of it events have told.
type damage struct {
	views  []api.Damage // of history and state, found by this process
	faults int          // of the history, that are among them
	told   map[string]bool
}

// Damages lists what is lost or wrong in log, history and state. It may be called by any
// goroutine.
func (p *Plant) Damages() []api.Damage {
	p.inspect()
	var all []api.Damage
	if c, ok := p.bus.(bus.Checked); ok {
		for _, d := range c.Damages() {
			all = append(all, api.Damage{
				Store: d.Stream, FromSequence: d.From, ToSequence: d.To, Since: d.Since, Until: d.Until,
				What: d.What, Found: d.Found, Fresh: d.Fresh,
			})
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(all, p.damage.views...)
}

// damaged notes a fault of a view.
func (p *Plant) damaged(store, what string) {
	p.log.Error("a store is damaged", "store", store, "what", what)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.damage.views = append(p.damage.views, api.Damage{Store: store, What: what, Found: p.sched.Now(), Fresh: true})
}

// inspect takes over what the history has found damaged since it was called last: when it
// was opened, when it was read, when it was verified.
func (p *Plant) inspect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	faults := p.History.Faults()
	for _, f := range faults[p.damage.faults:] {
		d := api.Damage{Store: "history", What: f.Error(), Found: p.sched.Now(), Fresh: true}
		if f.From < f.To {
			d.Since, d.Until = device.Time(f.From), device.Time(f.To)
		}
		p.damage.views = append(p.damage.views, d)
	}
	p.damage.faults = len(faults)
}

// tell reports damages that no event has told. It runs on the loop.
func (p *Plant) tell(now time.Time) {
	for _, d := range p.Damages() {
		text := d.String()
		if !d.Fresh || p.damage.told[text] {
			continue
		}
		if p.damage.told == nil {
			p.damage.told = map[string]bool{}
		}
		p.damage.told[text] = true
		kind, _, _ := strings.Cut(d.Store, ".")
		p.Gateway.Event(now, device.Plant, kind+"-damaged", device.Critical, text)
	}
}

// Where people are warned that the disk fills: before readings are refused.
const (
	lowShare = 20      // of a disk less than a twentieth is free,
	lowBytes = 1 << 30 // or less than this
)

// watchSpace reports when the disk begins and ends to be nearly full. It runs on the loop.
func (p *Plant) watchSpace(now time.Time) {
	free, total, err := nats.Space(p.cfg.Dir)
	if err != nil || p.sched.Virtual() {
		return
	}
	limit := max(total/lowShare, lowBytes)
	switch {
	case free < limit && !p.lowSpace:
		p.lowSpace = true
		p.Gateway.Event(now, device.Plant, "low-space", device.Warning, fmt.Sprintf("%d MB of the data folder's disk are free", free>>20))
	case free > limit+limit/4 && p.lowSpace:
		p.lowSpace = false
		p.Gateway.Event(now, device.Plant, "low-space-end", device.Information, fmt.Sprintf("%d MB of the data folder's disk are free", free>>20))
	}
}

// agree holds the views against the log. A log that ends before its views do is not
// theirs. Where log.meta has lost frames the state view knows what they said, and it is
// written to the log again; where it is whole the log holds.
func (p *Plant) agree() error {
	for stream, seen := range map[string]uint64{bus.Data: p.History.Covered(), bus.Meta: p.State.Applied()} {
		first, last, err := p.bus.Bounds(stream)
		switch {
		case err != nil:
			return err
		case last < seen:
			return fmt.Errorf("%s ends at sequence %d and its view has seen %d: it is not the log of this data folder; restore a backup", stream, last, seen)
		case stream == bus.Data && first > seen+1 && p.storeOf() == nil: // one elsewhere tells so itself
			p.damaged("history", fmt.Sprintf("readings of the log's sequences %d to %d are neither in the history nor in the log", seen+1, first-1))
		}
	}
	return nil
}

// mend makes log.meta and the state view say the same, once both are replayed.
func (p *Plant) mend() error {
	if err := p.State.Fault(); err != nil {
		p.damaged("state", err.Error())
	}
	truth := map[state.Change][]byte{}
	if err := bus.Metas.Replay(context.Background(), p.bus, 1, func(_ uint64, m *device.Meta) {
		truth[state.Change{Kind: m.Kind, Key: m.Key}] = append([]byte(nil), m.Value...)
	}); err != nil {
		return err
	}
	differs, err := p.State.Compare(truth)
	if err != nil {
		return fmt.Errorf("compare the state view with the log: %w", err)
	}
	lost := false
	for _, d := range p.Damages() {
		lost = lost || d.Store == bus.Meta && d.Fresh
	}
	wrong := 0
	for c, value := range differs {
		if lost && c.Kind != "" {
			m := &device.Meta{Kind: c.Kind, Key: c.Key, Value: value, At: p.sched.Now().UnixMilli()}
			if _, err := bus.PublishWait(context.Background(), p.bus, bus.Meta, m); err != nil {
				return fmt.Errorf("restore %s %q to the log: %w", c.Kind, c.Key, err)
			}
			p.log.Warn("a change that the log has lost is restored from the state view", "kind", c.Kind, "key", c.Key)
			continue
		}
		switch err := p.State.Correct(c, truth[c]); {
		case err == nil:
			wrong++
		case !errors.Is(err, state.ErrValue):
			return err
		}
	}
	if wrong > 0 {
		p.damaged("state", fmt.Sprintf("%d values differed from the log and were corrected", wrong))
	}
	return nil
}

// Backup implements api.Backup. Nothing is trimmed from the log while it runs.
func (f *Face) Backup(ctx context.Context, w io.Writer, recipient string) error {
	p := f.plant
	var to []age.Recipient
	if recipient != "" {
		r, err := age.ParseX25519Recipient(recipient)
		if err != nil {
			return fmt.Errorf("%w: recipient: %w", api.ErrInvalid, err)
		}
		to = append(to, r)
	}
	if p.sched.Virtual() {
		return fmt.Errorf("%w: a simulated plant keeps nothing", api.ErrNotAvailable)
	}
	p.holds.Add(1)
	defer p.holds.Add(-1)
	if h, ok := p.History.(series.Holder); ok {
		defer h.Hold()() // the manifest is copied first, and what it lists must be there
	}
	src := ops.Source{Dir: p.cfg.Dir, Bus: p.bus, Program: Version, Now: p.sched.Now(), State: p.State.Save}
	if h := p.storeOf(); h != nil {
		src.History = h.Store
	}
	_, err := ops.Backup(ctx, w, src, to...)
	return err
}

// scrub compares the whole log with its checkpoints now and then, and the history with its
// manifest, which begins at the start: an open history has looked at its newest files alone.
func (p *Plant) scrub(now time.Time) {
	if p.sched.Virtual() {
		return
	}
	if now.Sub(p.verified) >= scrubEvery || now.Before(p.verified) {
		p.verified = now
		p.serving.Go(func() {
			if err := p.History.Verify(p.life); err != nil && p.life.Err() == nil {
				p.log.Error("history not verified", "error", err)
			}
		})
	}
	c, ok := p.bus.(bus.Checked)
	if !ok || now.Sub(p.scrubbed) < scrubEvery && !now.Before(p.scrubbed) {
		return
	}
	p.scrubbed = now
	p.serving.Go(func() {
		if err := c.Scrub(p.life); err != nil && p.life.Err() == nil {
			p.log.Error("log not scrubbed", "error", err)
		}
	})
}
