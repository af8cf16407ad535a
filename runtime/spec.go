package runtime

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Limits bound a container. Zero means the engine's default for it.
type Limits struct {
	Memory    int64   // bytes
	Swap      int64   // bytes of memory and swap together; zero is Memory: nothing is swapped
	CPUs      float64 // cores; zero is all of them
	CPUShares uint64  // weight against other containers, 1024 is usual
	Pids      int64   // processes and threads

	// A container keeps these as it was made with them.
	Files int64 // that one process may have open
	Shm   int64 // bytes of /dev/shm
}

// The limits of a container that asks for none.
const (
	DefaultMemory    = 512 << 20 // what the usual smallest instance of a hosted platform has
	DefaultPids      = 1024      // a JVM under load takes some 300 threads; a fork bomb stops here
	DefaultCPUShares = 1024      // the kernel's own; CPUs have no cap by default, idle cores are for using
	DefaultFiles     = 65536     // plenty for a server, no bill in close-all loops
	DefaultShm       = 64 << 20  // what other engines give
)

// Mount binds a directory or file of the host into a container.
type Mount struct {
	Source   string // on the host
	Target   string // in the container
	Writable bool
}

// Command is one program to run in a container.
type Command struct {
	Args []string
	Env  []string // KEY=value; added to the engine's own PATH, HOME and CA variables
	Dir  string   // "" is the home directory
}

// Where things of ours are inside a container.
const (
	HomeDir     = "/app"               // of users that are not root
	initPath    = "/.berth/berth-init" // its base name tells the program what it is
	controlPath = "/.berth/control"
	logPath     = "/.berth/log"

	// CABundle is the host's trusted certificates, for every container.
	caBundle = "/etc/ssl/certs/ca-certificates.crt"
	// Root's builds have it and their environment on the container's /run,
	// a tmpfs: a mount elsewhere would leave its mount point in the layer, and
	// one on caBundle would make update-ca-certificates fail.
	rootCABundle = "/run/berth/ca-certificates.crt"
	envPath      = "/run/berth/env"
)

// The capabilities of a container's first process.
var (
	// pid1Caps: become the program's user, drop capabilities, signal it.
	pid1Caps = []string{"CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_SETPCAP"}
	// rootCaps is what apt and dpkg need: the set that Docker gives, without
	// CAP_NET_RAW, which forges frames, and CAP_MKNOD.
	rootCaps = []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
		"CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
)

// process is what a container's OCI process is made of.
type process struct {
	args     []string
	env      []string // stored by containerd: nothing secret
	dir      string
	uid      int // and group
	caps     []string
	terminal bool
	size     Size
}

// ociSpec describes a container to runc: containerd's defaults, made tighter.
func (e *Engine) ociSpec(ctx context.Context, spec Spec, p process, mounts []specs.Mount) (*specs.Spec, error) {
	s, err := oci.GenerateSpec(in(ctx), nil, &containers.Container{ID: spec.ID}, oci.WithDefaultUnixDevices)
	if err != nil {
		return nil, err
	}
	if spec.Foreign {
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/run" })
	}
	s.Hostname = cmp.Or(spec.Hostname, spec.ID)
	s.Process.Args, s.Process.Env, s.Process.Cwd = p.args, p.env, p.dir
	s.Process.User = specs.User{UID: uint32(p.uid), GID: uint32(p.uid)}
	s.Process.NoNewPrivileges = true
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: p.caps, Permitted: p.caps, Effective: p.caps}
	s.Process.Terminal = p.terminal
	if p.terminal && p.size != (Size{}) {
		s.Process.ConsoleSize = &specs.Box{Height: uint(p.size.Rows), Width: uint(p.size.Cols)}
	}
	spec.Limits.sizeShm(s.Mounts)
	s.Mounts = append(s.Mounts, specs.Mount{ // JVM, Node and Go read their limits here
		Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
		Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"},
	})
	s.Mounts = append(s.Mounts, mounts...)
	for _, m := range spec.Mounts {
		s.Mounts = append(s.Mounts, bind(m.Source, m.Target, m.Writable))
	}

	if err := e.confine(s, spec); err != nil {
		return nil, err
	}
	if unified() {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	s.Linux.Seccomp = seccomp.DefaultProfile(s) // after the capabilities, on which it depends
	return s, nil
}

// confine gives the container its place: cgroup, limits, AppArmor profile and network.
func (e *Engine) confine(s *specs.Spec, spec Spec) error {
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		return err
	}
	// More than our own hard limit makes runc fail where CAP_SYS_RESOURCE is missing.
	files := min(own.Max, cmp.Or(uint64(spec.Limits.Files), DefaultFiles))
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: files, Soft: files}}
	// Else it is inherited from containerd, which its unit protects (-999): when
	// memory runs out the kernel would take the SSH server before any app.
	ordinary := 0
	s.Process.OOMScoreAdj = &ordinary
	s.Process.ApparmorProfile = e.armor.profile

	s.Linux.CgroupsPath = e.cgroups.path(spec.ID, spec.build)
	s.Linux.Resources = spec.Limits.resources(s.Linux.Resources)
	for i := range s.Linux.Namespaces {
		if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
			s.Linux.Namespaces[i].Path = e.net.path(spec.ID)
		}
	}
	return nil
}

