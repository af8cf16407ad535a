package formation

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/property"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

// The least that a limit may be: below, hardly a program starts.
const (
	leastMemory = 16 << 20
	leastPids   = 8
)

// The names of the properties that are more than a value to be kept.
const (
	Rollout   = "rollout"
	Memory    = "memory"
	Processes = "processes"

	StopTimeout = "stop-timeout-seconds"
	StopSignal  = "stop-signal"
	Watch       = "watch-seconds"
)

// usualWatch is how long a new release is watched, in seconds.
const usualWatch = int(fleet.Watched / time.Second)

// Properties are what can be set of how an app's processes are run.
var Properties = property.List{
	Noun: "ps", Has: "processes have", Code: code.ProcessPropertyInvalid,
	Note: "A limit of an app counts at once, and resource:limit has more of them. What is set for all apps counts for each from its next start or deploy, and all else from the next rollout or restart.",
	Properties: []property.Property{
		{Name: Rollout, Usual: string(store.StartFirst), Scope: property.Both, Values: orders, Check: property.OneOf(orders...),
			Meaning: "start-first: the new release is up before the old one stops; stop-first: the old one stops before the new one starts, and requests wait, for an app of which two must not run at once"},
		{Name: Memory, Usual: ShowLimit(Memory, runtime.DefaultMemory), Scope: property.Both, Check: checkLimit(Memory),
			Meaning: "of each instance, job and one-off: 512m, 2g"},
		{Name: Processes, Usual: ShowLimit(Processes, runtime.DefaultPids), Scope: property.Both, Check: checkLimit(Processes),
			Meaning: "and threads, likewise"},
		{Name: StopTimeout, Usual: strconv.Itoa(int(fleet.StopGrace / time.Second)), Scope: property.Both, Check: seconds(1, 600),
			Meaning: "how long an instance has from being asked to stop until it is killed"},
		{Name: StopSignal, Usual: "SIGTERM", Scope: property.Both, Values: stopSignals, Check: checkSignal,
			Meaning: "what asks an instance to stop; an image's own STOPSIGNAL counts where nothing is set"},
		{Name: Watch, Usual: strconv.Itoa(usualWatch), Scope: property.Both, Check: seconds(0, 3600),
			Meaning: "how long a new release is watched: when it crashes twice meanwhile, the one before comes back; 0 is no watch"},
	},
	Kept: property.Fields{Noun: "ps", Of: map[string]property.Field{
		Rollout: {
			Get: func(app store.App) string { return string(app.Rollout) },
			Set: func(app *store.App, value string) { app.Rollout = store.Rollout(value) },
		},
		Memory:    limitField(Memory),
		Processes: limitField(Processes),
	}},
}

var orders = []string{string(store.StartFirst), string(store.StopFirst)}

// IsLimit tells whether a property is a limit.
func IsLimit(name string) bool { return name == Memory || name == Processes }

// ResourceOf returns what resource:limit calls a limit.
func ResourceOf(name string) string {
	if name == Processes {
		return "pids"
	}
	return name
}

// stopSignals are those that a program can handle, and that mean an end to some.
var stopSignals = []string{"SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"}

// checkSignal reads the name of a signal, with or without SIG.
func checkSignal(value string) (string, error) {
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(value), "SIG")
	if !slices.Contains(stopSignals, name) {
		return "", fmt.Errorf("use one of %s", strings.Join(stopSignals, ", "))
	}
	return name, nil
}

func seconds(least, most int) func(string) (string, error) {
	return func(value string) (string, error) {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return "", fmt.Errorf("use a number of seconds from %d to %d", least, most)
		}
		return strconv.Itoa(n), nil
	}
}

// limitOf returns where a record has a limit.
func limitOf(l *store.Limits, name string) *int64 {
	if name == Memory {
		return &l.Memory
	}
	return &l.Pids
}

