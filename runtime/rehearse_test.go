package runtime_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berthd/berth/runtime"
)

func TestRehearse_SeesTheSourceAndKeepsNothing(t *testing.T) {
	e, stack := open(t)
	src := t.TempDir()
	os.Chmod(src, 0o755)
	os.WriteFile(filepath.Join(src, "a"), []byte("content"), 0o644)
	var out strings.Builder
	spec := runtime.LayerSpec{Parent: stack, UID: 20001, Source: src, Commands: []runtime.Command{
		sh("id -u; cat a; echo; echo 1 >> a; echo $SECRET; pwd"), sh("tail -n1 a; touch /usr/x 2>/dev/null || echo read only")}}
	spec.Commands[0].Env = []string{"SECRET=s"}
	for i := range spec.Commands {
		spec.Commands[i].Dir = "/app"
	}
	if err := e.Rehearse(t.Context(), spec, &out); err != nil {
		t.Fatal(err, out.String())
	}
	if want := "20001\ncontent\ns\n/app\ncontent1\nread only\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if a, err := os.ReadFile(filepath.Join(src, "a")); string(a) != "content" {
		t.Errorf("the source is %q now, %v", a, err)
	}
	nothingLeft(t)

	spec.Commands = []runtime.Command{sh("echo one; echo why >&2; exit 3"), sh("echo not run")}
	err := e.Rehearse(t.Context(), spec, nil)
	if failed, ok := errors.AsType[*runtime.CommandError](err); !ok || failed.Exit.Code != 3 || strings.Join(failed.Tail, " ") != "one why" {
		t.Errorf("got %v, want exit code 3 after one and why", err)
	}
	nothingLeft(t)
}

func TestRehearse_CancelKillsTheCommand(t *testing.T) {
	e, stack := open(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errors.New("enough"))
	defer cancel()
	began := time.Now()
	err := e.Rehearse(ctx, runtime.LayerSpec{Parent: stack, UID: 20001, Commands: []runtime.Command{sh("exec sleep 1000")}}, nil)
	if err == nil || !strings.Contains(err.Error(), "enough") || time.Since(began) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	nothingLeft(t)
}
