package market

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestIncomplete: days that are not there in full are known, those of 23 and 25 hours are whole.
func TestIncomplete(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	beirut, err := time.LoadLocation("Asia/Beirut") // its clock changes at midnight
	if err != nil {
		t.Fatal(err)
	}
	utc := func(month time.Month, day, hour int) time.Time {
		return time.Date(2020, month, day, hour, 0, 0, 0, time.UTC)
	}
	for _, tt := range []struct {
		name     string
		from, to time.Time
		zone     *time.Location
		step     time.Duration
		without  func(time.Time) bool
		want     []string
	}{
		{"whole", utc(1, 1, 0), utc(1, 4, 0), time.UTC, time.Hour, nil, nil},
		{"both ends", utc(1, 1, 1), utc(1, 3, 23), time.UTC, time.Hour, nil, []string{"2020-01-01", "2020-01-03"}},
		{"an evening", utc(1, 1, 0), utc(1, 4, 0), time.UTC, time.Hour, utc(1, 2, 23).Equal, []string{"2020-01-02"}},
		{"two days", utc(1, 1, 0), utc(1, 5, 0), time.UTC, 15 * time.Minute, func(at time.Time) bool { return at.Day() == 2 || at.Day() == 3 }, []string{"2020-01-02", "2020-01-03"}},
		{"spring", utc(3, 28, 23), utc(3, 30, 22), berlin, time.Hour, nil, nil},
		{"autumn", utc(10, 23, 22), utc(10, 26, 23), berlin, time.Hour, nil, nil},
		{"an hour of autumn", utc(10, 23, 22), utc(10, 26, 23), berlin, time.Hour, utc(10, 25, 22).Equal, []string{"2020-10-25"}},
		{"in UTC", utc(10, 23, 22), utc(10, 26, 23), time.UTC, time.Hour, nil, []string{"2020-10-23", "2020-10-26"}},
		{"Beirut, spring", utc(3, 27, 22), utc(3, 30, 21), beirut, time.Hour, nil, nil},
		{"Beirut, autumn", utc(10, 23, 21), utc(10, 26, 22), beirut, time.Hour, nil, nil},
	} {
		var at []time.Time
		for i := tt.from; i.Before(tt.to); i = i.Add(tt.step) {
			if tt.without == nil || !tt.without(i) {
				at = append(at, i.In(tt.zone))
			}
		}
		if got := Incomplete(at, tt.step); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestHole: what a day lacks the battery sits out; intervals that are no steps apart, a hole in what
// is one window, and prices that no market has are refused.
func TestHole(t *testing.T) {
	t.Parallel()
	b := Battery{PowerMW: 1, EnergyMWh: 1, Efficiency: 1}
	at := func(minutes ...int) (out []time.Time) {
		for _, m := range minutes {
			out = append(out, time.Date(2020, 1, 1, 0, m, 0, 0, time.UTC))
		}
		return out
	}
	p := Prices{Hours: 1, Energy: []float64{10, 30, 50}}
	days, err := Backtest(t.Context(), b, Regulation{}, at(0, 4*60, 5*60), p, Daily)
	if err != nil || len(days) != 1 || days[0].Objective != 40 {
		t.Errorf("with a hole: %+v, %v", days, err)
	}
	for name, fails := range map[string]func() error{
		"no step":    func() error { _, err := Backtest(t.Context(), b, Regulation{}, at(0, 90, 150), p, Daily); return err },
		"backwards":  func() error { _, err := Backtest(t.Context(), b, Regulation{}, at(60, 0, 120), p, Daily); return err },
		"one window": func() error { _, err := Backtest(t.Context(), b, Regulation{}, at(0, 4*60, 5*60), p, All); return err },
		"1e300": func() error {
			_, err := Backtest(t.Context(), b, Regulation{}, at(0, 60, 120), Prices{Hours: 1, Energy: []float64{1e300, 30, 50}}, Daily)
			return err
		},
		"NaN of capacity": func() error {
			_, err := Best(t.Context(), b, Regulation{Up: true, Hours: 1}, Prices{Hours: 1, Energy: []float64{10}, RegUp: []float64{math.NaN()}})
			return err
		},
	} {
		if err := fails(); !errors.Is(err, ErrPrices) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEarned: what the intervals earn is what the window is worth, and no day is in two windows.
func TestEarned(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(2, 3))
	b := Battery{PowerMW: 1, EnergyMWh: 2, Efficiency: 0.85, VariableCost: 2}
	r := Regulation{Up: true, Down: true, EnergyUp: 0.3, EnergyDown: 0.15, Hours: 1, Balanced: true}
	p := Prices{Hours: 1}
	var at []time.Time
	for i := range 24 + 25 + 24 {
		at = append(at, time.Date(2020, 10, 23, 22+i, 0, 0, 0, time.UTC).In(berlin))
		p.Energy, p.RegUp, p.RegDown = append(p.Energy, 40+30*rng.NormFloat64()), append(p.RegUp, 20*rng.Float64()), append(p.RegDown, 20*rng.Float64())
	}
	for _, regulation := range []Regulation{{}, r} {
		days, err := Backtest(t.Context(), b, regulation, at, p, Daily)
		if err != nil || len(days) != 3 || days[1].Date != "2020-10-25" || len(days[1].Plan.Charge) != 25 {
			t.Fatalf("%d windows: %v", len(days), err)
		}
		for _, d := range days {
			sum := 0.0
			for _, x := range d.Plan.Earned {
				sum += x
			}
			if math.Abs(sum-d.Objective) > 1e-6*(1+d.Objective) {
				t.Errorf("%s: its intervals earn %.9f of %.9f", d.Date, sum, d.Objective)
			}
		}
	}
}
