package main

import (
	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/verbs"
)

// network is what has both parts of the noun.
type network struct {
	*edge.Network
	*edge.Consents
}

// rooms says who does what the verbs ask for.
func rooms(d *deploy.Deployer, asked *edge.Requests, doctor deploy.Doctor) verbs.Rooms {
	e := d.Edge()
	return verbs.Rooms{
		Apps:        d,
		Processes:   d,
		Rebuilds:    deploy.Rebuilds{Deployer: d},
		Inspect:     d,
		Checks:      d.Checks(),
		Resources:   d.Resources(),
		OneOffs:     d.Jobs(),
		Config:      d,
		Releases:    d,
		Builds:      d.Builder(),
		Pushes:      d,
		Builder:     d.Builder(),
		Git:         d,
		Registries:  d.Builder(),
		Logs:        d.Logs(),
		Cron:        d.Jobs(),
		Domains:     e,
		Certs:       e,
		LetsEncrypt: e,
		Router:      e,
		Requests:    asked,
		Ports:       e,
		Keys:        d,
		Network:     network{d.Network(), d.Consents()},
		Storage:     d.Storage(),
		Mounts:      d.Mounts,
		Doctor:      doctor,
	}
}
