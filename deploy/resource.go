package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

// clearWord takes a value back, in the place of one. It is Dokku's.
const clearWord = "clear"

// mostTypes bounds the process types of an app that have an allotment.
const mostTypes = 64

// resource is one thing of the machine that instances take.
type resource struct {
	name  string       // as in store.ResourceNames
	usual int64        // 0 is no limit
	free  bool         // more than is usual takes nothing from other apps
	least int64        // below, hardly a program starts
	most  func() int64 // what the machine has
	live  bool         // a limit counts for what runs, at once
	read  func(value string) (n int64, ok bool)
	show  func(n int64) string
	form  string // of a value, for the hint
}

var resources = []resource{
	{name: "memory", usual: usualMemory, least: 16 << 20, most: machineMemory, live: true, read: readSize, show: units.Bytes, form: "512m or 1g"},
	{name: "memory-swap", least: 16 << 20, most: machineSwap, live: true, read: readSize, show: units.Bytes, form: "1g, memory and swap together"},
	{name: "cpu", least: 10, most: machineCPU, live: true, read: readCPU, show: showCPU, form: "0.5 or 2"},
	{name: "pids", usual: usualPids, least: 8, most: machinePids, live: true, read: readCount, show: showCount, form: "2048"},
	{name: "files", usual: runtime.DefaultFiles, least: 32, most: machineFiles, read: readCount, show: showCount, form: "65536"},
	{name: "shm", usual: runtime.DefaultShm, free: true, least: 1 << 20, most: machineMemory, read: readSize, show: units.Bytes, form: "256m"}, // what is in it counts as memory
	{name: "disk", least: 1 << 20, most: func() int64 { return 1 << 50 }, live: true, read: readSize, show: units.Bytes, form: "2g"},
}

// reservable are those that can be promised.
var reservable = []string{"memory", "cpu"}

func resourceOf(name string) resource {
	n := slices.IndexFunc(resources, func(r resource) bool { return r.name == name })
	return resources[n]
}

// bounds is a hint.
func (r resource) bounds() string {
	if most := r.most(); most < 1<<50 {
		return fmt.Sprintf("write it as %s; from %s to %s, which is what the machine has", r.form, r.show(r.least), r.show(most))
	}
	return fmt.Sprintf("write it as %s; at least %s", r.form, r.show(r.least))
}

// parse reads a value, 0 where it is taken back. What is none is a fault (E625).
func (r resource) parse(value string) (int64, error) {
	if value == clearWord {
		return 0, nil
	}
	n, ok := r.read(value)
	if !ok || n < r.least || n > r.most() {
		return 0, fault.New(fault.Usage, code.ResourceInvalid, "%s cannot be %.60q", r.name, value).Hint("%s", r.bounds())
	}
	return n, nil
}

// Resources says what the instances of apps may take of the machine, and what
// is kept for them.
type Resources struct {
	*Processes
	apps *Apps
}

// Allotting is a change of what a process type is allotted: values by the names
// of resources. "clear" takes one back.
type Allotting struct {
	Process       string // "" is store.AnyType
	Limit         map[string]string
	Reserve       map[string]string
	ClearLimits   bool // of Process, or of every type when it is ""
	ClearReserves bool // likewise
}

// Allotted is what came of it.
type Allotted struct {
	App     string   `json:"app"`
	Process string   `json:"process_type"`
	Now     []string `json:"now"`   // limits that what runs has at once
	Later   []string `json:"later"` // limits that count from an instance's next start
}

// Allot changes what a process type of an app may take, and what is kept for it.
// What runs is given its limits at once, where the kernel can do that. More than
// is usual, or than who answers for the machine has set, takes from other apps:
// it needs access to all of them (E111).
func (d *Resources) Allot(ctx context.Context, app string, a Allotting, by store.User, out io.Writer) (Allotted, error) {
	return d.allot(ctx, app, a, by, out)
}

