// Package state is a view of what the plant knows about itself: the registry,
// users, tokens and settings of log.meta, and the latest readings. It answers
// listings and look-ups for the API and for tools, in one small buntdb file; it
// is never asked on the control path.
//
// It is a view: the log is the truth. The file says up to which sequence of
// log.meta it was written, and what came after is applied again at the next
// start. A file that cannot be read is set aside and built anew.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tidwall/buntdb"

	"yunchu/platform/device"
)

// Errors that callers branch on.
var (
	// ErrNotFound: there is no such thing.
	ErrNotFound = errors.New("not found")
	// ErrValue: a change that cannot be understood. Nothing was stored.
	ErrValue = errors.New("not a valid change")
)

// Kinds of log.meta that this package looks into; others it only keeps.
const deviceKind = "device"

// Keys of the file, by prefix. A place is kept apart because not every device
// has one.
const (
	metaPrefix   = "meta:"
	placePrefix  = "place:"
	latestPrefix = "latest:"
	appliedKey   = "applied"
)

// Memory is the path of a state without a file.
const Memory = ":memory:"

// Store is the view. All methods may be called by any goroutine.
type Store struct {
	db *buntdb.DB

	fault error // why a file was set aside

	mu      sync.Mutex
	applied uint64 // of log.meta
	saved   uint64 // of it, in the file
	behind  bool   // a change could not be written; applied stands still
	latest  []pending
	dirty   []device.Slot // of latest
}

// pending is the newest reading of a slot, which the file may not have yet.
type pending struct {
	r            device.Reading
	known, dirty bool
}

// Open opens the view at path, or a new one. A file that cannot be read is
// renamed to path.bad.
func Open(path string) (*Store, error) {
	db, err := buntdb.Open(path)
	var fault error
	if errors.Is(err, buntdb.ErrInvalid) {
		if err := os.Rename(path, path+".bad"); err != nil {
			return nil, fmt.Errorf("set state aside: %w", err)
		}
		fault = fmt.Errorf("the file could not be read, is kept as %s.bad and was written anew from the log", filepath.Base(path))
		db, err = buntdb.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, err)
	}
	s := &Store{db: db, fault: fault}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, errors.Join(err, db.Close()))
	}
	return s, nil
}

func (s *Store) prepare() error {
	var c buntdb.Config
	if err := s.db.ReadConfig(&c); err != nil {
		return err
	}
	c.SyncPolicy = buntdb.EverySecond // the log is what is synced before anybody is answered
	if err := s.db.SetConfig(c); err != nil {
		return err
	}
	if err := s.db.CreateIndex("kind", metaPrefix+deviceKind+":*", buntdb.IndexJSON("kind")); err != nil {
		return err
	}
	if err := s.db.CreateSpatialIndex("place", placePrefix+"*", buntdb.IndexRect); err != nil {
		return err
	}
	text, err := s.get(appliedKey)
	if errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	s.applied, err = strconv.ParseUint(text, 10, 64)
	s.saved = s.applied
	return err
}

// Applied is the last sequence of log.meta that the view has; the log is applied
// from the one after it.
func (s *Store) Applied() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applied
}

// Apply takes a change from log.meta, in its order. A sequence that was applied
// before is passed over. A change that is not JSON or has no kind is ErrValue; it
// is passed over too, since the log will always hold it.
func (s *Store) Apply(seq uint64, m *device.Meta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq <= s.applied {
		return nil
	}
	err := s.apply(seq, m)
	if err != nil && !errors.Is(err, ErrValue) {
		s.behind = true // the next start applies it again, and what follows
	}
	if !s.behind {
		s.applied = seq
	}
	return err
}

