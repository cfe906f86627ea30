package export_test

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"yunchu/platform/device"
	"yunchu/platform/export"
	"yunchu/platform/store/series"
)

const readings = 12_000 // of each device: more than a page

// history is a store with two devices, of which the readings of the second day are lost.
func history(t *testing.T) *series.Store {
	t.Helper()
	dir := t.TempDir()
	s, err := series.Open(series.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for day := range 3 {
		f := new(device.Readings)
		for slot := range 2 {
			for i := range readings / 3 {
				r := device.Empty()
				r.Slot, r.At = device.Slot(slot), int64(day)*86_400_000+int64(i)*1000
				r.Power, r.Status = float64(i)/1024, device.Idle
				if i%2 == 0 {
					r.SoC, r.Flags = 50, device.FlagRange
				}
				f.Append(&r)
			}
		}
		s.Append(uint64(day+1), f)
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	files, err := filepath.Glob(filepath.Join(dir, "*-2-2.parquet"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if s, err = series.Open(series.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func write(t *testing.T, format string, q export.Request) ([]byte, export.Report) {
	t.Helper()
	s := history(t)
	var b bytes.Buffer
	report, err := export.Write(t.Context(), &b, format, q, s.Query)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), report
}

var both = []export.Device{{ID: "ess-0", Slot: 0}, {ID: "ess-1", Slot: 1}}

func TestCSV(t *testing.T) {
	b, report := write(t, export.CSV, export.Request{Devices: both, To: 1 << 40, Fields: series.Power | series.SoC})
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(2 * readings * 2 / 3); report.Rows != want || report.Gaps != 2 || int64(len(rows)) != 1+want+2 {
		t.Fatalf("%+v, %d lines, want %d readings and 2 gaps", report, len(rows), want)
	}
	for i, want := range map[int][]string{
		0:              {"device", "time", "soc_percent", "power_kw", "quality", "flags", "gap_until", "gap_reason"},
		1:              {"ess-0", "1970-01-01T00:00:00.000Z", "50", "0", "good", "range", "", ""},
		2:              {"ess-0", "1970-01-01T00:00:01.000Z", "", "0.0009765625", "good", "", "", ""},
		readings/3 + 1: {"ess-0", "1970-01-02T00:00:00.000Z", "", "", "", "", "1970-01-02T01:06:39.001Z", rows[readings/3+1][7]},
		readings/3 + 2: {"ess-0", "1970-01-03T00:00:00.000Z", "50", "0", "good", "range", "", ""},
	} {
		for k := range want {
			if rows[i][k] != want[k] {
				t.Errorf("line %d: %q, want %q", i+1, rows[i], want)
				break
			}
		}
	}
	if rows[readings/3+1][7] == "" {
		t.Error("the gap has no reason")
	}
}

func TestParquet(t *testing.T) {
	b, report := write(t, export.Parquet, export.Request{Devices: both, To: 1 << 40})
	type row struct {
		Device string   `parquet:"device,optional"`
		Time   *int64   `parquet:"time,optional,timestamp(millisecond)"`
		Power  *float64 `parquet:"power_kw,optional"`
		SoC    *float64 `parquet:"soc_percent,optional"`
		Until  *int64   `parquet:"gap_until,optional,timestamp(millisecond)"`
		Reason string   `parquet:"gap_reason,optional"`
		Status string   `parquet:"status,optional"`
	}
	rows, err := parquet.Read[row](bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if want := report.Rows + report.Gaps; int64(len(rows)) != want || report.Gaps != 2 {
		t.Fatalf("%d rows, want %d; %+v", len(rows), want, report)
	}
	for i, r := range rows {
		slot, n := i/(len(rows)/2), i%(len(rows)/2)
		if r.Device != "ess-"+strconv.Itoa(slot) {
			t.Fatalf("row %d is of %q", i, r.Device)
		}
		if n == readings/3 {
			if r.Power != nil || r.Until == nil || r.Reason == "" {
				t.Fatalf("row %d: %+v, want a gap", i, r)
			}
			continue
		}
		if n > readings/3 {
			n--
		}
		at := int64(n%(readings/3)) * 1000
		if r.Power == nil || *r.Power != float64(at)/1000/1024 || *r.Time%86_400_000 != at || (r.SoC == nil) != (n%2 == 1) || r.Until != nil || r.Status != "idle" {
			t.Fatalf("row %d: %+v", i, r)
		}
	}
}

func TestSteps(t *testing.T) {
	b, report := write(t, export.CSV, export.Request{Devices: both[:1], To: 86_400_000, Step: time.Hour, Fields: series.Power})
	want := "device,time,power_kw,quality,flags,gap_until,gap_reason\n" +
		"ess-0,1970-01-01T00:00:00.000Z,1.75732421875,good,range,,\n" +
		"ess-0,1970-01-01T01:00:00.000Z,3.71044921875,good,range,,\n"
	if string(b) != want || report.Rows != 2 {
		t.Errorf("%+v\n%s\nwant\n%s", report, b, want)
	}
}

func TestUnknownFormat(t *testing.T) {
	if _, err := export.Write(t.Context(), new(bytes.Buffer), "xlsx", export.Request{}, nil); err == nil {
		t.Error("a format that does not exist is taken")
	}
}
