package main

import (
	"fmt"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/store"
)

var releaseShows = map[string]printer{
	"releases":      asTable(printReleases),
	"releases:info": asTable(printRelease),
	"builds:list":   asTable(printBuilds),
	"builds:info":   asTable(printBuild),
	"builds:cache":  asTable(printCaches),
	"builds:cancel": asText(func(c *cli, app string, build store.Build) {
		if build.Number == 0 {
			c.say("cancelled the push that waited for %s", app)
		} else {
			c.say("cancelled build %d of %s", build.Number, app)
		}
	}),
	"builds:cache-clear": asText(func(c *cli, app string, cleared build.Caches) {
		c.say("removed %s of build caches of %s", size(cleared.Bytes), app)
	}),
}

func printCaches(t *table, all build.Caches) {
	t.header("CACHE", "SIZE", "LAST USED")
	for _, cache := range all.Caches {
		t.row(cache.Name, size(cache.Bytes), ago(cache.UsedAt))
	}
	t.row("all", size(all.Bytes), fmt.Sprintf("of %s at most", size(all.Limit)))
}

func printReleases(t *table, releases []store.Release) {
	t.header("RELEASE", "STATUS", "WHEN", "BY", "WHAT")
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
	t.header("BUILD", "STATUS", "WHEN", "TOOK", "BY", "COMMIT", "RELEASE")
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
