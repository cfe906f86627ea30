package main

import (
	"strings"

	"yunchu/harness/scenario"
	"yunchu/hil/strict"
	"yunchu/twin/params"
)

// faultsOf is err in the form that shows where in a file something is wrong: its line, a
// caret and what to write. It is false for an error that has no place in a file.
func faultsOf(err error) (scenario.Faults, bool) {
	switch e := err.(type) { //nolint:errorlint // it takes the tree apart itself
	case scenario.Faults:
		return e, true
	case strict.Faults:
		var all scenario.Faults
		for _, f := range e {
			all = append(all, scenario.Fault(f))
		}
		return all, len(all) > 0
	case *params.Fault:
		return scenario.Faults{shown(e)}, e.Line > 0
	case interface{ Unwrap() []error }:
		var all scenario.Faults
		for _, part := range e.Unwrap() {
			faults, ok := faultsOf(part)
			if !ok {
				return nil, false
			}
			all = append(all, faults...)
		}
		return all, len(all) > 0
	case interface{ Unwrap() error }:
		return faultsOf(e.Unwrap())
	}
	return nil, false
}

// shown is a fault of a parameter file: what it wants is the hint.
func shown(f *params.Fault) scenario.Fault {
	msg, want, _ := strings.Cut(f.Msg, ", want ")
	if want != "" {
		want = "want " + want
	}
	if f.Known != nil {
		want = scenario.Suggest(strings.Trim(msg[strings.IndexByte(msg, '"'):], `"`), f.Known)
	}
	if f.Key != "" {
		msg = f.Key + ": " + msg
	}
	return scenario.Fault{Path: f.File, Line: f.Line, Col: f.Col, Msg: msg, Source: f.Source, Hint: want}
}
