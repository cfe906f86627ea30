package can_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yunchu/hil/can"
	"yunchu/hil/strict"
)

func TestFaultsOfDatabasesHaveAPlace(t *testing.T) {
	const head = "VERSION \"\"\n\nBU_: BMS\n\n"
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "x.dbc:1:1: the database has no message"},
		{"no database", "once upon a time", "x.dbc:1:1: the database has no message"},
		{"no ident", "\x00{}", "x.dbc:1:"},
		{"cut short", head + "BO_ 849 Limits: 8 BMS\n SG_ V : 0|16@1+ (0.1,", "x.dbc:6:"},
		{"no number", head + "BO_ 849 Limits: 8 BMS\n SG_ V : zero|16@1+ (0.1,0) [0|1] \"V\" BMS", "x.dbc:6:10: "},
		{"too long", head + "BO_ 849 Limits: 64 BMS\n", "x.dbc:5:1: message Limits has 64 bytes"},
		{"identifier", head + "BO_ 4000 Limits: 8 BMS\n", "x.dbc:5:5: "},
		{"beyond the end", head + "BO_ 849 Limits: 2 BMS\n SG_ V : 8|16@1+ (1,0) [0|1] \"V\" BMS", "x.dbc:6:2: signal V reaches into byte 3 of message Limits, which has 2"},
		{"big endian beyond", head + "BO_ 849 Limits: 8 BMS\n SG_ V : 60|16@0+ (1,0) [0|1] \"V\" BMS", "x.dbc:6:2: signal V reaches into byte 10"},
		{"no bit", head + "BO_ 849 Limits: 8 BMS\n SG_ V : 0|0@1+ (1,0) [0|1] \"V\" BMS", "x.dbc:6:2: signal V has 0 bits"},
		{"too many bits", head + "BO_ 849 Limits: 8 BMS\n SG_ V : 0|65@1+ (1,0) [0|1] \"V\" BMS", "signal V has 65 bits"},
		{"start", head + "BO_ 849 Limits: 8 BMS\n SG_ V : 300|1@1+ (1,0) [0|1] \"V\" BMS", "signal V begins at bit 300"},
		{"factor", head + "BO_ 849 Limits: 8 BMS\n SG_ V : 0|8@1+ (0,0) [0|1] \"V\" BMS", "signal V has a factor of 0"},
		{"two signals", head + "BO_ 849 L: 8 BMS\n SG_ V : 0|8@1+ (1,0) [0|1] \"V\" BMS\n SG_ V : 8|8@1+ (1,0) [0|1] \"V\" BMS", "x.dbc:7:2: a second signal"},
		{"two messages", head + "BO_ 849 L: 8 BMS\n\nBO_ 849 M: 8 BMS\n\nBO_ 850 L: 8 BMS\n", "x.dbc:7:1: message M has the identifier of L"},
		{"two names", head + "BO_ 849 L: 8 BMS\n\nBO_ 849 M: 8 BMS\n\nBO_ 850 L: 8 BMS\n", "x.dbc:9:1: a second message has the name L"},
		{"number of half the bits", head + "BO_ 849 L: 8 BMS\n SG_ V : 0|16@1- (1,0) [0|1] \"V\" BMS\n\nSIG_VALTYPE_ 849 V : 1;\n", "x.dbc:8:1: signal V is a number of 32 bits and has 16"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := can.ParseDatabase("x.dbc", []byte(tt.text))
			faults, ok := errors.AsType[strict.Faults](err)
			if !ok || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v\nwant %s", err, tt.want)
			}
			if f := faults[0]; f.Line == 0 || f.Col == 0 {
				t.Errorf("a fault without a place: %+v", f)
			}
		})
	}
}

