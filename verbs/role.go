package verbs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/storage"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Role says who may call a verb.
type Role struct {
	Least store.Role // the role that the user needs for the app in the arguments
	Also  string     // what the rule asks for besides, in words
	rule  rule
}

// rule decides by the arguments, after the check of the role. It may store in the
// call which app and host they mean.
type rule func(r records, c *Call, app string, args any) error

var (
	reads   = Role{Least: store.RoleRead}
	deploys = Role{Least: store.RoleDeploy}
	admins  = Role{Least: store.RoleAdmin}

	// newApp is for verbs that take a new name. A key that is bound to apps has no
	// access to it.
	newApp = Role{Least: store.RoleDeploy, Also: "not for a key that is bound to apps",
		rule: func(_ records, c *Call, _ string, _ any) error { return MayCreate(c.User) }}

	// ownLogin is for logins to registries: deploy for an app's, admin for the machine's.
	ownLogin = Role{Least: store.RoleRead, Also: "deploy for an app's, admin for the machine's",
		rule: func(_ records, c *Call, app string, _ any) error {
			if app == "" {
				return c.User.May(store.RoleAdmin, "")
			}
			return c.User.May(store.RoleDeploy, app)
		}}

	// consents is for what one app may do to another: it needs deploy for both.
	consents = Role{Least: store.RoleDeploy, Also: "deploy for the app that is called too",
		rule: func(_ records, c *Call, _ string, args any) error {
			_, to := args.(ended).ends()
			return c.User.May(store.RoleDeploy, to)
		}}

	// endsConsent is for taking that back: each of both may.
	endsConsent = Role{Least: store.RoleRead, Also: "deploy for one of both apps",
		rule: func(_ records, c *Call, _ string, args any) error {
			from, to := args.(ended).ends()
			err := c.User.May(store.RoleDeploy, from)
			if err == nil || c.User.May(store.RoleDeploy, to) == nil {
				return nil
			}
			return err
		}}

	// setsProperty is for what can be set of an app, and by admins for all apps.
	setsProperty = Role{Least: store.RoleDeploy, Also: "admin where no app is named",
		rule: func(_ records, c *Call, app string, _ any) error {
			if app == "" {
				return c.User.May(store.RoleAdmin, "")
			}
			return nil
		}}

	// ofConfig is for config: an app's, or for admins that of all apps.
	ofConfig = func(least Role) Role {
		return Role{Least: least.Least, Also: "admin with --global", rule: setsProperty.rule}
	}

	// seesReport is for what is set: for all apps, for admins.
	seesReport = Role{Least: store.RoleRead, Also: "admin where no app is named", rule: setsProperty.rule}

	// seesRequests is for access logs: requests for no app are for admins.
	seesRequests = Role{Least: store.RoleRead, Also: "admin where no app is named",
		rule: func(_ records, c *Call, app string, _ any) error {
			if app == "" {
				return c.User.May(store.RoleAdmin, "")
			}
			return nil
		}}

	// Volumes belong to apps. Who is bound to some apps sees those of theirs alone;
	// one of no app is for whoever is bound to none.
	seesVolume    = Role{Least: store.RoleRead, Also: "for the app that the volume belongs to", rule: ofVolume(store.RoleRead)}
	deploysVolume = Role{Least: store.RoleRead, Also: "deploy for the app that the volume belongs to", rule: ofVolume(store.RoleDeploy)}
	mountsVolume  = Role{Least: store.RoleDeploy, Also: "admin for a directory of the machine", rule: mayMount}

	seesHost    = Role{Least: store.RoleRead, Also: "for the app that the host leads to; the admin page's for who is bound to none", rule: ofHost(store.RoleRead)}
	deploysHost = Role{Least: store.RoleRead, Also: "deploy for the app that the host leads to, admin for the admin page's", rule: ofHost(store.RoleDeploy)}
)

// allow decides whether the user may call a verb. Nothing else decides it.
func (t *Table) allow(c *Call, v Verb, app string, args any) error {
	if err := c.User.May(v.Role.Least, app); err != nil {
		return err
	}
	if v.Role.rule == nil {
		return nil
	}
	return v.Role.rule(t.records, c, app, args)
}

// MayPush returns nil if the user may push to an app of that name. The answer does
// not depend on whether the app exists, and so does not disclose it.
func MayPush(user store.User, app string) error { return user.May(store.RoleDeploy, app) }

// MayCreate returns nil if the user may create apps.
func MayCreate(user store.User) error { return user.May(store.RoleDeploy, "") }

// MayFetch returns nil if the user may read an app's repository.
func MayFetch(user store.User, app string) error { return user.May(store.RoleRead, app) }

// sees reports whether a list of all apps shows this one to the user.
func sees(user store.User, app string) bool { return user.May(store.RoleRead, app) == nil }

