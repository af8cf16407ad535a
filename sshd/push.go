package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/verbs"
)

// Deployer is what a push sets in motion; *deploy.Deployer is one.
type Deployer interface {
	// Expect readies what it can while the pack is still coming in.
	Expect(app string) (cancel func())
	// Receive does work in the push's turn at the app, for which it waits as long
	// as ctx goes on, and tells out for whom. The context of work outlives ctx: it
	// ends with the deployer, or with why the app is about to be destroyed. In tests
	// the turn may be nil.
	Receive(ctx context.Context, app string, by store.User, out io.Writer, work func(ctx context.Context, turn *deploy.Turn) error) error
	// Reserve chooses the id that the next app of a name gets, until release is
	// called. Whoever asks for the same name meanwhile gets the same.
	Reserve(name string) (id int, release func(), err error)
	// CreateApp returns a fault (E102) when the app is there.
	CreateApp(ctx context.Context, name string, by store.User) (store.App, error)
	// Push returns when the commit is live and its refs have been moved by
	// p.Accept, or with an error that has been written to p.Out. It makes p.Branch
	// the app's when the app has none. Without a commit it only moves the refs.
	// The end of ctx ends the waiting, and not a build that has begun.
	Push(ctx context.Context, p deploy.Push) error
	// DestroyUnused destroys an app for which nothing was ever built or set.
	DestroyUnused(ctx context.Context, name string, by store.User) error
}

// Pushes serves git over SSH: receive-pack with a deploy in the middle, and
// upload-pack.
type Pushes struct {
	repos    git.Repositories
	app      func(name string) (store.App, error)
	deployer Deployer
	log      *slog.Logger
}

// NewPushes returns the git service. app looks an app up; its fault is of kind
// NotFound when there is none.
func NewPushes(repos git.Repositories, app func(name string) (store.App, error), deployer Deployer, log *slog.Logger) *Pushes {
	return &Pushes{repos: repos, app: app, deployer: deployer, log: log}
}

// receive takes a push.
//
// A push has its turn at the app from before git tells the client where the
// refs are until the refs have moved (see deploy.Turn), so pushes of one app
// meet neither in its repository nor in its builds.
//
// session ends with the connection and life with the server: the first ends
// the waiting, only the second ends a deploy.
func (p *Pushes) receive(life, session context.Context, r Request, name, protocol string) error {
	if err := store.ValidAppName(name); err != nil {
		return err
	}
	before, missing, err := p.lookup(r.User, name)
	if err != nil {
		return err
	}
	id := before.UID
	if missing { // its objects come before it is made
		reserved, release, err := p.deployer.Reserve(name)
		if err != nil {
			return err
		}
		defer release()
		id = reserved
	}
	err = p.deployer.Receive(session, name, r.User, r.Stderr, func(ctx context.Context, turn *deploy.Turn) error {
		push := &push{Pushes: p, user: r.User, turn: turn, life: life, session: session, before: before, id: id}
		err := p.receiveInTurn(ctx, r, push, name, protocol)
		if push.repo.Path != "" && !push.removed && push.repo.Untidy() {
			turn.Untidy(push.repo.Prune)
		}
		return err
	})
	if err != nil && session.Err() != nil && errors.Is(err, context.Cause(session)) {
		return told{err} // they have gone
	}
	return err
}

// push is one push in its turn.
type push struct {
	*Pushes
	user    store.User
	turn    *deploy.Turn
	life    context.Context // ends with the server
	session context.Context // ends when the pusher has gone
	before  store.App       // as it was when the push came; zero when there was none
	id      int             // of the app, whose repository has the objects; it may be still to come
	app     store.App
	missing bool // the app is not there yet
	created bool // it was not, before this push
	repo    git.Repository
	removed bool // the repository, again
	decided bool // git had unpacked what was pushed
}

