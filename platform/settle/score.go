package settle

import (
	"embed"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// Score is a rule by which regulation is scored, as its file says it.
type Score struct {
	APIVersion string `yaml:"apiVersion" json:"-" jsonschema:"enum=yunchu/v1"` // yunchu/v1, or left out
	Kind       string `yaml:"kind" json:"-" jsonschema:"enum=ScoreRule"`       // ScoreRule, or left out

	Name     string   `yaml:"name" json:"name" jsonschema:"required"`
	Title    string   `yaml:"title" json:"title"`
	Version  string   `yaml:"version" json:"version"` // date of the edition, 2025-10-24
	Source   string   `yaml:"source" json:"source"`
	Standing string   `yaml:"standing" json:"standing" jsonschema:"enum=verified,enum=secondary,enum=unverified"` // verified, secondary or unverified
	Doubts   []string `yaml:"doubts" json:"doubts,omitempty"`

	// Aggregation is how terms become the index: weighted is Σ weight·term, product is their
	// product, product-log the same, of which fees take ln K + 1. pjm is the score of PJM
	// Manual 12, which has no terms to choose.
	Aggregation string   `yaml:"aggregation" json:"aggregation" jsonschema:"required,enum=weighted,enum=product,enum=product-log,enum=pjm"`
	Terms       []Term   `yaml:"terms" json:"terms,omitempty"`
	Counting    Counting `yaml:"counting" json:"counting"`
	Admission   float64  `yaml:"admission" json:"admission,omitempty"`           // least index, or score, to take part
	Earns       float64  `yaml:"earns_from" json:"earns_from,omitempty"`         // an hour with a lower score earns nothing
	Digits      int      `yaml:"index_digits" json:"index_digits,omitempty"`     // the index of a period is rounded to this, half away from 0
	MostIndex   float64  `yaml:"fee_index_most" json:"fee_index_most,omitempty"` // what a fee takes of an index at most; 0: all of it
	Price       Price    `yaml:"price" json:"price"`
}

// Term is one of an index.
type Term struct {
	Name     string  `yaml:"name" json:"name"`
	Of       string  `yaml:"of" json:"of" jsonschema:"required,enum=rate,enum=delay,enum=error"`                        // rate (% of rated power a minute), delay (s) or error (% of rated power)
	Form     string  `yaml:"form" json:"form" jsonschema:"required,enum=ratio,enum=shortfall,enum=inverse,enum=excess"` // see forms
	Standard float64 `yaml:"standard" json:"standard"`                                                                  // what it is measured against, in the unit of Of
	Weight   float64 `yaml:"weight" json:"weight,omitempty"`
	Least    float64 `yaml:"least" json:"least"`
	Most     float64 `yaml:"most" json:"most,omitempty"` // 0: no cap
	// Beyond is a rate from which on another one is scored than it would be.
	Beyond *Beyond `yaml:"beyond" json:"beyond,omitempty"`
}

// Beyond is a rate that is too much of a good thing.
type Beyond struct {
	MW     float64 `yaml:"mw_per_min" json:"mw_per_min"` // above this
	Scores float64 `yaml:"scores" json:"scores"`
}

// Price is what offers may say, and the price where there is no offer.
type Price struct {
	Currency string  `yaml:"currency" json:"currency,omitempty"`
	Per      string  `yaml:"per" json:"per,omitempty"`
	Least    float64 `yaml:"least" json:"least,omitempty"`
	Most     float64 `yaml:"most" json:"most,omitempty"`
	Fixed    float64 `yaml:"fixed" json:"fixed,omitempty"`
}

// forms of a term: x is what was measured, s the standard.
var forms = map[string]func(x, s float64) float64{
	"ratio":     func(x, s float64) float64 { return x / s },
	"shortfall": func(x, s float64) float64 { return 1 - x/s },
	"inverse": func(x, s float64) float64 { // the faster, the nearer to 2
		if x <= 0 {
			return math.Inf(-1)
		}
		return 2 - s/x
	},
	"excess": func(x, s float64) float64 { return 2 - x/s },
}

// apiVersion is that of all files.
const apiVersion = "yunchu/v1"

//go:embed rules
var ruleFiles embed.FS

// RuleText is the file of a rule that ships, of either kind.
func RuleText(name string) ([]byte, error) {
	for _, kind := range []string{"score", "bill"} {
		if src, err := ruleFiles.ReadFile(path.Join("rules", kind, name+".yaml")); err == nil {
			return src, nil
		}
	}
	return nil, fmt.Errorf("there is no rule %q: there are %s", name, strings.Join(append(ScoreNames(), TariffNames()...), ", "))
}

// ScoreNames are the rules for scores that ship.
func ScoreNames() (names []string) {
	files, err := ruleFiles.ReadDir("rules/score")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// ShippedScore is one of [ScoreNames].
func ShippedScore(name string) (*Score, error) {
	src, err := ruleFiles.ReadFile(path.Join("rules/score", name+".yaml"))
	if err != nil {
		return nil, fmt.Errorf("there is no rule %q: there are %s", name, strings.Join(ScoreNames(), ", "))
	}
	s, err := ParseScore(src)
	if err != nil {
		panic(name + ": " + err.Error())
	}
	return s, nil
}

// decode reads a rule. It has no aliases, which would let a short text become a long one.
func decode(src []byte, into any) error {
	for _, t := range lexer.Tokenize(string(src)) {
		if t.Type == token.AliasType || t.Type == token.AnchorType {
			return fmt.Errorf("line %d has an alias or an anchor", t.Position.Line)
		}
	}
	return yaml.UnmarshalWithOptions(src, into, yaml.Strict())
}

// ParseScore reads the text of a rule. The error is of its form, or says the first thing that is
// wrong with it.
func ParseScore(src []byte) (*Score, error) {
	var s Score
	if err := decode(src, &s); err != nil {
		return nil, fmt.Errorf("a rule for scores: %w", err)
	}
	if wrong := s.Check(); len(wrong) > 0 {
		return nil, fmt.Errorf("%s: %s", wrong[0].Key, wrong[0].Msg)
	}
	return &s, nil
}

// The rules by which scenarios and acceptance tests score. They count the same commands.
var (
	Hunan      = mustShip("hunan")
	NorthChina = mustShip("north-china")
)

func mustShip(name string) *Score {
	s, err := ShippedScore(name)
	if err != nil {
		panic(err)
	}
	return s
}

// Wrong is something that a rule cannot mean, and the key of its file that says so.
type Wrong struct{ Key, Msg, Hint string }

// Check tells all that is wrong with a rule.
func (r *Score) Check() (list []Wrong) {
	wrong := func(key, hint, format string, args ...any) {
		list = append(list, Wrong{key, fmt.Sprintf(format, args...), hint})
	}
	if r.APIVersion != "" && r.APIVersion != apiVersion {
		wrong("apiVersion", "write "+apiVersion, "%q is no version of files", r.APIVersion)
	}
	if r.Name == "" {
		wrong("name", "", "the rule has no name")
	}
	switch r.Standing {
	case "verified", "secondary", "unverified":
	default:
		wrong("standing", "one of verified, secondary, unverified", "%q is no standing", r.Standing)
	}
	switch r.Aggregation {
	case "pjm":
		return list
	case "weighted", "product", "product-log":
	default:
		wrong("aggregation", "one of weighted, product, product-log, pjm", "%q is no aggregation", r.Aggregation)
	}
	if len(r.Terms) == 0 {
		wrong("terms", "", "an index has at least one term")
	}
	for i, t := range r.Terms {
		at := func(key string) string { return fmt.Sprintf("terms[%d].%s", i, key) }
		if forms[t.Form] == nil {
			wrong(at("form"), "one of ratio, shortfall, inverse, excess", "%q is no form", t.Form)
		}
		if !slices.Contains([]string{"rate", "delay", "error"}, t.Of) {
			wrong(at("of"), "one of rate, delay, error", "%q is not measured", t.Of)
		}
		if !(t.Standard > 0) {
			wrong(at("standard"), "", "a standard is above 0")
		}
		if t.Most != 0 && t.Most < t.Least {
			wrong(at("most"), "", "%g is below the least, %g", t.Most, t.Least)
		}
	}
	return list
}

// Parts are the terms of one adjustment.
func (r *Score) Parts(a Adjustment) []float64 {
	out := make([]float64, len(r.Terms))
	for i := range r.Terms {
		out[i] = r.Terms[i].score(a)
	}
	return out
}

func (t *Term) score(a Adjustment) float64 {
	x := a.Rate
	switch t.Of {
	case "delay":
		x = a.Delay
	case "error":
		x = a.Error
	}
	// What rounding adds to a rate that is just as much does not count.
	if t.Beyond != nil && t.Of == "rate" && a.RateKW > 1000*t.Beyond.MW*(1+1e-6) {
		return t.Beyond.Scores
	}
	y := max(forms[t.Form](x, t.Standard), t.Least)
	if t.Most > 0 {
		y = min(y, t.Most)
	}
	return y
}

// K is the index of one adjustment.
func (r *Score) K(a Adjustment) float64 {
	sum, product := 0.0, 1.0
	for i := range r.Terms {
		p := r.Terms[i].score(a)
		sum += r.Terms[i].Weight * p
		product *= p
	}
	if r.Aggregation == "weighted" {
		return sum
	}
	return product
}

// Settled is the index of a period as fees take it: rounded, and not beyond its cap.
func (r *Score) Settled(k float64) float64 {
	if r.Digits > 0 {
		f := math.Pow10(r.Digits)
		k = math.Round(k*f) / f
	}
	if r.MostIndex > 0 {
		k = min(k, r.MostIndex)
	}
	return k
}

// Mileage is regulation done in one period.
type Mileage struct {
	MW    float64 // Σ of how far it was moved
	Price float64 // a MW
	Index float64 // of the period
}

// Fee is what regulation earns, in the currency of the rule: share · Σ mileage · price ·
// index, where share is the part of an award that was meant for regulation; by product-log
// it is Σ mileage · price · (ln index + 1), and nothing where that is below 0.
func (r *Score) Fee(share float64, periods []Mileage) float64 {
	sum := 0.0
	for _, p := range periods {
		worth := r.Settled(p.Index)
		if r.Aggregation == "product-log" {
			worth = max(0, math.Log(worth)+1)
		}
		sum += p.MW * p.Price * worth
	}
	return share * sum
}

// Credit is what one hour of regulation earns by PJM Manual 28: for capability, and for
// performance with the ratio of the mileage of its signal to that of the traditional one.
// mwh is the regulation of the hour. An hour with too low a score earns nothing.
func (r *Score) Credit(mwh, score, rmccp, rmpcp, ratio float64) (capability, performance float64) {
	if score < r.Earns {
		return 0, 0
	}
	return mwh * score * rmccp, mwh * score * ratio * rmpcp
}

// SignalMileage is how far a signal travels: Σ|s(i+1) − s(i)|.
func SignalMileage(signal []float64) (sum float64) {
	for i := 1; i < len(signal); i++ {
		sum += math.Abs(signal[i] - signal[i-1])
	}
	return sum
}
