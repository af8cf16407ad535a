package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// arriving is a push that is received and deploys when it is told to.
type arriving struct {
	out    bytes.Buffer
	deploy chan bool  // true deploys, false gives up
	began  chan error // gets nil when its turn came
	ended  chan error
}

// receive begins a push to an app that is received.
func receive(t *testing.T, ctx context.Context, d *Deployer, name, by string) *arriving {
	t.Helper()
	p := &arriving{deploy: make(chan bool, 1), began: make(chan error, 1), ended: make(chan error, 1)}
	user := store.User{Name: by}
	go func() {
		p.ended <- d.Receive(ctx, name, user, &p.out, func(ctx context.Context, turn *Turn) error {
			p.began <- nil
			select {
			case yes := <-p.deploy:
				if !yes {
					return errors.New("broke off")
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if _, _, err := d.find(name); err != nil {
				if _, err := d.CreateApp(ctx, name, user); err != nil {
					return err
				}
			}
			push := Push{App: name, By: user, Out: &p.out, Turn: turn}
			commit := git.Commit{ID: "4f1c9ab0000"}
			return d.attempt(ctx, push, commit, ticket{what: "the push of 4f1c9ab by " + by, push: true},
				func(ctx context.Context, a *app, record store.App, n *store.Build, out *progress.Report) (store.Release, error) {
					return d.releaseBuild(ctx, a, record, releaseOf(record, *n, commit, &plan.Plan{}, build.Image{}), &plan.Plan{}, rollout{}, out)
				})
		})
	}()
	synctest.Wait()
	return p
}

// has tells whether the push has its turn.
func (p *arriving) has() bool {
	select {
	case <-p.began:
		return true
	default:
		return false
	}
}

func TestReceive_ASecondPushWaitsAndSaysForWhom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		first := receive(t, t.Context(), d, "shop", "alice")
		second := receive(t, t.Context(), d, "shop", "bob")
		if !first.has() || second.has() {
			t.Fatal("want the first to be received, and the second to wait")
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		want := "-----> shop  waiting for the push by alice\n       still waiting (15s)\n       still waiting (30s)\n"
		if got := second.out.String(); got != want {
			t.Errorf("who waits reads\n%swant\n%s", got, want)
		}
		first.deploy <- true
		if err := <-first.ended; err != nil {
			t.Fatalf("%v\n%s", err, &first.out)
		}
		synctest.Wait()
		if !second.has() {
			t.Fatal("the second has no turn after the first")
		}
		second.deploy <- true
		if err := <-second.ended; err != nil {
			t.Errorf("it waited for its own developer's push, and was refused: %v\n%s", err, &second.out)
		}
	})
}

// The newest of those who wait comes next; the older ones hear so as soon as it
// deploys, and not when it has brought nothing.
func TestReceive_TheNewestOfThoseWhoWaitTakesTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		alice := receive(t, t.Context(), d, "shop", "alice")
		bob := receive(t, t.Context(), d, "shop", "bob")
		carol := receive(t, t.Context(), d, "shop", "carol")
		dora := receive(t, t.Context(), d, "shop", "dora")
		alice.deploy <- true
		<-alice.ended
		synctest.Wait()
		if !dora.has() || carol.has() || bob.has() {
			t.Fatal("want dora's turn, who came last")
		}
		dora.deploy <- false // nothing but a tag, say
		<-dora.ended
		synctest.Wait()
		if !carol.has() || len(bob.ended) != 0 {
			t.Fatal("want carol's turn, and bob to wait")
		}
		late := receive(t, t.Context(), d, "shop", "erin")
		carol.deploy <- true
		if err := <-carol.ended; err != nil {
			t.Errorf("carol: %v\n%s", err, &carol.out)
		}
		f := fault.From(<-bob.ended)
		if f == nil || f.Code != code.PushSuperseded || !strings.Contains(f.Message, "the push of 4f1c9ab by carol") {
			t.Errorf("bob's older push: got %v, want %s", f, code.PushSuperseded)
		}
		synctest.Wait()
		if !late.has() {
			t.Error("who came after carol was sent away with those before her")
		}
		late.deploy <- false
		<-late.ended
	})
}

