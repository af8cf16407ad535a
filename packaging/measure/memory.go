package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

var discard = slog.New(slog.DiscardHandler)

// The kinds of processes that an appliance is made of, as measureMemory prints them.
const (
	kindBerth      = "`berth serve`"
	kindContainerd = "containerd"
	kindShim       = "containerd's shim of each app"
	kindInit       = "the first process in each app's container"
	kindApp        = "the app itself (gunicorn with Flask)"
)

var kinds = []string{kindBerth, kindContainerd, kindShim, kindInit, kindApp}

// memory returns the proportional set size of the appliance's processes: pages
// that several share are divided among them.
func (a *appliance) memory() (map[string]int64, error) {
	sums := map[string]int64{}
	processes, err := readProcesses()
	if err != nil {
		return nil, err
	}
	shims, inits := map[int]bool{}, map[int]bool{}
	for _, p := range processes {
		if strings.HasPrefix(p.name, "containerd-shim") && p.mentions(a.state) {
			shims[p.pid] = true
		}
	}
	for _, p := range processes {
		if shims[p.parent] {
			inits[p.pid] = true
		}
	}
	apps := map[int]bool{}
	for grown := true; grown; { // processes that an app's process started, too
		grown = false
		for _, p := range processes {
			if !apps[p.pid] && (inits[p.parent] || apps[p.parent]) {
				apps[p.pid], grown = true, true
			}
		}
	}
	for _, p := range processes {
		kind := ""
		switch {
		case p.pid == a.cmd.Process.Pid:
			kind = kindBerth
		case p.name == "containerd" && p.mentions(a.state):
			kind = kindContainerd
		case shims[p.pid]:
			kind = kindShim
		case inits[p.pid]:
			kind = kindInit
		case apps[p.pid]:
			kind = kindApp
		default:
			continue
		}
		sums[kind] += field(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid), "Pss:")
	}
	return sums, nil
}

type process struct {
	pid, parent int
	name        string
	args        []string
}

func (p process) mentions(text string) bool { return strings.Contains(strings.Join(p.args, " "), text) }

func readProcesses() ([]process, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		// pid (name) state parent …: the name may hold anything but ends at the last ")".
		end := strings.LastIndexByte(string(stat), ')')
		fields := strings.Fields(string(stat[end+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parent, _ := strconv.Atoi(fields[1])
		all = append(all, process{pid: pid, parent: parent, name: filepath.Base(args[0]), args: args})
	}
	return all, nil
}

// field returns a value of a file of /proc that is given in kB, in bytes; 0
// when there is none.
func field(file, name string) int64 {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) >= 2 && words[0] == name {
			kilobytes, _ := strconv.ParseInt(words[1], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}
