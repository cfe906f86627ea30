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

// read reads a file of a rule, whose check says what else is wrong with it.
func read(path string, into any, check func() []settle.Wrong) error {
	src, err := os.ReadFile(path)
	if err != nil {
		if reason, ok := errors.AsType[*os.PathError](err); ok {
			err = reason.Err
		}
		return scenario.Faults{{Path: path, Msg: err.Error()}}
	}
	f := strict.Read(path, src, into)
	if f.Formed() {
		for _, w := range check() {
			f.Wrong(w.Key, w.Hint, "%s", w.Msg)
		}
	}
	return f.Err()
}

// scoreRule is a rule that ships, or a file.
func scoreRule(name string) (*settle.Score, error) {
	if !isFile(name) {
		return settle.ShippedScore(name)
	}
	var r settle.Score
	if err := read(name, &r, func() []settle.Wrong { return r.Check() }); err != nil {
		return nil, err
	}
	return &r, nil
}

// tariffs are the versions of a rule, each a file or one that ships.
func tariffs(names []string) (list []*settle.Tariff, err error) {
	for _, name := range names {
		if !isFile(name) {
			t, err := settle.ShippedTariff(name)
			if err != nil {
				return nil, err
			}
			list = append(list, t)
			continue
		}
		var t settle.Tariff
		if err := read(name, &t, func() []settle.Wrong { return t.Check() }); err != nil {
			return nil, err
		}
		list = append(list, &t)
	}
	for _, t := range list[1:] {
		if a := list[0]; t.Step != a.Step || t.Zone != a.Zone || t.Currency != a.Currency || t.Rounding.Digits != a.Rounding.Digits {
			return nil, fmt.Errorf("versions %s and %s of a rule have the same interval, time zone and currency", a.Version, t.Version)
		}
	}
	return list, nil
}
