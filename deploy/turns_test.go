package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/berthd/berth/build"
	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/appjson"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

var alice, bob = store.User{Name: "alice"}, store.User{Name: "bob"}

// slowBuild is a push of alice's whose build goes on until finish is called.
type slowBuild struct {
	finish  func()
	ended   chan error
	out     bytes.Buffer
	release store.Release // that it made
	accept  func() error  // moves the refs of the push
}

// startBuild begins the build of a plan for the shop. It runs in a bubble.
func startBuild(t *testing.T, d *Deployer, made *plan.Plan) *slowBuild {
	t.Helper()
	finish := make(chan struct{})
	b := &slowBuild{finish: sync.OnceFunc(func() { close(finish) }), ended: make(chan error, 1)}
	commit := git.Commit{ID: "4f1c9ab0000", Subject: "Fix"}
	go func() {
		p := Push{App: "shop", Branch: "main", By: alice, Out: &b.out, Accept: func(context.Context) error {
			if b.accept == nil {
				return nil
			}
			return b.accept()
		}}
		b.ended <- d.attempt(t.Context(), p, commit, ticket{what: "the push of 4f1c9ab by alice", push: true},
			func(ctx context.Context, a *app, record store.App, n *store.Build, out *progress.Report) (store.Release, error) {
				config, err := d.configFor(record, made.Manifest)
				if err != nil {
					return store.Release{}, err
				}
				select {
				case <-finish:
				case <-ctx.Done():
					return store.Release{}, context.Cause(ctx)
				}
				release := releaseOf(record, *n, commit, made, build.Image{})
				release.Config = config
				b.release, err = d.releaseBuild(ctx, a, record, release, made, rollout{}, out)
				return b.release, err
			})
	}()
	synctest.Wait()
	return b
}

func configOf(t *testing.T, d *Deployer, app string) (config map[string]string) {
	t.Helper()
	err := d.db.View(func(tx *store.Tx) (err error) {
		config, err = tx.Config(app)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestBuild_HoldsNothingButTheNextBuildUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		update(t, d, func(tx *store.Tx) error { // one that runs and starts nothing
			return tx.PutRelease(store.Release{App: "shop", Number: 1, Status: store.ReleaseLive, Processes: []store.Process{{Type: "worker"}}})
		})
		made := &plan.Plan{
			Processes: []plan.Process{{Type: "worker"}},
			Manifest:  appjson.Manifest{Env: map[string]string{"COLOR": "red", "SIZE": "small"}, Secrets: []string{"SECRET"}},
		}
		b := startBuild(t, d, made)
		out := io.Discard
		for what, err := range map[string]error{
			"ps:start": d.Start(t.Context(), "shop", "", bob, out),
			"ps:scale": d.Scale(t.Context(), "shop", map[string]int{"worker": 0}, bob, out),
		} {
			if err != nil {
				t.Errorf("%s during a build: %v", what, err)
			}
		}
		if r, err := d.SetConfig(t.Context(), "shop", map[string]string{"COLOR": "blue"}, nil, false, bob, out); err != nil || r.Number != 2 {
			t.Fatalf("config:set during a build: v%d, %v; want v2", r.Number, err)
		}
		if len(b.ended) != 0 {
			t.Fatal("the build has ended")
		}
		b.finish()
		if err := <-b.ended; err != nil {
			t.Fatalf("the push: %v\n%s", err, &b.out)
		}
		if b.release.Number != 3 {
			t.Errorf("the push made v%d, want v3", b.release.Number)
		}
		got := configOf(t, d, "shop")
		if got["COLOR"] != "blue" || got["SIZE"] != "small" || len(got["SECRET"]) != 64 || !maps.Equal(got, b.release.Config) {
			t.Errorf("the app's config is %v and the release's %v, want both with bob's COLOR and what app.json adds", got, b.release.Config)
		}
		if want := "warning: v2 went live during the build and was replaced: Set COLOR, by bob\n"; !strings.Contains(b.out.String(), want) {
			t.Errorf("the pusher reads\n%swant in it\n%s", &b.out, want)
		}
	})
}

func TestReleaseBuild_WaitsForWhatChangesTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		_, a := shop(t, d)
		b := startBuild(t, d, &plan.Plan{})
		leave, err := a.line.enter(t.Context(), &ticket{what: "the rollback by bob"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.finish()
		synctest.Wait()
		if len(b.ended) != 0 || !strings.Contains(b.out.String(), "waiting for the rollback by bob\n") {
			t.Errorf("it did not wait, or did not say so:\n%s", &b.out)
		}
		if s, err := d.Status(t.Context(), "shop"); err != nil || s.Working != "the rollback by bob" || s.Building != 1 {
			t.Errorf("it works at %q and builds %d (%v), want the rollback and 1", s.Working, s.Building, err)
		}
		leave()
		if err := <-b.ended; err != nil {
			t.Error(err)
		}
	})
}

