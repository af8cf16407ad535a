package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/berthd/berth/build/progress"
	"github.com/berthd/berth/buildpacks/plan"
	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/storage"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// A mount is part of a release, as config is: mounting and unmounting make one,
// so that what runs and what is recorded agree, and an instance that is started
// again has what it had. Unlike config it is not undone by a rollback that somebody
// asks for: code of last week still wants the files of today. A release that fell
// over is rolled back with its mounts: it may have been them.

// newVolumes returns the volumes of a deployer.
func (d *Deployer) newVolumes() *storage.Room {
	return storage.New(storage.Config{
		Store: d.db, Dir: d.cfg.Volumes, Own: d.cfg.Own, Log: d.log,
		Restart: func(ctx context.Context, app string, stop bool) error {
			record, _, err := d.find(app)
			if err != nil || record.Release == 0 || record.Stopped {
				return err
			}
			by := store.User{Name: "berth", Role: store.RoleAdmin}
			err = d.Restart(ctx, app, "", by, io.Discard)
			if err != nil && stop {
				err = errors.Join(err, d.Stop(ctx, app, "", by, io.Discard))
			}
			return err
		},
	})
}

// Mounts changes what apps have mounted.
type Mounts struct {
	*turns
	releases *Releases
	jobs     *jobs.Jobs
	volumes  *storage.Room
}

// Mount gives an app a volume, or a directory of the machine, from a release on
// that it makes; noRestart only stores it for the next one. A volume of no app is
// the app's from then on. What the app cannot start with is not kept.
func (d *Mounts) Mount(ctx context.Context, app string, mount store.Mount, noRestart bool, by store.User, w io.Writer) (store.Release, error) {
	if err := validTarget(mount.Path); err != nil {
		return store.Release{}, err
	}
	if mount.Host != "" {
		if _, err := d.volumes.HostPath(mount.Host); err != nil {
			return store.Release{}, err
		}
	}
	if mount.ReadOnly {
		mount.Access = store.AccessMany
	}
	mount.Access = cmp.Or(mount.Access, store.AccessOne)
	if mount.Access != store.AccessOne && mount.Access != store.AccessMany {
		return store.Release{}, store.BadMount("access cannot be %.40q", mount.Access).Hint("use one or many")
	}
	var volume store.Volume
	what := fmt.Sprintf("Mount %s at %s", mount.Host, mount.Path)
	return d.change(ctx, app, "the mount by "+by.Name, noRestart, by, w, func(record store.App, now []store.Mount) ([]store.Mount, string, error) {
		if mount.Volume != "" {
			v, err := d.volumes.Volume(mount.Volume)
			if err != nil {
				return nil, "", err
			}
			if err := d.volumes.Give(ctx, v, record); err != nil {
				return nil, "", err
			}
			volume, what = v, fmt.Sprintf("Mount %s at %s", v.Name, mount.Path)
		}
		for i, other := range now {
			same := other.Volume == mount.Volume && other.Host == mount.Host
			switch {
			case same && other.Path == mount.Path:
				now[i] = mount
				return now, what, nil
			case other.Path == mount.Path:
				return nil, "", fault.New(fault.Conflict, code.MountTaken, "%s already has a mount at %s", app, mount.Path).
					Hint("berth storage:unmount %s %s removes that mount", app, mount.Path)
			case same:
				return nil, "", fault.New(fault.Conflict, code.MountTaken, "%s already has it mounted at %s", app, other.Path).
					Hint("berth storage:unmount %s %s removes that mount", app, other.Path)
			case below(mount.Path, other.Path) || below(other.Path, mount.Path):
				return nil, "", store.BadMount("%s and the mount at %s contain one another", mount.Path, other.Path).
					Hint("choose a path outside of that mount")
			}
		}
		now = append(now, mount)
		slices.SortFunc(now, func(a, b store.Mount) int { return cmp.Compare(a.Path, b.Path) })
		return now, what, nil
	}, func(tx *store.Tx) error {
		if mount.Volume == "" {
			return nil
		}
		v, found, err := tx.Volumes.Get(mount.Volume)
		switch {
		case err != nil:
			return err
		case !found:
			return store.NoVolume(volume.Name)
		case v.App == app:
			return nil
		case v.App != "":
			return storage.OfAnother(v, app)
		}
		if _, taken, err := tx.Volumes.Find(app, v.Name); err != nil || taken {
			return cmp.Or(err, error(store.VolumeTaken(v.Name)))
		}
		v.App, v.Former = app, ""
		return tx.Volumes.Put(v)
	})
}

