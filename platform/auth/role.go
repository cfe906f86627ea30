package auth

import (
	"fmt"
	"time"

	"yunchu/platform/device"
)

// Role says what somebody is to the plant.
type Role uint8

// The roles, and what the policies that ship let them do. The zero Role may do nothing.
const (
	Viewer   Role = iota + 1 // looks
	Operator                 // looks, commands, dispatches
	Engineer                 // an operator who also registers devices and sends readings
	Admin                    // everything
	Auditor                  // looks, and reads the audit trail
	Device                   // sends and reads what belongs to its one device
)

var roleNames = [...]string{"", "viewer", "operator", "engineer", "admin", "auditor", "device"}

// Roles lists all roles.
var Roles = []Role{Viewer, Operator, Engineer, Admin, Auditor, Device}

// String is the role's name in the API.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role %d", r)
}

func (r Role) valid() bool { return r != 0 && int(r) < len(roleNames) }

// ParseRole finds a role by its name in the API.
func ParseRole(s string) (r Role, ok bool) {
	for _, r := range Roles {
		if r.String() == s {
			return r, true
		}
	}
	return 0, false
}

// MarshalText writes the name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a name.
func (r *Role) UnmarshalText(b []byte) error {
	role, ok := ParseRole(string(b))
	if !ok {
		return fmt.Errorf("%w: unknown role %q", ErrInvalid, b)
	}
	*r = role
	return nil
}

// Action is what somebody wants to do.
type Action uint8

// The actions.
const (
	Read     Action = iota // devices, latest values, history, live frames
	Control                // command a device
	Arming                 // let a device on a wire act, lift an emergency stop
	Dispatch               // change the target of the fleet
	Ingest                 // send readings
	Register               // add or change devices
	Tokens                 // issue, list and revoke tokens
	Users                  // add, change and remove users
	System                 // what runs here
	Metrics                // figures for monitoring
	Audit                  // the audit trail
	Backup                 // a copy of everything
	Safety                 // command with the priority of safety, beside Control
	actions
)

var actionNames = [actions]string{"read", "control", "arming", "dispatch", "ingest", "register", "tokens", "users", "system", "metrics", "audit", "backup", "safety"}

// String is the action's name.
func (a Action) String() string {
	if a < actions {
		return actionNames[a]
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// onDevices tells actions on devices, which may be open for some of them, from those on the
// plant as a whole.
func (a Action) onDevices() bool {
	switch a {
	case Read, Control, Arming, Ingest, Register, Safety:
		return true
	}
	return false
}

// Principal is who a token speaks for. It is shared and never changes.
type Principal struct {
	Name    string // user:alice, device:ess-1, token:scada
	Role    Role
	Device  device.ID // the only device it speaks for; empty: all
	Token   string    // the token's id
	Expires int64     // ms UTC; 0 never

	revoked chan struct{}
	judge   *judge
}

// May reports whether the principal may take the action at all: on the plant, or where the
// action is one on devices on some of them.
func (p *Principal) May(a Action) bool {
	if a >= actions {
		return false
	}
	d := p.judge.decisions()
	return d.plant[a] || d.device[a] != never
}

// MayWhole reports whether the principal may take the action on the plant as a whole.
func (p *Principal) MayWhole(a Action) bool { return a < actions && p.judge.decisions().plant[a] }

// MayOn reports whether the principal may take the action on the device.
func (p *Principal) MayOn(a Action, id device.ID) bool { return p.judge.decisions().on(a, id) }

// MayOnAll reports whether the principal may take the action on every device, whichever.
func (p *Principal) MayOnAll(a Action) bool {
	return a < actions && p.judge.decisions().device[a] == always
}

// good reports whether its token holds at now.
func (p *Principal) good(now time.Time) bool {
	select {
	case <-p.revoked:
		return false
	default:
		return p.Expires == 0 || now.UnixMilli() < p.Expires
	}
}

// Revoked is closed when the token is revoked. A token that merely expires
// leaves it open: see Expires.
func (p *Principal) Revoked() <-chan struct{} { return p.revoked }
