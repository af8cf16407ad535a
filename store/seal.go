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
)

// sealer encrypts what must not lie in the file in the clear.
type sealer struct {
	aead cipher.AEAD
	mac  []byte // key of fingerprints
	key  []byte // that everything is derived from
}

// openSealer reads the key, making one on first use.
func openSealer(path string) (sealer, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), markerFile)); err == nil {
			return sealer{}, fault.New(fault.Failed, "E123", "the key %s is missing, and config cannot be read without it", path).
				Hint("restore it from a backup")
		}
		key = make([]byte, 32)
		rand.Read(key)
		err = writeFile(path, key)
	}
	if err != nil {
		return sealer{}, fmt.Errorf("read the key that config is encrypted with: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fault.New(fault.Failed, "E123", "the key %s is damaged: %w", path, err).Hint("restore it from a backup")
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
// record's secret cannot be put in another's place.
func (s sealer) seal(place string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(place))
}

func (s sealer) open(place string, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(place))
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w", place, err)
	}
	return plain, nil
}

// Fingerprint returns a text that stands for a config: the same for the same
// one, and of no use to whoever would guess at its values without the key.
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
