package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berthd/berth/runtime"
)

// readyTimeout is generous: on a cold machine the first start makes the stack.
const readyTimeout = 60 * time.Second

// daemon is the berth of one script.
type daemon struct {
	*lab
	binary string
	work   string
	log    string
	ports  []int // http, https, ssh
	env    func() []string

	flags   []string // of the last serve
	cmd     *exec.Cmd
	ended   chan struct{} // closed when cmd has ended
	sockets []*os.File    // with -activated; they outlive the daemon
	store   *fdStore      // likewise
	lent    []*os.File    // of the store, for the daemon that starts
}

// daemonKey is where a script keeps its daemon.
type daemonKey struct{}

func daemonCommand(run func(*daemon, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		d := ts.Value(daemonKey{}).(*daemon)
		err := run(d, ts, args)
		if neg && err == nil {
			ts.Fatalf("unexpected success")
		}
		if !neg {
			ts.Check(err)
		}
	}
}

func (d *daemon) running() bool {
	if d.cmd == nil {
		return false
	}
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

func (d *daemon) serve(ts *testscript.TestScript, flags []string) error {
	if d.running() {
		return errors.New("berth is running already")
	}
	away := slices.Contains(flags, "-away")
	flags = slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return f == "-away" })
	d.flags = flags
	args := []string{"serve", "--data", ts.Getenv("DATA"), "--engine", d.engine, "--state", d.state,
		"--stack-cache", d.stack, "--containerd", "embedded", "--bridge", d.bridge, "--domain", "localhost", "--git-user", gitUser}
	command := exec.Command(d.binary)
	command.Env = append(os.Environ(), "GORACE=halt_on_error=0 exitcode=66")
	if i := slices.Index(flags, "-activated"); i >= 0 {
		flags = slices.Delete(slices.Clone(flags), i, i+1)
		if err := d.activate(command); err != nil {
			return err
		}
		// LISTEN_PID has to be the process that takes the sockets.
		command.Path = "/bin/sh"
		command.Args = []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, d.binary}
	} else {
		d.closeSockets()
		for i, name := range []string{"--http", "--https", "--ssh"} {
			args = append(args, name, "127.0.0.1:"+strconv.Itoa(d.ports[i]))
		}
	}
	command.Args = append(append(command.Args, args...), flags...)

	out, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	command.Stdout, command.Stderr = out, out
	err = command.Start()
	for _, f := range d.lent {
		f.Close()
	}
	d.lent = nil
	if err != nil {
		return err
	}
	d.cmd, d.ended = command, make(chan struct{})
	go func() { command.Wait(); close(d.ended) }()
	if err := d.awaitReady(away); err != nil || away {
		return err
	}
	return d.introduce(ts)
}

// activate hands the command listening sockets, the way systemd does.
func (d *daemon) activate(command *exec.Cmd) error {
	if d.sockets == nil {
		for _, port := range d.ports {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
			if err != nil {
				return err
			}
			f, err := l.(*net.TCPListener).File()
			l.Close()
			if err != nil {
				return err
			}
			d.sockets = append(d.sockets, f)
		}
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: d.ports[1]})
		if err != nil {
			return err
		}
		f, err := c.File()
		c.Close()
		if err != nil {
			return err
		}
		d.sockets = append(d.sockets, f)
	}
	if d.store == nil {
		var err error
		if d.store, err = newFDStore(filepath.Join(d.work, "notify")); err != nil {
			return err
		}
	}
	names := []string{"http", "https", "ssh", "quic"}
	command.ExtraFiles = slices.Clone(d.sockets)
	stored, err := d.store.files()
	if err != nil {
		return err
	}
	for name, f := range stored {
		names, d.lent = append(names, name), append(d.lent, f)
	}
	command.ExtraFiles = append(command.ExtraFiles, d.lent...)
	command.Env = append(command.Env, "LISTEN_FDS="+strconv.Itoa(len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"),
		"NOTIFY_SOCKET="+d.store.path)
	return nil
}

func (d *daemon) closeSockets() {
	for _, f := range d.sockets {
		f.Close()
	}
	d.sockets = nil
	if d.store != nil {
		d.store.close()
		d.store = nil
	}
}

