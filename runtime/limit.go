package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cpuPeriod is the time over which CPUs are counted, in µs: the kernel's own.
const cpuPeriod = 100_000

// ErrInUse is a limit of memory that is lower than what a container has in use.
var ErrInUse = errors.New("more memory than that is in use")

// memory returns the limits of memory, and of memory and swap together.
func (l Limits) memory() (memory, swap int64) {
	memory = cmp.Or(l.Memory, DefaultMemory)
	return memory, max(l.Swap, memory)
}

// quota is how many µs of each cpuPeriod the container gets; 0 is all of them.
func (l Limits) quota() int64 {
	if l.CPUs <= 0 {
		return 0
	}
	return max(int64(l.CPUs*cpuPeriod), 1000) // the kernel's least
}

// sizeShm gives /dev/shm its size.
func (l Limits) sizeShm(mounts []specs.Mount) {
	for i, m := range mounts {
		if m.Destination != "/dev/shm" {
			continue
		}
		options := slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return strings.HasPrefix(o, "size=") })
		mounts[i].Options = append(options, fmt.Sprintf("size=%d", cmp.Or(l.Shm, DefaultShm)))
	}
}

// SetLimits gives a container that runs other limits of memory, CPUs and
// processes. Files and Shm stay as they are. A limit of memory that is lower
// than what is in use is ErrInUse, and changes nothing: the kernel would take
// a process for it.
func (c *Container) SetLimits(_ context.Context, l Limits) error {
	g := c.engine.cgroups
	k := knobs{unified: unified(), dir: func(controller string) string { return filepath.Dir(g.file(c.ID, controller, "cgroup.procs")) }}
	if err := k.set(l); err != nil {
		return fmt.Errorf("limit container %s: %w", c.ID, err)
	}
	return nil
}

// knobs are the control files of one container.
type knobs struct {
	unified bool
	dir     func(controller string) string
}

func (k knobs) set(l Limits) error {
	set := k.setV1
	if k.unified {
		set = k.setV2
	}
	if err := set(l); err != nil {
		return err
	}
	return k.write("pids", "pids.max", strconv.FormatInt(cmp.Or(l.Pids, DefaultPids), 10))
}

// setV1 sets the limits of memory in the order that keeps the one of memory
// below the one of both at every moment.
func (k knobs) setV1(l Limits) error {
	memory, swap := l.memory()
	const limit, both = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
	steps := []struct {
		name  string
		value int64
	}{{limit, memory}}
	now, err := cgroupValue(filepath.Join(k.dir("memory"), both))
	switch {
	case errors.Is(err, fs.ErrNotExist): // swap is not accounted for
	case err != nil:
		return err
	case swap >= now:
		steps = slices.Insert(steps, 0, struct {
			name  string
			value int64
		}{both, swap})
	default:
		steps = append(steps, struct {
			name  string
			value int64
		}{both, swap})
	}
	for _, s := range steps {
		if err := k.write("memory", s.name, strconv.FormatInt(s.value, 10)); errors.Is(err, unix.EBUSY) {
			return ErrInUse
		} else if err != nil {
			return err
		}
	}
	quota := int64(-1)
	if q := l.quota(); q > 0 {
		quota = q
		if err := k.write("cpu", "cpu.cfs_period_us", strconv.Itoa(cpuPeriod)); err != nil {
			return err
		}
	}
	return k.write("cpu", "cpu.cfs_quota_us", strconv.FormatInt(quota, 10))
}

// setV2 looks before it sets: the kernel takes any limit, and kills until it
// is kept.
func (k knobs) setV2(l Limits) error {
	memory, swap := l.memory()
	current, err := cgroupValue(filepath.Join(k.dir(""), "memory.current"))
	if err != nil {
		return err
	}
	cache, err := cgroupKeyed(filepath.Join(k.dir(""), "memory.stat"), "inactive_file")
	if err != nil {
		return err
	}
	if current-cache > memory {
		return ErrInUse
	}
	if err := k.write("", "memory.max", strconv.FormatInt(memory, 10)); err != nil {
		return err
	}
	err = k.write("", "memory.swap.max", strconv.FormatInt(swap-memory, 10))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without swap has no such file
		return err
	}
	quota := "max"
	if q := l.quota(); q > 0 {
		quota = strconv.FormatInt(q, 10)
	}
	return k.write("", "cpu.max", fmt.Sprintf("%s %d", quota, cpuPeriod))
}

// write sets one file that is there.
func (k knobs) write(controller, name, value string) error {
	if k.unified {
		controller = ""
	}
	file, err := os.OpenFile(filepath.Join(k.dir(controller), name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
