package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

const (
	shownOutput = 5000                   // lines of a build's output that a page shows
	outputSoFar = 300 * time.Millisecond // how long reading it may take while the build runs
)

type buildPage struct {
	frame
	Build     buildRow
	Running   bool
	MayDeploy bool
	Log       logView
}

// serveBuild shows a build and its output.
func (a *admin) serveBuild(w http.ResponseWriter, r *http.Request, user store.User) error {
	page, err := a.readBuild(r, user)
	if err != nil {
		return err
	}
	if page.Log, err = a.readOutput(r.Context(), user, page.Build.Build, page.Running); err != nil {
		return err
	}
	return a.render(w, http.StatusOK, "build", "", page)
}

func (a *admin) serveBuildEvents(w http.ResponseWriter, r *http.Request, user store.User) error {
	return a.streamParts(w, r, "build", []string{"head"}, func(context.Context) (any, error) {
		return a.readBuild(r, user)
	})
}

func (a *admin) readBuild(r *http.Request, user store.User) (page buildPage, err error) {
	app := r.PathValue("app")
	number, err := pathNumber(r, "number")
	if err != nil {
		return page, err
	}
	page.frame = a.frame(r, user, fmt.Sprintf("Build %d of %s", number, app))
	page.MayDeploy = a.may(user, "ps:restart", app) == nil
	args := verbs.NumberArgs{AppArgs: verbs.AppArgs{App: app}, Number: number}
	page.Build.Build, err = verbs.Ask[store.Build](r.Context(), a.table, user, "builds:info", args)
	page.Build = newBuildRow(page.Build.Build)
	page.Running = page.Build.Status == store.BuildRunning
	return page, err
}

// readOutput reads the output of a build as far as it is there.
func (a *admin) readOutput(ctx context.Context, user store.User, build store.Build, running bool) (logView, error) {
	total := 0
	var shown []template.HTML
	show := func(line string) error {
		total++
		shown = append(shown, outputLineHTML(line))
		if len(shown) >= 2*shownOutput {
			shown = append(shown[:0], shown[len(shown)-shownOutput:]...)
		}
		return nil
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if running {
		limited, cancel = context.WithTimeout(ctx, outputSoFar)
	}
	defer cancel()
	err := a.followOutput(limited, user, build, show)
	if err != nil && !(running && errors.Is(err, context.DeadlineExceeded)) {
		return logView{}, fmt.Errorf("read the output of build %d of %s: %w", build.Number, build.App, err)
	}
	view := logView{}
	if running {
		view.Follow = fmt.Sprintf("/apps/%s/builds/%d/follow?after=%d", build.App, build.Number, total)
	}
	view.Chunks = logChunks(shown[max(0, len(shown)-shownOutput):])
	view.Empty = len(shown) == 0
	return view, nil
}

// serveBuildFollow sends the output after the line that the browser has.
func (a *admin) serveBuildFollow(w http.ResponseWriter, r *http.Request, user store.User) error {
	page, err := a.readBuild(r, user)
	if err != nil {
		return err
	}
	has, _ := strconv.Atoi(cmp.Or(r.Header.Get("Last-Event-ID"), r.FormValue("after"))) // 0 is from the start
	return a.stream(w, r, func(ctx context.Context, s *eventStream) error {
		line := 0
		show := func(text string) (template.HTML, bool) {
			line++
			return outputLineHTML(text), line > has
		}
		return followLines(ctx, s, show, func() string { return strconv.Itoa(line) }, func(ctx context.Context, emit func(string) error) error {
			return a.followOutput(ctx, user, page.Build.Build, emit)
		})
	})
}

// followOutput hands on the lines of a build's output until it has ended. A line
// that is not whole yet comes with the rest.
func (a *admin) followOutput(ctx context.Context, user store.User, build store.Build, emit func(string) error) error {
	args := verbs.NumberArgs{AppArgs: verbs.AppArgs{App: build.App}, Number: build.Number}
	return verbs.Follow(ctx, a.table, user, "builds:output", args, emit)
}

// outputLineHTML shows one line of a build's output. The marks are those that a
// pusher sees: git colours them too.
func outputLineHTML(line string) template.HTML {
	class := "l"
	for _, mark := range []struct{ prefix, class string }{
		{"----->", "step"}, {"error:", "bad"}, {"warning:", "warn"}, {"hint:", "hint"}, {"success:", "good"},
	} {
		if strings.HasPrefix(line, mark.prefix) {
			class += " " + mark.class
		}
	}
	return `<span class="` + template.HTML(class) + `">` + outputHTML(line) + `</span>`
}
