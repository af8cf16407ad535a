package runtime_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
)

// listening waits until the container listens; that its end is not awaited
// for ever is what the deadline is for.
func listening(t testing.TB, c *runtime.Container) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		list, err := c.Listening()
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > 0 {
			return list[0]
		}
		select {
		case <-c.Done():
			t.Fatalf("it ended instead of listening: %+v", c.Exit(t.Context()))
		default:
		}
	}
	t.Fatal("it does not listen")
	return ""
}

// get asks a web server inside the container.
func get(t testing.TB, c *runtime.Container, addr string) string {
	t.Helper()
	conn, err := c.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	req, _ := http.NewRequest("GET", "http://app/", nil)
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// server is a web server of perl's, which Debian's base has: one answer per
// connection, on the address of $ADDR and $PORT.
const server = `exec perl -MIO::Socket::INET -e '
my $s = IO::Socket::INET->new(LocalAddr => $ENV{ADDR}, LocalPort => $ENV{PORT}, Listen => 16, ReuseAddr => 1) or die "$!";
while (my $c = $s->accept) { while (<$c>) { last if /^\r?$/ } print $c "HTTP/1.0 200 OK\r\n\r\nhello\n"; close $c }'`

func TestContainer_Life(t *testing.T) {
	tree := t.TempDir()
	os.WriteFile(filepath.Join(tree, "word"), []byte("filled"), 0o640)
	os.Mkdir(filepath.Join(tree, "bin"), 0o755)
	os.WriteFile(filepath.Join(tree, "bin", "serve"), []byte("#!/bin/bash\n"+server), 0o755)
	os.Symlink("/etc/passwd", filepath.Join(tree, "link"))
	log := filepath.Join(t.TempDir(), "web.1.log")

	c := create(t, runtime.Spec{LogFile: log, Labels: map[string]string{"app": "shop"}})
	if c.Launched() {
		t.Error("Launched before Launch")
	}
	if err := c.Fill(t.Context(), tree, "/app"); err != nil {
		t.Fatal(err)
	}
	launch(t, c, runtime.Command{Args: []string{"bash", "-c", "cat word; echo; id -u; id -un; stat -c '%u %a' word bin/serve; readlink link; echo oops >&2; exec bin/serve"},
		Env: []string{"ADDR=127.0.0.1", "PORT=80"}, Dir: "/app"})
	if !c.Launched() {
		t.Error("not Launched after Launch")
	}
	addr := listening(t, c)
	if addr != "127.0.0.1:80" {
		t.Errorf("listening on %s, want 127.0.0.1:80", addr)
	}
	if got := get(t, c, addr); got != "HTTP/1.0 200 OK" {
		t.Errorf("answer %q", got)
	}
	if u, err := c.Usage(t.Context()); err != nil || u.Memory == 0 || u.Pids == 0 || u.CPU == 0 {
		t.Errorf("usage %+v, %v", u, err)
	}
	if err := c.Stop(t.Context(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if exit := ended(t, c); exit.Code != 143 || exit.Signal != 15 || exit.Lost || exit.OOM || exit.At.IsZero() {
		t.Errorf("exit %+v, want 143 by SIGTERM", exit)
	}
	if _, err := c.Dial(t.Context(), addr); err == nil {
		t.Error("a dial into an ended container succeeded")
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" o filled\n", " o 20001\n", " o app\n", " o 20001 640\n", " o 20001 755\n", " o /etc/passwd\n", " e oops\n"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the log has no %q:\n%s", want, data)
		}
	}
}

func TestContainer_ExitCode(t *testing.T) {
	c := create(t, runtime.Spec{Isolated: true})
	launch(t, c, sh("exit 7"))
	if exit := ended(t, c); exit.Code != 7 || exit.Signal != 0 || exit.Lost {
		t.Errorf("exit %+v, want code 7", exit)
	}
}

func TestContainer_LaunchOfNothingFails(t *testing.T) {
	c := create(t, runtime.Spec{})
	if err := c.Launch(t.Context(), runtime.Command{Args: []string{"no-such-program"}}); err == nil {
		t.Error("launched a program that does not exist")
	}
}

func TestContainer_MemoryLimitIsReported(t *testing.T) {
	c := create(t, runtime.Spec{Limits: runtime.Limits{Memory: 64 << 20}})
	launch(t, c, sh(`exec perl -e '$x = "a" x (256 << 20); sleep 60'`))
	if exit := ended(t, c); !exit.OOM || exit.Code != 137 || exit.MemoryLimit == 0 {
		t.Errorf("exit %+v, want 137 by the memory limit", exit)
	}
}

func TestContainer_PidsAreLimited(t *testing.T) {
	out, _ := output(t, runtime.Spec{Limits: runtime.Limits{Pids: 20}}, `for i in $(seq 40); do sleep 5 & done 2>&1 | head -c 200`)
	if !strings.Contains(out, "fork") {
		t.Errorf("40 processes under a limit of 20 said %q", out)
	}
}

func TestContainer_Privileges(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	c := create(t, runtime.Spec{LogFile: log})
	launch(t, c, sh("cat /proc/self/status; ulimit -n; ls -d /proc/1/root/ /.berth/control/* 2>&1; exit 0"))
	ended(t, c)
	data, _ := os.ReadFile(log)
	for _, want := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "CapInh:\t0000000000000000", "Seccomp:\t2", "Uid:\t20001\t20001\t20001\t20001"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the status has no %q", want)
		}
	}
	if strings.Contains(string(data), "control.sock") {
		t.Error("the app sees the control socket")
	}
	out, _ := output(t, runtime.Spec{}, "cat /proc/self/status")
	for _, want := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "Seccomp:\t2"} {
		if !strings.Contains(out, want) {
			t.Errorf("a one-off's status has no %q", want)
		}
	}
}

