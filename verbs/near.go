package verbs

import (
	"slices"
	"strings"

	"github.com/berthd/berth/store/fault"
)

// NearestVerb returns the command that word was probably meant to be, or "". It
// is one of the same noun, or of a noun that is nearly the same: what a verb does
// to one noun says nothing of another, and redis:create is no apps:create.
func NearestVerb(word string, names []string) string {
	noun, verb, hasVerb := strings.Cut(word, ":")
	if !hasVerb {
		var plain []string // "rollbak"; and of a noun alone its list
		for _, name := range names {
			if !strings.Contains(name, ":") {
				plain = append(plain, name)
			}
		}
		return fault.Nearest(word, plain)
	}
	of := map[string][]string{}
	var nouns []string
	for _, name := range names {
		if n, v, ok := strings.Cut(name, ":"); ok {
			if of[n] == nil {
				nouns = append(nouns, n)
			}
			of[n] = append(of[n], v)
		}
	}
	slices.Sort(nouns)
	if of[noun] == nil {
		if noun = fault.Nearest(noun, nouns); noun == "" {
			return ""
		}
	}
	if slices.Contains(of[noun], verb) {
		return noun + ":" + verb
	}
	if verb = fault.Nearest(verb, of[noun]); verb == "" {
		return ""
	}
	return noun + ":" + verb
}
