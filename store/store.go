// Package store keeps the state: the nouns of berth and their records, in one bbolt
// file. It owns the shape of App, Release, Build, Domain, Port, Key, CronJob, OneOff
// and Event, and nothing that runs.
//
// An app is identified by its id, its user id in decimal. Its name is an index over
// the ids: callers name an app, and its records are stored under the id.
//
// The file's buckets:
//
//	meta          version, settings and their sealed secrets, next-uid, key-check, files, made-ahead
//	apps          ID              → App
//	appnames      NAME            → ID
//	config        ID              → sealed map of the app's config, or of that of all apps
//	releases      ID / number     → Release, its config and that of all apps sealed beside it
//	builds        ID / number     → Build
//	runs          ID / number     → CronRun
//	cron          ID              → CronPlan
//	cronslots     ID / job        → CronSlots
//	oneoffs       ID / number     → OneOff
//	domains       HOST PATH       → Domain, which says the ID of its app
//	domainsof     ID / HOST PATH  → nothing: which of the domains are the app's
//	pairs         ID / HOST       → sealed Pair
//	registries    ID / HOST       → sealed RegistryLogin
//	resources     ID              → Resources
//	routing       ID / options    → Routing; / page:PAGE → what is shown; / page:sha256:HASH likewise, of releases
//	properties    ID / NOUN       → what is set of the noun's properties, by name
//	volumes       VOLUME          → Volume, which says the ID of its app; VOLUME is its own id
//	mounts        ID / PATH       → Mount
//	ports         number          → Port, which says the ID of its app
//	consents      ID ID port      → Consent, which says the IDs of its apps
//	keys          NAME            → Key, with the IDs of its apps
//	logins        HASH            → Login, likewise
//	audit         number          → Event of what somebody did
//	auditof       ID / number     → nothing: which of them are the app's
//	events        number          → Event of what happened by itself
//	eventsof      ID / number     → nothing: which of them are the app's
//	hostkeys      KIND            → sealed PEM
//	certificates  certmagic's key → modified time, sealed value
//
// "berth" stands in the place of an ID for what is the machine's own.
//
// A new noun of an app takes a bucket that is keyed by ID, and a line in hanging,
// by which apps are deleted. A bucket that changes takes a new format: see
// migrations.
//
// Sealed means AES-256-GCM under the key in secret.key, bound to the record's
// place: a copy of the file alone gives no config and no private key away.
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

const (
	stateFile  = "berth.db"
	keyFile    = "secret.key"
	markerFile = "berth.db.made" // stands beside a state file that has held records

	// openTimeout is how long we wait for another process to let go of the
	// file: a predecessor that is on its way out.
	openTimeout  = 5 * time.Second
	lockInterval = 50 * time.Millisecond
)

var buckets = []string{
	"meta", "apps", "appnames", "config", "releases", "builds", "runs", "cron", "cronslots", "oneoffs", "domains", "domainsof", "ports", "consents", "pairs",
	"registries", "resources", "routing", "volumes", "mounts", "keys", "logins", "audit", "auditof", "events", "eventsof", "hostkeys", "certificates", "properties",
}

// Store is the appliance's state. It is safe for concurrent use; one process
// at a time has it open.
type Store struct {
	path    string
	db      atomic.Pointer[bolt.DB] // what is read
	writer  atomic.Pointer[bolt.DB] // the same one; nil while the file is opened for reading alone
	reader  *os.File                // of that file then; see reopen
	seal    sealer
	ids     reservations
	locks   keyedLock // certmagic's, held in memory: we are alone with the file
	trouble trouble

	// migrated is the fault with which every change is refused while db is a copy
	// in memory of the file in behind (see migrateInMemory).
	migrated error
	behind   *bolt.DB
}

// Open opens the state in dir, making it on first use. Nothing is written
// before the file has been checked. Open refuses a state file that is gone,
// empty or damaged although it once held records (E120, E121): starting afresh
// would forget every app. A state that cannot be written for the moment, as on
// a full disk, is opened all the same: see Unwritable.
func Open(dir string) (*Store, error) {
	path, marker := filepath.Join(dir, stateFile), filepath.Join(dir, markerFile)
	made, err := findState(path, marker)
	if err != nil {
		return nil, err
	}
	// The key of a new state comes first: a state without its key is refused.
	var seal sealer
	if !made {
		if seal, err = makeSealer(filepath.Join(dir, keyFile)); err != nil {
			return nil, err
		}
	}
	db, file, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	if made {
		if seal, err = openSealer(filepath.Join(dir, keyFile)); err != nil {
			db.Close()
			return nil, err
		}
	}
	s := &Store{path: path, seal: seal}
	s.db.Store(db)
	if db.IsReadOnly() {
		s.reader = file
		s.trouble.written(path, bolterrors.ErrDatabaseReadOnly)
	} else {
		s.writer.Store(db)
	}
	if err := s.prepare(); err != nil {
		s.Close()
		return nil, err
	}
	if _, err := os.Stat(marker); errors.Is(err, fs.ErrNotExist) {
		err := os.WriteFile(marker, []byte("The state file beside this one holds records; see "+code.StateMissing+".\n"), 0o600)
		if err != nil && !s.trouble.met(err) {
			s.Close()
			return nil, fmt.Errorf("mark the state file as made: %w", err)
		}
	}
	return s, nil
}

