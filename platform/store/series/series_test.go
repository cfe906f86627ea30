package series_test

import (
	"testing"

	"yunchu/platform/store/series"
	"yunchu/platform/store/storetest"
)

func TestHistory(t *testing.T) {
	for _, tt := range []struct {
		name string
		opt  series.Options
	}{
		{"default", series.Options{}},
		{"tiny heads", series.Options{SealRows: 2, Workers: 2}},
		{"two workers", series.Options{Workers: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && tt.opt.SealRows == 0 {
				t.Skip("those with tiny heads do the same, and seal meanwhile")
			}
			storetest.Run(t, func(t *testing.T, at storetest.Place) series.History {
				opt := tt.opt
				opt.Dir, opt.Keep, opt.Tiers = at.Dir, at.Keep, at.Tiers
				s, err := series.Open(opt)
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}
