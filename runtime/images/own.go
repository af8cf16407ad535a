package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/runtime/internal/outage"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/moby/buildkit/executor/oci"
)

// Images expect to run as a user of their own, root more often than not; here
// they run as a user with no rights at all. So what the image's program would
// write gets that user as its owner, in a small layer on top.
//
//	USER is somebody   all that is somebody's, wherever it is
//	USER is root       what programs keep their state in: below /run, /var/cache,
//	                   /var/lib, /var/log, /var/spool and the home directory,
//	                   but for the package manager's own books
//	either way         WORKDIR, unless it is one of the system's, each VOLUME, and
//	                   /app, the home directory of our user, which is made
//
// Everything else stays root's, readable as it was. A program that must be root
// (to change its user, to mount) fails, and says so itself. Ports below 1024 are
// for anybody in a container's network.
var stateDirs = []string{"run", "var/cache", "var/lib", "var/log", "var/spool", "var/www"}

// notState is in stateDirs and is not the program's.
var notState = []string{"var/lib/dpkg", "var/lib/apt", "var/lib/rpm", "var/lib/pam", "var/lib/ucf", "var/cache/apt", "var/cache/debconf", "var/cache/ldconfig", "var/log/apt"}

// systemDirs are never a program's to write, even as WORKDIR.
var systemDirs = []string{"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr/bin", "usr/lib", "usr/sbin", "usr/share"}

// OwnImage makes a layer over the image's in which what its program writes is
// the user's. It does nothing when the layer exists.
func (m *Maker) Own(ctx context.Context, img Image, key string, uid int, labels map[string]string) error {
	err := m.engine.MakeLayer(ctx, key, func(ctx context.Context, active string) error {
		mounts, err := m.engine.Prepare(ctx, active, img.Layer)
		if err != nil {
			return err
		}
		if err := m.engine.Mounted(active, mounts, func(root string) error { return ownFiles(ctx, root, img.Config, uid) }); err != nil {
			return err
		}
		// The layer is the image to whoever asks, with the same configuration.
		var own map[string]string
		var info snapshots.Info
		err = outage.RetryGone(ctx, func() (err error) {
			info, err = m.engine.Snapshots().Stat(ctx, m.engine.SnapshotName(img.Layer))
			return err
		})
		if err != nil {
			return err
		}
		if info.Labels[labelImageConfig] != "" {
			own = map[string]string{labelImageConfig: info.Labels[labelImageConfig], labelHolds: info.Labels[labelHolds], labelImageDigest: info.Labels[labelImageDigest]}
		}
		return m.engine.CommitAs(ctx, active, key, labels, own)
	})
	if err != nil {
		return fmt.Errorf("give image %s to user %d as layer %s: %w", img.Layer, uid, key, err)
	}
	return nil
}

// ownFiles gives the program's files below root to the user. No link is followed.
func ownFiles(ctx context.Context, root string, config Config, uid int) error {
	if err := runtime.CheckReserved(root); err != nil {
		return err
	}
	was, _, _, err := oci.GetUser(root, config.User)
	if err != nil {
		return fmt.Errorf("USER %s: %w", config.User, err)
	}
	whole := writtenDirs(config, was)
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	if home, err := r.Lstat(inRoot(runtime.HomeDir)); errors.Is(err, fs.ErrNotExist) || err == nil && home.IsDir() {
		if _, err := runtime.OwnHome(root, uid); err != nil {
			return fmt.Errorf("home directory: %w", err)
		}
	}
	for _, dir := range config.Volumes { // which need not be there
		name := inRoot(dir)
		if err := r.MkdirAll(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("VOLUME %s: %w", dir, err)
		}
	}
	return fs.WalkDir(r.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if entry.IsDir() && was == 0 && slices.Contains(notState, name) {
			return fs.SkipDir
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return fmt.Errorf("%s has no owner", name)
		}
		mine := was != 0 && st.Uid == was || slices.ContainsFunc(whole, func(dir string) bool { return below(name, dir) })
		if !mine || int(st.Uid) == uid {
			return nil
		}
		return r.Lchown(name, uid, uid)
	})
}

// writtenDirs are the directories that are the program's with all that is in
// them, as names below the root.
func writtenDirs(config Config, was uint32) []string {
	var dirs []string
	add := func(dir string) {
		name := inRoot(dir)
		system := slices.ContainsFunc(systemDirs, func(s string) bool { return below(name, s) })
		if name != "." && name != "usr" && name != "var" && !system {
			dirs = append(dirs, name)
		}
	}
	add(config.Dir)
	for _, volume := range config.Volumes {
		add(volume)
	}
	if was == 0 {
		dirs = append(dirs, stateDirs...)
		dirs = append(dirs, "root")
	}
	return dirs
}

func inRoot(dir string) string {
	name := strings.TrimPrefix(path.Clean("/"+dir), "/")
	if name == "" {
		return "."
	}
	return name
}

func below(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }
