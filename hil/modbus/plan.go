package modbus

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// span is registers or bits that lie side by side.
type span struct {
	table   Table
	addr, n uint16
}

func (s span) end() int { return int(s.addr) + int(s.n) }

// request is one read, and what it is for.
type request struct {
	span
	parts []span // in order of address; they may overlap
}

// plan merges spans into the fewest reads: of at most most registers, over gaps of at most
// gap that nobody wants.
func plan(spans []span, most, gap int) []request {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.addr, b.addr), cmp.Compare(a.n, b.n))
	})
	var list []request
	for _, s := range spans {
		if len(list) > 0 {
			r := &list[len(list)-1]
			end := max(r.end(), s.end())
			if r.table == s.table && int(s.addr)-r.end() <= gap && end-int(r.addr) <= most {
				r.n = uint16(end - int(r.addr))
				r.parts = append(r.parts, s)
				continue
			}
		}
		list = append(list, request{s, []span{s}})
	}
	return list
}

// image is what the registers of a plan held when they were read last.
type image struct {
	requests []request
	blocks   [][]uint16
	spare    span // may be refused by the device, and is not read then
}

func newImage(p *Profile, points []*point) *image {
	m := &image{}
	var spans []span
	for _, x := range points {
		if x.name == "frequency" {
			m.spare = span{x.table, x.addr, x.size}
		}
		spans = append(spans, span{x.table, x.addr, x.size})
		if x.exponent != nil {
			spans = append(spans, span{x.table, *x.exponent, 1})
		}
	}
	m.requests = plan(spans, p.Requests.MaxRegisters, p.Requests.MaxGap)
	return m
}

// read reads all of it. A device that refuses a read for an address in a gap is asked
// without the gaps from then on.
func (m *image) read(ctx context.Context, c Conn) error {
	for i := 0; i < len(m.requests); i++ {
		r := &m.requests[i]
		values, err := c.Read(ctx, r.table, r.addr, r.n)
		if e, ok := errors.AsType[Exception](err); ok && e == IllegalAddress {
			if apart := plan(r.parts, MaxRead, 0); len(apart) > 1 {
				m.requests = slices.Replace(m.requests, i, i+1, apart...)
				i--
				continue
			}
			if r.span == m.spare {
				m.requests = slices.Delete(m.requests, i, i+1)
				i--
				continue
			}
		}
		if err != nil {
			return err
		}
		m.blocks = append(m.blocks[:i], values)
	}
	return nil
}

// at is what was read of a span that the plan holds.
func (m *image) at(s span) []uint16 {
	for i, r := range m.requests {
		if r.table == s.table && r.addr <= s.addr && s.end() <= r.end() && i < len(m.blocks) {
			from := int(s.addr - r.addr)
			return m.blocks[i][from : from+int(s.n)]
		}
	}
	return nil
}

// has reports whether the value of a point was read.
func (m *image) has(x *point) bool { return x != nil && m.registers(x) != nil }

func (m *image) registers(x *point) []uint16 { return m.at(span{x.table, x.addr, x.size}) }

// number is the value of a point, NaN when the profile or the device does not have it.
func (m *image) number(x *point) float64 {
	if !m.has(x) {
		return nan
	}
	var exponent uint16
	if x.exponent != nil {
		exponent = m.at(span{x.table, *x.exponent, 1})[0]
	}
	return x.number(m.registers(x), exponent)
}

// holds is the value of a condition, false when the profile does not have it.
func (m *image) holds(x *point) bool { return m.has(x) && x.holds(m.registers(x)) }
