package verbs

import (
	"context"

	"github.com/berthd/berth/deploy/logs"
)

// LogRoom is what the verbs of logs ask for; *logs.Book documents it.
type LogRoom interface {
	Logs(ctx context.Context, q logs.Query, fn func(logs.LogLine) error) error
}

type appLogs struct {
	records
	LogRoom
}

func (n appLogs) verbs() []Verb {
	return []Verb{
		follow[logs.LogLine](Verb{
			Name: "logs", Role: reads,
			Short:   "show or follow the logs of an app",
			Example: "logs shop -f\nlogs shop --ps worker -n 1000",
		}, n.follow),
	}
}

// LogArgs choose lines of an app's logs.
type LogArgs struct {
	AppArgs
	Process string `json:"process,omitempty"` // "web", "web.1", "cron.ID"; "" is all but cron and run
	Lines   int    `json:"lines,omitempty"`   // the last so many; negative is all, 0 is 100, or none when following
	Follow  bool   `json:"follow,omitempty"`  // and those that come, until the asker leaves
}

// defaultLogLines fill a screen or two.
const defaultLogLines = 100

func (n appLogs) follow(ctx context.Context, c Call, args LogArgs) error {
	if err := n.exists(args.App); err != nil {
		return err
	}
	if args.Lines == 0 && !args.Follow {
		args.Lines = defaultLogLines
	}
	q := logs.Query{App: args.App, Process: args.Process, Lines: args.Lines, Follow: args.Follow}
	err := n.LogRoom.Logs(ctx, q, func(line logs.LogLine) error { return c.Emit(line) })
	if args.Follow && ctx.Err() != nil {
		return nil // that is how following ends
	}
	return err
}
