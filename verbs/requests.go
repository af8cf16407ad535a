package verbs

import (
	"context"

	"github.com/berthd/berth/edge"
)

// RequestRoom is what the verbs of requests ask for; *edge.Requests documents it.
type RequestRoom interface {
	Requests(ctx context.Context, q edge.RequestQuery, fn func(edge.RequestLine) error) error
	Traffic(ctx context.Context, app string) (edge.Traffic, error)
}

type requests struct {
	RequestRoom
}

func (n requests) verbs() []Verb {
	return []Verb{
		follow[edge.RequestLine](Verb{
			Name: "router:logs", Role: seesRequests,
			Short: "show or follow an app's requests",
			Long: "Without APP it shows requests for no app: unknown hosts and the admin page.\n" +
				"--format json has more fields of each request.",
			Example: "router:logs shop -f\nrouter:logs shop --status 5xx -n 20",
			Aliases: []string{"nginx:access-logs"},
		}, n.follow),
		look(Verb{
			Name: "router:traffic", Role: reads,
			Short:   "show an app's traffic of 5 minutes",
			Example: "router:traffic shop",
		}, n.traffic),
	}
}

// RequestArgs choose lines of an app's access log.
type RequestArgs struct {
	App    string `json:"app,omitempty"`    // empty is what no app was asked for, which is for admins
	Status string `json:"status,omitempty"` // "404", or "5xx" for a class
	Lines  int    `json:"lines,omitempty"`  // the last so many; negative is all, 0 is 100, or none when following
	Follow bool   `json:"follow,omitempty"` // and those that come, until the asker leaves
}

func (a RequestArgs) target() (string, bool) { return a.App, false }

func (n requests) follow(ctx context.Context, c Call, args RequestArgs) error {
	if args.Lines == 0 && !args.Follow {
		args.Lines = defaultLogLines
	}
	q := edge.RequestQuery{App: args.App, Status: args.Status, Lines: args.Lines, Follow: args.Follow}
	err := n.Requests(ctx, q, func(line edge.RequestLine) error { return c.Emit(line) })
	if args.Follow && ctx.Err() != nil {
		return nil // that is how following ends
	}
	return err
}

func (n requests) traffic(ctx context.Context, _ Call, args AppArgs) (edge.Traffic, error) {
	return n.Traffic(ctx, args.App)
}
