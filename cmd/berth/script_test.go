package main

import (
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata/script drive a race-built berth from outside, with
// real git, ssh, curl and containerd. A script has, besides what testscript
// offers (see `go doc testscript`):
//
//	serve [flags…]     start berth and wait until it answers; -activated hands
//	                   it its ports as systemd would, -away waits for no containerd
//	halt               stop it as systemd would, and wait for its end
//	restart            halt, serve with the flags of the last serve
//	upgrade VERSION    build berth anew with that version, put it in the place of
//	                   the one that runs, restart
//	kill9 WHAT [APP]   SIGKILL: berth, containerd, shim APP, init APP, app APP
//	reboot             what a power cut leaves: kill9 of everything, /run empty
//	app NAME           make $WORK/NAME a git repository of the directory NAME of
//	                   buildpacks/testdata/apps, with the remote berth, and go there
//
// and the programs of tools_test.go. The daemon's log is $WORK/berth.log.

func TestMain(m *testing.M) {
	commands := map[string]func(){
		"call":       call,
		"eventually": eventually,
		"exits":      exits,
		"https":      https,
		"loadgen":    loadgen,
		"put-image":  putImage,
	}
	if commands[filepath.Base(os.Args[0])] == nil { // those have the environment of their script
		forgetInstallation()
	}
	testscript.Main(m, commands)
}

// forgetInstallation removes what the environment says of a berth that runs on
// the machine, and what a service manager says to the shell of the tests: the
// daemons and commands of the tests have settings of their own.
func forgetInstallation() {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		own := strings.HasPrefix(name, "BERTH_TEST_") || name == "BERTH_GOPATH"
		foreign := strings.HasPrefix(name, "BERTH_") || strings.HasPrefix(name, "LISTEN_") ||
			slices.Contains([]string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"}, name)
		if foreign && !own {
			os.Unsetenv(name)
		}
	}
}

func TestScripts(t *testing.T) {
	lab := newLab(t)
	testscript.RunT(oneByOne{t}, testscript.Params{
		Dir:                 "testdata/script",
		RequireUniqueNames:  true,
		RequireExplicitExec: false,
		Setup:               lab.setup,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve":   daemonCommand((*daemon).serve),
			"halt":    daemonCommand((*daemon).halt),
			"restart": daemonCommand((*daemon).restart),
			"upgrade": daemonCommand((*daemon).upgrade),
			"kill9":   daemonCommand((*daemon).kill9),
			"reboot":  daemonCommand((*daemon).reboot),
			"app":     makeRepository,
		},
	})
}

// oneByOne runs scripts one after the other: they share an engine, and two
// cores are not enough for two of them anyway.
type oneByOne struct{ *testing.T }

func (t oneByOne) Parallel()     {}
func (t oneByOne) Verbose() bool { return testing.Verbose() }
func (t oneByOne) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(oneByOne{t}) })
}

// lab is what all scripts share. The engine's layers last from run to run, so
// that the stack and the toolchains are made once on a machine.
type lab struct {
	bin    string // directory of the berth under test and of the ssh wrapper
	engine string // containerd's root and the layers
	stack  string // the made base filesystem
	state  string // short, for it holds sockets; the same for all scripts
	apps   string // the repositories of the tests
	bridge string // of its own, so that a berth that is installed on the machine is left alone
}

// gitUser is whom git runs as in the scripts: like the user berth of an
// installation it may do nothing, and it is on every machine, whether berth is
// installed there or not.
const gitUser = "nobody"

func newLab(t *testing.T) *lab {
	skip := t.Skipf
	if os.Getenv("CI") != "" {
		skip = t.Fatalf
	}
	if os.Getuid() != 0 {
		skip("the scripts need root")
	}
	for _, program := range []string{"containerd", "runc", "mmdebstrap", "git", "ssh", "curl", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			skip("the scripts need %s", program)
		}
	}

	cache := os.Getenv("BERTH_TEST_CACHE")
	if cache == "" {
		cache = "/var/cache/berth-test"
	}
	name := fmt.Sprintf("berth%08x", crc32.ChecksumIEEE([]byte(cache)))
	l := &lab{
		bin:    t.TempDir(),
		engine: filepath.Join(cache, "engine"),
		stack:  filepath.Join(cache, "stack"),
		state:  "/run/" + name, // not by the cache's own name, which may be berth
		bridge: name,
	}
	for _, dir := range []string{l.engine, l.stack, l.state} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	lockFile(t, filepath.Join(cache, "lock"))
	var err error
	if l.apps, err = filepath.Abs("../../buildpacks/testdata/apps"); err != nil {
		t.Fatal(err)
	}
	l.build(t)
	sweep(t, l)
	return l
}

// lockFile keeps a second run of the scripts from using the same engine.
func lockFile(t *testing.T, name string) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatalf("lock %s: %v; do the scripts run twice?", name, err)
	}
}

