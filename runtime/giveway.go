package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Builds give way to everything else on the machine: to apps, and to whatever
// stands between an app and its visitors, berth itself first. So their cgroup is
// at the root of the hierarchy, and not beside the apps', and it is an idle one
// (SCHED_IDLE): whoever wakes up runs at once, where against a weight, however
// small, it waits for the end of a build's slice, several times in a request.
//
// An idle group gets next to nothing when the others want all there is, and then
// the push that mends an app that has run wild would never end. A build that is
// starved is let in by its weight until it gets on again.
const (
	buildsShares = 128 // cgroup v1, of 1024
	buildsWeight = 12  // cgroup v2, of 100

	paceInterval = 2 * time.Second
	starved      = 1. / 8 // cores
	getsOn       = 1. / 2 // cores
)

// pace tells whether builds are to be idle, now that they have had so many cores.
func pace(idle bool, cores float64) bool {
	if idle {
		return cores >= starved
	}
	return cores > getsOn
}

// yield is the watch over the pace of the builds that go on.
type yield struct {
	builds int
	end    chan struct{}
	ended  sync.WaitGroup
}

// pacer has builds give way to all else while any goes on.
type pacer struct {
	cgroups
	logger *slog.Logger

	mu       sync.Mutex // guards what follows
	yielding *yield     // nil when nothing is built
}

// giveWay lets builds give way until done is called.
func (p *pacer) giveWay() (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	y := p.yielding
	if y == nil {
		y = &yield{end: make(chan struct{})}
		p.yielding = y
		y.ended.Go(func() { p.keepPace(y.end) })
	}
	y.builds++
	return func() {
		p.mu.Lock()
		y.builds--
		last := y.builds == 0
		if last {
			p.yielding = nil
			close(y.end)
		}
		p.mu.Unlock()
		if last {
			y.ended.Wait()
		}
	}
}

// keepPace sets the pace of builds until end is closed.
func (p *pacer) keepPace(end <-chan struct{}) {
	idle, before, at := true, p.buildsCPU(), time.Now()
	set := func() {
		if err := p.weighBuilds(idle); err != nil {
			p.logger.Warn("builds do not give way as they should", "err", err)
		}
	}
	set()
	tick := time.NewTicker(paceInterval)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return
		case <-tick.C:
		}
		used, now := p.buildsCPU(), time.Now()
		next := pace(idle, (used-before).Seconds()/now.Sub(at).Seconds())
		before, at = used, now
		if next != idle {
			idle = next
			set()
		}
	}
}

// Load is how busy the processors have been, each since some time in the past:
// what lies between two looks is of interest.
type Load struct {
	Builds int           // that go on now
	CPU    time.Duration // that builds have had of the processors
	Idle   time.Duration // of all processors, in which nothing wanted them
}

// Load looks how busy the processors are.
func (p *pacer) Load() (Load, error) {
	idle, err := idleTime()
	if err != nil {
		return Load{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := Load{CPU: p.buildsCPU(), Idle: idle}
	if p.yielding != nil {
		l.Builds = p.yielding.builds
	}
	return l, nil
}

// idleTime is the time that the machine's processors were idle, or waited for a
// disk, since it was started. /proc/stat counts it in hundredths of a second.
func idleTime() (time.Duration, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait ...
	if len(fields) < 6 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var sum int64
	for _, field := range fields[4:6] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/stat: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / 100, nil
}

// buildsCPU returns what builds have had of the processors.
func (g cgroups) buildsCPU() time.Duration {
	if unified() {
		n, _ := cgroupKeyed(filepath.Join(cgroupRoot, cgroupBuilds+g.id, "cpu.stat"), "usage_usec")
		return time.Duration(n) * time.Microsecond
	}
	n, _ := cgroupValue(filepath.Join(cgroupRoot, "cpuacct", cgroupBuilds+g.id, "cpuacct.usage"))
	return time.Duration(n)
}

// weighBuilds makes the builds' group and gives it its weight. A kernel before
// 5.15 knows no idle groups.
func (g cgroups) weighBuilds(idle bool) error {
	dir, weight, n := filepath.Join(cgroupRoot, "cpu", cgroupBuilds+g.id), "cpu.shares", buildsShares
	if unified() {
		dir, weight, n = filepath.Join(cgroupRoot, cgroupBuilds+g.id), "cpu.weight", buildsWeight
		// Where systemd runs, it is handed down already.
		os.WriteFile(filepath.Join(cgroupRoot, "cgroup.subtree_control"), []byte("+cpu"), 0o644)
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if idle {
		err := setCgroup(dir, "cpu.idle", 1)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	} else if err := setCgroup(dir, "cpu.idle", 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return setCgroup(dir, weight, n)
}

// setCgroup writes a number to a control file, which is not made when it is
// missing: a cgroup's files are the kernel's.
func setCgroup(dir, name string, n int) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strconv.Itoa(n))
	return errors.Join(err, f.Close())
}

// killBuilds kills what runs in the builds' group, all of which an earlier life
// has left. A process needs a processor to die, and an idle group gets none on a
// busy machine: the group has the weight of the apps until the next build. What
// fails here is left to the sweep.
func (g cgroups) killBuilds() {
	cpu, weight, n := "cpu", "cpu.shares", 1024
	if unified() {
		cpu, weight, n = "", "cpu.weight", 100
	}
	dir := filepath.Join(cgroupRoot, cpu, cgroupBuilds+g.id)
	setCgroup(dir, "cpu.idle", 0)
	setCgroup(dir, weight, n)
	if setCgroup(dir, "cgroup.kill", 1) == nil { // cgroup v2, Linux 5.14
		return
	}
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			killCgroup(path)
		}
		return nil
	})
}
