package sshd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// house is what stands behind the door in these tests: keys and apps in maps,
// deploys as a function. git, ssh and the door are real.
type house struct {
	mu       sync.Mutex
	keys     map[string]store.Key
	used     []string
	apps     map[string]store.App
	created  int
	reserved map[string]int
	pushes   []deploy.Push
	expected []string
	left     []string // apps to be destroyed unless they are used
	push     func(ctx context.Context, p deploy.Push) error
	command  Command
	upload   func(app string) // called before the pack comes in
	next     func()           // called when a push has had its turn
	turn     chan bool        // one push at a time
	waiting  int              // for the turn
	life     context.Context  // of the turns; nil never ends
}

func (h *house) KeyByFingerprint(fingerprint string) (store.Key, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if key, ok := h.keys[fingerprint]; ok {
		return key, nil
	}
	return store.Key{}, fault.New(fault.NotFound, "E112", "no such key")
}

func (h *house) Used(fingerprint string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.used = append(h.used, fingerprint)
}

func (h *house) app(name string) (store.App, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if app, ok := h.apps[name]; ok {
		return app, nil
	}
	return store.App{}, fault.New(fault.NotFound, "E101", "no app named %q", name)
}

func (h *house) Expect(app string) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expected = append(h.expected, app)
	if h.upload != nil {
		h.upload(app)
	}
	return func() {}
}

func (h *house) Receive(ctx context.Context, _ string, _ store.User, _ io.Writer, work func(context.Context, *deploy.Turn) error) error {
	count := func(n int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.waiting += n
	}
	count(1)
	select {
	case h.turn <- true:
		count(-1)
	case <-ctx.Done():
		count(-1)
		return context.Cause(ctx)
	}
	defer func() { <-h.turn }()
	ctx = context.WithoutCancel(ctx)
	h.mu.Lock()
	if h.life != nil {
		ctx = h.life
	}
	h.mu.Unlock()
	return work(ctx, nil)
}

func (h *house) Reserve(name string) (int, func(), error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reserve(name), func() {}, nil
}

func (h *house) reserve(name string) int {
	if h.reserved[name] == 0 {
		if h.reserved == nil {
			h.reserved = map[string]int{}
		}
		h.reserved[name] = 70_001 + len(h.reserved)
	}
	return h.reserved[name]
}

// repository is where an app's is, whether the app is there or not.
func (h *house) repository(app string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := h.apps[app].UID
	if id == 0 {
		id = h.reserve(app)
	}
	return strconv.Itoa(id) + ".git"
}

func (h *house) CreateApp(_ context.Context, name string, by store.User) (store.App, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.created++
	app := store.App{Name: name, CreatedBy: by.Name, UID: h.reserve(name)}
	h.apps[name] = app
	return app, nil
}

func (h *house) Push(ctx context.Context, p deploy.Push) error {
	if p.Commit == "" {
		return h.accept(ctx, p)
	}
	h.mu.Lock()
	h.pushes = append(h.pushes, p)
	app := h.apps[p.App]
	if app.Branch == "" {
		app.Branch = p.Branch
		h.apps[p.App] = app
	}
	push := h.push
	h.mu.Unlock()
	if push != nil {
		if err := push(ctx, p); err != nil {
			return err
		}
	}
	return h.accept(ctx, p)
}

// accept moves the refs, and then lets in who waited for the push.
func (h *house) accept(ctx context.Context, p deploy.Push) error {
	if err := p.Accept(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	next := h.next
	h.mu.Unlock()
	if next != nil {
		next()
	}
	return nil
}

func (h *house) DestroyUnused(_ context.Context, name string, _ store.User) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left = append(h.left, name)
	return nil
}

// runs and deploys set what commands and pushes do from now on.
func (h *house) runs(c Command) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.command = c
}

func (h *house) deploys(push func(ctx context.Context, p deploy.Push) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.push = push
}

// pushed and entered return what has happened so far.
func (h *house) pushed() []deploy.Push {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.pushes)
}

func (h *house) expecting() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.expected)
}

func (h *house) entered() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.used)
}

func (h *house) has(name string) bool { _, err := h.app(name); return err == nil }

// door is a running server.
type door struct {
	*house
	port  string
	repos git.Repositories
	log   *buffer
	in    *access.Register
}

// buffer is a log that a test may read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var hostKeys = sync.OnceValues(GenerateHostKeys)

