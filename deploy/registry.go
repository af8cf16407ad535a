package deploy

import (
	"context"
	"regexp"
	"strings"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// registryHost is a host with or without a port, as it begins an image's name.
var registryHost = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:]+\])(:[0-9]{1,5})?$`)

// LoginRegistry keeps who berth is to a registry of images. It is not asked
// whether it agrees: it may be down, or want the login for some images alone.
func (d *Deployer) LoginRegistry(_ context.Context, host string, login store.RegistryLogin, by store.User) error {
	host = strings.ToLower(host)
	if !registryHost.MatchString(host) {
		return fault.New(fault.Usage, "E164", "%.80q is not the host of a registry", host).Hint("write it as in the names of its images: registry.example.com, or with a port")
	}
	if login.Username == "" || login.Password == "" {
		return fault.New(fault.Usage, "E164", "a login needs a user and a password").Hint("the password is read from standard input")
	}
	return d.editRegistries(by, "logged in to "+host, func(logins map[string]store.RegistryLogin) error {
		logins[host] = login
		return nil
	})
}

// LogoutRegistry forgets who berth is to a registry.
func (d *Deployer) LogoutRegistry(_ context.Context, host string, by store.User) error {
	host = strings.ToLower(host)
	return d.editRegistries(by, "logged out of "+host, func(logins map[string]store.RegistryLogin) error {
		if _, known := logins[host]; !known {
			return fault.New(fault.NotFound, "E165", "there is no login for %.80q", host).Hint("registry:report shows them")
		}
		delete(logins, host)
		return nil
	})
}

func (d *Deployer) editRegistries(by store.User, what string, edit func(map[string]store.RegistryLogin) error) error {
	err := d.db.Update(func(tx *store.Tx) error {
		logins, err := tx.Registries()
		if err != nil {
			return err
		}
		if err := edit(logins); err != nil {
			return err
		}
		return tx.PutRegistries(logins)
	})
	if err != nil {
		return d.full(err)
	}
	d.happened(store.Event{By: by.Name, Kind: "settings", Text: what})
	return nil
}
