package web

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

const (
	maxForm      = 64 << 10
	maxInstances = 100 // what the form offers; the verb has limits of its own
)

// confirmPage asks before something is done that a slip must not do.
type confirmPage struct {
	frame
	App     string
	Action  string // "stop", "scale", "rollback"
	Status  deploy.AppStatus
	Live    *store.Release
	Target  store.Release // of a rollback
	Differs []string      // names of the config that a rollback changes
	Counts  []processCount
	Max     int
}

// serveConfirm shows what an action is going to do. In a page it is a dialog.
func (a *admin) serveConfirm(w http.ResponseWriter, r *http.Request, user store.User) error {
	app := r.PathValue("app")
	if err := user.May(store.RoleDeploy, app); err != nil {
		return err
	}
	page := confirmPage{App: app, Action: r.PathValue("action"), Max: maxInstances}
	titles := map[string]string{"stop": "Stop " + app, "scale": "Scale " + app, "rollback": "Roll back " + app}
	title, known := titles[page.Action]
	if !known {
		return fault.New(fault.NotFound, codeNoPage, "there is no such page")
	}
	page.frame = a.frame(r, user, title)
	var err error
	if page.Status, err = a.api.deployer.Status(r.Context(), app); err != nil {
		return err
	}
	if page.Status.Release == 0 {
		return neverDeployed(app)
	}
	err = a.api.db.View(func(tx *store.Tx) error {
		live, err := tx.Release(app, page.Status.Release)
		page.Live = &live
		if err != nil || page.Action != "rollback" {
			return err
		}
		number, err := strconv.Atoi(r.FormValue("release"))
		if err != nil {
			return fault.New(fault.Usage, codeInput, "%.20q is not the number of a release", r.FormValue("release"))
		}
		if page.Target, err = tx.Release(app, number); err != nil {
			return err
		}
		page.Differs = differing(live.Config, page.Target.Config)
		return nil
	})
	if err != nil {
		return err
	}
	wanted := page.Status
	wanted.Stopped = false // what runs once it is started
	page.Counts = countProcesses(wanted, page.Live)
	part := ""
	if partial(r) {
		part = "dialog"
	}
	return a.render(w, http.StatusOK, "confirm", part, page)
}

func differing(a, b map[string]string) (names []string) {
	for name, value := range a {
		if other, there := b[name]; !there || other != value {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, there := a[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// donePage says what came of an action.
type donePage struct {
	frame
	App    string
	What   string
	Output []template.HTML
}

// serveAction does a verb of the API in the user's name. The verbs check the
// role. The work goes on when the browser leaves: a rollout is not given up
// because somebody closed a tab.
func (a *admin) serveAction(w http.ResponseWriter, r *http.Request, user store.User) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return fault.New(fault.Usage, codeInput, "the form cannot be read: %w", err)
	}
	app := r.PathValue("app")
	var verb, what string
	var args any
	switch action := r.PathValue("action"); action {
	case "restart":
		verb, args, what = "ps:restart", RestartArgs{AppArgs: AppArgs{app}, Process: r.PostFormValue("process")}, app+" was restarted"
	case "stop":
		verb, args, what = "ps:stop", AppArgs{app}, app+" was stopped"
	case "start":
		verb, args, what = "ps:start", AppArgs{app}, app+" was started"
	case "scale":
		formation, err := formationOf(r.PostForm)
		if err != nil {
			return err
		}
		verb, args, what = "ps:scale", ScaleArgs{AppArgs{app}, formation}, app+" was scaled"
	case "rollback":
		number, err := strconv.Atoi(r.PostFormValue("release"))
		if err != nil || number < 1 {
			return fault.New(fault.Usage, codeInput, "%.20q is not the number of a release", r.PostFormValue("release"))
		}
		verb, args, what = "rollback", NumberArgs{AppArgs{app}, number}, fmt.Sprintf("%s was rolled back to v%d", app, number)
	case "cancel-build":
		number, err := strconv.Atoi(r.PostFormValue("number"))
		if err != nil || number < 1 {
			return fault.New(fault.Usage, codeInput, "%.20q is not the number of a build", r.PostFormValue("number"))
		}
		verb, args, what = "builds:cancel", NumberArgs{AppArgs{app}, number}, fmt.Sprintf("Build %d of %s was cancelled", number, app)
	case "run-job":
		id := r.PostFormValue("id")
		verb, args, what = "cron:run", JobArgs{AppArgs{app}, id}, "The job "+id+" has run"
	default:
		return fault.New(fault.NotFound, codeNoPage, "there is no such page")
	}
	var out bytes.Buffer
	ctx := context.WithoutCancel(r.Context())
	if verb == "cron:run" {
		var run store.JobRun
		if err := a.api.Call(ctx, user, verb, args, &run, &out); err != nil {
			return err
		}
		if run.ExitCode != 0 || run.Error != "" {
			what += " and failed: " + runResultText(&run)
		}
	} else if err := a.api.Call(ctx, user, verb, args, nil, &out); err != nil {
		return err
	}
	page := donePage{frame: a.frame(r, user, what), App: app, What: plainText(what)}
	if text := strings.TrimRight(out.String(), "\n"); text != "" {
		for line := range strings.SplitSeq(text, "\n") {
			page.Output = append(page.Output, outputLineHTML(line))
		}
	}
	part := ""
	if partial(r) {
		part = "done"
	}
	return a.render(w, http.StatusOK, "done", part, page)
}

// formationOf reads "process.TYPE" fields of the form that scales.
func formationOf(form url.Values) (map[string]int, error) {
	formation := map[string]int{}
	for field, values := range form {
		process, ok := strings.CutPrefix(field, "process.")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(values[0])
		if err != nil || n < 0 {
			return nil, fault.New(fault.Usage, codeInput, "%.20q is not a number of instances of %.40s", values[0], process)
		}
		formation[process] = n
	}
	return formation, nil
}

// runResultText says how a job's run ended, in a word.
func runResultText(run *store.JobRun) string {
	switch {
	case run.FinishedAt.IsZero():
		return "running"
	case run.Error != "":
		return plainText(run.Error)
	case run.ExitCode != 0:
		return fmt.Sprintf("exit code %d", run.ExitCode)
	}
	return "ok"
}

type revealPage struct {
	frame
	App      string
	Variable Variable
}

// serveReveal shows the value of one config variable, and remembers that it did.
func (a *admin) serveReveal(w http.ResponseWriter, r *http.Request, user store.User) error {
	app, name := r.PathValue("app"), r.PathValue("name")
	if err := user.May(store.RoleAdmin, app); err != nil {
		return err
	}
	page := revealPage{frame: a.frame(r, user, "Config of "+app), App: app}
	if err := a.api.Call(r.Context(), user, "config:get", ConfigGetArgs{AppArgs{app}, name}, &page.Variable, nil); err != nil {
		return err
	}
	err := a.api.db.Update(func(tx *store.Tx) error {
		return event(tx, user, app, "config", "looked at the value of %s", name)
	})
	if err != nil {
		return fmt.Errorf("remember who looked at %s of %s: %w", name, app, err)
	}
	part := ""
	if partial(r) {
		part = "value"
	}
	return a.render(w, http.StatusOK, "reveal", part, page)
}
