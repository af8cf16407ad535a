package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

func (c *cli) releaseCommands() []command {
	limit := 0
	limited := func(cmd *cobra.Command) {
		cmd.Flags().IntVarP(&limit, "num", "n", 15, "how many of the newest, 0 is all")
	}
	// numbered asks for a verb about the release or build that may be named.
	numbered := func(app string, words []string) (verbs.NumberArgs, error) {
		args := verbs.NumberArgs{AppArgs: verbs.AppArgs{App: app}}
		if len(words) == 0 {
			return args, nil
		}
		var err error
		args.Number, err = parseNumber(words[0])
		return args, err
	}
	return []command{
		{
			use: "releases APP", short: "list the releases", example: "releases shop",
			aliases: []string{"releases:list"}, reads: true, flags: limited,
			run: func(ctx context.Context, app string, _ []string) error {
				args := verbs.LimitArgs{AppArgs: verbs.AppArgs{App: app}, Limit: limit}
				return read(ctx, c, "releases", args, printReleases)
			},
		},
		{
			use: "releases:info APP [N]", short: "show one, the live one by default", example: "releases:info shop v18",
			max: 1, reads: true,
			run: func(ctx context.Context, app string, words []string) error {
				args, err := numbered(app, words)
				if err != nil {
					return err
				}
				return read(ctx, c, "releases:info", args, printRelease)
			},
		},
		{
			use: "rollback APP [N]", short: "go back to an earlier release",
			long:    "Without N it is the release before the live one. It becomes a new release.",
			example: "rollback shop v17", aliases: []string{"releases:rollback"}, max: 1,
			run: func(ctx context.Context, app string, words []string) error {
				args, err := numbered(app, words)
				if err != nil {
					return err
				}
				var release store.Release
				if err := c.ask(ctx, "rollback", args, &release); err != nil {
					return err
				}
				c.say("%s of %s: %s", releaseName(release.Number), app, release.Description)
				return nil
			},
		},
		{
			use: "builds:list APP", short: "list the builds", example: "builds:list shop",
			aliases: []string{"builds"}, reads: true, flags: limited,
			run: func(ctx context.Context, app string, _ []string) error {
				args := verbs.LimitArgs{AppArgs: verbs.AppArgs{App: app}, Limit: limit}
				return read(ctx, c, "builds:list", args, printBuilds)
			},
		},
		{
			use: "builds:info APP [N]", short: "show one, the last by default", example: "builds:info shop 42",
			max: 1, reads: true,
			run: func(ctx context.Context, app string, words []string) error {
				args, err := numbered(app, words)
				if err != nil {
					return err
				}
				return read(ctx, c, "builds:info", args, printBuild)
			},
		},
		{
			use: "builds:output APP [N]", short: "print what a build said, as it says it", example: "builds:output shop",
			max: 1,
			run: func(ctx context.Context, app string, words []string) error {
				args, err := numbered(app, words)
				if err != nil {
					return err
				}
				return client.Follow(ctx, c.client, "builds:output", args, func(line string) error {
					_, err := fmt.Fprintln(c.out, line)
					return err
				})
			},
		},
		{
			use: "builds:cancel APP [N]", short: "end a build that waits or runs",
			long:    "Without N it is the build under way. What runs of the app is left as it is.",
			example: "builds:cancel shop", max: 1,
			run: func(ctx context.Context, app string, words []string) error {
				args, err := numbered(app, words)
				if err != nil {
					return err
				}
				var build store.Build
				if err := c.ask(ctx, "builds:cancel", args, &build); err != nil {
					return err
				}
				if build.Number == 0 {
					c.say("cancelled the push that waited for %s", app)
				} else {
					c.say("cancelled build %d of %s", build.Number, app)
				}
				return nil
			},
		},
		{
			use: "builds:cache APP", short: "show the build caches and their size", example: "builds:cache shop",
			reads: true,
			run: func(ctx context.Context, app string, _ []string) error {
				return read(ctx, c, "builds:cache", verbs.AppArgs{App: app}, printCaches)
			},
		},
		{
			use: "builds:cache-clear APP", short: "remove the build caches",
			long:    "The next build fetches what it needs anew. A build that goes on is waited for.",
			example: "builds:cache-clear shop",
			run: func(ctx context.Context, app string, _ []string) error {
				var cleared deploy.Caches
				if err := c.ask(ctx, "builds:cache-clear", verbs.AppArgs{App: app}, &cleared); err != nil {
					return err
				}
				c.say("removed %s of build caches of %s", size(cleared.Bytes), app)
				return nil
			},
		},
	}
}

func printCaches(t *table, all deploy.Caches) {
	t.row("CACHE", "SIZE", "LAST USED")
	for _, cache := range all.Caches {
		t.row(cache.Name, size(cache.Bytes), ago(cache.UsedAt))
	}
	t.row("all", size(all.Bytes), fmt.Sprintf("of %s at most", size(all.Limit)))
}

func printReleases(t *table, releases []store.Release) {
	t.row("RELEASE", "STATUS", "WHEN", "BY", "WHAT")
	for _, r := range releases {
		what := r.Description
		if r.Subject != "" {
			what += ": " + r.Subject
		}
		t.row(releaseName(r.Number), r.Status, ago(r.CreatedAt), r.CreatedBy, brief(what))
	}
}

func printRelease(t *table, r store.Release) {
	t.row("release", releaseName(r.Number))
	t.row("status", r.Status)
	t.row("what", r.Description)
	if r.Commit != "" {
		t.row("commit", short(r.Commit)+" "+r.Subject)
	}
	t.row("created", ago(r.CreatedAt)+" by "+r.CreatedBy)
	if r.Build > 0 {
		t.row("build", r.Build)
	}
	if r.Error != "" {
		t.row("error", r.Error)
	}
	for i, p := range r.Processes {
		inferred := ""
		if p.Inferred {
			inferred = " (inferred)"
		}
		t.row(label(i, "processes"), p.Type+": "+p.Command+inferred)
	}
}

func printBuilds(t *table, builds []store.Build) {
	t.row("BUILD", "STATUS", "WHEN", "TOOK", "BY", "COMMIT", "RELEASE")
	for _, b := range builds {
		t.row(b.Number, b.Status, ago(b.StartedAt), took(b), b.By, brief(short(b.Commit)+" "+b.Subject), releaseName(b.Release))
	}
}

func took(b store.Build) string {
	if b.FinishedAt.IsZero() {
		return ""
	}
	return fmt.Sprintf("%.1fs", b.FinishedAt.Sub(b.StartedAt).Seconds())
}

func printBuild(t *table, b store.Build) {
	t.row("build", b.Number)
	t.row("status", b.Status)
	t.row("commit", short(b.Commit)+" "+b.Subject)
	t.row("branch", b.Branch)
	t.row("started", ago(b.StartedAt)+" by "+b.By)
	t.row("took", took(b))
	t.row("built as", b.Summary)
	t.row("release", releaseName(b.Release))
	for i, step := range b.Steps {
		t.row(label(i, "steps"), fmt.Sprintf("%s %.1fs", step.Name, step.Took.Seconds()))
	}
	if b.Error != "" {
		t.row("error", b.Error)
	}
}
