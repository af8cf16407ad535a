package verbs

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// open is what is open in whose name.
type open struct{ register *access.Register }

type sessions struct {
	records
	open
}

func (n sessions) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "sessions:list", Role: admins,
			Short:   "list open sessions",
			Long:    "Browsers that are signed in to the admin page, and SSH connections.",
			Example: "sessions:list",
			Aliases: []string{"sessions"},
		}, n.list),
		act(Verb{
			Name: "sessions:end", Role: admins,
			Short:   "end a session, or all of a user's",
			Long:    "The session ends at once with everything that runs in it, except builds. The\nuser can sign in again until ssh-keys:remove removes the key.",
			Example: "sessions:end --user root",
			Usage:   "sessions:end [ID] [--user NAME]",
			Done:    "ended {result.ended}",
		}, n.end),
	}
}

// answerTime is how long the connection of one who ends their own stays open
// for the answer.
const answerTime = time.Second

// disconnect ends what is open in the name of a key, except that the one who
// asks for it gets the answer.
func (n open) disconnect(asker store.User, name string) {
	end := func() {
		n.register.End(func(c access.Connection) bool { return c.User == name })
	}
	if asker.Name == name {
		time.AfterFunc(answerTime, end)
		return
	}
	end()
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
	ID   string `json:"id,omitempty" cli:"[ID]"`
	User string `json:"user,omitempty" flag:"user,u" help:"all sessions of this user"`
}

// SessionsEnded is how many were.
type SessionsEnded struct {
	Ended int `json:"ended"`
}

const sshPrefix = "ssh-"

// sessionID is what a session is called: enough of its hash.
func sessionID(hash string) string { return hash[:12] }

func (n sessions) list(context.Context, Call, NoArgs) ([]OpenSession, error) {
	sessions := []OpenSession{}
	err := n.db.View(func(tx *store.Tx) error {
		logins, err := tx.Logins.All()
		for _, l := range logins {
			if l.Session && time.Now().Before(l.ExpiresAt) {
				sessions = append(sessions, OpenSession{
					ID: sessionID(l.Hash), User: l.User.Name, Door: "browser", Since: l.CreatedAt, ExpiresAt: l.ExpiresAt,
				})
			}
		}
		return err
	})
	for _, c := range n.register.Open() {
		if c.Session == "" {
			sessions = append(sessions, OpenSession{
				ID: sshPrefix + strconv.Itoa(c.ID), User: c.User, Door: "ssh", Remote: c.Remote, Since: c.Since,
			})
		}
	}
	return sessions, err
}

// end ends one session, or all of a user, links that were not used
// among them. Ending an SSH connection keeps nobody from making another one.
func (n sessions) end(_ context.Context, c Call, args SessionEndArgs) (result SessionsEnded, err error) {
	if (args.ID == "") == (args.User == "") {
		return result, fault.New(fault.Usage, code.SessionUnnamed, "sessions:end needs the id of a session, or a user").
			Hint("berth sessions:list lists them")
	}
	of := func(id, user string) bool { return id == args.ID || user == args.User && user != "" }
	err = n.db.Update(func(tx *store.Tx) error {
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
		if args.ID != "" && result.Ended == 0 && !n.connected(args.ID) {
			return fault.New(fault.NotFound, code.SessionUnknown, "no session has the id %.40q", args.ID).Hint("berth sessions:list lists them")
		}
		return event(tx, c.User, "", "session", "ended %s", "sessions: "+args.User+args.ID)
	})
	if err != nil {
		return result, err
	}
	end := func() (ssh int) {
		n.register.End(func(c access.Connection) bool {
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
	if c.User.Name == args.User {
		time.AfterFunc(answerTime, func() { end() })
	} else {
		result.Ended += end()
	}
	return result, nil
}

// connected tells whether an SSH connection has the id.
func (n sessions) connected(id string) bool {
	return slices.ContainsFunc(n.register.Open(), func(c access.Connection) bool {
		return c.Session == "" && sshPrefix+strconv.Itoa(c.ID) == id
	})
}
