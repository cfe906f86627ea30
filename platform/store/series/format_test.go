package series_test

import (
	"math"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/parquet-go/parquet-go"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// mixed is a store whose one segment has every form that a column can take, over
// several pages: narrow and wide decimals, doubles, nulls here and there and
// everywhere, words outside the vocabulary.
func mixed(t *testing.T, dir string) (rows []device.Reading) {
	t.Helper()
	s := open(t, series.Options{Dir: dir, Name: func(slot device.Slot) device.ID { return device.ID("ess-" + strconv.Itoa(int(slot))) }})
	f := new(device.Readings)
	for slot := range 12 {
		for i := range 1500 {
			r := device.Empty()
			r.Slot, r.At = device.Slot(11-slot), 1_767_225_600_000+int64(i)*1000
			r.Arrived = r.At + int64(i%7)
			r.SoC = 50 + float64(i%300)/10
			r.Voltage = float64(1e9) + float64(i)/1000
			r.Current = math.Sqrt(float64(i))
			if i%3 != 0 {
				r.Power = float64(i-700) / 100
			}
			if slot > 5 {
				r.Temperature = 20.5
			}
			r.MaxCharge = 100
			r.Status = device.Status(i % 8)
			if i%16 == 0 {
				r.Word = "balancing"
			}
			r.Quality, r.Flags = device.Quality(i%3), device.Flags(i%256)
			f.Append(&r)
		}
	}
	s.Append(1, f)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	for slot := range device.Slot(12) {
		for _, r := range pages(t, s, all(slot)) {
			rows = append(rows, r.Reading)
		}
	}
	s.Close()
	if len(rows) != 12*1500 {
		t.Fatalf("%d rows, want %d", len(rows), 12*1500)
	}
	return rows
}

// TestParquet reads a segment with a general Parquet reader.
func TestParquet(t *testing.T) {
	type row struct {
		Slot         uint32   `parquet:"slot"`
		Device       string   `parquet:"device"`
		Time         int64    `parquet:"time_ms"`
		Arrived      int64    `parquet:"arrived_ms"`
		SoC          *int32   `parquet:"soc_percent,decimal(3:9)"`
		SoH          *int32   `parquet:"soh_percent,decimal(3:9)"`
		Voltage      *int64   `parquet:"voltage_v,decimal(3:18)"`
		Current      *float64 `parquet:"current_a"`
		Power        *int32   `parquet:"power_kw,decimal(3:9)"`
		Temperature  *int32   `parquet:"temperature_c,decimal(3:9)"`
		MaxCharge    *int32   `parquet:"max_charge_kw,decimal(3:9)"`
		MaxDischarge *int32   `parquet:"max_discharge_kw,decimal(3:9)"`
		Status       string   `parquet:"status"`
		Quality      string   `parquet:"quality"`
		Flags        uint16   `parquet:"flags"`
	}
	dir := t.TempDir()
	want := mixed(t, dir)
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d segments, want 1 (%v)", len(files), err)
	}
	got, err := parquet.ReadFile[row](files[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := &want[i]
		if g.Slot != uint32(w.Slot) || g.Device != "ess-"+strconv.Itoa(int(w.Slot)) || g.Time != w.At || g.Arrived != w.Arrived ||
			!same(scaled(g.SoC, 1000), w.SoC) || !same(scaled(g.SoH, 1000), w.SoH) || !same(scaled(g.Voltage, 1000), w.Voltage) ||
			!same(scaled(g.Current, 1), w.Current) || !same(scaled(g.Power, 1000), w.Power) || !same(scaled(g.Temperature, 1000), w.Temperature) ||
			!same(scaled(g.MaxCharge, 1000), w.MaxCharge) || !same(scaled(g.MaxDischarge, 1000), w.MaxDischarge) ||
			g.Status != w.StatusWord() || g.Quality != w.Quality.String() || device.Flags(g.Flags) != w.Flags {
			t.Fatalf("row %d:\n got %+v\nwant %+v", i, g, *w)
		}
	}
}

// scaled is the value of a decimal, NaN when null.
func scaled[T int32 | int64 | float64](v *T, p float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return float64(*v) / p
}
