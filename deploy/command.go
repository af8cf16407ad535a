package deploy

import (
	"path/filepath"
	"strconv"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
)

// logFile is where the output of one container is kept. Two containers never
// share a file.
func (d *Deployer) logFile(app string, release int, source, container string) string {
	return filepath.Join(d.releaseLogs(app, release), source+"."+container+".log")
}

func (d *Deployer) releaseLogs(app string, release int) string {
	return filepath.Join(d.cfg.Logs, app, "v"+strconv.Itoa(release))
}

// describe says how a program of a build ended.
func describe(exit runtime.Exit) string { return fleet.Exit(exit).String() }

// advise adds the hints that follow from what a program of a build printed.
func advise(f *fault.Error, lines []string, exit runtime.Exit) *fault.Error {
	return fleet.Advise(f, lines, fleet.Exit(exit))
}