// receiveInTurn takes the push. ctx ends with its turn: what comes in is given up
// then, but not what is being deployed, which is told itself and ends itself.
func (p *Pushes) receiveInTurn(ctx context.Context, r Request, push *push, name, protocol string) (err error) {
	life, giveUp := context.WithCancelCause(push.life)
	defer giveUp(nil)
	arrived := context.AfterFunc(ctx, func() { giveUp(context.Cause(ctx)) })
	defer arrived()
	defer func() {
		if why := fault.From(context.Cause(life)); why != nil && err != nil && !push.decided {
			err = why // git says no more than that it was ended
		}
	}()
	// Looked up again: much can happen while one waits.
	if push.app, push.missing, err = p.lookup(r.User, name); err != nil {
		return err
	}
	if push.before.UID != 0 && push.app.UID != push.before.UID || push.app.UID != 0 && push.app.UID != push.id {
		return errDestroyed(name, "while your push waited for another")
	}
	push.app.Name = name
	if !push.missing {
		cancel := p.deployer.Expect(name)
		defer cancel()
	}
	if push.repo, err = p.repos.Open(life, strconv.Itoa(push.id)); err != nil {
		if saysFull([]byte(err.Error())) { // git's words among them
			err = errors.Join(noSpace(), err)
		}
		return err
	}
	if err := push.repo.Sweep(); err != nil {
		return err
	}
	said := &spaceWatch{Writer: r.Stdout}
	err = push.repo.Receive(life, r.Stdin, said, r.Stderr, protocol, func(ctx context.Context, in *git.Incoming, out io.Writer) error {
		push.decided = true
		arrived()
		return push.decide(ctx, in, out)
	})
	if said.met.Load() && !push.decided {
		err = errors.Join(noSpace(), err)
	}
	if push.missing {
		// push --dry-run, or a pack that never arrived: nothing was created.
		if _, gone := p.app(name); isNotFound(gone) {
			push.removed = true
			err = errors.Join(err, p.repos.Remove(strconv.Itoa(push.id)))
		}
	}
	if push.created && err != nil {
		err = errors.Join(err, p.deployer.DestroyUnused(push.life, name, r.User))
		_, gone := p.app(name)
		push.removed = isNotFound(gone)
	}
	if errors.Is(err, git.ErrUnanswered) && fault.From(err) == nil {
		p.log.Info("a push broke off", "app", name, "user", r.User.Name, "remote", r.RemoteAddr, "error", err)
		return told{err}
	}
	return err
}

// lookup finds the app and checks that the user may push to it, or may create
// it when it is missing. The first check does not depend on whether the app
// exists: the answer must not disclose it to a user who has no access to it.
func (p *Pushes) lookup(user store.User, name string) (app store.App, missing bool, err error) {
	if err := verbs.MayPush(user, name); err != nil {
		return store.App{}, false, err
	}
	app, err = p.app(name)
	if isNotFound(err) {
		return store.App{}, true, verbs.MayCreate(user)
	}
	return app, false, err
}

// lookAgain looks the app up once more: the upload may have taken minutes, in
// which somebody may have set another deploy branch or destroyed the app.
func (p *push) lookAgain() error {
	name := p.app.Name
	app, missing, err := p.lookup(p.user, name)
	if err != nil {
		return err
	}
	if p.app.UID != 0 && app.UID != p.app.UID || app.UID != 0 && app.UID != p.id {
		return errDestroyed(name, "during your push")
	}
	app.Name = name
	p.app, p.missing = app, missing
	return nil
}

func errDestroyed(app, when string) error {
	return fault.New(fault.Conflict, code.PushAppDestroyed, "%s was destroyed or renamed %s", app, when).
		Hint("push again to create it again, or push to its new name")
}

// decide is called by the repository while git waits with the updates.
func (p *push) decide(ctx context.Context, in *git.Incoming, out io.Writer) error {
	err := func() (err error) {
		defer func() { // it runs in a goroutine of its own, where a panic would take the appliance down
			if cause := recover(); cause != nil {
				err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
			}
		}()
		return p.tryDecide(ctx, in, out)
	}()
	if err != nil {
		complain(out, p.log.With("app", p.app.Name, "user", p.user.Name), err)
		return told{err}
	}
	return nil
}

// tryDecide asks everything that can be a reason to refuse before it changes
// anything: git first, then what berth takes, then the deploy.
func (p *push) tryDecide(ctx context.Context, in *git.Incoming, out io.Writer) error {
	locked := in.Lock(ctx)
	// First what explains all: where the repository is gone, git fails.
	if err := p.lookAgain(); err != nil {
		return err
	}
	if locked != nil {
		return locked
	}
	update, others, err := choose(p.app, in.Updates)
	if err != nil {
		return err
	}
	if p.missing && update == nil {
		return fault.New(fault.Conflict, code.PushNoBranch, "%s does not exist yet, and this push has no branch to create it from", p.app.Name).
			Hint("git push berth main")
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
		fmt.Fprintf(out, "       %s\n", aside(others, branch))
	}
	made := deploy.Push{App: p.app.Name, UID: p.app.UID, Repo: in.Repository, By: p.user, Out: out, Turn: p.turn}
	made.Accept = func(ctx context.Context) error { return in.Accept(ctx, out) }
	if update != nil {
		made.Branch, made.Commit = branch, update.New
		made.Accept = func(ctx context.Context) error {
			err := in.Accept(ctx, out)
			if err == nil {
				p.checkOut(branch)
			}
			return err
		}
	}
	if err := p.deployer.Push(p.session, made); err != nil {
		return told{err}
	}
	return nil
}

// checkOut makes clones check the branch out.
func (p *push) checkOut(branch string) {
	if err := p.repo.SetHead(p.life, branch); err != nil {
		p.log.Warn("set the branch that clones check out", "app", p.app.Name, "error", err)
	}
}

