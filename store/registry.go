package store

import (
	"encoding/json"
	"fmt"
	"strings"
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

const registriesPlace = "registries"

// MarshalText writes "host" for the machine's and "app/host" for an app's.
func (p RegistryPlace) MarshalText() ([]byte, error) {
	if p.App == "" {
		return []byte(p.Host), nil
	}
	return []byte(p.App + "/" + p.Host), nil
}

// UnmarshalText reads what MarshalText writes.
func (p *RegistryPlace) UnmarshalText(text []byte) error {
	app, host, found := strings.Cut(string(text), "/")
	if !found {
		app, host = "", app
	}
	*p = RegistryPlace{app, host}
	return nil
}

// Registries returns the logins. It is never nil.
func (tx *Tx) Registries() (map[RegistryPlace]RegistryLogin, error) {
	logins := map[RegistryPlace]RegistryLogin{}
	sealed := tx.bucket("meta").Get([]byte(registriesPlace))
	if sealed == nil {
		return logins, nil
	}
	plain, err := tx.seal.open(registriesPlace, sealed)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(plain, &logins); err != nil {
		return nil, fmt.Errorf("read the logins of registries: %w", err)
	}
	return logins, nil
}

// PutRegistries stores the logins, encrypted.
func (tx *Tx) PutRegistries(logins map[RegistryPlace]RegistryLogin) error {
	plain, err := json.Marshal(logins)
	if err != nil {
		return err
	}
	return tx.bucket("meta").Put([]byte(registriesPlace), tx.seal.seal(registriesPlace, plain))
}

// moveRegistries gives an app's logins to another name; with "" they are deleted.
func (tx *Tx) moveRegistries(from, to string) error {
	logins, err := tx.Registries()
	if err != nil {
		return err
	}
	moved := false
	for place, login := range logins {
		if place.App != from {
			continue
		}
		moved = true
		delete(logins, place)
		if to != "" {
			logins[RegistryPlace{to, place.Host}] = login
		}
	}
	if !moved {
		return nil
	}
	return tx.PutRegistries(logins)
}
