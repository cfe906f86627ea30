package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"yunchu/hil/modbus"
)

// compiled is what yunchu schema prints of a kind, compiled.
func compiled(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	var b bytes.Buffer
	if err := writeSchema(&b, kind); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(kind+".json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(kind + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bySchema is what the schema says of a profile.
func bySchema(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

// TestProfileSchemaAgrees: the schema accepts what the reader of profiles accepts, and
// refuses what is wrong with single keys.
func TestProfileSchemaAgrees(t *testing.T) {
	s := compiled(t, "profile")
	files, _ := filepath.Glob("hil/modbus/profiles/*.yaml")
	files = append(files, "docs/practice/pcs-hx100.yaml")
	if len(files) < 4 {
		t.Fatalf("files %v", files)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := bySchema(t, s, string(text)); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}

	const head = "apiVersion: yunchu/v1\nkind: Profile\nname: x\n"
	points := func(p string) string { return head + "points:\n  " + p + "\n" }
	for _, text := range []string{
		points("status: {address: 0, values: {idle: 0, charging: [1, 2]}}"),
		points("status: {address: 0, not_implemented: 0xFFFF, values: {fault: 5}}"),
		points("soc: {address: 0, not_implemented: [65535, 65534], valid: {min: 0, max: 100}}"),
		points("power: {table: input, address: 65535, type: int16, scale: -0.1, offset: 3, unit: W, positive: discharge}"),
		points("revert_s: {address: 2}\n  setpoint: {address: 0, access: read-write, range: {min: -10, max: 10, step: 0.5}, word_order: little, byte_order: big}"),
		head + "watched: true\npoints: {setpoint: {address: 0}}\n", head + "watched: false\npoints: {soc: {address: 0}}\n",
		points("heartbeat: {address: 0, patience: 1m30s}"),
		points("e_stop: {table: coil, address: 0}"),
		points("e_stop: {address: 0, bit: 3}"),
		points("local: {address: 0, mask: 0x0F, values: {active: 2}}"),
		points("maker: {address: 0, type: string, length: 8}"),
		points("power: {address: 0, exponent: 4}"),
		head + "description: a b\npositive: charge\nword_order: little\nbyte_order: little\nrequests: {max_registers: 60, max_gap: 4, write: single}\npoints: {soc: {address: 0}}\nsettings: {own value: {address: 1, unit: furlong}}\n",
	} {
		if _, err := modbus.ParseProfile("x.yaml", []byte(text)); err != nil {
			t.Errorf("the reader refuses what is good: %v", err)
		}
		if err := bySchema(t, s, text); err != nil {
			t.Errorf("%s%v", text, err)
		}
	}
	for _, text := range []string{
		strings.Replace(points("soc: {address: 0}"), "Profile", "Profil", 1),
		strings.Replace(points("soc: {address: 0}"), "yunchu/v1", "yunchu/v2", 1),
		"apiVersion: yunchu/v1\nkind: Profile\npoints: {soc: {address: 0}}\n",
		head, head + "points: {}\n", head + "points: [soc]\n", head + "colour: red\npoints: {soc: {address: 0}}\n",
		head + "watched: panel\npoints: {soc: {address: 0}}\n", head + "positive: up\npoints: {soc: {address: 0}}\n", head + "requests: {max_registers: 126}\npoints: {soc: {address: 0}}\n",
		head + "requests: {max_gap: -1}\npoints: {soc: {address: 0}}\n", head + "requests: {write: twice}\npoints: {soc: {address: 0}}\n",
		head + "points: {soc: {address: 0}}\nsettings: {soc: {address: 1}}\n",
		points("sok: {address: 0}"), points("soc: {}"), points("soc: {addr: 0}"), points("soc: {address: 65536}"), points("soc: {address: -1}"),
		points("soc: {address: two}"), points("soc: {address: 0, table: files}"), points("soc: {address: 0, type: int17}"),
		points("soc: {address: 0, scale: 0}"), points("soc: {address: 0, scale: much}"), points("soc: {address: 0, unit: V}"),
		points("soc: {address: 0, positive: charge}"), points("power: {address: 0, positive: up}"), points("soc: {address: 0, access: write-only}"),
		points("soc: {address: 0, values: {low: 0}}"), points("status: {address: 0}"), points("status: {address: 0, values: {asleep: 1}}"),
		points("status: {address: 0, values: {idle: []}}"), points("status: {address: 0, values: {idle: one}}"), points("status: {address: 0, values: {idle: -1}}"),
		points("status: {address: 0, values: {idle: 0}, scale: 2}"), points("soc: {address: 0, not_implemented: none}"), points("soc: {address: 0, length: 4}"),
		points("heartbeat: {address: 0, patience: 3}"), points("heartbeat: {address: 0, patience: 2d}"), points("heartbeat: {address: 0, patience: -1s}"),
		points("soc: {address: 0, patience: 1s}"), points("e_stop: {address: 0, bit: -1}"), points("soc: {address: 0, valid: {least: 1}}"),
		points("maker: {address: 0, type: string, length: 0}"), points("maker: {address: 0}"), points("soc: {address: 0, type: string, length: 3}"), points("power: {address: 0, range: {min: 0, max: 1}}"),
		points("soc: {address: \"0\"}"), points("soc: {address: 0, scale: \"2\"}"),
	} {
		if _, err := modbus.ParseProfile("x.yaml", []byte(text)); err == nil {
			t.Errorf("the reader accepts\n%s", text)
		}
		if err := bySchema(t, s, text); err == nil {
			t.Errorf("the schema accepts\n%s", text)
		}
	}
}

// TestRulesSchemaAgrees: the schemas of rules and limits accept what ships and what their readers
// accept, and refuse what is wrong with single keys.
func TestRulesSchemaAgrees(t *testing.T) {
	rules := compiled(t, "rules")
	files, _ := filepath.Glob("platform/settle/rules/*/*.yaml")
	more, _ := filepath.Glob("platform/market/order/rules/*.yaml")
	if len(files) < 10 || len(more) < 3 {
		t.Fatalf("files %v and %v", files, more)
	}
	for _, f := range append(files, more...) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := bySchema(t, rules, string(text)); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		for from, to := range map[string]string{"apiVersion: yunchu/v1": "apiVersion: yunchu/v2", "standing: ": "standing: perhaps-", "name: ": "nome: "} {
			wrong := strings.Replace(string(text), from, to, 1)
			if wrong == string(text) {
				t.Errorf("%s has no %s", f, from)
			}
			if err := bySchema(t, rules, wrong); err == nil {
				t.Errorf("%s is accepted with %s", f, to)
			}
		}
	}
	limits := compiled(t, "limits")
	const good = "apiVersion: yunchu/v1\nkind: TradingLimits\nname: x\nsoc: awarded\nbattery: {power_kw: 1, energy_kwh: 2, efficiency: 0.9, hold: 1h}\norder_mw: 2\ncvar: 10\nsell_at_least: -5\n"
	if err := bySchema(t, limits, good); err != nil {
		t.Error(err)
	}
	for from, to := range map[string]string{"awarded": "sometimes", "power_kw: 1": "power_kw: 0", "efficiency: 0.9": "efficiency: 1.1", "name: x\n": "", "order_mw: 2": "order_mw: -2", "1h": "long", "cvar: 10": "cvars: 10"} {
		if err := bySchema(t, limits, strings.Replace(good, from, to, 1)); err == nil {
			t.Errorf("limits are accepted with %q", to)
		}
	}
}
