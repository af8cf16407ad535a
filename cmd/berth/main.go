// Command berth turns one Linux machine into a platform for web apps. `berth
// serve` is the daemon; every other command is its client, through the socket on
// the machine itself or over SSH.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // time zones of cron jobs, on machines without the package tzdata

	"golang.org/x/term"

	"github.com/berthd/berth/buildpacks/static/server"
	"github.com/berthd/berth/client"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/pid1"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version string

func main() {
	if pid1.Invoked() {
		os.Exit(pid1.Main())
	}
	if server.Invoked() {
		os.Exit(server.Main())
	}
	os.Exit(start(os.Args[1:]))
}

// start does what the words say on behalf of who sits at this machine.
func start(words []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // who asks a second time does not want to wait
	c := &cli{
		client:  client.Dial(socketPath(fromEnv("STATE", defaultState))),
		in:      os.Stdin,
		out:     os.Stdout,
		err:     os.Stderr,
		color:   term.IsTerminal(int(os.Stderr.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		local:   true,
		version: thisVersion(),
	}
	if term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		var done func()
		c.term, done = ownTerminal()
		defer done()
	}
	return c.run(ctx, words)
}

// socketPath is where the daemon with that state directory listens.
func socketPath(state string) string { return filepath.Join(state, "berth.sock") }

// thisVersion is what the build says, else what Go recorded of the checkout.
func thisVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

// ownTerminal is the terminal that the process has. done lets go of it.
func ownTerminal() (t *terminal, done func()) {
	sizeNow := func() runtime.Size {
		cols, rows, err := term.GetSize(int(os.Stdout.Fd()))
		if err != nil {
			return runtime.Size{Rows: 24, Cols: 80}
		}
		return runtime.Size{Rows: uint16(rows), Cols: uint16(cols)}
	}
	changed, resize, ended := make(chan os.Signal, 1), make(chan runtime.Size), make(chan struct{})
	signal.Notify(changed, syscall.SIGWINCH)
	go func() {
		for {
			select {
			case <-changed:
			case <-ended:
				return
			}
			select {
			case resize <- sizeNow():
			case <-ended:
				return
			}
		}
	}()
	t = &terminal{size: sizeNow(), resize: resize, out: os.Stdout, raw: func() (func(), error) {
		before, err := term.MakeRaw(int(os.Stdin.Fd()))
		if err != nil {
			return nil, err
		}
		return func() { term.Restore(int(os.Stdin.Fd()), before) }, nil
	}}
	return t, func() { signal.Stop(changed); close(ended) }
}
