package main

import "github.com/berthd/berth/store"

var eventShows = map[string]printer{
	"events": asTable(func(t *table, events []store.Event) {
		t.row("WHEN", "APP", "BY", "KIND", "WHAT")
		for _, e := range events {
			t.row(ago(e.Time), e.App, e.By, e.Kind, e.Text)
		}
	}),
}
