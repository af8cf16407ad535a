package store

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// MaxConfigValue is the longest value of a config variable in bytes: what the
// kernel takes as one string of a program's environment (MAX_ARG_STRLEN).
const MaxConfigValue = 128<<10 - 1

var configName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ValidConfig returns nil when the variable may be set, else a fault (E107, E196).
func ValidConfig(name, value string) error {
	switch {
	case !configName.MatchString(name):
		return fault.New(fault.Usage, code.ConfigInvalid, "%.60q is not a valid name of a config variable", name).
			Hint("use letters, digits and _, without a digit first")
	case strings.ContainsRune(value, 0):
		return fault.New(fault.Usage, code.ConfigInvalid, "the value of %s contains a NUL byte", name)
	case len(name)+1+len(value) > MaxConfigValue:
		return fault.New(fault.Usage, code.ConfigInvalid, "the value of %s has %d bytes; the maximum is %d", name, len(value), MaxConfigValue-len(name)-1)
	}
	if name == "PORT" {
		return validPort(value)
	}
	return nil
}

// Config returns an app's config. It is never nil.
func (tx *Tx) Config(app string) (map[string]string, error) {
	config := map[string]string{}
	id := tx.id(app)
	if id == "" {
		return config, nil
	}
	sealed := tx.bucket("config").Get([]byte(id))
	if sealed == nil {
		return config, nil
	}
	plain, err := tx.seal.open(configPlace(id), sealed)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(plain, &config); err != nil {
		return nil, fmt.Errorf("read the config of %s: %w", app, err)
	}
	return config, nil
}

// PutConfig stores an app's config, encrypted.
func (tx *Tx) PutConfig(app string, config map[string]string) error {
	id, err := tx.mustID(app)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return tx.bucket("config").Put([]byte(id), tx.seal.seal(configPlace(id), plain))
}

func configPlace(id string) string { return "config " + id }
