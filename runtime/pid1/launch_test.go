package pid1

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestRun_OutputAndExitCode(t *testing.T) {
	b := newBox(t).run("echo out; sleep 0.1; echo err >&2; sleep 0.1; printf 'no newline'; exit 7")
	b.wantExit(7, 0)
	b.wantLog("o out", "e err", "o no newline")
	for i, lines := 1, b.lines(); i < len(lines); i++ {
		if !lines[i].Time.After(lines[i-1].Time) {
			t.Errorf("line %d is not later than the one before", i)
		}
	}
	if st, err := os.Stat(filepath.Join(b.control, launchedFile)); err != nil || st.Size() != 0 {
		t.Errorf("the file launched: %v, %v", st, err)
	}
}

func TestRun_ProgramHasNothingOfOurs(t *testing.T) {
	t.Setenv("SECRET", "of the house")
	b := newBox(t).run(`
		grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|SigBlk|SigIgn)' /proc/self/status | tr '\t' ' '
		env | grep -E 'BERTH|SECRET'
		ls -l /proc/self/fd/ | awk '{print $9}' | sort | tr -d '\n'; echo
		readlink /proc/self/fd/0
		echo again > /dev/stdout`)
	b.wantExit(0, 0)
	// ls and its directory are the 3.
	want := fmt.Sprintf("o Uid: %[1]d %[1]d %[1]d %[1]d|o Gid: %[1]d %[1]d %[1]d %[1]d|o Groups:  |o SigBlk: 0000000000000000|o SigIgn: 0000000000000000|", someUser) +
		strings.Join([]string{
			"o CapInh: 0000000000000000", "o CapPrm: 0000000000000000", "o CapEff: 0000000000000000",
			"o CapBnd: 0000000000000000", "o CapAmb: 0000000000000000", "o NoNewPrivs: 1",
			"o 0123", "o /dev/null", "o again",
		}, "|")
	if got := strings.Join(b.texts(), "|"); got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

func TestRun_ProgramHasASessionOfItsOwn(t *testing.T) {
	b := newBox(t).run("sleep 60; true")
	out, err := exec.Command("ps", "--ppid", strconv.Itoa(b.cmd.Process.Pid), "-o", "pid=,pgid=,sid=").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(out)); len(got) != 3 || got[0] != got[1] || got[1] != got[2] {
		t.Errorf("pid, process group, session: %q, want all the same", got)
	}
}

func TestRun_OOMKillerPrefersTheProgram(t *testing.T) {
	b := newBox(t).start()
	ours := func() string {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", b.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(data))
	}
	before := ours()
	if a := b.ask(Request{Args: []string{"sh", "-c", "cat /proc/self/oom_score_adj; sleep 60"}, UID: someUser, GID: someUser}); a.Error != "" {
		t.Fatal(a.Error)
	}
	base, _ := strconv.Atoi(before)
	b.waitLog("o " + strconv.Itoa(min(base+oomMargin, oomMax)))
	if after := ours(); after != before {
		t.Errorf("our own score went from %s to %s", before, after)
	}
}

func TestRun_RootKeepsTheContainersCapabilities(t *testing.T) {
	b := newBox(t).start()
	if a := b.ask(Request{Args: []string{"sh", "-c", "grep CapEff /proc/self/status"}}); a.Error != "" {
		t.Fatal(a.Error)
	}
	b.wantExit(0, 0)
	if got := b.texts(); len(got) != 1 || strings.HasSuffix(got[0], "\t0000000000000000") {
		t.Errorf("got %q, want some capabilities", got)
	}
}

func TestRun_WithNoMoreCapabilitiesThanTheEngineGives(t *testing.T) {
	b := newBox(t)
	b.wrap = []string{
		"setpriv", "--no-new-privs", "--clear-groups", "--inh-caps=-all",
		"--bounding-set=-all,+setuid,+setgid,+kill,+setpcap",
	}
	b.run("cat /proc/self/oom_score_adj; echo again > /dev/stdout; setsid sleep 1000 & echo ready; sleep 60")
	b.waitLog("o ready")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(status), "CapEff:\t00000000000001e0\n") {
		t.Errorf("not the four capabilities: %s", status)
	}
	own, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", b.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	base, _ := strconv.Atoi(strings.TrimSpace(string(own)))
	b.signal(syscall.SIGTERM)
	b.wantExit(128+15, 15)
	b.wantLog("o "+strconv.Itoa(min(base+oomMargin, oomMax)), "o again", "o ready")
}

