//go:build !nosim

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yunchu/harness/report"
)

// acceptance runs yunchu accept and returns its exit code and what it wrote.
func acceptance(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = execute(t.Context(), append([]string{"accept"}, args...), &out, &err)
	return code, out.String(), err.String()
}

func TestAcceptLeavesAReport(t *testing.T) {
	dir := t.TempDir()
	code, out, stderr := acceptance(t, "--short", "--test", "T05,T03", "--operator", "Li Wei", "--out", dir)
	if code != exitPassed || !strings.Contains(out, "T05  PASS") || !strings.Contains(out, "T03  NOT-APPLICABLE") || !strings.Contains(out, "T00  PASS") {
		t.Errorf("exit %d\n%s%s", code, out, stderr)
	}
	if err := report.Verify(dir); err != nil {
		t.Error(err)
	}
	m, err := report.LoadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Inputs) != 3 || m.Binary == "" {
		t.Errorf("manifest %+v", m)
	}
}

func TestAcceptExitCodes(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const head = "apiVersion: yunchu/v1\nkind: Procedure\nname: X1\ntitle: x\nsource: test\n"
	bad := file("bad.yaml", head+"steps: [{power_percent: lvl, hold_s: 1}]\nlimits: [{name: a, measure: test, metric: gaps, source: test}]\n")
	own := file("own.yaml", head+"steps: [{power_percent: 50, hold_s: 3, measure: {name: s, kind: step, settle_s: 1}}]\n"+
		"limits: [{name: response_s, measure: s, metric: response_time_s, limit: \"<= 0.5\", source: test}]\n")
	nothing := file("nothing.yaml", "apiVersion: yunchu/v1\nkind: Rig\ndevices: [{id: a, device: sunspec, address: \"tcp://127.0.0.1:1\"}]\n")
	noBackend := file("backend.yaml", "apiVersion: yunchu/v1\nkind: Rig\nbackend: {address: \"tcp://127.0.0.1:1\"}\ndevices: [{id: a, device: sunspec, address: \"tcp://127.0.0.1:1\"}]\n")
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{own}, exitPassed, "X1   PASS"},
		{[]string{own, "--set", "X1.limits.response_s=<= 0.16"}, exitFailed, "FAIL"},
		{[]string{"--short", "--test", "T06", "--set", "T06.level=20"}, exitPassed, "T06  PASS"},
		{[]string{"--short", "--test", "T06", "--set", "T06.level=5"}, exitFailed, "the power rests on the profile alone"},
		{[]string{bad}, exitInput, `bad.yaml:6:25: there is no parameter "lvl"`},
		{[]string{"--test", "T99"}, exitInput, "no such test"},
		{[]string{"--test", "t05"}, exitInput, `did you mean "T05"?`},
		{[]string{"--test", ""}, exitInput, "--test: no test is named"},
		{[]string{"T05"}, exitInput, "--test T05"},
		{[]string{"--rig", ""}, exitInput, "--rig: no file is named"}, // and no twin is tested instead
		{[]string{"--out", ""}, exitInput, "--out: no folder is named"},
		{[]string{"--out", filepath.Join(own, "out")}, exitEnvironment, "--out"}, // before anything is tested
		{[]string{"--set", "T5.hold_s=3"}, exitInput, `there is no test T5: did you mean "T05"?`},
		{[]string{"--set", "T05.limits.response_s=0.8"}, exitInput, `T05.limits.response_s="<= 0.8"`},
		{[]string{"--set", "T05.hold_s="}, exitInput, "T05.hold_s=5"},
		{[]string{"--test", "T05", "--set", "T05.holds=3"}, exitInput, `did you mean "hold_s"?`},
		{[]string{"--test", "T05", "--set", "T06.hold_s=3"}, exitInput, "not done"},
		{[]string{"--set", "T05"}, exitInput, "TEST.PARAMETER=VALUE"},
		{[]string{"--device", "x"}, exitInput, "--rig"},
		{[]string{"--rig", "not-there.yaml"}, exitInput, "not-there.yaml"},
		{[]string{"--rig", nothing, "--device", "b"}, exitInput, "no device b"},
		{[]string{"--rig", noBackend}, exitEnvironment, "backend"},
		{[]string{"--rig", nothing}, exitEnvironment, "look at the address in " + nothing},
	} {
		code, out, stderr := acceptance(t, tt.args...)
		if code != tt.code || !strings.Contains(out+stderr, tt.says) {
			t.Errorf("accept %q: exit %d, want %d with %q\n%s%s", tt.args, code, tt.code, tt.says, out, stderr)
		}
	}
}