// Unmount takes a mount from an app: by the name of the volume, the directory of
// the machine or the path in the containers; at narrows it down, and may be "".
func (d *Mounts) Unmount(ctx context.Context, app, name, at string, noRestart bool, by store.User, w io.Writer) (store.Release, error) {
	return d.change(ctx, app, "the unmount by "+by.Name, noRestart, by, w, func(record store.App, now []store.Mount) ([]store.Mount, string, error) {
		id := ""
		err := d.db.View(func(tx *store.Tx) error {
			v, found, err := tx.Volumes.Find(app, name)
			if found {
				id = v.ID
			}
			return err
		})
		if err != nil {
			return nil, "", err
		}
		i := slices.IndexFunc(now, func(mount store.Mount) bool {
			named := mount.Volume != "" && mount.Volume == id || mount.Host != "" && mount.Host == name || mount.Path == name
			return named && (at == "" || at == mount.Path)
		})
		if i < 0 {
			return nil, "", fault.New(fault.NotFound, code.MountUnknown, "%s has no %.100q mounted", app, strings.Trim(name+":"+at, ":")).
				Hint("berth storage:list %s shows what it has", app)
		}
		return slices.Delete(now, i, i+1), "Unmount " + name, nil
	}, nil)
}

// change edits the mounts of an app and makes a release of it, when it has one.
func (d *Mounts) change(ctx context.Context, app, turn string, noRestart bool, by store.User, w io.Writer,
	edit func(store.App, []store.Mount) ([]store.Mount, string, error), also func(*store.Tx) error,
) (store.Release, error) {
	out := progress.New(w)
	record, a, leave, err := d.hold(ctx, app, ticket{what: turn}, out.Waiting)
	if err != nil {
		return store.Release{}, err
	}
	defer leave()
	ctx, end := d.begun(ctx, a)
	defer end()
	var before []store.Mount
	err = d.db.View(func(tx *store.Tx) error {
		before, err = tx.Volumes.Mounts(app)
		return err
	})
	if err != nil {
		return store.Release{}, err
	}
	after, what, err := edit(record, slices.Clone(before))
	if err != nil {
		return store.Release{}, err
	}
	if len(after) > store.MaxMounts {
		return store.Release{}, store.TooManyVolumes("%s has %d mounts, which is the maximum", app, store.MaxMounts)
	}
	live, err := d.liveReleaseOrNone(record)
	if err != nil {
		return store.Release{}, err
	}
	if slices.Equal(before, after) && (noRestart || record.Release == 0 || slices.Equal(live.Mounts, after)) {
		return live, nil
	}
	stored := func(text string) func(tx *store.Tx) error {
		return func(tx *store.Tx) error {
			if err := tx.Volumes.PutMounts(app, after); err != nil {
				return err
			}
			if also != nil {
				if err := also(tx); err != nil {
					return err
				}
			}
			return tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "storage", Text: text})
		}
	}
	if noRestart || record.Release == 0 {
		if err := d.db.Update(stored(what)); err != nil {
			return store.Release{}, fault.ExplainDiskFull(err)
		}
		d.publish(app)
		return live, nil
	}
	release := successor(record, live, by.Name, what)
	release.Config = nil // the app's own of now, as each release has
	err = d.releases.rollTo(ctx, a, record, release, out, rollout{mounts: &after, inSwapTx: stored(fmt.Sprintf("v%d: %s", release.Number, what))})
	if err != nil {
		return store.Release{}, err
	}
	d.publish(app)
	return release, nil
}

// closedTargets are directories of a container in the place of which, or below
// which, nothing is mounted: the system's, and berth's own.
var closedTargets = []string{"/proc", "/sys", "/dev", "/run", "/.berth", "/var/run"}

