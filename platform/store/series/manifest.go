package series

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"yunchu/platform/durable"
)

// Manifest is the name of the file that lists the segments, so that one that is not there,
// or is not what was written, is known as such. Each line is a JSON object behind a hash:
// SHA-256 of the hash of the line before (nothing for the first) and the object. The last
// line counts the others; it is missing from a manifest that was cut off.
const Manifest = "manifest"

// Version 2 has ranks; without any it is version 1.
const manifestVersion = 2

// manifestHead is the first line.
type manifestHead struct {
	Store   string `json:"store"`
	Version int    `json:"version"`
}

// manifestEntry is a segment.
type manifestEntry struct {
	ID       uint64               `json:"id"`
	Rank     uint64               `json:"rank,omitempty"` // where it is not the id
	First    uint64               `json:"first_seq"`
	Last     uint64               `json:"last_seq"`
	Given    uint64               `json:"given_seq,omitempty"` // where it is not the first
	Readings contents             `json:"readings"`            // also when they are gone
	Gone     bool                 `json:"gone,omitempty"`
	Part     bool                 `json:"part,omitempty"` // of the readings of another entry
	Tiers    map[string]*contents `json:"tiers,omitempty"`
	Lost     map[string]string    `json:"lost,omitempty"` // by tier, "" for the readings
}

// manifestEnd is the last line.
type manifestEnd struct {
	Entries int    `json:"entries"` // the first field: it tells the line from others
	NextID  uint64 `json:"next_id"`
	Missed  []Miss `json:"missed,omitempty"`
}

// appendLine adds v behind the hash that continues the chain.
func appendLine(b []byte, chain string, v any) ([]byte, string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return b, chain, err
	}
	chain = link(chain, text)
	b = append(append(append(b, chain...), ' '), text...)
	return append(b, '\n'), chain, nil
}

func link(chain string, text []byte) string {
	h := sha256.New()
	h.Write([]byte(chain))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// writeManifest replaces the manifest.
func writeManifest(dir string, list []*segment, end manifestEnd) error {
	b, err := manifestOf(list, end)
	if err == nil {
		err = durable.WriteFile(filepath.Join(dir, Manifest), b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}

// manifestOf is the text of a manifest.
func manifestOf(list []*segment, end manifestEnd) ([]byte, error) {
	version := 1
	if slices.ContainsFunc(list, (*segment).joined) {
		version = manifestVersion
	}
	b, chain, err := appendLine(nil, "", manifestHead{"history", version})
	for _, g := range list {
		e := manifestEntry{ID: g.id, First: g.first, Last: g.last, Readings: g.contents, Gone: g.readings == nil, Part: g.part, Tiers: map[string]*contents{}, Lost: map[string]string{}}
		if g.joined() {
			e.Rank = g.rank
		}
		if g.given > g.first {
			e.Given = g.given
		}
		for step, t := range g.tiers {
			e.Tiers[tierName(step)] = &t.contents
		}
		for step, why := range g.lost {
			e.Lost[lostName(step)] = why
		}
		if err == nil {
			b, chain, err = appendLine(b, chain, e)
		}
	}
	if err == nil {
		end.Entries = len(list)
		b, _, err = appendLine(b, chain, end)
	}
	return b, err
}

func lostName(step int64) string {
	if step == 0 {
		return ""
	}
	return tierName(step)
}

// errManifest: the manifest is not what was written.
var errManifest = errors.New("manifest damaged")

// readManifest lists what the manifest says. With errManifest it lists what is left of it.
func readManifest(dir string) (list []*segment, end manifestEnd, err error) {
	b, err := os.ReadFile(filepath.Join(dir, Manifest))
	if err != nil {
		return nil, end, err
	}
	return parseManifest(dir, b)
}

func parseManifest(dir string, b []byte) (list []*segment, end manifestEnd, err error) {
	fault := func(line int, why string) {
		if err == nil {
			err = fmt.Errorf("%w: %s: line %d: %s", errManifest, filepath.Join(dir, Manifest), line, why)
		}
	}
	chain, ended, n := "", false, 0
	for text := range bytes.Lines(b) {
		n++
		sum, object, ok := bytes.Cut(bytes.TrimSuffix(text, []byte("\n")), []byte(" "))
		whole := ok && link(chain, object) == string(sum) && text[len(text)-1] == '\n'
		chain = string(sum)
		if !whole {
			fault(n, "is not what was written")
			continue
		}
		if n == 1 {
			var h manifestHead
			if e := json.Unmarshal(object, &h); e != nil || h.Store != "history" {
				fault(n, "is not the manifest of a history")
			} else if h.Version < 1 || h.Version > manifestVersion {
				return nil, end, fmt.Errorf("the manifest has version %d, this program reads 1 to %d", h.Version, manifestVersion)
			}
			continue
		}
		if bytes.HasPrefix(object, []byte(`{"entries":`)) {
			if e := json.Unmarshal(object, &end); e != nil || end.Entries != n-2 {
				fault(n, "counts other lines")
			}
			ended = true
			continue
		}
		var e manifestEntry
		if u := json.Unmarshal(object, &e); u != nil {
			fault(n, u.Error())
			continue
		}
		list = append(list, e.segment(dir))
	}
	if !ended {
		fault(n+1, "is missing")
	}
	return list, end, err
}

// segment is what the entry says, with the tables that should be there.
func (e *manifestEntry) segment(dir string) *segment {
	g := &segment{id: e.ID, rank: e.ID, first: e.First, given: max(e.First, e.Given), last: e.Last, contents: e.Readings, part: e.Part, tiers: map[int64]*table{}, lost: map[int64]string{}}
	if e.Rank != 0 {
		g.rank = e.Rank
	}
	name := fileName(e.ID, e.First, e.Last)
	if !e.Gone {
		g.readings = &table{id: e.ID, first: e.First, last: e.Last, path: filepath.Join(dir, name), contents: e.Readings}
	}
	for _, d := range Steps {
		step := d.Milliseconds()
		if c := e.Tiers[tierName(step)]; c != nil {
			g.tiers[step] = &table{id: e.ID, first: e.First, last: e.Last, step: step, path: filepath.Join(dir, tierName(step), name), contents: *c}
		}
		if why, ok := e.Lost[tierName(step)]; ok {
			g.lost[step] = why
		}
	}
	if why, ok := e.Lost[""]; ok {
		g.lost[0] = why
	}
	return g
}
