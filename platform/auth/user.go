package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"yunchu/platform/device"
)

// user is a record of KindUser; its key is the name.
type user struct {
	Name     string `json:"name"`
	Role     Role   `json:"role"`
	Password string `json:"password"` // PHC string
	Created  int64  `json:"created"`  // ms UTC
}

// User is one that the configuration names.
type User struct {
	Name string
	Role Role
	Hash string // of Hash
}

// configured checks them.
func configured(list []User) (map[string]*user, error) {
	out := map[string]*user{}
	var faults []error
	for _, u := range list {
		err := errors.Join(validUser(u.Name), validUserRole(u.Role), CheckHash(u.Hash))
		if err == nil && out[u.Name] != nil {
			err = errors.New("there are two of that name")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("user %q of the configuration: %w", u.Name, err))
		}
		out[u.Name] = &user{Name: u.Name, Role: u.Role, Password: u.Hash}
	}
	return out, errors.Join(faults...)
}

// Configure replaces the users of the configuration. Sessions of those who are gone, or
// have another role or password, end.
func (a *Authority) Configure(ctx context.Context, list []User) error {
	fixed, err := configured(list)
	if err != nil {
		return err
	}
	a.change.Lock()
	defer a.change.Unlock()
	a.mu.Lock()
	a.fixed = fixed
	var over []string
	for id, s := range a.sessions {
		if !a.findUser(s.User).holds(s) {
			over = append(over, id)
		}
	}
	a.mu.Unlock()
	var faults []error
	for _, id := range over {
		faults = append(faults, a.revoke(ctx, id, "configuration"))
	}
	return errors.Join(faults...)
}

// UserInfo is what may be told of a user.
type UserInfo struct {
	Name       string
	Role       Role
	Created    time.Time // zero for one of the configuration
	Configured bool      // by the configuration, where alone it can be changed
}

func validUser(name string) error {
	if len(name) == 0 || len(name) > 64 {
		return fmt.Errorf("%w user: a name has 1 to 64 characters", ErrInvalid)
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.', c == '@':
		default:
			return fmt.Errorf("%w user: a name is made of letters, digits and . _ - @", ErrInvalid)
		}
	}
	return nil
}

// NewSetup makes the setup token of this start; an older one ends. ok is false
// when the plant has an administrator and needs none.
func (a *Authority) NewSetup(now time.Time) (secret string, ok bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.admins() > 0 {
		return "", false, nil
	}
	secret, hash, err := a.mint("setup")
	if err != nil {
		return "", false, err
	}
	a.setup = setup{hash, now.Add(SetupLife)}
	return secret, true, nil
}

func (a *Authority) admins() int {
	n := 0
	for _, u := range a.fixed {
		if u.Role == Admin {
			n++
		}
	}
	for _, u := range a.users {
		if u.Role == Admin && a.fixed[u.Name] == nil {
			n++
		}
	}
	return n
}

// Setup makes the first administrator and logs in. ErrSetupDone when there is
// one already, ErrSetup when the token is not the one of this start, ErrInvalid
// when name or password cannot be accepted; the token stays good then.
func (a *Authority) Setup(ctx context.Context, now time.Time, secret, name, password string) (Session, error) {
	a.change.Lock()
	defer a.change.Unlock()
	if err := a.firstAdmin(ctx, now, secret, name, password); err != nil {
		return Session{}, err
	}
	return a.begin(ctx, now, a.user(name), "setup")
}

func (a *Authority) firstAdmin(ctx context.Context, now time.Time, secret, name, password string) error {
	a.mu.RLock()
	s, done := a.setup, a.admins() > 0
	a.mu.RUnlock()
	switch {
	case done:
		return ErrSetupDone
	case len(secret) > maxToken || s.expires.IsZero() || !now.Before(s.expires) || sha256.Sum256([]byte(secret)) != s.hash:
		a.refused(now, device.Act{Type: "setup", Outcome: "failed", Text: ErrSetup.Error()})
		return ErrSetup
	}
	if err := a.changeable(name); err != nil {
		return err
	}
	if err := a.putUser(ctx, now, name, Admin, password, "setup"); err != nil {
		return err
	}
	a.mu.Lock()
	a.setup = setup{}
	a.mu.Unlock()
	a.log.Info("first administrator made", "user", name)
	return nil
}

