package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	goruntime "runtime"
	"testing"
	"testing/synctest"

	"github.com/berthd/berth/store"
)

// Whatever waits for an app's turn when its asker leaves (Ctrl-C, a closed
// terminal or page) must not be carried out later.
func TestWaiting_WhatHasNotBegunWhenItsAskerLeavesIsNotDone(t *testing.T) {
	alice := store.User{Name: "alice", Role: store.RoleDeploy}
	for name, ask := range map[string]func(ctx context.Context, d *Deployer, push Push) error{
		"config:set": func(ctx context.Context, d *Deployer, _ Push) error {
			_, err := d.SetConfig(ctx, "shop", map[string]string{"A": "b"}, nil, false, alice, io.Discard)
			return err
		},
		"config:set --no-restart": func(ctx context.Context, d *Deployer, _ Push) error {
			_, err := d.SetConfig(ctx, "shop", map[string]string{"A": "b"}, nil, true, alice, io.Discard)
			return err
		},
		"ps:scale": func(ctx context.Context, d *Deployer, _ Push) error {
			return d.Scale(ctx, "shop", map[string]int{"web": 2}, alice, io.Discard)
		},
		"ps:start": func(ctx context.Context, d *Deployer, _ Push) error { return d.Start(ctx, "shop", alice, io.Discard) },
		"ps:restart": func(ctx context.Context, d *Deployer, _ Push) error {
			return d.Restart(ctx, "shop", "", alice, io.Discard)
		},
		"ps:stop": func(ctx context.Context, d *Deployer, _ Push) error { return d.Stop(ctx, "shop", alice, io.Discard) },
		"rollback": func(ctx context.Context, d *Deployer, _ Push) error {
			_, err := d.Rollback(ctx, "shop", 1, alice, io.Discard)
			return err
		},
		"apps:rename": func(ctx context.Context, d *Deployer, _ Push) error {
			_, err := d.RenameApp(ctx, "shop", "store", alice)
			return err
		},
		"apps:destroy": func(ctx context.Context, d *Deployer, _ Push) error { return d.DestroyApp(ctx, "shop", alice) },
		"builds:cache-clear": func(ctx context.Context, d *Deployer, _ Push) error {
			_, err := d.ClearCaches(ctx, "shop", alice, io.Discard)
			return err
		},
		"git push": func(ctx context.Context, d *Deployer, push Push) error { return d.Push(ctx, push) },
		"git:from-image": func(ctx context.Context, d *Deployer, _ Push) error {
			return d.FromImage(ctx, "shop", "x", alice, io.Discard)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeployer(t)
			record, a := shop(t, d)
			push := emptyCommit(t, d, "shop")
			push.Out = &bytes.Buffer{}
			if _, err := d.cfg.Git.Open(t.Context(), "shop"); err != nil {
				t.Fatal(err)
			}
			leave, err := a.line.enter(t.Context(), ticket{what: "a push"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, gone := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- ask(ctx, d, push) }()
			for waiting := false; !waiting; goruntime.Gosched() {
				a.line.mu.Lock()
				waiting = len(a.line.waiting) > 0
				a.line.mu.Unlock()
			}
			gone()
			if err := <-ended; !errors.Is(err, context.Canceled) && codeOf(err) != "E402" {
				t.Errorf("it ended with %v", err)
			}
			leave()
			now, _, err := d.find("shop")
			if err != nil || now.LastBuild != 0 || now.LastRelease != record.LastRelease || now.Stopped != record.Stopped || len(now.Formation) > 0 {
				t.Errorf("it was done: %+v, %v", now, err)
			}
			config := map[string]string{}
			err = d.db.View(func(tx *store.Tx) error {
				config, err = tx.Config("shop")
				return err
			})
			if err != nil || len(config) > 0 {
				t.Errorf("config %v, %v", config, err)
			}
		})
	}
}

// The turn and the asker's end may come at once; nothing says which is seen.
func TestHold_ATurnThatComesWithTheEndOfItsAskerIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeployer(t)
		_, a := shop(t, d)
		ctx, gone := context.WithCancel(t.Context())
		gone()
		if _, _, _, err := d.hold(ctx, "shop", ticket{what: "late"}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("the turn of one who has left: %v", err)
		}
		if holder, _ := a.line.state(); holder != "" {
			t.Errorf("%s has the turn", holder)
		}
	})
}
