package storage

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
	"github.com/berthd/berth/units"
)

const (
	// mostEntries bounds the files of an archive that is imported.
	mostEntries = 1_000_000

	// A disk keeps this much free when something is written into a volume from
	// outside: a twentieth of it, and at most reserve bytes.
	reserve      = 1 << 30
	reserveShare = 20

	// lookEvery is after how many bytes the disk is looked at again.
	lookEvery = 16 << 20
)

// Export writes the files of a volume as a tar. Devices, sockets and pipes are
// left out. What runs goes on: a file that is being written to is taken as it is
// read.
func (r *Room) Export(ctx context.Context, id string, w io.Writer) error {
	v, err := r.Volume(id)
	if err != nil {
		return err
	}
	root, err := r.open(v)
	if err != nil {
		return err
	}
	defer root.Close()
	var links links
	archive := tar.NewWriter(w)
	err = walk(ctx, root, func(f found) error {
		head := &tar.Header{Name: f.path, Mode: int64(f.info.Mode().Perm()), ModTime: f.info.ModTime().Truncate(time.Second), Format: tar.FormatPAX}
		switch mode := f.info.Mode(); {
		case mode.IsDir():
			head.Typeflag, head.Name = tar.TypeDir, f.path+"/"
			return archive.WriteHeader(head)
		case mode&fs.ModeSymlink != 0:
			to, err := f.dir.Readlink(f.name)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			head.Typeflag, head.Linkname = tar.TypeSymlink, to
			return archive.WriteHeader(head)
		case !mode.IsRegular():
			return nil
		}
		if first := links.first(f); first != "" {
			head.Typeflag, head.Linkname = tar.TypeLink, first
			return archive.WriteHeader(head)
		}
		return exportFile(ctx, archive, head, f)
	})
	if err != nil {
		return fmt.Errorf("export the volume %s: %w", v.Name, err)
	}
	return archive.Close()
}

