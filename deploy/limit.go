package deploy

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// The least that a limit may be: below, hardly a program starts.
const (
	leastMemory = 16 << 20
	leastPids   = 8
)

// limitProperty is one limit of each instance of an app.
type limitProperty struct {
	name  string
	usual int64
	least int64
	most  func() int64 // what the machine has
	of    func(*store.Limits) *int64
	read  func(value string) (n int64, ok bool)
	show  func(n int64) string
	form  string // of a value, for the hint
}

var limitProperties = []limitProperty{
	{
		name: "memory", usual: runtime.DefaultMemory, least: leastMemory, most: machineMemory,
		of: func(l *store.Limits) *int64 { return &l.Memory }, read: readMemory, show: showMemory, form: "512MB or 2GB",
	},
	{
		name: "processes", usual: runtime.DefaultPids, least: leastPids, most: machinePids,
		of:   func(l *store.Limits) *int64 { return &l.Pids },
		read: func(value string) (int64, bool) { n, err := strconv.ParseInt(value, 10, 64); return n, err == nil },
		show: func(n int64) string { return strconv.FormatInt(n, 10) }, form: "2048",
	},
}

// LimitProperties are the names of the limits that SetLimit takes.
func LimitProperties() (names []string) {
	for _, p := range limitProperties {
		names = append(names, p.name)
	}
	return names
}

// EffectiveLimits are an app's limits with the usual ones where none is set.
func EffectiveLimits(l store.Limits) store.Limits {
	for _, p := range limitProperties {
		n := p.of(&l)
		*n = cmp.Or(*n, p.usual)
	}
	return l
}

// NoProcessProperty returns the fault (E188) of a property that processes do
// not have.
func NoProcessProperty(name string) *fault.Error {
	return fault.New(fault.Usage, code.ProcessPropertyInvalid, "processes have no property %.60q", name).
		Hint("they have rollout, %s", strings.Join(LimitProperties(), ", "))
}

// SetLimit sets a limit of each instance of an app, of its jobs and its one-offs,
// and replaces what runs. An empty value is the usual one. What does not come up
// within the limit leaves the app as it was. More than is usual takes from other
// apps: it needs access to all of them (E111).
func (d *Processes) SetLimit(ctx context.Context, app, name, value string, by store.User, out io.Writer) error {
	i := slices.IndexFunc(limitProperties, func(p limitProperty) bool { return p.name == name })
	if i < 0 {
		return NoProcessProperty(name)
	}
	p := limitProperties[i]
	n, err := p.parse(value)
	if err != nil {
		return err
	}
	if n > p.usual {
		if err := by.May(store.RoleDeploy, ""); err != nil {
			return fault.From(err).Hint("up to %s it is the app's own affair", p.show(p.usual))
		}
	}
	text := fmt.Sprintf("set %s to %s", name, p.show(cmp.Or(n, p.usual)))
	return d.reshape(ctx, app, "the change of limits by "+by.Name, out, func(record *store.App, _ store.Release) (change, error) {
		unchanged := *p.of(&record.Limits) == n
		*p.of(&record.Limits) = n
		return change{Change: fleet.Change{Fresh: !unchanged}}, nil
	}, store.Event{App: app, By: by.Name, Kind: "ps", Text: text})
}

// parse reads a value; an empty one is 0.
func (p limitProperty) parse(value string) (int64, error) {
	if value == "" {
		return 0, nil
	}
	n, ok := p.read(value)
	if !ok {
		return 0, fault.New(fault.Usage, code.ProcessPropertyInvalid, "%s cannot be %.60q", p.name, value).Hint("write it as %s", p.form)
	}
	if most := p.most(); n < p.least || n > most {
		return 0, fault.New(fault.Usage, code.ProcessPropertyInvalid, "%s cannot be %.60q", p.name, value).
			Hint("from %s to %s, which is what the machine has", p.show(p.least), p.show(most))
	}
	return n, nil
}

// readMemory reads 512MB, 512m, 2GB or 2gi: always powers of two, as Docker has
// them. A number alone says no unit, and means another thing to everybody.
func readMemory(value string) (int64, bool) {
	number := strings.ToLower(value)
	unit := strings.TrimLeft(number, "0123456789")
	n, err := strconv.ParseInt(strings.TrimSuffix(number, unit), 10, 64)
	shift, known := map[string]int{"m": 20, "mb": 20, "mi": 20, "mib": 20, "g": 30, "gb": 30, "gi": 30, "gib": 30}[unit]
	if err != nil || !known || n > 1<<20 {
		return 0, false
	}
	return n << shift, true
}

func showMemory(n int64) string {
	if n >= 1<<30 && n%(1<<30) == 0 {
		return fmt.Sprintf("%dGB", n>>30)
	}
	return fmt.Sprintf("%dMB", n>>20)
}

// machineMemory is how much memory the machine has, in bytes.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 1 << 50
	}
	return int64(info.Totalram) * int64(info.Unit)
}

// machinePids is how many processes and threads the machine can have.
func machinePids() int64 {
	text, err := os.ReadFile("/proc/sys/kernel/threads-max")
	if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil {
		return n
	}
	return 1 << 15 // the kernel's usual pid_max
}
