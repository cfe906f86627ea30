package api_test

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"yunchu/platform/api/graph"
	"yunchu/platform/auth"
)

// roots are the root fields of the schema, as "Query.devices".
func roots(t *testing.T) map[string]*ast.FieldDefinition {
	t.Helper()
	schema := graph.NewExecutableSchema(graph.Config{}).Schema()
	list := map[string]*ast.FieldDefinition{}
	for _, def := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, f := range def.Fields {
			if !strings.HasPrefix(f.Name, "__") {
				list[def.Name+"."+f.Name] = f
			}
		}
	}
	return list
}

// TestGraphMatrix asks for every root field of the schema with every role, about its
// own device, a foreign one and one that does not exist, and compares with
// testdata/graphql.txt, where the answers were reviewed. A new root field without a
// probe or without @needs fails.
func TestGraphMatrix(t *testing.T) {
	if testing.Short() {
		t.Skip("one client asks one thing after the other, as in TestMatrix")
	}
	var got strings.Builder
	fmt.Fprintf(&got, "%-24s %-8s", "field", "device")
	roles := []string{"none"}
	for _, r := range auth.Roles {
		roles = append(roles, r.String())
	}
	for _, r := range roles {
		fmt.Fprintf(&got, " %-16s", r)
	}
	got.WriteByte('\n')
	list := roots(t)
	names := make([]string, 0, len(list))
	for name, f := range list {
		names = append(names, name)
		if f.Directives.ForName("needs") == nil {
			t.Errorf("%s has no @needs", name)
		}
	}
	slices.Sort(names)
	world := func() *world {
		w := newWorld(t).listen()
		w.sync("MINE", start)
		w.sync("FOREIGN", start)
		return w
	}
	reading := world()
	for _, name := range names {
		probe, ok := graphProbes[name]
		if !ok {
			t.Errorf("%s has no probe", name)
			continue
		}
		devices := []string{"-"}
		if strings.Contains(probe, "%s") {
			devices = []string{"MINE", "FOREIGN", "NOBODY"}
		}
		w := reading
		if strings.HasPrefix(name, "Mutation.") {
			w = world()
		}
		for _, id := range devices {
			fmt.Fprintf(&got, "%-24s %-8s", name, id)
			for _, role := range roles {
				fmt.Fprintf(&got, " %-16s", w.outcome(strings.TrimPrefix(role, "none"), strings.ReplaceAll(probe, "%s", id)))
			}
			got.WriteByte('\n')
		}
	}
	compare(t, "testdata/graphql.txt", trimmed(got.String()))
}

func trimmed(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// outcome is "ok", or the code that a role's query is refused with.
func (w *world) outcome(role, query string) string {
	w.t.Helper()
	if strings.HasPrefix(query, "subscription") {
		if role == "" {
			return fmt.Sprint(w.initClose(""))
		}
		c := w.openGraph(role)
		defer c.Close()
		c.subscribe("1", query)
		c.complete("1")
		for refused := ""; ; {
			switch m := c.next("1"); m.Type {
			case "complete":
				return cmp.Or(refused, "ok")
			case "error":
				return m.code(w.t)
			default:
				refused = cmp.Or(refused, m.code(w.t))
			}
		}
	}
	a := w.ask(role, query)
	if a.status != http.StatusOK {
		return fmt.Sprint(a.status)
	}
	return cmp.Or(a.code(), "ok")
}

// compare holds what was found to a file of the repository, which -update writes.
func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		var g, w string
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			t.Errorf("line %d\n got %s\nwant %s", i+1, g, w)
		}
	}
}

// TestGraphForeignDevices: nothing of a foreign device comes to a device's token.
func TestGraphForeignDevices(t *testing.T) {
	w := newWorld(t)
	w.sync("MINE", start)
	w.sync("FOREIGN", start)
	w.event("FOREIGN", "of foreign")
	w.event("", "of the plant")
	w.do("POST", "/api/v1/device/control", "operator", `{"deviceId":"FOREIGN","commandId":"g-1","command":"stop"}`).want(200, "SUCCESS")
	a := w.ask("device", `{
		devices(filter: {online: true}) { items { id latest { deviceId } } next }
		aggregates(by: kind) { devices online }
		events { description }
		commands { commandId }
	}`).ok()
	if strings.Contains(a.text, "FOREIGN") || strings.Contains(a.text, "foreign") || strings.Contains(a.text, "plant") || strings.Contains(a.text, "g-1") {
		t.Errorf("a device's token sees %s", a.text)
	}
	a.is("MINE", "devices", "items", 0, "id")
	a.is(1.0, "aggregates", 0, "devices")
}
