package admin

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/verbs"
)

const maxForm = 64 << 10

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
		return fault.New(fault.Usage, code.FormInvalid, "the form cannot be read: %w", err)
	}
	app := r.PathValue("app")
	var verb, what string
	var args any
	switch action := r.PathValue("action"); action {
	case "restart":
		verb, args, what = "ps:restart", verbs.RestartArgs{AllArgs: verbs.AllArgs{App: app}, Process: r.PostFormValue("process")}, app+" was restarted"
	case "stop":
		verb, args, what = "ps:stop", verbs.AllArgs{App: app}, app+" was stopped"
	case "start":
		verb, args, what = "ps:start", verbs.AllArgs{App: app}, app+" was started"
	case "scale":
		formation, err := formationOf(r.PostForm)
		if err != nil {
			return err
		}
		verb, args, what = "ps:scale", verbs.ScaleArgs{AppArgs: verbs.AppArgs{App: app}, Formation: formation}, app+" was scaled"
	case "rollback":
		number, err := strconv.Atoi(r.PostFormValue("release"))
		if err != nil || number < 1 {
			return fault.New(fault.Usage, code.FormInvalid, "%.20q is not the number of a release", r.PostFormValue("release"))
		}
		verb, args, what = "rollback", verbs.NumberArgs{AppArgs: verbs.AppArgs{App: app}, Number: number}, fmt.Sprintf("%s was rolled back to v%d", app, number)
	case "cancel-build":
		number, err := strconv.Atoi(r.PostFormValue("number"))
		if err != nil || number < 1 {
			return fault.New(fault.Usage, code.FormInvalid, "%.20q is not the number of a build", r.PostFormValue("number"))
		}
		verb, args, what = "builds:cancel", verbs.NumberArgs{AppArgs: verbs.AppArgs{App: app}, Number: number}, fmt.Sprintf("Build %d of %s was cancelled", number, app)
	case "run-cron":
		id := r.PostFormValue("id")
		verb, args, what = "cron:run", verbs.CronArgs{AppArgs: verbs.AppArgs{App: app}, ID: id}, "The job "+id+" has run"
	default:
		return fault.New(fault.NotFound, code.PageUnknown, "there is no such page")
	}
	var out bytes.Buffer
	if verb == "cron:run" {
		var run store.CronRun
		if err := a.table.Call(r.Context(), user, verb, args, &run, &out); err != nil {
			return err
		}
		if run.ExitCode != 0 || run.Error != "" {
			what += " and failed: " + runResultText(&run)
		}
	} else if err := a.table.Call(r.Context(), user, verb, args, nil, &out); err != nil {
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
			return nil, fault.New(fault.Usage, code.FormInvalid, "%.20q is not a number of instances of %.40s", values[0], process)
		}
		formation[process] = n
	}
	return formation, nil
}

// runResultText says how a job's run ended, in a word.
func runResultText(run *store.CronRun) string {
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
