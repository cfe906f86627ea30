package device_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
)

func TestIDValid(t *testing.T) {
	for id, want := range map[device.ID]bool{
		"": false, "a": true, "HT_ESS_001": true, "ess-001": true, "a.b": false, "a/b": false, "a b": false, "储能": false, "é": false, "a\x00": false,
		device.ID(strings.Repeat("x", 64)): true, device.ID(strings.Repeat("x", 65)): false,
	} {
		if got := id.Valid(); got != want {
			t.Errorf("ID(%q).Valid() = %v, want %v", id, got, want)
		}
	}
}

func TestFlagsNames(t *testing.T) {
	for _, tt := range []struct {
		flags device.Flags
		want  string
	}{
		{0, `[]`},
		{device.FlagRange, `["range"]`},
		{device.FlagSimulated | device.FlagSign, `["sign","simulated"]`},
		{
			device.FlagRange | device.FlagLogic | device.FlagOrder | device.FlagSign | device.FlagGap | device.FlagFrozen | device.FlagRevised | device.FlagSimulated,
			`["range","logic","order","sign","gap","frozen","revised","simulated"]`,
		},
	} {
		got, err := json.Marshal(tt.flags.Names())
		if err != nil || string(got) != tt.want {
			t.Errorf("Names() of %b = %s, %v, want %s", uint16(tt.flags), got, err, tt.want)
		}
	}
	if got := (device.FlagGap | device.FlagRange).String(); got != "range,gap" {
		t.Errorf("String() = %q, want range,gap", got)
	}
}

func TestNamesAreReadBack(t *testing.T) {
	for _, word := range []string{"charging", "discharging", "idle", "standby", "fault", "offline", "maintenance"} {
		if s, ok := device.ParseStatus(word); !ok || s.String() != word {
			t.Errorf("ParseStatus(%q) = %v, %v", word, s, ok)
		}
	}
	for _, word := range []string{"", "other", "Charging", "boosting"} {
		if s, ok := device.ParseStatus(word); ok || s != device.OtherStatus {
			t.Errorf("ParseStatus(%q) = %v, %v, want none", word, s, ok)
		}
	}
	for _, v := range []device.Verb{device.SetPower, device.SetMode, device.Stop, device.Release} {
		if got, ok := device.ParseVerb(v.String()); !ok || got != v {
			t.Errorf("ParseVerb(%q) = %v, %v", v, got, ok)
		}
	}
	for _, m := range []device.Mode{device.Run, device.StandbyMode, device.MaintenanceMode} {
		if got, ok := device.ParseMode(m.String()); !ok || got != m {
			t.Errorf("ParseMode(%q) = %v, %v", m, got, ok)
		}
	}
	for p := device.Low; p <= device.Safety; p++ {
		if got, ok := device.ParsePriority(p.String()); !ok || got != p {
			t.Errorf("ParsePriority(%q) = %v, %v", p, got, ok)
		}
	}
	for _, none := range []string{"", "no"} {
		_, verb := device.ParseVerb(none)
		_, mode := device.ParseMode(none)
		_, priority := device.ParsePriority(none)
		if verb || mode || priority {
			t.Errorf("%q is taken for a verb, mode or priority", none)
		}
	}
}