// findState tells whether there is a state file that holds records.
func findState(path, marker string) (made bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0:
		// bbolt takes an empty file for a new database.
		_, markErr := os.Stat(marker)
		_, copyErr := os.Stat(goodCopy(path))
		if markErr != nil && copyErr != nil {
			return false, nil
		}
		f := fault.New(fault.Failed, code.StateMissing, "the state file %s is missing or empty, but this machine has had one", path)
		return false, restorable(f, path).
			Hint("to start without any app, remove %s and %s", marker, goodCopy(path))
	case err != nil:
		return false, unusable(path, err)
	case !info.Mode().IsRegular():
		return false, unusable(path, errors.New("it is not a regular file"))
	}
	return true, nil
}

// unusable is a state file that berth may not read and write as it is.
func unusable(path string, cause error) error {
	f := fault.New(fault.Failed, code.StateUnusable, "the state file %s cannot be used: %w", path, cause)
	if errors.Is(cause, fs.ErrPermission) {
		f.Hint("root must be able to write it: lsattr %s shows whether it is immutable (i), chattr -i removes that", path)
	}
	return f
}

// openBolt opens the file once its pages have been checked, with the lock held
// that keeps another berth from writing to it meanwhile. On a filesystem that is
// read-only it is opened for reading. file is bbolt's own.
func openBolt(path string) (db *bolt.DB, file *os.File, err error) {
	options := &bolt.Options{Timeout: openTimeout, FreelistType: bolt.FreelistMapType}
	options.OpenFile = func(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
		file, err = openChecked(path, flag, mode)
		return file, err
	}
	err = guard(path, func() error {
		db, err = bolt.Open(path, 0o600, options)
		if errors.Is(err, syscall.EROFS) {
			options.ReadOnly = true
			db, err = bolt.Open(path, 0o600, options)
		}
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, nil, InUse("another process has the state file %s open", path).
			Hint("check whether berth is already running")
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, nil, damaged(path, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, unusable(path, err)
	case err != nil:
		return nil, nil, fmt.Errorf("open the state file: %w", err)
	}
	return db, file, nil
}

// openChecked opens the file for bbolt, takes its lock and checks its pages.
// bbolt takes the same lock once more, on the same descriptor.
func openChecked(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := lock(f, flag&os.O_RDWR == 0); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return f, err
	}
	if err := checkPages(f, info.Size()); err != nil {
		return nil, damaged(path, err)
	}
	return f, nil
}

// lock waits for another process to let go of the file.
func lock(f *os.File, shared bool) error {
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	for began := time.Now(); ; time.Sleep(lockInterval) {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if time.Since(began) > openTimeout {
			return bolterrors.ErrTimeout
		}
	}
}

// InUse returns the fault (E122) of a state with which another process works.
func InUse(format string, args ...any) *fault.Error {
	return fault.New(fault.Conflict, code.StateInUse, format, args...)
}

func damaged(path string, cause error) error {
	return restorable(fault.New(fault.Failed, code.StateDamaged, "the state file %s is damaged: %w", path, cause), path)
}

// prepare brings the file to the present format, reads every record once, so
// that damage is found at the start and not by the push that happens to touch
// it, and makes what is missing.
func (s *Store) prepare() error {
	if err := s.migrate(); err != nil {
		return err
	}
	ready := false
	err := s.View(func(tx *Tx) (err error) {
		if err := tx.checkRecords(); err != nil {
			return err
		}
		if err := tx.checkKey(); err != nil {
			return err
		}
		ready = tx.prepared()
		return nil
	})
	if err != nil || ready {
		return err
	}
	return s.Update(func(tx *Tx) error {
		fresh := tx.bucket("meta") == nil
		if err := tx.makeBuckets(); err != nil {
			return err
		}
		meta := tx.bucket("meta")
		if fresh {
			if err := tx.SetFilesByID(); err != nil { // there are none
				return err
			}
		}
		return errors.Join(meta.Put(keyCheck, tx.seal.seal(string(keyCheck), keyCheck)), tx.putFormat(formatVersion))
	})
}

func (tx *records) makeBuckets() error {
	for _, name := range buckets {
		if _, err := tx.bolt.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return nil
}

// prepared tells whether there is nothing to be made. A start that has nothing
// to write works on a full disk.
func (tx *records) prepared() bool {
	for _, name := range buckets {
		if tx.bucket(name) == nil {
			return false
		}
	}
	meta := tx.bucket("meta")
	return meta.Get(keyCheck) != nil && meta.Get(formatKey) != nil
}

// Close closes the file.
func (s *Store) Close() error {
	err := s.db.Load().Close()
	if s.behind != nil {
		err = errors.Join(err, s.behind.Close())
	}
	return err
}

// View runs fn with a consistent, read-only view.
func (s *Store) View(fn func(*Tx) error) error {
	return s.view(func(tx *bolt.Tx) error { return fn(s.tx(tx)) })
}

func (s *Store) view(fn func(*bolt.Tx) error) error {
	return guard(s.path, func() error {
		for {
			db, begun := s.db.Load(), false
			err := db.View(func(tx *bolt.Tx) error {
				begun = true
				return fn(tx)
			})
			if begun || !errors.Is(err, bolterrors.ErrDatabaseNotOpen) || s.db.Load() == db {
				return err
			} // it was reopened just then
		}
	})
}

// Update runs fn and writes what it changed in one step: after a crash the
// file shows all of it or nothing. An error from fn changes nothing. When the
// file cannot be written, nothing is changed either, and the error is a fault
// (E501 on a full disk, else E510).
func (s *Store) Update(fn func(*Tx) error) error {
	if s.migrated != nil {
		return s.trouble.written(s.path, s.migrated)
	}
	return s.update(fn)
}

func (s *Store) update(fn func(*Tx) error) error {
	changed := false
	err := guard(s.path, func() error {
		db := s.writer.Load()
		if db == nil {
			return bolterrors.ErrDatabaseReadOnly
		}
		return db.Update(func(tx *bolt.Tx) error {
			err := fn(s.tx(tx))
			changed = err == nil
			return err
		})
	})
	if !changed && !errors.Is(err, bolterrors.ErrDatabaseReadOnly) {
		return err
	}
	return s.trouble.written(s.path, err)
}

// guard turns what bbolt does on a page that makes no sense into an error: it
// asserts, runs past a slice's end, or touches memory behind the file's.
func guard(path string, fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if cause, ok := p.(goruntime.Error); ok && !isFault(cause) && !inBolt() {
			panic(p) // a bug of ours
		}
		err = damaged(path, fmt.Errorf("%v", p))
	}()
	return fn()
}

// isFault tells an access to memory that is not there from other panics.
func isFault(err goruntime.Error) bool {
	_, ok := err.(interface{ Addr() uintptr })
	return ok
}

// inBolt tells whether the panic that is being recovered from began in bbolt.
func inBolt() bool {
	var callers [32]uintptr
	frames := goruntime.CallersFrames(callers[:goruntime.Callers(0, callers[:])])
	panicking := false
	for {
		frame, more := frames.Next()
		if panicking && !strings.HasPrefix(frame.Function, "runtime.") {
			return strings.HasPrefix(frame.Function, "go.etcd.io/bbolt")
		}
		panicking = panicking || frame.Function == "runtime.gopanic"
		if !more {
			return false
		}
	}
}

// Snapshot writes a consistent copy of the state file to w while it is in use.
func (s *Store) Snapshot(w io.Writer) error {
	return s.view(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// reopen opens a file for writing that was opened on a read-only filesystem,
// once that can be written. Views go on: those that have begun end on what was
// open before, and nothing is written until they have. It is for Run alone.
func (s *Store) reopen() error {
	if s.writer.Load() != nil {
		return nil
	}
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	before, err := s.reader.Stat()
	if err != nil {
		return err
	}
	if now, err := f.Stat(); err != nil {
		return err
	} else if !os.SameFile(before, now) {
		return fmt.Errorf("%s is another file than the one that was read: restart berth", s.path)
	}
	// The lock is shared with nobody but a berth that reads as well, and our own
	// would keep us from the one for writing.
	if err := syscall.Flock(int(s.reader.Fd()), syscall.LOCK_UN); err != nil {
		return err
	}
	db, file, err := openBolt(s.path)
	if err == nil && db.IsReadOnly() { // read-only again
		err = db.Close()
		file = nil
	}
	if err != nil || file == nil {
		return errors.Join(err, syscall.Flock(int(s.reader.Fd()), syscall.LOCK_SH|syscall.LOCK_NB))
	}
	old := s.db.Swap(db)
	err = old.Close() // waits for the views
	s.reader = nil
	s.writer.Store(db)
	return err
}