func (d *Processes) allot(ctx context.Context, app string, a Allotting, by store.User, out io.Writer) (Allotted, error) {
	done := Allotted{App: app, Process: cmp.Or(a.Process, store.AnyType), Now: []string{}, Later: []string{}}
	type setting struct {
		kind, name string
		n          int64
	}
	var settings []setting
	for _, kind := range []string{"limit", "reserve"} {
		values := map[string]map[string]string{"limit": a.Limit, "reserve": a.Reserve}[kind]
		for _, name := range slices.Sorted(maps.Keys(values)) { // the same fault each time
			if !slices.Contains(store.ResourceNames, name) || kind == "reserve" && !slices.Contains(reservable, name) {
				return done, fault.New(fault.Usage, code.ResourceInvalid, "no %s of %.60q can be set", kind, name).
					Hint("limits: %s; reservations: %s", strings.Join(store.ResourceNames, ", "), strings.Join(reservable, ", "))
			}
			n, err := resourceOf(name).parse(values[name])
			if err != nil {
				return done, err
			}
			settings = append(settings, setting{kind, name, n})
		}
	}
	e := store.Event{App: app, By: by.Name, Kind: "resource", Text: a.text()}
	return done, d.reshape(ctx, app, "the change of limits by "+by.Name, out, func(record *store.App, release store.Release) (change, error) {
		if err := d.knows(*record, release, a); err != nil {
			return change{}, err
		}
		before, machine := *record, d.counts(store.App{}).Limits
		record.Resources = record.Resources.Clone()
		a.clear(record, len(by.Apps) > 0)
		for _, s := range settings {
			if err := setResource(record, done.Process, s.kind, s.name, s.n, by, machine); err != nil {
				return change{}, err
			}
		}
		counts := d.counts(*record)
		if err := consistent(counts, release); err != nil {
			return change{}, err
		}
		done.Now, done.Later = differing(d.counts(before), counts, release)
		return change{by: by}, nil
	}, e)
}

// text says what is changed, for the event.
func (a Allotting) text() string {
	var parts []string
	list := func(word string, values map[string]string) {
		for _, name := range store.ResourceNames {
			if value, is := values[name]; is {
				parts = append(parts, fmt.Sprintf("%s %s %s", word, name, value))
			}
		}
	}
	list("limit", a.Limit)
	list("reserve", a.Reserve)
	if a.ClearLimits {
		parts = append(parts, "cleared limits")
	}
	if a.ClearReserves {
		parts = append(parts, "cleared reservations")
	}
	of := "every type"
	if a.Process != "" && a.Process != store.AnyType {
		of = a.Process
	}
	return of + ": " + strings.Join(parts, ", ")
}

// knows returns a fault (E115) of a process type that the release does not have,
// unless something of it is to be cleared.
func (d *Processes) knows(record store.App, release store.Release, a Allotting) error {
	if a.Process == "" || a.Process == store.AnyType || a.ClearLimits || a.ClearReserves {
		return nil
	}
	if record.Release != 0 && !hasProcess(release, a.Process) {
		return noProcess(record.Name, a.Process, release)
	}
	if _, is := record.Resources[a.Process]; !is && len(record.Resources) >= mostTypes {
		return fault.New(fault.Conflict, code.ResourcesTooMany, "%d process types of %s have limits or reservations already", mostTypes, record.Name)
	}
	return nil
}

// noProcess returns the fault (E115) of a process type that a release does not have.
func noProcess(app, process string, release store.Release) error {
	return fault.New(fault.NotFound, code.ProcessUnknown, "%s has no process type %.60q", app, process).
		Hint("the process types are %s", strings.Join(processTypes(release), ", "))
}

// clear takes back all limits or reservations. A key that is bound to apps does
// so with its own limits alone.
func (a Allotting) clear(record *store.App, bound bool) {
	for process, allotted := range record.Resources {
		if a.Process != "" && a.Process != process {
			continue
		}
		if a.ClearLimits {
			allotted.Own = store.Resource{}
		}
		if a.ClearLimits && !bound {
			allotted.Limit = store.Resource{}
		}
		if a.ClearReserves {
			allotted.Reserve = store.Resource{}
		}
		record.Resources[process] = allotted
	}
	if a.ClearLimits && !bound && (a.Process == "" || a.Process == store.AnyType) {
		record.Limits = store.Limits{}
	}
}