// awaitReady waits until berth takes commands, or, with containerd away, until it
// refuses them for that.
func (d *daemon) awaitReady(away bool) error {
	deadline := time.After(readyTimeout)
	for {
		out, err := d.berth("apps:list")
		if !away && err == nil || away && strings.Contains(out, "[E137]") {
			return nil
		}
		select {
		case <-d.ended:
			return fmt.Errorf("berth ended: %v\n%s", d.cmd.ProcessState, d.tail())
		case <-deadline:
			return fmt.Errorf("berth does not answer after %v: %s\n%s", readyTimeout, out, d.tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// introduce lets the script's key in and fetches the root certificate.
func (d *daemon) introduce(ts *testscript.TestScript) error {
	if _, err := os.Stat(ts.Getenv("ROOTS")); err == nil {
		return nil
	}
	key, err := os.Open(filepath.Join(ts.Getenv("HOME"), ".ssh", "id_ed25519.pub"))
	if err != nil {
		return err
	}
	defer key.Close()
	add := d.command("ssh-keys:add", "alice", "--role", "admin")
	add.Stdin = key
	if out, err := add.CombinedOutput(); err != nil {
		return fmt.Errorf("add the key: %w: %s", err, out)
	}
	roots, err := d.command("certs:root").Output()
	if err != nil {
		return fmt.Errorf("read the root certificate: %w", err)
	}
	return os.WriteFile(ts.Getenv("ROOTS"), roots, 0o600)
}

func (d *daemon) command(args ...string) *exec.Cmd {
	c := exec.Command(d.binary, args...)
	c.Env = append(os.Environ(), "BERTH_STATE="+d.state)
	return c
}

func (d *daemon) berth(args ...string) (string, error) {
	out, err := d.command(args...).CombinedOutput()
	return string(out), err
}

// tail returns the end of the daemon's log.
func (d *daemon) tail() string {
	text, _ := os.ReadFile(d.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

func (d *daemon) halt(*testscript.TestScript, []string) error {
	if !d.running() {
		return errors.New("berth is not running")
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-d.ended:
	case <-time.After(60 * time.Second):
		return fmt.Errorf("berth did not stop within a minute of SIGTERM\n%s", d.tail())
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("berth ended with %v after SIGTERM\n%s", d.cmd.ProcessState, d.tail())
	}
	return nil
}

func (d *daemon) restart(ts *testscript.TestScript, _ []string) error {
	if err := d.halt(ts, nil); err != nil {
		return err
	}
	return d.serve(ts, d.flags)
}

// upgrade replaces the program as install.sh does: by rename, while it runs.
// The scripts that follow get the one before back, see end.
func (d *daemon) upgrade(ts *testscript.TestScript, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: upgrade VERSION")
	}
	if err := buildBerth(d.binary+".new", args[0]); err != nil {
		return err
	}
	if err := os.Rename(d.binary, d.binary+".before"); err != nil {
		return err
	}
	if err := os.Rename(d.binary+".new", d.binary); err != nil {
		return err
	}
	return d.restart(ts, nil)
}

func (d *daemon) kill9(ts *testscript.TestScript, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: kill9 berth|containerd|shim APP|init APP|app APP")
	}
	if args[0] == "berth" {
		if !d.running() {
			return errors.New("berth is not running")
		}
		if err := d.cmd.Process.Kill(); err != nil {
			return err
		}
		<-d.ended
		return nil
	}
	pids, err := d.find(args)
	if err != nil {
		return err
	}
	if len(pids) == 0 {
		return fmt.Errorf("found no process of %v", args)
	}
	for _, pid := range pids {
		ts.Logf("kill -9 %d (%s)", pid, strings.Join(arguments(pid), " "))
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}

// find returns the processes that kill9 means.
func (d *daemon) find(args []string) ([]int, error) {
	if args[0] == "containerd" {
		return processes(func(argv []string) bool {
			return filepath.Base(argv[0]) == "containerd" && strings.Contains(strings.Join(argv, " "), d.state)
		})
	}
	if len(args) != 2 {
		return nil, fmt.Errorf("kill9 %s needs an app", args[0])
	}
	id, err := d.container(args[1])
	if err != nil {
		return nil, err
	}
	shims, err := processes(func(argv []string) bool {
		return strings.HasPrefix(filepath.Base(argv[0]), "containerd-shim") && slices.Contains(argv, id)
	})
	if err != nil || args[0] == "shim" {
		return shims, err
	}
	inits, err := children(shims)
	if err != nil || args[0] == "init" {
		return inits, err
	}
	return children(inits)
}

// container returns the id of an app's first running container.
func (d *daemon) container(app string) (string, error) {
	out, err := d.command("ps:report", app, "--format", "json").Output()
	if err != nil {
		return "", fmt.Errorf("ps:report %s: %w", app, err)
	}
	// Whatever stands around it, an instance has a member "container".
	id := ""
	for decoder := json.NewDecoder(bytes.NewReader(out)); id == ""; {
		token, err := decoder.Token()
		if err != nil {
			return "", fmt.Errorf("no container of %s in %s: %w", app, out, err)
		}
		if token != "container" {
			continue
		}
		if token, err = decoder.Token(); err == nil {
			id, _ = token.(string)
		}
	}
	return id, nil
}

// reboot leaves what a power cut leaves: the disk, and an empty /run.
func (d *daemon) reboot(ts *testscript.TestScript, _ []string) error {
	if d.running() {
		if err := d.kill9(ts, []string{"berth"}); err != nil {
			return err
		}
	}
	for _, program := range []string{"containerd", "containerd-shim-runc-v2"} {
		pids, err := processes(func(argv []string) bool {
			return filepath.Base(argv[0]) == program && strings.Contains(strings.Join(argv, " "), d.state)
		})
		if err != nil {
			return err
		}
		inits, err := children(pids)
		if err != nil {
			return err
		}
		if program == "containerd" {
			inits = nil // its children may be anything
		}
		for _, pid := range slices.Concat(pids, inits) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return removeTree(d.state)
}

// processes returns the processes whose arguments fit.
func processes(fit func(argv []string) bool) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if argv := arguments(pid); len(argv) > 0 && fit(argv) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func arguments(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(text) == 0 {
		return nil // gone, or a thread of the kernel
	}
	return strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
}

// children returns the child processes of all the parents.
func children(parents []int) ([]int, error) {
	var pids []int
	for _, parent := range parents {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", parent))
		if err != nil {
			return nil, err
		}
		for field := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return nil, err
			}
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// end stops the daemon, shows its log when the script failed, and removes all
// containers, so that the next script finds the engine as a fresh berth does.
func (d *daemon) end(t testscript.T) {
	if d.running() {
		d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.ended:
		case <-time.After(60 * time.Second):
			t.Log("berth did not stop within a minute of SIGTERM")
			d.cmd.Process.Kill()
			<-d.ended
		}
	}
	d.closeSockets()
	// A script that failed may have left a directory in the place of containerd's
	// socket, and the scripts after it could not start.
	if socket := filepath.Join(d.lab.state, "containerd.sock"); isDir(socket) {
		os.Remove(socket)
	}
	if err := os.Rename(d.binary+".before", d.binary); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	log, _ := os.ReadFile(d.log)
	if tb, ok := t.(oneByOne); ok {
		if tb.Failed() {
			t.Log("the end of berth's log:\n" + d.tail())
		}
		sweep(tb.T, d.lab)
	}
	for _, line := range []string{"WARNING: DATA RACE", "\npanic: ", "fatal error: "} {
		if i := bytes.Index(log, []byte(line)); i >= 0 {
			t.Fatal(fmt.Sprintf("berth's log has %q:\n%s", line, log[i:min(len(log), i+6000)]))
		}
	}
}

// sweep removes every container and stops the embedded containerd.
func sweep(t *testing.T, l *lab) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cfg := runtime.Config{Containerd: "embedded", Root: l.engine, State: l.state, Init: filepath.Join(l.bin, "berth"), Bridge: l.bridge}
	if _, err := removeContainers(ctx, cfg, false, io.Discard); err != nil {
		t.Fatalf("sweep: %v", err)
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
