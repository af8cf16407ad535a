package storage

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Directories of the machine that are never mounted, with all that is below them,
// and those of which only what is below may be.
var (
	closedTrees = []string{
		"/etc", "/proc", "/sys", "/dev", "/run", "/boot", "/root", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
		"/usr/bin", "/usr/sbin", "/usr/lib", "/var/run", "/var/log", "/var/spool", "/var/lib/containerd", "/var/lib/docker",
		"/var/lib/kubelet", "/var/lib/dpkg", "/var/lib/apt", "/var/lib/systemd", "/var/cache",
	}
	closedPlaces = []string{"/", "/usr", "/usr/local", "/var", "/var/lib", "/home", "/srv", "/opt", "/mnt", "/media", "/tmp", "/var/tmp"}
)

// HostPath returns where a directory of the machine is in truth, or a fault (E614)
// when it may not be mounted. It is asked again whenever a container is made.
func (r *Room) HostPath(dir string) (string, error) {
	no := func(why string, args ...any) error {
		return fault.New(fault.Denied, code.HostPathForbidden, "%.100q cannot be mounted: "+why, append([]any{dir}, args...)...).
			Hint("berth storage:create NAME makes a volume instead")
	}
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || strings.ContainsAny(dir, "\x00\n:") {
		return "", no("it must be an absolute path without .. and without :")
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", no("it does not exist on the machine")
	}
	info, err := os.Stat(real)
	if err != nil || !info.IsDir() {
		return "", no("it is not a directory")
	}
	for _, tree := range closedTrees {
		if within(real, tree) {
			return "", no("%s belongs to the system", tree)
		}
	}
	if slices.Contains(closedPlaces, real) {
		return "", no("other programs use it too; name a directory below it")
	}
	for _, own := range append(slices.Clone(r.cfg.Own), r.cfg.Dir) {
		if own, err := filepath.EvalSymlinks(own); err == nil && (within(real, own) || within(own, real)) {
			return "", no("it is a directory of berth's, or contains one")
		}
	}
	return real, nil
}

// within tells whether a path is a directory or below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}