// containerd is protected from the OOM killer, its shims likewise; what they
// start is not.
func TestContainer_MemoryOfTheMachineIsNotItsOwn(t *testing.T) {
	if out, _ := output(t, runtime.Spec{Isolated: true}, "cat /proc/self/oom_score_adj"); out != "0" {
		t.Errorf("the OOM score is moved by %s, want 0", out)
	}
}

func TestContainer_SecretsAreNotStored(t *testing.T) {
	const secret = "correct-horse-battery"
	c := create(t, runtime.Spec{})
	launch(t, c, sh("sleep 100", "SECRET="+secret))
	if out, _ := output(t, runtime.Spec{}, `echo "$SECRET"`, "SECRET="+secret); out != secret {
		t.Fatalf("the one-off's secret is %q", out)
	}
	err := filepath.WalkDir(shared.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(path, "/snapshots/") {
			return nil
		}
		if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), secret) {
			t.Errorf("%s holds the secret", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestContainer_RemoveIsThorough(t *testing.T) {
	e, stack := open(t)
	c, err := e.Create(t.Context(), runtime.Spec{ID: runtime.NewID(), Layer: stack, UID: 20001})
	if err != nil {
		t.Fatal(err)
	}
	launch(t, c, sh("sleep 1000"))
	for range 2 {
		if err := c.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	filepath.WalkDir(shared.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), c.ID) {
			t.Errorf("%s is left", path)
		}
		return nil
	})
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	if strings.Contains(string(mounts), c.ID) {
		t.Error("a mount is left")
	}
	list, err := e.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range list {
		if other.ID == c.ID {
			t.Error("it is still listed")
		}
	}
}

func TestCreate_IDIsNeverUsedTwice(t *testing.T) {
	e, stack := open(t)
	c := create(t, runtime.Spec{})
	if _, err := e.Create(t.Context(), runtime.Spec{ID: c.ID, Layer: stack, UID: 20001}); err == nil {
		t.Fatal("a second container with the same id")
	}
	launch(t, c, sh("exit 3"))
	if exit := ended(t, c); exit.Code != 3 {
		t.Errorf("the first was harmed: %+v", exit)
	}
}

func TestCreate_ManyAtOnce(t *testing.T) {
	e, stack := open(t)
	type made struct {
		c   *runtime.Container
		err error
	}
	results := make(chan made)
	began := time.Now()
	for range 20 {
		go func() {
			c, err := e.Create(t.Context(), runtime.Spec{ID: runtime.NewID(), Layer: stack, UID: 20001})
			results <- made{c, err}
		}()
	}
	addresses := make(map[string]bool)
	var all []*runtime.Container
	for range 20 {
		m := <-results
		if m.err != nil {
			t.Error(m.err)
			continue
		}
		addresses[m.c.Address] = true
		all = append(all, m.c)
	}
	t.Logf("20 created in %v", time.Since(began))
	if len(addresses) != len(all) {
		t.Errorf("%d containers have %d addresses", len(all), len(addresses))
	}
	for _, c := range all {
		if err := c.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestDial_EndsWithItsContext(t *testing.T) {
	c := create(t, runtime.Spec{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	nobody, _ := netip.ParseAddr(c.Address)
	for range 100 {
		nobody = nobody.Next()
	}
	_, err := c.Dial(ctx, nobody.String()+":9")
	if err == nil {
		t.Fatal("connected to nobody")
	}
	if _, err := c.Dial(t.Context(), "127.0.0.1:9"); err == nil {
		t.Fatal("connected to a closed port")
	} else if op, ok := err.(*net.OpError); !ok || op.Op != "dial" {
		t.Errorf("a closed port gives %#v, want a dial's OpError", err)
	}
}

func TestStop_SendsTheSpecsSignal(t *testing.T) {
	for _, name := range []string{"SIGQUIT", "quit", "3"} {
		log := filepath.Join(t.TempDir(), "log")
		c := create(t, runtime.Spec{LogFile: log, StopSignal: name})
		launch(t, c, sh("trap 'exit 7' QUIT; echo ready; while :; do sleep 0.05; done"))
		for range 200 {
			if said, _ := os.ReadFile(log); strings.Contains(string(said), "ready") {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := c.Stop(t.Context(), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if exit := ended(t, c); exit.Code != 7 {
			t.Errorf("%s: exit %+v, want code 7 by SIGQUIT", name, exit)
		}
	}
}
