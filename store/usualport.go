package store

import (
	"strconv"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// UsualPort is the value of PORT unless the config sets it. Each container has
// its own network namespace, so all can have the same port.
const UsualPort = 5000

// ListenPort returns the port on which an app with this config should listen.
// config:set refuses a value that is not a port; one that was set before that rule
// is ignored.
func ListenPort(config map[string]string) int {
	if n, ok := parsePort(config["PORT"]); ok {
		return n
	}
	return UsualPort
}

// validPort returns nil when PORT may have the value, else a fault (E196).
func validPort(value string) error {
	if _, ok := parsePort(value); !ok {
		return fault.New(fault.Usage, code.ConfigPortInvalid, "PORT cannot be %.20q", value).
			Hint("use a number from 1 to 65535, the port on which the app listens; config:unset resets it to 5000")
	}
	return nil
}

func parsePort(value string) (n int, ok bool) {
	v, err := strconv.ParseUint(value, 10, 16)
	return int(v), err == nil && v > 0
}