func TestReleaseBuild_MadeUpSecretsAreThoseOfTheBuild(t *testing.T) {
	d := newDeployer(t)
	manifest := appjson.Manifest{Secrets: []string{"A", "B"}, Keys: []string{"K"}, Required: []string{"R"}}
	earlier := map[string]string{"A": "a", "B": "b", "K": "k", "GONE": "x"}
	got, err := completed(d.sshCommand(), "shop", map[string]string{"B": "set since", "R": "r"}, nil, manifest, earlier)
	want := map[string]string{"A": "a", "B": "set since", "K": "k", "R": "r"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	_, err = completed(d.sshCommand(), "shop", map[string]string{}, nil, manifest, earlier)
	if f := fault.From(err); f == nil || f.Code != "E127" {
		t.Errorf("what app.json requires was unset during the build: got %v, want E127", err)
	}
}

func TestReleaseBuild_UndoesNothingThatCameMeanwhile(t *testing.T) {
	for _, test := range []struct {
		name        string
		meanwhile   func(t *testing.T, d *Deployer)
		wantStopped bool
		wantVersion string
	}{
		{name: "nothing", meanwhile: func(*testing.T, *Deployer) {}, wantVersion: "24.1.0"},
		{name: "stopped", meanwhile: func(t *testing.T, d *Deployer) {
			if err := d.Stop(t.Context(), "shop", "", bob, io.Discard); err != nil {
				t.Error(err)
			}
		}, wantStopped: true, wantVersion: "24.1.0"},
		{name: "stopped and started", meanwhile: func(t *testing.T, d *Deployer) {
			if err := errors.Join(d.Stop(t.Context(), "shop", "", bob, io.Discard), d.Start(t.Context(), "shop", "", bob, io.Discard)); err != nil {
				t.Error(err)
			}
		}, wantVersion: "24.1.0"},
		{name: "versions forgotten", meanwhile: func(t *testing.T, d *Deployer) {
			if _, err := d.build.SetBuilder(t.Context(), "shop", "versions", "latest", bob); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDeployer(t)
				record, _ := shop(t, d)
				record.Versions = map[string]string{"node": "22.0.0"}
				update(t, d, func(tx *store.Tx) error { return tx.PutApp(record) })
				b := startBuild(t, d, &plan.Plan{Versions: map[string]string{"node": "24.1.0"}})
				test.meanwhile(t, d)
				b.finish()
				if err := <-b.ended; err != nil {
					t.Fatal(err)
				}
				after, _, err := d.find("shop")
				if err != nil || after.Stopped != test.wantStopped || after.Versions["node"] != test.wantVersion || after.Release != b.release.Number {
					t.Errorf("got stopped %t, node %q, v%d (%v); want %t, %q", after.Stopped, after.Versions["node"], after.Release, err, test.wantStopped, test.wantVersion)
				}
				if told := strings.Contains(b.out.String(), "warning: bob stopped shop during the build; it stays stopped"); told != test.wantStopped {
					t.Errorf("the pusher reads\n%s", &b.out)
				}
			})
		})
	}
}

