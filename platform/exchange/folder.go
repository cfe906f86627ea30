package exchange

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"yunchu/platform/durable"
	"yunchu/platform/market/order"
)

// Folder is a gateway of files: a batch appears as out/ID.csv, whole or not at all, and whoever
// takes it away answers with in/ID.csv, or with in/ID.refused and the reason in it. An answer has
// to appear whole too, written under another name and renamed. One that ends within a line, or says
// nothing of a delivery that was bid for, is not whole and does not count yet.
//
// What has been handed in stands in journal, which only we touch. A batch is written there first,
// twice: as the record of it and as what is sent. Sending is renaming the latter into out, which
// happens or does not: where there is a record and nothing left to send, it was sent.
type Folder struct{ Dir string }

func (f Folder) path(parts ...string) string {
	return filepath.Join(append([]string{f.Dir}, parts...)...)
}

// Submit implements [Gateway]. Whoever else submits to the folder waits until it is done.
func (f Folder) Submit(_ context.Context, b Batch) (err error) {
	if err := b.check(); err != nil {
		return err
	}
	for _, dir := range []string{"journal", "out", "in"} {
		if err := os.MkdirAll(f.path(dir), 0o755); err != nil {
			return err
		}
	}
	only, err := os.OpenFile(f.path("journal", "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, only.Close()) }()
	unlock, err := durable.Lock(only)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	record, send, out := f.path("journal", b.ID+".csv"), f.path("journal", b.ID+".send"), f.path("out", b.ID+".csv")
	text := b.text()
	have, err := os.ReadFile(record)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := durable.WriteFile(send, []byte(text), 0o644); err != nil {
			return err
		}
		if err := durable.WriteFile(record, []byte(text), 0o644); err != nil {
			return err
		}
	case err != nil:
		return err
	case string(have) != text:
		return fmt.Errorf("%s: %w", b.ID, ErrConflict)
	}
	if err := os.Rename(send, out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(durable.SyncDir(f.path("out")), durable.SyncDir(f.path("journal")), f.refused(b.ID))
}

// refused is what the market has answered instead of awards.
func (f Folder) refused(id string) error {
	why, err := os.ReadFile(f.path("in", id+".refused"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrRefused, strings.TrimPrefix(strings.TrimSpace(string(why)), ErrRefused.Error()+": "))
}

// Awards implements [Gateway].
func (f Folder) Awards(_ context.Context, id string) ([]order.Award, error) {
	if !idForm.MatchString(id) {
		return nil, fmt.Errorf("%q: %w", id, ErrUnknown)
	}
	record, err := os.ReadFile(f.path("journal", id+".csv"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", id, ErrUnknown)
	} else if err != nil {
		return nil, err
	}
	if err := f.refused(id); err != nil {
		return nil, err
	}
	answer := f.path("in", id+".csv")
	text, err := os.ReadFile(answer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", id, ErrOpen)
	} else if err != nil {
		return nil, err
	}
	if !bytes.HasSuffix(text, []byte("\n")) { // somebody is writing in place, or it is cut off
		return nil, fmt.Errorf("%s: %w: %s ends within a line", id, ErrPartial, answer)
	}
	awards, err := order.ReadAwards(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", answer, err)
	}
	orders, err := order.ReadOrders(bytes.NewReader(record))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path("journal", id+".csv"), err)
	}
	if o := LeftOut(orders, awards); o != nil {
		return nil, fmt.Errorf("%s: %w: %s says nothing of %s at %s", id, ErrPartial, answer, o.Product, o.At.Format(time.RFC3339))
	}
	return awards, nil
}

// Serve takes a folder for this process, which is to be the only market there, until it leaves or
// ends. It is ErrServed where another one has it.
func Serve(dir string) (leave func() error, err error) {
	if err := os.MkdirAll(filepath.Join(dir, "taken"), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "taken", "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	unlock, err := durable.TryLock(f)
	if errors.Is(err, durable.ErrLocked) {
		err = fmt.Errorf("%s: %w", dir, ErrServed)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error { return errors.Join(unlock(), f.Close()) }, nil
}

// Carry is the other side of a folder: it hands what lies in out to a market, takes it away, and
// brings answers that are there. It can be called again after any error, and of a market that
// has forgotten what was taken.
func Carry(ctx context.Context, dir string, market Gateway) error {
	f := Folder{dir}
	for _, name := range []string{"in", "out", "taken"} {
		if err := os.MkdirAll(f.path(name), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"taken", "out"} {
		files, err := filepath.Glob(f.path(name, "*.csv"))
		if err != nil {
			return err
		}
		for _, path := range files {
			if err := f.carry(ctx, path, market); err != nil {
				return err
			}
		}
	}
	return nil
}

// carry hands one file to the market, takes it away, and brings its answer.
func (f Folder) carry(ctx context.Context, path string, market Gateway) error {
	id := strings.TrimSuffix(filepath.Base(path), ".csv")
	for _, answer := range []string{".csv", ".refused"} {
		if _, err := os.Stat(f.path("in", id+answer)); err == nil {
			return os.Rename(path, f.path("taken", id+".csv"))
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	orders, err := order.ReadOrders(file)
	file.Close()
	if err == nil {
		err = market.Submit(ctx, Batch{id, orders})
	}
	var awards []order.Award
	if err == nil {
		awards, err = market.Awards(ctx, id)
	}
	var text strings.Builder
	switch {
	case errors.Is(err, ErrOpen):
	case errors.Is(err, ErrRefused), errors.Is(err, ErrConflict), errors.Is(err, order.ErrFile):
		err = durable.WriteFile(f.path("in", id+".refused"), []byte(err.Error()+"\n"), 0o644)
		if err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := order.WriteAwards(&text, awards); err != nil {
			return err
		}
		if err := durable.WriteFile(f.path("in", id+".csv"), []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	return os.Rename(path, f.path("taken", id+".csv"))
}
