package sunspec_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"yunchu/hil/sunspec"
)

// definition is a model as its publishers write it.
type definition struct {
	ID    uint16 `json:"id"`
	Group group  `json:"group"`
}

type group struct {
	Name   string `json:"name"`
	Count  any    `json:"count"`
	Points []struct {
		Name   string `json:"name"`
		Type   string `json:"type"`
		Size   int    `json:"size"`
		SF     any    `json:"sf"`
		Access string `json:"access"`
		Units  string `json:"units"`
	} `json:"points"`
	Groups []group `json:"groups"`
}

// row is what a point must be, as text.
func row(offset, size int, kind, scale string, rw bool, unit string) string {
	return fmt.Sprintf("@%d %d×%s sf %q rw %t unit %q", offset, size, kind, scale, rw, unit)
}

func rows(points []sunspec.Point, names map[sunspec.Type]string) map[string]string {
	out := map[string]string{}
	for i := range points {
		p := &points[i]
		out[p.Name] = row(p.Offset, p.Size, names[p.Type], p.Scale, p.RW, p.Unit)
	}
	return out
}

var typeNames = map[sunspec.Type]string{
	sunspec.Int16: "int16", sunspec.Uint16: "uint16", sunspec.Enum16: "enum16", sunspec.Bitfield16: "bitfield16", sunspec.Count: "count",
	sunspec.ScaleFactor: "sunssf", sunspec.Pad: "pad", sunspec.Int32: "int32", sunspec.Uint32: "uint32", sunspec.Acc32: "acc32",
	sunspec.Bitfield32: "bitfield32", sunspec.Uint64: "uint64", sunspec.Acc64: "acc64", sunspec.String: "string",
}

// TestTablesAreTheModels compares every entry of our tables with the definitions, both
// ways.
func TestTablesAreTheModels(t *testing.T) {
	for _, id := range []uint16{1, 101, 102, 103, 120, 121, 122, 123, 124, 160, 701, 702, 703, 704, 713, 714, 715, 802, 803, 804} {
		t.Run(fmt.Sprint(id), func(t *testing.T) {
			var def definition
			if err := json.Unmarshal(data(t, fmt.Sprintf("model_%d.json", id)), &def); err != nil {
				t.Fatal(err)
			}
			m := sunspec.Lookup(id)
			if m == nil || m.ID != def.ID || m.Name != def.Group.Name {
				t.Fatalf("table %+v, want model %d %s", m, def.ID, def.Group.Name)
			}
			want, offset := map[string]string{}, 0
			want, offset = expect(t, want, "", &def.Group, offset)
			var repeat *group
			for i := range def.Group.Groups {
				if g := &def.Group.Groups[i]; g.Count == nil {
					want, offset = expect(t, want, g.Name+".", g, offset)
				} else {
					repeat = g
				}
			}
			compare(t, rows(m.Points, typeNames), want)
			if m.Size != offset {
				t.Errorf("%d registers, want %d", m.Size, offset)
			}
			if (repeat == nil) != (m.Repeat == nil) {
				t.Fatalf("repeats %+v, want %+v", m.Repeat, repeat)
			}
			if repeat == nil {
				return
			}
			count, _ := repeat.Count.(string) // a number, 0, is: as many as there are
			want, size := expect(t, map[string]string{}, "", repeat, 0)
			compare(t, rows(m.Repeat.Points, typeNames), want)
			if m.Repeat.Name != repeat.Name || m.Repeat.Count != count || m.Repeat.Size != size || len(repeat.Groups) > 0 {
				t.Errorf("repeats %s by %q of %d registers, want %s by %q of %d", m.Repeat.Name, m.Repeat.Count, m.Repeat.Size, repeat.Name, count, size)
			}
		})
	}
}

func expect(t *testing.T, out map[string]string, prefix string, g *group, offset int) (map[string]string, int) {
	t.Helper()
	for _, p := range g.Points {
		scale, _ := p.SF.(string)
		if p.SF != nil && scale == "" {
			t.Errorf("point %s has a constant scale factor %v, which the tables have no form for", p.Name, p.SF)
		}
		out[prefix+p.Name] = row(offset, p.Size, p.Type, scale, p.Access == "RW", strings.TrimSpace(p.Units))
		offset += p.Size
	}
	return out, offset
}

func compare(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: %s, want %s", name, got[name], w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is not in the definition", name)
		}
	}
}

// The lengths that the reference gives, without the files.
func TestTableLengths(t *testing.T) {
	for id, want := range map[uint16]int{
		1: 66, 101: 50, 102: 50, 103: 50, 120: 26, 121: 30, 122: 44, 123: 24, 124: 24, 160: 8, 701: 153, 702: 50, 703: 17, 704: 65,
		713: 7, 714: 18, 715: 7, 802: 62, 803: 26, 804: 46,
	} {
		if got := sunspec.Lookup(id).Size - 2; got != want {
			t.Errorf("model %d: L = %d, want %d", id, got, want)
		}
	}
}
