// Package billing reads what bills and scores of regulation are made of from files, and
// writes what they come to. The rules are those of platform/settle.
package billing

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"yunchu/harness/scenario"
	"yunchu/hil/strict"
	"yunchu/platform/settle"
)

// isFile tells a file of a rule from the name of one that ships.
func isFile(rule string) bool {
	return strings.HasSuffix(rule, ".yaml") || strings.HasSuffix(rule, ".yml") || strings.ContainsAny(rule, `/\`)
}

// Kinds of files.
const (
	ScoreKind = "ScoreRule"
	BillKind  = "BillRule"
)

// read reads a file of a rule, whose check says what else is wrong with it.
func read(path, want string, into any, kind *string, check func() []settle.Wrong) error {
	src, err := os.ReadFile(path)
	if err != nil {
		if reason, ok := errors.AsType[*os.PathError](err); ok {
			err = reason.Err
		}
		return scenario.Faults{{Path: path, Msg: err.Error()}}
	}
	f := strict.Read(path, src, into)
	if f.IsKind(*kind, want) && f.Formed() {
		for _, w := range check() {
			f.Wrong(w.Key, w.Hint, "%s", w.Msg)
		}
	}
	return f.Err()
}

// LoadScore reads a file of a rule for scores.
func LoadScore(path string) (*settle.Score, error) {
	var r settle.Score
	if err := read(path, ScoreKind, &r, &r.Kind, func() []settle.Wrong { return r.Check() }); err != nil {
		return nil, err
	}
	return &r, nil
}

// LoadTariff reads a file of a rule for bills.
func LoadTariff(path string) (*settle.Tariff, error) {
	t := settle.NewTariff()
	if err := read(path, BillKind, t, &t.Kind, func() []settle.Wrong { return t.Check() }); err != nil {
		return nil, err
	}
	return t, nil
}

// scoreRule is a rule that ships, or a file.
func scoreRule(name string) (*settle.Score, error) {
	if isFile(name) {
		return LoadScore(name)
	}
	return settle.ShippedScore(name)
}

// tariffs are the versions of a rule, each a file or one that ships.
func tariffs(names []string) (list []*settle.Tariff, err error) {
	for _, name := range names {
		find := settle.ShippedTariff
		if isFile(name) {
			find = LoadTariff
		}
		t, err := find(name)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	for _, t := range list[1:] {
		if a := list[0]; t.Step != a.Step || t.Zone != a.Zone || t.Currency != a.Currency || t.Rounding.Digits != a.Rounding.Digits || t.Needs() != a.Needs() {
			return nil, fmt.Errorf("versions %s and %s of a rule have the same interval, time zone, currency and coverage", a.Version, t.Version)
		}
	}
	return list, nil
}