// build makes the berth under test: with the race detector, and static, for it
// is the first process of every container too. BERTH_TEST_BINARY is one that is
// made already, for a machine without a compiler.
func (l *lab) build(t *testing.T) {
	under := filepath.Join(l.bin, "berth")
	if made := os.Getenv("BERTH_TEST_BINARY"); made != "" {
		program, err := os.ReadFile(made)
		if err == nil {
			err = os.WriteFile(under, program, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	} else if err := buildBerth(under, "v0.0.0-test"); err != nil {
		t.Fatal(err)
	}
	// ssh takes its home from the passwd file, not from $HOME.
	real, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	wrapper := fmt.Sprintf("#!/bin/sh\nexec %s -F \"$HOME/.ssh/config\" \"$@\"\n", real)
	if err := os.WriteFile(filepath.Join(l.bin, "ssh"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
}

func buildBerth(path, version string) error {
	cmd := exec.Command("go", "build", "-race", "-tags", "netgo,osusergo",
		"-ldflags", "-linkmode external -extldflags -static -X main.version="+version, "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build berth: %w\n%s", err, out)
	}
	return nil
}

// setup gives a script a home with an SSH key and a git identity, ports, and a
// daemon that is not started yet.
func (l *lab) setup(env *testscript.Env) error {
	if err := openToGit(env.WorkDir); err != nil {
		return err
	}
	d := &daemon{
		binary: filepath.Join(l.bin, "berth"),
		lab:    l,
		work:   env.WorkDir,
		log:    filepath.Join(env.WorkDir, "berth.log"),
	}
	var err error
	if d.ports, err = freePorts(3); err != nil {
		return err
	}
	home := filepath.Join(env.WorkDir, "home")
	for name, value := range map[string]string{
		"PATH":       l.bin + ":" + env.Getenv("PATH"),
		"HOME":       home,
		"STATE":      l.state,
		"ENGINE":     l.engine,
		"DATA":       filepath.Join(env.WorkDir, "data"),
		"ROOTS":      filepath.Join(env.WorkDir, "roots.pem"),
		"APPS":       l.apps,
		"HTTP_PORT":  strconv.Itoa(d.ports[0]),
		"HTTPS_PORT": strconv.Itoa(d.ports[1]),
		"SSH_PORT":   strconv.Itoa(d.ports[2]),
		// For the berth commands of a script, as for the daemon.
		"BERTH_STATE": l.state,
		// The race detector's programs sleep for a second before they end,
		// long enough for what a script waited for to be over.
		"GORACE": "atexit_sleep_ms=0",
		// git's own prompts would wait for ever.
		"GIT_TERMINAL_PROMPT": "0",
		"LANG":                "C.UTF-8",
	} {
		env.Setenv(name, value)
	}
	d.env = func() []string { return env.Vars }
	env.Values[daemonKey{}] = d
	env.Defer(func() { d.end(env.T()) })
	return makeHome(home, d.ports[2])
}

// openToGit lets git's user pass through the directory that holds the scripts'
// work. What is above that is the machine's.
func openToGit(work string) error {
	if err := os.Chmod(filepath.Dir(work), 0o711); err != nil {
		return err
	}
	for dir := work; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("%s is closed to %s, whom the scripts' git runs as; set GOTMPDIR to a directory that is open", dir, gitUser)
		}
	}
	return nil
}

// makeRepository is the command app.
func makeRepository(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: app NAME")
	}
	name := args[0]
	dir := filepath.Join(ts.Getenv("WORK"), name)
	ts.Check(os.CopyFS(dir, os.DirFS(filepath.Join(ts.Getenv("APPS"), name))))
	ts.Check(ts.Chdir(dir))
	for _, words := range [][]string{{"init", "-q"}, {"add", "-A", "-f"}, {"commit", "-q", "-m", name}, {"remote", "add", "berth", "berth:" + name}} {
		ts.Check(ts.Exec("git", words...))
	}
}

func makeHome(home string, sshPort int) error {
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		return err
	}
	for _, name := range []string{"id_ed25519", "stranger"} {
		key := filepath.Join(home, ".ssh", name)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key).CombinedOutput(); err != nil {
			return fmt.Errorf("make the key %s: %w: %s", name, err, out)
		}
	}
	ssh := fmt.Sprintf(`Host berth
	HostName 127.0.0.1
	Port %d
	User berth
	IdentityFile %[2]s/.ssh/id_ed25519
	IdentitiesOnly yes
	UserKnownHostsFile %[2]s/.ssh/known_hosts
	StrictHostKeyChecking accept-new
Host stranger
	HostName 127.0.0.1
	Port %[1]d
	User berth
	IdentityFile %[2]s/.ssh/stranger
	IdentitiesOnly yes
	UserKnownHostsFile %[2]s/.ssh/known_hosts
	StrictHostKeyChecking accept-new
`, sshPort, home)
	if err := os.WriteFile(filepath.Join(home, ".ssh", "config"), []byte(ssh), 0o600); err != nil {
		return err
	}
	git := "[user]\n\tname = Alice\n\temail = alice@example.com\n[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n"
	return os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(git), 0o600)
}

// freePorts returns ports that nobody listened on a moment ago.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
