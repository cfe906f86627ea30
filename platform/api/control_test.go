package api_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yunchu/platform/device"
)

const controlPath = "/api/v1/device/control"

func TestControl(t *testing.T) {
	w := newWorld(t)
	n := 0
	command := func(rest string) string {
		n++
		return fmt.Sprintf(`{"deviceId":"MINE","commandId":"C%d",%s}`, n, rest)
	}
	power := func(kw string) string { return command(`"command":"setPower","parameters":{"power":` + kw + `}`) }
	tests := []struct {
		name, role, body string
		status           int
		code             string
	}{
		{"set power", "operator", power("50"), 200, "SUCCESS"},
		{"all parameters", "engineer", command(`"command":"setPower","parameters":{"power":-1.5e1,"duration":3600,"priority":"high"},"timestamp":1700000000000`), 200, "SUCCESS"},
		{"a minute old", "operator", command(`"command":"stop","timestamp":1699999940000`), 200, "SUCCESS"},
		{"stop", "operator", command(`"command":"stop"`), 200, "SUCCESS"},
		{"release with empty parameters", "operator", command(`"command":"release","parameters":{}`), 200, "SUCCESS"},
		{"parameters null", "operator", command(`"command":"release","parameters":null,"timestamp":null`), 200, "SUCCESS"},
		{"mode", "operator", command(`"command":"setMode","parameters":{"mode":"standby"}`), 200, "SUCCESS"},
		{"safety by an administrator", "admin", command(`"command":"stop","parameters":{"priority":"safety"}`), 200, "SUCCESS"},
		{"reduced", "operator", power("95"), 200, "SUCCESS"},

		{"no token", "", power("1"), 401, "UNAUTHORIZED"},
		{"viewer", "viewer", power("1"), 403, "FORBIDDEN"},
		{"device", "device", power("1"), 403, "FORBIDDEN"},
		{"safety by an operator", "operator", command(`"command":"stop","parameters":{"priority":"safety"}`), 403, "FORBIDDEN"},
		{"emergency stop by an operator", "operator", command(`"command":"eStop"`), 200, "SUCCESS"},
		{"disarm by an operator", "operator", command(`"command":"disarm"`), 200, "SUCCESS"},
		{"emergency stop by a viewer", "viewer", command(`"command":"eStop"`), 403, "FORBIDDEN"},
		{"reset by an operator", "operator", command(`"command":"reset"`), 403, "FORBIDDEN"},
		{"arm by an operator", "operator", command(`"command":"arm"`), 403, "FORBIDDEN"},
		{"reset by an engineer", "engineer", command(`"command":"reset"`), 200, "SUCCESS"},
		{"unknown device", "operator", strings.Replace(power("1"), "MINE", "NOBODY", 1), 404, "UNKNOWN_DEVICE"},

		{"too old", "operator", command(`"command":"stop","timestamp":1699999939999`), 409, "STALE_COMMAND"},
		{"too far ahead", "operator", command(`"command":"stop","timestamp":1700000005001`), 409, "STALE_COMMAND"},
		{"beyond the rating", "operator", power("101"), 409, "OUT_OF_RANGE"},
		{"failed", "operator", power("66"), 409, "FAILED"},
		{"expired", "operator", power("67"), 409, "EXPIRED"},
		{"offline", "operator", strings.Replace(power("1"), "MINE", "OFFLINE", 1), 409, "OFFLINE"},

		{"empty", "operator", "", 400, "MALFORMED_JSON"},
		{"cut short", "operator", power("1")[:40], 400, "MALFORMED_JSON"},
		{"trailing text", "operator", power("1") + "}", 400, "MALFORMED_JSON"},
		{"an array", "operator", "[" + power("1") + "]", 400, "INVALID_TYPE"},
		{"unknown command", "operator", command(`"command":"explode"`), 400, "INVALID_COMMAND"},
		{"no command", "operator", command(`"timestamp":1700000000000`), 400, "MISSING_FIELD"},
		{"no power", "operator", command(`"command":"setPower"`), 400, "MISSING_FIELD"},
		{"power null", "operator", power("null"), 400, "MISSING_FIELD"},
		{"power a string", "operator", power(`"50"`), 400, "INVALID_TYPE"},
		{"power beyond a double", "operator", power("1e999"), 400, "INVALID_NUMBER"},
		{"no mode", "operator", command(`"command":"setMode","parameters":{}`), 400, "MISSING_FIELD"},
		{"unknown mode", "operator", command(`"command":"setMode","parameters":{"mode":"party"}`), 400, "INVALID_PARAMETER"},
		{"unknown priority", "operator", command(`"command":"stop","parameters":{"priority":"urgent"}`), 400, "INVALID_PARAMETER"},
		{"duration 0", "operator", command(`"command":"stop","parameters":{"duration":0}`), 400, "INVALID_PARAMETER"},
		{"duration of 7 days and a second", "operator", command(`"command":"stop","parameters":{"duration":604801}`), 400, "INVALID_PARAMETER"},
		{"duration misspelt", "operator", command(`"command":"stop","parameters":{"duraton":5}`), 400, "UNKNOWN_FIELD"},
		{"unknown field", "operator", command(`"command":"stop","force":true`), 400, "UNKNOWN_FIELD"},
		{"command twice", "operator", command(`"command":"stop","command":"release"`), 400, "DUPLICATE_FIELD"},
		{"no id", "operator", `{"deviceId":"MINE","command":"stop"}`, 400, "MISSING_FIELD"},
		{"empty id", "operator", `{"deviceId":"MINE","commandId":"","command":"stop"}`, 400, "INVALID_COMMAND_ID"},
		{"control character in the id", "operator", `{"deviceId":"MINE","commandId":"a\u0007","command":"stop"}`, 400, "INVALID_COMMAND_ID"},
		{"above 1 MB", "operator", power("1") + strings.Repeat(" ", 1<<20), 413, "TOO_LARGE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := w.do("POST", controlPath, tt.role, tt.body)
			a.t = t
			a.want(tt.status, tt.code)
			if tt.status == 409 && tt.code != "OFFLINE" && tt.code != "EXPIRED" && a.json()["reason"] == nil {
				t.Errorf("no reason: %s", a.Body)
			}
		})
	}
}

