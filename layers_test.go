package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layer says what a package may import of ours, and why no more. The longest
// prefix rules; a folder may always reach itself and what lies in it.
type layer struct {
	path, may, why string
}

var layers = []layer{
	{"platform/device", "", "the vocabulary is what everybody shares, so it can depend on nobody"},
	{"platform/sched", "", "time has no knowledge of what happens in it"},
	{"platform/durable", "", "a file is bytes, whoever writes it"},
	{"platform/bus", "platform/device platform/sched platform/durable", "a bus carries frames and knows nothing of what they mean"},
	{"platform/guard", "platform/device", "the envelope is judged on commands and readings alone, where nothing can talk past it"},
	{"platform/ingest", "platform/device", "a check is a pure function of readings"},
	{"platform/gateway", "platform/device platform/bus platform/sched platform/guard platform/ingest", "the only way between bus and devices; it decides nothing about the fleet"},
	{"platform/store", "platform/device platform/bus platform/durable", "a store is a view of the log"},
	{"platform/store/postgres", "platform/device platform/store/series", "the history in somebody else's database: it answers as series does, and is handed the log that it is a view of"},
	{"platform/fleet/image", "platform/device", "the process image is a value"},
	{"platform/fleet", "platform/device platform/bus platform/store platform/fleet/image", "the image is kept from the log and from nothing else"},
	{"platform/dispatch/alloc", "", "an optimiser knows numbers"},
	{"platform/dispatch", "platform/device platform/fleet/image platform/dispatch/alloc", "a decision is a pure function of image and target"},
	{"platform/market/spread", "", "work is shared, whatever it is"},
	{"platform/market/lp", "platform/market/spread", "an optimiser knows numbers"},
	{"platform/market/fleet", "platform/market/spread !platform/market/lp", "stores that share limits are numbers"},
	{"platform/market/plan/worth", "platform/market/plan", "what a plan comes to is told in one form, whoever asks"},
	{"platform/market/plan/sites", "platform/market/plan", "what people say of sites becomes what is planned, whoever says it"},
	{"platform/market/plan", "platform/market/lp platform/market/fleet platform/market/spread platform/plural", "a plan is a program of numbers; it knows neither devices nor files"},
	{"platform/market", "platform/device platform/market/lp", "what an offer is worth is a function of prices and of the battery"},
	{"platform/market/order", "", "orders, awards and the rules of a market are what everybody who trades shares"},
	{"platform/market/auction", "platform/market/order", "a market clears what it is given; it knows no battery"},
	{"platform/market/book", "platform/market/order", "a book matches what comes in, whoever sends it"},
	{"platform/market/delivery", "platform/market/order", "a schedule follows from awards alone"},
	{"platform/market/risk", "platform/market/order", "a limit judges orders, whoever thought of them"},
	{"platform/market/bid", "platform/market platform/market/order platform/market/auction platform/market/risk !platform/market/lp", "a bid is a function of a plan or a forecast; a past is traded again on the simulated market"},
	{"platform/exchange", "platform/market/order platform/market/auction platform/durable", "the way to a market: orders and awards cross it, whoever bids and whatever for"},
	{"platform/settle", "platform/device platform/plural", "a bill is a function of rules, readings and prices"},
	{"platform/forecast", "platform/device", "a forecast is a function of what came before; it knows no file and no clock"},
	{"platform/plural", "", "words know nothing of what they are of"},
	{"platform/promql", "", "a query is text, and samples come from a source"},
	{"platform/sample", "platform/device platform/store platform/promql", "what a reading is to those who know named series"},
	{"platform/edge", "platform/device platform/bus platform/durable", "a site and its plant speak of logs and histories, and know no other part of either"},
	{"platform/export", "platform/device platform/store", "a file of readings, whoever asks for it"},
	{"platform/ops", "platform/device platform/bus platform/store platform/durable", "a data folder is its log and its views, whoever runs on it"},
	{"platform/audit", "platform/device platform/bus platform/durable", "the audit is a view of the log; what it says depends on nothing else"},
	{"platform/remotewrite", "platform/device platform/bus platform/durable platform/promql platform/sample", "it reads the log and sends; nothing of the plant waits for it"},
	{"platform/auth", "platform/device platform/store platform/durable", "who may do what does not depend on how they ask"},
	{"platform/api/graph", "platform/device", "schema, limits and generated code; what the fields are read from is the API's business"},
	{"platform/api", "platform", "the listeners sit on top of the plant's parts"},
	{"platform", "platform", "production knows neither twins nor field protocols nor the harness"},
	{"twin/cell", "", "one physical effect, a pure step function"},
	{"twin/thermal", "", "one physical effect, a pure step function"},
	{"twin/pcs", "", "one physical effect, a pure step function"},
	{"twin/aging", "", "one physical effect, a pure step function"},
	{"twin/runaway", "", "one physical effect, a pure step function"},
	{"twin/bms", "", "a battery management system sees measurements, not models"},
	{"twin/kernel", "twin/cell", "the cell's equations for many cells at once"},
	{"twin/params", "", "parameters are data"},
	{"twin/celltype", "twin/cell twin/params", "the one place where a parameter set becomes a model"},
	{"twin/estimate", "twin/cell twin/celltype twin/params", "a filter knows the model of a cell and what was measured"},
	{"twin/fit", "twin/cell twin/celltype twin/params", "a fit knows the model of a cell and what was measured"},
	{"twin", "twin", "a twin does not know how it is reached"},
	{"hil/sim", "twin platform/device", "a twin as a driver, and nothing else"},
	{"hil/unit", "twin", "the panel of a served unit: what all of its faces share, and no protocol"},
	{"hil/pty", "", "a serial line without a cable carries bytes, whatever they mean"},
	{"hil/strict", "", "files become structs, whatever they say"},
	{"hil/modbus", "platform/device hil/strict", "the driver of one protocol; it does not know that emulators exist"},
	{"hil/sunspec", "platform/device hil/modbus !hil/modbus/emul", "SunSpec is registers with a meaning"},
	{"hil/can", "platform/device hil/strict", "the driver of one protocol; it does not know that emulators exist"},
	{"hil/mqtt", "platform/device", "the driver of one protocol; it does not know that emulators exist"},
	{"hil/record", "platform/device", "what crossed a link, whatever it means"},
	{"hil/modbus/emul", "hil/modbus hil/pty hil/strict hil/unit twin platform/device", "it answers one protocol, the physics behind it"},
	{"hil/sunspec/emul", "hil/sunspec hil/modbus hil/unit twin platform/device", "it answers one protocol, the physics behind it"},
	{"hil/can/emul", "hil/can hil/pty hil/unit twin platform/device", "it answers one protocol, the physics behind it"},
	{"hil/mqtt/emul", "hil/mqtt hil/unit twin platform/device", "it answers one protocol, the physics behind it"},
	{"hil", "hil/modbus hil/sunspec hil/can hil/mqtt hil/record platform/device !hil/sim !hil/unit !hil/modbus/emul !hil/sunspec/emul !hil/can/emul !hil/mqtt/emul", "kind and address become a driver"},
	{"harness/shadow", "twin platform/device platform/bus platform/sched", "a twin beside a device: it reads the bus and answers with events, and steers nothing"},
	{"harness/plot", "", "curves become a picture; what they mean is the caller's"},
	{"harness/simworld", "harness twin hil platform/device platform/bus scenarios", "the only door for twins; shadows and managements speak on the bus"},
	{"platform/api/mqtt", "platform/api platform/auth platform/bus platform/device", "a listener of the API for another protocol; what drives its devices is handed in"},
	{"harness", "harness platform hil scenarios !twin !hil/sim !hil/unit !hil/modbus/emul !hil/sunspec/emul !hil/can/emul !hil/mqtt/emul !harness/simworld", "the engine plays scenarios on devices, whatever answers"},
	{"scenarios", "", "files"},
	{"web", "", "files"},
	{"deploy", "", "files, and the program that writes them"},
	{"bench", "*", "measures everything"},
	{"", "*", "puts everything together"},
}