// exportFile writes one file. What it lost since its size was read is zeros, and
// what it has gained is left out.
func exportFile(ctx context.Context, archive *tar.Writer, head *tar.Header, f found) error {
	file, info, err := openFile(f.dir, f.name, f.path)
	if errors.Is(err, fs.ErrNotExist) || fault.CodeOf(err) == code.FileNotRegular {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	head.Typeflag, head.Size = tar.TypeReg, info.Size()
	if err := archive.WriteHeader(head); err != nil {
		return err
	}
	n, err := io.Copy(archive, io.LimitReader(reader{ctx, file}, head.Size))
	if err != nil {
		return err
	}
	_, err = io.Copy(archive, io.LimitReader(zeros{}, head.Size-n))
	return err
}

// zeros reads as zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// Import replaces the files of a volume by those of a tar. Nothing may run with
// the volume (E608). Until all of it has arrived the old files stay, and after
// that they are in the trash: a crash shows the one or the other.
func (r *Room) Import(ctx context.Context, id string, in io.Reader, by store.User) (files int, err error) {
	v, err := r.Volume(id)
	if err != nil {
		return 0, err
	}
	uid, err := r.uidOf(v.App)
	if err != nil {
		return 0, err
	}
	if err := r.mayDiscard(v, by); err != nil {
		return 0, err
	}
	if err := r.idle(ctx, v); err != nil { // before gigabytes are sent in vain
		return 0, err
	}
	if _, err := os.Lstat(r.place(v.ID)); err != nil {
		return 0, r.missing(v, err)
	}
	dir, done, err := r.begin(v.ID, "import-")
	if err != nil {
		return 0, fault.ExplainDiskFull(err)
	}
	defer done()
	defer os.RemoveAll(dir)
	if files, err = r.unpack(ctx, dir, in, r.roomFor(v, 0)); err != nil {
		return 0, fault.ExplainDiskFull(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	if err := errors.Join(own(ctx, root, uid), root.Lchown(".", uid, uid), root.Chmod(".", 0o700), syncAll(root)); err != nil {
		return 0, fault.ExplainDiskFull(err)
	}
	return files, r.replace(ctx, v, dir, by, fmt.Sprintf("imported %d files into the volume %s", files, v.Name))
}

// begin makes a directory beside the files of a volume, which the sweep leaves
// alone until done is called.
func (r *Room) begin(id, prefix string) (dir string, done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock() // the sweep sees the directory and its entry together
	dir, err = os.MkdirTemp(r.place(id), prefix)
	if err != nil {
		return "", nil, err
	}
	r.underWay[dir] = true
	return dir, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.underWay, dir)
	}, nil
}

// stopPatience is how long an import waits for what was told to stop: for its last
// requests, and for the grace that a program has.
const stopPatience = fleet.DrainRequests + 2*fleet.StopGrace

// idle waits until nothing runs with a volume. That is a fault (E608) at once where
// the app is to run, and else after a while.
func (r *Room) idle(ctx context.Context, v store.Volume) error {
	containers, err := r.running(ctx, v.ID)
	if err != nil || len(containers) == 0 {
		return err
	}
	busy := fault.New(fault.Conflict, code.VolumeBusy, "%s runs with the volume %s", v.App, v.Name).
		Hint("berth ps:stop %s stops it, and berth ps:start %s starts it again", v.App, v.App)
	stays := false
	err = r.db.View(func(tx *store.Tx) error {
		by, err := tx.Volumes.MountedBy(v)
		if err != nil || by == "" {
			return err
		}
		app, err := tx.App(by)
		stays = !app.Stopped
		return err
	})
	if err != nil || stays {
		return cmp.Or(err, error(busy))
	}
	late := time.NewTimer(r.patience)
	defer late.Stop()
	for _, c := range containers {
		select {
		case <-c.Done():
		case <-late.C:
			return busy
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// replace puts a directory in the place of a volume's files, which go to the
// trash. Between the two renames the volume has no files: the sweep at the start
// puts the old ones back.
func (r *Room) replace(ctx context.Context, v store.Volume, dir string, by store.User, what string) error {
	release, err := r.claim(v)
	if err != nil {
		return err
	}
	defer release()
	if err := r.idle(ctx, v); err != nil {
		return err
	}
	old := filepath.Join(r.place(v.ID), oldDir)
	if err := os.Rename(r.files(v.ID), old); err != nil {
		return r.missing(v, err)
	}
	if err := os.Rename(dir, r.files(v.ID)); err != nil {
		return errors.Join(err, os.Rename(old, r.files(v.ID)))
	}
	if err := syncDir(r.place(v.ID)); err != nil {
		return err
	}
	r.warn("the files that an import replaced are left", r.discard(old, v, "an import replaced it", time.Now()), "volume", v.Name)
	return fault.ExplainDiskFull(r.db.Update(func(tx *store.Tx) error {
		return tx.AddEvent(store.Event{App: v.App, By: by.Name, Kind: "storage", Text: what})
	}))
}

// syncAll writes all of a tree's filesystem to the disk.
func syncAll(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

// quota says how much may still be written into a volume.
type quota struct {
	volume store.Volume
	dir    string
	used   int64
	since  int64 // bytes since the disk was looked at
}

// roomFor is the quota of a volume that has used bytes already.
func (r *Room) roomFor(v store.Volume, used int64) *quota {
	return &quota{volume: v, dir: r.place(v.ID), used: used, since: lookEvery}
}

// take is called before n bytes are written.
func (q *quota) take(n int64) error {
	q.used += n
	if q.volume.Size > 0 && q.used > q.volume.Size {
		return fault.New(fault.Conflict, code.VolumeOverLimit, "the volume %s is limited to %s, and this does not fit", q.volume.Name, Size(q.volume.Size)).
			Hint("berth storage:set %s --size SIZE raises the limit", q.volume.Name)
	}
	if q.since += n; q.since < lookEvery {
		return nil
	}
	q.since = 0
	var disk unix.Statfs_t
	if err := unix.Statfs(q.dir, &disk); err != nil {
		return err
	}
	block := uint64(disk.Bsize)
	if free := disk.Bavail * block; free < min(reserve, disk.Blocks*block/reserveShare)+uint64(n) {
		return fault.NoSpace("the disk has too little room for this: %s are free, and berth keeps some of it", units.Bytes(int64(free)))
	}
	return nil
}

// metered is a reader that takes from a quota what it reads.
type metered struct {
	io.Reader
	quota *quota
}

func (m metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if err := m.quota.take(int64(n)); err != nil {
		return 0, err
	}
	return n, err
}

// watched notes whether what it reads has come to its end.
type watched struct {
	io.Reader
	ended bool
}

func (w *watched) Read(p []byte) (n int, err error) {
	n, err = w.Reader.Read(p)
	if n == 0 && err != nil {
		w.ended = true
	}
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil // it comes again
	}
	return n, err
}

// unpack reads a tar into an empty directory.
func (r *Room) unpack(ctx context.Context, dir string, in io.Reader, room *quota) (files int, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	buffered := bufio.NewReaderSize(reader{ctx, in}, 64<<10)
	if head, _ := buffered.Peek(4); isCompressed(head) {
		return 0, badArchive("it is compressed").Hint("uncompress it first, for example with gunzip")
	}
	source := &watched{Reader: buffered}
	archive := tar.NewReader(source)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, r.unreadable(ctx, err, files, source)
		}
		if files++; files > mostEntries {
			return 0, badArchive("it has more than %d entries", mostEntries)
		}
		if err := r.unpackOne(root, archive, head, room); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, brokenOff(err)
			}
			return 0, err
		}
	}
	// A tar has an end of its own: without it, whoever sent it has stopped.
	if source.ended {
		return 0, brokenOff(ctx.Err())
	}
	_, err = io.Copy(io.Discard, io.LimitReader(source, 64<<20)) // what pads its end
	if err == nil {
		err = ctx.Err()
	}
	return files, err
}

