// Package exchange is the way to a market: orders go out and awards come back, by files in a
// folder or by REST. Whichever it is, a batch of orders is handed in once, however often one
// tries, also after a crash.
package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"yunchu/platform/market/order"
)

// Batch is orders that are handed in together.
type Batch struct {
	ID     string // of its sender; the same ID is the same batch
	Orders []order.Order
}

// Gateway is a market as somebody who trades there sees it.
type Gateway interface {
	// Submit hands in a batch. Doing so again with the same ID and orders changes nothing; with
	// other orders it is ErrConflict. Orders that the market does not take are ErrRefused, and
	// none of the batch is in. After any other error nobody knows: submit it again.
	Submit(ctx context.Context, b Batch) error
	// Awards are those of a batch: ErrOpen until the market is cleared, ErrUnknown where no such
	// batch is in.
	Awards(ctx context.Context, id string) ([]order.Award, error)
}

// Errors of a gateway.
var (
	ErrConflict = errors.New("another batch has that ID")
	ErrRefused  = errors.New("refused by the market")
	ErrOpen     = errors.New("not cleared yet")
	ErrUnknown  = errors.New("no such batch")
	// ErrPartial is ErrOpen too: a part of the answer is there.
	ErrPartial = fmt.Errorf("%w in full", ErrOpen)
	// ErrServed: another market serves a folder.
	ErrServed = errors.New("another market serves this folder")
)

// LeftOut is the first of the orders of whose product and delivery the awards say nothing, nil where
// they are whole: what was bid for and not traded has an award of 0 kW.
func LeftOut(orders []order.Order, awards []order.Award) *order.Order {
	told := make(map[delivery]bool, len(awards))
	for i := range awards {
		told[delivery{awards[i].Product, awards[i].At.Unix()}] = true
	}
	for i := range orders {
		if o := &orders[i]; !told[delivery{o.Product, o.At.Unix()}] {
			return o
		}
	}
	return nil
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// check is an error for a batch that nothing can be done with.
func (b *Batch) check() error {
	if !idForm.MatchString(b.ID) {
		return fmt.Errorf("%w: %q is no ID: 1 to 64 letters, digits, _ and -", ErrRefused, b.ID)
	}
	if len(b.Orders) == 0 {
		return fmt.Errorf("%w: batch %s has no orders", ErrRefused, b.ID)
	}
	return nil
}

// text are the orders as a file.
func (b *Batch) text() string {
	var w strings.Builder
	if err := order.WriteOrders(&w, b.Orders); err != nil {
		panic(err) // a builder takes everything
	}
	return w.String()
}

// IDOf is an ID that follows from the orders alone: whoever hands in the same ones again has the
// same batch.
func IDOf(orders []order.Order) string {
	b := Batch{Orders: orders}
	sum := sha256.Sum256([]byte(b.text()))
	return hex.EncodeToString(sum[:12])
}