func TestLayers(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := ours(fields[0])
		l := rule(pkg)
		for _, path := range fields[1:] {
			if path != "yunchu" && !strings.HasPrefix(path, "yunchu/") {
				continue
			}
			seen++
			if !l.allows(pkg, ours(path)) {
				t.Errorf("%s imports %s, but may only import [%s]: %s", fields[0], path, l.may, l.why)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d imports of ours found: the test looks at the wrong tree", seen)
	}
}

// TestLayersCatch proves that the table would notice.
func TestLayersCatch(t *testing.T) {
	for _, tt := range []struct{ from, to string }{
		{"platform/device", "platform/sched"},
		{"platform/dispatch", "platform/fleet"},
		{"platform/gateway", "twin"},
		{"twin/cell", "twin/params"},
		{"twin/kernel", "twin/params"},
		{"twin/bms", "twin"},
		{"harness/shadow", "harness/run"},
		{"twin", "platform/device"},
		{"harness/run", "twin"},
		{"harness/run", "harness/simworld"},
		{"harness/fault", "hil/sim"},
		{"web", "platform/device"},
		{"platform/guard", "platform/bus"},
		{"hil/sunspec", "hil/modbus/emul"},
		{"hil/modbus", "hil/modbus/emul"},
		{"hil/can", "hil/modbus"},
		{"hil", "hil/unit"},
		{"hil/unit", "platform/device"},
		{"harness/accept", "hil/can/emul"},
		{"platform/gateway", "hil"},
		{"platform/api/graph", "platform/api"},
		{"platform/gateway", "platform/api/graph"},
		{"platform/api/mqtt", "hil/mqtt"},
	} {
		if rule(tt.from).allows(tt.from, tt.to) {
			t.Errorf("%s may import %s, and must not", tt.from, tt.to)
		}
	}
}

// TestProductionHasNoTwins proves from the import graph that a production build
// links no physics and no simulated driver. Parameter files are data.
func TestProductionHasNoTwins(t *testing.T) {
	deps := func(tags string) []string {
		out, err := exec.Command("go", "list", "-tags", tags, "-deps", ".").Output()
		if err != nil {
			t.Fatalf("go list -deps: %v", err)
		}
		return strings.Fields(string(out))
	}
	twins := func(list []string) (found []string) {
		for _, d := range list {
			p := ours(d)
			if !strings.HasPrefix(d, "yunchu/") || p == "twin/params" {
				continue
			}
			if within(p, "twin") || within(p, "hil/sim") || within(p, "harness/simworld") || within(p, "hil/unit") || strings.HasSuffix(p, "/emul") {
				found = append(found, p)
			}
		}
		return found
	}
	if found := twins(deps("nosim")); len(found) > 0 {
		t.Errorf("a build with -tags nosim links %v", found)
	}
	if found := twins(deps("")); !slices.Contains(found, "twin") {
		t.Errorf("a build without tags links %v: the test looks at the wrong thing", found)
	}
}

func ours(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, "yunchu"), "/") }

func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

func rule(pkg string) layer {
	best := layers[len(layers)-1]
	for _, l := range layers {
		if l.path != "" && within(pkg, l.path) && len(l.path) >= len(best.path) {
			best = l
		}
	}
	return best
}

func (l layer) allows(from, to string) bool {
	ok := l.path != "" && within(to, l.path) && !crosses(l, to)
	for m := range strings.FieldsSeq(l.may) {
		if deny, found := strings.CutPrefix(m, "!"); found {
			if within(to, deny) {
				return false
			}
			continue
		}
		if m == "*" || within(to, m) {
			ok = true
		}
	}
	return ok
}

// crosses reports whether to has a rule of its own, below l's folder: such a room
// is entered only by those whose rule names it.
func crosses(l layer, to string) bool { return rule(to).path != l.path }
