package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	goruntime "runtime"
	"sync"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// AllArgs name an app, or all that there are. Whoever is bound to some apps names
// them.
type AllArgs struct {
	App      string `json:"app,omitempty" cli:"[APP]"`
	All      bool   `json:"all,omitempty" flag:"all" help:"all apps"`
	Parallel int    `json:"parallel,omitempty" flag:"parallel" default:"1" help:"how many apps at once, -1 is one per processor"`
}

func (a AllArgs) target() (string, bool) { return a.App, !a.All }

// mostAtOnce bounds --parallel: each of them starts containers.
const mostAtOnce = 16

// each does something to an app, or to all that it makes sense for. One that
// fails does not keep the others from it; together they are a fault (E418).
func (n processes) each(ctx context.Context, c Call, args AllArgs, what string, sensible func(store.App) bool, do func(ctx context.Context, app string, out io.Writer) error) (Report, error) {
	if !args.All {
		if err := do(ctx, args.App, c.Out); err != nil {
			return Report{}, err
		}
		return n.reportOf(ctx, args.App)
	}
	if args.App != "" {
		return Report{}, BadArguments("--all means every app, and %s is one app", args.App).Hint("omit one of them")
	}
	apps, err := n.db.Apps()
	if err != nil {
		return Report{}, err
	}
	atOnce := args.Parallel
	if atOnce < 0 {
		atOnce = goruntime.NumCPU()
	}
	slots := make(chan struct{}, min(max(atOnce, 1), mostAtOnce))
	report := Report{Done: map[string]deploy.AppState{}, Formation: map[string]int{}, Instances: []deploy.Instance{}}
	var failed []string
	var causes []error
	var mu sync.Mutex // guards report, failed, causes and what is written
	var all sync.WaitGroup
	for _, app := range apps {
		if !sensible(app) {
			continue
		}
		slots <- struct{}{}
		if ctx.Err() != nil {
			<-slots
			break
		}
		all.Go(func() {
			defer func() { <-slots }()
			out := &lines{emit: func(line string) error {
				mu.Lock()
				defer mu.Unlock()
				_, err := fmt.Fprintf(c.Out, "%s: %s\n", app.Name, line)
				return err
			}}
			err := do(ctx, app.Name, out)
			out.end()
			status, statusErr := n.Status(ctx, app.Name)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failed = append(failed, app.Name+": "+reason(err))
				causes = append(causes, fmt.Errorf("%s: %w", app.Name, err))
			case statusErr == nil:
				report.Done[app.Name] = status.State
			}
		})
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return report, err
	}
	if len(failed) > 0 {
		f := fault.New(fault.Failed, code.AppsFailed, "%d of %d apps were not %s", len(failed), len(failed)+len(report.Done), what)
		f.Cause = errors.Join(causes...) // for the log
		return report, f.With(failed...).Hint("it succeeded for the others; run it for each of these apps alone to see the whole reason")
	}
	return report, nil
}

// reason is an error in a line, for somebody who may see it.
func reason(err error) string {
	if f := fault.From(err); f != nil {
		return f.Error()
	}
	return "internal error"
}
