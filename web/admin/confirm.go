package admin

import (
	"net/http"
	"strconv"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/verbs"
)

// maxInstances is what the form offers; the verb has limits of its own.
const maxInstances = 100

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
	if err := a.may(user, "ps:stop", app); err != nil {
		return err
	}
	page := confirmPage{App: app, Action: r.PathValue("action"), Max: maxInstances}
	titles := map[string]string{"stop": "Stop " + app, "scale": "Scale " + app, "rollback": "Roll back " + app}
	title, known := titles[page.Action]
	if !known {
		return fault.New(fault.NotFound, code.PageUnknown, "there is no such page")
	}
	page.frame = a.frame(r, user, title)
	var err error
	if page.Status, err = verbs.Ask[deploy.AppStatus](r.Context(), a.table, user, "apps:info", verbs.AppArgs{App: app}); err != nil {
		return err
	}
	live, err := verbs.Ask[store.Release](r.Context(), a.table, user, "releases:info", verbs.NumberArgs{AppArgs: verbs.AppArgs{App: app}})
	if err != nil {
		return err
	}
	page.Live = &live
	if page.Action == "rollback" {
		number, err := strconv.Atoi(r.FormValue("release"))
		if err != nil {
			return fault.New(fault.Usage, code.FormInvalid, "%.20q is not the number of a release", r.FormValue("release"))
		}
		args := verbs.NumberArgs{AppArgs: verbs.AppArgs{App: app}, Number: number}
		compared, err := verbs.Ask[verbs.Comparison](r.Context(), a.table, user, "releases:compare", args)
		if err != nil {
			return err
		}
		page.Target, page.Differs = compared.Release, compared.Config
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
