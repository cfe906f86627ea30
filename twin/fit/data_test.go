package fit_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// measured is the path of a measured record; without the data the test is skipped.
func measured(t testing.TB, parts ...string) string {
	t.Helper()
	data := os.Getenv("YUNCHU_DATA")
	if data == "" {
		t.Skip("YUNCHU_DATA is not set: it names the folder with the measured records")
	}
	return filepath.Join(append([]string{data, "twin", "measured"}, parts...)...)
}

// columns reads the columns of numbers of a CSV file.
func columns(t testing.TB, path string) map[string][]float64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]float64{}
	for i, name := range rows[0] {
		for _, row := range rows[1:] {
			x, err := strconv.ParseFloat(row[i], 64)
			if err != nil {
				break // a column of words
			}
			out[name] = append(out[name], x)
		}
	}
	return out
}
