package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Containers are in the cgroup /berth/INSTALLATION/ID, at the root of the
// hierarchy as other engines without systemd's driver have theirs. Under
// berth.service's own cgroup, delegated or not, they would share its fate: the
// unit's memory would be theirs, and processes in the unit's own cgroup would
// keep cgroup v2 from handing controllers down.
//
// Builds are in /berth-builds-INSTALLATION/ID, beside them (see giveway.go).
const (
	cgroupRoot   = "/sys/fs/cgroup"
	cgroupParent = "/berth"
	cgroupBuilds = "/berth-builds-"
)

// unified tells cgroup v2 from v1, which has a tree for each controller.
func unified() bool {
	var st unix.Statfs_t
	return unix.Statfs(cgroupRoot, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// cgroups are those of an installation's containers.
type cgroups struct{ id string }

// path is the cgroup of a container.
func (g cgroups) path(id string, build bool) string {
	if build {
		return filepath.Join(cgroupBuilds+g.id, id)
	}
	return filepath.Join(cgroupParent, g.id, id)
}

// swapAccounted tells whether swap can be limited: on v1 a boot option decides,
// and runc fails when asked for what is not there.
func swapAccounted() bool {
	if unified() {
		return true // runc lets it be where the file is missing
	}
	_, err := os.Stat(filepath.Join(cgroupRoot, "memory", "memory.memsw.limit_in_bytes"))
	return err == nil
}

// file returns the path of a container's control file, wherever the
// container is.
func (g cgroups) file(id, controller, name string) string {
	if unified() {
		controller = ""
	}
	file := filepath.Join(cgroupRoot, controller, g.path(id, false), name)
	if _, err := os.Stat(file); err != nil {
		return filepath.Join(cgroupRoot, controller, g.path(id, true), name)
	}
	return file
}

// cgroupKeyed reads one value of a file of "key value" lines.
func cgroupKeyed(name, key string) (int64, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if k, v, _ := strings.Cut(strings.TrimSpace(line), " "); k == key {
			return strconv.ParseInt(v, 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", name, key)
}

func cgroupValue(name string) (int64, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
}

// oomKills returns how many processes of a container the kernel has killed for
// the memory limit, and the limit in bytes. Both are 0 when its cgroup is gone.
func (g cgroups) oomKills(id string) (kills, limit int64) {
	events, most := "memory.events", "memory.max"
	if !unified() {
		events, most = "memory.oom_control", "memory.limit_in_bytes"
	}
	kills, err := cgroupKeyed(g.file(id, "memory", events), "oom_kill")
	if err != nil {
		return 0, 0
	}
	limit, err = cgroupValue(g.file(id, "memory", most))
	if err != nil { // "max"
		limit = 0
	}
	return kills, limit
}

// OOMKills returns how many processes of the container the kernel has killed
// for the memory limit, and the limit in bytes.
func (c *Container) OOMKills() (kills, limit int64) { return c.engine.cgroups.oomKills(c.ID) }

// Usage is what a container takes.
type Usage struct {
	Memory int64         // bytes, without the page cache that can be dropped
	CPU    time.Duration // since its start
	Pids   int64
}

// Usage reads the container's cgroups.
func (c *Container) Usage(ctx context.Context) (Usage, error) {
	g := c.engine.cgroups
	var u Usage
	var cpu, cache int64
	var errs [4]error
	if unified() {
		u.Memory, errs[0] = cgroupValue(g.file(c.ID, "", "memory.current"))
		cache, errs[1] = cgroupKeyed(g.file(c.ID, "", "memory.stat"), "inactive_file")
		cpu, errs[2] = cgroupKeyed(g.file(c.ID, "", "cpu.stat"), "usage_usec")
		cpu *= 1000
	} else {
		u.Memory, errs[0] = cgroupValue(g.file(c.ID, "memory", "memory.usage_in_bytes"))
		cache, errs[1] = cgroupKeyed(g.file(c.ID, "memory", "memory.stat"), "total_inactive_file")
		cpu, errs[2] = cgroupValue(g.file(c.ID, "cpuacct", "cpuacct.usage"))
	}
	u.Pids, errs[3] = cgroupValue(g.file(c.ID, "pids", "pids.current"))
	if err := errors.Join(errs[:]...); err != nil {
		return Usage{}, fmt.Errorf("usage of %s: %w", c.ID, err)
	}
	u.Memory = max(0, u.Memory-cache)
	u.CPU = time.Duration(cpu)
	return u, nil
}

// dirs returns the container's directories in every tree.
func (g cgroups) dirs(id string) []string {
	var trees []string
	if unified() {
		trees = []string{""}
	} else {
		entries, _ := os.ReadDir(cgroupRoot)
		for _, tree := range entries {
			if tree.Type().IsDir() { // cpu and cpuacct are often links to one tree
				trees = append(trees, tree.Name())
			}
		}
	}
	var dirs []string
	for _, tree := range trees {
		for _, build := range []bool{false, true} {
			dirs = append(dirs, filepath.Join(cgroupRoot, tree, g.path(id, build)))
		}
	}
	return dirs
}

// clear kills what is left in the container's cgroup and removes it.
func (g cgroups) clear(ctx context.Context, id string) error {
	var errs []error
	for _, dir := range g.dirs(id) {
		errs = append(errs, clearCgroupDir(ctx, dir))
	}
	return errors.Join(errs...)
}

// cgroupPatience is how long killed processes get to leave their cgroup.
const cgroupPatience = 10 * time.Second

func clearCgroupDir(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, cgroupPatience)
	defer cancel()
	for {
		// A tree that is mounted read-only refuses to remove also what is not there.
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		err := os.Remove(dir) // the directory alone: its files are the kernel's
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission) {
			return err // no process's leaving changes that
		}
		killCgroup(dir)
		select {
		case <-ctx.Done():
			return fmt.Errorf("cgroup %s is not empty: %w", dir, err)
		case <-time.After(5 * time.Millisecond): // the killed are being reaped
		}
	}
}

// remove removes the installation's own cgroups, with what a container
// that is gone has left below them.
func (g cgroups) remove() error {
	var errs []error
	for _, dir := range g.dirs("") {
		errs = append(errs, removeCgroupTree(dir))
		os.Remove(filepath.Dir(dir)) // stays while another installation has one in it, and the root always
	}
	return errors.Join(errs...)
}

func removeCgroupTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if entry.IsDir() {
			err = errors.Join(err, removeCgroupTree(filepath.Join(dir, entry.Name())))
		}
	}
	if err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// killCgroup kills the processes that are in a cgroup itself.
func killCgroup(dir string) {
	data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	for line := range strings.Lines(string(data)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 1 {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}
