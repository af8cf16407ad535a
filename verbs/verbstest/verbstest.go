// Package verbstest helps tests that put one value in the place of all rooms
// below the verbs. Nothing that is shipped imports it.
package verbstest

import "github.com/berthd/berth/verbs"

// Everything is what the verbs ask for, of all nouns. A test embeds it in a type
// that has the methods which it needs; what is not there panics.
type Everything interface {
	verbs.AppRoom
	verbs.ProcessRoom
	verbs.RebuildRoom
	verbs.InspectRoom
	verbs.CheckRoom
	verbs.ResourceRoom
	verbs.OneOffRoom
	verbs.ConfigRoom
	verbs.ReleaseRoom
	verbs.BuildRoom
	verbs.PushRoom
	verbs.BuilderRoom
	verbs.GitRoom
	verbs.RegistryRoom
	verbs.LogRoom
	verbs.CronRoom
	verbs.DomainRoom
	verbs.CertRoom
	verbs.LetsEncryptRoom
	verbs.RouterRoom
	verbs.RequestRoom
	verbs.PortRoom
	verbs.KeyRoom
	verbs.NetworkRoom
	verbs.DoctorRoom
	verbs.StorageRoom
	verbs.MountRoom
}

// Rooms has one value in the place of all rooms.
func Rooms(one Everything) verbs.Rooms {
	return verbs.Rooms{
		Apps:        one,
		Processes:   one,
		Rebuilds:    one,
		Inspect:     one,
		Checks:      one,
		Resources:   one,
		OneOffs:     one,
		Config:      one,
		Releases:    one,
		Builds:      one,
		Pushes:      one,
		Builder:     one,
		Git:         one,
		Registries:  one,
		Logs:        one,
		Cron:        one,
		Domains:     one,
		Certs:       one,
		LetsEncrypt: one,
		Router:      one,
		Requests:    one,
		Ports:       one,
		Keys:        one,
		Network:     one,
		Doctor:      one,
		Storage:     one,
		Mounts:      one,
	}
}
