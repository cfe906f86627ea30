package hindcast_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"yunchu/harness/hindcast"
)

// hours are rows of a day-ahead auction, in UTC, from an instant on.
func hours(begin time.Time, n int) []string {
	out := []string{"time,Price"}
	for i := range n {
		at := begin.Add(time.Duration(i) * time.Hour)
		out = append(out, fmt.Sprintf("%s,%.2f", at.Format(time.RFC3339), 50+10*math.Sin(float64(i)/4)+float64(i%7)))
	}
	return out
}

// TestLocalDays: the days of a zone have 23, 24 and 25 hours, each is scored, and a day is forecast
// from what came before its own midnight.
func TestLocalDays(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, change string
		hours        int
		there        []string // rows of the day of change
		missing      string
		same         [2]int // rows of the day with the same forecast
	}{
		{"spring", "2024-03-31", 23, []string{"2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00"}, "T02:00:00", [2]int{}},
		{"autumn", "2024-10-27", 25, []string{"2024-10-27T02:00:00+02:00", "2024-10-27T02:00:00+01:00"}, "", [2]int{2, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			change := day(t, tt.change)
			midnight := func(after int) time.Time {
				return time.Date(change.Year(), change.Month(), change.Day()+after, 0, 0, 0, 0, berlin)
			}
			begin := midnight(-52).UTC().Add(-2 * time.Hour) // no whole day yet
			lines := hours(begin, int(midnight(3).Sub(begin)/time.Hour))
			play := func(lines []string) (*hindcast.Result, [][]string) {
				r, err := hindcast.Run(hindcast.Options{
					Data: write(t, "data.csv", lines), Target: "Price", Zone: berlin,
					From: change.AddDate(0, 0, -1), To: change.AddDate(0, 0, 2), Warm: 1, Against: write(t, "others.csv", append([]string{"time,theirs"}, lines[1:]...)),
				})
				if err != nil {
					t.Fatal(err)
				}
				var b bytes.Buffer
				if err := r.WriteCSV(&b); err != nil {
					t.Fatal(err)
				}
				table, err := csv.NewReader(&b).ReadAll()
				if err != nil {
					t.Fatal(err)
				}
				if err := r.WritePage(&b); err != nil {
					t.Fatal(err)
				}
				return r, table[1:]
			}
			r, table := play(lines)
			if r.N != 3*24+tt.hours || r.Filled != 0 || len(table) != r.N {
				t.Fatalf("%d hours are scored, %d filled, %d rows", r.N, r.Filled, len(table))
			}
			// Every row is an hour of the file with its own price, and the first is at midnight.
			at := midnight(-1)
			truth := map[string]string{}
			for _, line := range lines[1:] {
				instant, price, _ := strings.Cut(line, ",")
				truth[instant] = price
			}
			sum := 0.0
			for _, row := range table {
				if row[0] != at.Format(time.RFC3339) {
					t.Fatalf("row of %s, want %s", row[0], at.Format(time.RFC3339))
				}
				came, _ := strconv.ParseFloat(row[len(row)-1], 64)
				said, _ := strconv.ParseFloat(row[1], 64)
				if want := truth[at.UTC().Format(time.RFC3339)]; fmt.Sprintf("%.2f", came) != want {
					t.Errorf("%s: %g, want %s", row[0], came, want)
				}
				sum += math.Abs(said - came)
				at = at.Add(time.Hour)
			}
			if math.Abs(sum/float64(len(table))-r.MAE) > 1e-4 {
				t.Errorf("MAE %g, by the rows %g", r.MAE, sum/float64(len(table)))
			}
			// The other forecast is what came: each hour is found by its instant.
			if o := r.Against[0]; o.N != r.N || o.MAE != 0 {
				t.Errorf("against what came: %+v", o)
			}
			found := 0
			for _, row := range table {
				for _, want := range tt.there {
					if row[0] == want {
						found++
					}
				}
				if tt.missing != "" && strings.HasPrefix(row[0], tt.change+tt.missing) {
					t.Errorf("%s, an hour that no clock has shown", row[0])
				}
			}
			if found != len(tt.there) {
				t.Errorf("%d of the rows %v", found, tt.there)
			}
			if a, b := table[24+tt.same[0]], table[24+tt.same[1]]; a[1] != b[1] {
				t.Errorf("%v and %v", a[:2], b[:2])
			}
			// The whole auction of the last day changes: none of its forecasts does, that of 22:00Z and 23:00Z
			// of the day before included.
			later := append([]string{}, lines...)
			for i, line := range later[1:] {
				instant, _, _ := strings.Cut(line, ",")
				if at, _ := time.Parse(time.RFC3339, instant); !at.Before(midnight(2)) {
					later[i+1] = instant + ",9999"
				}
			}
			_, other := play(later)
			for i, row := range table {
				for k := range row[:len(row)-1] {
					if row[k] != other[i][k] {
						t.Fatalf("%s: %s, with other prices of its auction %s", row[0], row[k], other[i][k])
					}
				}
			}
		})
	}
}

