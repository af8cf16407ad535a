// Package store remembers: the nouns of the house and their records, in one
// bbolt file. It owns the shape of App, Release, Build, Domain, Port, Key,
// Job and Event, and nothing that runs.
//
// The file's buckets:
//
//	meta          version, settings and their sealed secrets, next-uid, sealed logins of registries
//	apps          NAME            → App
//	config        NAME            → sealed map of the app's config
//	releases      NAME / number   → Release, its config sealed beside it
//	builds        NAME / number   → Build
//	runs          NAME / number   → JobRun
//	domains       HOST PATH       → Domain
//	domainsof     NAME / HOST PATH → nothing: which of the domains are the app's
//	pairs         NAME / HOST     → sealed Pair
//	routing       NAME / options  → Routing; / page:PAGE → what is shown; / page:sha256:HASH likewise, of releases
//	ports         number          → Port
//	keys          NAME            → Key
//	logins        HASH            → Login
//	events        number          → Event
//	hostkeys      KIND            → sealed PEM
//	certificates  certmagic's key → modified time, sealed value
//
// Sealed means AES-256-GCM under the key in secret.key, bound to the record's
// place: a copy of the file alone gives no config and no private key away.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/berthd/berth/store/fault"
)

const (
	stateFile  = "berth.db"
	markerFile = "berth.db.made" // stands beside a state file that has held records

	// openTimeout is how long we wait for another process to let go of the
	// file: a predecessor that is on its way out.
	openTimeout = 5 * time.Second

	formatVersion = 1
)

var buckets = []string{
	"meta", "apps", "config", "releases", "builds", "runs", "domains", "domainsof", "ports", "pairs", "routing", "keys",
	"logins", "events", "hostkeys", "certificates",
}

// Store is the appliance's state. It is safe for concurrent use; one process
// at a time has it open.
type Store struct {
	path  string
	db    *bolt.DB
	seal  sealer
	locks keyedLock // certmagic's, held in memory: we are alone with the file
}

// Open opens the state in dir, making it on first use. It refuses a state file
// that is gone, empty or damaged although it once held records (E120, E121):
// starting afresh would forget every app.
func Open(dir string) (*Store, error) {
	path, marker := filepath.Join(dir, stateFile), filepath.Join(dir, markerFile)
	_, err := os.Stat(marker)
	if made := err == nil; made {
		// bbolt takes an empty file for a new database.
		if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
			return nil, fault.New(fault.Failed, "E120", "the state file %s is missing or empty, but this machine has had one", path).
				Hint("restore it from a backup").
				Hint("to start afresh and forget every app, remove %s", marker)
		}
	}
	seal, err := openSealer(filepath.Join(dir, "secret.key"))
	if err != nil {
		return nil, err
	}
	db, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, db: db, seal: seal}
	if err := s.prepare(); err != nil {
		db.Close()
		return nil, err
	}
	if err := os.WriteFile(marker, []byte("The state file beside this one holds records; see E120.\n"), 0o600); err != nil {
		db.Close()
		return nil, fmt.Errorf("mark the state file as made: %w", err)
	}
	return s, nil
}

func openBolt(path string) (db *bolt.DB, err error) {
	err = guard(path, func() error {
		db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: openTimeout, FreelistType: bolt.FreelistMapType})
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fault.New(fault.Conflict, "E122", "another process has the state file %s open", path).
			Hint("is berth running already?")
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, damaged(path, err)
	case err != nil:
		return nil, fmt.Errorf("open the state file: %w", err)
	}
	return db, nil
}

func damaged(path string, cause error) error {
	return fault.New(fault.Failed, "E121", "the state file %s is damaged: %w", path, cause).
		Hint("restore it from a backup")
}

// prepare makes the buckets and walks every page once, so that damage is found
// at the start and not by the push that happens to touch it.
func (s *Store) prepare() error {
	err := s.Update(func(tx *Tx) error {
		for _, name := range buckets {
			if _, err := tx.bolt.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		meta := tx.bolt.Bucket([]byte("meta"))
		var version int
		if raw := meta.Get([]byte("version")); raw != nil {
			if err := json.Unmarshal(raw, &version); err != nil {
				return fmt.Errorf("read the format's version: %w", err)
			}
			if version > formatVersion {
				return fault.New(fault.Failed, "E128", "the state file has the format %d, which is newer than this berth's %d", version, formatVersion).
					Hint("install the berth that wrote it, or a newer one")
			}
		}
		if err := tx.indexDomains(); err != nil {
			return err
		}
		return meta.Put([]byte("version"), fmt.Append(nil, formatVersion))
	})
	if err != nil {
		return err
	}
	return s.View(func(tx *Tx) error {
		return tx.bolt.ForEach(func(name []byte, b *bolt.Bucket) error { return walk(b) })
	})
}

func walk(b *bolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			return walk(b.Bucket(k))
		}
		return nil
	})
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// View runs fn with a consistent, read-only view.
func (s *Store) View(fn func(*Tx) error) error {
	return guard(s.path, func() error {
		return s.db.View(func(tx *bolt.Tx) error { return fn(&Tx{bolt: tx, seal: s.seal}) })
	})
}

// Update runs fn and writes what it changed in one step: after a crash the
// file shows all of it or nothing. An error from fn changes nothing.
func (s *Store) Update(fn func(*Tx) error) error {
	return guard(s.path, func() error {
		return s.db.Update(func(tx *bolt.Tx) error { return fn(&Tx{bolt: tx, seal: s.seal}) })
	})
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
	return s.db.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}
