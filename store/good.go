package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/berthd/berth/store/fault"
)

const (
	// goodEvery is how often a copy of the state file is made.
	goodEvery = 24 * time.Hour

	// tendEvery is how often it is looked whether the file can be written again,
	// and whether its reserve is whole.
	tendEvery = 15 * time.Second

	// reserveSize is what is kept free within the file, in bytes: on a full disk
	// a change of a few records takes some 10 pages, and frees as many.
	reserveSize = 1 << 20
)

// goodCopy is where the last good state is kept.
func goodCopy(path string) string { return path + ".good" }

// restorable adds to a fault how the last good state is put in place.
func restorable(f *fault.Error, path string) *fault.Error {
	good := goodCopy(path)
	info, err := os.Stat(good)
	if err != nil {
		return f.Hint("restore it from a backup")
	}
	return f.Hint("%s is its state of %s; to restore it, while berth is stopped:", good, info.ModTime().UTC().Format("2006-01-02 15:04 UTC")).
		Hint("sudo cp -p %s %s", good, path)
}

// Run looks after the file until ctx ends: it keeps a copy of the last good
// state and a reserve for a full disk, and notices when a file that could not
// be written can be again.
func (s *Store) Run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	var copied time.Time
	var told error
	for {
		if err := s.Unwritable(); err != nil {
			if err := s.reopen(); err != nil {
				log.Debug("the state file is not opened for writing", "err", err)
			}
			s.Update(func(tx *Tx) error { return tx.checkFormat() }) // a change of nothing is written too
		}
		if err := s.keepReserve(); err != nil && s.Unwritable() == nil {
			log.Warn("the state file has no reserve for a full disk", "err", err)
		}
		switch err := s.Unwritable(); {
		case err != nil && told == nil:
			log.Error("nothing can be changed at the moment; running apps are served", "err", err)
			told = err
		case err == nil && told != nil:
			log.Info("the state file can be written again")
			told = nil
		}
		if s.Unwritable() == nil && time.Since(copied) > goodEvery {
			if err := s.keepGood(); err != nil {
				log.Warn("no copy of the state file was made", "err", err)
			}
			copied = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// keepGood copies the file to where restorable looks for it. The copy is
// checked before it takes the place of the one before.
func (s *Store) keepGood() (err error) {
	good := goodCopy(s.path)
	if left, err := filepath.Glob(good + ".*"); err == nil { // by a life that was ended meanwhile
		for _, name := range left {
			os.Remove(name)
		}
	}
	temp, err := os.CreateTemp(filepath.Dir(good), filepath.Base(good)+".*") // for us alone to read
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	err = s.Snapshot(temp)
	if err = errors.Join(err, temp.Sync()); err == nil {
		err = checkFile(temp)
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), good)
}

func checkFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return checkPages(f, info.Size())
}

// reserveKey is where the reserve is written, to be removed at once: its pages
// are free from then on and belong to the file.
var reserveKey = []byte("reserve")

// keepReserve makes free pages within the file when it has too few of them.
func (s *Store) keepReserve() error {
	db := s.writer.Load()
	if db == nil {
		return nil
	}
	stats := db.Stats()
	if (stats.FreePageN+stats.PendingPageN)*db.Info().PageSize >= reserveSize/2 {
		return nil
	}
	write := func(change func(meta *bolt.Bucket) error) error {
		return s.Update(func(tx *Tx) error { return change(tx.bucket("meta")) })
	}
	if err := write(func(meta *bolt.Bucket) error { return meta.Put(reserveKey, make([]byte, reserveSize)) }); err != nil {
		return fmt.Errorf("make the reserve: %w", err)
	}
	return write(func(meta *bolt.Bucket) error { return meta.Delete(reserveKey) })
}
