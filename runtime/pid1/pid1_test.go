package pid1

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSignals_ReachTheProgram(t *testing.T) {
	b := newBox(t).run(`
		for s in HUP INT QUIT USR1 USR2 WINCH; do trap "echo got $s" $s; done
		trap 'echo got TERM; exit 3' TERM
		echo ready
		while :; do sleep 0.02; done`)
	b.waitLog("o ready")
	for _, s := range []struct {
		sig  syscall.Signal
		name string
	}{{syscall.SIGHUP, "HUP"}, {syscall.SIGINT, "INT"}, {syscall.SIGQUIT, "QUIT"}, {syscall.SIGUSR1, "USR1"}, {syscall.SIGUSR2, "USR2"}, {syscall.SIGWINCH, "WINCH"}} {
		b.signal(s.sig)
		b.waitLog("o got " + s.name)
	}
	b.signal(syscall.SIGTERM)
	b.wantExit(3, 0)
}

func TestSignals_StayWithTheFirstProcess(t *testing.T) {
	// A master that reloads on HUP, and a worker that would die of it.
	b := newBox(t).run(`
		trap 'echo reload' HUP
		sh -c 'echo worker; sleep 60' &
		worker=$!
		trap 'kill -0 $worker && echo worker lives; exit 0' TERM
		while :; do sleep 0.02; done`)
	b.waitLog("o worker")
	b.signal(syscall.SIGHUP)
	b.waitLog("o reload")
	b.signal(syscall.SIGTERM)
	b.wantExit(0, 0)
	b.wantLog("o worker", "o reload", "o worker lives")
}

func TestSignals_ServerBehindAShellEndsGracefully(t *testing.T) {
	b := newBox(t).run(`
		exec 2> /dev/null
		sh -c 'trap "sleep 1.5; echo requests finished; exit 0" TERM; echo serving; while :; do sleep 0.02; done' && echo never`)
	b.waitLog("o serving")
	b.signal(syscall.SIGTERM)
	b.wantExit(128+15, 15)
	b.wantLog("o serving", "o requests finished")
}

func TestSignals_BeforeLaunchEndIt(t *testing.T) {
	b := newBox(t).start()
	eventually(t, "the control socket", func() error {
		_, err := os.Stat(filepath.Join(b.control, controlSocket))
		return err
	})
	b.signal(syscall.SIGTERM)
	select {
	case <-b.ended:
	case <-time.After(soon):
		t.Fatal("still waiting for a launch")
	}
	if code := b.cmd.ProcessState.ExitCode(); code != 128+15 {
		t.Errorf("exit code %d, want %d", code, 128+15)
	}
	if _, err := os.Stat(filepath.Join(b.control, exitFile)); err == nil {
		t.Error("exit.json tells of a program that never ran")
	}
}

func TestExit_KilledProgram(t *testing.T) {
	b := newBox(t).run("echo bye; kill -9 $$")
	b.wantExit(128+9, 9)
	b.wantLog("o bye")
}

func TestExit_OrphansAreReaped(t *testing.T) {
	b := newBox(t).run(`
		for i in 1 2 3 4 5 6 7 8 9 10; do sh -c 'sleep 0.1 & :' & done
		wait; echo started; sleep 60`)
	b.waitLog("o started")
	eventually(t, "no zombies", func() error {
		out, err := exec.Command("ps", "--ppid", strconv.Itoa(b.cmd.Process.Pid), "-o", "stat=,comm=").Output()
		if err != nil {
			return err
		}
		if got := strings.Fields(string(out)); len(got) != 2 || got[1] != "sh" {
			return fmt.Errorf("children: %q", got)
		}
		return nil
	})
}

func TestExit_GrandchildHoldingThePipe(t *testing.T) {
	b := newBox(t).run(`
		(sleep 0.3; echo last words; exec sleep 1000) &
		setsid sh -c 'trap "" TERM HUP; while :; do sleep 1; done' &
		echo main is done; exit 5`)
	began := time.Now()
	b.wantExit(5, 0)
	if took := time.Since(began); took > lastWords+2*time.Second {
		t.Errorf("took %v", took)
	}
	b.wantLog("o main is done", "o last words")
}

func TestExit_NobodyHoldingThePipeIsImmediate(t *testing.T) {
	began := time.Now()
	newBox(t).run("true").wantExit(0, 0)
	if took := time.Since(began); took > lastWords {
		t.Errorf("took %v", took)
	}
}

func TestMain_RefusesToBeAnOrdinaryProcess(t *testing.T) {
	// It would kill all that it may kill.
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{name}
	cmd.Env = []string{"BERTH_CONTROL=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not the first process") {
		t.Errorf("got %v, %q", err, out)
	}
}

func TestImports_StandardLibraryAndUnixOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/berthd/berth/runtime/"
	for dep := range strings.FieldsSeq(string(out)) {
		switch dep {
		case "golang.org/x/sys/unix", module + "pid1", module + "logline":
		default:
			t.Errorf("imports %s: each container would carry it", dep)
		}
	}
}
