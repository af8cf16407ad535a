package build

import "github.com/berthd/berth/runtime"

const (
	buildMemory = 2 << 30 // bytes; compilers of native packages need about one
	buildPids   = 2048

	// buildDisk is what a build may write, its caches and what it throws away
	// included: the largest dependencies that people really have take half.
	buildDisk = 10 << 30 // bytes
)

// buildLimits are what one command of a build, a test or a predeploy may take.
func buildLimits() runtime.Limits { return runtime.Limits{Memory: buildMemory, Pids: buildPids} }
