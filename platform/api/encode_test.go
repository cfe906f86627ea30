package api

import (
	"encoding/json"
	"slices"
	"testing"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// TestNeededFields: what is shown of a reading is what is read of it, by the same names.
func TestNeededFields(t *testing.T) {
	everything := series.SoC | series.SoH | series.Voltage | series.Current | series.Power | series.Temperature | series.Status
	for text, want := range map[string]series.Fields{
		"": everything, "power": series.Power, "status,soh": series.Status | series.SoH, "soc,voltage,current,power,temperature,status,soh": everything,
	} {
		show, err := parseFields(text)
		if got := show.needed(); err != nil || got != want {
			t.Errorf("%q needs %b, %v; want %b", text, got, err, want)
		}
	}
}

// TestPageInPieces: a page has every row once and in order, however many write it.
func TestPageInPieces(t *testing.T) {
	var room pageRoom
	for _, n := range []int{MaxPage, alone + 2, alone + 1, alone, 1, 0} {
		page := Page{Rows: make([]series.Row, n), Next: "t1"}
		for i := range page.Rows {
			page.Rows[i].At = int64(i)
		}
		room.write(&page, showPower)
		var got struct {
			Items []struct{ Timestamp int64 }
			Next  string
		}
		if err := json.Unmarshal(slices.Concat(room.text, room.rest), &got); err != nil {
			t.Fatalf("%d rows: %v", n, err)
		}
		if len(got.Items) != n || got.Next != "t1" {
			t.Fatalf("%d rows and then %q, want %d and t1", len(got.Items), got.Next, n)
		}
		for i, item := range got.Items {
			if item.Timestamp != int64(i) {
				t.Fatalf("row %d of %d is of %d", i, n, item.Timestamp)
			}
		}
	}
}

// BenchmarkPage is a page of the history as JSON.
func BenchmarkPage(b *testing.B) {
	page := Page{Rows: make([]series.Row, MaxPage)}
	for i := range page.Rows {
		x := float64(i%1000) / 100
		page.Rows[i].Reading = device.Reading{
			At: 1_700_000_000_000 + int64(i)*1000, SoC: 50 + x, SoH: 98.5, Voltage: 700 + x, Current: 2 * x, Power: x, Temperature: 25, Status: device.Idle,
		}
	}
	var room pageRoom
	for b.Loop() {
		room.write(&page, showReported)
	}
	b.SetBytes(int64(len(room.text) + len(room.rest)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/MaxPage, "ns/row")
}