func brokenOff(cause error) error {
	f := fault.New(fault.Failed, code.ArchiveBrokenOff, "the archive ended before its end, and nothing was changed")
	f.Cause = cause
	return f.Hint("send it again")
}

func badArchive(format string, args ...any) *fault.Error {
	return fault.New(fault.Usage, code.ArchiveInvalid, "the archive cannot be taken: "+format, args...)
}

// unreadable explains a tar that cannot be read on.
func (r *Room) unreadable(ctx context.Context, err error, files int, source *watched) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return brokenOff(err)
	case errors.Is(err, tar.ErrHeader) && files == 0:
		return badArchive("it is not a plain tar").Hint("make it with tar -C DIRECTORY -c . and do not compress it")
	case errors.Is(err, tar.ErrHeader):
		return badArchive("after %d entries it is not a tar", files)
	}
	return err
}

// unpackOne writes one entry.
func (r *Room) unpackOne(root *os.Root, archive io.Reader, head *tar.Header, room *quota) error {
	name, err := entryName(head.Name)
	if err != nil || name == "." {
		return err
	}
	// A file of nothing takes room too, and so does each directory made for it.
	if err := room.take(4096 * int64(1+missingParents(root, name))); err != nil {
		return err
	}
	refused := func(err error) error {
		if err == nil || errors.Is(err, syscall.ENOSPC) || errors.Is(err, io.ErrUnexpectedEOF) || fault.From(err) != nil {
			return err
		}
		return badArchive("%.100q: %v", name, err)
	}
	mode := fs.FileMode(head.Mode).Perm()
	switch head.Typeflag {
	case tar.TypeDir:
		if err := root.MkdirAll(name, 0o700); err != nil {
			return refused(err)
		}
		return refused(root.Chmod(name, mode|0o700))
	case tar.TypeReg, tar.TypeGNUSparse:
	case tar.TypeSymlink, tar.TypeLink:
		if err := errors.Join(makeParent(root, name), clearName(root, name)); err != nil {
			return refused(err)
		}
		if head.Typeflag == tar.TypeSymlink {
			return refused(root.Symlink(head.Linkname, name))
		}
		to, err := entryName(head.Linkname)
		if err != nil {
			return err
		}
		return refused(root.Link(to, name))
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return badArchive("%.100q is neither a file nor a directory nor a link", name)
	}
	if err := errors.Join(makeParent(root, name), clearName(root, name)); err != nil {
		return refused(err)
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode|0o600)
	if err != nil {
		return refused(err)
	}
	_, err = io.Copy(f, metered{archive, room})
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return refused(root.Chtimes(name, head.ModTime, head.ModTime))
}

// entryName is the name of an entry within the volume.
func entryName(name string) (string, error) {
	clean := path.Clean(name)
	switch {
	case name == "" || len(name) > 4096 || strings.ContainsRune(name, 0):
		return "", badArchive("an entry has a name that a file cannot have")
	case path.IsAbs(name) || !filepath.IsLocal(name) || hasDots(name):
		return "", badArchive("%.100q leads out of the volume", name)
	case strings.Count(clean, "/") >= deepest:
		return "", badArchive("%.100q is deeper than %d directories", name, deepest)
	}
	return clean, nil
}

func hasDots(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// missingParents counts the directories that have to be made above a name.
func missingParents(root *os.Root, name string) (n int) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, err := root.Lstat(dir); err == nil {
			break
		}
		n++
	}
	return n
}

func makeParent(root *os.Root, name string) error {
	if dir := path.Dir(name); dir != "." {
		return root.MkdirAll(dir, 0o700)
	}
	return nil
}

// clearName makes room for an entry: of two with one name, the later one counts.
func clearName(root *os.Root, name string) error {
	err := root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// isCompressed tells whether bytes begin as gzip, zstd, bzip2 or xz do.
func isCompressed(head []byte) bool {
	for _, magic := range []string{"\x1f\x8b", "\x28\xb5\x2f\xfd", "BZh", "\xfd7zX"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}
