package scenario

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"yunchu/platform/auth"
)

// Access is who gets in beside those that the API has made.
type Access struct {
	Users    []AccessUser `yaml:"users,omitempty" doc:"Users with a password; the API cannot change them."`
	Policies string       `yaml:"policies,omitempty" doc:"Path of policies in Cedar that are added to those that ship."`

	Rules *auth.Policies `yaml:"-"` // what Policies holds; nil without
}

// AccessUser is a user of a configuration.
type AccessUser struct {
	Name string `yaml:"name" jsonschema:"required,pattern=^[A-Za-z0-9_.@-]+$" hint:"letters, digits and . _ - @" doc:"Its name."`
	Role string `yaml:"role" jsonschema:"required,enum=viewer,enum=operator,enum=engineer,enum=admin,enum=auditor" doc:"What it may do."`
	Hash string `yaml:"password_hash" jsonschema:"required" hint:"make one with yunchu hash-password" doc:"argon2id hash of its password, of yunchu hash-password."`
}

func (x *Access) check(s *source) {
	if s.has("access.policies") {
		x.checkPolicies(s)
	}
	seen := map[string]bool{}
	for i, u := range x.Users {
		at := fmt.Sprintf("access.users[%d]", i)
		if seen[u.Name] && u.Name != "" {
			s.wrong(at+".name", "give each user a name of its own", "there are two users named %q", short(u.Name))
		}
		seen[u.Name] = true
		if s.has(at + ".password_hash") {
			if err := auth.CheckHash(u.Hash); err != nil {
				s.wrong(at+".password_hash", "make one with yunchu hash-password", "%v", err)
			}
		}
	}
}

// maxPolicies bounds a file of policies, in bytes.
const maxPolicies = 1 << 20

func (x *Access) checkPolicies(s *source) {
	f := s.open("access.policies", x.Policies)
	if f == nil {
		return
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPolicies+1))
	if err = errors.Join(err, f.Close()); err == nil && len(text) > maxPolicies {
		err = fmt.Errorf("the file is larger than %d bytes", maxPolicies)
	}
	if err != nil {
		s.wrong("access.policies", "", "read the policies: %v", err)
		return
	}
	x.Policies = s.path(x.Policies)
	x.Rules, err = auth.ParsePolicies(x.Policies, text)
	wrong, ok := errors.AsType[*auth.PolicyError](err)
	if !ok {
		return
	}
	fault := Fault{Path: wrong.File, Line: wrong.Line, Col: wrong.Col, Msg: wrong.Text, Hint: "docs/access.md says what policies may speak of"}
	if lines := strings.Split(string(text), "\n"); wrong.Line <= len(lines) {
		fault.Source = strings.TrimSuffix(lines[wrong.Line-1], "\r")
	}
	s.faults = append(s.faults, fault)
}

// List are the users as the plant knows them.
func (x *Access) List() []auth.User {
	var out []auth.User
	for _, u := range x.Users {
		role, _ := auth.ParseRole(u.Role) // the check knows them all
		out = append(out, auth.User{Name: u.Name, Role: role, Hash: u.Hash})
	}
	return out
}
