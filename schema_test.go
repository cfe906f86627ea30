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

// profileSchema is what yunchu schema profile prints, compiled.
func profileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var b bytes.Buffer
	if err := writeSchema(&b, "profile"); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("profile.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("profile.json")
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
	s := profileSchema(t)
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
