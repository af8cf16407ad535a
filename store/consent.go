package store

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// MaxConsents bounds the consents in which an app is the one who calls, or the
// one who is called.
const MaxConsents = 16

// UsualConsent is what a consent opens that says no more: the app's sites.
const UsualConsent = "web"

// Consent lets an app call another one within the machine. An app may be both:
// its own instances reach each other by consent too.
type Consent struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Port is a TCP port of To's instances, or the type of those of its
	// processes that are reached where they listen.
	Port      string    `json:"port"`
	By        string    `json:"by"`
	CreatedAt time.Time `json:"created_at"`
}

// Number is the port, 0 when the consent is for a process type.
func (c Consent) Number() int {
	n, err := strconv.Atoi(c.Port)
	if err != nil {
		return 0
	}
	return n
}

var consentType = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)

// ParseConsentPort reads what a consent opens; "" is UsualConsent. What is
// neither a port nor a process type is a fault (E640).
func ParseConsentPort(word string) (string, error) {
	if word == "" {
		return UsualConsent, nil
	}
	if n, err := strconv.Atoi(word); err == nil && n >= 1 && n <= 65535 && word == strconv.Itoa(n) || consentType.MatchString(word) {
		return word, nil
	}
	return "", InvalidConsent("%.60q is neither a port from 1 to 65535 nor a process type", word).
		Hint("--port 5432 is a port, --port worker the port at which the app's process worker listens")
}

// InvalidConsent returns the fault (E640) of what one app cannot open to another.
func InvalidConsent(format string, args ...any) *fault.Error {
	return fault.New(fault.Usage, code.ConsentInvalid, format, args...)
}

// storedConsent is a consent as it lies in the file: of ids, not of names.
type storedConsent struct {
	Consent
	FromID int `json:"from"` // takes the place of Consent.From
	ToID   int `json:"to"`
}

// Consents is what a transaction has of consents.
type Consents struct{ *records }

func (tx Consents) key(c Consent) (key []byte, from, to int, err error) {
	if from, err = tx.uid(c.From); err != nil {
		return nil, 0, 0, err
	}
	if to, err = tx.uid(c.To); err != nil {
		return nil, 0, 0, err
	}
	return fmt.Appendf(nil, "%d %d %s", from, to, c.Port), from, to, nil
}

// Of returns the consents in which an app is an end; "" is all of them. They are
// in the order of the ends' ids.
func (tx Consents) Of(app string) ([]Consent, error) {
	stored, err := all[storedConsent](tx.bucket("consents"))
	if err != nil {
		return nil, err
	}
	names := tx.names()
	var consents []Consent
	for _, s := range stored {
		c := s.Consent
		c.From, c.To = names[s.FromID], names[s.ToID]
		if app == "" || c.From == app || c.To == app {
			consents = append(consents, c)
		}
	}
	return consents, nil
}

// Put stores a consent; one that is there is left as it is. Too many are a fault
// (E642), an app that is not there another (E101).
func (tx Consents) Put(c Consent) (added bool, err error) {
	key, from, to, err := tx.key(c)
	if err != nil || tx.bucket("consents").Get(key) != nil {
		return false, err
	}
	for _, app := range []string{c.From, c.To} {
		mine, err := tx.Of(app)
		if err != nil {
			return false, err
		}
		if len(mine) >= MaxConsents {
			return false, fault.New(fault.Conflict, code.ConsentsFull, "%s has %d consents, which is the maximum", app, MaxConsents).
				Hint("berth network:report %s shows them", app)
		}
	}
	return true, put(tx.bucket("consents"), key, storedConsent{c, from, to})
}

// Delete takes a consent back, or all from one app to the other where no port is
// named. None is a fault (E641), whether the apps are there or not: who asks may
// have access to one of them alone.
func (tx Consents) Delete(c Consent) error {
	there, err := tx.Of(c.From)
	if err != nil {
		return err
	}
	found := false
	for _, other := range there {
		if other.From != c.From || other.To != c.To || c.Port != "" && other.Port != c.Port {
			continue
		}
		found = true
		key, _, _, err := tx.key(other)
		if err == nil {
			err = tx.bucket("consents").Delete(key)
		}
		if err != nil {
			return err
		}
	}
	if !found {
		f := fault.New(fault.NotFound, code.ConsentUnknown, "%s may not call %s", c.From, c.To)
		if c.Port != "" {
			f = fault.New(fault.NotFound, code.ConsentUnknown, "%s may not call %s of %s", c.From, c.Port, c.To)
		}
		return f.Hint("berth network:report %s shows what it may", c.From)
	}
	return nil
}

// removeConsents removes those in which the app is an end.
func removeConsents(b *bolt.Bucket, app App) error {
	return removeIf(b, func(_, raw []byte) (bool, error) {
		var record storedConsent
		err := json.Unmarshal(raw, &record)
		return record.FromID == app.UID || record.ToID == app.UID, err
	})
}