func openDoor(t testing.TB, cfg Config) *door {
	t.Helper()
	keys, err := hostKeys()
	if err != nil {
		t.Fatal(err)
	}
	cfg.HostKeys = keys
	cfg.Register = &access.Register{}
	if cfg.Grace == 0 {
		cfg.Grace = time.Second
	}
	d := &door{house: &house{turn: make(chan bool, 1), keys: map[string]store.Key{}, apps: map[string]store.App{}}, log: &buffer{}, in: cfg.Register}
	d.repos = git.Repositories{Dir: filepath.Join(t.TempDir(), "git")}
	log := slog.New(slog.NewTextHandler(d.log, nil))
	run := func(ctx context.Context, r Request) int {
		d.mu.Lock()
		command := d.command
		d.mu.Unlock()
		return command(ctx, r)
	}
	pushes := NewPushes(d.repos, d.house.app, d.house, log)
	server, err := New(cfg, d.house, pushes, run, log)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, d.port, _ = net.SplitHostPort(l.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", d.log.String())
		}
	})
	return d
}

// client is somebody with a key, a home and a work tree.
type client struct {
	t    testing.TB
	d    *door
	home string
	key  string
}

// client makes a client; with a role its key is known.
func (d *door) client(t testing.TB, name string, role store.Role, apps ...string) *client {
	t.Helper()
	c := &client{t: t, d: d, home: t.TempDir()}
	c.key = filepath.Join(c.home, "id_ed25519")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", c.key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v %s", err, out)
	}
	if role != "" {
		fingerprint := c.fingerprint()
		d.mu.Lock()
		d.keys[fingerprint] = store.Key{Name: name, Fingerprint: fingerprint, Role: role, Apps: apps}
		d.mu.Unlock()
	}
	c.git("init", "-q", "-b", "main")
	c.commit("hello.py", "print('Hello world!')\n")
	return c
}

func (c *client) fingerprint() string {
	text, err := os.ReadFile(c.key + ".pub")
	if err != nil {
		c.t.Fatal(err)
	}
	key, _, _, _, err := gossh.ParseAuthorizedKey(text)
	if err != nil {
		c.t.Fatal(err)
	}
	return gossh.FingerprintSHA256(key)
}

func (c *client) sshArgs() []string {
	return []string{"-F", "none", "-p", c.d.port, "-i", c.key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + filepath.Join(c.home, "known_hosts"), "-o", "LogLevel=INFO"}
}

func (c *client) env(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir = c.home
	cmd.Env = append(os.Environ(), "HOME="+c.home, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org",
		"GIT_SSH_COMMAND=ssh "+strings.Join(c.sshArgs(), " "))
	return cmd
}

// ssh runs ssh with options before the host and words after it.
func (c *client) ssh(options []string, words ...string) *exec.Cmd {
	args := append(append(c.sshArgs(), options...), "berth@127.0.0.1")
	return c.env(exec.Command("ssh", append(args, words...)...))
}

func (c *client) gitCommand(args ...string) *exec.Cmd {
	return c.env(exec.Command("git", args...))
}

func (c *client) git(args ...string) string {
	c.t.Helper()
	out, err := c.gitCommand(args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (c *client) input(stdin string, args ...string) string {
	c.t.Helper()
	cmd := c.gitCommand(args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (c *client) commit(name, text string) string {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.home, name), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	c.git("add", name)
	c.git("commit", "-q", "-m", "change "+name)
	return c.git("rev-parse", "HEAD")
}

func (c *client) remote(app string) string { return "berth@127.0.0.1:" + app }

// push pushes and returns what git said.
func (c *client) push(app string, refs ...string) (string, error) {
	out, err := c.gitCommand(append([]string{"push", c.remote(app)}, refs...)...).CombinedOutput()
	return string(out), err
}

func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func wantText(t testing.TB, got string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("got:\n%s\nwant %q in it", got, want)
		}
	}
}

func TestServe_UnknownKeyIsToldItsFingerprint(t *testing.T) {
	d := openDoor(t, Config{})
	c := d.client(t, "mallory", "")
	out, err := c.push("shop", "main")
	if err == nil {
		t.Error("the push went through")
	}
	wantText(t, out, "error: berth does not know this SSH key [E170]", c.fingerprint()+" (ed25519)", "ssh-keys:add", "Permission denied")
	if strings.Index(out, "ssh-keys:add") > strings.Index(out, "Permission denied") {
		t.Errorf("the explanation does not stand above ssh's own words:\n%s", out)
	}
	out2, err := c.env(exec.Command("ssh", append(c.sshArgs(), "root@127.0.0.1", "version")...)).CombinedOutput()
	if err == nil {
		t.Error("root got in")
	}
	wantText(t, string(out2), `no user "root" here`)
	if len(d.entered()) > 0 {
		t.Errorf("used: %v", d.entered())
	}
}

func TestServe_SecondKeyOfAnAgentEntersWithoutABanner(t *testing.T) {
	d := openDoor(t, Config{})
	d.runs(func(_ context.Context, r Request) int { fmt.Fprint(r.Stdout, r.User.Name); return 0 })
	stranger := d.client(t, "stranger", "")
	c := d.client(t, "alice", store.RoleDeploy)
	out, err := c.ssh([]string{"-o", "IdentityFile=" + stranger.key, "-i", stranger.key}, "version").CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "alice") || strings.Contains(string(out), "E170") {
		t.Errorf("%v\n%s", err, out)
	}
	if len(d.entered()) != 1 || d.entered()[0] != c.fingerprint() {
		t.Errorf("used %v, want the key that signed, %s", d.used, c.fingerprint())
	}
}

