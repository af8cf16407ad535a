package runtime

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// runcCriterion is how a runc is judged. Distributions mend older versions
// without changing what these call themselves, and that cannot be seen here.
const runcCriterion = "1.2.8, 1.3.3, 1.4.0-rc.3 and later fix CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881; berth only checks the version and cannot see the fixes that a distribution adds to an older one"

var runcVersion = regexp.MustCompile(`(?m)^runc version v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:[-~]rc[.-]?(\d{1,4}))?`)

// runcFixed tells whether a runc that prints this has the mends of 2025's ways
// out of containers that start at the same time. What is no runc, or says
// nothing that can be read, counts as one that has not.
func runcFixed(output string) bool {
	m := runcVersion.FindStringSubmatch(output)
	if m == nil {
		return false
	}
	var n [4]int
	for i, s := range m[1:] {
		n[i], _ = strconv.Atoi(s) // "" is 0
	}
	major, minor, patch, rc := n[0], n[1], n[2], n[3]
	candidate := m[4] != ""
	switch {
	case major != 1:
		return major > 1
	case minor < 2:
		return false
	case minor == 2:
		return patch > 8 || patch == 8 && !candidate
	case minor == 3:
		return patch > 3 || patch == 3 && !candidate
	case minor == 4 && patch == 0 && candidate:
		return rc >= 3
	}
	return true
}

// runc remembers what the program on the PATH has said of itself, until that
// program is another one.
type runc struct {
	mu      sync.Mutex // guards what follows
	path    string
	at      time.Time
	size    int64
	version string // what it prints
}

// fixed returns runcFixed of the machine's runc, and its version for people.
func (r *runc) fixed(ctx context.Context) (fixed bool, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	path, err := exec.LookPath("runc")
	if err != nil {
		return false, "not found"
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, "not found"
	}
	if path != r.path || !info.ModTime().Equal(r.at) || info.Size() != r.size {
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if err != nil {
			return false, "of an unknown version"
		}
		r.path, r.at, r.size, r.version = path, info.ModTime(), info.Size(), string(out)
	}
	version = "of an unknown version"
	if m := regexp.MustCompile(`^runc version (\S+)`).FindStringSubmatch(r.version); m != nil {
		version = m[1]
	}
	return runcFixed(r.version), version
}
