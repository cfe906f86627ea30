package scenario

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rules are what the tags of a field say about its value. The jsonschema tag is
// read twice, here and by the schema generator, so that the reader and the
// published schema cannot differ.
type rules struct {
	required bool
	min, max *float64
	open     bool // min itself is excluded
	timed    bool // min and max are written as durations
	enum     []string
	pattern  *regexp.Regexp
	preset   string // the default, as it would be written
	unit     string // of a series: kw, or empty
	hint     string // how the value is written
	noun     string // what a choice is called, where its key does not say it
	example  string // what "add: key: …" shows
}

// admits tells whether a number lies in the range.
func (r rules) admits(x float64) bool {
	switch {
	case r.min != nil && (x < *r.min || r.open && x == *r.min):
		return false
	case r.max != nil && x > *r.max:
		return false
	}
	return x == x
}

// num writes a number out, without an exponent.
func num(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// span says what the range is.
func (r rules) span() string {
	num := num
	if r.timed {
		num = func(x float64) string { return FormatDuration(time.Duration(x * float64(time.Second))) }
	}
	switch {
	case r.min != nil && r.max != nil && r.open:
		return fmt.Sprintf("it is more than %s and at most %s", num(*r.min), num(*r.max))
	case r.min != nil && r.max != nil:
		return fmt.Sprintf("it lies from %s to %s", num(*r.min), num(*r.max))
	case r.min != nil && r.open:
		return fmt.Sprintf("it is more than %s", num(*r.min))
	case r.min != nil:
		return fmt.Sprintf("it is at least %s", num(*r.min))
	case r.max != nil:
		return fmt.Sprintf("it is at most %s", num(*r.max))
	}
	return ""
}

// word is what a choice is called in a message: its noun, or the last part of
// its path.
func (r rules) word(at string) string {
	if r.noun != "" {
		return r.noun
	}
	at = at[strings.LastIndexByte(at, '.')+1:]
	if i := strings.IndexByte(at, '['); i >= 0 {
		at = at[:i]
	}
	return at
}

// field is one key of a struct.
type field struct {
	index []int
	typ   reflect.Type
	order int
	rules
}

// plan is the keys of a struct.
type plan map[string]field

// names are the keys in the order of the struct.
func (p plan) names() []string {
	names := make([]string, 0, len(p))
	for k := range p {
		names = append(names, k)
	}
	slices.SortFunc(names, func(a, b string) int { return p[a].order - p[b].order })
	return names
}

// plans remembers the plan of every struct seen; the first asked for is the
// root of the file.
type plans map[reflect.Type]plan

func (ps plans) of(t reflect.Type) plan {
	if p, ok := ps[t]; ok {
		return p
	}
	p := plan{}
	for _, f := range reflect.VisibleFields(t) {
		key, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" || key == "-" || opts == "inline" || !f.IsExported() {
			continue
		}
		p[key] = field{index: f.Index, typ: f.Type, order: len(p), rules: rulesOf(f.Tag)}
	}
	ps[t] = p
	return p
}

// parents finds where else in the file a key is known, for hints.
func (ps plans) parents(key string) []string {
	var found []string
	var walk func(t reflect.Type, at string, depth int)
	walk = func(t reflect.Type, at string, depth int) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || t == timeType || depth > 4 {
			return
		}
		p := ps.of(t)
		if _, ok := p[key]; ok && at != "" {
			found = append(found, at)
			return
		}
		for _, k := range p.names() {
			walk(p[k].typ, join(at, k), depth+1)
		}
	}
	for t := range ps {
		if reflect.PointerTo(t).Implements(rootType) {
			walk(t, "", 0)
		}
	}
	if len(found) > 3 {
		found = found[:3]
	}
	return found
}

// root marks the types that are whole files.
type root interface{ root() }

var rootType = reflect.TypeFor[root]()

// bound reads a bound written in a tag: a number, or a duration, in seconds. One that is
// neither is an error of ours.
func (r *rules) bound(text string) *float64 {
	if x, err := strconv.ParseFloat(text, 64); err == nil {
		return &x
	}
	d, err := ParseDuration(text)
	if err != nil {
		panic(fmt.Sprintf("scenario: bound %q: %v", text, err))
	}
	r.timed = true
	x := d.Seconds()
	return &x
}

func rulesOf(tag reflect.StructTag) rules {
	r := rules{unit: tag.Get("unit"), hint: tag.Get("hint"), noun: tag.Get("noun"), example: tag.Get("example")}
	const comma = "\x00" // stands for an escaped comma while the tag is split
	for item := range strings.SplitSeq(strings.ReplaceAll(tag.Get("jsonschema"), `\,`, comma), ",") {
		key, value, _ := strings.Cut(strings.ReplaceAll(item, comma, ","), "=")
		switch key {
		case "required":
			r.required = true
		case "minimum", "exclusiveMinimum":
			r.min, r.open = r.bound(value), key == "exclusiveMinimum"
		case "maximum":
			r.max = r.bound(value)
		case "enum":
			r.enum = append(r.enum, value)
		case "pattern":
			r.pattern = regexp.MustCompile(value)
		case "default":
			r.preset = value
		}
	}
	return r
}