func TestServe_NobodyEntersWithoutAKey(t *testing.T) {
	d := openDoor(t, Config{})
	d.runs(func(context.Context, Request) int { t.Error("a command ran"); return 0 })
	d.client(t, "alice", store.RoleAdmin)
	for name, auth := range map[string][]gossh.AuthMethod{
		"none":     nil,
		"password": {gossh.Password("")},
		"keyboard": {gossh.KeyboardInteractive(func(_, _ string, q []string, _ []bool) ([]string, error) { return make([]string, len(q)), nil })},
	} {
		conn, err := gossh.Dial("tcp", "127.0.0.1:"+d.port, &gossh.ClientConfig{User: "berth", HostKeyCallback: gossh.InsecureIgnoreHostKey(), Auth: auth})
		if err == nil {
			conn.Close()
			t.Errorf("%s: let in", name)
		}
	}
}

// A client may ask about one key and sign with another.
func TestServe_IdentityIsTheKeyThatSigned(t *testing.T) {
	d := openDoor(t, Config{})
	d.runs(func(_ context.Context, r Request) int { fmt.Fprint(r.Stdout, r.User.Name); return 0 })
	admin := d.client(t, "admin", store.RoleAdmin)
	bob := d.client(t, "bob", store.RoleRead)
	// The public half alone: ssh offers it, is told that it would do, and has
	// nothing to sign with.
	if err := os.WriteFile(admin.key, []byte("not a private key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-v", "-i", admin.key}, bob.sshArgs()...)
	cmd := bob.env(exec.Command("ssh", append(args, "berth@127.0.0.1", "whoami")...))
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil || out.String() != "bob" {
		t.Errorf("entered as %q, %v; want bob\n%s", out.String(), err, talk.String())
	}
	wantText(t, talk.String(), "Server accepts key: "+admin.key)
	if len(d.entered()) != 1 || d.entered()[0] != bob.fingerprint() {
		t.Errorf("used %v, want bob's key alone", d.entered())
	}
}

func TestServe_RemovedKeyLosesItsOpenConnection(t *testing.T) {
	d := openDoor(t, Config{})
	d.runs(func(context.Context, Request) int { return 0 })
	c := d.client(t, "alice", store.RoleAdmin)
	control := filepath.Join(c.home, "ctl")
	master := c.ssh([]string{"-M", "-S", control, "-o", "ControlPersist=yes"}, "version")
	if out, err := master.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	defer c.ssh([]string{"-S", control, "-O", "exit"}).Run()
	if out, err := c.ssh([]string{"-S", control}, "version").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	d.mu.Lock()
	clear(d.keys)
	d.mu.Unlock()
	if err := c.ssh([]string{"-S", control}, "version").Run(); exitCode(err) != int(fault.NotFound) {
		t.Errorf("a removed key still works: %v", err)
	}
}

func TestServe_RefusesAllButCommands(t *testing.T) {
	d := openDoor(t, Config{})
	requests := make(chan Request, 1)
	d.runs(func(_ context.Context, r Request) int { requests <- r; return 0 })
	c := d.client(t, "alice", store.RoleAdmin)

	out, err := c.ssh([]string{"-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"}).CombinedOutput()
	if err == nil {
		t.Error("-R was accepted")
	}
	wantText(t, string(out), "remote port forwarding failed")
	out, err = c.ssh([]string{"-W", "127.0.0.1:" + d.port}).CombinedOutput()
	if err == nil {
		t.Error("-W (direct-tcpip, as -L uses) was accepted")
	}
	wantText(t, string(out), "administratively prohibited: berth does not forward")
	out, err = c.ssh([]string{"-s"}, "sftp").CombinedOutput()
	if err == nil {
		t.Error("sftp was accepted")
	}
	wantText(t, string(out), "subsystem request failed")
	cmd := c.ssh([]string{"-A", "-X", "-o", "SendEnv=SECRET", "-o", "SetEnv=LD_PRELOAD=/x"}, "version")
	cmd.Env = append(cmd.Env, "SECRET=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("environment, agent and X11 are to be refused, the command to run: %v %s", err, out)
	}
	if request := <-requests; request.User.Name != "alice" || len(request.Args) != 1 {
		t.Errorf("request %+v", request)
	}
}

