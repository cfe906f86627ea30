package auth

import (
	"fmt"
	"time"

	"yunchu/platform/device"
)

// Role says what somebody is to the plant.
type Role uint8

// The roles. The zero Role may do nothing.
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
	actions
)

var actionNames = [actions]string{"read", "control", "arming", "dispatch", "ingest", "register", "tokens", "users", "system", "metrics", "audit", "backup"}

// String is the action's name.
func (a Action) String() string {
	if a < actions {
		return actionNames[a]
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// permissions is the whole policy: what is not here is forbidden. What a Device
// may do holds for its own device alone.
var permissions = [...][actions]bool{
	Viewer:   {Read: true, System: true, Metrics: true},
	Operator: {Read: true, System: true, Metrics: true, Control: true, Dispatch: true},
	Engineer: {Read: true, System: true, Metrics: true, Control: true, Arming: true, Dispatch: true, Ingest: true, Register: true},
	Admin: {
		Read: true, System: true, Metrics: true, Control: true, Arming: true, Dispatch: true, Ingest: true, Register: true,
		Tokens: true, Users: true, Audit: true, Backup: true,
	},
	Auditor: {Read: true, System: true, Metrics: true, Audit: true},
	Device:  {Read: true, Ingest: true},
}

// May reports whether the role may take the action at all.
func (r Role) May(a Action) bool {
	return int(r) < len(permissions) && a < actions && permissions[r][a]
}

// Principal is who a token speaks for. It is shared and never changes.
type Principal struct {
	Name    string // user:alice, device:ess-1, token:scada
	Role    Role
	Device  device.ID // the only device it speaks for; empty: all
	Token   string    // the token's id
	Expires int64     // ms UTC; 0 never

	revoked chan struct{}
}

// May reports whether the principal may take the action at all.
func (p *Principal) May(a Action) bool { return p.Role.May(a) }

// Speaks reports whether the principal may speak about the device.
func (p *Principal) Speaks(id device.ID) bool { return p.Device == "" || p.Device == id }

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
