package verbs

import (
	"cmp"
	"slices"
	"strings"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// Role is who may do a verb.
type Role struct {
	Least store.Role // of the user, for the app that the arguments name
	Also  string     // what the rule asks besides, in words
	rule  rule
}

// rule decides by what the arguments say, once the user has the role. It may
// note in the call what it has found out.
type rule func(r records, c *Call, app string, args any) error

var (
	reads   = Role{Least: store.RoleRead}
	deploys = Role{Least: store.RoleDeploy}
	admins  = Role{Least: store.RoleAdmin}

	// newApp makes a name that no app has yet, so it is nobody's own.
	newApp = Role{Least: store.RoleDeploy, Also: "not for a key that is bound to apps",
		rule: func(_ records, c *Call, _ string, _ any) error { return MayCreate(c.User) }}

	// ownLogin is for those who deploy an app, and for admins where it is the machine's.
	ownLogin = Role{Least: store.RoleRead, Also: "deploy for an app's, admin for the machine's",
		rule: func(_ records, c *Call, app string, _ any) error {
			if app == "" {
				return c.User.May(store.RoleAdmin, "")
			}
			return c.User.May(store.RoleDeploy, app)
		}}

	// seesRequests is of an app, or for admins of what no app was asked for.
	seesRequests = Role{Least: store.RoleRead, Also: "admin where no app is named",
		rule: func(_ records, c *Call, app string, _ any) error {
			if app == "" {
				return c.User.May(store.RoleAdmin, "")
			}
			return nil
		}}

	seesHost    = Role{Least: store.RoleRead, Also: "for the app that the host leads to; the admin page's for who is bound to none", rule: ofHost(store.RoleRead)}
	deploysHost = Role{Least: store.RoleRead, Also: "deploy for the app that the host leads to, admin for the admin page's", rule: ofHost(store.RoleDeploy)}
)

// allow decides whether the caller may do a verb, and is the one place that does.
func (t *Table) allow(c *Call, v Verb, app string, args any) error {
	if err := c.User.May(v.Role.Least, app); err != nil {
		return err
	}
	if v.Role.rule == nil {
		return nil
	}
	return v.Role.rule(t.records, c, app, args)
}

// MayPush returns nil when a user may push to an app of that name, whether there
// is one or not: the answer must not tell.
func MayPush(user store.User, app string) error { return user.May(store.RoleDeploy, app) }

// MayCreate returns nil when a user may make an app, by a push above all.
func MayCreate(user store.User) error { return user.May(store.RoleDeploy, "") }

// MayFetch returns nil when a user may read the repository of an app.
func MayFetch(user store.User, app string) error { return user.May(store.RoleRead, app) }

// sees tells whether an app is among those that a user who asks for all is shown.
func sees(user store.User, app string) bool { return user.May(store.RoleRead, app) == nil }

// seesAppliance tells whether a user who asks for all is shown what is no app's.
func seesAppliance(user store.User) bool {
	return len(user.Apps) == 0 && user.May(store.RoleRead, "") == nil
}

// hosted are arguments that name an app or a host, whose certificate is meant.
type hosted interface{ certTarget() string }

// place is what a target turned out to be: an app, or a host of one.
type place struct{ app, host string }

// ofHost asks for the role on the app that a target is, or is a host of. Where
// a host itself leads to no app, those that have paths of it decide together.
// The admin page's hosts are for admins. A user who is bound to some apps gets
// the same answer (E111) for what others have and for what is not there.
func ofHost(role store.Role) rule {
	return func(r records, c *Call, _ string, args any) error {
		target := args.(hosted).certTarget()
		if target == "" && role == store.RoleRead {
			return nil // all that one may see
		}
		owners, host, err := r.certOwners(target)
		if err != nil {
			return err
		}
		user := c.User
		strange := func(owner string) bool { return !slices.Contains(user.Apps, owner) }
		switch {
		case len(user.Apps) > 0 && (len(owners) == 0 || slices.ContainsFunc(owners, strange)):
			return fault.New(fault.Denied, "E111", "%s has no access to %.80q", user.Name, target).
				Hint("berth certs:report lists the hosts of %s", strings.Join(user.Apps, ", "))
		case len(owners) == 0:
			return fault.New(fault.NotFound, "E179", "no app and no host is called %.80q", target).
				Hint("berth certs:report lists the hosts")
		case slices.Contains(owners, store.AdminPairs):
			c.on = place{store.AdminPairs, host}
			if role == store.RoleDeploy {
				return user.May(store.RoleAdmin, "")
			}
			return user.May(role, "")
		}
		c.on = place{owners[0], host}
		return user.May(role, owners[0])
	}
}

// maySpeakFor returns nil when the user may deploy each app whose the
// certificate of a host is besides the one named.
func (r records) maySpeakFor(user store.User, app, host string) error {
	return r.db.View(func(tx *store.Tx) error {
		others, err := edge.Sharers(tx, app, host)
		for _, other := range others {
			err = cmp.Or(err, user.May(store.RoleDeploy, other))
		}
		return err
	})
}