func (s *Store) apply(seq uint64, m *device.Meta) error {
	if m.Kind == "" || strings.Contains(m.Kind, ":") {
		return fmt.Errorf("apply %s %s at %d: %w: kind", m.Kind, m.Key, seq, ErrValue)
	}
	var info device.Info
	if len(m.Value) > 0 {
		into := any(new(json.RawMessage))
		if m.Kind == deviceKind {
			into = &info
		}
		if err := json.Unmarshal(m.Value, into); err != nil {
			return fmt.Errorf("apply %s %s at %d: %w: %w", m.Kind, m.Key, seq, ErrValue, err)
		}
	}
	return s.db.Update(func(tx *buntdb.Tx) error {
		if err := put(tx, metaKey(m.Kind, m.Key), string(m.Value)); err != nil || m.Kind != deviceKind {
			return err
		}
		place := ""
		if l := info.Location; l != nil {
			place = buntdb.Point(l.Lon, l.Lat)
		}
		return put(tx, placePrefix+m.Key, place)
	})
}

// put sets the key, or deletes it when the value is empty.
func put(tx *buntdb.Tx, key, value string) error {
	if value == "" {
		if _, err := tx.Delete(key); err != nil && !errors.Is(err, buntdb.ErrNotFound) {
			return err
		}
		return nil
	}
	_, _, err := tx.Set(key, value, nil)
	return err
}

func metaKey(kind, key string) string { return metaPrefix + kind + ":" + key }

func (s *Store) get(key string) (value string, err error) {
	err = s.db.View(func(tx *buntdb.Tx) error {
		value, err = tx.Get(key)
		return err
	})
	if errors.Is(err, buntdb.ErrNotFound) {
		return "", ErrNotFound
	}
	return value, err
}

// Fault is why the file that was found could not be read; nil when it could.
func (s *Store) Fault() error { return s.fault }

// Change is the newest value of a kind and key.
type Change struct{ Kind, Key string }

// Compare lists what the view says differently from truth, the newest values by kind and
// key: with the view's values, empty where it has none.
func (s *Store) Compare(truth map[Change][]byte) (differs map[Change][]byte, err error) {
	differs = map[Change][]byte{}
	seen := map[Change]bool{}
	err = s.db.View(func(tx *buntdb.Tx) error {
		return tx.AscendGreaterOrEqual("", metaPrefix, func(key, value string) bool {
			name, ok := strings.CutPrefix(key, metaPrefix)
			kind, key, whole := strings.Cut(name, ":")
			if !ok {
				return false
			}
			c := Change{kind, key}
			if seen[c] = true; !whole || string(truth[c]) != value {
				differs[c] = []byte(value)
			}
			return true
		})
	})
	for c, value := range truth {
		if len(value) > 0 && !seen[c] {
			differs[c] = nil
		}
	}
	return differs, err
}

// Correct sets a value whatever was applied before. ErrValue as with Apply.
func (s *Store) Correct(c Change, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(c.Kind, ":") || c.Kind == "" {
		return fmt.Errorf("%w: kind %q", ErrValue, c.Kind)
	}
	return s.apply(s.applied, &device.Meta{Kind: c.Kind, Key: c.Key, Value: value})
}

// Meta is the newest value of a kind and key, or ErrNotFound.
func (s *Store) Meta(kind, key string) ([]byte, error) {
	value, err := s.get(metaKey(kind, key))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", kind, key, err)
	}
	return []byte(value), nil
}

// Each calls fn with every key and value of the kind, as they were at the call
// and ascending by key, until it returns false. fn may use the store.
func (s *Store) Each(kind string, fn func(key string, value []byte) bool) error {
	type pair struct {
		key   string
		value []byte
	}
	var all []pair
	err := s.from(kind, "", func(key string, value []byte) bool {
		all = append(all, pair{key, value})
		return true
	})
	for _, p := range all {
		if err != nil || !fn(p.key, p.value) {
			break
		}
	}
	return err
}

// from begins at the first key that is not below start.
func (s *Store) from(kind, start string, fn func(key string, value []byte) bool) error {
	prefix := metaKey(kind, "")
	return s.db.View(func(tx *buntdb.Tx) error {
		return tx.AscendGreaterOrEqual("", prefix+start, func(key, value string) bool {
			name, ok := strings.CutPrefix(key, prefix)
			return ok && fn(name, []byte(value))
		})
	})
}

