package plan_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"yunchu/platform/market/plan"
)

// ending is a context that ends when it has been asked so often.
type ending struct {
	context.Context
	left atomic.Int64
}

func endingAfter(t *testing.T, asked int64) *ending {
	c := &ending{Context: t.Context()}
	c.left.Store(asked)
	return c
}

func (c *ending) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestStops: a context that ends is the error of whatever is computed, at its begin as in the middle of it, and next to nothing
// is begun after it.
func TestStops(t *testing.T) {
	expected, came := capacity(6, 1)
	below := day([]float64{-20, 30, -40, 60, -10, 20}) // what wastes energy is searched
	many := street(150, 6, "plain")
	once := solved(t, &below)
	for name, compute := range map[string]func(ctx context.Context) error{
		"plan":   func(ctx context.Context) error { _, err := expected.Best(ctx); return err },
		"search": func(ctx context.Context) error { _, err := below.Best(ctx); return err },
		"many":   func(ctx context.Context) error { _, err := many.Best(ctx); return err },
		"settle": func(ctx context.Context) error { _, err := below.Settle(ctx, once); return err },
		"idle":   func(ctx context.Context) error { _, err := below.Idle(ctx); return err },
		"front":  func(ctx context.Context) error { _, err := below.Front(ctx, plan.Wear, 3); return err },
		"rolling": func(ctx context.Context) error {
			_, err := plan.Roll(ctx, &expected, &came, plan.Rolling{Every: 1, Horizon: 2})
			return err
		},
	} {
		whole := endingAfter(t, 1<<30)
		if err := compute(whole); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		asked := 1<<30 - whole.left.Load()
		for _, after := range []int64{0, asked / 3, asked / 2} {
			ctx := endingAfter(t, after)
			if err := compute(ctx); !errors.Is(err, context.Canceled) || ctx.left.Load() < -20 {
				t.Errorf("%s, ended after it was asked %d of %d times: %v, and it was asked %d times more", name, after, asked, err, -ctx.left.Load())
			}
		}
	}
}