func TestLaunch_SecondIsRefused(t *testing.T) {
	b := newBox(t).run("sleep 60")
	if a := b.ask(Request{Args: []string{"true"}}); a.PID != 0 || !strings.Contains(a.Error, "launched already") {
		t.Errorf("got %+v", a)
	}
	b.signal(syscall.SIGTERM)
	b.wantExit(128+15, 15)
}

func TestLaunch_ClearErrors(t *testing.T) {
	b := newBox(t).start()
	dir := t.TempDir()
	for dir := dir; dir != os.TempDir(); dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := file("plain", "echo hello\n", 0o644)
	file("noscript", "echo hello\n", 0o755)
	file("badscript", "#!/opt/nowhere/python -u\n", 0o755)
	file("ours", "#!/bin/sh\n", 0o700)
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(closed, "prog"), []byte("#!/bin/sh\n"), 0o755)

	for _, test := range []struct {
		name, want string
		req        Request
	}{
		{"no args", "no program to run", Request{}},
		{"unknown", "gunicorn: not found in PATH (/usr/bin:/bin)", Request{Args: []string{"gunicorn"}, Env: []string{"PATH=/sbin", "PATH=/usr/bin:/bin"}}},
		{"unknown path", "bin/web: no such file or directory", Request{Args: []string{"bin/web"}}},
		{"no dir", "directory /nowhere: no such file or directory", Request{Args: []string{"true"}, Dir: "/nowhere"}},
		{"dir is a file", "directory " + plain + ": not a directory", Request{Args: []string{"true"}, Dir: plain}},
		{"not executable", "./plain: not executable (mode 0644): permission denied", Request{Args: []string{"./plain"}}},
		{"not executable in PATH", dir + "/plain: not executable (mode 0644): permission denied", Request{Args: []string{"plain"}, Env: []string{"PATH=" + dir}}},
		{"another's", "./ours: not executable (mode 0700): permission denied", Request{Args: []string{"./ours"}}},
		{"unreachable", "closed/prog: permission denied", Request{Args: []string{"closed/prog"}}},
		{"directory", closed + ": not a file", Request{Args: []string{closed}}},
		{"no #!", "noscript: neither a program for", Request{Args: []string{"./noscript"}}},
		{"no interpreter", `its interpreter "/opt/nowhere/python -u" (first line) is missing`, Request{Args: []string{"./badscript"}}},
		{"NUL", "a NUL in the arguments or the environment", Request{Args: []string{"true", "a\x00b"}}},
		{"too long", "argument list too long", Request{Args: []string{"true", strings.Repeat("x", 1<<20)}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.req.UID, test.req.GID = someUser, someUser
			if test.req.Dir == "" {
				test.req.Dir = dir
			}
			a := b.ask(test.req)
			if a.PID != 0 || !strings.Contains(a.Error, test.want) {
				t.Errorf("got %+v, want %q", a, test.want)
			}
		})
	}
	if a := b.send([]byte("hello\n")); !strings.Contains(a.Error, "read the request") {
		t.Errorf("nonsense was answered with %+v", a)
	}
	if _, err := os.Stat(filepath.Join(b.control, launchedFile)); err == nil {
		t.Error("failed launches left the file launched")
	}
	// None of this uses the container up.
	if a := b.ask(Request{Args: []string{"true"}, UID: someUser, GID: someUser}); a.Error != "" {
		t.Errorf("a good launch afterwards: %s", a.Error)
	}
	b.wantExit(0, 0)
}

func TestLaunch_LookedUpWithTheUsersRights(t *testing.T) {
	b := newBox(t).start()
	dir := t.TempDir()
	for dir := dir; dir != os.TempDir(); dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	own, others := filepath.Join(dir, "own"), filepath.Join(dir, "others")
	for _, d := range []string{own, others} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "prog"), []byte("#!/bin/sh\necho "+filepath.Base(d)+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(own, someUser, someUser); err != nil {
		t.Fatal(err)
	}
	a := b.ask(Request{Args: []string{"prog"}, Env: []string{"PATH=" + others + ":own"}, Dir: dir, UID: someUser, GID: someUser})
	if a.Error != "" {
		t.Fatal(a.Error)
	}
	b.wantExit(0, 0)
	b.wantLog("o own")
}
