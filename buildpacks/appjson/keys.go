package appjson

import (
	"fmt"
	"maps"
	"slices"

	"github.com/agext/levenshtein"

	"github.com/berthd/berth/buildpacks/source"
)

// keys are the names that an object may have, each with those below it; nil is
// a value that is not looked into. The name "*" stands for any name.
type keys map[string]keys

var variables = keys{"*": {"value": nil, "required": nil, "generator": nil, "sync": nil, "description": nil}}

// known are the names that are acted on, the ones that describe an app for
// people, and those that are ignored with a note of their own.
var known = keys{
	"$schema": nil, "name": nil, "description": nil, "keywords": nil, "website": nil, "repository": nil, "logo": nil, "success_url": nil,
	"addons": nil, "buildpack": nil, "buildpacks": {"url": nil},
	"formation": {"*": {"quantity": nil}},
	"cron":      {"command": nil, "schedule": nil, "timezone": nil, "maintenance": nil, "concurrency_policy": nil},
	"healthchecks": {"*": {
		"name": nil, "type": nil, "path": nil, "command": nil, "listening": nil, "uptime": nil, "content": nil, "httpHeaders": {"name": nil, "value": nil},
		"port": nil, "scheme": nil, "warn": nil, "attempts": nil, "timeout": nil, "wait": nil, "initialDelay": nil, "description": nil,
	}},
	"env":     variables,
	"scripts": {"predeploy": nil, "postdeploy": nil, "dokku": {"predeploy": nil, "postdeploy": nil}},
	"environments": {"test": {
		"scripts": {"test": nil, "test-setup": nil}, "env": variables, "buildpacks": nil, "addons": nil,
	}},
}

// mostUnread bounds how many names a push tells of.
const mostUnread = 10

// unread notes the names that berth does not read: one that is misspelt would
// be ignored in silence.
func unread(root source.JSON) (notes []string) {
	var all []string
	gather(root, known, "", &all)
	for n, note := range all {
		if n == mostUnread {
			return append(notes, fmt.Sprintf("app.json: %d more keys are ignored", len(all)-n))
		}
		notes = append(notes, note)
	}
	return notes
}

func gather(v source.JSON, below keys, path string, notes *[]string) {
	for _, item := range v.Items {
		gather(item, below, path, notes)
	}
	for _, f := range v.Fields {
		next, is := below[f.Name]
		if !is {
			next, is = below["*"]
		}
		if is {
			if next != nil {
				gather(f.JSON, next, path+f.Name+".", notes)
			}
			continue
		}
		name := path + f.Name
		note := fmt.Sprintf("app.json: %s is ignored: berth has no such key", source.Printable(source.Clip(name, 60)))
		if near := nearest(f.Name, below); near != "" {
			note = fmt.Sprintf("app.json: %s is ignored; did you mean %s?", source.Printable(source.Clip(name, 60)), near)
		}
		if !slices.Contains(*notes, note) { // of each entry of a list
			*notes = append(*notes, note)
		}
	}
}

// nearest returns the name that was probably meant, "" when none is near.
func nearest(name string, among keys) string {
	if len(name) > 60 {
		return ""
	}
	best, bound := "", max(1, len(name)/3)+1
	for _, candidate := range slices.Sorted(maps.Keys(among)) {
		if d := levenshtein.Distance(name, candidate, nil); d < bound && candidate != "*" {
			best, bound = candidate, d
		}
	}
	return best
}