func limitField(name string) property.Field {
	return property.Field{
		Get: func(app store.App) string {
			set := app.Limit(store.AnyType)
			if n := *set.Of(ResourceOf(name)); n != 0 {
				return ShowLimit(name, n)
			}
			return ""
		},
		Set: func(app *store.App, value string) { *limitOf(&app.Limits, name), _ = ReadLimit(name, value) },
	}
}

// ReadLimit reads the value of a limit; ok is false for what is none, and n is 0.
func ReadLimit(name, value string) (n int64, ok bool) {
	var err error
	if name == Memory {
		n, err = units.ParseBytes(value, 0) // a number alone means another thing to everybody
	} else {
		n, err = strconv.ParseInt(value, 10, 64)
	}
	if err != nil {
		return 0, false
	}
	return n, true
}

// ShowLimit writes it in one word, as it is typed: 512m, 2g.
func ShowLimit(name string, n int64) string {
	switch {
	case name == Memory && n >= units.GiB && n%units.GiB == 0:
		return strconv.FormatInt(n/units.GiB, 10) + "g"
	case name == Memory && n%units.MiB == 0:
		return strconv.FormatInt(n/units.MiB, 10) + "m"
	case name == Memory:
		return strconv.FormatInt(n, 10) + "B"
	}
	return strconv.FormatInt(n, 10)
}

func checkLimit(name string) func(string) (string, error) {
	least, most, form := int64(leastMemory), machineMemory, "512m or 2g"
	if name == Processes {
		least, most, form = leastPids, machinePids, "2048"
	}
	return func(value string) (string, error) {
		n, ok := ReadLimit(name, value)
		if !ok {
			return "", fmt.Errorf("write it as %s", form)
		}
		if most := most(); n < least || n > most {
			return "", fmt.Errorf("use %s to %s, the maximum of this machine", ShowLimit(name, least), ShowLimit(name, most))
		}
		return ShowLimit(name, n), nil
	}
}

// Counts returns an app's record with what counts for it where nobody has said
// so of the app: the limits and the order of rollouts that are set for all apps,
// else the usual ones. It is for what runs; a record that is stored again has
// its own values alone.
func Counts(db *store.Store, record store.App) (store.App, error) {
	err := db.View(func(tx *store.Tx) error {
		own, err := tx.Properties.Of(record.Name, Properties.Noun)
		if err != nil {
			return err
		}
		if record.Name == "" { // no app: what is set for all of them
			clear(own)
		}
		maps.Copy(own, Properties.Kept.(property.Fields).ValuesOf(record))
		values, err := Properties.ComputedOf(tx, own)
		if err != nil {
			return err
		}
		record.Rollout = store.Rollout(cmp.Or(values[Rollout], string(store.StartFirst)))
		record.StopSignal = values[StopSignal]
		record.StopSeconds, _ = strconv.Atoi(values[StopTimeout])
		record.WatchSeconds = usualWatch
		if n, err := strconv.Atoi(values[Watch]); err == nil {
			record.WatchSeconds = n
		}
		for _, name := range []string{Memory, Processes} {
			if at := limitOf(&record.Limits, name); *at == 0 {
				*at, _ = ReadLimit(name, values[name])
			}
		}
		return nil
	})
	return record, err
}

// Usual fills in the usual limits where none counts.
func Usual(l store.Limits) store.Limits {
	l.Memory, l.Pids = cmp.Or(l.Memory, runtime.DefaultMemory), cmp.Or(l.Pids, runtime.DefaultPids)
	return l
}

// machineMemory is how much memory the machine has, in bytes.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 1 << 50
	}
	return int64(info.Totalram) * int64(info.Unit) >> 20 << 20 // whole megabytes, as it is shown
}

// machinePids is how many processes and threads the machine can have.
func machinePids() int64 {
	text, err := os.ReadFile("/proc/sys/kernel/threads-max")
	if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil {
		return n
	}
	return 1 << 15 // the kernel's usual pid_max
}
