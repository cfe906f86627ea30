package mqtt

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"yunchu/platform/device"
)

func TestParseData(t *testing.T) {
	one := `{"deviceId":"rig","timestamp":1703123456789,"data":{"soc":75.5,"voltage":382.4,"current":125.6,"power":48.1,"temperature":25.3,"status":"charging"}}`
	for _, tt := range []struct {
		name, body string
		rows, bad  int
	}{
		{"one", one, 1, 0},
		{"array", "\n\t [" + one + "," + one + "]", 2, 0},
		{"nothing in it", "[]", 0, 0},
		{"some of an array", "[" + one + `,{"deviceId":"rig","timestamp":1,"data":{"soc":"75"}},` + strings.Replace(one, "rig", "other", 1) + ",7]", 1, 3},
		{"another's", strings.Replace(one, "rig", "other", 1), 0, 1},
		{"no time", strings.Replace(one, "1703123456789", "0", 1), 0, 1},
		{"a time that is none", strings.Replace(one, "1703123456789", "9e15", 1), 0, 1},
		{"a fraction of a time", strings.Replace(one, "1703123456789", "1.5", 1), 0, 1},
		{"too large a number", strings.Replace(one, "48.1", "1e999", 1), 0, 1},
		{"a word for a number", strings.Replace(one, "48.1", `"48.1"`, 1), 0, 1},
		{"a long status", strings.Replace(one, "charging", strings.Repeat("x", 65), 1), 0, 1},
		{"torn", one[:len(one)-1], 0, 1},
		{"torn array", "[" + one, 0, 1},
		{"more after it", one + "}", 0, 1},
		{"empty", "", 0, 1},
		{"null", "null", 0, 1},
		{"too many", "[" + strings.Repeat("1,", maxRows) + "1]", 0, maxRows + 1},
		{"too long", one + strings.Repeat(" ", maxMessage), 0, 1},
		{"deep", strings.Repeat("[", 1<<18), 0, 1},
	} {
		rows, bad, err := ParseData("rig", []byte(tt.body))
		if len(rows) != tt.rows || bad != tt.bad || (err != nil) != (bad > 0) || err != nil && !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %d readings, %d bad, %v; want %d and %d", tt.name, len(rows), bad, err, tt.rows, tt.bad)
		}
	}
	rows, _, err := ParseData("rig", []byte(one))
	if err != nil {
		t.Fatal(err)
	}
	want := device.Empty()
	want.At, want.SoC, want.Voltage, want.Current, want.Power, want.Temperature, want.Status = 1703123456789, 75.5, 382.4, 125.6, 48.1, 25.3, device.Charging
	if r := rows[0]; !r.SameValues(&want) || r.At != want.At {
		t.Errorf("%+v, want %+v", r, want)
	}
}

func TestWhatIsNotReported(t *testing.T) {
	for _, tt := range []struct {
		data   string
		status device.Status
		word   string
	}{
		{`{}`, device.Idle, ""},
		{`{"power":-3}`, device.Discharging, ""},
		{`{"power":3}`, device.Charging, ""},
		{`{"power":3,"status":"warming up"}`, device.OtherStatus, "warming up"},
		{`{"power":3,"status":"offline"}`, device.Offline, ""},
	} {
		rows, _, err := ParseData("rig", []byte(`{"deviceId":"rig","timestamp":1,"data":`+tt.data+`}`))
		if err != nil {
			t.Fatal(err)
		}
		if r := rows[0]; r.Status != tt.status || r.Word != tt.word || !math.IsNaN(r.SoC) || !math.IsNaN(r.MaxCharge) {
			t.Errorf("%s: %+v", tt.data, r)
		}
	}
}

func TestReasonsBeginWithACode(t *testing.T) {
	for _, tt := range []struct {
		status               device.AckStatus
		reason, code, expect string
	}{
		{device.Rejected, "LOCAL: the panel has it", "LOCAL", "the panel has it"},
		{device.Expired, "STALE_COMMAND: issued 90 s ago", "STALE_COMMAND", "issued 90 s ago"},
		{device.Rejected, "note: not now", "REJECTED", "note: not now"},
		{device.Rejected, "DROP TABLE: x", "REJECTED", "DROP TABLE: x"},
		{device.Expired, "too late", "EXPIRED", "too late"},
		{device.Failure, "", "DEVICE_FAULT", "the device answers failed and does not say why"},
	} {
		if code, reason := explained(tt.status, tt.reason); code != tt.code || reason != tt.expect {
			t.Errorf("%v %q: %s, %q", tt.status, tt.reason, code, reason)
		}
	}
}

// FuzzData: no message makes the decoder panic; what is accepted is for the device, in
// order, finite or not reported, and comes back from its own form.
func FuzzData(f *testing.F) {
	for _, s := range []string{
		`{"deviceId":"rig","timestamp":1703123456789,"data":{"soc":75.5,"power":-0,"status":"charging"}}`,
		`[{"deviceId":"rig","timestamp":2,"data":{}},{"deviceId":"rig","timestamp":1,"data":{"status":"x"}}]`,
		`[[[[[[`, `{"data":null}`, "\x00", `[null]`, ` [`, `{"deviceId":"rig","timestamp":1e3,"data":{"soc":1e999}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, bad, err := ParseData("rig", b)
		if (err == nil) != (bad == 0) {
			t.Fatalf("%d bad, %v", bad, err)
		}
		for i := range rows {
			r := &rows[i]
			if r.At <= 0 || i > 0 && r.At < rows[i-1].At || math.IsInf(r.Power, 0) {
				t.Fatalf("%+v", rows)
			}
			body, err := json.Marshal(Data{DeviceID: "rig", Timestamp: r.At, Data: ValuesOf(r)})
			if err != nil {
				t.Fatal(err)
			}
			again, _, err := ParseData("rig", body)
			if err != nil || !again[0].SameValues(r) || again[0].At != r.At {
				t.Fatalf("%+v became %s and %+v, %v", r, body, again, err)
			}
		}
	})
}

func FuzzAck(f *testing.F) {
	f.Add([]byte(`{"deviceId":"rig","commandId":"x","status":"done","reason":"LOCAL: x","timestamp":1}`))
	f.Add([]byte(`{"deviceId":"rig","commandId":"x","status":7}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAck("rig", b)
		if err == nil && (a.DeviceID != "rig" || a.CommandID == "" || statuses[a.Status] == 0) {
			t.Errorf("%+v", a)
		}
		if code, reason := explained(statuses[a.Status], a.Reason); err == nil && a.Status != "done" && (code == "" || reason == "" && a.Reason == "") {
			t.Errorf("%+v is explained by %q, %q", a, code, reason)
		}
	})
}

func FuzzControl(f *testing.F) {
	f.Add([]byte(`{"deviceId":"rig","commandId":"x","command":"setPower","parameters":{"power":1e999}}`))
	f.Add([]byte(`{"deviceId":"rig","commandId":"x","command":"setMode","parameters":{"mode":"run"},"timestamp":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseControl("rig", b); err == nil && (c.DeviceID != "rig" || c.CommandID == "" || len(c.CommandID) > maxCommandID) {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"eventId":"1","deviceId":"rig","eventType":"offline","severity":"warning","description":"","timestamp":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := ParseEvent("rig", b); err == nil && (e.DeviceID != "rig" || e.EventType == "") {
			t.Errorf("%+v", e)
		}
	})
}
