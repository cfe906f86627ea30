package strict_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"yunchu/hil/strict"
)

type inner struct {
	Number float64  `yaml:"number"`
	Codes  []uint16 `yaml:"codes"`
}

type outer struct {
	Name  string           `yaml:"name"`
	On    bool             `yaml:"on"`
	Count *int             `yaml:"count"`
	Every time.Duration    `yaml:"every"`
	Parts map[string]inner `yaml:"parts"`
}

func TestRead(t *testing.T) {
	var got outer
	f := strict.Read("x.yaml", []byte("name: a b\non: true\ncount: -3\nevery: 20ms\nparts:\n  one: {number: 2.5, codes: [1, 0xFF]}\n  two:\n    codes: 7\n"), &got)
	if err := f.Err(); err != nil {
		t.Fatal(err)
	}
	n := -3
	want := outer{Name: "a b", On: true, Count: &n, Every: 20 * time.Millisecond, Parts: map[string]inner{
		"one": {Number: 2.5, Codes: []uint16{1, 255}}, "two": {Codes: []uint16{7}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !f.Has("parts.two.codes") || f.Has("parts.two.number") {
		t.Error("it does not know what the file gives")
	}
}

func TestMapsFromWholeNumbers(t *testing.T) {
	var got struct {
		Words map[uint8]string `yaml:"words"`
	}
	err := strict.Read("x.yaml", []byte("words: {0: idle, 0x1F: run, 256: far, one: near}\n"), &got).Err()
	if len(got.Words) != 2 || got.Words[0] != "idle" || got.Words[31] != "run" {
		t.Errorf("got %v", got.Words)
	}
	faults, _ := errors.AsType[strict.Faults](err)
	if len(faults) != 2 || faults[0].Col != 29 || !strings.Contains(faults[1].Msg, `words: want a whole number of 0 to 255 as the key, got "one"`) {
		t.Errorf("got %v", err)
	}
}

func TestFilesOfAnotherForm(t *testing.T) {
	f := strict.New("x.dbc", []byte("a\n b\n"))
	f.Add(2, 2, "write c", "no %s", "b")
	if want := "x.dbc:2:2: no b\n    2 |  b\n      |  ^\n      write c"; f.Count() != 1 || f.Err() == nil || f.Err().Error() != want {
		t.Errorf("got %v\nwant %s", f.Err(), want)
	}
}

func TestFaultsAllAtOnce(t *testing.T) {
	src := "nam: a\non: maybe\non: true\nparts:\n  one: {number: .nan, codes: [70000, x]}\n  two: 4\nevery: 3\n"
	f := strict.Read("x.yaml", []byte(src), &outer{})
	f.Wrong("parts.one.codes", "write 1", "a thing of its own")
	f.Wrong("parts.one.number", "", "what follows from a value that could not be read")
	f.Wrong("name", "", "what follows from a key that is misspelt")
	if !f.Formed() || !f.Lost("parts.one") || !f.Lost("parts.two.number") || f.Lost("parts.three") || f.Lost("count") || !f.Misspelt("") || f.Misspelt("parts") {
		t.Error("it does not know what it could not read")
	}
	f.Wrong("parts.three.number", "", "something that is not there")
	want := `x.yaml:1:1: unknown field "nam"
    1 | nam: a
      | ^
      did you mean "name"?
x.yaml:2:5: on: want true or false, got "maybe"
    2 | on: maybe
      |     ^
x.yaml:3:1: a second "on"
    3 | on: true
      | ^
x.yaml:5:3: something that is not there
    5 |   one: {number: .nan, codes: [70000, x]}
      |   ^
x.yaml:5:17: parts.one.number: want a number, got ".nan"
    5 |   one: {number: .nan, codes: [70000, x]}
      |                 ^
x.yaml:5:30: a thing of its own
    5 |   one: {number: .nan, codes: [70000, x]}
      |                              ^
      write 1
x.yaml:5:31: parts.one.codes[0]: want a whole number of 0 to 65535, got "70000"
    5 |   one: {number: .nan, codes: [70000, x]}
      |                               ^
x.yaml:5:38: parts.one.codes[1]: want a whole number of 0 to 65535, got "x"
    5 |   one: {number: .nan, codes: [70000, x]}
      |                                      ^
x.yaml:6:8: parts.two: want a mapping of keys, got "4"
    6 |   two: 4
      |        ^
x.yaml:7:8: every: want a duration like 100ms or 1s, got "3"
    7 | every: 3
      |        ^`
	if got := f.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What stands in quotes is a text, and what does not and looks like a number is none: as
// the JSON Schemas have it.
func TestQuotesTellTexts(t *testing.T) {
	err := strict.Read("x.yaml", []byte("name: 100\non: \"true\"\ncount: '3'\nevery: \"1s\"\n"), &outer{}).Err()
	faults, _ := errors.AsType[strict.Faults](err)
	if len(faults) != 3 || faults[0].Hint != "put it into quotes" || faults[1].Hint != "write it without quotes" || faults[2].Line != 3 {
		t.Errorf("got %v", err)
	}
}

func TestNoFile(t *testing.T) {
	for name, src := range map[string]string{
		"nothing":       "",
		"two documents": "name: a\n---\nname: b\n",
		"a list":        "- 1\n",
		"no YAML":       "name: [a\n",
		"not UTF-8":     "name: \xff\n",
		"too deep":      strings.Repeat("[", 1000),
		"too long":      "name: " + strings.Repeat("a", 300<<10),
		"an alias":      "name: &a b\n",
	} {
		if err := strict.Read("x.yaml", []byte(src), &outer{}).Err(); err == nil || !strings.HasPrefix(err.Error(), "x.yaml:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("name: a b\non: true\nparts:\n  one: {number: 2.5, codes: [1, 0xFF]}\n")
	f.Add("parts: {a: {b: {c: [[{d: ")
	f.Fuzz(func(t *testing.T, src string) {
		if err := strict.Read("x.yaml", []byte(src), &outer{}).Err(); err != nil {
			_ = err.Error()
		}
	})
}
