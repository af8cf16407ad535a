package build

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/berthd/berth/runtime/images"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// registryHost is a host with or without a port, as it begins an image's name.
var registryHost = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:]+\])(:[0-9]{1,5})?$`)

// maxRegistryLogins bounds the logins of an app.
const maxRegistryLogins = 20

// Registries are the logins to registries of images.
type Registries struct {
	db      *store.Store
	changed func(app string)
}

// LoginRegistry keeps who berth is to a registry of images, for an app or (with
// app "") for the machine. It is not asked whether it agrees: it may be down, or
// want the login for some images alone.
func (r Registries) LoginRegistry(_ context.Context, app, host string, login store.RegistryLogin, by store.User) error {
	host = strings.ToLower(host)
	if !registryHost.MatchString(host) {
		return fault.New(fault.Usage, code.RegistryLoginInvalid, "%.80q is not a registry host", host).Hint("write it as in image names: registry.example.com, or with a port")
	}
	if login.Username == "" || login.Password == "" {
		return fault.New(fault.Usage, code.RegistryLoginInvalid, "registry:login needs a user and a password").Hint("the password is read from standard input")
	}
	return r.edit(by, app, "logged in to "+host, func(logins map[store.RegistryPlace]store.RegistryLogin) error {
		place := store.RegistryPlace{App: app, Host: host}
		// Trust is in the host: another password does not end it.
		login.Trusted = by.May(store.RoleAdmin, "") == nil || logins[place].Trusted
		logins[place] = login
		n := 0
		for place := range logins {
			if place.App == app {
				n++
			}
		}
		if app != "" && n > maxRegistryLogins {
			return fault.New(fault.Conflict, code.RegistryLoginsFull, "%s has %d registry logins, which is the maximum", app, maxRegistryLogins)
		}
		return nil
	})
}

// LogoutRegistry deletes a login. One that is not there is a fault (E165).
func (r Registries) LogoutRegistry(_ context.Context, app, host string, by store.User) error {
	host = strings.ToLower(host)
	return r.edit(by, app, "logged out of "+host, func(logins map[store.RegistryPlace]store.RegistryLogin) error {
		place := store.RegistryPlace{App: app, Host: host}
		if _, found := logins[place]; !found {
			f := fault.New(fault.NotFound, code.RegistryLoginUnknown, "there is no login for %.80q", host)
			if app != "" {
				return f.Hint("berth registry:report --app %s shows them", app)
			}
			return f.Hint("berth registry:report shows them")
		}
		delete(logins, place)
		return nil
	})
}

func (r Registries) edit(by store.User, app, what string, change func(map[store.RegistryPlace]store.RegistryLogin) error) error {
	err := r.db.Update(func(tx *store.Tx) error {
		if app != "" {
			if _, err := tx.App(app); err != nil {
				return err
			}
		}
		logins, err := tx.Registries.All()
		if err != nil {
			return err
		}
		if err := change(logins); err != nil {
			return err
		}
		return errors.Join(tx.Registries.Replace(logins), tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "settings", Text: what}))
	})
	if err != nil {
		return fault.ExplainDiskFull(err)
	}
	r.changed(app)
	return nil
}

// logins returns who berth is to the registries when a user deploys an app. The
// app's own logins go first. The machine's are the operator's: a user who is
// bound to some apps could name any image in a Dockerfile, so they are not used
// for such a one.
func (r Registries) logins(app string, by store.User) (map[string]images.Login, error) {
	logins := map[string]images.Login{}
	err := r.db.View(func(tx *store.Tx) error {
		stored, err := tx.Registries.All()
		for place, login := range stored {
			if place.App == "" && len(by.Apps) == 0 {
				logins[place.Host] = images.Login{Username: login.Username, Password: login.Password, Trusted: true}
			}
		}
		for place, login := range stored {
			if place.App != "" && place.App == app {
				logins[place.Host] = images.Login(login)
			}
		}
		return err
	})
	return logins, err
}
