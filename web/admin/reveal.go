package admin

import (
	"net/http"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

type revealPage struct {
	frame
	App      string
	Variable verbs.Variable
}

// serveReveal shows the value of one config variable.
func (a *admin) serveReveal(w http.ResponseWriter, r *http.Request, user store.User) error {
	app, name := r.PathValue("app"), r.PathValue("name")
	page := revealPage{frame: a.frame(r, user, "Config of "+app), App: app}
	if err := a.table.Call(r.Context(), user, "config:reveal", verbs.ConfigGetArgs{ConfigArgs: verbs.ConfigArgs{ConfigOf: verbs.ConfigOf{App: app}}, Name: name}, &page.Variable, nil); err != nil {
		return err
	}
	part := ""
	if partial(r) {
		part = "value"
	}
	return a.render(w, http.StatusOK, "reveal", part, page)
}