func TestReceive_WhoGivesUpWaitingLeavesNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		first := receive(t, t.Context(), d, "shop", "alice")
		ctx, hangUp := context.WithCancel(t.Context())
		gone := receive(t, ctx, d, "shop", "bob")
		patient := receive(t, t.Context(), d, "shop", "carol")
		hangUp()
		if err := <-gone.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: got %v", err)
		}
		first.deploy <- false
		synctest.Wait()
		if !patient.has() {
			t.Error("the one behind has no turn")
		}
		patient.deploy <- false
	})
}

// A push that makes the app has its turn at the name: whoever comes meanwhile may
// not be received beside it, with the app there or not.
func TestReceive_OneAtATimeAtANameThatIsNoAppYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		first := receive(t, t.Context(), d, "shop", "alice")
		second := receive(t, t.Context(), d, "shop", "bob")
		update(t, d, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "shop"}); return err })
		third := receive(t, t.Context(), d, "shop", "carol")
		if !first.has() || second.has() || third.has() {
			t.Fatal("want the first alone to be received")
		}
		first.deploy <- true
		if err := <-first.ended; err != nil {
			t.Fatalf("%v\n%s", err, &first.out)
		}
		synctest.Wait()
		if f := fault.From(func() error {
			if len(second.ended) == 0 && len(third.ended) == 0 {
				return nil
			}
			return <-second.ended
		}()); f != nil {
			t.Errorf("who came after the first was sent away: %v", f)
		}
		if !third.has() || second.has() {
			t.Fatal("want the newest of those who wait to be received")
		}
		third.deploy <- true
		if err := <-third.ended; err != nil {
			t.Errorf("%v\n%s", err, &third.out)
		}
		if err := <-second.ended; codeOf(err) != code.PushSuperseded {
			t.Errorf("the older one: got %v, want %s", err, code.PushSuperseded)
		}
		if len(d.names.lines) != 0 {
			t.Errorf("lines are left at the names %v", d.names.lines)
		}
	})
}

func TestReceive_EndsWhenTheAppIsDestroyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		coming := receive(t, t.Context(), d, "shop", "alice")
		waiting := receive(t, t.Context(), d, "shop", "carol")
		if err := d.DestroyApp(t.Context(), "shop", bob, io.Discard); err != nil {
			t.Fatal(err)
		}
		for who, p := range map[string]*arriving{"comes in": coming, "waits": waiting} {
			if err := <-p.ended; codeOf(err) != code.AppDestroyed {
				t.Errorf("a push that %s: got %v, want %s", who, err, code.AppDestroyed)
			}
		}
	})
}

func TestReceive_ACancelledWaitIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		first := receive(t, t.Context(), d, "shop", "alice")
		waiting := receive(t, t.Context(), d, "shop", "carol")
		if s, err := d.Status(t.Context(), "shop"); err != nil || s.Working != "the push by alice" || s.Waiting != "the push by carol" {
			t.Errorf("it works at %q, and %q waits (%v)", s.Working, s.Waiting, err)
		}
		if _, err := d.CancelBuild(t.Context(), "shop", 0, bob); err != nil {
			t.Error(err)
		}
		if err := <-waiting.ended; codeOf(err) != code.PushCancelled {
			t.Errorf("got %v, want %s", err, code.PushCancelled)
		}
		first.deploy <- false
	})
}

func TestUntidy_TidyingYieldsToWhoeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		_, a := shop(t, d)
		working, ended := false, 0
		tidy := func() {
			d.tidy(a, "shop", func(ctx context.Context) error {
				working = true
				<-ctx.Done() // as git does when it is killed
				working = false
				ended++
				return ctx.Err()
			})
			synctest.Wait()
		}
		tidy()
		if !working {
			t.Fatal("nothing is tidied while nobody pushes")
		}
		if s, _ := d.Status(t.Context(), "shop"); s.Working != "" {
			t.Errorf("the app is said to be at %q", s.Working)
		}
		tidy() // once at a time
		push := receive(t, t.Context(), d, "shop", "alice")
		if !push.has() || working || ended != 1 || push.out.Len() > 0 {
			t.Errorf("the push runs beside the tidying, or waits for it (working %v, ended %d, said %q)", working, ended, &push.out)
		}
		tidy()
		if working {
			t.Error("tidying has begun beside a push")
		}
		push.deploy <- false
		<-push.ended
		synctest.Wait()
		tidy()
		if !working {
			t.Error("nothing is tidied after the push")
		}
		if _, err := d.RenameApp(t.Context(), "shop", "store", bob, io.Discard); err == nil && working {
			t.Error("the app was renamed under the tidying")
		}
		d.end()
	})
}
