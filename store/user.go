package store

import (
	"fmt"
	"slices"
	"time"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Role is what a user may do.
type Role string

// The roles. Each includes the one below it.
const (
	RoleAdmin  Role = "admin"  // everything, keys and settings included
	RoleDeploy Role = "deploy" // create apps and change them
	RoleRead   Role = "read"   // look
)

// User is the caller. It comes from the SSH key that signed, from the session
// of the admin page, or is root on the machine's own socket.
type User struct {
	Name string   `json:"name"`
	Role Role     `json:"role"`
	Apps []string `json:"apps,omitempty"` // when set, these apps alone, and no new ones
}

// Root is the user of the machine's own socket.
var Root = User{Name: "root", Role: RoleAdmin}

// May returns nil if the user may act as role on app, else a fault that says
// what is missing. An empty app means actions that concern no app: creating
// one, listing, settings.
func (u User) May(role Role, app string) error {
	rank := []Role{RoleRead, RoleDeploy, RoleAdmin}
	if slices.Index(rank, u.Role) < slices.Index(rank, role) {
		return fault.New(fault.Denied, code.RoleTooLow, "%s has the role %q, but this needs %q", u.Name, u.Role, role)
	}
	if len(u.Apps) == 0 {
		return nil
	}
	if app != "" && !slices.Contains(u.Apps, app) {
		return u.NoAccess(fmt.Sprintf("the app %q", app))
	}
	if app == "" && role != RoleRead {
		return fault.New(fault.Denied, code.AppForbidden, "%s has access only to its own apps", u.Name)
	}
	return nil
}

// NoAccess returns the fault (E111) of a user who is bound to some apps and
// asks for something else.
func (u User) NoAccess(what string) *fault.Error {
	return fault.New(fault.Denied, code.AppForbidden, "%s has no access to %s", u.Name, what)
}

// Key is an SSH public key that may enter.
type Key struct {
	Name        string    `json:"name"` // unique
	Fingerprint string    `json:"fingerprint"`
	Authorized  string    `json:"authorized"` // the line of authorized_keys, without options and comment
	Role        Role      `json:"role"`
	Apps        []string  `json:"apps,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	LastUsed    time.Time `json:"last_used,omitzero"`
}

// User returns who enters with the key.
func (k Key) User() User { return User{Name: k.Name, Role: k.Role, Apps: k.Apps} }

// Login is a single-use link to the admin page, or the session made of one.
// Only the SHA-256 of its token is kept.
type Login struct {
	Hash      string    `json:"hash"`
	User      User      `json:"user"`
	Session   bool      `json:"session"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// storedKey is a key as it lies in the file: with the ids of its apps.
type storedKey struct {
	Key
	Of []string `json:"apps,omitempty"` // takes the place of Key.Apps
}

func (k storedKey) apps() []string { return k.Of }

func (k storedKey) with(apps []string) storedKey {
	k.Of = apps
	return k
}

// Keys is what a transaction has of SSH keys.
type Keys struct{ *records }

func (tx Keys) named(stored storedKey) (key Key, err error) {
	key = stored.Key
	key.Apps, err = tx.namesFor(stored.Of)
	return key, err
}

// storedLogin is a login as it lies in the file, likewise.
type storedLogin struct {
	Login
	User storedUser `json:"user"` // takes the place of Login.User
}

type storedUser struct {
	User
	Of []string `json:"apps,omitempty"` // takes the place of User.Apps
}

func (l storedLogin) apps() []string { return l.User.Of }

func (l storedLogin) with(apps []string) storedLogin {
	l.User.Of = apps
	return l
}

// Logins is what a transaction has of logins.
type Logins struct{ *records }

func (tx Logins) named(stored storedLogin) (l Login, err error) {
	l = stored.Login
	l.User = stored.User.User
	l.User.Apps, err = tx.namesFor(stored.User.Of)
	return l, err
}

// All returns all keys by name.
func (tx Keys) All() (keys []Key, err error) {
	stored, err := all[storedKey](tx.bucket("keys"))
	if err != nil {
		return nil, err
	}
	for _, s := range stored {
		key, err := tx.named(s)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Get returns the key of that name, or a fault (E108).
func (tx Keys) Get(name string) (Key, error) {
	stored, found, err := get[storedKey](tx.bucket("keys"), []byte(name))
	if err == nil && !found {
		err = fault.New(fault.NotFound, code.KeyUnknown, "no key named %q", name).Hint("berth ssh-keys:list shows them")
	}
	if err != nil {
		return Key{}, err
	}
	return tx.named(stored)
}

// NoKeyOf returns the fault (E108) of a fingerprint that no key has.
func NoKeyOf(fingerprint string) *fault.Error {
	return fault.New(fault.NotFound, code.KeyUnknown, "no key has the fingerprint %s", fingerprint)
}

// ByFingerprint returns the key with that fingerprint; found is false when
// nobody has it.
func (tx Keys) ByFingerprint(fingerprint string) (key Key, found bool, err error) {
	keys, err := tx.All()
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Fingerprint == fingerprint })
	if err != nil || i < 0 {
		return Key{}, false, err
	}
	return keys[i], true, nil
}

// Put stores a key. A fingerprint that another name has is a fault (E109).
func (tx Keys) Put(key Key) error {
	other, found, err := tx.ByFingerprint(key.Fingerprint)
	if err != nil {
		return err
	}
	if found && other.Name != key.Name {
		return fault.New(fault.Conflict, code.KeyExists, "this key already exists as %q", other.Name).
			Hint("to change its role: berth ssh-keys:add %s --role ROLE", other.Name)
	}
	return put(tx.bucket("keys"), []byte(key.Name), storedKey{key, tx.idsFor(key.Apps)})
}

// Delete removes a key.
func (tx Keys) Delete(name string) error {
	if _, err := tx.Get(name); err != nil {
		return err
	}
	return tx.bucket("keys").Delete([]byte(name))
}

// Get returns the login whose token has that hash; found is false when there
// is none. It does not look at its age.
func (tx Logins) Get(hash string) (l Login, found bool, err error) {
	stored, found, err := get[storedLogin](tx.bucket("logins"), []byte(hash))
	if err != nil || !found {
		return l, found, err
	}
	l, err = tx.named(stored)
	return l, true, err
}

// All returns all links and sessions, those that have expired included.
func (tx Logins) All() (logins []Login, err error) {
	stored, err := all[storedLogin](tx.bucket("logins"))
	if err != nil {
		return nil, err
	}
	for _, s := range stored {
		l, err := tx.named(s)
		if err != nil {
			return nil, err
		}
		logins = append(logins, l)
	}
	return logins, nil
}

// Put stores a link or session.
func (tx Logins) Put(l Login) error {
	return put(tx.bucket("logins"), []byte(l.Hash), storedLogin{l, storedUser{l.User, tx.idsFor(l.User.Apps)}})
}

// Delete removes a link or session.
func (tx Logins) Delete(hash string) error { return tx.bucket("logins").Delete([]byte(hash)) }

// HostKeys is what a transaction has of SSH host keys.
type HostKeys struct{ *records }

// All returns the host keys as PEM, by kind.
func (tx HostKeys) All() (map[string][]byte, error) {
	keys := map[string][]byte{}
	err := eachRecord(tx.bucket("hostkeys"), func(kind, sealed []byte) (err error) {
		keys[string(kind)], err = tx.seal.open("hostkey "+string(kind), sealed)
		return err
	})
	return keys, err
}

// Put stores a host key, encrypted.
func (tx HostKeys) Put(kind string, pem []byte) error {
	return tx.bucket("hostkeys").Put([]byte(kind), tx.seal.seal("hostkey "+kind, pem))
}
