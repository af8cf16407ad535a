package store

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Routing is how an app's requests are treated, as far as somebody has said so.
type Routing struct {
	Maintenance bool `json:"maintenance,omitempty"` // its pages in place of the app's

	// Properties hold what router:set has set, by the property's name.
	Properties map[string]string `json:"properties,omitempty"`

	// Users are those who may see the app, with the bcrypt hashes of their
	// passwords; with none everybody may.
	Users map[string]string `json:"users,omitempty"`
}

// Pages that an app may have for when it does not answer itself.
const (
	PageMaintenance = "maintenance-page"
	PageError       = "error-page"
)

// MaxPage bounds such a page in bytes: all of them are held in memory.
const MaxPage = 256 << 10

var routingKey = []byte("options")

// Routing returns how an app's requests are treated.
func (tx *Tx) Routing(app string) (Routing, error) {
	r, _, err := get[Routing](tx.of("routing", app), routingKey)
	return r, err
}

// PutRouting stores how an app's requests are treated.
func (tx *Tx) PutRouting(app string, r Routing) error {
	b, err := tx.makeOf("routing", app)
	if err != nil {
		return err
	}
	return put(b, routingKey, r)
}

// Pages is what a transaction has of pages.
type Pages struct{ *records }

// Get returns one of an app's pages, nil when it has none.
func (tx Pages) Get(app, page string) []byte {
	b := tx.of("routing", app)
	if b == nil {
		return nil
	}
	return slices.Clone(b.Get([]byte("page:" + page)))
}

// Put stores one of an app's pages; an empty one takes it back.
func (tx Pages) Put(app, page string, content []byte) error {
	b, err := tx.makeOf("routing", app)
	if err != nil {
		return err
	}
	if len(content) == 0 {
		return b.Delete([]byte("page:" + page))
	}
	return b.Put([]byte("page:"+page), content)
}

// carriedPrefix begins the keys of pages that releases carry, each once.
const carriedPrefix = "page:sha256:"

// PageKey identifies a page that a release carries.
func PageKey(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// PutCarried stores a page that a release of the app carries.
func (tx Pages) PutCarried(app string, content []byte) error {
	b, err := tx.makeOf("routing", app)
	if err != nil {
		return err
	}
	return b.Put([]byte(carriedPrefix+PageKey(content)), content)
}

// Carried returns a page that a release carries by its key, nil when there is none.
func (tx Pages) Carried(app, key string) []byte {
	b := tx.of("routing", app)
	if b == nil {
		return nil
	}
	return slices.Clone(b.Get([]byte(carriedPrefix + key)))
}

// CarriedKeys are the keys of all pages that are stored of an app's releases.
func (tx Pages) CarriedKeys(app string) map[string]bool {
	keys := map[string]bool{}
	b := tx.of("routing", app)
	if b == nil {
		return keys
	}
	c := b.Cursor()
	for key, _ := c.Seek([]byte(carriedPrefix)); strings.HasPrefix(string(key), carriedPrefix); key, _ = c.Next() {
		keys[strings.TrimPrefix(string(key), carriedPrefix)] = true
	}
	return keys
}

// DeleteCarried forgets one of them.
func (tx Pages) DeleteCarried(app, key string) error {
	return tx.of("routing", app).Delete([]byte(carriedPrefix + key))
}