// Login checks a password and opens a session for SessionLife. ErrCredentials
// takes as long for a user who does not exist. A TooManyError or ErrBusy says
// nothing about the password.
func (a *Authority) Login(ctx context.Context, now time.Time, host, name, password string) (Session, error) {
	if len(name) > 64 || len(password) > maxPassword {
		return Session{}, ErrCredentials
	}
	try, err := a.attempts.begin(now, name, host)
	if err != nil {
		a.log.Warn("login turned away", "user", name, "host", host)
		a.refused(now, device.Act{Type: "login", Source: userName(name), From: host, Outcome: "refused", Text: err.Error()})
		return Session{}, err
	}
	u := a.user(name)
	hash := a.hasher.decoy
	if u != nil {
		hash = u.Password
	}
	ok, err := a.hasher.matches(ctx, hash, password)
	if err != nil {
		a.attempts.void(try)
		return Session{}, err
	}
	if !ok || u == nil {
		a.log.Warn("login failed", "user", name, "host", host)
		a.records.Act(device.Act{Type: "login", Source: userName(name), From: host, Outcome: "failed", Text: ErrCredentials.Error()})
		return Session{}, ErrCredentials
	}
	a.attempts.succeeded(try)
	a.change.Lock()
	defer a.change.Unlock()
	if a.user(name) != u { // changed or removed while the hash was computed
		return Session{}, ErrCredentials
	}
	a.log.Info("login", "user", name, "host", host)
	a.records.Act(device.Act{Type: "login", Source: userName(name), From: host, Outcome: "done"})
	return a.begin(ctx, now, u, "login")
}

func userName(name string) string { return "user:" + name }

func (a *Authority) user(name string) *user {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.findUser(name)
}

// findUser is user under mu.
func (a *Authority) findUser(name string) *user {
	if u := a.fixed[name]; u != nil {
		return u
	}
	return a.users[name]
}

// Users lists the users by name.
func (a *Authority) Users() []UserInfo {
	a.mu.RLock()
	defer a.mu.RUnlock()
	list := make([]UserInfo, 0, len(a.users))
	for _, u := range a.fixed {
		list = append(list, UserInfo{Name: u.Name, Role: u.Role, Configured: true})
	}
	for _, u := range a.users {
		if a.fixed[u.Name] == nil {
			list = append(list, UserInfo{Name: u.Name, Role: u.Role, Created: time.UnixMilli(u.Created).UTC()})
		}
	}
	slices.SortFunc(list, func(x, y UserInfo) int { return cmp.Compare(x.Name, y.Name) })
	return list
}

// PutUser adds a user or changes role and password; the user's sessions end.
// ErrLastAdmin when the last administrator would become something else.
func (a *Authority) PutUser(ctx context.Context, now time.Time, name string, role Role, password, by string) error {
	if err := validUserRole(role); err != nil {
		return err
	}
	a.change.Lock()
	defer a.change.Unlock()
	if err := a.changeable(name); err != nil {
		return err
	}
	if role != Admin && a.lastAdmin(name) {
		return ErrLastAdmin
	}
	if err := a.putUser(ctx, now, name, role, password, by); err != nil {
		return err
	}
	a.log.Info("user put", "user", name, "role", role.String(), "by", by)
	return a.endSessions(ctx, name, by)
}

// RemoveUser removes a user and ends the sessions. ErrNotFound, ErrLastAdmin.
func (a *Authority) RemoveUser(ctx context.Context, name, by string) error {
	a.change.Lock()
	defer a.change.Unlock()
	if err := a.changeable(name); err != nil {
		return err
	}
	switch {
	case a.user(name) == nil:
		return fmt.Errorf("user %q: %w", name, ErrNotFound)
	case a.lastAdmin(name):
		return ErrLastAdmin
	}
	if err := a.put(ctx, KindUser, name, by, nil); err != nil {
		return err
	}
	a.mu.Lock()
	delete(a.users, name)
	a.mu.Unlock()
	a.log.Info("user removed", "user", name, "by", by)
	return a.endSessions(ctx, name, by)
}

func validUserRole(role Role) error {
	if role == Device || !role.valid() {
		return fmt.Errorf("%w: a user cannot have the role %s", ErrInvalid, role)
	}
	return nil
}

// changeable refuses a user of the configuration.
func (a *Authority) changeable(name string) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.fixed[name] != nil {
		return fmt.Errorf("%w: the user %s stands in the configuration, where alone it can be changed", ErrInvalid, name)
	}
	return nil
}

func (a *Authority) lastAdmin(name string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	u := a.users[name]
	return u != nil && u.Role == Admin && a.admins() == 1
}

func (a *Authority) putUser(ctx context.Context, now time.Time, name string, role Role, password, by string) error {
	if err := errors.Join(validUser(name), validPassword(password)); err != nil {
		return err
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	u := &user{Name: name, Role: role, Password: hash, Created: now.UnixMilli()}
	if err := a.put(ctx, KindUser, name, by, u); err != nil {
		return err
	}
	a.mu.Lock()
	a.users[name] = u
	a.mu.Unlock()
	return nil
}

func (a *Authority) endSessions(ctx context.Context, name, by string) error {
	a.mu.RLock()
	var ids []string
	for id, t := range a.byID {
		if t.User == name {
			ids = append(ids, id)
		}
	}
	for id, s := range a.sessions {
		if s.User == name {
			ids = append(ids, id)
		}
	}
	a.mu.RUnlock()
	var faults []error
	for _, id := range ids {
		faults = append(faults, a.revoke(ctx, id, by))
	}
	return errors.Join(faults...)
}
