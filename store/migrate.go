package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// migrations bring the file from each format to the next. Each runs once, all that
// a file needs in one transaction. They are written against the file and not
// against today's types: those go on changing, and what an old file holds does not.
var migrations = []struct {
	to     int
	change func(tx *Tx) error
}{
	{2, hangOnIDs},
	// Volumes, limits by process type, cron jobs that are set, consents and the
	// config of all apps lie in buckets of their own, which makeBuckets makes. An
	// older berth must not run apps without them.
	{3, func(*Tx) error { return nil }},
}

// formatVersion is the format that this berth reads and writes.
var formatVersion = migrations[len(migrations)-1].to

var formatKey = []byte("version")

// format returns the file's format; 0 is a file that holds nothing yet.
func (tx *records) format() (int, error) {
	meta := tx.bucket("meta")
	if meta == nil {
		return 0, nil
	}
	format, found, err := get[int](meta, formatKey)
	if err != nil {
		return 0, damaged(tx.bolt.DB().Path(), err)
	}
	if !found {
		format = 1 // of before there was a number
	}
	return format, nil
}

func (tx *records) putFormat(format int) error {
	return tx.bucket("meta").Put(formatKey, fmt.Append(nil, format))
}

// checkFormat refuses a file that a newer berth has written (E128).
func (tx *records) checkFormat() error {
	format, err := tx.format()
	if err != nil || format <= formatVersion {
		return err
	}
	path := tx.bolt.DB().Path()
	f := fault.New(fault.Failed, code.StateNewer, "the state file has the format %d, which is newer than this berth's %d", format, formatVersion).
		Hint("install the version that wrote it, or a newer one")
	if _, err := os.Stat(formatCopy(path, formatVersion)); err == nil {
		f.Hint("%s is the last state of this berth; to restore it, while berth is stopped:", formatCopy(path, formatVersion)).
			Hint("sudo cp -p %s %s", formatCopy(path, formatVersion), path)
	}
	return f
}

// formatCopy is where the file is kept as it was in a format, before the first
// migration from it.
func formatCopy(path string, format int) string { return fmt.Sprintf("%s.format%d", path, format) }

// migrate brings the file to the present format. After a crash the file has its old
// format or the present one. Of a file that cannot be written, as on
// a full disk, a copy in memory is: what runs is served then, and changes are
// refused until the next start (E316).
func (s *Store) migrate() error {
	format := 0
	err := s.View(func(tx *Tx) (err error) {
		if err := tx.checkFormat(); err != nil {
			return err
		}
		if format, err = tx.format(); err != nil || format == 0 || format == formatVersion {
			return err
		}
		return tx.checkKey() // what is sealed is sealed anew
	})
	if err != nil || format == 0 || format == formatVersion {
		return err
	}
	err = s.keepFormat(format)
	if err == nil {
		err = s.migrateFrom(format)
	}
	if diskTrouble(err) || fault.From(err) != nil && s.Unwritable() != nil {
		return s.migrateInMemory(format, err)
	}
	if err != nil {
		return fmt.Errorf("bring the state file from format %d to %d: %w", format, formatVersion, err)
	}
	return nil
}

// migrateInMemory goes on with a copy of the file that is in memory alone. The
// file stays open for its lock.
func (s *Store) migrateInMemory(format int, cause error) error {
	memory, err := unix.MemfdCreate(stateFile, unix.MFD_CLOEXEC)
	if err != nil {
		return errors.Join(cause, fmt.Errorf("make a file in memory: %w", err))
	}
	file := os.NewFile(uintptr(memory), stateFile)
	defer file.Close() // bbolt has it open by then
	if err := s.Snapshot(file); err != nil {
		return errors.Join(cause, err)
	}
	db, err := bolt.Open(fmt.Sprintf("/proc/self/fd/%d", memory), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	if err != nil {
		return errors.Join(cause, fmt.Errorf("open the copy in memory: %w", err))
	}
	s.behind = s.db.Swap(db)
	s.writer.Store(db) // for the migrations alone: see Update
	if err := s.migrateFrom(format); err != nil {
		return err
	}
	f := fault.New(fault.Failed, code.StateNotMigrated, "the state file %s has format %d, and could not be brought to this berth's %d: %w", s.path, format, formatVersion, cause)
	if diskFull(cause) {
		f.Hint("nothing was changed and running apps are served; free some space, then restart berth: systemctl restart berth")
	} else {
		f.Hint("nothing was changed and running apps are served; mount its filesystem writable, then restart berth: systemctl restart berth")
	}
	s.migrated = f
	s.trouble.written(s.path, f)
	return nil
}

// migrateFrom runs the migrations that a file of that format has before it.
func (s *Store) migrateFrom(format int) error {
	err := s.update(func(tx *Tx) error {
		if err := tx.makeBuckets(); err != nil {
			return err
		}
		for _, m := range migrations {
			if m.to <= format {
				continue
			}
			step(fmt.Sprintf("to %d", m.to))
			if err := m.change(tx); err != nil {
				return err
			}
		}
		if err := tx.checkRecords(); err != nil { // what cannot be read is not written
			return err
		}
		step("commit")
		return tx.putFormat(formatVersion)
	})
	if err == nil {
		step("done")
	}
	return err
}

// step is called between the steps of a migration, for tests that end the
// process there.
var step = func(string) {}

// keepFormat keeps a copy of the file beside it. A copy that is there stays. When
// it is another state's, because the file was put back once and used by an older
// berth since, this one gets a number behind its name.
func (s *Store) keepFormat(format int) (err error) {
	if s.db.Load().IsReadOnly() {
		return syscall.EROFS
	}
	name := formatCopy(s.path, format)
	if left, err := filepath.Glob(s.path + ".migrating.*"); err == nil { // by a life that was ended meanwhile
		for _, name := range left {
			os.Remove(name)
		}
	}
	temp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(s.path)+".migrating.*") // for us alone to read
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	err = s.Snapshot(temp)
	step("copy")
	if err = errors.Join(err, temp.Sync()); err == nil {
		err = checkFile(temp)
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			err := os.Rename(temp.Name(), name)
			step("copied")
			return errors.Join(err, syncDir(filepath.Dir(name)))
		}
		same, err := sameContent(temp.Name(), name)
		if err != nil || same {
			return err
		}
		name = fmt.Sprintf("%s.%d", formatCopy(s.path, format), n)
	}
}

func sameContent(one, other string) (bool, error) {
	a, err := os.ReadFile(one)
	if err != nil {
		return false, err
	}
	b, err := os.ReadFile(other)
	return string(a) == string(b), err
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// FilesByID tells whether what lies beside the state file, the repositories and
// logs of the apps, is named by their ids. It is not when the file comes from
// the first format, until SetFilesByID.
func (tx *Tx) FilesByID() bool { return tx.bucket("meta").Get(filesKey) != nil }

// SetFilesByID notes that all of it is.
func (tx *Tx) SetFilesByID() error { return tx.bucket("meta").Put(filesKey, []byte(`"by id"`)) }

var filesKey = []byte("files")