// resources turns limits into what runc sets.
func (l Limits) resources(r *specs.LinuxResources) *specs.LinuxResources {
	memory, swap := l.memory()
	pids := cmp.Or(l.Pids, DefaultPids)
	shares := cmp.Or(l.CPUShares, DefaultCPUShares)
	r.Memory = &specs.LinuxMemory{Limit: &memory}
	if swapAccounted() {
		r.Memory.Swap = &swap
	}
	r.Pids = &specs.LinuxPids{Limit: &pids}
	r.CPU = &specs.LinuxCPU{Shares: &shares}
	if quota := l.quota(); quota > 0 {
		period := uint64(cpuPeriod)
		r.CPU.Period, r.CPU.Quota = &period, &quota
	}
	return r
}

func bind(source, target string, writable bool) specs.Mount {
	mode := "ro"
	if writable {
		mode = "rw"
	}
	return specs.Mount{Source: source, Destination: target, Type: "bind", Options: []string{"rbind", "nosuid", "nodev", mode}}
}

// environment returns the engine's own variables with env over them. A name
// has one value: the last.
func environment(uid int, ca string, env []string) []string {
	vars := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME": HomeDir,
		"USER": "app",
		"LANG": "C.UTF-8", // Debian's C library has it built in
	}
	if uid == 0 {
		vars["HOME"], vars["USER"] = "/root", "root"
	}
	if hostCA() != "" {
		for _, name := range caVariables {
			vars[name] = ca
		}
	}
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	list := make([]string, 0, len(vars))
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		list = append(list, k+"="+vars[k])
	}
	return list
}

// caVariables name the CA bundle, to each tool in its own words.
var caVariables = []string{
	"SSL_CERT_FILE",       // OpenSSL, Go, Ruby, uv
	"REQUESTS_CA_BUNDLE",  // Python's requests
	"PIP_CERT",            // pip
	"CURL_CA_BUNDLE",      // curl
	"GIT_SSL_CAINFO",      // git
	"NODE_EXTRA_CA_CERTS", // Node
	"npm_config_cafile",   // npm
	"CARGO_HTTP_CAINFO",   // Cargo
}

// proxyVariables of the host are passed to builds, which download.
func proxyVariables() []string {
	var list []string
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"} {
		if v, ok := os.LookupEnv(name); ok {
			list = append(list, name+"="+v)
		}
	}
	return list
}

// hostCA returns the host's bundle of trusted certificates; "" when it has none
// where Debian and Ubuntu keep it.
func hostCA() string {
	if _, err := os.Stat(caBundle); err != nil {
		return ""
	}
	return caBundle
}

// etcFiles writes the container's own files of /etc and returns the mounts that
// bring them in, with the CA bundle at ca. users, when not nil, returns the
// layer's passwd or group, to which the container's user is added.
func (e *Engine) etcFiles(spec Spec, ca string, users func(name string) []byte) ([]specs.Mount, error) {
	dir := e.state("e", spec.ID)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	files := map[string][]byte{"hosts": []byte(hostsFile(""))}
	if users != nil {
		files["passwd"] = withUser(users("passwd"), spec.UID, fmt.Sprintf("app:x:%d:%[1]d::%s:/bin/bash", spec.UID, HomeDir))
		files["group"] = withUser(users("group"), spec.UID, fmt.Sprintf("app:x:%d:", spec.UID))
	}
	mounts := []specs.Mount{bind(e.net.resolvConf(), "/etc/resolv.conf", false)}
	for name, data := range files {
		host := filepath.Join(dir, name)
		if err := os.WriteFile(host, data, 0o644); err != nil {
			return nil, err
		}
		mounts = append(mounts, bind(host, "/etc/"+name, false))
	}
	if host := hostCA(); host != "" {
		mounts = append(mounts, bind(host, ca, false))
	}
	return mounts, nil
}

// hostsFile is a container's /etc/hosts. line is its own entry, known once it
// has an address.
func hostsFile(line string) string {
	return "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" + line
}

// withUser adds a line for the container's user to a passwd or group file that
// has none for its number.
func withUser(file []byte, uid int, line string) []byte {
	for l := range strings.Lines(string(file)) {
		if f := strings.Split(strings.TrimSpace(l), ":"); len(f) > 2 && f[2] == fmt.Sprint(uid) {
			return file
		}
	}
	if len(file) > 0 && file[len(file)-1] != '\n' {
		file = append(file, '\n')
	}
	return append(file, line+"\n"...)
}