// TestHourThereTwice: where the file has no row of autumn's day its forecast has all 25 hours, those that a clock shows twice told
// apart for people, too; spring's has 23.
func TestHourThereTwice(t *testing.T) {
	for _, tt := range []struct {
		zone, day string
		hours     int
		want      []string
	}{
		{"Europe/Berlin", "2024-10-27", 25, []string{"2024-10-27 01:00 ", "02:00 +02:00 ", "02:00 +01:00 ", "2024-10-27 03:00 "}},
		{"Pacific/Auckland", "2024-04-07", 25, []string{"02:00 +13:00 ", "02:00 +12:00 "}},
		{"Europe/Berlin", "2024-03-31", 23, []string{"2024-03-31 01:00 ", "2024-03-31 03:00 "}},
	} {
		zone, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		y, m, d := day(t, tt.day).Date()
		midnight := time.Date(y, m, d, 0, 0, 0, 0, zone)
		begin := midnight.AddDate(0, 0, -60).UTC()
		a, err := hindcast.Next(hindcast.Options{Data: write(t, "data.csv", hours(begin, int(midnight.Sub(begin)/time.Hour))), Target: "Price", Zone: zone})
		if err != nil {
			t.Fatal(err)
		}
		var b, table bytes.Buffer
		a.Print(&b)
		for _, want := range tt.want {
			if strings.Count(b.String(), want) != 1 {
				t.Errorf("%s: %q is not there once:\n%s", tt.day, want, b.String())
			}
		}
		if err := a.WriteCSV(&table); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(table.String(), "\n") - 1; n != tt.hours {
			t.Errorf("%s has %d rows, want %d", tt.day, n, tt.hours)
		}
	}
}

// TestZoneFaults: a zone is asked of instants, not of clocks.
func TestZoneFaults(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	zoned := hours(day(t, "2024-01-01").Add(-time.Hour), 24*60)
	bare := append([]string{}, zoned...)
	bare[5] = strings.Replace(bare[5], "Z,", ",", 1)
	for want, lines := range map[string][]string{
		"data.csv:6:1: 2024-01-01T03:00:00 has no zone":     bare,
		"data.csv:4:1: this row is beside the grid":         {"time,Price", "2024-01-01T00:00:00+01:00,1", "2024-01-01T02:00:00+01:00,1", "2024-01-02T00:30:00+01:00,1", "2024-01-03T00:00:00+01:00,1"},
		"data.csv:10:1: 4h0m0s are missing before this row": append(append([]string{}, zoned[:9]...), zoned[13:]...),
	} {
		_, err := hindcast.Run(hindcast.Options{Data: write(t, "data.csv", lines), Target: "Price", Zone: berlin, From: day(t, "2024-02-25")})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
