package main

import (
	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/verbs"
)

// rooms says who does what the verbs ask for.
func rooms(d *deploy.Deployer) verbs.Rooms {
	return verbs.Rooms{
		Apps:        d,
		Processes:   d,
		Config:      d,
		Releases:    d,
		Builds:      d.Builder(),
		Pushes:      d,
		Builder:     d.Builder(),
		Git:         d,
		Registries:  d.Builder(),
		Logs:        d.LogBook,
		Jobs:        d,
		Domains:     d,
		Certs:       d,
		LetsEncrypt: d,
		Router:      d,
		Requests:    d,
		Ports:       d,
		Keys:        d,
		Network:     d,
		Doctor:      d,
	}
}
