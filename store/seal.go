package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// sealer encrypts what must not lie in the file in the clear.
type sealer struct {
	aead cipher.AEAD
	mac  []byte // key of fingerprints
	key  []byte // that everything is derived from
}

// makeSealer reads the key of a state that holds nothing yet, making one if need be.
func makeSealer(path string) (sealer, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		key := make([]byte, 32)
		rand.Read(key)
		err = writeFile(path, key)
	}
	if err != nil {
		return sealer{}, fmt.Errorf("make the key that config is encrypted with: %w", err)
	}
	return openSealer(path)
}

// openSealer reads the key of a state that holds records.
func openSealer(path string) (sealer, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sealer{}, fault.New(fault.Failed, code.StateKeyUnusable, "the key %s is missing, and config cannot be read without it", path).
			Hint("restore it from a backup")
	}
	if err != nil {
		return sealer{}, fault.New(fault.Failed, code.StateKeyUnusable, "the key %s cannot be read: %w", path, err).Hint("restore it from a backup")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fault.New(fault.Failed, code.StateKeyUnusable, "the key %s is damaged: %w", path, err).Hint("restore it from a backup")
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("prepare encryption: %w", err)
	}
	mac, err := hkdf.Key(sha256.New, key, nil, "fingerprint", 32)
	if err != nil {
		return sealer{}, fmt.Errorf("prepare fingerprints: %w", err)
	}
	return sealer{aead, mac, key}, nil
}

// seal encrypts; place binds the result to where it is kept, so that one
// record's secret cannot be put in another's place. The place of what is an
// app's has the app's id, so that a new name changes no secret.
func (s sealer) seal(place string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(place))
}

// open decrypts. A record that was not encrypted for this place with this key is
// a fault (E121).
func (s sealer) open(place string, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(place))
	if err != nil {
		return nil, fault.New(fault.Failed, code.StateDamaged, "the record %q of the state file is damaged: %w", place, err).
			Hint("set it again, or restore the state file from a backup")
	}
	return plain, nil
}

// keyCheck is the place and the content of a record that shows whether the key
// belongs to the state.
var keyCheck = []byte("key-check")

// checkKey refuses a key that is another state's (E123).
func (tx *records) checkKey() error {
	belongs := true
	if meta := tx.bucket("meta"); meta != nil && meta.Get(keyCheck) != nil {
		_, err := tx.seal.open(string(keyCheck), meta.Get(keyCheck))
		belongs = err == nil
	} else if b := tx.bucket("hostkeys"); b != nil {
		// A file without that record: every berth has host keys.
		belongs = false
		none := true
		err := eachRecord(b, func(kind, sealed []byte) error {
			_, err := tx.seal.open("hostkey "+string(kind), sealed)
			none, belongs = false, belongs || err == nil
			return nil
		})
		if belongs = belongs || none; err != nil {
			return err
		}
	}
	if !belongs {
		return fault.New(fault.Failed, code.StateKeyUnusable, "the key %s belongs to another machine: it does not decrypt this state file", filepath.Join(filepath.Dir(tx.bolt.DB().Path()), keyFile)).
			Hint("restore the %s of this state file", keyFile)
	}
	return nil
}

// Fingerprint returns a text that identifies a config: equal configs have the
// same one, and it does not help to guess values without the key.
func (s *Store) Fingerprint(config map[string]string) string {
	h := hmac.New(sha256.New, s.seal.mac)
	for _, name := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(h, "%d:%s%d:%s", len(name), name, len(config[name]), config[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Secret derives a secret for one purpose from the store's key: the same as
// long as the state lasts, and of no use for another purpose.
func (s *Store) Secret(purpose string) ([]byte, error) {
	secret, err := hkdf.Key(sha256.New, s.seal.key, nil, "secret "+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the secret of %s: %w", purpose, err)
	}
	return secret, nil
}

// writeFile writes a small file so that after a crash it is there whole or not at all.
func writeFile(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
