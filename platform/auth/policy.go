package auth

import (
	_ "embed" // the policies that ship
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"yunchu/platform/device"
)

// DefaultPolicies are the policies that hold for every plant.
//
//go:embed default.cedar
var DefaultPolicies string

// PolicySchema is what policies may speak of.
//
//go:embed schema.cedarschema
var PolicySchema string

// Policies decide who may do what: those that ship, and those of a file.
type Policies struct {
	set   *cedar.PolicySet
	added bool // some are of a file, and may ask for more than the id of a device
}

// PolicyError is a fault of a file of policies.
type PolicyError struct {
	File      string
	Line, Col int // from 1
	Text      string
}

// Error implements error.
func (e *PolicyError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Text)
}

var validator = sync.OnceValue(func() *validate.Validator {
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(PolicySchema)); err != nil {
		panic(err) // it is part of the program
	}
	r, err := s.Resolve()
	if err != nil {
		panic(err)
	}
	return validate.New(r)
})

// ParsePolicies reads policies in the language Cedar, to be added to those that ship. The
// error is a *PolicyError.
func ParsePolicies(file string, text []byte) (*Policies, error) {
	p := &Policies{set: cedar.NewPolicySet()}
	for _, f := range []struct {
		name string
		text []byte
	}{{"default.cedar", []byte(DefaultPolicies)}, {file, text}} {
		list, err := cedar.NewPolicyListFromBytes(f.name, f.text)
		if err != nil {
			return nil, parseError(f.name, err)
		}
		for i, policy := range list {
			id := f.name + "#" + strconv.Itoa(i)
			at := policy.Position()
			if err := validator().Policy(id, (*ast.Policy)(policy.AST())); err != nil {
				return nil, &PolicyError{f.name, at.Line, at.Column, "in this policy: " + plainly(id, err)}
			}
			p.set.Add(cedar.PolicyID(id), policy)
			p.added = p.added || f.name == file
		}
	}
	return p, nil
}

// plainly is an error of the validator without the name that it was given.
func plainly(id string, err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return strings.Replace(first, "for policy `"+id+"`, ", "", 1)
}

var parsePosition = regexp.MustCompile(`<input>:(\d+):(\d+):?\s*`)

// parseError finds the place in the text of the parser's error, which has it nowhere else.
func parseError(file string, err error) *PolicyError {
	text := err.Error()
	e := &PolicyError{File: file, Line: 1, Col: 1, Text: text}
	if m := parsePosition.FindStringSubmatchIndex(text); m != nil {
		e.Line, _ = strconv.Atoi(text[m[2]:m[3]]) // digits
		e.Col, _ = strconv.Atoi(text[m[4]:m[5]])
		e.Text = "this is no policy: " + text[m[1]:]
	}
	return e
}

// The entities of decisions.
const (
	typeRole   = types.EntityType("Role")
	typePlant  = types.EntityType("Plant")
	typeUser   = types.EntityType("User")
	typeToken  = types.EntityType("Token")
	typeDevice = types.EntityType("Device")
	typeAction = types.EntityType("Action")
)

var plantEntity = types.NewEntityUID(typePlant, "plant")

// Place is what policies may know of a device beside its id: its kind, and the name of its
// location. Both are empty for a device that is not known.
type Place struct{ Kind, Site string }

// SetDevices says where devices are found. It is called before the first decision is made.
func (a *Authority) SetDevices(find func(id device.ID) Place) { a.devices.Store(&find) }

// subject is a principal as policies see it.
type subject struct {
	uid     types.EntityUID
	role    types.EntityUID
	name    string
	devices *atomic.Pointer[func(id device.ID) Place]
}

// place finds a device, where policies may ask for more than its id.
func (s *subject) place(p *Policies, id device.ID) (out Place) {
	if find := s.devices.Load(); p.added && find != nil {
		out = (*find)(id)
	}
	return out
}

// entities are the principal, and what there is beside it. Where the device is that is
// asked about is known already: an answer must fit the question that it is kept for.
type entities struct {
	*subject
	policies *Policies
	known    types.EntityUID
	at       Place
}

// Get implements types.EntityGetter.
func (s entities) Get(uid types.EntityUID) (types.Entity, bool) {
	e := types.Entity{UID: uid}
	var parents []types.EntityUID
	if uid == s.uid {
		parents = append(parents, s.role)
	}
	switch uid.Type {
	case typeDevice:
		parents = append(parents, plantEntity)
		at := s.at
		if uid != s.known {
			at = s.place(s.policies, device.ID(uid.ID))
		}
		e.Attributes = types.NewRecord(types.RecordMap{"id": uid.ID, "kind": types.String(at.Kind), "site": types.String(at.Site)})
	case typePlant:
		e.Attributes = types.NewRecord(types.RecordMap{"id": uid.ID})
	case typeUser, typeToken:
		e.Attributes = types.NewRecord(types.RecordMap{"name": types.String(s.name)})
	}
	e.Parents = types.NewEntityUIDSet(parents...)
	return e, true
}

// scope is what holds for devices in general.
type scope uint8

const (
	never   scope = iota
	always        // for each device, whichever
	depends       // on the device
)

