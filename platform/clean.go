package platform

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"yunchu/platform/api"
	"yunchu/platform/device"
	"yunchu/platform/fleet/image"
	"yunchu/platform/ingest"
	"yunchu/platform/store/series"
)

// Cleaned values are a view of the history, made when they are asked for. Time is cut
// into blocks of an hour since 1970 UTC; a block is cleaned as a whole, with the readings
// before and after it that its stages look at, whatever part of it is asked for. So the
// same readings give the same values however an answer is cut into pages.
const (
	cleanBlock = int64(time.Hour / time.Millisecond)
	// cleanRows bounds the memory of one block: 20 readings a second for its hour.
	cleanRows = 100_000
	// cleanEnd bounds the times that blocks are counted to, ms.
	cleanEnd = int64(1) << 52
	// featuresSpan is the longest time of features.
	featuresSpan = 31 * 24 * time.Hour
)

// received calls yield with the readings of a device in from ≤ t < to, ascending, until
// it returns false.
func (f *Face) received(ctx context.Context, slot device.Slot, from, to int64, yield func(r *device.Reading) bool) error {
	q := series.Query{Slot: slot, From: from, To: to}
	for {
		page, err := f.plant.History.Query(ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Rows {
			if !yield(&page.Rows[i].Reading) {
				return nil
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
	}
}

// clean calls yield with the cleaned rows of a device in from ≤ t < to, ascending, until
// it returns false.
func (f *Face) clean(ctx context.Context, slot device.Slot, from, to int64, yield func(r *ingest.Row) bool) error {
	info, _ := f.Device(slot)
	p := f.plant.profile(info.ID)
	look := p.Look().Milliseconds()
	from, to = max(from, -cleanEnd), min(to, cleanEnd)
	var raw []device.Reading
	for block := series.Floor(from, cleanBlock); block < to; {
		raw = raw[:0]
		err := f.received(ctx, slot, block-look, block+cleanBlock+look, func(r *device.Reading) bool {
			raw = append(raw, *r)
			return len(raw) <= cleanRows
		})
		if err != nil {
			return err
		}
		if len(raw) > cleanRows {
			return fmt.Errorf("%w: more than %d readings within %v are too dense to be cleaned; ask for values=raw",
				api.ErrNotAvailable, cleanRows, time.Duration(cleanBlock+2*look)*time.Millisecond)
		}
		if len(raw) == 0 { // on to the next reading
			next := to
			err := f.received(ctx, slot, block, to, func(r *device.Reading) bool {
				next = r.At
				return false
			})
			if err != nil {
				return err
			}
			block = max(block+cleanBlock, series.Floor(next-look, cleanBlock))
			continue
		}
		rows := ingest.Clean(&p, &info, raw)
		for i := range rows {
			if r := &rows[i]; r.At >= max(from, block) && r.At < min(to, block+cleanBlock) && !yield(r) {
				return nil
			}
		}
		block += cleanBlock
	}
	return nil
}

// cleaned answers a query for cleaned values.
func (f *Face) cleaned(ctx context.Context, q api.Query) (page api.Page, err error) {
	from := q.From
	if q.Cursor != "" {
		next, err := series.ParseCursor(q.Cursor)
		if err != nil {
			return page, err
		}
		from = max(from, next)
	}
	if q.Limit <= 0 || q.Limit > series.MaxLimit {
		q.Limit = series.MaxLimit
	}
	step := q.Step.Milliseconds()
	if step == 0 {
		err = f.clean(ctx, q.Slot, from, q.To, func(r *ingest.Row) bool {
			if len(page.Cleaned) == q.Limit {
				page.Next = series.Cursor(r.At)
				return false
			}
			page.Cleaned = append(page.Cleaned, *r)
			return true
		})
		return page, err
	}
	var (
		of, raw series.Bucket
		marks   ingest.Row
	)
	take := func() {
		if of.Rows() == 0 {
			return
		}
		row := marks
		row.Reading, row.Raw = of.Close().Reading, device.Empty()
		if raw.Rows() > 0 {
			row.Raw = raw.Close().Reading
		}
		page.Cleaned = append(page.Cleaned, row)
	}
	begin := int64(math.MinInt64)
	err = f.clean(ctx, q.Slot, from, q.To, func(r *ingest.Row) bool {
		if b := series.Floor(r.At, step); b != begin {
			take()
			of, marks, begin = series.Bucket{}, ingest.Row{}, b
			if len(page.Cleaned) == q.Limit {
				page.Next = series.Cursor(r.At)
				return false
			}
			of.Open(b)
			raw.Open(b)
		}
		of.Add(&r.Reading)
		marks.Outlier |= r.Outlier
		marks.Filled |= r.Filled
		marks.Smoothed |= r.Smoothed
		marks.Doubtful |= r.Doubtful
		if !r.Missing() {
			raw.Add(&r.Raw)
		}
		return true
	})
	if err == nil {
		take()
	}
	return page, err
}

// Cleaned implements api.Quality.
func (f *Face) Cleaned(ctx context.Context, slot device.Slot, goodOnly bool) (row ingest.Row, ok bool, err error) {
	r, ok := f.Latest(slot, goodOnly)
	if !ok {
		return row, false, nil
	}
	ok = false
	err = f.clean(ctx, slot, r.At, r.At+1, func(r *ingest.Row) bool {
		row, ok = *r, true
		return false
	})
	return row, ok, err
}

// windows are those that features are told of.
var windows = [...]time.Duration{time.Minute, 15 * time.Minute, time.Hour}

// Features implements api.Quality.
func (f *Face) Features(ctx context.Context, slot device.Slot, from, to int64) (out api.Features, err error) {
	if from < -cleanEnd || to > cleanEnd || to-from > featuresSpan.Milliseconds() {
		return out, fmt.Errorf("%w: features are of %v at most", api.ErrInvalid, featuresSpan)
	}
	info, _ := f.Device(slot)
	c := ingest.NewCounter(info.CapacityKWh)
	if err = f.received(ctx, slot, from, to, func(r *device.Reading) bool {
		c.Add(r)
		return true
	}); err != nil {
		return out, err
	}
	out.Features = c.Done()
	out.From, out.To = from, to
	var rows []ingest.Row
	longest := windows[len(windows)-1].Milliseconds()
	if err = f.clean(ctx, slot, max(from, to-longest), to, func(r *ingest.Row) bool {
		rows = append(rows, *r)
		return true
	}); err != nil {
		return out, err
	}
	for _, w := range windows {
		out.Windows = append(out.Windows, ingest.Over(rows, to, w))
	}
	out.Imbalance = f.beside(info)
	out.Gaps, err = f.plant.History.Gaps(slot, from, to) // asked last, so that damage found on the way is among them
	return out, err
}

// beside compares a device with those of its place, or with all where nobody says
// where they are.
func (f *Face) beside(info device.Info) *ingest.Imbalance {
	now := f.plant.sched.Now().UnixMilli()
	place := func(i *device.Info) string {
		if i.Location == nil {
			return ""
		}
		return i.Location.Name
	}
	var own *device.Reading
	var all []device.Reading
	f.plant.Fleet.View(func(img *image.Image) {
		for i := range img.Devices {
			d := &img.Devices[i]
			if d.Info.ID == "" || place(&d.Info) != place(&info) || !d.Fresh(now, time.Minute) {
				continue
			}
			all = append(all, d.Good)
			if d.Info.Slot == info.Slot {
				own = &d.Good
			}
		}
		if own != nil {
			r := *own
			own = &r
		}
	})
	if own == nil {
		return nil
	}
	return ingest.Beside(own, slices.Clip(all))
}

// invalid makes an error of a query one of the API.
func invalid(err error) error {
	if errors.Is(err, series.ErrQuery) {
		return fmt.Errorf("%w: %w", api.ErrInvalid, err)
	}
	return err
}