// seesAppliance reports whether a list shows the user what belongs to no app.
func seesAppliance(user store.User) bool {
	return len(user.Apps) == 0 && user.May(store.RoleRead, "") == nil
}

// ended are arguments that name two apps.
type ended interface{ ends() (from, to string) }

// hosted are arguments that name an app or a host, and mean its certificates.
type hosted interface{ certTarget() string }

// appHost is an app, or one host of it.
type appHost struct{ app, host string }

// ofHost asks for the role on the app that the target names or whose host it is.
// Where a host leads to no app, the apps that have paths of it decide together.
// The admin page's hosts are for admins. A user who is bound to some apps gets
// the same answer (E111) for another's host and for a host that does not exist.
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
			return user.NoAccess(fmt.Sprintf("%.80q", target)).
				Hint("berth certs:report lists the hosts of %s", strings.Join(user.Apps, ", "))
		case len(owners) == 0:
			return edge.NoCertTarget(target)
		case slices.Contains(owners, store.AdminPairs):
			c.on = appHost{store.AdminPairs, host}
			if role == store.RoleDeploy {
				return user.May(store.RoleAdmin, "")
			}
			return user.May(role, "")
		}
		c.on = appHost{owners[0], host}
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

// volumed are arguments that name a volume.
type volumed interface{ volumeName() string }

// ofVolume asks for the role on the app whose volume the arguments name. A user
// who is bound to some apps gets the same answer (E601) for another's volume and
// for one that does not exist.
func ofVolume(role store.Role) rule {
	return func(r records, c *Call, app string, args any) error {
		v, err := r.volume(c.User, app, args.(volumed).volumeName())
		if err != nil {
			return err
		}
		c.volume = v.ID
		return c.User.May(role, v.App)
	}
}

// seesVolumeOf tells whether a user sees the volumes of an app; "" is of none.
func seesVolumeOf(user store.User, app string) bool {
	if app == "" {
		return seesAppliance(user)
	}
	return sees(user, app)
}

// volume finds a volume that a user may see, by its name within an app. Without an
// app it is the one that there is of the name; of several it is a fault (E606).
func (r records) volume(user store.User, app, name string) (v store.Volume, err error) {
	var found []store.Volume
	err = r.db.View(func(tx *store.Tx) error {
		if app != "" {
			if _, err := tx.App(app); err != nil {
				return err
			}
		}
		every, err := tx.Volumes.All()
		for _, v := range every {
			if v.Name == name && (app == "" || v.App == app) && seesVolumeOf(user, v.App) {
				found = append(found, v)
			}
		}
		return err
	})
	if err != nil {
		return v, err
	}
	switch len(found) {
	case 0:
		return v, store.NoVolume(name)
	case 1:
		return found[0], nil
	}
	if found[0].App == "" { // they come first
		found = found[1:]
	}
	var apps []string
	for _, v := range found {
		apps = append(apps, v.App)
	}
	return v, fault.New(fault.Conflict, code.VolumeAmbiguous, "several apps have a volume named %q", name).
		Hint("add --app %s", strings.Join(apps, ", or --app "))
}

// mayMount finds the volume that is to be mounted: the app's own of the name, or
// one of no app for whoever is bound to none. A directory of the machine is for
// admins.
func mayMount(r records, c *Call, app string, args any) error {
	w, err := parseMount(args.(MountArgs).What, args.(MountArgs).ContainerDir)
	if err != nil {
		return err
	}
	if w.host != "" {
		if len(c.User.Apps) > 0 {
			return c.User.NoAccess("directories of the machine").Hint("berth storage:create NAME --app %s makes a volume", app)
		}
		return c.User.May(store.RoleAdmin, "")
	}
	v, err := r.volume(c.User, app, w.volume)
	if fault.CodeOf(err) == code.VolumeUnknown && len(c.User.Apps) == 0 {
		err = r.db.View(func(tx *store.Tx) error {
			free, found, err := tx.Volumes.Find("", w.volume)
			if v = free; err == nil && !found {
				err = store.NoVolume(w.volume)
			}
			return err
		})
	}
	if f := fault.From(err); f != nil && f.Code == code.VolumeUnknown {
		return f.Hint("berth storage:create %s --app %s makes it", w.volume, app)
	}
	c.volume = v.ID
	return err
}

// usualSize is the limit of a volume for which none is given; 0 is none.
func usualSize(user store.User) int64 {
	if len(user.Apps) > 0 {
		return storage.BoundSize
	}
	return 0
}

// maySize returns nil if the user may give a volume that limit: a key that is
// bound to apps takes no more than its share of the disk.
func maySize(user store.User, size int64) error {
	if len(user.Apps) > 0 && (size == 0 || size > storage.BoundSize) {
		return user.NoAccess("volumes of more than " + storage.Size(storage.BoundSize)).
			Hint("an administrator can set more: berth storage:set NAME --size SIZE")
	}
	return nil
}
