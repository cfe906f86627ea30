package platform_test

import (
	"context"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yunchu/platform"
	"yunchu/platform/api"
	"yunchu/platform/bus/local"
	"yunchu/platform/device"
	"yunchu/platform/ingest"
	"yunchu/platform/sched"
)

// patchy is a fleet of one device that charges with 50 kW and a spike now and then, and
// is silent for a while.
type patchy struct {
	still
	start time.Time
}

func (p patchy) ReadAll(_ context.Context, now time.Time, into *device.Readings) error {
	s := int(now.Sub(p.start) / time.Second)
	if s >= 3500 && s < 3700 || s%1000 == 700 { // across the hour, and single ones
		return nil
	}
	r := device.Empty()
	r.At, r.Arrived, r.Status = now.UnixMilli(), now.UnixMilli(), device.Charging
	r.SoC, r.Power, r.Voltage, r.Temperature = 20+float64(s)*49/3600/215*100, 50, 800, 25
	r.Current = 49_000 / r.Voltage
	if s%600 == 300 {
		r.Power = 90
	}
	into.Append(&r)
	return nil
}

// world runs a plant for three hours.
func patchyPlant(t *testing.T) (face api.Plant, slot device.Slot, start time.Time) {
	t.Helper()
	start = time.Date(2026, 1, 1, 0, 30, 0, 0, time.UTC)
	s, b := sched.New(sched.NewVirtual(start)), local.New(0)
	p, err := platform.New(platform.Config{
		Name: "test", Bus: b, Sched: s, Dir: t.TempDir(),
		Quality: []platform.QualityRule{{Devices: "other-*"}, {Devices: "p*", Profile: ingest.Default()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	info := device.Info{ID: "patchy", Kind: "sim", State: device.Active, RatedKW: 100, CapacityKWh: 215, LossKW: 4, Simulated: true}
	if err := p.Add(t.Context(), []device.Info{info}, patchy{start: start}); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), start.Add(3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	slot, _ = p.Fleet.Slot("patchy")
	return p.Face(api.About{}, nil), slot, start
}

func all(t *testing.T, h api.History, q api.Query) (rows []ingest.Row) {
	t.Helper()
	for {
		page, err := h.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Cleaned) > q.Limit || len(page.Rows) > 0 {
			t.Fatalf("%d cleaned rows of %d, and %d others", len(page.Cleaned), q.Limit, len(page.Rows))
		}
		rows = append(rows, page.Cleaned...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return rows
		}
	}
}

// TestCleanedHistory: cleaned values are the same however the answer is cut into pages
// and spans; gaps are filled and marked; received values stay beside them, and as they
// were.
func TestCleanedHistory(t *testing.T) {
	face, slot, start := patchyPlant(t)
	from, to := start.UnixMilli(), start.Add(3*time.Hour).UnixMilli()
	whole := all(t, face.History, api.Query{Slot: slot, From: from, To: to, Limit: 10_000, Clean: true})
	if len(whole) != 3*3600 {
		t.Fatalf("%d rows, want one a second", len(whole))
	}
	filled, spikes := 0, 0
	for i := range whole {
		r := &whole[i]
		if math.Abs(r.Power-50) > 0.5 {
			t.Errorf("%v kW after %d s", r.Power, i)
		}
		if r.Missing() {
			filled++
			if r.Quality == device.Good || r.Flags&device.FlagFilled == 0 {
				t.Errorf("what was filled in is %v [%v]", r.Quality, r.Flags)
			}
		} else if r.Raw.Power == 90 {
			spikes++
			if r.Outlier != device.PointPower || r.Flags&device.FlagOutlier == 0 {
				t.Errorf("a spike is marked %v [%v]", ingest.Names(r.Outlier), r.Flags)
			}
		}
	}
	if filled != 200+11 || spikes != 15 {
		t.Errorf("%d rows filled in, %d spikes; want 211, 15", filled, spikes)
	}
	page, err := face.History.Query(t.Context(), api.Query{Slot: slot, From: from, To: to, Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range page.Rows {
		if f := page.Rows[i].Flags; f&(device.FlagFilled|device.FlagOutlier) != 0 {
			t.Fatal("received values are marked as cleaned")
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		a := rapid.Int64Range(0, 3*3600-1).Draw(rt, "from")
		b := rapid.Int64Range(a, min(a+900, 3*3600)).Draw(rt, "to")
		q := api.Query{Slot: slot, From: from + a*1000, To: from + b*1000, Limit: rapid.IntRange(50, 400).Draw(rt, "limit"), Clean: true}
		if got := all(t, face.History, q); len(got) > 0 || b > a {
			if !equal(got, whole[a:b]) {
				rt.Fatalf("rows %d to %d in pages of %d are others than in the whole", a, b, q.Limit)
			}
		}
	})
}

func equal(a, b []ingest.Row) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := &a[i], &b[i]
		if x.At != y.At || !x.SameValues(&y.Reading) || !x.Raw.SameValues(&y.Raw) || x.Flags != y.Flags || x.Quality != y.Quality ||
			x.Filled != y.Filled || x.Outlier != y.Outlier || x.Doubtful != y.Doubtful || x.Smoothed != y.Smoothed {
			return false
		}
	}
	return true
}

// TestCleanedSteps: the means of steps are those of the cleaned rows in them, in pages
// too.
func TestCleanedSteps(t *testing.T) {
	face, slot, start := patchyPlant(t)
	q := api.Query{Slot: slot, From: start.UnixMilli(), To: start.Add(3 * time.Hour).UnixMilli(), Limit: 10_000, Step: time.Minute, Clean: true}
	whole := all(t, face.History, q)
	if len(whole) != 180 {
		t.Fatalf("%d steps, want 180", len(whole))
	}
	marked := 0
	for i := range whole {
		if math.Abs(whole[i].Power-50) > 0.5 {
			t.Errorf("%v kW in minute %d", whole[i].Power, i)
		}
		if whole[i].Outlier != 0 {
			marked++
			if whole[i].Raw.Power < 50.5 {
				t.Errorf("%v kW were received in minute %d, with a spike", whole[i].Raw.Power, i)
			}
		}
	}
	if marked != 15 {
		t.Errorf("%d minutes with spikes, want 15", marked)
	}
	q.Limit = 7
	if !equal(all(t, face.History, q), whole) {
		t.Error("in pages the steps are others")
	}
	q.Cursor = "no"
	if _, err := face.History.Query(t.Context(), q); err == nil {
		t.Error("a cursor that is none was taken")
	}
}

func TestCleanedEdges(t *testing.T) {
	face, slot, start := patchyPlant(t)
	for _, span := range [][2]int64{
		{math.MinInt64, math.MaxInt64},
		{0, math.MaxInt64},
		{5, 5},
		{start.UnixMilli() - 1, start.UnixMilli()},
		{math.MaxInt64 - 1, math.MaxInt64},
		{start.Add(9 * time.Hour).UnixMilli(), math.MaxInt64},
	} {
		rows := all(t, face.History, api.Query{Slot: slot, From: span[0], To: span[1], Limit: 10_000, Clean: true})
		if want := span[0] <= 0 && span[1] == math.MaxInt64; want != (len(rows) > 0) {
			t.Errorf("%d rows in %v", len(rows), span)
		}
	}
	row, ok, err := face.Quality.Cleaned(t.Context(), slot, false)
	last, _ := face.Latest.Latest(slot, false)
	if err != nil || !ok || row.At != last.At || !row.Raw.SameValues(&last) {
		t.Errorf("cleaned newest reading %+v, %v, %v; want that of %d", row, ok, err, last.At)
	}
	if _, ok, err := face.Quality.Cleaned(t.Context(), slot+1, false); ok || err != nil {
		t.Errorf("of nobody: %v, %v", ok, err)
	}
}

// TestUnitsOfADevice: what a device sends in units of its own is converted, and what
// others send is not.
func TestUnitsOfADevice(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	profile := ingest.Default()
	profile.Units.Power, profile.Units.Timestamp = "W", "s"
	s, b := sched.New(sched.NewVirtual(start)), local.New(0)
	p, err := platform.New(platform.Config{Name: "test", Bus: b, Sched: s, Dir: t.TempDir(), Quality: []platform.QualityRule{{Devices: "watts-*", Profile: profile}}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	face := p.Face(api.About{}, nil)
	for id, want := range map[device.ID]float64{"watts-1": 50, "other": 50_000} {
		if err := p.Add(t.Context(), []device.Info{{ID: id, Kind: "push", State: device.Inactive}}, still{}); err != nil {
			t.Fatal(err)
		}
		r := device.Empty()
		r.At, r.Power = 1_767_225_600, 50_000
		if face.Intake.Normalise(id, &r); r.Power != want || (r.At == start.UnixMilli()) != (id == "watts-1") {
			t.Errorf("%s: %v kW at %d", id, r.Power, r.At)
		}
	}
}

// TestFeatures: what the readings amount to, and that only good ones count.
func TestFeatures(t *testing.T) {
	face, slot, start := patchyPlant(t)
	from, to := start.UnixMilli(), start.Add(3*time.Hour).UnixMilli()
	f, err := face.Quality.Features(t.Context(), slot, from, to)
	if err != nil {
		t.Fatal(err)
	}
	// 201 s around the long gap are not counted.
	want := 50 * (3*3600 - 1 - 201) / 3600.
	if math.Abs(f.Energy.In-want) > 0.2 || f.Energy.Out != 0 {
		t.Errorf("%v kWh in, %v out; want %v, 0", f.Energy.In, f.Energy.Out, want)
	}
	if n := f.Readings - f.Good; n != 15 { // spikes of 90 kW contradict V·I
		t.Errorf("%d of %d readings are not good", n, f.Readings)
	}
	if full := f.Energy.In / 430; f.Cycles.Full == nil || math.Abs(*f.Cycles.Full-full) > 1e-9 {
		t.Errorf("equivalent full cycles %v, want %v", f.Cycles.Full, full)
	}
	if f.Cycles.Count != 0.5 || f.Rate.Last == nil || math.Abs(*f.Rate.Last-50./215) > 1e-9 {
		t.Errorf("%v cycles, c-rate %v", f.Cycles.Count, f.Rate.Last)
	}
	var spans []float64
	for _, w := range f.Windows {
		spans = append(spans, w.SpanS)
		if w.Power == nil || math.Abs(w.Power.Mean-50) > 1e-6 || w.Power.SD > 1e-3 || w.Power.N != int(w.SpanS) {
			t.Errorf("window of %v s: %+v", w.SpanS, w.Power)
		}
	}
	if !reflect.DeepEqual(spans, []float64{60, 900, 3600}) {
		t.Errorf("windows of %v s", spans)
	}
	if f.Imbalance != nil {
		t.Errorf("imbalance of one device: %+v", f.Imbalance)
	}
	if _, err := face.Quality.Features(t.Context(), slot, 0, to); err == nil {
		t.Error("features of 56 years were made")
	}
}
