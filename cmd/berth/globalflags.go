package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	"github.com/berthd/berth/verbs"
)

// globalFlags are Dokku's, which stand before or after any command. A command
// with a flag of the same name has its own.
type globalFlags struct {
	quiet   bool // print no headers and no messages
	force   bool // answer every confirmation
	trace   bool
	version bool
}

func (g *globalFlags) flags(set *pflag.FlagSet) {
	set.BoolVar(&g.quiet, "quiet", false, "no headers and no messages")
	set.BoolVar(&g.force, "force", false, "do not ask")
	set.BoolVar(&g.trace, "trace", false, "show how long the command took")
	set.BoolVar(&g.version, "version", false, "print the version")
}

// traced begins a command. What it returns says how long the command took, and
// none of its words, which may be secrets.
func (g *globalFlags) traced(out io.Writer, command string) (done func()) {
	began := time.Now()
	return func() {
		if g.trace {
			fmt.Fprintf(out, "trace: %s took %s\n", command, time.Since(began).Round(time.Millisecond))
		}
	}
}

// talk returns where messages go, which are not data.
func (c *cli) talk() io.Writer {
	if c.global.quiet {
		return io.Discard
	}
	return c.err
}

// printDokkuVersion answers --version. Dokku's clients choose the grammar that
// they speak by the first number, so that is the Dokku whose grammar this is.
func (c *cli) printDokkuVersion() error {
	_, err := fmt.Fprintf(c.out, "dokku version %s, as berth %s speaks it\n", verbs.DokkuVersion, c.version)
	return err
}