// Device is what is known of a device, or ErrNotFound.
func (s *Store) Device(id device.ID) (device.Info, error) {
	value, err := s.Meta(deviceKind, string(id))
	if err != nil {
		return device.Info{}, err
	}
	return parseInfo(string(id), value)
}

func parseInfo(id string, value []byte) (info device.Info, err error) {
	if err := json.Unmarshal(value, &info); err != nil {
		return info, fmt.Errorf("device %s: %w", id, err)
	}
	info.ID = device.ID(id)
	return info, nil
}

// Devices lists at most limit devices whose id is above after, ascending by id.
func (s *Store) Devices(after device.ID, limit int) (list []device.Info, err error) {
	if limit <= 0 {
		return nil, nil
	}
	var fault error
	err = s.from(deviceKind, string(after), func(id string, value []byte) bool {
		if id == string(after) {
			return true
		}
		info, err := parseInfo(id, value)
		if err != nil {
			fault = err
			return false
		}
		list = append(list, info)
		return len(list) < limit
	})
	return list, errors.Join(err, fault)
}

// OfKind lists the devices of the kind (sim, modbus, …), ascending by id.
func (s *Store) OfKind(kind string) ([]device.Info, error) {
	pivot, err := json.Marshal(map[string]string{"kind": kind})
	if err != nil {
		return nil, err
	}
	return s.look(metaKey(deviceKind, ""), func(tx *buntdb.Tx, visit func(key, value string) bool) error {
		return tx.AscendEqual("kind", string(pivot), visit)
	})
}

// Within lists the devices between two corners, edges included, ascending by id.
// Degrees; a box across the date line takes two calls.
func (s *Store) Within(south, west, north, east float64) ([]device.Info, error) {
	box := buntdb.Rect([]float64{west, south}, []float64{east, north})
	return s.look(placePrefix, func(tx *buntdb.Tx, visit func(key, value string) bool) error {
		return tx.Intersects("place", box, visit)
	})
}

// look lists the devices that a search by an index finds.
func (s *Store) look(prefix string, search func(tx *buntdb.Tx, visit func(key, value string) bool) error) (list []device.Info, err error) {
	err = s.db.View(func(tx *buntdb.Tx) error {
		var fault error
		err := search(tx, func(key, _ string) bool {
			id := strings.TrimPrefix(key, prefix)
			value, err := tx.Get(metaKey(deviceKind, id))
			if err != nil {
				fault = fmt.Errorf("device %s: %w", id, err)
				return false
			}
			info, err := parseInfo(id, []byte(value))
			fault = err
			list = append(list, info)
			return err == nil
		})
		return errors.Join(err, fault)
	})
	slices.SortFunc(list, func(a, b device.Info) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return list, err
}

// Save writes a consistent copy of the file, which Open reads.
func (s *Store) Save(w io.Writer) error {
	if err := s.Flush(); err != nil {
		return err
	}
	return s.db.Save(w)
}

// Reseal gives the latest values of a file of the first format their checksums. It may be
// repeated. A file that is not there or cannot be read is left to Open.
func Reseal(path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := buntdb.Open(path)
	if errors.Is(err, buntdb.ErrInvalid) {
		return nil
	} else if err != nil {
		return err
	}
	err = db.Update(func(tx *buntdb.Tx) error {
		bare := map[string]string{}
		if err := tx.AscendKeys(latestPrefix+"*", func(key, value string) bool {
			if strings.HasSuffix(value, "}") {
				bare[key] = value
			}
			return true
		}); err != nil {
			return err
		}
		for key, value := range bare {
			if err := put(tx, key, seal([]byte(value))); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

// Close writes what is pending and closes the file.
func (s *Store) Close() error {
	return errors.Join(s.Flush(), s.db.Close())
}
