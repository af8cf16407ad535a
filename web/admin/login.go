package admin

import (
	"net/http"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/web"
)

type loginPage struct {
	frame
	Token   string       // of a link that is good
	Holder  store.User   // whose link it is
	Refused *fault.Error // why the link is not good
}

// serveLogin shows whose link it is and asks to confirm. Only the confirmation
// uses the link up: chat programs and mail scanners open the links they see.
func (a *admin) serveLogin(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	token := r.FormValue("token")
	if token == "" {
		a.serveStranger(w, r)
		return
	}
	page := loginPage{frame: a.frame(r, store.User{}, "Sign in")}
	var err error
	if r.Method == http.MethodPost {
		err = a.door.SignIn(w, token)
	} else {
		page.Holder, err = a.table.Sessions.Check(token)
	}
	status := http.StatusOK
	switch {
	case err == nil && r.Method == http.MethodPost:
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	case err == nil:
		page.Token = token
	default:
		page.Refused = a.table.Fault(err, "login", store.User{})
		status = web.StatusOf(page.Refused)
		if status != http.StatusForbidden { // not the link's fault, but ours
			a.fail(w, r, store.User{}, page.Refused)
			return
		}
	}
	if err := a.render(w, status, "login", "", page); err != nil {
		a.fail(w, r, store.User{}, err)
	}
}

// serveStranger tells a visitor without a session how to get in, and nothing else.
func (a *admin) serveStranger(w http.ResponseWriter, r *http.Request) {
	if partial(r) { // the whole page has to go, not a part of it
		w.Header().Set("HX-Refresh", "true")
	}
	page := loginPage{frame: a.frame(r, store.User{}, "Sign in")}
	if err := a.render(w, http.StatusUnauthorized, "login", "", page); err != nil {
		a.fail(w, r, store.User{}, err)
	}
}

// serveLogout ends the session.
func (a *admin) serveLogout(w http.ResponseWriter, r *http.Request) {
	if err := a.door.SignOut(w, r); err != nil {
		a.fail(w, r, store.User{}, err)
		return
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
