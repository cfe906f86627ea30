package platform

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"yunchu/platform/api"
	"yunchu/platform/bus"
	"yunchu/platform/device"
	"yunchu/platform/durable"
	"yunchu/platform/store/postgres"
	"yunchu/platform/store/series"
)

// Kept is what a data folder says of its history, in the file history.json: where it is when
// it is not in the folder, and the name by which that place knows the plant.
type Kept struct {
	Store string `json:"store"` // files or postgres
	Plant string `json:"plant"`
}

// HistoryFiles is the store in the data folder.
const HistoryFiles = "files"

const keptFile = "history.json"

// HistoryOf reads where the history of a data folder is; in the folder where nothing says
// otherwise.
func HistoryOf(dir string) (k Kept, err error) {
	b, err := os.ReadFile(filepath.Join(dir, keptFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Kept{Store: HistoryFiles}, nil
	} else if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err != nil {
		return k, fmt.Errorf("read where the history is: %w", err)
	}
	return k, nil
}

// keep notes where the history is. A plant that has no name gets one. One whose history is
// elsewhere does not begin another in its folder because somebody has left out where.
func keep(dir, store string) (Kept, error) {
	k, err := HistoryOf(dir)
	switch {
	case err != nil || k.Store == store:
		return k, err
	case k.Store != HistoryFiles:
		return k, fmt.Errorf("the history of this plant is in %s: give the configuration that says where, or remove the file %s to begin a new one",
			k.Store, filepath.Join(dir, keptFile))
	}
	if k.Store = store; k.Plant == "" {
		k.Plant = rand.Text()
	}
	b, err := json.Marshal(k)
	if err != nil {
		return k, err
	}
	return k, durable.WriteFile(filepath.Join(dir, keptFile), append(b, '\n'), 0o600)
}

// openHistory opens the store of readings that the configuration names.
func (p *Plant) openHistory() error {
	name := func(s device.Slot) device.ID { d, _ := p.Fleet.Device(s); return d.Info.ID }
	store := HistoryFiles
	if p.cfg.Postgres != nil {
		store = postgres.Kind
	}
	kept, err := keep(p.cfg.Dir, store)
	if err != nil {
		return err
	}
	if p.cfg.Postgres != nil {
		h, err := postgres.Open(postgres.Options{
			Server: *p.cfg.Postgres, Plant: kept.Plant, Source: readings{p.bus}, Keep: p.cfg.RetainHistory, Tiers: p.cfg.Tiers, Name: name, Log: p.log,
		})
		if err != nil {
			return err
		}
		p.History = h
		return nil
	}
	h, err := series.Open(series.Options{
		Dir: filepath.Join(p.cfg.Dir, "history"), Log: p.log, Keep: p.cfg.RetainHistory, Tiers: p.cfg.Tiers, Name: name,
	})
	if err != nil { // a nil store in the interface would not be nil
		return err
	}
	p.History = h
	return nil
}

// missed tells the history what the log has lost behind what was covered when it was opened.
func (p *Plant) missed(covered uint64) {
	h, tells := p.History.(series.Misser)
	c, checked := p.bus.(bus.Checked)
	if !tells || !checked {
		return
	}
	var list []series.Miss
	for _, d := range c.Damages() {
		if d.Stream != bus.Data || d.From == 0 || d.To <= covered {
			continue
		}
		m := series.Miss{First: max(d.From, covered+1), Last: d.To, To: d.Found.UnixMilli() + 1, Why: "lost in the log: " + d.What}
		if !d.Since.IsZero() {
			m.From = d.Since.UnixMilli()
		}
		if !d.Until.IsZero() {
			m.To = d.Until.UnixMilli() + 1
		}
		list = append(list, m)
	}
	h.Missed(list)
}

// readings is the log that a history elsewhere reads again.
type readings struct{ bus bus.Bus }

// Bounds implements postgres.Log.
func (r readings) Bounds() (first, last uint64, err error) { return r.bus.Bounds(bus.Data) }

// Replay implements postgres.Log.
func (r readings) Replay(ctx context.Context, from uint64, fn func(seq uint64, f *device.Readings)) error {
	return bus.Readings.Replay(ctx, r.bus, from, fn)
}

// storeOf is how a history elsewhere stands; nil for one in the data folder.
func (p *Plant) storeOf() *api.HistoryStore {
	e, ok := p.History.(series.Elsewhere)
	if !ok {
		return nil
	}
	c := e.Condition()
	return &api.HistoryStore{Store: c.Store, State: c.State, Since: c.Since, Behind: c.Behind, Error: c.Error}
}
