package main

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/sshd"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/web"
)

// newSSH returns the SSH door: pushes go to the deployer, commands through the
// same tree as on the machine itself, to the API, in the name of the key.
func newSSH(db *store.Store, repositories git.Repositories, deployer *deploy.Deployer, api *web.Server, register *access.Register, version string, log *slog.Logger) (*sshd.Server, error) {
	keys, err := hostKeys(db)
	if err != nil {
		return nil, err
	}
	app := func(name string) (app store.App, err error) {
		err = db.View(func(tx *store.Tx) error {
			app, err = tx.App(name)
			return err
		})
		return app, err
	}
	return sshd.New(sshd.Config{HostKeys: keys, Register: register}, knownKeys{db, log}, sshd.NewPushes(repositories, app, deployer, log),
		func(ctx context.Context, r sshd.Request) int { return remote(api, r, version).run(ctx, r.Args) }, log)
}

// remote is the command line of somebody elsewhere.
func remote(api *web.Server, r sshd.Request, version string) *cli {
	c := &cli{
		client: api.Client(r.User), in: r.Stdin, out: r.Stdout, err: r.Stderr,
		color: r.Terminal && r.Term != "dumb", version: version, signals: r.Signals,
	}
	if r.Terminal {
		c.term = &terminal{size: r.Size, resize: r.Resize, out: r.Raw, raw: func() (func(), error) {
			r.TakeKeys()
			return func() {}, nil
		}}
	}
	return c
}

// serveSSH takes connections on all listeners until ctx ends.
func serveSSH(ctx context.Context, server *sshd.Server, ls []net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var failure error
	var once sync.Once
	for _, l := range ls {
		wg.Go(func() {
			if err := server.Serve(ctx, l); err != nil {
				once.Do(func() { failure = err })
				cancel(err)
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	return failure
}

// hostKeys returns the server's keys, made on first use.
func hostKeys(db *store.Store) (keys map[string][]byte, err error) {
	if err = db.View(func(tx *store.Tx) error { keys, err = tx.HostKeys.All(); return err }); err != nil || len(keys) > 0 {
		return keys, err
	}
	if keys, err = sshd.GenerateHostKeys(); err != nil {
		return nil, err
	}
	return keys, db.Update(func(tx *store.Tx) error {
		for kind, pem := range keys {
			if err := tx.HostKeys.Put(kind, pem); err != nil {
				return err
			}
		}
		return nil
	})
}

// usedEvery is how exactly a key's last use is known: a write for every
// connection of a busy pipeline would be a waste.
const usedEvery = time.Minute

// knownKeys are the store's keys.
type knownKeys struct {
	db  *store.Store
	log *slog.Logger
}

func (k knownKeys) KeyByFingerprint(fingerprint string) (key store.Key, err error) {
	err = k.db.View(func(tx *store.Tx) error {
		var found bool
		key, found, err = tx.Keys.ByFingerprint(fingerprint)
		if err == nil && !found {
			err = store.NoKeyOf(fingerprint)
		}
		return err
	})
	return key, err
}

func (k knownKeys) Used(fingerprint string) {
	// Looked at first: even a change of nothing is written to the disk, and
	// this is in the way of every connection.
	var key store.Key
	var found bool
	err := k.db.View(func(tx *store.Tx) (err error) {
		key, found, err = tx.Keys.ByFingerprint(fingerprint)
		return err
	})
	if err == nil && found && time.Since(key.LastUsed) >= usedEvery {
		err = k.db.Update(func(tx *store.Tx) error {
			if key, err = tx.Keys.Get(key.Name); err != nil {
				return err // removed meanwhile
			}
			key.LastUsed = time.Now()
			return tx.Keys.Put(key)
		})
	}
	if err != nil {
		k.log.Warn("the use of a key was not noted", "fingerprint", fingerprint, "err", err)
	}
}
