package pid1

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Execute, followed by the name of an environment's file and a program with its
// arguments, makes the first process run the program at once, with its own
// user, streams and directory: for one-offs and builds in images that may have
// no shell. The file has a NUL after each variable. With ExecuteMerged
// standard error goes where standard output goes, in the order of writing.
const (
	Execute       = "execute"
	ExecuteMerged = "execute-merged"
)

// The exit codes of a program that was not started, which are a shell's.
const (
	exitNotRun   = 126
	exitNotFound = 127
)

func execute(envFile string, args []string) int {
	// All of them, and the program keeps its own: what is handled, other than
	// what is ignored, is not inherited. Who sends signals here sends them to
	// every process of the container.
	signals := make(chan os.Signal, 32)
	signal.Notify(signals)
	pid, err := executeStart(envFile, args)
	if err != nil {
		complain(err)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, errNotFound) {
			return exitNotFound
		}
		return exitNotRun
	}
	p := &program{pid: pid}
	for {
		if status, ended := reap(p); ended {
			if status.Signaled() {
				return 128 + int(status.Signal())
			}
			return status.ExitStatus()
		}
		<-signals // SIGCHLD among them
	}
}

func executeStart(envFile string, args []string) (pid int, err error) {
	env, err := readEnv(envFile)
	if err != nil {
		return 0, fmt.Errorf("environment: %w", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return 0, fmt.Errorf("directory: %w", bare(err))
	}
	path, err := lookUp(args[0], dir, env, 0, 0) // with our own rights, which are the program's
	if err != nil {
		return 0, err
	}
	defer raiseOOM()()
	pid, err = syscall.ForkExec(path, args, &syscall.ProcAttr{Env: env, Files: []uintptr{0, 1, 2}})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", path, explain(path, err))
	}
	return pid, nil
}

// readEnv reads the program's environment. HOME, which the container's runtime
// has looked up in the image, is passed on when the file has none.
func readEnv(name string) ([]string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	env := []string{"HOME=" + os.Getenv("HOME")}
	for kv := range bytes.SplitSeq(data, []byte{0}) {
		if len(kv) > 0 {
			env = append(env, string(kv))
		}
	}
	return dedupe(env), nil
}
