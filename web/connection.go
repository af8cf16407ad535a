package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// recentBuilds is among how many of an app's last builds one may be under way.
const recentBuilds = 10

// answerTime is how long the connection of one who ends their own stays open
// for the answer.
const answerTime = time.Second

// registered enters the requests of sessions, so that they end with the
// session, or the right to it. Most take no time; a stream may take days.
func (s *Server) registered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(sessionCookie)
		if err != nil {
			next.ServeHTTP(w, r)
			return
		}
		user, err := s.Sessions.Lookup(cookie.Value)
		if err != nil {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		conn := access.Connection{User: user.Name, Session: hashOf(cookie.Value), Remote: r.RemoteAddr}
		defer s.cfg.Register.Enter(conn, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx)) // which looks the session up again
	})
}

// disconnect ends what is open in the name of a key, except that the one who
// asks for it gets the answer.
func (a *API) disconnect(asker store.User, name string) {
	end := func() {
		a.cfg.Register.End(func(c access.Connection) bool { return c.User == name })
	}
	if asker.Name == name {
		time.AfterFunc(answerTime, end)
		return
	}
	end()
}

// cancelBuilds ends the builds under way of a user's who may not deploy the
// app any more. One whose release goes live at this moment is too late.
func (a *API) cancelBuilds(ctx context.Context, asker store.User, name string, may func(app string) bool) error {
	var running []store.Build
	err := a.db.View(func(tx *store.Tx) error {
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		for _, app := range apps {
			builds, err := tx.Builds(app.Name, recentBuilds)
			if err != nil {
				return err
			}
			for _, b := range builds {
				if b.Status == store.BuildRunning && b.By == name && !may(app.Name) {
					running = append(running, b)
				}
			}
		}
		return nil
	})
	for _, b := range running {
		_, cancelErr := a.deployer.CancelBuild(ctx, b.App, b.Number, asker)
		if f := fault.From(cancelErr); f == nil || f.Kind != fault.Conflict {
			err = errors.Join(err, cancelErr)
		}
	}
	return err
}

// OpenSession is a browser that is signed in, or an SSH connection.
type OpenSession struct {
	ID        string    `json:"id"`
	User      string    `json:"user"`
	Door      string    `json:"door"` // "browser", "ssh"
	Remote    string    `json:"remote,omitempty"`
	Since     time.Time `json:"since"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// SessionEndArgs name a session, or everybody's of one user.
type SessionEndArgs struct {
	NoArgs
	ID   string `json:"id,omitempty"`
	User string `json:"user,omitempty"`
}

// SessionsEnded is how many were.
type SessionsEnded struct {
	Ended int `json:"ended"`
}

const sshPrefix = "ssh-"

// sessionID is what a session is called: enough of its hash.
func sessionID(hash string) string { return hash[:12] }

func (a *API) sessionsList(context.Context, call, NoArgs) ([]OpenSession, error) {
	sessions := []OpenSession{}
	err := a.db.View(func(tx *store.Tx) error {
		logins, err := tx.Logins()
		for _, l := range logins {
			if l.Session && time.Now().Before(l.ExpiresAt) {
				sessions = append(sessions, OpenSession{
					ID: sessionID(l.Hash), User: l.User.Name, Door: "browser", Since: l.CreatedAt, ExpiresAt: l.ExpiresAt,
				})
			}
		}
		return err
	})
	for _, c := range a.cfg.Register.Open() {
		if c.Session == "" {
			sessions = append(sessions, OpenSession{
				ID: sshPrefix + strconv.Itoa(c.ID), User: c.User, Door: "ssh", Remote: c.Remote, Since: c.Since,
			})
		}
	}
	return sessions, err
}

// sessionsEnd ends one session, or all of a user, links that were not used
// among them. Ending an SSH connection keeps nobody from making another one.
func (a *API) sessionsEnd(_ context.Context, c call, args SessionEndArgs) (result SessionsEnded, err error) {
	if (args.ID == "") == (args.User == "") {
		return result, fault.New(fault.Usage, "E413", "sessions:end needs the id of a session, or a user").
			Hint("berth sessions:list lists them")
	}
	of := func(id, user string) bool { return id == args.ID || user == args.User && user != "" }
	err = a.db.Update(func(tx *store.Tx) error {
		result.Ended = 0
		err := deleteLogins(tx, func(l store.Login) bool {
			chosen := of(sessionID(l.Hash), l.User.Name)
			if chosen && l.Session {
				result.Ended++
			}
			return chosen
		})
		if err != nil {
			return err
		}
		if args.ID != "" && result.Ended == 0 && !a.connected(args.ID) {
			return fault.New(fault.NotFound, "E414", "no session has the id %.40q", args.ID).Hint("berth sessions:list lists them")
		}
		return event(tx, c.user, "", "session", "ended %s", "sessions: "+args.User+args.ID)
	})
	if err != nil {
		return result, err
	}
	end := func() (ssh int) {
		a.cfg.Register.End(func(c access.Connection) bool {
			if c.Session != "" {
				return of(sessionID(c.Session), c.User)
			}
			chosen := of(sshPrefix+strconv.Itoa(c.ID), c.User)
			if chosen {
				ssh++
			}
			return chosen
		})
		return ssh
	}
	if c.user.Name == args.User {
		time.AfterFunc(answerTime, func() { end() })
	} else {
		result.Ended += end()
	}
	return result, nil
}

// connected tells whether an SSH connection has the id.
func (a *API) connected(id string) bool {
	return slices.ContainsFunc(a.cfg.Register.Open(), func(c access.Connection) bool {
		return c.Session == "" && sshPrefix+strconv.Itoa(c.ID) == id
	})
}
