package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

// certificates is certmagic's storage over the state file: its keys are paths,
// its values are sealed, since they hold private keys.
type certificates struct{ s *Store }

// Certificates returns certmagic's storage over the state.
func (s *Store) Certificates() certmagic.Storage { return certificates{s} }

const stampSize = 8 // the modified time before each value, Unix nanoseconds

func (c certificates) Store(_ context.Context, key string, value []byte) error {
	return c.s.Update(func(tx *Tx) error {
		record := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
		return tx.bucket("certificates").Put([]byte(key), append(record, tx.seal.seal("certificate "+key, value)...))
	})
}

func (c certificates) Load(_ context.Context, key string) (value []byte, err error) {
	err = c.s.View(func(tx *Tx) error {
		record := tx.bucket("certificates").Get([]byte(key))
		if len(record) < stampSize {
			return fs.ErrNotExist
		}
		value, err = tx.seal.open("certificate "+key, record[stampSize:])
		return err
	})
	return value, err
}

// Delete removes a key and everything below it.
func (c certificates) Delete(_ context.Context, key string) error {
	return c.s.Update(func(tx *Tx) error {
		var keys [][]byte
		err := eachRecord(tx.bucket("certificates"), func(k, _ []byte) error {
			if string(k) == key || strings.HasPrefix(string(k), key+"/") {
				keys = append(keys, k)
			}
			return nil
		})
		for _, k := range keys {
			err = errors.Join(err, tx.bucket("certificates").Delete(k))
		}
		return err
	})
}

func (c certificates) Exists(_ context.Context, key string) (exists bool) {
	c.s.View(func(tx *Tx) error {
		exists = tx.bucket("certificates").Get([]byte(key)) != nil
		return nil
	})
	return exists
}

func (c certificates) List(_ context.Context, path string, recursive bool) (keys []string, err error) {
	if path != "" {
		path = strings.TrimSuffix(path, "/") + "/"
	}
	seen := map[string]bool{}
	err = c.s.View(func(tx *Tx) error {
		return eachRecord(tx.bucket("certificates"), func(k, _ []byte) error {
			rest, below := strings.CutPrefix(string(k), path)
			if !below {
				return nil
			}
			if first, _, deeper := strings.Cut(rest, "/"); deeper && !recursive {
				rest = first
			}
			if !seen[rest] {
				seen[rest] = true
				keys = append(keys, path+rest)
			}
			return nil
		})
	})
	if err == nil && len(keys) == 0 {
		err = fs.ErrNotExist
	}
	return keys, err
}

func (c certificates) Stat(_ context.Context, key string) (info certmagic.KeyInfo, err error) {
	err = c.s.View(func(tx *Tx) error {
		b := tx.bucket("certificates")
		if record := b.Get([]byte(key)); len(record) >= stampSize {
			value, err := tx.seal.open("certificate "+key, record[stampSize:])
			info = certmagic.KeyInfo{
				Key: key, Size: int64(len(value)), IsTerminal: true,
				Modified: time.Unix(0, int64(binary.BigEndian.Uint64(record))),
			}
			return err
		}
		if k, _ := b.Cursor().Seek([]byte(key + "/")); strings.HasPrefix(string(k), key+"/") {
			info = certmagic.KeyInfo{Key: key}
			return nil
		}
		return fs.ErrNotExist
	})
	return info, err
}

func (c certificates) Lock(ctx context.Context, name string) error { return c.s.locks.lock(ctx, name) }

func (c certificates) Unlock(_ context.Context, name string) error { return c.s.locks.unlock(name) }

// keyedLock is a lock per name, whose wait can be given up.
type keyedLock struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when let go
}

func (l *keyedLock) lock(ctx context.Context, name string) error {
	for {
		l.mu.Lock()
		holder, busy := l.held[name]
		if !busy {
			if l.held == nil {
				l.held = map[string]chan struct{}{}
			}
			l.held[name] = make(chan struct{})
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		select {
		case <-holder:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *keyedLock) unlock(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	holder, held := l.held[name]
	if !held {
		return fmt.Errorf("the lock %q is not held", name)
	}
	delete(l.held, name)
	close(holder)
	return nil
}
