package backend_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"yunchu/harness/backend"
)

// bench is a face that remembers what was done to it.
type bench struct{ did []string }

func (b *bench) Faults(context.Context) ([]string, error) { return []string{"sign-flip"}, nil }

func (b *bench) Truth(_ context.Context, device string) (backend.Truth, error) {
	if device != "rig-1" {
		return backend.Truth{}, fmt.Errorf("device %s: %w", device, backend.ErrUnknown)
	}
	return backend.Truth{PowerKW: -12.5, Contactors: true}, nil
}

func (b *bench) Grid(_ context.Context, device string, hz, voltage float64) error {
	b.did = append(b.did, fmt.Sprintf("grid %s %g Hz %g %%", device, hz, voltage))
	if hz < 0 {
		return errors.New("no such grid")
	}
	return nil
}

func (b *bench) Inject(_ context.Context, device string, f backend.Fault) (func(context.Context) error, error) {
	if f.Kind != "sign-flip" {
		return nil, fmt.Errorf("fault %s: %w", f.Kind, backend.ErrUnknown)
	}
	b.did = append(b.did, "begin "+f.Kind+" of "+device)
	return func(context.Context) error { b.did = append(b.did, "end "+f.Kind); return nil }, nil
}

func dial(t *testing.T) (*bench, *backend.Client, string) {
	t.Helper()
	l, err := backend.Listen("tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{}
	s := &http.Server{Handler: backend.Handler(b)}
	go func() { _ = s.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = s.Close() })
	address := "tcp://" + l.Addr().String()
	c, err := backend.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return b, c, address
}

func TestOverHTTPAsInProcess(t *testing.T) {
	b, c, _ := dial(t)
	ctx := t.Context()
	if truth, err := c.Truth(ctx, "rig-1"); err != nil || truth.PowerKW != -12.5 || !truth.Contactors {
		t.Errorf("%+v, %v", truth, err)
	}
	if err := c.Grid(ctx, "rig-1", 49.8, 109); err != nil {
		t.Error(err)
	}
	end, err := c.Inject(ctx, "rig-1", backend.Fault{Kind: "sign-flip"})
	if err != nil {
		t.Fatal(err)
	}
	if err := end(ctx); err != nil {
		t.Error(err)
	}
	if err := end(ctx); !errors.Is(err, backend.ErrUnknown) {
		t.Errorf("a fault ends twice: %v", err)
	}
	if got := strings.Join(b.did, "; "); got != "grid rig-1 49.8 Hz 109 %; begin sign-flip of rig-1; end sign-flip" {
		t.Errorf("did %s", got)
	}
	if _, err := c.Truth(ctx, "rig-9"); !errors.Is(err, backend.ErrUnknown) {
		t.Errorf("%v", err)
	}
	if _, err := c.Inject(ctx, "rig-1", backend.Fault{Kind: "meteor"}); !errors.Is(err, backend.ErrUnknown) {
		t.Errorf("%v", err)
	}
	if err := c.Grid(ctx, "rig-1", -1, 100); err == nil || errors.Is(err, backend.ErrUnknown) || !strings.Contains(err.Error(), "no such grid") {
		t.Errorf("%v", err)
	}
}

func TestNobodyElseReachesIt(t *testing.T) {
	for _, a := range []string{"tcp://0.0.0.0:0", "tcp://:0", "tcp://192.0.2.1:0", "http://127.0.0.1:0", "tcp://127.0.0.1"} {
		if l, err := backend.Listen(a); err == nil {
			t.Errorf("%s listens at %v", a, l.Addr())
		}
	}
	if _, err := backend.Dial(t.Context(), "tcp://127.0.0.1:1"); err == nil {
		t.Error("dialled where nobody listens")
	}
}
