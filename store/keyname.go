package store

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// longestKeyName is in bytes.
const longestKeyName = 64

var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]*$`)

// reservedNames stand for the machine itself wherever a user is named: root is
// the user of its own socket, berth the author of what nobody asked for.
var reservedNames = []string{Root.Name, nobody}

// ValidKeyName tells whether a key may have the name.
func ValidKeyName(name string) bool {
	return len(name) <= longestKeyName && keyName.MatchString(name) && !slices.Contains(reservedNames, name)
}

// KeyNameFor chooses a name that no other key has for a key that came without
// one: its comment as far as a name may have it, else the start of its fingerprint.
func KeyNameFor(comment, fingerprint string, keys []Key) string {
	base := asKeyName(comment)
	if base == "" || slices.ContainsFunc(reservedNames, func(name string) bool { return strings.EqualFold(name, base) }) {
		base = "key-" + fingerprintStart(fingerprint)
	}
	name := base
	for n := 2; slices.ContainsFunc(keys, func(k Key) bool { return k.Name == name }); n++ {
		suffix := fmt.Sprintf("-%d", n)
		name = base[:min(len(base), longestKeyName-len(suffix))] + suffix
	}
	return name
}

// asKeyName replaces what a name may not have by hyphens, and cuts what is too
// long. It returns "" when nothing is left.
func asKeyName(comment string) string {
	legal := func(r rune) rune {
		if r < 0x80 && keyName.MatchString("x"+string(r)) {
			return r
		}
		return ' '
	}
	name := strings.Join(strings.Fields(strings.Map(legal, comment)), "-")
	name = strings.TrimLeft(name, "._@+-")
	return strings.TrimRight(name[:min(len(name), longestKeyName)], "._@+-")
}

// fingerprintStart is enough of a fingerprint to find it in a list, without the
// signs that a name may not have.
func fingerprintStart(fingerprint string) string {
	_, hash, _ := strings.Cut(fingerprint, ":")
	start := strings.Map(func(r rune) rune {
		if r == '+' || r == '/' || r == '=' {
			return -1
		}
		return r
	}, hash)
	return start[:min(len(start), 8)]
}
