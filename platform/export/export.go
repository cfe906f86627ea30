// Package export writes readings as files for other programs: CSV or Parquet, one row a
// reading or step, by device and then time. Where readings are known to be missing there is
// a row for the gap, with gap_until and gap_reason set and no quantity, so that a file never
// looks whole that is not.
package export

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// Formats of a file.
const (
	CSV     = "csv"
	Parquet = "parquet"
)

// Device is one whose readings are exported.
type Device struct {
	ID   device.ID
	Slot device.Slot
}

// Request says what is exported.
type Request struct {
	Devices  []Device
	From, To int64         // ms UTC, From ≤ t < To
	Step     time.Duration // 0: readings as stored; else means over steps, the last status
	Fields   series.Fields // 0: all
}

// Page answers a part of one device's readings: those of q, ascending, the cursor of what
// follows, empty at the end, and where readings are known to be missing.
type Page func(ctx context.Context, q series.Query) (series.Page, error)

// Report says what was written.
type Report struct {
	Rows int64 // readings or steps
	Gaps int64
}

// row is one of a file.
type row struct {
	id  device.ID
	at  int64
	r   *device.Reading // nil: a gap
	gap series.Gap
}

// column is one of a file; value is null where there is none, text empty.
type column struct {
	name  string
	node  parquet.Node
	text  func(r *row) string
	value func(r *row) parquet.Value
}

func text(name string, of func(r *row) string) column {
	return column{name, parquet.Optional(parquet.Encoded(parquet.String(), &parquet.RLEDictionary)), of, func(r *row) parquet.Value {
		if s := of(r); s != "" {
			return parquet.ByteArrayValue([]byte(s))
		}
		return parquet.NullValue()
	}}
}

func number(name string, of func(r *device.Reading) float64) column {
	get := func(r *row) float64 {
		if r.r == nil {
			return math.NaN()
		}
		return of(r.r)
	}
	return column{name, parquet.Optional(parquet.Leaf(parquet.DoubleType)), func(r *row) string {
		if x := get(r); x == x {
			return strconv.FormatFloat(x, 'g', -1, 64)
		}
		return ""
	}, func(r *row) parquet.Value {
		if x := get(r); x == x {
			return parquet.DoubleValue(x)
		}
		return parquet.NullValue()
	}}
}

// instant is a time; ok false where there is none.
func instant(name string, of func(r *row) (ms int64, ok bool)) column {
	return column{name, parquet.Optional(parquet.Timestamp(parquet.Millisecond)), func(r *row) string {
		if ms, ok := of(r); ok {
			return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
		}
		return ""
	}, func(r *row) parquet.Value {
		if ms, ok := of(r); ok {
			return parquet.Int64Value(ms)
		}
		return parquet.NullValue()
	}}
}

var quantities = []struct {
	field series.Fields
	column
}{
	{series.SoC, number("soc_percent", func(r *device.Reading) float64 { return r.SoC })},
	{series.SoH, number("soh_percent", func(r *device.Reading) float64 { return r.SoH })},
	{series.Voltage, number("voltage_v", func(r *device.Reading) float64 { return r.Voltage })},
	{series.Current, number("current_a", func(r *device.Reading) float64 { return r.Current })},
	{series.Power, number("power_kw", func(r *device.Reading) float64 { return r.Power })},
	{series.Temperature, number("temperature_c", func(r *device.Reading) float64 { return r.Temperature })},
	{series.MaxCharge, number("max_charge_kw", func(r *device.Reading) float64 { return r.MaxCharge })},
	{series.MaxDischarge, number("max_discharge_kw", func(r *device.Reading) float64 { return r.MaxDischarge })},
	{series.Status, text("status", func(r *row) string {
		if r.r == nil {
			return ""
		}
		return r.r.StatusWord()
	})},
}

// columns are those of a request.
func columns(fields series.Fields) []column {
	if fields == 0 {
		fields = series.AllFields
	}
	list := []column{
		text("device", func(r *row) string { return string(r.id) }),
		instant("time", func(r *row) (int64, bool) { return r.at, true }),
	}
	for _, q := range quantities {
		if fields&q.field != 0 {
			list = append(list, q.column)
		}
	}
	return append(list,
		text("quality", func(r *row) string {
			if r.r == nil {
				return ""
			}
			return r.r.Quality.String()
		}),
		text("flags", func(r *row) string {
			if r.r == nil || r.r.Flags == 0 {
				return ""
			}
			return r.r.Flags.String()
		}),
		instant("gap_until", func(r *row) (int64, bool) { return r.gap.To, r.r == nil }),
		text("gap_reason", func(r *row) string { return r.gap.Reason }),
	)
}

// sheet is a file that is being written.
type sheet interface {
	put(r *row) error
	close() error
}

