package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/deploy/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// Deployer is what a push sets in motion; *deploy.Deployer is one.
type Deployer interface {
	// Expect readies what it can while the pack is still coming in.
	Expect(app string) (cancel func())
	// CreateApp returns a fault (E102) when the app is there.
	CreateApp(ctx context.Context, name string, by store.User) (store.App, error)
	// Push returns when the commit is live, or with an error that it has
	// written to p.Out. It makes p.Branch the app's when the app has none.
	Push(ctx context.Context, p deploy.Push) error
}

// Pushes serves git over SSH: receive-pack with a deploy in the middle, and
// upload-pack.
type Pushes struct {
	repos    git.Repositories
	app      func(name string) (store.App, error)
	deployer Deployer
	log      *slog.Logger

	turns turns
	tidy  sync.WaitGroup // repositories being tidied up
}

// NewPushes returns the git service. app looks an app up; its fault is of kind
// NotFound when there is none.
func NewPushes(repos git.Repositories, app func(name string) (store.App, error), deployer Deployer, log *slog.Logger) *Pushes {
	return &Pushes{repos: repos, app: app, deployer: deployer, log: log}
}

// receive takes a push.
//
// A push has its turn at the app from before git tells the client where the
// refs are until the refs have moved. Were the turn taken later, in the hook,
// a second push of the same developer would wait for the first, deploy, and
// then fail to move a ref that is no longer where the client was told; so
// everybody who waits is told the truth when their turn comes, and git itself
// says whether what they have still fits.
//
// session ends with the connection and life with the server: the first ends
// the waiting, only the second ends a deploy.
func (p *Pushes) receive(life, session context.Context, r Request, name, protocol string) error {
	if err := store.ValidAppName(name); err != nil {
		return err
	}
	if _, _, err := p.lookup(r.User, name); err != nil {
		return err
	}
	turn, err := p.turns.take(session, name, r.User.Name, r.Stderr)
	if err != nil {
		return told{err} // they have gone
	}
	push := &push{Pushes: p, user: r.User, turn: turn}
	err = p.receiveInTurn(life, r, push, name, protocol)
	if err == nil && !push.repo.Untidy() {
		turn.done()
		return nil
	}
	p.tidy.Go(func() { // the pusher need not wait for it
		defer turn.done()
		if push.repo.Path == "" || push.removed {
			return
		}
		if err := push.repo.Prune(life); err != nil && life.Err() == nil {
			p.log.Warn("tidy up a repository", "app", name, "error", err)
		}
	})
	return err
}

// push is one push in its turn.
type push struct {
	*Pushes
	user    store.User
	turn    *turn
	app     store.App
	missing bool // the app is not there yet
	repo    git.Repository
	removed bool // the repository, again
}

func (p *Pushes) receiveInTurn(life context.Context, r Request, push *push, name, protocol string) (err error) {
	// Looked up again: much can happen while one waits.
	if push.app, push.missing, err = p.lookup(r.User, name); err != nil {
		return err
	}
	push.app.Name = name
	if !push.missing {
		cancel := p.deployer.Expect(name)
		defer cancel()
	}
	if push.repo, err = p.repos.Open(life, name); err != nil {
		return err
	}
	if err := push.repo.Sweep(); err != nil {
		return err
	}
	err = push.repo.Receive(life, r.Stdin, r.Stdout, r.Stderr, protocol, push.decide)
	if push.missing {
		// push --dry-run, or a pack that never arrived: nothing was created.
		if _, gone := p.app(name); isNotFound(gone) {
			push.removed = true
			err = errors.Join(err, p.repos.Remove(name))
		}
	}
	if errors.Is(err, git.ErrUnanswered) {
		p.log.Info("a push broke off", "app", name, "user", r.User.Name, "remote", r.RemoteAddr, "error", err)
		return told{err}
	}
	return err
}

// lookup finds the app and checks that the user may push to it, or may create
// it when it is missing.
func (p *Pushes) lookup(user store.User, name string) (app store.App, missing bool, err error) {
	app, err = p.app(name)
	if isNotFound(err) {
		return store.App{}, true, user.May(store.RoleDeploy, "")
	}
	if err != nil {
		return store.App{}, false, err
	}
	return app, false, user.May(store.RoleDeploy, name)
}

