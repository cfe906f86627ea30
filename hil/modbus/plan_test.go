package modbus

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"yunchu/platform/device"
)

// fewest is the least number of reads, found by trying every cut between spans in order.
func fewest(spans []span, most, gap int) int {
	best := map[int]int{len(spans): 0}
	for i := len(spans) - 1; i >= 0; i-- {
		best[i] = len(spans) + 1
		end := 0
		for j := i; j < len(spans); j++ {
			if j > i && (spans[j].table != spans[i].table || int(spans[j].addr)-end > gap) {
				break
			}
			end = max(end, spans[j].end())
			if j > i && end-int(spans[i].addr) > most {
				break
			}
			best[i] = min(best[i], 1+best[j+1])
		}
	}
	return best[0]
}

func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(4, MaxRead).Draw(t, "most")
		gap := rapid.IntRange(0, 20).Draw(t, "gap")
		spans := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) span {
			return span{
				Table(rapid.IntRange(0, 3).Draw(t, "table")),
				uint16(rapid.IntRange(0, 300).Draw(t, "addr")), uint16(rapid.IntRange(1, 4).Draw(t, "n")),
			}
		}), 0, 40).Draw(t, "spans")
		list := plan(spans, most, gap)
		for _, s := range spans {
			if !slices.ContainsFunc(list, func(r request) bool { return r.table == s.table && r.addr <= s.addr && s.end() <= r.end() }) {
				t.Fatalf("%+v is in no read of %+v", s, list)
			}
		}
		for _, r := range list {
			if int(r.n) > most {
				t.Fatalf("a read of %d registers, at most %d", r.n, most)
			}
			end := int(r.addr)
			for _, s := range r.parts {
				if int(s.addr)-end > gap {
					t.Fatalf("a gap of %d in %+v, at most %d", int(s.addr)-end, r, gap)
				}
				end = max(end, s.end())
			}
			if end != r.end() {
				t.Fatalf("%+v reads beyond what is wanted", r)
			}
		}
		sorted := slices.Clone(spans)
		slices.SortFunc(sorted, func(a, b span) int {
			return int(a.table)<<20 + int(a.addr)<<4 + int(a.n) - int(b.table)<<20 - int(b.addr)<<4 - int(b.n)
		})
		if want := fewest(sorted, most, gap); len(list) > want {
			t.Fatalf("%d reads, %d are enough: %+v", len(list), want, list)
		}
	})
}

// holes is a device that has registers only where they are not holes, which hold their
// addresses.
type holes struct {
	at    []uint16
	reads int
}

func (h *holes) Read(_ context.Context, _ Table, addr, n uint16) ([]uint16, error) {
	h.reads++
	out := make([]uint16, n)
	for i := range out {
		if out[i] = addr + uint16(i); slices.Contains(h.at, out[i]) {
			return nil, IllegalAddress
		}
	}
	return out, nil
}

func (h *holes) Write(context.Context, uint16, []uint16) error { return IllegalFunction }
func (h *holes) WriteCoil(context.Context, uint16, bool) error { return IllegalFunction }
func (h *holes) Close() error                                  { return nil }
func points(t *testing.T, requests string, lines string) *Profile { //nolint:unparam // as it reads
	t.Helper()
	p, err := ParseProfile("x.yaml", []byte(head+requests+"points:\n"+lines))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFrequencyThatTheDeviceRefuses: a device that has no frequency is read all the same.
func TestFrequencyThatTheDeviceRefuses(t *testing.T) {
	p := points(t, "", "  soc: {address: 1}\n  frequency: {address: 40}\n  soh: {address: 2}\n")
	m := newImage(p, p.points)
	dev := &holes{at: []uint16{40}}
	for want, reads := range []int{2, 1} { // it is not asked again
		dev.reads = 0
		if err := m.read(t.Context(), dev); err != nil || dev.reads != reads {
			t.Errorf("reading %d: %d reads, %v, want %d", want, dev.reads, err, reads)
		}
		if soc, soh, hz := m.number(p.find("soc")), m.number(p.find("soh")), m.number(p.find("frequency")); soc != 1 || soh != 2 || hz == hz {
			t.Errorf("charge %v, health %v, frequency %v, want 1, 2 and none", soc, soh, hz)
		}
	}
}

func TestGapThatTheDeviceRefuses(t *testing.T) {
	p := points(t, "requests: {max_gap: 10}\n", "  soc: {address: 1}\n  soh: {address: 2}\n  voltage: {address: 6}\n  current: {address: 10}\n")
	m := newImage(p, p.points)
	if len(m.requests) != 1 {
		t.Fatalf("plan %+v, want one read", m.requests)
	}
	dev := &holes{at: []uint16{4}}
	for want, reads := range []int{4, 3} { // the plan is split once
		dev.reads = 0
		if err := m.read(t.Context(), dev); err != nil || dev.reads != reads {
			t.Errorf("reading %d: %d reads, %v, want %d", want, dev.reads, err, reads)
		}
		for name, v := range map[string]float64{"soc": 1, "soh": 2, "voltage": 6, "current": 10} {
			if got := m.number(p.find(name)); got != v {
				t.Errorf("%s is %v, want %v", name, got, v)
			}
		}
	}
	dev.at = []uint16{6}
	if err := m.read(t.Context(), dev); !errors.Is(err, IllegalAddress) || errors.Is(err, device.ErrOffline) {
		t.Errorf("a register that is wanted and not there: %v", err)
	}
}
