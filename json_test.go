package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestIndentAsTheLibraryDoes: what is printed is what an encoder with indentation prints.
func TestIndentAsTheLibraryDoes(t *testing.T) {
	for _, x := range []any{
		nil, true, -1.5e-9, "",
		[]int{},
		map[string]int{},
		[]any{[]int{}, map[string]int{}, []int{1}},
		"a \"b\" \\ {[,:]} \n < & \u2028 é",
		[]string{"\\", "\\\"", "\"\\\\"},
		map[string]any{"a": []any{1, "x", nil, map[string]any{"b": []float64{1, 2.5e30}, "{": "}"}}, "c": struct{}{}},
	} {
		var want, got bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetIndent("", "  ")
		if err := e.Encode(x); err != nil {
			t.Fatal(err)
		}
		if err := printJSON(&got, x); err != nil || got.String() != want.String() {
			t.Errorf("%s\nin place of\n%s (%v)", &got, &want, err)
		}
	}
}
