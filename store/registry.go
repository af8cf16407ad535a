package store

import (
	"encoding/json"
	"fmt"
)

// RegistryLogin is who berth is to a registry of images.
type RegistryLogin struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

const registriesPlace = "registries"

// Registries returns the logins by the registry's host. It is never nil.
func (tx *Tx) Registries() (map[string]RegistryLogin, error) {
	logins := map[string]RegistryLogin{}
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
func (tx *Tx) PutRegistries(logins map[string]RegistryLogin) error {
	plain, err := json.Marshal(logins)
	if err != nil {
		return err
	}
	return tx.bucket("meta").Put([]byte(registriesPlace), tx.seal.seal(registriesPlace, plain))
}
