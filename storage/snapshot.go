package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// freezer is a container that can be made to stand still.
type freezer interface {
	Freeze(ctx context.Context) error
	Thaw() error
}

// Snapshot copies the files of a volume into an empty directory, all as they were
// at one moment: what runs with the volume stands still meanwhile. Where the
// filesystem shares blocks between files (FICLONE) that is short, however large
// the files are; elsewhere they are copied. Devices, sockets and pipes are left out.
// Backups, clones and previews are made of snapshots.
func (r *Room) Snapshot(ctx context.Context, id, dir string) (err error) {
	v, err := r.Volume(id)
	if err != nil {
		return err
	}
	from, err := r.open(v)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the place of the snapshot: %w", err)
	}
	defer to.Close()
	running, err := r.running(ctx, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, thaw(running)) }()
	for _, c := range running {
		if f, ok := c.(freezer); ok {
			if err := f.Freeze(ctx); err != nil {
				return fmt.Errorf("take a snapshot of the volume %s: %w", v.Name, err)
			}
		}
	}
	room := r.roomFor(store.Volume{Name: v.Name, ID: v.ID}, 0)
	if err := copyTree(ctx, from, to, room); err != nil {
		return fault.ExplainDiskFull(fmt.Errorf("take a snapshot of the volume %s: %w", v.Name, err))
	}
	return nil
}

func thaw(containers []fleet.Container) (err error) {
	for _, c := range containers {
		if f, ok := c.(freezer); ok {
			err = errors.Join(err, f.Thaw())
		}
	}
	return err
}

// Thaw lets go on what a snapshot had stand still when berth died.
func (r *Room) Thaw(containers []fleet.Container) {
	for _, c := range containers {
		if c.About().Labels[fleet.LabelVolumes] != "" && !fleet.Ended(c) {
			r.warn("a container may stand still", thaw([]fleet.Container{c}), "container", c.About().ID)
		}
	}
}

// copyTree copies what is below a directory.
func copyTree(ctx context.Context, from, to *os.Root, room *quota) error {
	var links links
	return walk(ctx, from, func(f found) error {
		mode := f.info.Mode()
		switch {
		case mode.IsDir():
			return to.Mkdir(f.path, mode.Perm()|0o700)
		case mode&fs.ModeSymlink != 0:
			target, err := f.dir.Readlink(f.name)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			return to.Symlink(target, f.path)
		case !mode.IsRegular():
			return nil
		}
		if first := links.first(f); first != "" {
			return to.Link(first, f.path)
		}
		err := copyFile(ctx, f, to, room)
		if errors.Is(err, fs.ErrNotExist) || fault.CodeOf(err) == code.FileNotRegular {
			return nil // gone, or another thing by now
		}
		return err
	})
}

// copyFile makes a file of the same content: of the same blocks, where that can be.
func copyFile(ctx context.Context, f found, to *os.Root, room *quota) error {
	source, info, err := openFile(f.dir, f.name, f.path)
	if err != nil {
		return err
	}
	defer source.Close()
	file, err := to.OpenFile(f.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	err = unix.IoctlFileClone(int(file.Fd()), int(source.Fd()))
	if cannotClone(err) {
		_, err = io.Copy(file, metered{io.LimitReader(reader{ctx, source}, info.Size()), room})
	}
	if err := errors.Join(err, file.Chmod(info.Mode().Perm()), file.Close()); err != nil {
		return err
	}
	return to.Chtimes(f.path, info.ModTime(), info.ModTime())
}

// cannotClone tells that two files cannot share blocks where they are.
func cannotClone(err error) bool {
	for _, why := range []error{syscall.EOPNOTSUPP, syscall.ENOTTY, syscall.EXDEV, syscall.EINVAL, syscall.ENOSYS, syscall.EPERM} {
		if errors.Is(err, why) {
			return true
		}
	}
	return false
}

// CloneVolume makes a volume of another app with the files that a volume has now.
func (r *Room) CloneVolume(ctx context.Context, id, app string, by store.User) (store.Volume, error) {
	v, err := r.Volume(id)
	if err != nil {
		return v, err
	}
	uid, err := r.uidOf(app)
	if err != nil {
		return v, err
	}
	from := v
	v.ID, v.App, v.Former, v.Full, v.CreatedAt, v.CreatedBy = strings.ToLower(rand.Text()), app, "", false, time.Now().UTC(), by.Name
	if err := r.makePlace(v.ID, uid); err != nil {
		return v, fault.ExplainDiskFull(err)
	}
	err = r.fillClone(ctx, from, v, uid)
	if err == nil {
		err = r.db.Update(func(tx *store.Tx) error {
			if err := tx.Volumes.Create(v); err != nil {
				return err
			}
			text := fmt.Sprintf("cloned the volume %s of %s", from.Name, from.App)
			return tx.AddEvent(store.Event{App: app, By: by.Name, Kind: "storage", Text: text})
		})
	}
	if err != nil {
		return v, errors.Join(fault.ExplainDiskFull(err), os.RemoveAll(r.place(v.ID)))
	}
	return v, nil
}

func (r *Room) fillClone(ctx context.Context, from, v store.Volume, uid int) error {
	if err := r.Snapshot(ctx, from.ID, r.files(v.ID)); err != nil {
		return err
	}
	root, err := r.open(v)
	if err != nil {
		return err
	}
	defer root.Close()
	return errors.Join(own(ctx, root, uid), syncAll(root))
}
