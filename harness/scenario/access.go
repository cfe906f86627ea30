package scenario

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"yunchu/platform/auth"
	"yunchu/platform/auth/oidc"
)

// Access is who gets in beside those that the API has made.
type Access struct {
	Users    []AccessUser `yaml:"users,omitempty" doc:"Users with a password; the API cannot change them."`
	Policies string       `yaml:"policies,omitempty" doc:"Path of policies in Cedar that are added to those that ship."`
	OIDC     OIDC         `yaml:"oidc,omitempty" doc:"An issuer of OpenID Connect whose tokens are believed."`
	Limits   AccessLimits `yaml:"limits,omitempty" doc:"How often each user, token or device may ask."`

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
	x.OIDC.check(s)
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

// AccessLimits are how often each principal may ask.
type AccessLimits struct {
	Queries   RateLimit      `yaml:"queries,omitempty" doc:"Whatever is no command and brings no readings."`
	Commands  RateLimit      `yaml:"commands,omitempty" doc:"Commands, arming, dispatch."`
	Telemetry TelemetryLimit `yaml:"telemetry,omitempty" doc:"Requests and messages that bring readings, whatever number of them."`
}

// RateLimit and TelemetryLimit are one bound each; they differ in what holds when nothing is said.
type (
	RateLimit struct {
		PerSecond float64 `yaml:"per_second,omitempty" jsonschema:"minimum=0,default=2000" doc:"On average; 0: no bound."`
		Burst     int     `yaml:"burst,omitempty" jsonschema:"minimum=1,default=4000" doc:"At once."`
	}
	TelemetryLimit struct {
		PerSecond float64 `yaml:"per_second,omitempty" jsonschema:"minimum=0,default=0" doc:"On average; 0: no bound."`
		Burst     int     `yaml:"burst,omitempty" jsonschema:"minimum=1,default=1000" doc:"At once."`
	}
)

// OIDC is an issuer whose tokens are believed.
type OIDC struct {
	Issuer   string            `yaml:"issuer,omitempty" hint:"write it as https://login.example.com/realms/plant" doc:"Its URL, as its tokens say it; https, or http on this machine."`
	Audience string            `yaml:"audience,omitempty" doc:"Whom its tokens must be for: the client id of this plant there."`
	Claim    string            `yaml:"claim,omitempty" jsonschema:"default=roles" doc:"The claim that holds one or more of the names in roles; dots lead into objects."`
	Name     string            `yaml:"name,omitempty" jsonschema:"default=sub" doc:"The claim that names the person."`
	Roles    map[string]string `yaml:"roles,omitempty" doc:"The role here (viewer, operator, engineer, admin, auditor) by what the claim says."`
	CA       string            `yaml:"ca,omitempty" doc:"Path of the authority of its certificate; the system's when left out."`
}

func (o *OIDC) check(s *source) {
	if !s.has("access.oidc") {
		return
	}
	if o.Issuer == "" || o.Audience == "" || len(o.Roles) == 0 {
		s.fault(s.key("access.oidc"), "give issuer, audience and roles", "nothing says whose tokens are believed, and for what")
	}
	if s.has("access.oidc.issuer") {
		u, err := url.Parse(o.Issuer)
		ip := net.ParseIP(u.Hostname())
		near := err == nil && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !near) {
			s.wrong("access.oidc.issuer", "write it as https://login.example.com/realms/plant", "%q is not the URL of an issuer", short(o.Issuer))
		}
	}
	for _, said := range slices.Sorted(maps.Keys(o.Roles)) {
		if r, ok := auth.ParseRole(o.Roles[said]); !ok || r == auth.Device {
			s.wrong("access.oidc.roles."+said, "write viewer, operator, engineer, admin or auditor", "people cannot have the role %q", short(o.Roles[said]))
		}
	}
	if s.has("access.oidc.ca") {
		s.exists("access.oidc.ca", &o.CA)
	}
}

// Verifier believes its tokens; nil when there is no issuer.
func (o *OIDC) Verifier(log *slog.Logger) (auth.Verifier, error) {
	if o.Issuer == "" {
		return nil, nil
	}
	roles := map[string]auth.Role{}
	for said, name := range o.Roles {
		roles[said], _ = auth.ParseRole(name) // the check knows them all
	}
	v, err := oidc.New(oidc.Options{Issuer: o.Issuer, Audience: o.Audience, Claim: o.Claim, Name: o.Name, Roles: roles, CA: o.CA, Log: log})
	if err != nil {
		return nil, err
	}
	return v, nil
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
