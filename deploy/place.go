package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// What an app has on the disk is named by its id, which outlives its name:
//
//	GIT/ID.git      its repository
//	LOGS/ID/        the output of its processes and builds, its access log
//	CACHES/ID/      its build caches

// Reserve chooses the id that the next app of a name gets, until release is
// called. Nothing lies in its place: what does is of an app that the state does
// not know, because it was put back to how it was before that app.
func (d *Apps) Reserve(name string) (uid int, release func(), err error) {
	d.reserving.Lock()
	defer d.reserving.Unlock()
	uid, fresh, release, err := d.db.Reserve(name)
	if err != nil || !fresh {
		return uid, release, err
	}
	if err := d.clearPlace(strconv.Itoa(uid)); err != nil {
		release()
		return 0, nil, fmt.Errorf("clear the place of %s: %w", name, err)
	}
	return uid, release, nil
}

// clearPlace takes away what lies in the place of an app that is still to come.
// The repository may be the only copy of somebody's work, and is set aside.
func (d *Apps) clearPlace(id string) error {
	err := errors.Join(d.cfg.Git.SetAside(id), os.RemoveAll(filepath.Join(d.cfg.Logs, id)))
	caches := filepath.Join(d.cfg.Caches, id)
	if _, missing := os.Lstat(caches); errors.Is(missing, fs.ErrNotExist) {
		return err
	}
	return errors.Join(err, d.build.RemoveCaches(d.life, id))
}

// AdoptFiles renames files that an earlier berth has named by apps' names to
// their ids, and removes the files of apps that were destroyed incompletely. It
// runs at the start, before anything reads or writes there, and can be
// interrupted and called again. Once all is moved, the state file records that,
// and it does nothing more: a name may then belong to another app.
func AdoptFiles(db *store.Store, repositories git.Repositories, logs string, log *slog.Logger) error {
	if err := sweepLogs(db, logs); err != nil {
		log.Warn("logs of destroyed apps are left", "err", err)
	}
	var apps []store.App
	moved := false
	err := db.View(func(tx *store.Tx) (err error) {
		if moved = tx.FilesByID(); !moved {
			apps, err = tx.Apps()
		}
		return err
	})
	if err != nil || moved {
		return err
	}
	all := true
	for _, app := range apps {
		err := repositories.Adopt(app.Name, app.ID())
		if err != nil && db.Unwritable() == nil && !errors.Is(err, syscall.EROFS) && !errors.Is(err, syscall.ENOSPC) {
			// A push would make another one. A disk that takes nothing takes no push.
			return fault.New(fault.Failed, code.FilesNotMoved, "the repository of %s cannot be moved to its new place: %w", app.Name, err).
				Hint("nothing is lost: fix that, and start berth again")
		}
		if err == nil {
			err = merge(filepath.Join(logs, app.Name), filepath.Join(logs, app.ID()))
		}
		if err != nil {
			all = false
			log.Warn("what an app has on the disk keeps its old place until the next start", "app", app.Name, "err", err)
		}
	}
	if !all {
		return nil
	}
	if err := db.Update(func(tx *store.Tx) error { return tx.SetFilesByID() }); err != nil {
		log.Warn("that all files of apps are in their new places is noted at the next start", "err", err)
	}
	return nil
}

// sweepLogs removes the logs of apps that are gone: they go after the app's
// record, and a crash may come between the two. The logs of an id that the state
// has not given yet stay: the state may be an older one that was put back.
func sweepLogs(db *store.Store, logs string) error {
	entries, err := os.ReadDir(logs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var gone []string
	err = errors.Join(err, db.View(func(tx *store.Tx) error {
		for _, entry := range entries {
			uid, err := strconv.Atoi(entry.Name())
			if err != nil || !entry.IsDir() {
				continue
			}
			_, there, err := tx.AppByID(uid)
			if err != nil {
				return err
			}
			given, err := tx.Given(uid)
			if err != nil {
				return err
			}
			if given && !there {
				gone = append(gone, filepath.Join(logs, entry.Name()))
			}
		}
		return nil
	}))
	for _, dir := range gone {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// merge moves a file or a directory to a place where there may be one already.
// Of two files the newer one stays. One that is missing is no error.
func merge(from, to string) error {
	old, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	there, err := os.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.Rename(from, to)
	case err != nil:
		return err
	case old.IsDir() && there.IsDir():
		entries, err := os.ReadDir(from)
		for _, entry := range entries {
			err = errors.Join(err, merge(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())))
		}
		return errors.Join(err, os.Remove(from))
	case there.ModTime().After(old.ModTime()) || there.IsDir() || old.IsDir():
		return os.RemoveAll(from)
	}
	return os.Rename(from, to)
}