func TestFaultsShowTheirLine(t *testing.T) {
	_, err := can.ParseDatabase("x.dbc", []byte("BU_: BMS\n\nBO_ 849 L: 2 BMS\n SG_ V : 8|16@1+ (1,0) [0|1] \"V\" BMS\n"))
	want := "x.dbc:4:2: signal V reaches into byte 3 of message L, which has 2\n" +
		"    4 |  SG_ V : 8|16@1+ (1,0) [0|1] \"V\" BMS\n" +
		"      |  ^"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestFaultsOfProfilesHaveAPlace(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"version", "apiVersion: yunchu/v1", "apiVersion: yunchu/v2", `pylon-lv.yaml:1:13: apiVersion: unknown "yunchu/v2"`},
		{"kind", "kind: CANProfile", "kind: Profile", `pylon-lv.yaml:2:7: this is a Profile file, not a CANProfile`},
		{"no name", "name: pylon-lv\n", "", "name: missing"},
		{"unknown key", "bit_rate:", "bitrate:", `pylon-lv.yaml:10:1: unknown field "bitrate"`},
		{"second key", "shown_series: 16", "bit_rate: 500000", `pylon-lv.yaml:13:1: a second "bit_rate"`},
		{"bit rate", "bit_rate: 500000", "bit_rate: 500", "pylon-lv.yaml:10:11: bit_rate: slcan has no bit rate of 500 bit/s"},
		{"word for a number", "bit_rate: 500000", "bit_rate: fast", `pylon-lv.yaml:10:11: bit_rate: want a whole number, got "fast"`},
		{"sign", "current_sign: charge", "current_sign: positive", `pylon-lv.yaml:11:15: current_sign: unknown "positive"`},
		{"limits", "limit_sign: magnitude", "limit_sign: any", `limit_sign: unknown "any"`},
		{"database", "dbc: pylon-lv.dbc", "dbc: other.dbc", "pylon-lv.yaml:9:6: dbc: other.dbc: "},
		{"message", "name: BMS_Limits", "name: BMS_Limit", `messages[0].name: the database has no message "BMS_Limit"`},
		{"twice", "name: BMS_SocSoh", "name: BMS_Limits", "messages[1].name: BMS_Limits cannot be told from BMS_Limits"},
		{"signal", "{name: Soc, is: soc}", "{name: SoC, is: soc}", `messages[1].signals[0].name: message BMS_SocSoh has no signal "SoC"`},
		{"signal twice", "{name: Soh, is: soh}", "{name: Soc, is: soc}", "messages[1].signals[1].name: a second use of Soc"},
		{"quantity", "is: soc}", "is: charge}", `messages[1].signals[0].is: unknown "charge"`},
		{"value for a quantity", "is: soc}", "is: soc, active: 1}", "messages[1].signals[0].active: is 1"},
		{"value too large", "is: charge-allowed}", "is: charge-allowed, active: 2}", "messages[4].signals[1].active: is 2"},
		{"mask too large", "is: charge-allowed}", "is: charge-allowed, mask: 2}", "messages[4].signals[1].mask: is 0x2"},
		{"inactive alone", "is: charge-allowed}", "is: charge-allowed, inactive: 1}", "messages[4].signals[1].inactive: want another value"},
		{"alarm", "of: [over-voltage]", "of: [overvoltage]", `messages[3].signals[0].of[0]: unknown "overvoltage"`},
		{"alarm of a number", "is: soc}", "is: soc, of: [any]}", "messages[1].signals[0].of: belongs to"},
		{"status without words", "is: soc}", "is: status}", "messages[1].signals[0].words: a status has words"},
		{"status word", "is: soc}", "is: status, words: {0: asleep}}", `unknown status "asleep"`},
		{"status key", "is: soc}", "is: status, words: {zero: idle}}", `as the key, got "zero"`},
		{"text of bits", "{name: DischargeEnable, is: discharge-allowed}", "{name: DischargeEnable, is: manufacturer}", "a text takes whole bytes"},
		{"period", "period: 1s", "period: 1", `messages[0].period: want a duration like 100ms or 1s, got "1"`},
		{"no period", "    period: 1s\n    signals:", "    signals:", "messages[0].period: is 0s"},
		{"timeout", "timeout: 60s", "timeout: 10ms", "messages[5].timeout: is 10ms"},
		{"answer to nobody", "    period: 1s\n    signals:", "    period: 1s\n    answers: request\n    signals:", `messages[0].answers: the controller has no message "request"`},
		{"list for a text", "name: pylon-lv", "name: [pylon-lv]", "name: want a text, got a list"},
		{"truth", "optional: true # firmware", "optional: maybe # firmware", `optional: want true or false, got "maybe"`},
		{"alias", "name: pylon-lv", "name: *x", "pylon-lv.yaml:3:7: "},
		{"no yaml", "messages:", "messages: [", "not valid YAML"},
		{"controller's message", "message: PCS_Heartbeat", "message: PCS_Heart", `controller[0].message: the database has no message "PCS_Heart"`},
		{"both", "message: PCS_Heartbeat", "message: PCS_Heartbeat, id: 5", "controller[0].message: want a message of the database or an identifier"},
		{"identifier", "message: PCS_Heartbeat", "id: 0x800", "controller[0].id: is 0x800"},
		{"length", "message: PCS_Heartbeat", "id: 5, length: 9", "controller[0].length: is 9"},
		{"too often", "every: 1s", "every: 1ms", "controller[0].every: is 1ms"},
		{"watch", "heartbeat: true, watched", "watched", "controller[0].watched: belongs to a heartbeat"},
		{"stop", "heartbeat: true, watched: 5s", "stop_on_estop: true", "controller[0].stop_on_estop: belongs to a heartbeat"},
		{"when", "every: 1s,", "every: 1s, when: never,", `controller[0].when: unknown "never"`},
		{"what is set", "every: 1s,", "every: 1s, set: [{name: Beat, value: 1}],", `controller[0].set[0].name: message PCS_Heartbeat has no signal "Beat"`},
		{"quantity that is set", "every: 1s,", "every: 1s, set: [{name: Hb, is: fault}],", `controller[0].set[0].is: unknown "fault"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := editedErr(t, "pylon-lv", tt.old, tt.new)
			faults, ok := errors.AsType[strict.Faults](err)
			if !ok || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v\nwant %s", err, tt.want)
			}
			if f := faults[0]; f.Line == 0 || f.Source == "" {
				t.Errorf("a fault without a line: %+v", f)
			}
		})
	}
}

// One word stands for a list of one, and words that differ in case alone are suggested.
func TestListsOfOne(t *testing.T) {
	if _, err := editedErr(t, "pylon-lv", "of: [over-voltage]", "of: over-voltage"); err != nil {
		t.Error(err)
	}
	_, err := editedErr(t, "pylon-lv", "{name: Soc, is: soc}", "{name: SOC, is: soc}")
	if err == nil || !strings.Contains(err.Error(), `did you mean "Soc"?`) {
		t.Error(err)
	}
}

// All faults come at once, in the order of the file.
func TestAllFaultsAtOnce(t *testing.T) {
	src := "apiVersion: yunchu/v1\nkind: CANProfile\nname: x\ncolour: red\ndbc: pylon-lv.dbc\nbit_rate: 3\ncurrent_sign: up\nlimit_sign: positive\n" +
		"messages:\n  - {name: Nobody, period: 1s, signals: [{name: A, is: soc}]}\n  - {name: BMS_SocSoh, period: x, signals: [{name: A, is: charge}]}\n"
	_, err := can.ParseProfile("x.yaml", []byte(src), func(string) ([]byte, error) { return os.ReadFile("dbc/pylon-lv.dbc") })
	faults, _ := errors.AsType[strict.Faults](err)
	var lines []int
	for _, f := range faults {
		lines = append(lines, f.Line)
	}
	if want := []int{4, 6, 7, 10, 11, 11}; len(lines) < len(want) || lines[0] != 4 || lines[1] != 6 || lines[2] != 7 || lines[3] != 10 || lines[4] != 11 {
		t.Errorf("faults in lines %v, want %v:\n%v", lines, want, err)
	}
}

func TestFilesThatAreNotThere(t *testing.T) {
	for _, path := range []string{"no-such", "no-such.dbc", t.TempDir()} {
		if _, err := can.LoadProfile(path); err == nil || !strings.Contains(err.Error(), "pylon-lv") {
			t.Errorf("LoadProfile(%s) = %v, want the names that ship", path, err)
		}
		if _, err := can.LoadDatabase(path); err == nil || !strings.Contains(err.Error(), "pylon-lv") {
			t.Errorf("LoadDatabase(%s) = %v, want the names that ship", path, err)
		}
	}
	// The profile is found by its own name, too, from another folder.
	p, err := can.LoadProfile(filepath.Join("testdata", "counter.yaml"))
	if err != nil || p.Database().Message("Life") == nil {
		t.Errorf("%v", err)
	}
}

// A switch in the message says which signals are there.
func TestMultiplexedSignals(t *testing.T) {
	db, err := can.ParseDatabase("x.dbc", []byte("BU_: BMS\n\nBO_ 256 M: 8 BMS\n SG_ S M : 0|8@1+ (1,0) [0|0] \"\" BMS\n"+
		" SG_ A m0 : 8|8@1+ (1,0) [0|0] \"\" BMS\n SG_ B m1 : 8|8@1+ (0.5,0) [0|0] \"\" BMS\n SG_ F : 16|32@1- (1,0) [0|0] \"\" BMS\n\nSIG_VALTYPE_ 256 F : 1;\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := decode(t, db, frame(t, 0x100, "01 08 00 00 C0 3F"))
	if got["B"] != 4 || got["A"] == got["A"] || got["F"] != 1.5 {
		t.Errorf("%v", got)
	}
}