func TestNamesInJSON(t *testing.T) {
	type record struct {
		State    device.State
		Quality  device.Quality
		Severity device.Severity
	}
	in := record{device.Failed, device.Suspect, device.Critical}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"State":"failed","Quality":"suspect","Severity":"critical"}`; string(raw) != want {
		t.Errorf("Marshal = %s, want %s", raw, want)
	}
	var out record
	if err := json.Unmarshal(raw, &out); err != nil || out != in {
		t.Errorf("Unmarshal = %+v, %v, want %+v", out, err, in)
	}
	for _, bad := range []string{`{"State":"broken"}`, `{"Quality":""}`, `{"Severity":"fatal"}`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("Unmarshal of %s succeeded", bad)
		}
	}
	if got := device.State(200).String(); got != "200" {
		t.Errorf("an unknown state is called %q", got)
	}
}

func TestStatusWord(t *testing.T) {
	for _, tt := range []struct {
		r    device.Reading
		want string
	}{
		{device.Reading{Status: device.Idle}, "idle"},
		{device.Reading{Status: device.Idle, Word: "left over"}, "idle"},
		{device.Reading{Word: "boosting"}, "boosting"},
		{device.Reading{}, ""},
	} {
		if got := tt.r.StatusWord(); got != tt.want {
			t.Errorf("StatusWord() of %+v = %q, want %q", tt.r, got, tt.want)
		}
	}
}

func TestSameValues(t *testing.T) {
	base := device.Empty()
	base.SoC, base.Power, base.Status = 75.5, 48.1, device.Charging
	for name, tt := range map[string]struct {
		change func(*device.Reading)
		want   bool
	}{
		"nothing":    {func(*device.Reading) {}, true},
		"times":      {func(r *device.Reading) { r.At, r.Arrived = 5, 6 }, true},
		"findings":   {func(r *device.Reading) { r.Quality, r.Flags = device.Bad, device.FlagGap }, true},
		"slot":       {func(r *device.Reading) { r.Slot = 9 }, true},
		"soc":        {func(r *device.Reading) { r.SoC = 75.6 }, false},
		"soc gone":   {func(r *device.Reading) { r.SoC = math.NaN() }, false},
		"soh comes":  {func(r *device.Reading) { r.SoH = 99 }, false},
		"voltage":    {func(r *device.Reading) { r.Voltage = 1 }, false},
		"current":    {func(r *device.Reading) { r.Current = 1 }, false},
		"power sign": {func(r *device.Reading) { r.Power = -r.Power }, false},
		"hot":        {func(r *device.Reading) { r.Temperature = 60 }, false},
		"status":     {func(r *device.Reading) { r.Status = device.Idle }, false},
		"word":       {func(r *device.Reading) { r.Word = "x" }, false},
	} {
		o := base
		tt.change(&o)
		if a, b := base.SameValues(&o), o.SameValues(&base); a != tt.want || b != tt.want {
			t.Errorf("%s changed: SameValues() = %v and %v, want %v", name, a, b, tt.want)
		}
	}
}

func TestEmptyHasNoValues(t *testing.T) {
	v := reflect.ValueOf(device.Empty())
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Float64 && v.Type().Field(i).Name != "Frequency" && !math.IsNaN(f.Float()) {
			t.Errorf("%s = %v, want NaN", v.Type().Field(i).Name, f.Float())
		}
	}
}

func TestReadingsRows(t *testing.T) {
	row := func(i int, status device.Status, word string) device.Reading {
		return device.Reading{
			Slot: device.Slot(i), At: int64(10 + i), Arrived: int64(20 + i), SoC: 1, SoH: 2, Voltage: 3, Current: 4, Power: float64(i),
			Temperature: 6, MaxCharge: 7, MaxDischarge: 8, Status: status, Word: word, Quality: device.Suspect, Flags: device.FlagOrder,
		}
	}
	f := &device.Readings{}
	rows := []device.Reading{row(0, device.OtherStatus, "boosting"), row(1, device.Idle, ""), row(2, device.OtherStatus, ""), row(3, device.OtherStatus, "derated")}
	for round := range 2 { // the second in the memory of the first
		for i := range rows {
			f.Append(&rows[i])
		}
		if f.Rows() != len(rows) {
			t.Fatalf("Rows() = %d, want %d", f.Rows(), len(rows))
		}
		for i := range rows {
			var got device.Reading
			f.Row(i, &got)
			if got != rows[i] {
				t.Errorf("round %d: Row(%d) = %+v, want %+v", round, i, got, rows[i])
			}
		}
		changed := row(9, device.Fault, "")
		f.Set(1, &changed)
		var got device.Reading
		if f.Row(1, &got); got != changed {
			t.Errorf("Row(1) after Set = %+v, want %+v", got, changed)
		}
		f.Reset()
		if f.Rows() != 0 || len(f.Words) != 0 {
			t.Errorf("%d rows and %d words after Reset", f.Rows(), len(f.Words))
		}
	}
}

func TestTimesAreMillisecondsUTC(t *testing.T) {
	at := time.Date(2023, 12, 21, 1, 50, 56, 789_000_000, time.UTC)
	if got := device.Millis(at); got != 1703123456789 {
		t.Errorf("Millis(%v) = %d, want 1703123456789", at, got)
	}
	if got := device.Time(1703123456789); !got.Equal(at) || got.Location() != time.UTC {
		t.Errorf("Time(1703123456789) = %v, want %v", got, at)
	}
}

func TestAnswerCarriesTheCommand(t *testing.T) {
	c := device.Command{Slot: 3, Seq: 7, ID: "CMD", Verb: device.SetPower, Mode: device.StandbyMode, Priority: device.High, Power: 50, At: 100, Until: 200, Source: "user:a"}
	want := device.Ack{
		Slot: 3, Seq: 7, ID: "CMD", Status: device.Rejected, Code: "OFFLINE", Reason: "nobody answers", At: 150, Issued: 100, Until: 200,
		Verb: device.SetPower, Mode: device.StandbyMode, Priority: device.High, Power: 50, Source: "user:a",
	}
	if got := c.Answer(device.Rejected, 150, "OFFLINE", "nobody answers"); got != want {
		t.Errorf("Answer() = %+v, want %+v", got, want)
	}
	for x, want := range map[float64]bool{0: true, -1e300: true, math.Inf(1): false, math.Inf(-1): false} {
		if got := device.Finite(x); got != want {
			t.Errorf("Finite(%v) = %v", x, got)
		}
	}
	if device.Finite(math.NaN()) {
		t.Error("Finite(NaN) = true")
	}
}
