package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/store"
)

// Labels of containers, by which they are recognised after a restart.
const (
	LabelApp     = "berth.app" // the app's user id, which outlives a change of name
	LabelKind    = "berth.kind"
	LabelRelease = "berth.release"
	LabelProcess = "berth.process"
	LabelNumber  = "berth.number"
	labelLimits  = "berth.limits"

	// LabelVolumes has the ids of the volumes that the container has, between spaces.
	LabelVolumes = "berth.volumes"

	// KindInstance is the kind of the containers of instances. Others have
	// other kinds, and the fleet does not touch them.
	KindInstance = "instance"
)

// Release is one runnable state of an app, with how many instances of each
// process type are to run.
type Release struct {
	Number int
	UID    int    // Unix user of its processes
	Limits Limits // of what runs in its image and is no process: one-offs, jobs
	Mounts []Mount

	Layer string // key of the root filesystem
	Base  string // key of the layer below it, which holds all but the source

	// Of an image that berth did not build.
	Foreign    bool
	StopSignal string        // what asks a program to end; "" is SIGTERM
	Grace      time.Duration // between that and SIGKILL; 0 is StopGrace
	Exposes    []string      // ports that it says it listens on: "80/tcp"

	Language string   // what it was built as: "python"
	Port     int      // the value of PORT
	Env      []string // KEY=value, PORT among them

	Processes []Process
}

// Process is a process type of a release.
type Process struct {
	Type    string
	Count   int    // how many instances are to run
	Command string // as people know it
	Args    []string
	Dir     string
	Limits  Limits // of each instance

	// Unchecked is set when an instance counts as healthy once it runs and, where it
	// is web, listens.
	Unchecked bool

	// Checks are what an instance has to pass. Those of another type are
	// allowed and have no effect.
	Checks []store.HealthCheck
}

// exposes tells whether the image says that it listens on a port.
func (r Release) exposes(port string) bool {
	return slices.Contains(r.Exposes, port+"/tcp") || slices.Contains(r.Exposes, port)
}

// mounts are those that a container of a kind has: an instance the ones of its
// process type, everything else all of them.
func (r Release) mounts(kind, process string) (list []Mount) {
	for _, m := range r.Mounts {
		if kind != KindInstance || m.Process == "" || m.Process == process {
			list = append(list, m)
		}
	}
	return list
}

// Spec describes the container of something that runs in the release's image.
func (r Release) Spec(app, kind string, labels map[string]string) Spec {
	all := map[string]string{LabelApp: strconv.Itoa(r.UID), LabelKind: kind}
	maps.Copy(all, labels)
	mounts := r.mounts(kind, all[LabelProcess])
	var volumes []string
	for _, m := range mounts {
		if m.Volume != "" {
			volumes = append(volumes, m.Volume)
		}
	}
	if len(volumes) > 0 {
		all[LabelVolumes] = strings.Join(volumes, " ")
	}
	return Spec{
		ID: NewID(), Layer: r.Layer, UID: r.UID, Hostname: hostname(app), Labels: all, Limits: r.Limits,
		Mounts:  mounts,
		Foreign: r.Foreign, StopSignal: r.StopSignal,
	}
}

// hostname is what a container of an app calls itself. A name with dots is the
// app's public host: in the container's hosts file it would lead to the container.
func hostname(app string) string { return strings.ReplaceAll(app, ".", "-") }

// Slot is a place in the formation of a release, which one instance fills.
type Slot struct {
	Process Process
	Number  int // from 1
}

func (s Slot) String() string { return slotName(s.Process.Type, s.Number) }

func slotName(process string, number int) string { return process + "." + strconv.Itoa(number) }

// Slots lists the formation, in the order of the processes.
func (r Release) Slots() []Slot {
	var all []Slot
	for _, p := range r.Processes {
		for n := 1; n <= p.Count; n++ {
			all = append(all, Slot{p, n})
		}
	}
	return all
}

// IdentityNames are the variables that WithIdentity adds.
var IdentityNames = []string{"BERTH_APP", "BERTH_RELEASE", "BERTH_PROCESS", "DYNO"}

// WithIdentity adds the variables that tell a program what it is: of which app and
// release, and by which name ("web.1"; DYNO is Heroku's and Dokku's variable for
// it). One that the release sets stays as it is.
func WithIdentity(env []string, app string, release int, name string) []string {
	all := slices.Clone(env)
	for i, value := range []string{app, fmt.Sprintf("v%d", release), name, name} {
		prefix := IdentityNames[i] + "="
		if !slices.ContainsFunc(env, func(set string) bool { return strings.HasPrefix(set, prefix) }) {
			all = append(all, prefix+value)
		}
	}
	return all
}
