package series_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
)

// plantOf is a store with the log behind it, of which the begin is trimmed.
type plantOf struct {
	*testing.T
	rng         *rand.Rand
	opt         series.Options
	store       *series.Store
	want        model
	first, last uint64 // of the log
	did         []string
}

func (p *plantOf) note(format string, a ...any) { p.did = append(p.did, fmt.Sprintf(format, a...)) }

// reopen is a restart: the store is asked from where the log is needed, and gets what is there.
func (p *plantOf) reopen() {
	p.Helper()
	var err error
	if p.store, err = series.Open(p.opt); err != nil {
		p.Fatal(err, p.did)
	}
	from := max(p.first, p.store.Covered()+1)
	p.note("covered %d, the log gives %d to %d", p.store.Covered(), from, p.last)
	for seq := from; seq <= p.last; seq++ {
		p.store.Append(seq, crashFrame(seq))
	}
}

// hurt deletes or truncates a file of the closed store, or flips a bit of it.
func (p *plantOf) hurt() {
	p.Helper()
	var files []string
	if err := filepath.WalkDir(p.opt.Dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".parquet") {
			files = append(files, path)
		}
		return err
	}); err != nil {
		p.Fatal(err)
	}
	if len(files) == 0 {
		return
	}
	path := files[p.rng.IntN(len(files))]
	b, err := os.ReadFile(path)
	if err != nil {
		p.Fatal(err)
	}
	how := p.rng.IntN(3)
	p.note("damage %d of %s", how, path)
	switch how {
	case 0:
		err = os.Remove(path)
	case 1:
		err = os.Truncate(path, p.rng.Int64N(int64(len(b))))
	default:
		b[p.rng.IntN(len(b))] ^= 1 << p.rng.IntN(8)
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		p.Fatal(err)
	}
}

// told checks that what is served is what was appended, and what is not served lies in a gap.
func (p *plantOf) told() {
	p.Helper()
	for slot := range device.Slot(crashDevices) {
		page, err := p.store.Query(p.Context(), all(slot))
		if err != nil {
			p.Fatal(err, p.did)
		}
		rows := map[int64]series.Row{}
		for _, r := range page.Rows {
			rows[r.At] = r
			if _, ok := p.want[slot][r.At]; !ok {
				p.Fatalf("slot %d: nobody sent %+v\n%s", slot, r, strings.Join(p.did, "\n"))
			}
		}
		for at, w := range p.want[slot] {
			if r, ok := rows[at]; ok && w.SameValues(&r.Reading) {
				continue
			}
			gap := false
			for _, g := range page.Gaps {
				gap = gap || g.From <= at && at < g.To
			}
			if !gap {
				p.Fatalf("slot %d: the reading of %d is missing, gaps %v\n%s", slot, at, page.Gaps, strings.Join(p.did, "\n"))
			}
		}
	}
}

// TestWhatIsLostIsTold appends, seals, joins, trims the log, restarts and damages files in any
// order: each reading is served as it was sent, or lies in a gap.
func TestWhatIsLostIsTold(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	runs := uint64(6)
	if testing.Short() {
		runs = 1
	}
	for run := range runs {
		t.Logf("seed %d", seed+run)
		rng := rand.New(rand.NewPCG(seed+run, 0))
		p := &plantOf{T: t, rng: rng, opt: series.Options{Dir: t.TempDir(), JoinFrom: 2 + rng.IntN(3)}, want: model{}, first: 1}
		p.reopen()
		for range 40 {
			var err error
			switch k := rng.IntN(10); {
			case k < 3:
				n := 1 + rng.Uint64N(15)
				p.note("append %d to %d", p.last+1, p.last+n)
				for range n {
					p.last++
					p.want.append(crashFrame(p.last))
					p.store.Append(p.last, crashFrame(p.last))
				}
			case k < 5:
				err = p.store.Seal(t.Context())
				p.note("seal, covered %d", p.store.Covered())
			case k < 6:
				err = p.store.Join(t.Context())
				p.note("join")
			case k < 8:
				p.first = max(p.first, p.store.Covered()+1)
				p.note("the log begins at %d", p.first)
			default:
				if err = p.store.Close(); k == 8 {
					p.hurt()
				}
				p.reopen()
			}
			if err != nil {
				t.Fatal(err, p.did)
			}
			p.told()
		}
		if err := p.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