// Decisions of one principal under one set of policies.
type decisions struct {
	policies *Policies
	subject  *subject
	self     Place // of a device that is the principal
	plant    [actions]bool
	device   [actions]scope

	mu    sync.RWMutex
	known map[question]bool // bounded by remembered
}

type question struct {
	action Action
	device device.ID
	place  Place // people change it
}

func actionEntity(a Action) types.EntityUID {
	return types.NewEntityUID(typeAction, types.String(a.String()))
}

func decide(p *Policies, s *subject, self Place) *decisions {
	d := &decisions{policies: p, subject: s, self: self, known: map[question]bool{}}
	for a := range actions {
		d.plant[a] = d.ask(a, plantEntity, Place{})
		if a.onDevices() {
			d.device[a] = d.general(a)
		}
	}
	return d
}

func (d *decisions) ask(a Action, resource types.EntityUID, at Place) bool {
	e := entities{d.subject, d.policies, resource, at}
	ok, _ := cedar.Authorize(d.policies.set, e, cedar.Request{Principal: d.subject.uid, Action: actionEntity(a), Resource: resource})
	return ok == cedar.Allow
}

// general evaluates the policies as far as that goes without knowing the device.
func (d *decisions) general(a Action) scope {
	env := eval.Env{
		Principal: d.subject.uid, Action: actionEntity(a), Resource: eval.Variable("resource"), Context: types.Record{}, Entities: entities{d.subject, d.policies, d.subject.uid, d.self},
	}
	out, doubt := never, false
	for _, p := range d.policies.set.All() {
		rest, keep := eval.PartialPolicy(env, (*ast.Policy)(p.AST()))
		if !keep {
			continue
		}
		sure := len(rest.Conditions) == 0
		switch r := rest.Resource.(type) {
		case ast.ScopeTypeAll:
		case ast.ScopeTypeIs:
			if r.Type != typeDevice {
				continue
			}
		case ast.ScopeTypeEq:
			if r.Entity.Type != typeDevice {
				continue
			}
			sure = false
		case ast.ScopeTypeIn:
			sure = sure && r.Entity == plantEntity
		default:
			sure = false
		}
		switch {
		case p.Effect() == cedar.Forbid && sure:
			return never
		case p.Effect() == cedar.Forbid:
			doubt = true
		case sure:
			out = always
		case out == never:
			out = depends
		}
	}
	if out == always && doubt {
		return depends
	}
	return out
}

func (d *decisions) on(a Action, id device.ID) bool {
	if a >= actions {
		return false
	}
	switch d.device[a] {
	case never:
		return false
	case always:
		return true
	}
	q := question{a, id, d.subject.place(d.policies, id)}
	d.mu.RLock()
	ok, known := d.known[q]
	d.mu.RUnlock()
	if known {
		return ok
	}
	ok = d.ask(a, types.NewEntityUID(typeDevice, types.String(id)), q.place)
	d.mu.Lock()
	defer d.mu.Unlock()
	makeRoom(d.known, func(bool) bool { return false })
	d.known[q] = ok
	return ok
}

// judge has the decisions of a principal. It is shared by its copies.
type judge struct {
	policies *atomic.Pointer[Policies] // those that hold now
	subject  subject
	made     atomic.Pointer[decisions]
}

func (j *judge) decisions() *decisions {
	p := j.policies.Load()
	var self Place
	if j.subject.uid.Type == typeDevice {
		self = j.subject.place(p, device.ID(j.subject.uid.ID))
	}
	if d := j.made.Load(); d != nil && d.policies == p && d.self == self {
		return d
	}
	d := decide(p, &j.subject, self)
	j.made.Store(d)
	return d
}

// principal completes one with what decides for it.
func (a *Authority) principal(p Principal) *Principal {
	s := subject{role: types.NewEntityUID(typeRole, types.String(p.Role.String())), name: p.Name, devices: &a.devices}
	kind, name, _ := strings.Cut(p.Name, ":")
	switch {
	case p.Device != "":
		s.uid = types.NewEntityUID(typeDevice, types.String(p.Device))
	case kind == "oidc":
		s.uid, s.name = types.NewEntityUID(typeUser, types.String(p.Name)), name
	case kind == "user":
		s.uid, s.name = types.NewEntityUID(typeUser, types.String(name)), name
	default:
		s.uid, s.name = types.NewEntityUID(typeToken, types.String(p.Token)), name
	}
	p.judge = &judge{policies: &a.policies, subject: s}
	return &p
}

// SetPolicies replaces the policies; they hold from the next question on.
func (a *Authority) SetPolicies(p *Policies) { a.policies.Store(p) }

// Policies are those that decide for the principal now.
func (p *Principal) Policies() *Policies { return p.judge.policies.Load() }

// RolesThat lists the roles that may take the action, at least on what is their own,
// whoever has them.
func (a *Authority) RolesThat(act Action) (out []Role) {
	for _, r := range Roles {
		p := Principal{Name: "token:", Role: r}
		if r == Device {
			p.Device = "x"
		}
		if a.principal(p).May(act) {
			out = append(out, r)
		}
	}
	return out
}
