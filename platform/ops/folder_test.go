package ops

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"yunchu/platform/device"
	"yunchu/platform/store/series"
	"yunchu/platform/store/state"
)

// The test binary runs itself as an upgrade that is then killed.
const killedIn = "YUNCHU_TEST_UPGRADE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedIn); dir != "" {
		_, _ = prepare(dir, "new", time.Now(), slog.New(slog.DiscardHandler), slowStep(true), 2)
		os.Exit(1) // it was to be killed
	}
	os.Exit(m.Run())
}

// slowStep replaces the text of a file in two writes, and is killed between them.
func slowStep(killed bool) []step {
	return []step{{changes: []string{"file"}, do: func(dir string) error {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			return err
		}
		if killed {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return os.WriteFile(path, []byte("new"), 0o600)
	}}}
}

func folderWith(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, busFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestNewerFolderIsRefused(t *testing.T) {
	dir := folderWith(t, map[string]string{versionFile: `{"format":7,"program":"9.9.9","created":"2030-01-01T00:00:00Z"}`})
	_, err := Prepare(dir, "0.1.0", time.Now(), slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "format 7") || !strings.Contains(err.Error(), "up to "+strconv.Itoa(Format)) || !strings.Contains(err.Error(), "9.9.9") {
		t.Errorf("Prepare() of a folder of format 7 = %v", err)
	}
	for _, text := range []string{`{"format":0}`, `{`, ``} {
		dir := folderWith(t, map[string]string{versionFile: text})
		if _, err := Prepare(dir, "0.1.0", time.Now(), slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("a version file that says %q is taken", text)
		}
	}
}

// A folder of the first format, as it was before there was a version, keeps its values and
// gets their checksums; what it was is kept beside it.
func TestUpgradeOfTheFirstFormat(t *testing.T) {
	const old = `{"timestamp":1700000000000,"arrived":1700000000005,"soc":55.5,"power":3,"status":"idle","quality":"good","flags":0}`
	dir := folderWith(t, map[string]string{stateFile: "*3\r\n$3\r\nset\r\n$15\r\nlatest:00000002\r\n$" + strconv.Itoa(len(old)) + "\r\n" + old + "\r\n"})
	before, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		v, err := Prepare(dir, "0.2.0", time.Now(), slog.New(slog.DiscardHandler))
		if err != nil || v.Format != Format {
			t.Fatalf("Prepare() = %+v, %v", v, err)
		}
	}
	kept, err := os.ReadFile(filepath.Join(dir, "before-format-2", stateFile))
	if err != nil || string(kept) != string(before) {
		t.Errorf("what was kept is not what was there: %v", err)
	}
	s, err := state.Open(filepath.Join(dir, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Latest(device.Slot(2))
	if err != nil || r.SoC != 55.5 || r.At != 1700000000000 {
		t.Errorf("latest after the upgrade: %+v, %v", r, err)
	}
	after, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil || !strings.Contains(string(after), "}#") {
		t.Errorf("the value has no checksum after the upgrade: %q, %v", after, err)
	}
}

// A history of the second format, without a manifest and tiers, gets both and keeps its
// readings.
func TestUpgradeOfTheHistory(t *testing.T) {
	dir := folderWith(t, map[string]string{versionFile: `{"format":2,"program":"0.1.0","created":"2026-01-01T00:00:00Z"}`})
	folder := filepath.Join(dir, history)
	s, err := series.Open(series.Options{Dir: folder})
	if err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(3) {
		f := new(device.Readings)
		for i := range int64(100) {
			r := device.Empty()
			r.Slot, r.At, r.Power = 1, (int64(seq)*100+i)*1000, 36
			f.Append(&r)
		}
		s.Append(seq+1, f)
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{series.Manifest, "1m", "15m", "1h"} { // what that format did not have
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	v, err := Prepare(dir, "0.2.0", time.Now(), slog.New(slog.DiscardHandler))
	if err != nil || v.Format != Format {
		t.Fatalf("Prepare() = %+v, %v", v, err)
	}
	if s, err = series.Open(series.Options{Dir: folder}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Settle()
	if len(s.Faults()) > 0 || s.Covered() != 3 || s.Stats().Rows != 300 || s.Stats().Parts == 0 {
		t.Errorf("after the upgrade: %v, covered %d, %+v", s.Faults(), s.Covered(), s.Stats())
	}
	page, err := s.Aggregate(t.Context(), series.AggregateQuery{Slots: []device.Slot{1}, To: 3_600_000, Step: time.Hour})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Count != 300 || page.Rows[0].EnergyIn < 2.98999 || page.Rows[0].EnergyIn > 2.99001 || len(page.Gaps) > 0 {
		t.Errorf("%+v, %v, want 300 readings and 2.99 kWh", page, err)
	}
	tiers, err := filepath.Glob(filepath.Join(folder, "1h", "*.parquet"))
	if err != nil || len(tiers) != 3 {
		t.Errorf("%d tables of hours, %v, want 3", len(tiers), err)
	}
}

// An upgrade that is killed in the middle is done again at the next start, and what it was
// about to change is still kept as it was.
func TestKilledUpgrade(t *testing.T) {
	dir := folderWith(t, map[string]string{"file": "old"})
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), killedIn+"="+dir)
	var exited *exec.ExitError
	if err := c.Run(); !errors.As(err, &exited) || exited.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the upgrade was not killed: %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "file")); string(b) != "half" {
		t.Fatalf("killed at %q, want the middle", b)
	}
	v, err := prepare(dir, "new", time.Now(), slog.New(slog.DiscardHandler), slowStep(false), 2)
	if err != nil || v.Format != 2 {
		t.Fatalf("the next start: %+v, %v", v, err)
	}
	for name, want := range map[string]string{"file": "new", "before-format-2/file": "old"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != want {
			t.Errorf("%s is %q, %v, want %q", name, b, err, want)
		}
	}
}
