package main

import (
	"github.com/berthd/berth/verbs"
)

var registryShows = map[string]printer{
	"registry:report": asTable(func(t *table, registries []verbs.Registry) {
		t.row("HOST", "USER", "APP")
		for _, r := range registries {
			t.row(r.Host, r.Username, r.App)
		}
	}),
}
