package platform_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"yunchu/platform"
	"yunchu/platform/api"
	"yunchu/platform/bus"
	"yunchu/platform/bus/nats"
	"yunchu/platform/device"
	"yunchu/platform/sched"
)

// opened is a plant on the durable bus.
type opened struct {
	*platform.Plant
	bus  *nats.Bus
	face api.Plant
}

func openPlant(dir string) (*opened, error) {
	b, err := nats.Open(nats.Options{Dir: filepath.Join(dir, "bus")})
	if err != nil {
		return nil, err
	}
	p, err := platform.New(platform.Config{Bus: b, Sched: sched.New(sched.NewWall()), Dir: dir})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return &opened{p, b, p.Face(api.About{}, nil)}, nil
}

func (o *opened) close() error { return errors.Join(o.Close(), o.bus.Close()) }

const (
	damageDevices  = 3
	damageReadings = 600 // of each device; half of them sealed
	damageUsers    = 5
)

func damageReading(slot device.Slot, i int) device.Reading {
	r := device.Empty()
	r.Slot, r.At, r.Arrived = slot, int64(1_700_000_000_000+1000*i), int64(1_700_000_000_000+1000*i+5)
	r.SoC, r.Power, r.Voltage, r.Current, r.Temperature = 50+float64(i%40), float64(i%7), 700.25, float64(i%7)/0.70025, 20+float64(i%10)
	r.Status = device.Idle
	return r
}

func userRecord(i int) string { return fmt.Sprintf(`{"name":"user-%d","role":"admin"}`, i) }

// filled makes a data folder with something in every store.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	o, err := openPlant(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	for d := range damageDevices {
		if _, err := o.face.Registry.Register(ctx, device.Info{ID: device.ID(fmt.Sprintf("dev-%d", d))}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range damageUsers {
		done := make(chan error, 1)
		o.Records().Put("user", fmt.Sprint("user-", i), "test", []byte(userRecord(i)), func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < damageReadings; i += 10 {
		var rows []device.Reading
		for d := range damageDevices {
			for k := range 10 {
				rows = append(rows, damageReading(device.Slot(d), i+k))
			}
		}
		if err := o.face.Intake.Push(ctx, rows); err != nil {
			t.Fatal(err)
		}
		if i == damageReadings/4 || i == damageReadings/2 {
			if err := o.History.Seal(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	covered := o.History.Covered()
	if err := o.Close(); err != nil { // what is trimmed is in the state view before
		t.Fatal(err)
	}
	if err := o.bus.Trim(bus.Data, covered+1); err != nil {
		t.Fatal(err)
	}
	if err := o.bus.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A random bit is turned, or a file is cut off or deleted, anywhere in the data folder.
// Afterwards the plant serves what was written, or says what it has lost, or refuses to
// start. It never serves less, or anything else, without a word.
func TestNoSilentLoss(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	rounds := 50
	if testing.Short() {
		rounds = 10
	}
	whole := filled(t)
	outcomes := map[string]int{}
	for round := range rounds {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		what := "nothing"
		if round > 0 {
			what = damageFile(t, dir, rng)
		}
		outcome := outcomeOf(t, dir)
		outcomes[outcome]++
		if round == 0 && outcome != "whole" {
			t.Errorf("an undamaged folder is %s", outcome)
		}
		if t.Failed() {
			t.Fatalf("round %d, seed %d: %s", round, seed, what)
		}
	}
	t.Log(outcomes)
	if outcomes["reported"] == 0 {
		t.Error("no damage was reported in any round")
	}
}

// damageFile hurts one file below dir, each store with the same share, and says how.
func damageFile(t *testing.T, dir string, rng *rand.Rand) string {
	t.Helper()
	stores := []string{"bus", "history", "state.db"}
	store := stores[rng.IntN(len(stores))]
	var files []string
	if err := filepath.WalkDir(filepath.Join(dir, store), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	path := files[rng.IntN(len(files))]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := filepath.Rel(dir, path)
	at := rng.IntN(max(1, len(b)))
	switch n := rng.IntN(5); {
	case n == 0 && store != "state.db": // that view without its file is new
		err = os.Remove(path)
		name += " deleted"
	case n == 1:
		err = os.WriteFile(path, b[:min(at, len(b))], 0o600)
		name += fmt.Sprintf(" cut off at %d of %d", at, len(b))
	case len(b) > 0:
		b[at] ^= 1 << rng.IntN(8)
		err = os.WriteFile(path, b, 0o600)
		name += fmt.Sprintf(" bit turned at %d of %d", at, len(b))
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func outcomeOf(t *testing.T, dir string) string {
	t.Helper()
	o, err := openPlant(dir)
	if err != nil {
		return "refused"
	}
	defer o.close() //nolint:errcheck // it may be broken
	missing := 0
	for d := range damageDevices {
		slot, ok := o.face.Registry.Slot(device.ID(fmt.Sprintf("dev-%d", d)))
		if !ok {
			missing++
			continue
		}
		page, err := o.face.History.Query(t.Context(), api.Query{Slot: slot, To: 2_000_000_000_000, Limit: api.MaxPage})
		if err != nil {
			return "an error when read"
		}
		missing += damageReadings - len(page.Rows)
		if len(page.Rows) < damageReadings && len(page.Gaps) == 0 {
			t.Errorf("%d readings of %d are served, and no gap is told; damages %+v", len(page.Rows), damageReadings, o.Damages())
		}
		for _, r := range page.Rows {
			want := damageReading(slot, int(r.At-1_700_000_000_000)/1000)
			if r.At != want.At || r.SoC != want.SoC || r.Power != want.Power || r.Voltage != want.Voltage || r.Current != want.Current || r.Status != want.Status {
				t.Errorf("served %+v, want %+v", r, want)
			}
		}
		from, to := damageReading(slot, 0).At, damageReading(slot, damageReadings).At
		if f, err := o.face.Quality.Features(t.Context(), slot, from, to); err != nil {
			return "an error when read"
		} else if f.Readings < damageReadings && len(f.Gaps) == 0 && len(o.Damages()) == 0 {
			t.Errorf("features of %d readings, want %d, and no gap is told", f.Readings, damageReadings)
		}
		if r, ok := o.face.Latest.Latest(slot, false); !ok {
			missing++
		} else if want := damageReading(slot, int(r.At-1_700_000_000_000)/1000); r.At != want.At || r.SoC != want.SoC || r.Power != want.Power {
			t.Errorf("latest is %+v, want %+v", r, want)
		} else if r.At != damageReading(slot, damageReadings-1).At {
			missing++
		}
	}
	users := 0
	if err := o.Records().Load("user", func(key string, value []byte) {
		if users++; string(value) != userRecord(int(key[len(key)-1]-'0')) {
			t.Errorf("user %s is %s", key, value)
		}
	}); err != nil {
		return "an error when read"
	}
	missing += damageUsers - users
	if users > damageUsers {
		t.Errorf("%d users, want %d", users, damageUsers)
	}
	switch {
	case len(o.Damages()) > 0:
		return "reported"
	case missing > 0:
		t.Errorf("%d things are missing without a word", missing)
	}
	return "whole"
}
