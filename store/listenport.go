package store

import (
	"strconv"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// UsualPort is what PORT is unless the config sets it. Each container has a
// network namespace of its own, so all can have the same.
const UsualPort = 5000

// ListenPort is the value of PORT with a config: where an app is to listen. Values
// that are no port are refused when they are set; one from before there was that
// rule is passed over.
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
