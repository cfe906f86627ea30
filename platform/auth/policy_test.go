package auth_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"yunchu/platform/auth"
	"yunchu/platform/device"
)

// table is who may do what; a device on its own device alone. It was the program's before
// there were policies, which must say the same.
var table = map[auth.Role]string{
	auth.Viewer:   "read system metrics",
	auth.Operator: "read control dispatch system metrics",
	auth.Engineer: "read control arming dispatch ingest register system metrics",
	auth.Admin:    "read control arming dispatch ingest register tokens users system metrics audit backup safety",
	auth.Auditor:  "read system metrics audit",
	auth.Device:   "read ingest",
}

// onDevices are the actions that are taken on devices.
var onDevices = []auth.Action{auth.Read, auth.Control, auth.Arming, auth.Ingest, auth.Register, auth.Safety}

// as is somebody with the role; a device is MINE.
func as(t testing.TB, a *auth.Authority, role auth.Role) *auth.Principal {
	t.Helper()
	g := auth.Grant{Role: role, Name: "of-" + role.String()}
	if role == auth.Device {
		g.Device = "MINE"
	}
	got, err := a.Issue(t.Context(), start, "test", g)
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Check(got.Secret, start)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPoliciesThatShipAreTheTable(t *testing.T) {
	a := open(t, &memory{}, auth.Options{})
	for _, role := range auth.Roles {
		p := as(t, a, role)
		for act := auth.Read; act <= auth.Safety; act++ {
			want := slices.Contains(strings.Fields(table[role]), act.String())
			on := slices.Contains(onDevices, act)
			whole := want && role != auth.Device
			if got := p.May(act); got != want {
				t.Errorf("%s may %s: %v, want %v", role, act, got, want)
			}
			if got := p.MayWhole(act); got != whole {
				t.Errorf("%s may %s the plant: %v, want %v", role, act, got, whole)
			}
			if got, want := p.MayOnAll(act), whole && on; got != want {
				t.Errorf("%s may %s every device: %v, want %v", role, act, got, want)
			}
			for _, id := range []device.ID{"MINE", "FOREIGN", "MINE"} {
				want := want && on && (role != auth.Device || id == "MINE")
				if got := p.MayOn(act, id); got != want {
					t.Errorf("%s may %s %s: %v, want %v", role, act, id, got, want)
				}
			}
			if got := slices.Contains(a.RolesThat(act), role); got != want {
				t.Errorf("%s is listed for %s: %v, want %v", role, act, got, want)
			}
		}
		beyond := auth.Safety + 1
		if p.May(beyond) || p.MayWhole(beyond) || p.MayOn(beyond, "MINE") || p.MayOnAll(beyond) {
			t.Errorf("%s may an action that does not exist", role)
		}
	}
}

func policies(t testing.TB, text string) *auth.Policies {
	t.Helper()
	p, err := auth.ParsePolicies("plant.cedar", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPoliciesOfTheOperator(t *testing.T) {
	a := open(t, &memory{}, auth.Options{Policies: policies(t, `
		forbid (principal in Role::"operator", action == Action::"control", resource == Device::"ess-9");
		forbid (principal, action == Action::"read", resource) when { resource.id like "secret-*" } unless { principal in Role::"admin" };
		permit (principal, action == Action::"control", resource) when { principal is Token && principal.name == "of-viewer" && resource.id like "lab-*" };
		permit (principal == Device::"MINE", action == Action::"read", resource == Device::"meter");
		forbid (principal in Role::"engineer", action == Action::"arming", resource is Device);
		forbid (principal in Role::"auditor", action == Action::"read", resource in Plant::"plant");
	`)})
	viewer, operator, engineer, admin, auditor, box := as(t, a, auth.Viewer), as(t, a, auth.Operator), as(t, a, auth.Engineer), as(t, a, auth.Admin), as(t, a, auth.Auditor), as(t, a, auth.Device)
	for _, tt := range []struct {
		name      string
		got, want bool
	}{
		{"operator ess-9", operator.MayOn(auth.Control, "ess-9"), false},
		{"operator ess-8", operator.MayOn(auth.Control, "ess-8"), true},
		{"operator all", operator.MayOnAll(auth.Control), false},
		{"operator some", operator.May(auth.Control), true},
		{"admin ess-9", admin.MayOn(auth.Control, "ess-9"), true},
		{"operator reads secret-1", operator.MayOn(auth.Read, "secret-1"), false},
		{"operator reads ess-9", operator.MayOn(auth.Read, "ess-9"), true},
		{"operator reads the plant", operator.MayWhole(auth.Read), true},
		{"admin reads secret-1", admin.MayOn(auth.Read, "secret-1"), true},
		{"admin reads all", admin.MayOnAll(auth.Read), true},
		{"viewer lab-1", viewer.MayOn(auth.Control, "lab-1"), true},
		{"viewer ess-1", viewer.MayOn(auth.Control, "ess-1"), false},
		{"viewer some", viewer.May(auth.Control), true},
		{"viewer all", viewer.MayOnAll(auth.Control), false},
		{"device its neighbour", box.MayOn(auth.Read, "meter"), true},
		{"device sends for it", box.MayOn(auth.Ingest, "meter"), false},
		{"device another", box.MayOn(auth.Read, "FOREIGN"), false},
		{"engineer arms", engineer.MayOn(auth.Arming, "ess-1"), false},
		{"engineer reads", engineer.MayOn(auth.Read, "ess-1"), true},
		{"auditor reads a device", auditor.MayOn(auth.Read, "ess-1"), false},
		{"auditor audits", auditor.May(auth.Audit), true},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	// Other policies hold from the next question on, also for who is there already.
	a.SetPolicies(policies(t, ""))
	if !operator.MayOn(auth.Control, "ess-9") || viewer.May(auth.Control) || box.MayOn(auth.Read, "meter") {
		t.Error("the old policies still hold")
	}
}

// TestScopesAreWhatEachDeviceSays: what is found without knowing the device agrees with
// what is decided for each.
func TestScopesAreWhatEachDeviceSays(t *testing.T) {
	scopes := []string{`resource`, `resource is Device`, `resource is Plant`, `resource == Device::"a"`, `resource == Plant::"plant"`, `resource in Plant::"plant"`, `resource is Device in Plant::"plant"`}
	conditions := []string{``, `when { resource.id == "b" }`, `unless { resource.id == "b" }`, `when { principal in Role::"viewer" }`, `when { principal in Role::"admin" }`}
	a := open(t, &memory{}, auth.Options{})
	viewer := as(t, a, auth.Viewer)
	checked := 0
	for _, permit := range scopes {
		for _, c1 := range conditions {
			for _, forbid := range append(scopes, "") {
				for _, c2 := range conditions {
					text := fmt.Sprintf(`permit (principal, action == Action::"control", %s) %s;`, permit, c1)
					if forbid != "" {
						text += fmt.Sprintf(`forbid (principal, action == Action::"control", %s) %s;`, forbid, c2)
					}
					a.SetPolicies(policies(t, text))
					may, all := false, true
					for _, id := range []device.ID{"a", "b", "c"} {
						ok := viewer.MayOn(auth.Control, id)
						may, all = may || ok, all && ok
					}
					if may && !viewer.May(auth.Control) {
						t.Errorf("%s: open for a device, and not at all", text)
					}
					if viewer.MayOnAll(auth.Control) && !all {
						t.Errorf("%s: open for all devices, and not for each", text)
					}
					checked++
				}
			}
		}
	}
	t.Logf("%d pairs of policies", checked)
}

func TestWrongPoliciesAreNamed(t *testing.T) {
	for _, tt := range []struct {
		text, want string
	}{
		{"permit (principal, action, resource)\nwhen { foo };", "plant.cedar:2:12: "},
		{"permit (principal", "plant.cedar:1:18: "},
		{"permit (principal, action, resource);\n \"x", "plant.cedar:2:2: "},
		{"\n\npermit (principal, action == Action::\"reed\", resource);", `plant.cedar:3:1: in this policy: unrecognized action`},
		{"permit (principal == Usr::\"a\", action, resource);", "plant.cedar:1:1: in this policy: unrecognized entity type"},
		{"permit (principal, action, resource) when { resource.soc > 5 };", "plant.cedar:1:1: in this policy: attribute `soc`"},
	} {
		_, err := auth.ParsePolicies("plant.cedar", []byte(tt.text))
		if _, ok := errors.AsType[*auth.PolicyError](err); !ok || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %s", tt.text, err, tt.want)
		}
	}
}

func FuzzParsePolicies(f *testing.F) {
	f.Add(auth.DefaultPolicies)
	f.Add(`forbid (principal, action == Action::"read", resource) when { resource.id like "a*" };`)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := auth.ParsePolicies("x", []byte(text)); err != nil {
			if _, ok := errors.AsType[*auth.PolicyError](err); !ok {
				t.Errorf("%T: %v", err, err)
			}
		}
	})
}

// TestPoliciesKnowPlaces: kind and site of a device count as they are now, for the device
// that is asked about and for the one that asks, and a device that nobody knows has none.
func TestPoliciesKnowPlaces(t *testing.T) {
	a := open(t, &memory{}, auth.Options{})
	places := map[device.ID]auth.Place{"a": {"modbus", "north"}, "b": {"modbus", "south"}, "MINE": {"push", "north"}}
	a.SetDevices(func(id device.ID) auth.Place { return places[id] })
	a.SetPolicies(policies(t, `
		forbid (principal in Role::"operator", action == Action::"control", resource is Device) unless { resource.site == "north" };
		forbid (principal, action == Action::"arming", resource) when { resource is Device && resource.kind == "modbus" };
		permit (principal in Role::"device", action == Action::"read", resource is Device)
			when { principal is Device && resource.site == principal.site };
	`))
	operator, engineer, mine := as(t, a, auth.Operator), as(t, a, auth.Engineer), as(t, a, auth.Device)
	ask := func(p *auth.Principal, act auth.Action, id device.ID, want bool) {
		t.Helper()
		for range 2 { // as found, and as kept
			if got := p.MayOn(act, id); got != want {
				t.Errorf("%s may %s %s: %v, want %v", p.Role, act, id, got, want)
			}
		}
	}
	ask(operator, auth.Control, "a", true)
	ask(operator, auth.Control, "b", false)
	ask(operator, auth.Control, "nobody", false)
	ask(engineer, auth.Control, "b", true)
	ask(engineer, auth.Arming, "a", false)
	ask(engineer, auth.Arming, "MINE", true)
	ask(mine, auth.Read, "a", true)
	ask(mine, auth.Read, "b", false)

	places["b"] = auth.Place{Kind: "modbus", Site: "north"}
	ask(operator, auth.Control, "b", true)
	places["b"] = auth.Place{Kind: "modbus", Site: "south"}
	ask(operator, auth.Control, "b", false)
	places["MINE"] = auth.Place{Kind: "push", Site: "south"}
	ask(mine, auth.Read, "a", false)
	ask(mine, auth.Read, "b", true)
}

func BenchmarkDecision(b *testing.B) {
	a := open(b, &memory{}, auth.Options{})
	for _, role := range []auth.Role{auth.Engineer, auth.Device} {
		p := as(b, a, role)
		b.Run(role.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !p.May(auth.Ingest) || !p.MayOn(auth.Ingest, "MINE") {
					b.Fatal("refused")
				}
			}
		})
	}
	b.Run("first", func(b *testing.B) {
		p, rules := as(b, a, auth.Device), []*auth.Policies{policies(b, ""), policies(b, "")}
		n := 0
		b.ReportAllocs()
		for b.Loop() {
			a.SetPolicies(rules[n%2])
			n++
			if !p.MayOn(auth.Ingest, "MINE") {
				b.Fatal("refused")
			}
		}
	})
}