// setResource sets a limit or a reservation of a process type; 0 takes it back.
func setResource(record *store.App, process, kind, name string, n int64, by store.User, machine store.Limits) error {
	r := resourceOf(name)
	all := store.Resource{Memory: machine.Memory, Pids: machine.Pids}
	r.usual = cmp.Or(*all.Of(name), r.usual) // what is set for all apps
	allotted := record.Resources[process]
	bound := len(by.Apps) > 0
	if bound {
		if most := ceiling(*record, process, kind, r); most >= 0 && n > most {
			f := by.NoAccess(fmt.Sprintf("more than %s of %s", r.show(most), name))
			if most == 0 {
				f = by.NoAccess("reservations")
			}
			return f.Hint("this key can set up to %s; a key that is bound to no app can set more", r.show(most))
		}
	}
	switch {
	case kind == "reserve":
		*allotted.Reserve.Of(name) = n
	case bound:
		*allotted.Own.Of(name) = n
	default:
		*allotted.Limit.Of(name), *allotted.Own.Of(name) = n, 0
	}
	record.Resources[process] = allotted
	if kind == "limit" && process == store.AnyType {
		forgetOldLimit(record, name, bound)
	}
	return nil
}

// forgetOldLimit takes back what an earlier berth's ps:set has set. What was more
// than is usual, somebody with access to all apps did: it stays for a key that is
// bound.
func forgetOldLimit(record *store.App, name string, bound bool) {
	old := map[string]*int64{"memory": &record.Limits.Memory, "pids": &record.Limits.Pids}[name]
	if old != nil && (!bound || *old <= resourceOf(name).usual) {
		*old = 0
	}
	if name == "cpu" && !bound {
		record.Limits.CPUs = 0
	}
}

// ceiling is what a key that is bound to apps may set at most; negative is
// anything.
func ceiling(record store.App, process, kind string, r resource) int64 {
	if kind == "reserve" {
		reserved := record.Resources.Reserve(process)
		return *reserved.Of(r.name)
	}
	set := record.Resources.Ceiling(process)
	if n := *set.Of(r.name); n != 0 {
		return n
	}
	old := store.Resource{Memory: record.Limits.Memory, Pids: record.Limits.Pids}
	switch {
	case r.free || r.usual == 0 && r.name != "memory-swap":
		return -1
	case r.name == "memory-swap": // without leave, nothing is swapped
		return ceiling(record, process, kind, resourceOf("memory"))
	}
	return max(r.usual, *old.Of(r.name))
}

// consistent returns a fault (E625, E628) when the limits of a type contradict
// one another.
func consistent(record store.App, release store.Release) error {
	for _, process := range allotees(record, release) {
		set := record.Limit(process)
		limit, reserve := usually(set), record.Resources.Reserve(process)
		if set.Swap != 0 && set.Swap < limit.Memory {
			return fault.New(fault.Usage, code.ResourceInvalid, "memory-swap of %s is %s, and its memory alone %s", process, units.Bytes(set.Swap), units.Bytes(limit.Memory)).
				Hint("memory-swap counts both together, as Docker does: give as much as memory, or more")
		}
		for _, name := range reservable {
			r := resourceOf(name)
			if most := *limit.Of(name); most != 0 && *reserve.Of(name) > most {
				return fault.New(fault.Usage, code.ReserveAboveLimit, "%s of %s would be reserved for each instance of %s, and its limit is %s", r.show(*reserve.Of(name)), name, process, r.show(most)).
					Hint("raise the limit, or reserve less")
			}
		}
	}
	return nil
}

// allotees are the process types of a release, those that have an allotment, and
// store.AnyType, which comes first.
func allotees(record store.App, release store.Release) []string {
	types := processTypes(release)
	for _, process := range slices.Sorted(maps.Keys(record.Resources)) {
		if process != store.AnyType && !slices.Contains(types, process) {
			types = append(types, process)
		}
	}
	return append([]string{store.AnyType}, types...)
}