func TestServe_CommandsGetWordsStreamsAndGiveTheirCode(t *testing.T) {
	d := openDoor(t, Config{})
	words := make(chan []string, 1)
	d.runs(func(_ context.Context, r Request) int {
		select {
		case words <- r.Args:
		default:
		}
		io.Copy(r.Stdout, r.Stdin)
		fmt.Fprintln(r.Stderr, "to stderr")
		return 5
	})
	c := d.client(t, "alice", store.RoleAdmin)
	cmd := c.ssh(nil, `config:set shop 'A=two words' B="x\"y" C='' D=a\ b ''`)
	cmd.Stdin = strings.NewReader("through and back")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if code := exitCode(cmd.Run()); code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
	want := []string{"config:set", "shop", "A=two words", `B=x"y`, "C=", "D=a b", ""}
	if got := <-words; !slices.Equal(got, want) {
		t.Errorf("words %q, want %q", got, want)
	}
	if stdout.String() != "through and back" || !strings.Contains(stderr.String(), "to stderr") {
		t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
	}
	if out, err := c.ssh(nil, `apps:info 'open`).CombinedOutput(); exitCode(err) != int(fault.Usage) {
		t.Errorf("an open quote: %v %s", err, out)
	}
	d.runs(func(_ context.Context, r Request) int { return 40 + len(r.Args) })
	if code := exitCode(c.ssh([]string{"-T"}).Run()); code != 40 {
		t.Errorf("without a command: exit code %d, want 40", code)
	}
	d.runs(func(context.Context, Request) int { panic("boom") })
	out, err := c.ssh(nil, "version").CombinedOutput()
	if exitCode(err) != 1 || !strings.Contains(string(out), "internal error (ref ") {
		t.Errorf("a panic: %v %s", err, out)
	}
}

func TestServe_TerminalSizeAndSignalsArrive(t *testing.T) {
	d := openDoor(t, Config{})
	seen := make(chan string, 10)
	d.runs(func(ctx context.Context, r Request) int {
		seen <- fmt.Sprintf("%v %s %dx%d", r.Terminal, r.Term, r.Size.Cols, r.Size.Rows)
		fmt.Fprintln(r.Stdout, "ready")
		fmt.Fprint(r.Raw, "raw\n")
		size := <-r.Resize
		seen <- fmt.Sprintf("%dx%d", size.Cols, size.Rows)
		seen <- <-r.Signals
		return 0
	})
	c := d.client(t, "alice", store.RoleAdmin)
	pem, _ := os.ReadFile(c.key)
	signer, err := gossh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := gossh.Dial("tcp", "127.0.0.1:"+d.port, &gossh.ClientConfig{User: "berth",
		HostKeyCallback: gossh.InsecureIgnoreHostKey(), Auth: []gossh.AuthMethod{gossh.PublicKeys(signer)}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	session, err := conn.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	session.Stdout = &out
	if err := session.RequestPty("xterm-256color", 40, 120, nil); err != nil {
		t.Fatal(err)
	}
	if err := session.Start("run shop bash"); err != nil {
		t.Fatal(err)
	}
	for range 100 { // nobody reads them: none may block the channel
		session.WindowChange(50, 130)
	}
	session.Signal(gossh.SIGINT)
	for _, want := range []string{"true xterm-256color 120x40", "130x50", "INT"} {
		if got := <-seen; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := session.Wait(); err != nil {
		t.Error(err)
	}
	if out.String() != "ready\r\nraw\n" {
		t.Errorf("output %q", out.String())
	}
}

func TestServe_ContextEndsWithTheSession(t *testing.T) {
	d := openDoor(t, Config{})
	started, ended := make(chan bool, 1), make(chan bool, 1)
	d.runs(func(ctx context.Context, r Request) int { started <- true; <-ctx.Done(); ended <- true; return 0 })
	c := d.client(t, "alice", store.RoleAdmin)
	cmd := c.ssh(nil, "logs", "-f")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-started
	cmd.Process.Kill()
	cmd.Wait()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the command runs on without its client")
	}
}
