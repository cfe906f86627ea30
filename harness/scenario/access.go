package scenario

import (
	"fmt"

	"yunchu/platform/auth"
)

// Access is who gets in beside those that the API has made.
type Access struct {
	Users []AccessUser `yaml:"users,omitempty" doc:"Users with a password; the API cannot change them."`
}

// AccessUser is a user of a configuration.
type AccessUser struct {
	Name string `yaml:"name" jsonschema:"required,pattern=^[A-Za-z0-9_.@-]+$" hint:"letters, digits and . _ - @" doc:"Its name."`
	Role string `yaml:"role" jsonschema:"required,enum=viewer,enum=operator,enum=engineer,enum=admin,enum=auditor" doc:"What it may do."`
	Hash string `yaml:"password_hash" jsonschema:"required" hint:"make one with yunchu hash-password" doc:"argon2id hash of its password, of yunchu hash-password."`
}

func (x *Access) check(s *source) {
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

// List are the users as the plant knows them.
func (x *Access) List() []auth.User {
	var out []auth.User
	for _, u := range x.Users {
		role, _ := auth.ParseRole(u.Role) // the check knows them all
		out = append(out, auth.User{Name: u.Name, Role: role, Hash: u.Hash})
	}
	return out
}