// differing says which limits of what is to run change at once, and which later.
func differing(before, after store.App, release store.Release) (now, later []string) {
	now, later = []string{}, []string{}
	for _, r := range resources {
		changed := slices.ContainsFunc(formation.Slots(after, release), func(s formation.Slot) bool {
			old, fresh := usually(before.Limit(s.Process.Type)), usually(after.Limit(s.Process.Type))
			return *old.Of(r.name) != *fresh.Of(r.name)
		})
		switch {
		case changed && r.live:
			now = append(now, r.name)
		case changed:
			later = append(later, r.name)
		}
	}
	return now, later
}

// TypeResources is what a process type is allotted and takes.
type TypeResources struct {
	Process   string         `json:"process_type"`
	Instances int            `json:"instances"`
	Limit     store.Resource `json:"limit"` // of each, the usual ones filled in; 0 is none
	Reserve   store.Resource `json:"reserve"`
	Memory    int64          `json:"memory_used"` // bytes, of all instances
	Peak      int64          `json:"memory_peak"` // bytes, the most that one instance was seen to use
	CPU       float64        `json:"cpu_seconds"` // of all instances, since their start
}

// ResourceReport is what an app is allotted and takes.
type ResourceReport struct {
	App   string          `json:"app"`
	Types []TypeResources `json:"types"`
}

// ResourceReport returns what an app is allotted and takes.
func (d *Resources) ResourceReport(ctx context.Context, app string) (ResourceReport, error) {
	status, err := d.apps.Status(ctx, app)
	if err != nil {
		return ResourceReport{}, err
	}
	release, err := d.liveWithoutConfig(status.App)
	if err != nil {
		return ResourceReport{}, err
	}
	report, counts := ResourceReport{App: app}, d.counts(status.App)
	for _, process := range allotees(status.App, release) {
		t := TypeResources{
			Process: process, Limit: usually(counts.Limit(process)), Reserve: status.App.Resources.Reserve(process),
			Instances: status.App.Instances(process),
		}
		for _, i := range status.Instances {
			if i.Process == process {
				t.Memory += i.Memory
				t.Peak = max(t.Peak, i.Peak)
				t.CPU += i.CPU
			}
		}
		report.Types = append(report.Types, t)
	}
	return report, nil
}

// readSize reads 512m or 1g. A number alone is MiB, as it is for Dokku.
func readSize(value string) (int64, bool) {
	n, err := units.ParseBytes(value, units.MiB)
	return n, err == nil
}

// readCPU reads cores, as thousandths of one.
func readCPU(value string) (int64, bool) {
	if strings.Trim(value, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || n > 1<<20 {
		return 0, false
	}
	return int64(math.Round(n * 1000)), true
}

func showCPU(n int64) string { return strconv.FormatFloat(float64(n)/1000, 'f', -1, 64) }

func readCount(value string) (int64, bool) {
	n, err := strconv.ParseInt(value, 10, 64)
	return n, err == nil
}

func showCount(n int64) string { return strconv.FormatInt(n, 10) }

// machineMemory is how much memory the machine has, in bytes.
func machineMemory() int64 {
	memory, _ := memories()
	return memory
}

// machineSwap is how much memory and swap it has.
func machineSwap() int64 {
	memory, swap := memories()
	return memory + swap
}

func memories() (memory, swap int64) {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 1 << 50, 0
	}
	return int64(info.Totalram) * int64(info.Unit), int64(info.Totalswap) * int64(info.Unit)
}

func machineCPU() int64 { return 1000 * int64(goruntime.NumCPU()) }

// machineFiles is how many open files a container can be given.
func machineFiles() int64 {
	var own unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &own) != nil || own.Max > 1<<30 {
		return 1 << 30
	}
	return int64(own.Max)
}

// machinePids is how many processes and threads the machine can have.
func machinePids() int64 {
	text, err := os.ReadFile("/proc/sys/kernel/threads-max")
	if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); errors.Join(err, bad) == nil {
		return n
	}
	return 1 << 15 // the kernel's usual pid_max
}