// create makes the app that this push is the first of. It stays when its build
// fails: whoever has to set config before it can start needs it.
func (p *push) create(ctx context.Context, out io.Writer) error {
	app, err := p.deployer.CreateApp(ctx, p.app.Name, p.user)
	if f := fault.From(err); f != nil && f.Code == code.AppExists { // apps:create was quicker
		if app, err = p.Pushes.app(p.app.Name); err == nil {
			err = verbs.MayPush(p.user, app.Name)
		}
	} else if err == nil {
		p.created = true
		fmt.Fprintf(out, "-----> %s  new app, created by this push\n", app.Name)
	}
	if err == nil && app.UID != p.id {
		err = errDestroyed(app.Name, "during your push")
	}
	if err != nil {
		return err
	}
	p.app, p.missing = app, false
	return nil
}

// choose picks the update to deploy: that of the app's branch, or of the
// branch that becomes it, when the app has none: main, master, else the first.
// A push that would deploy nothing is refused, unless it brings nothing but
// tags or only deletes: its exit code is what a pipeline goes by.
func choose(app store.App, updates []git.Update) (deploy *git.Update, others []git.Update, err error) {
	best := -1
	for i, u := range updates {
		name := u.Branch()
		if name == "" || name != app.Branch && (app.Branch != "" || u.Deletes()) {
			continue
		}
		if u.Deletes() {
			return nil, nil, errDeletesDeployBranch(app)
		}
		if best < 0 || rank(name) > rank(updates[best].Branch()) {
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
	if deploy != nil {
		return deploy, others, nil
	}
	for _, u := range others {
		if !u.Deletes() && !u.IsTag() {
			return nil, nil, errNothingToDeploy(app, u)
		}
	}
	return nil, others, nil
}

func rank(branch string) int {
	switch branch {
	case "main":
		return 2
	case "master":
		return 1
	}
	return 0
}

func errDeletesDeployBranch(app store.App) error {
	return fault.New(fault.Denied, code.DeployBranchDeleted, "%s is the deploy branch and cannot be deleted", git.Printable(app.Branch, 100)).
		Hint("to deploy another one: berth git:set %s deploy-branch BRANCH", app.Name).
		Hint("to remove the app: berth apps:destroy %s", app.Name)
}

// errNothingToDeploy is a push of something that is not the deploy branch.
func errNothingToDeploy(app store.App, u git.Update) error {
	branch := git.Printable(app.Branch, 60)
	if app.Branch == "" {
		return fault.New(fault.Usage, code.PushNothing, "%s is not a branch, so nothing would be deployed", git.Printable(u.Ref, 60)).
			Hint("git push berth HEAD:main")
	}
	name, isBranch := git.Printable(u.Branch(), 60), u.Branch() != ""
	if !isBranch {
		name = git.Printable(u.Ref, 60)
	}
	f := fault.New(fault.Usage, code.PushNothing, "nothing would be deployed: %s deploys %s, but this push has %s", app.Name, branch, name)
	if isBranch {
		f.Hint("to deploy %s from now on: berth git:set %s deploy-branch %s", name, app.Name, name)
		f.Hint("to deploy it once: git push berth %s:%s", name, branch)
		return f
	}
	return f.Hint("git push berth HEAD:%s", branch)
}

// aside says what becomes of refs that are not deployed.
func aside(others []git.Update, branch string) string {
	var stored, deleted []git.Update
	for _, u := range others {
		if u.Deletes() {
			deleted = append(deleted, u)
		} else {
			stored = append(stored, u)
		}
	}
	switch {
	case len(stored) == 0:
		return named(deleted) + " deleted"
	case len(deleted) > 0:
		return named(stored) + " stored, " + named(deleted) + " deleted"
	case branch == "":
		return named(stored) + " stored; nothing is deployed until a branch is pushed"
	}
	return named(stored) + " stored; only " + git.Printable(branch, 18) + " is deployed"
}

// named is a ref's short name, or the number of refs.
func named(refs []git.Update) string {
	if len(refs) > 1 {
		return fmt.Sprintf("%d refs", len(refs))
	}
	if name := refs[0].Branch(); name != "" {
		return git.Printable(name, 18)
	}
	if name, ok := strings.CutPrefix(refs[0].Ref, "refs/tags/"); ok {
		return "tag " + git.Printable(name, 14)
	}
	return "a ref"
}

// upload serves a clone or a fetch.
func (p *Pushes) upload(ctx context.Context, r Request, name, protocol string) error {
	if err := store.ValidAppName(name); err != nil {
		return err
	}
	if err := verbs.MayFetch(r.User, name); err != nil {
		return err
	}
	app, err := p.app(name)
	if err != nil {
		return err
	}
	repo, err := p.repos.Open(ctx, app.ID())
	if err != nil {
		return err
	}
	if err := repo.Upload(ctx, r.Stdin, r.Stdout, r.Stderr, protocol); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
