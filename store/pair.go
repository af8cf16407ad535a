package store

import (
	"encoding/json"
	"fmt"
	"time"
)

// AdminPairs replaces an app's name for the pairs of the admin page's hosts; no
// app may have it.
const AdminPairs = machine

// wholeApp is the key of a pair that is for all hosts of an app; no host has it.
const wholeApp = "*"

// Pair is a certificate of somebody's own with its key, for an app's hosts or
// for one host.
type Pair struct {
	App     string    `json:"app"`
	Host    string    `json:"host,omitempty"` // empty: every host of the app that it covers
	Chain   string    `json:"chain"`          // PEM, the certificate itself first
	Key     string    `json:"key"`            // PEM
	GivenAt time.Time `json:"given_at"`
	GivenBy string    `json:"given_by"`
}

func (p Pair) key() []byte {
	if p.Host == "" {
		return []byte(wholeApp)
	}
	return []byte(p.Host)
}

func pairPlace(id string, key []byte) string { return "pair " + id + " " + string(key) }

// Pairs is what a transaction has of pairs.
type Pairs struct{ *records }

// Of returns the pairs of an app, that of the whole app first.
func (tx Pairs) Of(app string) (pairs []Pair, err error) {
	b := tx.of("pairs", app)
	if b == nil {
		return nil, nil
	}
	err = eachRecord(b, func(key, sealed []byte) error {
		plain, err := tx.seal.open(pairPlace(tx.id(app), key), sealed)
		if err != nil {
			return err
		}
		var pair Pair
		if err := json.Unmarshal(plain, &pair); err != nil {
			return fmt.Errorf("read a certificate of %s: %w", app, err)
		}
		pair.App = app
		pairs = append(pairs, pair)
		return nil
	})
	return pairs, err
}

// Put stores a pair, encrypted, in place of the one for the same app or host.
func (tx Pairs) Put(p Pair) error {
	b, err := tx.makeOf("pairs", p.App)
	if err != nil {
		return err
	}
	place := pairPlace(tx.id(p.App), p.key())
	p.App = "" // it hangs under the app, whatever the app is called
	plain, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return b.Put(p.key(), tx.seal.seal(place, plain))
}

// Delete removes the pair of an app, or of one host of it; found is false
// when there is none.
func (tx Pairs) Delete(app, host string) (found bool, err error) {
	b, key := tx.of("pairs", app), Pair{Host: host}.key()
	if b == nil || b.Get(key) == nil {
		return false, nil
	}
	return true, b.Delete(key)
}