// TestWhatOnlyReadsMovesNothing: the sign test comes before tests that act, and before no
// other unless it is asked for.
func TestWhatOnlyReadsMovesNothing(t *testing.T) {
	own := func(name, step string) string {
		path := filepath.Join(t.TempDir(), name+".yaml")
		text := "apiVersion: yunchu/v1\nkind: Procedure\nname: " + name + "\ntitle: x\nsource: test\nsteps: [" + step + "]\n" +
			"limits: [{name: a, measure: test, metric: gaps, source: test}]\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct{ tests, files, want []string }{
		{tests: []string{"T04"}, want: []string{"T04"}},
		{tests: []string{"T04", "T00"}, want: []string{"T00", "T04"}},
		{tests: []string{"T04", "T05"}, want: []string{"T00", "T04", "T05"}},
		{tests: []string{"T33"}, want: []string{"T00", "T33"}},
		{files: []string{own("X1", "{poll_all: true, hold_s: 1}")}, want: []string{"X1"}},
		{files: []string{own("X1", "{power_percent: 0, hold_s: 1}")}, want: []string{"T00", "X1"}},
	} {
		f := acceptFlags{tests: tt.tests}
		list, err := f.procedures(tt.files)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range list {
			got = append(got, p.Name)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("--test %v %v: %v, want %v", tt.tests, tt.files, got, tt.want)
		}
	}
}

func TestAcceptPrintsJSON(t *testing.T) {
	code, out, _ := acceptance(t, "--short", "--test", "T32", "--json")
	var r struct {
		Verdict string
		Devices []struct {
			Tests []struct{ Test, Verdict string }
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitPassed || r.Verdict != "PASS" || len(r.Devices[0].Tests) != 2 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
}

// What decides signs and scales is part of the evidence: profile and database, whichever
// of the two a rig names.
func TestInputsOfARig(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rig.yaml": "apiVersion: yunchu/v1\nkind: Rig\ndevices:\n" +
			"  - {id: a, device: can, address: \"socketcand://127.0.0.1:1/can0\", dbc: can/own.dbc}\n" +
			"  - {id: b, device: can, address: \"socketcand://127.0.0.1:1/can1\", dbc: can/other.yaml}\n" +
			"  - {id: c, device: modbus, address: \"tcp://127.0.0.1:1\", profile: hx.yaml}\n" +
			"  - {id: d, device: can, address: \"socketcand://127.0.0.1:1/can2\", dbc: pylon-lv}\n",
		"hx.yaml":        "apiVersion: yunchu/v1\nkind: Profile\nname: hx\npoints: {soc: {address: 0}}\n",
		"can/own.yaml":   ownCAN,
		"can/other.yaml": ownCAN,
		"can/own.dbc":    "VERSION \"\"\nBO_ 853 State: 8 BMS\n SG_ SoC : 0|8@1+ (1,0) [0|100] \"%\" EMS\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, f := range inputsOf(nil, filepath.Join(dir, "rig.yaml")) {
		got = append(got, f.Name)
	}
	if want := []string{"rig.yaml", "own.yaml", "own.dbc", "other.yaml", "hx.yaml"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

const ownCAN = `apiVersion: yunchu/v1
kind: CANProfile
name: own
dbc: own.dbc
bit_rate: 500000
current_sign: charge
limit_sign: positive
messages: [{name: State, period: 1s, signals: [{name: SoC, is: soc}]}]
`
