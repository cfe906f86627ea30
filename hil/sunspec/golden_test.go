package sunspec_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"yunchu/hil/modbus"
	"yunchu/hil/sunspec"
)

func data(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("YUNCHU_DATA")
	if dir == "" {
		t.Skip("YUNCHU_DATA is not set: the model definitions are not part of the repository")
	}
	b, err := os.ReadFile(filepath.Join(dir, "sunspec", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// shipped is the golden image of a battery of 1 MW, image.json, or what pysunspec2 1.3.5
// makes of it, image_decoded.json.
func shipped(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// registers are a device that answers from an image and takes every write.
type registers struct {
	base     int
	regs     []uint16
	reads    int
	writes   []string
	onRead   func(n int) error
	refuse   func(addr, n int) error
	readOnly bool
}

func (r *registers) Read(_ context.Context, _ modbus.Table, addr, n uint16) ([]uint16, error) {
	r.reads++
	if r.onRead != nil {
		if err := r.onRead(r.reads); err != nil {
			return nil, err
		}
	}
	if n == 0 || n > modbus.MaxRead {
		return nil, modbus.IllegalValue
	}
	from := int(addr) - r.base
	if from < 0 || from+int(n) > len(r.regs) {
		return nil, modbus.IllegalAddress
	}
	if r.refuse != nil {
		if err := r.refuse(int(addr), int(n)); err != nil {
			return nil, err
		}
	}
	return slices.Clone(r.regs[from : from+int(n)]), nil
}

func (r *registers) Write(_ context.Context, addr uint16, values []uint16) error {
	from := int(addr) - r.base
	if from < 0 || from+len(values) > len(r.regs) {
		return modbus.IllegalAddress
	}
	words := []string{strconv.Itoa(int(addr))}
	for _, v := range values {
		words = append(words, strconv.Itoa(int(v)))
	}
	r.writes = append(r.writes, strings.Join(words, " "))
	if !r.readOnly {
		copy(r.regs[from:], values)
	}
	return nil
}

func (r *registers) WriteCoil(context.Context, uint16, bool) error { return modbus.IllegalFunction }

func (r *registers) Close() error { return nil }

// image is a device of the golden one: 16 models.
func image(t testing.TB) *registers {
	t.Helper()
	var x struct {
		Base int      `json:"base"`
		Regs []uint16 `json:"regs"`
	}
	if err := json.Unmarshal(shipped(t, "image.json"), &x); err != nil {
		t.Fatal(err)
	}
	return &registers{base: x.Base, regs: x.Regs}
}

func scan(t testing.TB, c modbus.Conn, base int) *sunspec.Device {
	t.Helper()
	d, err := sunspec.Scan(t.Context(), c, base)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestGoldenDecodes compares every point of the image with what an independent decoder
// (pysunspec2 1.3.5) makes of it.
func TestGoldenDecodes(t *testing.T) { decodes(t, scan(t, image(t), sunspec.Anywhere)) }

func decodes(t *testing.T, d *sunspec.Device) {
	t.Helper()
	type block struct {
		Model  uint16         `json:"model"`
		Addr   int            `json:"addr"`
		Len    int            `json:"len"`
		Values map[string]any `json:"values"`
	}
	var want []block
	dec := json.NewDecoder(strings.NewReader(string(shipped(t, "image_decoded.json"))))
	if err := dec.Decode(&want); err != nil {
		t.Fatal(err)
	}
	if len(d.Blocks) != len(want) || !d.Ended || d.Base != 40000 {
		t.Fatalf("%d models at %d, ended %t, want %d at 40000", len(d.Blocks), d.Base, d.Ended, len(want))
	}
	points := 0
	for i, b := range d.Blocks {
		w := want[i]
		if b.ID != w.Model || b.Addr != w.Addr || int(b.Regs[1]) != w.Len {
			t.Errorf("model %d at %d of %d registers, want %d at %d of %d", b.ID, b.Addr, b.Regs[1], w.Model, w.Addr, w.Len)
		}
		flat := map[string]any{}
		flatten(flat, "", w.Values)
		for f := range b.Fields() {
			points++
			v, ok := flat[f.Name]
			if !ok {
				t.Errorf("%d.%s is not in the decoding", b.ID, f.Name)
			}
			delete(flat, f.Name)
			got := b.At(f).Any()
			switch x := got.(type) {
			case uint64:
				got = float64(x)
			case int64:
				got = float64(x)
			}
			if !reflect.DeepEqual(got, v) {
				t.Errorf("%d.%s = %v, want %v", b.ID, f.Name, got, v)
			}
		}
		for name := range flat {
			t.Errorf("%d.%s was not decoded", b.ID, name)
		}
	}
	if points < 500 {
		t.Errorf("only %d points: the test looks at the wrong image", points)
	}
}

// flatten names points as Fields does: Prt[0].DCV, PFWInj.PF.
func flatten(out map[string]any, prefix string, in map[string]any) {
	for name, v := range in {
		switch x := v.(type) {
		case map[string]any:
			flatten(out, prefix+name+".", x)
		case []any:
			for i, e := range x {
				flatten(out, prefix+name+"["+strconv.Itoa(i)+"].", e.(map[string]any))
			}
		default:
			out[prefix+name] = v
		}
	}
}

// TestGoldenEncodes makes the registers again from what they decode to.
func TestGoldenEncodes(t *testing.T) {
	d := scan(t, image(t), sunspec.Anywhere)
	for _, b := range d.Blocks {
		again := sunspec.NewBlock(b.Model, b.Addr, b.Instances())
		copyScales(again, b)
		for f := range b.Fields() {
			if err := again.Set(f.Name, b.At(f).Any()); err != nil {
				t.Errorf("%d.%s: %v", b.ID, f.Name, err)
			}
		}
		for f := range b.Fields() {
			got, want := again.Regs[f.At:f.At+f.Size], b.Regs[f.At:f.At+f.Size]
			if !slices.Equal(got, want) {
				t.Errorf("%d.%s: %x, want %x", b.ID, f.Name, got, want)
			}
		}
	}
}

// copyScales sets the scale factors first, in which the rest is encoded.
func copyScales(to, from *sunspec.Block) {
	for f := range from.Fields() {
		if f.Type == sunspec.ScaleFactor {
			to.Regs[f.At] = from.Regs[f.At]
		}
	}
}