// decide is called by the repository while git waits with the updates.
func (p *push) decide(ctx context.Context, quarantined git.Repository, updates []git.Update, out io.Writer) error {
	err := func() (err error) {
		defer func() { // it runs in a goroutine of its own, where a panic would take the appliance down
			if cause := recover(); cause != nil {
				err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
			}
		}()
		return p.tryDecide(ctx, quarantined, updates, out)
	}()
	if err != nil {
		complain(out, p.log.With("app", p.app.Name, "user", p.user.Name), err)
		return told{err}
	}
	return nil
}

func (p *push) tryDecide(ctx context.Context, quarantined git.Repository, updates []git.Update, out io.Writer) error {
	update, others, err := choose(p.app.Branch, updates)
	if err != nil {
		return err
	}
	if update != nil && p.turn.passedBy != "" {
		return fault.New(fault.Conflict, "E176", "%s pushed after you and was deployed while you waited", p.turn.passedBy).
			Hint("look at what is live, then push again to replace it")
	}
	if p.missing {
		if err := p.create(ctx, out); err != nil {
			return err
		}
	}
	branch := p.app.Branch
	if update != nil {
		branch = update.Branch()
	}
	if len(others) > 0 {
		fmt.Fprintf(out, "       %s\n", stored(others, branch))
	}
	if update == nil {
		return nil
	}
	if err := p.repo.SetHead(ctx, branch); err != nil {
		return err
	}
	err = p.deployer.Push(ctx, deploy.Push{
		App: p.app.Name, Branch: branch, Commit: update.New, Repo: quarantined, By: p.user, Out: out,
	})
	if err != nil {
		return told{err}
	}
	p.turn.deployed = true
	return nil
}

// create makes the app that this push is the first of. It stays when the
// deploy fails: whoever has to set config before it can start needs it.
func (p *push) create(ctx context.Context, out io.Writer) error {
	app, err := p.deployer.CreateApp(ctx, p.app.Name, p.user)
	if f := fault.From(err); f != nil && f.Code == "E102" { // apps:create was quicker
		if app, err = p.Pushes.app(p.app.Name); err == nil {
			err = p.user.May(store.RoleDeploy, app.Name)
		}
	} else if err == nil {
		fmt.Fprintf(out, "-----> %s  new app, created by this push\n", app.Name)
	}
	if err != nil {
		return err
	}
	p.app, p.missing = app, false
	return nil
}

// choose picks the update to deploy: that of the app's branch, or of the
// branch that becomes it, when the app has none: main, master, else the first.
func choose(branch string, updates []git.Update) (deploy *git.Update, others []git.Update, err error) {
	best := -1
	rank := func(i int) int {
		switch updates[i].Branch() {
		case "main":
			return 2
		case "master":
			return 1
		}
		return 0
	}
	for i, u := range updates {
		switch name := u.Branch(); {
		case name == "":
		case branch != "" && name == branch:
			if u.Deletes() {
				return nil, nil, fault.New(fault.Denied, "E174", "%s is the deploy branch and cannot be deleted", git.Printable(name, 100)).
					Hint("to remove the app: berth apps:destroy")
			}
			best = i
		case branch == "" && !u.Deletes() && (best < 0 || rank(i) > rank(best)):
			best = i
		}
	}
	for i := range updates {
		if i == best {
			deploy = &updates[i]
		} else {
			others = append(others, updates[i])
		}
	}
	return deploy, others, nil
}

// stored says what becomes of refs that are not deployed.
func stored(others []git.Update, branch string) string {
	what := fmt.Sprintf("%d refs", len(others))
	if len(others) == 1 {
		what = "a tag"
		if name := others[0].Branch(); name != "" {
			what = git.Printable(name, 18)
		}
	}
	if branch == "" {
		return what + " stored; nothing is deployed before a branch is pushed"
	}
	return what + " stored; only " + git.Printable(branch, 18) + " is deployed"
}

// upload serves a clone or a fetch.
func (p *Pushes) upload(ctx context.Context, r Request, name, protocol string) error {
	if err := store.ValidAppName(name); err != nil {
		return err
	}
	if err := r.User.May(store.RoleRead, name); err != nil {
		return err
	}
	if _, err := p.app(name); err != nil {
		return err
	}
	repo, err := p.repos.Open(ctx, name)
	if err != nil {
		return err
	}
	if err := repo.Upload(ctx, r.Stdin, r.Stdout, r.Stderr, protocol); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