// closedTops are those in the place of which nothing is mounted.
var closedTops = []string{"/", "/app", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/var", "/tmp", "/home", "/root", "/opt"}

// ownFiles are files of a container that berth brings.
var ownFiles = []string{"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/ssl", "/etc/ssl/certs"}

// validTarget checks a path in containers; what may not be there is a fault (E611).
func validTarget(target string) error {
	no := func(why string) error {
		return store.BadMount("nothing can be mounted at %.100q: %s", target, why).
			Hint("for example --container-dir /app/data")
	}
	switch {
	case !path.IsAbs(target) || path.Clean(target) != target:
		return no("it must be an absolute path without .. and without an extra /")
	case len(target) > 1024 || strings.ContainsFunc(target, unicode.IsControl) || strings.Contains(target, ":"):
		return no("it is too long, or has a character that is not allowed")
	case slices.Contains(closedTops, target):
		return no("it would hide what the app needs; choose a directory below it")
	case slices.ContainsFunc(closedTargets, func(dir string) bool { return target == dir || below(target, dir) }):
		return no("it belongs to the system")
	case slices.ContainsFunc(ownFiles, func(file string) bool { return target == file || below(target, file) }):
		return no("it belongs to berth")
	}
	return nil
}

// below tells whether a path is beneath a directory.
func below(name, dir string) bool { return strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") }

// alone returns the first mount of a release that one instance may have at a time.
func alone(r store.Release) (store.Mount, bool) {
	i := slices.IndexFunc(r.Mounts, store.Mount.Alone)
	if i < 0 {
		return store.Mount{}, false
	}
	return r.Mounts[i], true
}

// stopsFirst tells whether the old instances of an app have to stop before those
// of a release start: because it was said so, or for what they write to.
func stopsFirst(record store.App, r store.Release) bool {
	_, one := alone(r)
	return one || record.Rollout == store.StopFirst
}

// oneWriter returns a fault (E615) when more than one instance of a release would
// have a mount that is for one.
func oneWriter(record store.App, r store.Release) error {
	slots := formation.Slots(record, r)
	for _, m := range r.Mounts {
		var names []string
		for _, s := range slots {
			if m.Alone() && (m.Process == "" || m.Process == s.Process.Type) {
				names = append(names, s.String())
			}
		}
		if len(names) > 1 {
			f := fault.New(fault.Conflict, code.OneWriter, "%s would all write to %s, which is mounted for one writer", strings.Join(names, ", "), m.Path)
			if kind := slots[0].Process.Type; m.Process == "" && strings.HasPrefix(names[len(names)-1], kind+".") {
				f.Hint("berth ps:scale %s %s=1 keeps one", record.Name, kind)
			} else {
				f.Hint("mount it again with --process %s to give it to one process type", kind)
			}
			return f.Hint("mount it again with --access many if several instances may write to the files")
		}
	}
	return nil
}

// there are those of a release's mounts whose volumes still are.
func there(tx *store.Tx, mounts []store.Mount) []store.Mount {
	return slices.DeleteFunc(slices.Clone(mounts), func(m store.Mount) bool {
		_, found, err := tx.Volumes.Get(m.Volume)
		return m.Volume != "" && (!found || err != nil)
	})
}

// execPath is where Exec has the volume.
const execPath = "/storage"

// Exec runs a one-off command beside a volume, in the image of its app.
func (d *Mounts) Exec(ctx context.Context, volume string, args []string, att runtime.Attachment, by store.User) (int, error) {
	v, err := d.volumes.Volume(volume)
	if err != nil {
		return 0, err
	}
	if v.App == "" {
		return 0, fault.New(fault.Conflict, code.NothingToRunIn, "the volume %s does not belong to an app yet", v.Name).
			Hint("berth storage:ls %s lists its files", v.Name)
	}
	return d.jobs.RunBeside(ctx, v.App, fleet.Mount{Volume: v.ID, Path: execPath}, args, att, by)
}

// clone gives a clone the mounts of an app, with volumes of its own; without
// storage it says that there are some.
func (d *Mounts) clone(ctx context.Context, from, to string, storage bool, by store.User, w io.Writer) error {
	out := progress.New(w)
	var mounts []store.Mount
	err := d.db.View(func(tx *store.Tx) (err error) {
		mounts, err = tx.Volumes.Mounts(from)
		return err
	})
	if err != nil || len(mounts) == 0 {
		return err
	}
	if !storage {
		out.Line("the volumes of %s are not copied to %s; --with-storage copies them", from, to)
		return nil
	}
	var copied []store.Mount
	for _, mount := range mounts {
		if mount.Volume != "" {
			v, err := d.volumes.CloneVolume(ctx, mount.Volume, to, by)
			if err != nil {
				return err
			}
			out.Line("copied the volume %s", v.Name)
			mount.Volume = v.ID
		}
		copied = append(copied, mount)
	}
	return fault.ExplainDiskFull(d.db.Update(func(tx *store.Tx) error { return tx.Volumes.PutMounts(to, copied) }))
}

// warnUnkept says which files of an app are gone with its next release, and what
// keeps them.
func (d *Mounts) warnUnkept(out *progress.Report, r store.Release, keeps []plan.Keep) error {
	err := d.db.View(func(tx *store.Tx) (err error) {
		r.Mounts, err = tx.Volumes.Mounts(r.App)
		return err
	})
	if err != nil {
		return err
	}
	for _, lines := range unkept(d.releases.ssh(), r, keeps) {
		out.Warn(lines...)
	}
	return nil
}

// mostUnkept bounds how many places are told of: they follow from one another.
const mostUnkept = 2

// unkept returns a warning for each place in which a release keeps files that no
// mount keeps.
func unkept(ssh string, r store.Release, keeps []plan.Keep) (warnings [][]string) {
	if r.Image != nil {
		for _, dir := range r.Image.Volumes {
			if validTarget(dir) == nil {
				keeps = append(keeps, plan.Keep{What: "the image keeps data in " + dir + " (VOLUME)", Dir: dir})
			}
		}
	}
	for _, keep := range keeps {
		kept := slices.ContainsFunc(r.Mounts, func(m store.Mount) bool {
			return keep.Guess || m.Path == keep.Dir || below(keep.Dir, m.Path) || below(m.Path, keep.Dir)
		})
		if kept || validTarget(keep.Dir) != nil || len(warnings) == mostUnkept {
			continue
		}
		name := strings.Trim(strings.ToLower(path.Base(keep.Dir)), ".-_")
		if store.ValidVolumeName(name) != nil {
			name = "data"
		}
		keeps := "a volume keeps it:"
		if keep.Guess {
			keeps = "a volume keeps what the app writes to " + keep.Dir + ":"
		}
		warnings = append(warnings, []string{
			keep.What + ": the next release starts without it", keeps,
			fmt.Sprintf("  %s storage:create %s --app %s", ssh, name, r.App),
			fmt.Sprintf("  %s storage:mount %s %s --container-dir %s", ssh, r.App, name, keep.Dir),
		})
	}
	return warnings
}
