package state_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"yunchu/platform/device"
	"yunchu/platform/store/state"
)

func open(t *testing.T, path string) *state.Store {
	t.Helper()
	s, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func info(id string, slot int, kind string, at *device.Location) *device.Meta {
	b, err := json.Marshal(device.Info{ID: device.ID(id), Slot: device.Slot(slot), Kind: kind, Location: at})
	if err != nil {
		panic(err)
	}
	return &device.Meta{Kind: "device", Key: id, Value: b}
}

func apply(t *testing.T, s *state.Store, seq uint64, m *device.Meta) {
	t.Helper()
	if err := s.Apply(seq, m); err != nil {
		t.Fatal(err)
	}
}

func ids(list []device.Info) (out []string) {
	for _, i := range list {
		out = append(out, string(i.ID))
	}
	return out
}

func TestRegistry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	apply(t, s, 1, info("b", 0, "sim", &device.Location{Lat: 31.2, Lon: 121.5}))
	apply(t, s, 2, info("a", 1, "modbus", nil))
	apply(t, s, 3, info("c", 2, "sim", &device.Location{Lat: 39.9, Lon: 116.4}))
	apply(t, s, 4, &device.Meta{Kind: "user", Key: "d:e", Value: []byte(`{"role":"admin"}`)})
	apply(t, s, 5, info("gone", 3, "sim", &device.Location{Lat: 31.3, Lon: 121.6}))
	apply(t, s, 6, &device.Meta{Kind: "device", Key: "gone"})
	apply(t, s, 7, info("c", 2, "can", &device.Location{Lat: 39.9, Lon: 116.4}))
	apply(t, s, 2, info("a", 9, "replayed", nil)) // passed over

	check := func(t *testing.T, s *state.Store) {
		t.Helper()
		if got, err := s.Device("a"); err != nil || got.Slot != 1 || got.Kind != "modbus" {
			t.Errorf("Device(a) = %+v, %v", got, err)
		}
		if _, err := s.Device("gone"); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("Device(gone): %v, want ErrNotFound", err)
		}
		if got, err := s.Devices("", 2); err != nil || !slices.Equal(ids(got), []string{"a", "b"}) {
			t.Errorf("first page: %v, %v", ids(got), err)
		}
		if got, err := s.Devices("b", 2); err != nil || !slices.Equal(ids(got), []string{"c"}) {
			t.Errorf("second page: %v, %v", ids(got), err)
		}
		if got, err := s.Meta("user", "d:e"); err != nil || string(got) != `{"role":"admin"}` {
			t.Errorf("Meta(user, d:e) = %s, %v", got, err)
		}
		if got, err := s.OfKind("sim"); err != nil || !slices.Equal(ids(got), []string{"b"}) {
			t.Errorf("OfKind(sim) = %v, %v", ids(got), err)
		}
		if got, err := s.Within(31, 121, 32, 122); err != nil || !slices.Equal(ids(got), []string{"b"}) {
			t.Errorf("Within = %v, %v", ids(got), err)
		}
		var keys []string
		if err := s.Each("device", func(key string, _ []byte) bool { keys = append(keys, key); return len(keys) < 2 }); err != nil || !slices.Equal(keys, []string{"a", "b"}) {
			t.Errorf("Each stopped after two: %v, %v", keys, err)
		}
		if got := s.Applied(); got != 7 {
			t.Errorf("Applied() = %d, want 7", got)
		}
	}
	check(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close()
	check(t, s)
}

func TestApplyRefuses(t *testing.T) {
	s := open(t, state.Memory)
	defer s.Close()
	for i, m := range []*device.Meta{
		{Kind: "", Key: "a", Value: []byte(`{}`)},
		{Kind: "a:b", Key: "a", Value: []byte(`{}`)},
		{Kind: "user", Key: "a", Value: []byte(`{`)},
		{Kind: "device", Key: "a", Value: []byte(`{"slot":"x"}`)},
	} {
		if err := s.Apply(uint64(i+1), m); !errors.Is(err, state.ErrValue) {
			t.Errorf("Apply(%+v) = %v, want ErrValue", m, err)
		}
		if _, err := s.Meta(m.Kind, m.Key); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("Meta(%q, %q) = %v, want ErrNotFound", m.Kind, m.Key, err)
		}
	}
	if s.Applied() != 4 {
		t.Errorf("Applied() = %d, want 4: what cannot be understood is passed over", s.Applied())
	}
}

