package params

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

//go:embed pcs/*.yaml bms/*.yaml
var deviceFiles embed.FS

// shipped lists the sets of a folder whose names begin with prefix, sorted.
func shipped(folder, prefix string) []string {
	found, err := fs.Glob(deviceFiles, folder+"/"+prefix+"*.yaml")
	if err != nil {
		panic(err) // the pattern is ours
	}
	for i, f := range found {
		found[i] = strings.TrimSuffix(strings.TrimPrefix(f, folder+"/"), ".yaml")
	}
	return found
}

// set is what a file of a kind decodes into.
type set[T any] interface {
	*T
	Validate() error
}

// loadSet returns the set called name in a folder, if its name begins with prefix, or
// the one in the file at that path.
func loadSet[T any, S set[T]](what, folder, prefix, nameOrPath string) (S, error) {
	names := shipped(folder, prefix)
	var src []byte
	var err error
	if slices.Contains(names, nameOrPath) {
		src, err = deviceFiles.ReadFile(folder + "/" + nameOrPath + ".yaml")
	} else if src, err = os.ReadFile(nameOrPath); err != nil {
		err = fmt.Errorf("%w (sets that ship: %s)", err, strings.Join(names, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("load %s %s: %w", what, nameOrPath, err)
	}
	return parseSet[T, S](nameOrPath, src)
}

// parseSet decodes a set strictly; file is its name in messages.
func parseSet[T any, S set[T]](file string, src []byte) (S, error) {
	s := S(new(T))
	if err := decode(file, src, s); err != nil {
		return nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, locate(file, src, err)
	}
	return s, nil
}

// Header is what every set begins with.
type Header struct {
	APIVersion string `yaml:"apiVersion"` // yunchu/v1
	Kind       string `yaml:"kind"`
	Name       string `yaml:"name"`
	Source     string `yaml:"source"`
}

func (h *Header) validate(f *faults, kind string) {
	if h.APIVersion != "yunchu/v1" {
		f.add("apiVersion", "is %q, want yunchu/v1", h.APIVersion)
	}
	if h.Kind != kind {
		f.add("kind", "is %q, want %s", h.Kind, kind)
	}
	if h.Name == "" {
		f.add("name", "missing: give the set a name")
	}
	if h.Source == "" {
		f.add("source", "missing: say where the numbers come from")
	}
}

// fraction demands a number within 0..most.
func (f *faults) fraction(key string, v, most float64) {
	if !(v >= 0 && v <= most) {
		f.add(key, "is %g, want 0..%g", v, most)
	}
}

// atLeastZero demands a finite number not below zero.
func (f *faults) atLeastZero(key string, v float64) {
	if !notNegative(v) {
		f.add(key, "is %g, want 0 or more", v)
	}
}

// axis demands finite numbers that rise strictly, least of them or more.
func (f *faults) axis(key string, x []float64, least int) {
	if len(x) < least {
		f.add(key, "has %d entries, want at least %d", len(x), least)
	}
	for i, v := range x {
		if !anyNumber(v) || i > 0 && v <= x[i-1] {
			f.add(key, "entry %d is %g, want numbers that rise", i+1, v)
			return
		}
	}
}
