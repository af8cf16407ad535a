package store

import (
	"encoding/json"
	"fmt"
	"maps"
)

// GlobalConfig is the config that all apps have. A variable that an app has of its
// own wins.
type GlobalConfig struct{ *records }

// Get returns it. It is never nil.
func (g GlobalConfig) Get() (map[string]string, error) {
	config := map[string]string{}
	sealed := g.bucket("config").Get([]byte(machine))
	if sealed == nil {
		return config, nil
	}
	plain, err := g.seal.open(configPlace(machine), sealed)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(plain, &config); err != nil {
		return nil, fmt.Errorf("read the config of all apps: %w", err)
	}
	return config, nil
}

// Put stores it, encrypted.
func (g GlobalConfig) Put(config map[string]string) error {
	plain, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return g.bucket("config").Put([]byte(machine), g.seal.seal(configPlace(machine), plain))
}

// MergedConfig is what an app gets of the config of all apps and of its own.
func MergedConfig(global, own map[string]string) map[string]string {
	merged := map[string]string{}
	maps.Copy(merged, global)
	maps.Copy(merged, own)
	return merged
}
