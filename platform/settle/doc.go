// Package settle says what was delivered and what it is worth: scores of regulation, bills,
// a ledger, and why two bills differ.
//
// The rules are data: files in YAML with a version, a source and how far each is verified.
// Those that ship lie in rules; whoever has another edition writes a file of the same form.
// What is here are functions of rules, readings and prices: no files, no clocks. Amounts
// are exact decimals until the one place where the rule says that they are rounded, and
// whole numbers of the smallest unit of the currency from there on.
package settle

import "errors"

// ErrNoData: there is nothing that a score could be made of.
var ErrNoData = errors.New("no data")
