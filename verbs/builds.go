package verbs

import (
	"bytes"
	"context"
	"io"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// BuildRoom is what the verbs of builds ask for; *build.Builder documents it.
type BuildRoom interface {
	FollowBuild(ctx context.Context, app string, number int, w io.Writer) error
	Caches(ctx context.Context, app string) (build.Caches, error)
	ClearCaches(ctx context.Context, app string, by store.User, out io.Writer) (build.Caches, error)
}

// PushRoom is what they ask of pushes; *deploy.Deployer documents it.
type PushRoom interface {
	CancelBuild(ctx context.Context, app string, number int, by store.User) (store.Build, error)
}

type builds struct {
	records
	BuildRoom
	PushRoom
}

func (n builds) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "builds:list", Role: reads,
			Short:   "list the builds",
			Example: "builds:list shop",
			Aliases: []string{"builds"},
		}, n.list),
		look(Verb{
			Name: "builds:info", Role: reads,
			Short:   "show a build, by default the latest",
			Example: "builds:info shop 42",
		}, n.info),
		follow[string](Verb{
			Name: "builds:output", Role: reads,
			Short:   "print or follow the output of a build",
			Example: "builds:output shop",
		}, n.output),
		follow[string](Verb{
			Name: "logs:failed", Role: reads,
			Short:   "print the last failed build",
			Example: "logs:failed shop",
		}, n.failed),
		act(Verb{
			Name: "builds:cancel", Role: deploys,
			Short:   "cancel a waiting or running build",
			Long:    "Without N it cancels the current build. The running release does not change.",
			Example: "builds:cancel shop",
		}, n.cancel),
		look(Verb{
			Name: "builds:cache", Role: reads,
			Short:   "show the build caches and their size",
			Example: "builds:cache shop",
		}, n.cache),
		act(Verb{
			Name: "builds:cache-clear", Role: deploys,
			Short:   "remove the build caches",
			Long:    "The next build downloads its dependencies again. Waits for a running build.",
			Example: "builds:cache-clear shop",
			Aliases: []string{"repo:purge-cache"},
		}, n.clearCache),
	}
}

func (n builds) list(_ context.Context, _ Call, args LimitArgs) (builds []store.Build, err error) {
	err = n.db.View(func(tx *store.Tx) error {
		if _, err := tx.App(args.App); err != nil {
			return err
		}
		builds, err = list(tx.Builds.Of(args.App, max(0, args.Limit)))
		return err
	})
	return builds, err
}

// info takes number 0 for the last build.
func (n builds) info(_ context.Context, _ Call, args NumberArgs) (build store.Build, err error) {
	err = n.db.View(func(tx *store.Tx) error {
		app, err := tx.App(args.App)
		if err != nil {
			return err
		}
		number := args.Number
		if number == 0 {
			number = app.LastBuild
		}
		if number == 0 {
			return deploy.NeverDeployed(args.App)
		}
		build, err = tx.Builds.Get(args.App, number)
		return err
	})
	return build, err
}

// output emits the lines of a build's output, until the build has ended.
func (n builds) output(ctx context.Context, c Call, args NumberArgs) error {
	build, err := n.info(ctx, c, args)
	if err != nil {
		return err
	}
	split := &lines{emit: func(line string) error { return c.Emit(line) }}
	if err := n.FollowBuild(ctx, args.App, build.Number, split); err != nil {
		return err
	}
	return split.end()
}

// failed emits the lines of the last build that failed.
func (n builds) failed(ctx context.Context, c Call, args AppArgs) error {
	builds, err := n.list(ctx, c, LimitArgs{AppArgs: args})
	if err != nil {
		return err
	}
	for _, b := range builds {
		if b.Status == store.BuildFailed {
			return n.output(ctx, c, NumberArgs{AppArgs: args, Number: b.Number})
		}
	}
	return fault.New(fault.NotFound, code.BuildNoneFailed, "no build of %s has failed", args.App).
		Hint("berth builds:list %s lists them", args.App)
}

// cancel takes number 0 for the build under way. Its result is the build's
// record, with number 0 when it was a push whose build had not begun.
func (n builds) cancel(ctx context.Context, c Call, args NumberArgs) (store.Build, error) {
	return n.CancelBuild(ctx, args.App, args.Number, c.User)
}

func (n builds) cache(ctx context.Context, _ Call, args AppArgs) (build.Caches, error) {
	return n.Caches(ctx, args.App)
}

// clearCache returns what was removed.
func (n builds) clearCache(ctx context.Context, c Call, args AppArgs) (build.Caches, error) {
	return n.ClearCaches(ctx, args.App, c.User, c.Out)
}

// maxPartialLine is what is kept of a line that has no end; a longer one comes in pieces.
const maxPartialLine = 64 << 10

// lines splits what is written to it into lines and hands them on.
type lines struct {
	emit func(string) error
	rest []byte
}

func (l *lines) Write(text []byte) (int, error) {
	l.rest = append(l.rest, text...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		switch {
		case whole:
			l.rest = rest
		case len(l.rest) >= maxPartialLine:
			line, l.rest = l.rest, nil
		default:
			return len(text), nil
		}
		if err := l.emit(string(line)); err != nil {
			return 0, err
		}
	}
}

// end hands on a last line that has no end.
func (l *lines) end() error {
	if len(l.rest) == 0 {
		return nil
	}
	line := string(l.rest)
	l.rest = nil
	return l.emit(line)
}
