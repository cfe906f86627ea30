package api

import (
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

// BenchmarkPage is a page of the history as JSON.
func BenchmarkPage(b *testing.B) {
	page := Page{Rows: make([]series.Row, MaxPage)}
	for i := range page.Rows {
		x := float64(i%1000) / 100
		page.Rows[i].Reading = device.Reading{
			At: 1_700_000_000_000 + int64(i)*1000, SoC: 50 + x, SoH: 98.5, Voltage: 700 + x, Current: 2 * x, Power: x, Temperature: 25, Status: device.Idle,
		}
	}
	var text []byte
	for b.Loop() {
		text = appendPage(text[:0], &page, showReported)
	}
	b.SetBytes(int64(len(text)))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/MaxPage, "ns/row")
}
