package sheet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func all(string) bool { return true }

// TestColumns: numbers, instants in each of their forms, and what is left out.
func TestColumns(t *testing.T) {
	t.Parallel()
	s, err := Read(file(t, "\ufefftime, a,b\n2020-01-31T13:00:00+01:00,1,\n2020-01-31 12:30,2.5,7\n"), func(c string) bool { return c == "a" }, "time")
	if err != nil {
		t.Fatal(err)
	}
	at, err := s.Times("time")
	if err != nil || len(at) != 2 || !at[0].Equal(time.Date(2020, 1, 31, 12, 0, 0, 0, time.UTC)) || at[1].Sub(at[0]) != 30*time.Minute {
		t.Errorf("%v, %v", at, err)
	}
	if a, err := s.Full("x", "a"); err != nil || a[1] != 2.5 {
		t.Errorf("%v, %v", a, err)
	}
	if !s.Has("b") || s.Has("c") || s.Column[2] != nil {
		t.Errorf("%+v", s)
	}
}

// TestFaults: what is wrong is said with its line, its column and what to write.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"", "the file is empty"},
		{"time,a\n", "the file has no rows"},
		{"time,a,a\n", ":1:8: column a is there twice"},
		{"time,a\n2020-01-01T00:00:00Z,x\n", `:2:22: "x" in column a is not a number`},
		{"time,a\n2020-01-01T00:00:00Z,NaN\n", `:2:22: "NaN" in column a is not a number`},
		{"time,a\n2020-01-01T00:00:00Z\n", ":2:"},
		{"time,a\nyesterday,1\n", `:2:1: "yesterday" is no instant`},
		{"time,a\n2020-01-01T00:00:00Z,1\n2020-01-01T00:00:00Z,1\n", ":3:1: 2020-01-01T00:00:00Z is there twice"},
		{"time,a\n2020-01-01T00:00:00Z,1\n2019-01-01T00:00:00Z,1\n", ":3:1: 2019-01-01T00:00:00Z comes after"},
		{"time;a\n2020-01-01T00:00:00Z;1,5\n", ":1:5: the columns are separated by ; here"},
		{"when,a\n1,1\n", ":1:1: there is no column time"},
		{"time,b\n2020-01-01T00:00:00Z,1\n", ":1:1: there is no column a"},
		{"time,a\n2020-01-01T00:00:00Z,\n", ":2:22: column a has no value"},
	} {
		s, err := Read(file(t, tt.text), all, "time")
		if err == nil {
			_, err = s.Times("time")
		}
		if err == nil {
			_, err = s.Full("a")
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v; want %s", tt.text, err, tt.want)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none.csv"), all); err == nil || !strings.Contains(err.Error(), "none.csv: no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestInstants: RFC 3339 allows a blank for the T, and tools write zones with and without a colon.
func TestInstants(t *testing.T) {
	t.Parallel()
	want := time.Date(2020, 1, 31, 5, 0, 0, 0, time.UTC)
	for _, word := range []string{
		"2020-01-31T13:00:00+08:00", "2020-01-31 13:00:00+08:00", "2020-01-31T13:00:00+0800", "2020-01-31 13:00:00+0800", "2020-01-31 13:00:00 +0800",
		"2020-01-31T13:00+08:00", "2020-01-31 13:00+0800", "2020-01-31 05:00:00Z", "2020-01-31 05:00:00.000+00:00", "2020-01-31 05:00:00", "2020-01-31T05:00Z",
	} {
		if at, ok := Instant(word); !ok || !at.Equal(want) {
			t.Errorf("%s: %v, %v", word, at, ok)
		}
	}
	for _, word := range []string{"2020-01-31", "31.01.2020 13:00", "2020-01-31 13:00:00 CST", "2020-01-31 13:00:00+8", ""} {
		if at, ok := Instant(word); ok {
			t.Errorf("%q is %v", word, at)
		}
	}
}

// TestInZone: whose hour is asked for says its zone; in autumn an hour is there twice.
func TestInZone(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Read(file(t, "time,a\n2020-10-25 02:00:00+02:00,1\n2020-10-25T02:00:00+0100,2\n2020-10-25T02:00Z,3\n"), all, "time")
	if err != nil {
		t.Fatal(err)
	}
	at, err := s.InZone("time", berlin)
	if err != nil || at[0].Hour() != 2 || at[1].Hour() != 2 || at[2].Hour() != 3 || at[1].Sub(at[0]) != time.Hour {
		t.Errorf("%v, %v", at, err)
	}
	if s, err = Read(file(t, "time,a\n2020-10-25T02:00:00Z,1\n2020-10-25 04:00:00,2\n"), all, "time"); err != nil {
		t.Fatal(err)
	}
	if _, err = s.InZone("time", berlin); err == nil || !strings.Contains(err.Error(), ":3:1: 2020-10-25 04:00:00 has no zone, and its hour in Europe/Berlin is asked for") {
		t.Errorf("an hour of no zone: %v", err)
	}
}
