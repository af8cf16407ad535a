package deploy

import (
	"path/filepath"
	"slices"
	"strconv"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
)

// portFor is the value of PORT with a config. Values that are no port are
// refused when they are set; one from before there was that rule is passed over.
func portFor(config map[string]string) int {
	if n, ok := store.ConfigPort(config); ok {
		return n
	}
	return store.UsualPort
}

// Kinds of containers that are not instances.
const (
	kindJob    = "job"
	kindOneOff = "one-off"
)

// spec describes the container of something that runs in a release's image.
func (d *Deployer) spec(record store.App, release store.Release, kind string, labels map[string]string) fleet.Spec {
	return formation(record, release).Spec(record.Name, kind, labels)
}

// logFile is where the output of one container is kept, of the app with the id.
// Two containers never share a file.
func (b *LogBook) logFile(id string, release int, source, container string) string {
	return filepath.Join(b.releaseLogs(id, release), source+"."+container+".log")
}

func (b *LogBook) releaseLogs(id string, release int) string {
	return filepath.Join(b.dir, id, "v"+strconv.Itoa(release))
}

// command is what a process of the release runs: the shell line of the
// Procfile, with the release's config.
func command(record store.App, r store.Release, line, name string) fleet.Command {
	list := append(environment(r), fleet.Identity(record.Name, r.Number, name)...)
	if r.Image != nil {
		// As Docker runs a command: as the arguments of the entry point.
		args := slices.Concat(r.Image.Entrypoint, []string{"/bin/sh", "-c", line})
		return fleet.Command{Args: args, Env: list, Dir: r.Image.Dir}
	}
	return fleet.Command{Args: []string{"/bin/bash", "-c", line}, Env: list, Dir: "/app"}
}

// processCommand is what runs a process of the release.
func processCommand(record store.App, r store.Release, p store.Process, name string) fleet.Command {
	cmd := command(record, r, p.Command, name)
	if len(p.Args) > 0 {
		cmd.Args = p.Args
	}
	return cmd
}
