package main

import (
	"context"
	"encoding/json"
	goruntime "runtime"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/runtime/stack"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/verbs"
)

func (c *cli) applianceCommands() []command {
	purge := false
	serving := defaultServe()
	return []command{
		c.explainCommand(),
		{
			use: "version", noApp: true, reads: true,
			run: func(ctx context.Context, _ string, _ []string) error { return c.printVersion(ctx) },
		},
		{
			use: "completion SHELL", short: "print completion for bash, zsh or fish",
			example: "completion bash >/etc/bash_completion.d/berth", local: true, noApp: true, min: 1, max: 1,
			run: func(_ context.Context, _ string, words []string) error {
				root := c.tree()
				switch words[0] {
				case "bash":
					return root.GenBashCompletionV2(c.out, true)
				case "zsh":
					return root.GenZshCompletion(c.out)
				case "fish":
					return root.GenFishCompletion(c.out, true)
				}
				return usage("there is no completion for %.60q", words[0]).Hint("the shells are bash, zsh and fish")
			},
		},
		{
			use: "serve", short: "run the berth daemon", local: true, noApp: true,
			long:    "Each flag can be set by the environment: BERTH_STACK_CACHE for --stack-cache.",
			example: "serve --domain example.com", flags: serving.flags,
			run: func(ctx context.Context, _ string, _ []string) error {
				return serving.serve(ctx, c.version, c.err)
			},
		},
		{
			use: "make-base DIR", short: "build the containers' base filesystem", local: true, noApp: true, min: 1, max: 1,
			long:    "install.sh runs it in parallel with the installation. Writes the archive to DIR.",
			example: "make-base /var/lib/berth/engine/stack",
			run:     func(ctx context.Context, _ string, words []string) error { return stack.Make(ctx, words[0], c.out) },
		},
		{
			use: "uninstall", short: "remove berth from this machine", local: true, noApp: true,
			long:    "Data is kept, unless --purge is given.",
			example: "uninstall --purge",
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&purge, "purge", false, "remove apps, certificates and all other data too")
			},
			run: func(ctx context.Context, _ string, _ []string) error { return uninstall(ctx, purge, c.out) },
		},
	}
}

// printVersion prints the version of this program and says so when the daemon
// is another one, or none.
func (c *cli) printVersion(ctx context.Context) error {
	var daemon verbs.Version
	err := c.ask(ctx, "version", nil, &daemon)
	if f := fault.From(err); err != nil && f == nil {
		return err
	} else if f != nil {
		c.say("the daemon does not answer: %s", f.Message)
	} else if daemon.Version != c.version {
		c.say("the daemon is %s: restart it to run this one", daemon.Version)
	}
	if c.format == "json" {
		raw, err := json.Marshal(verbs.Version{Version: c.version, Go: goruntime.Version()})
		if err != nil {
			return err
		}
		return c.printJSON(raw)
	}
	t := c.newTable()
	t.row("berth", c.version)
	return t.flush()
}
