package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"yunchu/platform/device"
)

// Lock takes the folder of an embedded log for this process, until it is closed. ErrLocked
// when another process has it.
func Lock(dir string) (io.Closer, error) { return lockDir(filepath.Join(dir, lockFile)) }

// Importer makes a log of frames that have their sequences already, as a backup has them.
type Importer struct {
	srv  *embedded
	nc   *nats.Conn
	js   jetstream.JetStream
	next map[string]uint64
}

// Import makes a new log in the folder, whose streams begin at the sequences first.
func Import(ctx context.Context, dir string, first map[string]uint64) (_ *Importer, err error) {
	i := &Importer{next: map[string]uint64{}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("import to %s: %w", dir, err), i.Close())
		}
	}()
	if i.srv, err = startServer(serverOptions(dir), slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	if i.nc, err = nats.Connect("", nats.InProcessServer(i.srv.Server), nats.NoReconnect()); err != nil {
		return nil, err
	}
	if i.js, err = jetstream.New(i.nc); err != nil {
		return nil, err
	}
	for name, seq := range first {
		c := streamConfig(name, 1)
		c.FirstSeq = max(1, seq)
		if _, err = i.js.CreateStream(ctx, c); err != nil {
			return nil, fmt.Errorf("stream %s: %w", name, err)
		}
		i.next[name] = c.FirstSeq
	}
	return i, nil
}

// Put stores the frame under its sequence. Sequences before it that did not come get a Gap.
func (i *Importer) Put(ctx context.Context, stream string, seq uint64, raw []byte) error {
	if err := i.End(ctx, stream, seq-1); err != nil {
		return err
	}
	return i.put(ctx, stream, raw)
}

// End fills the stream up to sequence last.
func (i *Importer) End(ctx context.Context, stream string, last uint64) error {
	for i.next[stream] <= last {
		if err := i.put(ctx, stream, (&device.Meta{Kind: Gap}).AppendBinary(nil)); err != nil {
			return err
		}
	}
	return nil
}

func (i *Importer) put(ctx context.Context, stream string, raw []byte) error {
	if i.next[stream] == 0 {
		return fmt.Errorf("unknown stream %q", stream)
	}
	ack, err := i.js.Publish(ctx, stream, raw)
	if err != nil {
		return fmt.Errorf("%s, sequence %d: %w", stream, i.next[stream], err)
	}
	if ack.Sequence != i.next[stream] {
		return fmt.Errorf("%s: sequence %d was stored as %d", stream, i.next[stream], ack.Sequence)
	}
	i.next[stream]++
	return nil
}

// Close ends the server; what was put is on the disk.
func (i *Importer) Close() error {
	if i.nc != nil {
		i.nc.Close()
	}
	if i.srv != nil {
		return i.srv.stop()
	}
	return nil
}
