package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/introspection"
	"github.com/gorilla/websocket"

	"yunchu/platform/api"
	"yunchu/platform/device"
)

// TestGraphErrors: every refusal has a code of the REST interface, and tells nothing
// of the inside.
func TestGraphErrors(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.Plant.History = brokenHistory{} })
	known := map[string]bool{}
	for _, c := range api.Codes() {
		known[string(c)] = true
	}
	for query, code := range map[string]string{
		`{ devices {`: "MALFORMED_QUERY",
		`nonsense`:    "MALFORMED_QUERY",
		`{ nothing }`: "INVALID_QUERY",
		`{ devices }`: "INVALID_QUERY",
		`query($x: Int!) { devices(first: $x) { next } }`:       "INVALID_QUERY",
		`{ devices(first: 0) { next } }`:                        "INVALID_PARAMETER",
		`{ devices(first: -5) { next } }`:                       "INVALID_PARAMETER",
		`{ devices(after: "!") { next } }`:                      "INVALID_REQUEST",
		`{ device(id: "a b") { id } }`:                          "INVALID_PARAMETER",
		`{ device(id: "NOBODY") { id } }`:                       "UNKNOWN_DEVICE",
		`{ device(id: "MINE") { history { next } } }`:           "INTERNAL",
		`{ device(id: "FOREIGN") { history { next } } }`:        "INTERNAL", // it panics
		`{ fleet { nothing } }`:                                 "INVALID_QUERY",
		`subscription { fleet { lag } }`:                        "INVALID_REQUEST",
		`query a { fleet { time } } query b { fleet { time } }`: "INVALID_QUERY", // which of them?
	} {
		a := w.ask("viewer", query)
		if a.status != http.StatusOK || a.code() != code || !known[a.code()] {
			t.Errorf("%s is answered %d %s, want %s", query, a.status, a.text, code)
		}
		if strings.Contains(a.text, "secret") || strings.Contains(a.text, ".go") || strings.Contains(a.text, "runtime") {
			t.Errorf("%s tells of the inside: %s", query, a.text)
		}
		one := w.send("viewer", http.MethodPost, "/graphql", `{"query":`+quoted(query)+`}`, "Content-Type", "application/json", "Accept", "application/graphql-response+json")
		status := http.StatusOK // executed, if with errors
		if strings.HasSuffix(code, "_QUERY") {
			status = http.StatusBadRequest
		}
		if one.status != status || strings.Contains(one.text, `"data"`) != (status == http.StatusOK) {
			t.Errorf("%s is answered with status %d, want %d: %s", query, one.status, status, one.text)
		}
	}
	for _, c := range []struct {
		method, path, body, kind string
		status                   int
		code                     string
	}{
		{"POST", "/graphql", `{"query":`, "application/json", 400, "MALFORMED_JSON"},
		{"POST", "/graphql", `[{"query":"{fleet{time}}"}]`, "application/json", 400, "INVALID_TYPE"},
		{"POST", "/graphql", `{"query":7}`, "application/json", 400, "INVALID_TYPE"},
		{"POST", "/graphql", `{}`, "application/json", 400, "MISSING_FIELD"},
		{"POST", "/graphql", `{"query":"{fleet{time}}","variables":[]}`, "application/json", 400, "INVALID_TYPE"},
		{"POST", "/graphql", `{fleet{time}}`, "application/graphql", 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"POST", "/graphql", `{"query":"` + strings.Repeat(" ", 300<<10) + `"}`, "application/json", 413, "TOO_LARGE"},
		{"PUT", "/graphql", `{}`, "application/json", 405, "METHOD_NOT_ALLOWED"},
		{"GET", "/graphql", "", "", 400, "MISSING_FIELD"},
		{"GET", "/graphql?query=%7Bfleet%7Btime%7D%7D&variables=7", "", "", 400, "INVALID_TYPE"},
		{"GET", "/graphql?query=%7Bfleet%7Btime%7D%7D", "", "", 200, ""},
	} {
		w.do(c.method, c.path, "viewer", c.body, "Content-Type", c.kind).want(c.status, c.code)
	}
	w.do("POST", "/graphql", "", `{"query":"{__schema{types{name}}}"}`).want(401, "UNAUTHORIZED")
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestGraphLimits: what is beyond a limit is refused before it costs anything.
func TestGraphLimits(t *testing.T) {
	w := newWorld(t)
	bomb := `{ ...f0 }`
	for i := range 30 {
		bomb += fmt.Sprintf(" fragment f%d on Query { ...f%d ...f%d }", i, i+1, i+1)
	}
	bomb += ` fragment f30 on Query { fleet { time } }`
	for name, query := range map[string]string{
		"depth":               `{ devices { items { events ` + strings.Repeat(`{ a `, 30) + strings.Repeat(`}`, 30) + ` } } }`,
		"aliases":             `{ ` + aliases(31) + ` }`,
		"aliases in two":      `query a { ` + aliases(16) + ` } query b { ` + aliases(16) + ` }`,
		"first times limit":   `{ devices(first: 1000) { items { history(limit: 1000) { items { soc } } } } }`,
		"variables":           `query($n: Int!) { devices(first: $n) { items { events(first: $n) { eventId } } } }`,
		"defaults":            `{ devices { items { history { items { soc voltage } } } } }`,
		"mutations":           `mutation { ` + strings.Repeat(`setDispatch(input: {enabled: false, strategy: "cost"}) { enabled } `, 1) + mutations(11) + `}`,
		"fragment cycle":      `{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }`,
		"doubling":            bomb,
		"tokens":              `{ fleet { ` + strings.Repeat(`time `, 5000) + `} }`,
		"fields":              `{ fleet { ` + strings.Repeat(`time `, 1001) + `} }`,
		"operations":          `{ fleet { time } }` + strings.Repeat(` query x { fleet { time } }`, 11),
		"introspection":       `{ __schema { types ` + strings.Repeat(`{ ofType `, 30) + `{ name }` + strings.Repeat(`}`, 30) + ` } }`,
		"introspection lists": `{ __schema { types { fields { type { fields { type { possibleTypes { name } } } } } } } }`,
	} {
		began := time.Now()
		a := w.ask("viewer", query, "n", 1000)
		if name == "mutations" {
			a = w.ask("admin", query)
		}
		if code := a.code(); code != "QUERY_LIMIT" && (name != "introspection lists" || code != "INVALID_QUERY") {
			t.Errorf("%s is answered %.300s", name, a.text)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
	// What people and tools ask for passes.
	for _, query := range []string{
		introspection.Query,
		`{ devices(first: 1000) { items { id state online latest { timestamp soc power quality flags } } next } }`,
		`{ device(id: "MINE") { history(limit: 10000) { items { timestamp soc voltage current power temperature status } } } }`,
		`mutation { ` + mutations(9) + `}`,
	} {
		role := "viewer"
		if strings.HasPrefix(query, "mutation") {
			role = "operator"
		}
		w.ask(role, query).ok()
	}
}

func aliases(n int) (text string) {
	for i := range n {
		text += fmt.Sprintf("a%d: fleet { time } ", i)
	}
	return text
}

func mutations(n int) (text string) {
	for i := range n {
		text += fmt.Sprintf(`a%d: control(input: {deviceId: "MINE", commandId: "m-%d", command: stop}) { __typename } `, i, i)
	}
	return text
}

// TestGraphSubscriptionNames: clients that speak no graphql-transport-ws are refused
// before the upgrade.
func TestGraphSubscriptionNames(t *testing.T) {
	w := newWorld(t).listen()
	d := websocket.Dialer{Subprotocols: []string{"graphql-ws"}}
	_, res, err := d.DialContext(t.Context(), strings.Replace(w.http.URL, "http", "ws", 1)+"/graphql", http.Header{"Authorization": {"Bearer " + w.tokens["viewer"]}})
	if err == nil || res == nil || res.StatusCode != http.StatusBadRequest {
		t.Fatalf("the old protocol: %v", err)
	}
	res.Body.Close()
}

// TestGraphDocumentation runs the examples of docs/api.md.
func TestGraphDocumentation(t *testing.T) {
	doc, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t).listen()
	if _, err := w.Register(t.Context(), device.Info{ID: "HT_ESS_001", Kind: "sim", RatedKW: 100}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, block := range regexp.MustCompile("(?s)```graphql\n(.*?)```").FindAllSubmatch(doc, -1) {
		n++
		query := string(block[1])
		if got := w.outcome("engineer", query); got != "ok" {
			t.Errorf("%s is answered %s", query, got)
		}
	}
	if n < 8 {
		t.Errorf("only %d examples were found", n)
	}
	curl := regexp.MustCompile(`-d '({"query":.*})'`).FindSubmatch(doc)
	if curl == nil {
		t.Fatal("there is no example for curl")
	}
	w.send("viewer", http.MethodPost, "/graphql", string(curl[1]), "Content-Type", "application/json").ok()
}
