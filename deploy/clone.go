package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// CloneApp creates an app with the config, formation, limits, rollout order,
// builder and router properties, registry logins and deploy branch of another
// one. Domains, ports, certificates and events are not copied, and the clone is
// not under maintenance. Unless deploy is false, it then deploys the live
// release of the other app: it builds the commit again, since layers hold files
// of the app's own user, or pulls the image. A clone whose deploy fails stays,
// without a release. With storage it copies the volumes too, each as it is at
// one moment.
func (d *Deployer) CloneApp(ctx context.Context, from, to string, deploy, storage bool, by store.User, w io.Writer) error {
	old, _, err := d.find(from)
	if err != nil {
		return err
	}
	live, err := d.liveReleaseOrNone(old)
	if err != nil {
		return err
	}
	deploy = deploy && live.Number != 0
	pull := deploy && live.Image != nil && live.Image.Ref != ""
	var source git.Repository
	if deploy && !pull {
		if source, err = d.cfg.Git.Open(ctx, old.ID()); err != nil {
			return err
		}
		if _, there, err := source.Resolve(ctx, live.Commit); err != nil {
			return err
		} else if !there {
			return notKept(from, live)
		}
	}
	record, err := d.createApp(ctx, to, by, func(tx *store.Tx, record store.App) error {
		if err := copySettings(tx, from, record); err != nil {
			return err
		}
		return tx.AddEvent(store.Event{App: to, By: by.Name, Kind: "create", Text: fmt.Sprintf("cloned from %s", from)})
	})
	if err != nil {
		return err
	}
	if err := d.Mounts.clone(ctx, from, to, storage, by, w); err != nil {
		return err
	}
	switch {
	case !deploy:
		return nil
	case pull:
		return d.FromImage(ctx, to, pinned(*live.Image), by, w)
	}
	return d.deployClone(ctx, source, record, live.Commit, by, w)
}

// copySettings gives an app what is set of another one.
func copySettings(tx *store.Tx, from string, record store.App) error {
	to := record.Name
	old, err := tx.App(from)
	if err != nil {
		return err
	}
	record.Branch, record.Formation, record.Versions = old.Branch, maps.Clone(old.Formation), maps.Clone(old.Versions)
	record.Rollout, record.Limits, record.Builder, record.LocalCertificates = old.Rollout, old.Limits, old.Builder, old.LocalCertificates
	record.Resources = old.Resources.Clone()
	for process, allotted := range record.Resources { // what is kept for an app is kept from others
		allotted.Reserve = store.Resource{}
		record.Resources[process] = allotted
	}
	if err := errors.Join(tx.PutApp(record), tx.Resources.Put(record)); err != nil {
		return err
	}
	config, err := tx.Config(from)
	if err != nil {
		return err
	}
	if err := tx.PutConfig(to, config); err != nil {
		return err
	}
	cron, err := tx.CronPlans.Get(from)
	if err != nil {
		return err
	}
	if err := tx.CronPlans.Put(to, cron); err != nil {
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
	if err := tx.Properties.Copy(from, to); err != nil {
		return err
	}
	for _, page := range edge.RouterPages {
		if content := tx.Pages.Get(from, page); len(content) > 0 {
			if err := tx.Pages.Put(to, page, content); err != nil {
				return err
			}
		}
	}
	logins, err := tx.Registries.All()
	if err != nil {
		return err
	}
	for place, login := range maps.Clone(logins) {
		if place.App == from {
			logins[store.RegistryPlace{App: to, Host: place.Host}] = login
		}
	}
	return tx.Registries.Replace(logins)
}

// deployClone deploys a commit of another app. The branch names it only once it
// is live: git would call a push of a commit that is there up to date. Somebody
// who pushes meanwhile sets the branch.
func (d *Deployer) deployClone(ctx context.Context, source git.Repository, record store.App, commit string, by store.User, w io.Writer) error {
	repo, err := d.cfg.Git.Open(ctx, record.ID())
	if err != nil {
		return err
	}
	if err := repo.Take(ctx, source); err != nil {
		return fault.ExplainDiskFull(err)
	}
	push := Push{App: record.Name, UID: record.UID, Branch: record.Branch, Commit: commit, Repo: repo, By: by, Out: w, direct: true}
	if record.Branch != "" {
		if err := repo.SetHead(ctx, record.Branch); err != nil {
			return fault.ExplainDiskFull(err)
		}
		push.Accept = func(ctx context.Context) error {
			d.warn("a clone is live without its branch", repo.SetBranch(context.WithoutCancel(ctx), record.Branch, commit), "app", record.Name)
			return nil
		}
	}
	return d.Push(ctx, push)
}

// pinned is an image by its digest: its tag may name another one by now.
func pinned(image store.Image) string {
	name, _, _ := strings.Cut(image.Ref, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return name + "@" + image.Digest
}
