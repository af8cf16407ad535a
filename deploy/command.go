package deploy

import (
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store/fault"
)

// describe says how a program of a build ended.
func describe(exit runtime.Exit) string { return fleet.Exit(exit).String() }

// advise adds the hints that follow from what a program of a build printed.
func advise(f *fault.Error, lines []string, exit runtime.Exit) *fault.Error {
	return fleet.Advise(f, lines, fleet.Exit(exit))
}
