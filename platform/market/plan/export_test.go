package plan

import "errors"

// Plain is whether a portfolio of very many sites is solved by package fleet.
func (p *Portfolio) Plain() bool {
	m := newModel(p, &ways{map[[2]int]way{}, map[[3]int]way{}}, aim{})
	_, err := m.many()
	return !errors.Is(err, errGeneral)
}
