// Package code has the codes of faults: for each a constant, a sentence that says
// what it means, and a paragraph of help for the reader of a message.
// `berth explain` prints them, and docs/errors.md lists them.
//
// A code is stable: pages and scripts refer to it. The number of one that is no
// longer used is not given again. One package makes the faults of a code, and
// offers a constructor where another one needs them.
//
// The package imports nothing of berth, and each file has the codes of a noun.
// buildpacks must not know faults: buildpacks/source names its codes itself, and
// a test holds them against this table.
package code

import (
	"slices"
	"strings"
)

// Entry says what a code means.
type Entry struct {
	Code     string `json:"code"`     // "E301"
	Sentence string `json:"sentence"` // what it means
	Help     string `json:"help"`     // what happened, why, what to do; commands stand in backquotes
}

var nouns = [][]Entry{
	apps, releases, processes, resources, oneOffs, crons, configs, domains, certificates, requests, ports,
	access, asking, appliance, state, git, source, images, builds, machine, storage, networks, properties,
}

// scripts names the shell scripts that print codes.
var scripts = map[string]string{
	FirewallClosed: "install.sh",
	RuncVulnerable: "install.sh",
}

// All returns every code in the order of their numbers.
func All() []Entry {
	return slices.SortedFunc(slices.Values(slices.Concat(nouns...)), func(a, b Entry) int { return strings.Compare(a.Code, b.Code) })
}

// Find returns the entry of a code, as people write it: E301, e301, 301, [E301].
func Find(word string) (Entry, bool) {
	word = strings.ToUpper(strings.Trim(strings.TrimSpace(word), "[]"))
	if !strings.HasPrefix(word, "E") {
		word = "E" + word
	}
	for _, noun := range nouns {
		for _, entry := range noun {
			if entry.Code == word {
				return entry, true
			}
		}
	}
	return Entry{}, false
}

// Script returns the shell script that prints a code as well, or "".
func Script(code string) string { return scripts[code] }