func TestControlTellsWhatWasReduced(t *testing.T) {
	w := newWorld(t)
	a := w.do("POST", controlPath, "operator", `{"deviceId":"MINE","commandId":"x","command":"setPower","parameters":{"power":95}}`)
	want := `{"code":"SUCCESS","reduced":true,"power":90,"reason":"device limit"}`
	if got := a.want(200, "SUCCESS").Body.String(); got != want {
		t.Errorf("the answer is %s, want %s", got, want)
	}
}

func TestTheSameCommandAnswersTheSame(t *testing.T) {
	w := newWorld(t)
	refused := `{"deviceId":"MINE","commandId":"r","command":"setPower","parameters":{"power":500}}`
	taken := `{"deviceId":"MINE","commandId":"t","command":"setPower","parameters":{"power":5}}`
	for range 3 {
		w.do("POST", controlPath, "operator", refused).want(409, "OUT_OF_RANGE")
		w.do("POST", controlPath, "operator", taken).want(200, "SUCCESS")
	}
	if _, last, _ := w.bus.Bounds("log.control"); last != 4 {
		t.Errorf("the log of two commands has %d frames, want 2 commands and 2 acknowledgements", last)
	}
	// An id is its sender's choice for one device, and says nothing about another.
	w.do("POST", controlPath, "operator", strings.Replace(taken, "MINE", "FOREIGN", 1)).want(200, "SUCCESS")
	// Who asks for something else is not told that it was done.
	w.do("POST", controlPath, "operator", `{"deviceId":"MINE","commandId":"t","command":"stop"}`).want(409, "COMMAND_ID_USED")
}

func TestACommandThatStaysOpen(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w.do("POST", controlPath, "operator", `{"deviceId":"SLOW","commandId":"s","command":"stop"}`).want(202, "ACCEPTED")
		if took := time.Since(began); took != time.Second {
			t.Errorf("the answer took %s, want a second", took)
		}
	})
}

func TestACommandSaysWhoAskedAndForHowLong(t *testing.T) {
	w := newWorld(t)
	var got []device.Command
	cancel, err := w.bus.Subscribe("log.control", 1, func(_ uint64, f device.Frame) {
		if c, ok := f.(*device.Commands); ok {
			got = append(got, c.List...)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	w.do("POST", controlPath, "engineer", `{"deviceId":"MINE","commandId":"a","command":"setPower","parameters":{"power":5}}`).want(200, "SUCCESS")
	w.do("POST", controlPath, "engineer", `{"deviceId":"MINE","commandId":"b","command":"setMode","parameters":{"mode":"maintenance","duration":1.5,"priority":"low"},"timestamp":1699999999000}`).want(200, "SUCCESS")
	want := []device.Command{
		{Slot: 0, ID: "a", Verb: device.SetPower, Priority: device.Normal, Power: 5, At: start, Duration: 60_000, Source: "token:environment"},
		{Slot: 0, ID: "b", Verb: device.SetMode, Mode: device.MaintenanceMode, Priority: device.Low, At: start - 1000, Duration: 1500, Source: "token:environment"},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("commands\n%+v, want\n%+v", got, want)
	}
}
