package store

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// RegistryLogin is who berth is to a registry of images.
type RegistryLogin struct {
	Username string `json:"username"`
	Password string `json:"password"`

	// Trusted tells that an admin has set it: the registry may be on this machine
	// or in a network that is closed to apps.
	Trusted bool `json:"trusted,omitempty"`
}

// RegistryPlace is where a login is used: a registry's host, for one app, or
// with App "" for the machine.
type RegistryPlace struct {
	App  string
	Host string
}

// owner is in whose bucket a login hangs: the app's, or the machine's.
func (p RegistryPlace) owner() string {
	if p.App == "" {
		return machine
	}
	return p.App
}

func registryPlace(id, host string) string { return "registry " + id + " " + host }

// Registries is what a transaction has of logins to registries.
type Registries struct{ *records }

// All returns the logins. It is never nil.
func (tx Registries) All() (map[RegistryPlace]RegistryLogin, error) {
	logins := map[RegistryPlace]RegistryLogin{}
	names := tx.names()
	b := tx.bucket("registries")
	err := b.ForEachBucket(func(id []byte) error {
		app := ""
		if string(id) != machine {
			uid, err := strconv.Atoi(string(id))
			if app = names[uid]; err != nil || app == "" {
				return nil
			}
		}
		return eachRecord(b.Bucket(id), func(host, sealed []byte) error {
			plain, err := tx.seal.open(registryPlace(string(id), string(host)), sealed)
			if err != nil {
				return err
			}
			var login RegistryLogin
			if err := json.Unmarshal(plain, &login); err != nil {
				return fmt.Errorf("read the login of the registry %s: %w", host, err)
			}
			logins[RegistryPlace{app, string(host)}] = login
			return nil
		})
	})
	return logins, err
}

// Replace stores the logins, encrypted, in place of all that there were.
func (tx Registries) Replace(logins map[RegistryPlace]RegistryLogin) error {
	if err := tx.bolt.DeleteBucket([]byte("registries")); err != nil {
		return err
	}
	if _, err := tx.bolt.CreateBucket([]byte("registries")); err != nil {
		return err
	}
	for place, login := range logins {
		plain, err := json.Marshal(login)
		if err != nil {
			return err
		}
		b, err := tx.makeOf("registries", place.owner())
		if err != nil {
			return err
		}
		if err := b.Put([]byte(place.Host), tx.seal.seal(registryPlace(tx.id(place.owner()), place.Host), plain)); err != nil {
			return err
		}
	}
	return nil
}
