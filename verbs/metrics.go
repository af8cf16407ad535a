package verbs

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
)

type metrics struct {
	records
	portSuffix string // behind a host in links
}

func (n metrics) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "metrics:token", Role: admins,
			Short:   "create a metrics token for Prometheus",
			Long:    "The token allows reading the metrics of all apps at https://berth.DOMAIN/metrics\nand nothing else. It replaces the token before it, which stops working.",
			Example: "metrics:token",
			Done:    "the token is not shown again; send it as a bearer token to {result.url}",
			Prints:  "{result.token}",
		}, n.token),
		act(Verb{
			Name: "metrics:off", Role: admins,
			Short:   "revoke the metrics token",
			Example: "metrics:off",
			Done:    "the metrics token is revoked",
		}, n.off),
	}
}

// MetricsToken lets a scraper in.
type MetricsToken struct {
	Token string `json:"token"`
	URL   string `json:"url"` // what it asks for
}

// token makes the token that scrapers show, in place of the one before.
// Only its SHA-256 is stored.
func (n metrics) token(_ context.Context, c Call, _ NoArgs) (MetricsToken, error) {
	raw := make([]byte, 32)
	rand.Read(raw) // never fails
	token := base64.RawURLEncoding.EncodeToString(raw)
	settings, err := n.setToken(c.User, HashOf(token), "created a metrics token")
	if err != nil {
		return MetricsToken{}, err
	}
	return MetricsToken{token, "https://" + edge.AdminHost(settings.Domain) + n.portSuffix + "/metrics"}, nil
}

// off lets nobody in.
func (n metrics) off(_ context.Context, c Call, _ NoArgs) (struct{}, error) {
	_, err := n.setToken(c.User, "", "revoked the metrics token")
	return struct{}{}, err
}

func (n metrics) setToken(by store.User, hash, text string) (settings store.Settings, err error) {
	err = n.db.Update(func(tx *store.Tx) error {
		if settings, err = tx.Settings(); err != nil {
			return err
		}
		settings.MetricsToken = hash
		if err := tx.PutSettings(settings); err != nil {
			return err
		}
		return event(tx, by, "", "metrics", "%s", text)
	})
	return settings, err
}

// MayScrape reports whether a token allows reading the metrics.
func (t *Table) MayScrape(token string) (bool, error) {
	settings, err := t.settings()
	return subtle.ConstantTimeCompare([]byte(HashOf(token)), []byte(settings.MetricsToken)) == 1, err
}
