package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"

	"github.com/tidwall/buntdb"

	"yunchu/platform/device"
)

// maxSlot bounds the memory that a wrong slot can ask for.
const maxSlot = 1 << 24

// Put notes the readings; of each slot the newest by its own time stays, and of
// equal times the one that came last. It reaches the file with the next Flush.
func (s *Store) Put(f *device.Readings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, slot := range f.Slot {
		if slot >= maxSlot {
			continue
		}
		if int(slot) >= len(s.latest) {
			s.latest = append(s.latest, make([]pending, int(slot)+1-len(s.latest))...)
		}
		p := &s.latest[slot]
		if p.known && f.At[i] < p.r.At {
			continue
		}
		if !p.known && f.At[i] < s.storedAt(slot) {
			continue
		}
		f.Row(i, &p.r)
		if !p.dirty {
			s.dirty = append(s.dirty, slot)
		}
		p.known, p.dirty = true, true
	}
}

// storedAt is the time of the slot's reading in the file.
func (s *Store) storedAt(slot device.Slot) int64 {
	if r, err := s.load(slot); err == nil {
		return r.At
	}
	return math.MinInt64
}

// Flush writes what came since the last one: the latest readings, then up to
// where the log was applied. Whoever owns time calls it now and then.
func (s *Store) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.db.Update(func(tx *buntdb.Tx) error {
		for _, slot := range s.dirty {
			b, err := json.Marshal(entryOf(&s.latest[slot].r))
			if err != nil {
				return err
			}
			if err := put(tx, latestKey(slot), seal(b)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("flush state: %w", err)
	}
	for _, slot := range s.dirty {
		s.latest[slot].dirty = false
	}
	s.dirty = s.dirty[:0]
	if s.saved == s.applied {
		return nil
	}
	// A transaction of its own, so that it lies behind what it speaks of.
	err = s.db.Update(func(tx *buntdb.Tx) error { return put(tx, appliedKey, strconv.FormatUint(s.applied, 10)) })
	if err != nil {
		return fmt.Errorf("flush state: %w", err)
	}
	s.saved = s.applied
	return nil
}

// Latest is the newest reading of the slot, or ErrNotFound.
func (s *Store) Latest(slot device.Slot) (device.Reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(slot) < len(s.latest) && s.latest[slot].known {
		return s.latest[slot].r, nil
	}
	return s.load(slot)
}

func (s *Store) load(slot device.Slot) (device.Reading, error) {
	text, err := s.get(latestKey(slot))
	if err != nil {
		return device.Reading{}, fmt.Errorf("latest of slot %d: %w", slot, err)
	}
	var e entry
	text, err = unseal(text)
	if err == nil {
		err = json.Unmarshal([]byte(text), &e)
	}
	if err != nil {
		return device.Reading{}, fmt.Errorf("latest of slot %d: %w", slot, err)
	}
	r, err := e.reading(slot)
	if err != nil {
		return device.Reading{}, fmt.Errorf("latest of slot %d: %w", slot, err)
	}
	return r, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal adds a checksum: the log may no longer have what the value could be compared with.
func seal(b []byte) string { return fmt.Sprintf("%s#%08x", b, crc32.Checksum(b, castagnoli)) }

// unseal takes it off again. Values of the first format have none.
func unseal(text string) (string, error) {
	i := strings.LastIndexByte(text, '#')
	if i < 0 || strings.HasSuffix(text, "}") {
		return text, nil
	}
	if seal([]byte(text[:i])) != text {
		return "", errors.New("checksum does not match")
	}
	return text[:i], nil
}

func latestKey(slot device.Slot) string { return fmt.Sprintf("%s%08d", latestPrefix, slot) }

// entry is a reading in the file. A quantity that was not reported, or that JSON
// cannot write (an infinity), is left out.
type entry struct {
	At           int64          `json:"timestamp"`
	Arrived      int64          `json:"arrived"`
	SoC          *float64       `json:"soc,omitempty"`
	SoH          *float64       `json:"soh,omitempty"`
	Voltage      *float64       `json:"voltage,omitempty"`
	Current      *float64       `json:"current,omitempty"`
	Power        *float64       `json:"power,omitempty"`
	Temperature  *float64       `json:"temperature,omitempty"`
	MaxCharge    *float64       `json:"maxCharge,omitempty"`
	MaxDischarge *float64       `json:"maxDischarge,omitempty"`
	Frequency    *float64       `json:"frequency,omitempty"`
	Status       string         `json:"status,omitempty"`
	Quality      device.Quality `json:"quality"`
	Flags        device.Flags   `json:"flags"` // bits
}

// values pairs the quantities of an entry and of a reading.
func (e *entry) values(r *device.Reading) [9]struct {
	in  **float64
	out *float64
} {
	return [...]struct {
		in  **float64
		out *float64
	}{
		{&e.SoC, &r.SoC},
		{&e.SoH, &r.SoH},
		{&e.Voltage, &r.Voltage},
		{&e.Current, &r.Current},
		{&e.Power, &r.Power},
		{&e.Temperature, &r.Temperature},
		{&e.MaxCharge, &r.MaxCharge},
		{&e.MaxDischarge, &r.MaxDischarge},
		{&e.Frequency, &r.Frequency},
	}
}

func entryOf(r *device.Reading) *entry {
	e := &entry{At: r.At, Arrived: r.Arrived, Status: r.StatusWord(), Quality: min(r.Quality, device.Bad), Flags: r.Flags}
	for _, v := range e.values(r) {
		if device.Finite(*v.out) && (v.out != &r.Frequency || r.Frequency > 0) {
			*v.in = v.out
		}
	}
	return e
}

func (e *entry) reading(slot device.Slot) (device.Reading, error) {
	if e.Quality > device.Bad {
		return device.Reading{}, errors.New("unknown quality")
	}
	r := device.Empty()
	r.Slot, r.At, r.Arrived, r.Quality, r.Flags = slot, e.At, e.Arrived, e.Quality, e.Flags
	for _, v := range e.values(&r) {
		if *v.in != nil {
			*v.out = **v.in
		}
	}
	status, ok := device.ParseStatus(e.Status)
	if r.Status = status; !ok {
		r.Word = e.Status
	}
	return r, nil
}
