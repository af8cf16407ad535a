package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// CloneApp makes an app as another one is: with its config, formation, limits,
// order of rollouts, way of building and of treating requests, logins to
// registries and deploy branch. Domains, ports, certificates and what happened
// stay with the other one, and the clone is not under maintenance. Unless
// deploy is false, it then runs what is live of the other: the commit is built
// again, since layers hold files of the app's own user, or the image is pulled.
// A clone whose deploy fails stays, without a release.
func (d *Deployer) CloneApp(ctx context.Context, from, to string, deploy bool, by store.User, w io.Writer) error {
	old, _, err := d.find(from)
	if err != nil {
		return err
	}
	live, err := d.liveReleaseOrNone(old)
	if err != nil {
		return err
	}
	if _, err := d.CreateApp(ctx, to, by); err != nil {
		return err
	}
	if err := copySettings(d.db, from, to); err != nil {
		return errors.Join(fault.DiskFull(err), d.DestroyApp(context.WithoutCancel(ctx), to, by, io.Discard))
	}
	record, a, err := d.find(to)
	if err != nil {
		return err
	}
	d.reroute(a)
	d.happened(store.Event{By: by.Name, Kind: "create", Text: fmt.Sprintf("cloned %s to %s", from, to)})
	if !deploy || live.Number == 0 {
		return nil
	}
	if live.Image != nil && live.Image.Ref != "" {
		return d.FromImage(ctx, to, pinned(*live.Image), by, w)
	}
	return d.deployClone(ctx, from, record, live.Commit, by, w)
}

// copySettings gives an app what is set of another one.
func copySettings(db *store.Store, from, to string) error {
	return db.Update(func(tx *store.Tx) error {
		old, err := tx.App(from)
		if err != nil {
			return err
		}
		record, err := tx.App(to)
		if err != nil {
			return err
		}
		record.Branch, record.Formation, record.Versions = old.Branch, maps.Clone(old.Formation), maps.Clone(old.Versions)
		record.Rollout, record.Limits, record.Builder, record.LocalCertificates = old.Rollout, old.Limits, old.Builder, old.LocalCertificates
		if err := tx.PutApp(record); err != nil {
			return err
		}
		config, err := tx.Config(from)
		if err != nil {
			return err
		}
		if err := tx.PutConfig(to, config); err != nil {
			return err
		}
		routing, err := tx.Routing(from)
		if err != nil {
			return err
		}
		routing.Maintenance = false
		if err := tx.PutRouting(to, routing); err != nil {
			return err
		}
		for _, page := range routerPages {
			if content := tx.Page(from, page); len(content) > 0 {
				if err := tx.PutPage(to, page, content); err != nil {
					return err
				}
			}
		}
		logins, err := tx.Registries()
		if err != nil {
			return err
		}
		for place, login := range maps.Clone(logins) {
			if place.App == from {
				logins[store.RegistryPlace{App: to, Host: place.Host}] = login
			}
		}
		return tx.PutRegistries(logins)
	})
}

// deployClone deploys a commit of another app. The branch names it only once it
// is live: git would call a push of a commit that is there up to date.
func (d *Deployer) deployClone(ctx context.Context, from string, record store.App, commit string, by store.User, w io.Writer) error {
	source, err := d.cfg.Git.Open(ctx, from)
	if err != nil {
		return err
	}
	repo, err := d.cfg.Git.Open(ctx, record.Name)
	if err != nil {
		return err
	}
	if err := repo.Take(ctx, source); err != nil {
		return fault.DiskFull(err)
	}
	if err := repo.SetHead(ctx, record.Branch); err != nil {
		return fault.DiskFull(err)
	}
	if err := d.Push(ctx, Push{App: record.Name, Branch: record.Branch, Commit: commit, Repo: repo, By: by, Out: w, direct: true}); err != nil {
		return err
	}
	return fault.DiskFull(repo.SetBranch(context.WithoutCancel(ctx), record.Branch, commit))
}

// pinned is an image by its digest: its tag may name another one by now.
func pinned(image store.Image) string {
	name, _, _ := strings.Cut(image.Ref, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return name + "@" + image.Digest
}