// Write writes the file to w as it reads, a page of one device at a time. A file of a
// request without any device has its columns and no row.
func Write(ctx context.Context, w io.Writer, format string, q Request, page Page) (Report, error) {
	var (
		report Report
		out    sheet
	)
	switch format {
	case CSV:
		out = newCSV(w, columns(q.Fields))
	case Parquet:
		out = newParquet(w, columns(q.Fields))
	default:
		return report, fmt.Errorf("format %q: there are csv and parquet", format)
	}
	for _, d := range q.Devices {
		if err := report.device(ctx, out, d, &q, page); err != nil {
			return report, fmt.Errorf("export %s: %w", d.ID, err)
		}
	}
	if err := out.close(); err != nil {
		return report, fmt.Errorf("export: %w", err)
	}
	return report, nil
}

// device writes the rows of one device.
func (p *Report) device(ctx context.Context, out sheet, d Device, q *Request, page Page) error {
	ask := series.Query{Slot: d.Slot, From: q.From, To: q.To, Step: q.Step, Fields: q.Fields}
	var told []series.Gap
	for {
		answer, err := page(ctx, ask)
		if err != nil {
			return err
		}
		rows := answer.Rows
		// Later pages tell the rest of what the first one told, and what was found since.
		gaps := slices.DeleteFunc(slices.Clone(answer.Gaps), func(g series.Gap) bool {
			return slices.ContainsFunc(told, func(o series.Gap) bool { return o.Reason == g.Reason && o.From <= g.From && g.To <= o.To })
		})
		told = append(told, gaps...)
		slices.SortStableFunc(gaps, func(a, b series.Gap) int { return cmp.Compare(a.From, b.From) })
		for i := range rows {
			for len(gaps) > 0 && gaps[0].From <= rows[i].At {
				if err := p.gap(out, d, gaps[0]); err != nil {
					return err
				}
				gaps = gaps[1:]
			}
			if err := out.put(&row{id: d.ID, at: rows[i].At, r: &rows[i].Reading}); err != nil {
				return err
			}
			p.Rows++
		}
		for _, g := range gaps {
			if err := p.gap(out, d, g); err != nil {
				return err
			}
		}
		if answer.Next == "" {
			return nil
		}
		ask.Cursor, ask.Room = answer.Next, rows
	}
}

func (p *Report) gap(out sheet, d Device, g series.Gap) error {
	p.Gaps++
	return out.put(&row{id: d.ID, at: g.From, gap: g})
}

type csvSheet struct {
	w       *csv.Writer
	columns []column
	cells   []string
	err     error
}

func newCSV(w io.Writer, columns []column) *csvSheet {
	s := &csvSheet{w: csv.NewWriter(w), columns: columns, cells: make([]string, len(columns))}
	for i, c := range columns {
		s.cells[i] = c.name
	}
	s.err = s.w.Write(s.cells)
	return s
}

func (s *csvSheet) put(r *row) error {
	if s.err != nil {
		return s.err
	}
	for i, c := range s.columns {
		s.cells[i] = c.text(r)
	}
	s.err = s.w.Write(s.cells)
	return s.err
}

func (s *csvSheet) close() error {
	s.w.Flush()
	if s.err != nil {
		return s.err
	}
	return s.w.Error()
}

// groupRows bounds the memory of a Parquet file that is being written.
const groupRows = 1 << 16

type parquetSheet struct {
	w       *parquet.GenericWriter[any]
	columns []column // in the order of the file
	rows    []parquet.Row
}

func newParquet(w io.Writer, columns []column) *parquetSheet {
	group := parquet.Group{}
	for _, c := range columns {
		group[c.name] = c.node
	}
	schema := parquet.NewSchema("reading", group)
	s := &parquetSheet{columns: make([]column, len(columns))}
	for _, c := range columns {
		leaf, _ := schema.Lookup(c.name) // the schema is made of them
		s.columns[leaf.ColumnIndex] = c
	}
	s.w = parquet.NewGenericWriter[any](w, schema, parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		parquet.MaxRowsPerRowGroup(groupRows), parquet.CreatedBy("yunchu", "1.0.0", "export"))
	return s
}

func (s *parquetSheet) put(r *row) error {
	values := make(parquet.Row, len(s.columns))
	for i, c := range s.columns {
		v := c.value(r)
		defined := 1
		if v.IsNull() {
			defined = 0
		}
		values[i] = v.Level(0, defined, i)
	}
	if s.rows = append(s.rows, values); len(s.rows) < 1024 {
		return nil
	}
	return s.flush()
}

func (s *parquetSheet) flush() error {
	_, err := s.w.WriteRows(s.rows)
	s.rows = s.rows[:0]
	return err
}

func (s *parquetSheet) close() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.w.Close()
}
