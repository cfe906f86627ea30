package web_test

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"yunchu/web"
)

func index(t *testing.T) string {
	t.Helper()
	html, err := fs.ReadFile(web.Dist, "index.html")
	if err != nil {
		t.Fatal(err)
	}
	return string(html)
}

// What index.html names has to be there, and has to be ours: the page runs
// where there is no internet.
func TestIndexNamesOnlyOwnFiles(t *testing.T) {
	refs := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(index(t), -1)
	if len(refs) < 3 {
		t.Fatalf("index.html names %d files, want script, style and icon", len(refs))
	}
	for _, ref := range refs {
		name, local := strings.CutPrefix(ref[1], "/")
		if !local || strings.HasPrefix(name, "/") {
			t.Errorf("index.html refers to %q, want a path on this server", ref[1])
			continue
		}
		if _, err := fs.Stat(web.Dist, name); err != nil {
			t.Errorf("index.html refers to %q: %v", ref[1], err)
		}
	}
}

// The policy default-src 'self' forbids inline scripts, styles and data: URLs.
func TestIndexFitsContentSecurityPolicy(t *testing.T) {
	html := index(t)
	for _, pattern := range []string{`<script[^>]*>[^<]`, `<style`, `\sstyle=`, `\son[a-z]+=`, `data:`} {
		if found := regexp.MustCompile(pattern).FindString(html); found != "" {
			t.Errorf("index.html has %q, which default-src 'self' forbids", found)
		}
	}
	css, err := fs.ReadFile(web.Dist, "assets/portal.css")
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`@import|url\([^)]*\)`).Find(css); found != nil {
		t.Errorf("portal.css loads %q, want a style sheet that loads nothing", found)
	}
}

// 150 kB is what a phone on a weak link loads in about a second.
func TestFirstLoadBudget(t *testing.T) {
	const budget = 150_000
	total := 0
	err := fs.WalkDir(web.Dist, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == "licenses.md" {
			return err
		}
		data, err := fs.ReadFile(web.Dist, path)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(data); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		t.Logf("%s: %d bytes, %d packed", path, len(data), packed.Len())
		total += packed.Len()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if total > budget {
		t.Errorf("first load is %d bytes packed, want at most %d", total, budget)
	}
}
