package runtime

import (
	"errors"
	"testing"
)

func TestConfineBy(t *testing.T) {
	yes, no := func() bool { return true }, func() bool { return false }
	for name, test := range map[string]struct {
		enabled   string
		supported func() bool
		load      error
		profile   string
		missing   bool
	}{
		"a kernel without it": {"", yes, nil, "", false},
		"switched off":        {"N\n", yes, nil, "", false},
		"on":                  {"Y\n", yes, nil, appArmorProfile, false},
		"without the parser":  {"Y\n", no, nil, "", true},
		"a parser that fails": {"Y\n", yes, errors.New("exit status 1"), "", true},
	} {
		loaded := ""
		got := confineBy(test.enabled, test.supported, func(name string) error { loaded = name; return test.load })
		if got.profile != test.profile || (got.missing != nil) != test.missing {
			t.Errorf("%s: got %+v", name, got)
		}
		if got.profile != "" && loaded != got.profile {
			t.Errorf("%s: containers get %s, loaded is %q", name, got.profile, loaded)
		}
	}
}