func TestDestroyApp_EndsTheBuildAndThePushesThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		b := startBuild(t, d, &plan.Plan{})
		waiting := startBuild(t, d, &plan.Plan{})
		if err := d.DestroyApp(t.Context(), "shop", bob, io.Discard); err != nil {
			t.Fatal(err)
		}
		for what, push := range map[string]*slowBuild{"that was built": b, "that waited": waiting} {
			if err := <-push.ended; !errors.Is(err, ErrReported) {
				t.Errorf("the push %s ended with %v", what, err)
			}
			if got := push.out.String(); !strings.Contains(got, "error: shop was destroyed by bob [E420]\n") || strings.Contains(got, "still serves") {
				t.Errorf("the push %s was told\n%s", what, got)
			}
		}
		// A namesake begins with nothing of it.
		update(t, d, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "shop"}); return err })
		err := d.db.View(func(tx *store.Tx) error {
			builds, err := tx.Builds.Of("shop", 0)
			if len(builds) != 0 {
				t.Errorf("builds are left of it: %+v", builds)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestDestroyApp_EndsWhateverIsDoneToTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		_, a, leave, err := d.hold(t.Context(), "shop", ticket{what: "the config change by alice"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := d.begun(t.Context(), a)
		went := make(chan error, 1)
		go func() { // its release command, say
			<-ctx.Done()
			went <- context.Cause(ctx)
			end()
			leave()
		}()
		queued := make(chan error, 1)
		go func() { queued <- d.Scale(t.Context(), "shop", nil, alice, io.Discard) }()
		synctest.Wait()
		if err := d.DestroyApp(t.Context(), "shop", bob, io.Discard); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{"what was done to it": <-went, "what waited": <-queued} {
			if f := fault.From(err); f == nil || f.Code != code.AppDestroyed {
				t.Errorf("%s ended with %v, want %s", what, err, code.AppDestroyed)
			}
		}
	})
}

// While one waits for the app to be destroyed by another, its name may have become
// that of a new one, which nobody asked to be destroyed.
func TestDestroyApp_SparesANamesake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		_, _, leave, err := d.buildTurn(t.Context(), "shop", ticket{what: "its destruction by alice", destroys: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		destroyed := make(chan error, 1)
		go func() { destroyed <- d.DestroyApp(t.Context(), "shop", bob, io.Discard) }()
		synctest.Wait()
		update(t, d, func(tx *store.Tx) error {
			if err := tx.DeleteApp("shop"); err != nil {
				return err
			}
			_, err := tx.CreateApp(store.App{Name: "shop"})
			return err
		})
		leave()
		if err := <-destroyed; codeOf(err) != "E421" {
			t.Errorf("got %v, want E421", err)
		}
		if _, _, err := d.find("shop"); err != nil {
			t.Errorf("the namesake: %v", err)
		}
		if _, err := d.Rollback(t.Context(), "shop", 1, bob, io.Discard); codeOf(err) == code.AppDestroyed {
			t.Errorf("the namesake is doomed: %v", err)
		}
	})
}

func TestDestroyApp_ThatFailsLetsTheAppBePushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		caches := d.cfg.Caches
		d.cfg.Caches = "/proc/self/nothing\x00" // no such path can be
		rebuild(d)
		if err := d.DestroyApp(t.Context(), "shop", bob, io.Discard); err == nil {
			t.Fatal("its caches cannot be removed, and it was destroyed")
		}
		d.cfg.Caches = caches
		rebuild(d)
		b := startBuild(t, d, &plan.Plan{})
		b.finish()
		if err := <-b.ended; err != nil {
			t.Errorf("%v\n%s", err, &b.out)
		}
	})
}

func TestRenameApp_WaitsForTheBuildAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		shop(t, d)
		if _, err := d.cfg.Git.Open(t.Context(), shopID); err != nil {
			t.Fatal(err)
		}
		b := startBuild(t, d, &plan.Plan{})
		var out bytes.Buffer
		renamed := make(chan error, 1)
		go func() {
			_, err := d.RenameApp(t.Context(), "shop", "store", bob, &out)
			renamed <- err
		}()
		synctest.Wait()
		if want := "-----> waiting for the push of 4f1c9ab by alice\n"; len(renamed) != 0 || out.String() != want {
			t.Errorf("got %q, want %q", &out, want)
		}
		b.finish()
		if err := errors.Join(<-b.ended, <-renamed); err != nil {
			t.Error(err)
		}
	})
}

// A push is of one app under one name until its refs have moved.
func TestRenameAndDestroyApp_WaitForTheRefsOfAPush(t *testing.T) {
	commands := map[string]func(*testing.T, *Deployer) error{
		"apps:rename": func(t *testing.T, d *Deployer) error {
			_, err := d.RenameApp(t.Context(), "shop", "store", bob, io.Discard)
			return err
		},
		"apps:destroy": func(t *testing.T, d *Deployer) error {
			return d.DestroyApp(t.Context(), "shop", bob, io.Discard)
		},
	}
	pushes := map[string]func(t *testing.T, d *Deployer, accept func() error) error{
		"that deploys": func(t *testing.T, d *Deployer, accept func() error) error {
			b := startBuild(t, d, &plan.Plan{})
			b.accept = accept
			b.finish()
			return <-b.ended
		},
		"of tags": func(t *testing.T, d *Deployer, accept func() error) error {
			return d.Push(t.Context(), Push{App: "shop", By: alice, Out: io.Discard, Accept: func(context.Context) error { return accept() }})
		},
	}
	for name, command := range commands {
		for kind, push := range pushes {
			t.Run(name+" and a push "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newDeployer(t)
					record, _ := shop(t, d)
					repo, err := d.cfg.Git.Open(t.Context(), record.ID())
					if err != nil {
						t.Fatal(err)
					}
					ended := make(chan error, 1)
					err = push(t, d, func() error {
						go func() { ended <- command(t, d) }()
						synctest.Wait()
						if len(ended) != 0 {
							t.Errorf("it did not wait: %v", <-ended)
						}
						_, err := os.Stat(repo.Path)
						return err
					})
					if err := errors.Join(err, <-ended); err != nil {
						t.Error(err)
					}
					// A rename leaves the repository where it is: it has the app's id.
					if _, err := os.Stat(repo.Path); errors.Is(err, os.ErrNotExist) != (name == "apps:destroy") {
						t.Errorf("the repository: %v", err)
					}
				})
			})
		}
	}
}

