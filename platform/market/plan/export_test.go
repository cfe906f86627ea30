package plan

import (
	"context"
	"errors"
)

// Plain is whether a portfolio of very many sites is solved by package fleet.
func (p *Portfolio) Plain(ctx context.Context) bool {
	m := newModel(p, &ways{map[[2]int]way{}, map[[3]int]way{}}, aim{})
	_, err := m.many(ctx)
	return !errors.Is(err, errGeneral)
}
