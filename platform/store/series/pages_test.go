package series_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// TestPagesInTurns: many who take page after page of the same device, each of other fields,
// bounds and sizes, do not disturb one another, although what one leaves of a page that was
// unpacked is kept for whoever goes on there.
func TestPagesInTurns(t *testing.T) {
	const devices, seconds = 2, 4000
	f := newFleet(devices)
	s := open(t, series.Options{SealRows: 1500 * devices, JoinBytes: -1})
	var want [devices][]device.Reading
	seq := uint64(0)
	var newest [devices]int64
	push := func(frame *device.Readings) {
		var r device.Reading
		for i := range devices {
			if frame.Row(i, &r); r.At > newest[i] || i == 1 {
				want[i], newest[i] = append(want[i], r), r.At
			}
		}
		seq++
		s.Append(seq, frame)
	}
	for i := range seconds {
		frame := f.next()
		push(frame)
		if i%10 == 9 { // one that is late lies in a later file than those around it
			frame.At[1] -= 5500
			push(frame)
		}
	}
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(want[1], func(a, b device.Reading) int { return int(a.At - b.At) })

	rng := rand.New(rand.NewPCG(1, 2))
	type walk struct {
		q    series.Query
		want []device.Reading
	}
	var walks []*walk
	for left := 100; left > 0 || len(walks) > 0; {
		if left > 0 && len(walks) < 6 { // few, so that what one leaves is still there for the next
			slot := rng.IntN(devices)
			list := want[slot]
			a, b := rng.IntN(len(list)/2), len(list)-1-rng.IntN(2)
			walks = append(walks, &walk{
				series.Query{
					Slot: device.Slot(slot), From: list[a].At, To: list[b].At, Limit: 1 + rng.IntN(900),
					Fields: []series.Fields{0, series.Power, series.Voltage | series.Status}[rng.IntN(3)],
				},
				list[a:b],
			})
			left--
			continue
		}
		k := rng.IntN(len(walks))
		w := walks[k]
		p, err := s.Query(t.Context(), w.q)
		if err != nil {
			t.Fatal(err)
		}
		if n := min(w.q.Limit, len(w.want)); len(p.Rows) != n || (p.Next == "") != (n == len(w.want)) {
			t.Fatalf("%d rows and then %q, want %d of the %d that are left", len(p.Rows), p.Next, n, len(w.want))
		}
		for i := range p.Rows {
			got, r := &p.Rows[i], &w.want[i]
			all := w.q.Fields == 0
			if got.At != r.At || (all || w.q.Fields&series.Power != 0) != (got.Power == r.Power) ||
				(all || w.q.Fields&series.Voltage != 0) != (got.Voltage == r.Voltage) {
				t.Fatalf("row %+v, want %+v of fields %b", got.Reading, *r, w.q.Fields)
			}
		}
		w.want, w.q.Cursor, w.q.Room = w.want[len(p.Rows):], p.Next, p.Rows
		if p.Next == "" {
			walks = slices.Delete(walks, k, k+1)
		}
	}
}
