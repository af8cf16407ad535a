// Package formation translates a release into the fleet's terms: its processes
// with their config, and the commands that run in its image.
package formation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
)

// Of returns what should run of an app: the release with its config, and the
// number of instances of each process. A process of type release is not kept
// running.
func Of(record store.App, r store.Release) fleet.Release {
	out := fleet.Release{
		Number: r.Number, UID: record.UID, Layer: r.Layer, Base: r.Base, Language: r.Language,
		Limits: limits(record, store.AnyType),
		Port:   store.ListenPort(r.Variables()), Env: environment(r),
	}
	for _, m := range r.Mounts {
		out.Mounts = append(out.Mounts, fleet.Mount{Volume: m.Volume, Host: m.Host, Path: m.Path, ReadOnly: m.ReadOnly, Process: m.Process})
	}
	if r.Image != nil {
		out.Foreign, out.StopSignal, out.Exposes = true, r.Image.StopSignal, r.Image.Ports
	}
	out.StopSignal, out.Grace = cmp.Or(record.StopSignal, out.StopSignal), time.Duration(record.StopSeconds)*time.Second
	for _, p := range r.Processes {
		if p.Type == "release" {
			continue
		}
		cmd := ProcessCommand(record, r, p, "")
		out.Processes = append(out.Processes, fleet.Process{
			Type: p.Type, Count: record.Instances(p.Type), Command: p.Command, Args: cmd.Args, Dir: cmd.Dir, Checks: r.Health,
			Limits: limits(record, p.Type), Unchecked: record.SkipsChecks(p.Type),
		})
	}
	return out
}

// Slot is a place in what is to run of an app.
type Slot = fleet.Slot

// limits are those of each instance of a process type.
func limits(record store.App, process string) fleet.Limits {
	r := record.Limit(process)
	return fleet.Limits{Memory: r.Memory, Swap: r.Swap, CPUs: float64(r.CPU) / 1000, Pids: r.Pids, Files: r.Files, Shm: r.Shm, Disk: r.Disk}
}

// Slots lists the names of the instances that should run of an app.
func Slots(record store.App, r store.Release) []fleet.Slot { return Of(record, r).Slots() }

// Spec describes the container of something that runs in a release's image.
func Spec(record store.App, release store.Release, kind string, labels map[string]string) fleet.Spec {
	return Of(record, release).Spec(record.Name, kind, labels)
}

// Command is what a process of the release runs: the shell line of the Procfile,
// with the release's config. name is the process's, "web.1" say.
func Command(record store.App, r store.Release, line, name string) fleet.Command {
	list := fleet.WithIdentity(environment(r), record.Name, r.Number, name)
	if r.Image != nil {
		// As Docker runs a command: as the arguments of the entry point.
		args := slices.Concat(r.Image.Entrypoint, []string{"/bin/sh", "-c", line})
		return fleet.Command{Args: args, Env: list, Dir: r.Image.Dir}
	}
	return fleet.Command{Args: []string{"/bin/bash", "-c", line}, Env: list, Dir: "/app"}
}

// ProcessCommand is what runs a process of the release.
func ProcessCommand(record store.App, r store.Release, p store.Process, name string) fleet.Command {
	cmd := Command(record, r, p.Command, name)
	if len(p.Args) > 0 {
		cmd.Args = p.Args
	}
	return cmd
}

// environment is what the processes of a release get of its build, of berth, and
// of its config: the later wins.
func environment(r store.Release) []string {
	env := map[string]string{}
	maps.Copy(env, r.Env)
	for _, name := range fleet.IdentityNames { // an image's own would be another's
		delete(env, name)
	}
	if r.Commit != "" { // Dokku's and Heroku's name of it
		env["GIT_REV"], env["SOURCE_VERSION"] = r.Commit, r.Commit
	}
	config := r.Variables()
	maps.Copy(env, config)
	env["PORT"] = fmt.Sprint(store.ListenPort(config)) // for every kind of process: all of them read the app's settings
	list := make([]string, 0, len(env)+8)
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}