func TestLatest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	f := new(device.Readings)
	put := func(slot device.Slot, at int64, power float64, word string) {
		f.Reset()
		r := device.Empty()
		r.Slot, r.At, r.Arrived, r.Power, r.Word, r.Quality, r.Flags = slot, at, at+5, power, word, device.Suspect, device.FlagGap|device.FlagSimulated
		f.Append(&r)
		s.Put(f)
	}
	put(2, 100, 1, "")
	put(2, 90, 2, "")
	put(2, 100, 3, "balancing")
	put(7, 50, math.Inf(1), "")
	want := func(t *testing.T, slot device.Slot, at int64, power float64, word string) {
		t.Helper()
		r, err := s.Latest(slot)
		if err != nil || r.Slot != slot || r.At != at || r.Arrived != at+5 || r.Word != word || !(r.Power == power || math.IsNaN(power) && math.IsNaN(r.Power)) ||
			!math.IsNaN(r.SoC) || r.Quality != device.Suspect || r.Flags != device.FlagGap|device.FlagSimulated {
			t.Errorf("Latest(%d) = %+v, %v", slot, r, err)
		}
	}
	want(t, 2, 100, 3, "balancing")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close()
	want(t, 2, 100, 3, "balancing")
	want(t, 7, 50, math.NaN(), "")
	put(2, 99, 8, "") // older than what the file has
	want(t, 2, 100, 3, "balancing")
	put(2, 101, 9, "")
	want(t, 2, 101, 9, "")
	if _, err := s.Latest(5); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("Latest(5): %v, want ErrNotFound", err)
	}
}

// TestDamaged opens a file of nonsense and one that was cut in the middle.
func TestDamaged(t *testing.T) {
	t.Run("nonsense", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		if err := os.WriteFile(path, []byte("this is no state\r\n\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path)
		defer s.Close()
		if s.Applied() != 0 {
			t.Errorf("Applied() = %d, want 0", s.Applied())
		}
		if _, err := os.Stat(path + ".bad"); err != nil {
			t.Errorf("not set aside: %v", err)
		}
	})
	t.Run("cut at any byte", func(t *testing.T) {
		whole := filepath.Join(t.TempDir(), "whole.db")
		s := open(t, whole)
		const n = 3
		for i := range n {
			apply(t, s, uint64(i+1), info(fmt.Sprint("d", i), i, "sim", nil))
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		b, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range len(b) {
			path := filepath.Join(t.TempDir(), "state.db")
			if err := os.WriteFile(path, b[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, path)
			list, err := s.Devices("", 100)
			if err != nil || uint64(len(list)) < s.Applied() {
				t.Fatalf("cut at %d: %d devices, %v, but says that %d are applied", cut, len(list), err, s.Applied())
			}
			for i := s.Applied(); i < n; i++ {
				apply(t, s, i+1, info(fmt.Sprint("d", i), int(i), "sim", nil))
			}
			if list, err = s.Devices("", 100); err != nil || len(list) != n {
				t.Fatalf("cut at %d: %d devices after the log was applied, %v", cut, len(list), err)
			}
			s.Close()
		}
	})
}

// TestModel compares the view with a map over random changes and restarts.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		s := open(t, path)
		defer func() { s.Close() }()
		want := map[string]string{}
		seq := uint64(0)
		for range rapid.IntRange(1, 40).Draw(rt, "changes") {
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				s.Close()
				s = open(t, path)
			}
			seq++
			key := rapid.SampledFrom([]string{"a", "b", "a:b", "aa", "ü"}).Draw(rt, "key")
			value := rapid.SampledFrom([]string{"", `{"x":1}`, `[2]`, `"s"`}).Draw(rt, "value")
			if err := s.Apply(seq, &device.Meta{Kind: "setting", Key: key, Value: []byte(value)}); err != nil {
				rt.Fatal(err)
			}
			if want[key] = value; value == "" {
				delete(want, key)
			}
		}
		got := map[string]string{}
		if err := s.Each("setting", func(key string, value []byte) bool { got[key] = string(value); return true }); err != nil {
			rt.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("view %v, want %v", got, want)
		}
	})
}

// BenchmarkFlush puts and flushes the second of 1,000 devices.
func BenchmarkFlush(b *testing.B) {
	s, err := state.Open(filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	f := new(device.Readings)
	for i := range 1000 {
		r := device.Empty()
		r.Slot, r.SoC, r.Power, r.Status = device.Slot(i), 50.5, 12.25, device.Charging
		f.Append(&r)
	}
	for b.Loop() {
		for i := range f.At {
			f.At[i] += 1000
		}
		s.Put(f)
		if err := s.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}