// What has not begun when its client leaves does not begin later.
func TestHold_WhoLeavesWhileWaitingIsDropped(t *testing.T) {
	commands := map[string]func(context.Context, *Deployer) error{
		"config:set": func(ctx context.Context, d *Deployer) error {
			_, err := d.SetConfig(ctx, "shop", map[string]string{"A": "b"}, nil, false, bob, io.Discard)
			return err
		},
		"config:set --no-restart": func(ctx context.Context, d *Deployer) error {
			_, err := d.SetConfig(ctx, "shop", map[string]string{"A": "b"}, nil, true, bob, io.Discard)
			return err
		},
		"rollback": func(ctx context.Context, d *Deployer) error {
			_, err := d.Rollback(ctx, "shop", 1, bob, io.Discard)
			return err
		},
		"ps:scale": func(ctx context.Context, d *Deployer) error {
			return d.Scale(ctx, "shop", map[string]int{"web": 2}, bob, io.Discard)
		},
		"ps:restart": func(ctx context.Context, d *Deployer) error { return d.Restart(ctx, "shop", "", bob, io.Discard) },
		"ps:stop":    func(ctx context.Context, d *Deployer) error { return d.Stop(ctx, "shop", "", bob, io.Discard) },
		"ps:start":   func(ctx context.Context, d *Deployer) error { return d.Start(ctx, "shop", "", bob, io.Discard) },
		"builds:cache-clear": func(ctx context.Context, d *Deployer) error {
			_, err := d.build.ClearCaches(ctx, "shop", bob, io.Discard)
			return err
		},
		"apps:rename": func(ctx context.Context, d *Deployer) error {
			_, err := d.RenameApp(ctx, "shop", "store", bob, io.Discard)
			return err
		},
		"apps:destroy": func(ctx context.Context, d *Deployer) error { return d.DestroyApp(ctx, "shop", bob, io.Discard) },
		"git:from-image": func(ctx context.Context, d *Deployer) error {
			return d.FromImage(ctx, "shop", "example.com/x", bob, io.Discard)
		},
	}
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDeployer(t)
				before, a := shop(t, d)
				for _, l := range []*line{&a.builds, &a.line} {
					leave, err := l.enter(t.Context(), &ticket{what: "something else"}, nil)
					if err != nil {
						t.Fatal(err)
					}
					defer leave()
				}
				ctx, quit := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- command(ctx, d) }()
				synctest.Wait()
				if len(ended) != 0 {
					t.Fatalf("it did not wait: %v", <-ended)
				}
				quit()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want the context's error", err)
				}
				for _, l := range []*line{&a.builds, &a.line} {
					if len(l.waiting) != 0 {
						t.Error("it waits still")
					}
				}
				if after, _, err := d.find("shop"); err != nil || after.Release != before.Release || after.LastBuild != before.LastBuild {
					t.Errorf("the app is %+v, %v; it was %+v", after, err, before)
				}
				if a.doom() != nil {
					t.Error("the app stays condemned")
				}
			})
		})
	}
}

func TestHold_WhoLeavesAsTheTurnComesIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		_, a := shop(t, d)
		leave, err := a.line.enter(t.Context(), &ticket{what: "something else"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, quit := context.WithCancel(t.Context())
		held := make(chan error, 1)
		go func() {
			_, _, leave, err := d.hold(ctx, "shop", ticket{what: "a rollback"}, func(string) {
				leave() // the turn has come
				quit()
			})
			if err == nil {
				leave()
			}
			held <- err
		}()
		if err := <-held; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that it is dropped", err)
		}
		if holder, _ := a.line.state(); holder != "" {
			t.Errorf("the app is still held for %s", holder)
		}
	})
}

func TestBegun_OutlivesWhoAskedAndNotTheDeployer(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	asked, quit := context.WithCancel(t.Context())
	ctx, end := d.begun(asked, a)
	defer end()
	quit()
	if ctx.Err() != nil {
		t.Error("it ended when the one who asked left")
	}
	d.end()
	<-ctx.Done()
}

func TestMovePhaseLogs_ToTheReleaseThatTheBuildGets(t *testing.T) {
	d := newDeployer(t)
	log, err := d.phases.openLog(shopID, 4, phasePredeploy)
	if err != nil {
		t.Fatal(err)
	}
	log.file.Close()
	if err := d.phases.moveLogs(shopID, phasePredeploy, 4, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(d.logs.Dir(shopID, 5), filepath.Base(log.file.Name()))); err != nil {
		t.Error(err)
	}
}
