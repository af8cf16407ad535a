package sshd

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	"github.com/berthd/berth/access"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// Keys are the SSH keys that may enter. Both methods are called by many
// connections at once.
type Keys interface {
	// KeyByFingerprint returns the key with the fingerprint ("SHA256:…"), or a
	// fault of kind NotFound.
	KeyByFingerprint(fingerprint string) (store.Key, error)
	// Used notes that the key has just entered. The client waits for it, so it
	// must not wait for a disk.
	Used(fingerprint string)
}

// users are the names that one may enter by. The key alone says who it is;
// git@ and dokku@ are what fingers and CI actions are used to.
var users = []string{"berth", "git", "dokku"}

// maxStrangeKeys bounds how many unknown keys the banner names.
const maxStrangeKeys = 3

// authentication is the part of one connection before it is let in. Its
// callbacks are called one after the other.
type authentication struct {
	keys     Keys
	conn     *conn
	register *access.Register
	log      *slog.Logger
	client   gossh.ServerPreAuthConn
	strange  []string // the unknown keys that were offered
	entered  func()   // takes the connection off the register
}

// leave is for the end of the connection.
func (a *authentication) leave() {
	if a.entered != nil {
		a.entered()
	}
}

// configure sets what is asked of the client. gliderlabs/ssh lets everybody in
// when none of its own handlers is set, whatever the configuration says: the
// server must have nothingLeft as its KeyboardInteractiveHandler. The callback
// for "none" is the second lock on that door.
func (a *authentication) configure(config *gossh.ServerConfig) {
	config.PreAuthConnCallback = func(client gossh.ServerPreAuthConn) { a.client = client }
	config.PublicKeyCallback = a.offered
	config.VerifiedPublicKeyCallback = a.proven
	config.NoClientAuthCallback = func(gossh.ConnMetadata) (*gossh.Permissions, error) { return nil, errRefused }
}

var errRefused = errors.New("permission denied")

// Where the fingerprint and the name of the key stand in a connection's
// permissions.
const (
	fingerprintKey = "berth-fingerprint"
	nameKey        = "berth-name"
)

// fingerprintOf returns the fingerprint of the key that signed.
func fingerprintOf(p *gossh.Permissions) (string, error) {
	if p == nil || p.Extensions[fingerprintKey] == "" {
		return "", errors.New("a session without a proven key")
	}
	return p.Extensions[fingerprintKey], nil
}

// offered is called for each key that the client says it has. It proves nothing.
func (a *authentication) offered(meta gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
	if !slices.Contains(users, meta.User()) {
		return nil, errRefused
	}
	fingerprint := gossh.FingerprintSHA256(key)
	switch known, err := a.keys.KeyByFingerprint(fingerprint); {
	case err == nil:
		return &gossh.Permissions{Extensions: map[string]string{fingerprintKey: fingerprint, nameKey: known.Name}}, nil
	case isNotFound(err):
		name := fingerprint + " (" + strings.TrimPrefix(key.Type(), "ssh-") + ")"
		if len(a.strange) < maxStrangeKeys && !slices.Contains(a.strange, name) {
			a.strange = append(a.strange, name)
		}
		return nil, errRefused
	default:
		a.log.Error("look up an SSH key", "fingerprint", fingerprint, "error", err)
		return nil, errRefused
	}
}

// proven is called with the key that has signed.
func (a *authentication) proven(_ gossh.ConnMetadata, _ gossh.PublicKey, p *gossh.Permissions, _ string) (*gossh.Permissions, error) {
	fingerprint, err := fingerprintOf(p)
	if err != nil {
		return nil, err
	}
	a.keys.Used(fingerprint)
	a.conn.enter()
	conn := access.Connection{User: p.Extensions[nameKey], Remote: a.conn.RemoteAddr().String()}
	a.entered = a.register.Enter(conn, func() { a.conn.Close() })
	return p, nil
}

// nothingLeft is how a client that has run out of keys gets an explanation.
// Told at the first unknown key, everybody with two keys in their agent would
// read it on each successful push. So keyboard-interactive is announced as a
// last resort; it asks nothing, says what is wrong, and lets nobody in.
func (a *authentication) nothingLeft(ssh.Context, gossh.KeyboardInteractiveChallenge) bool {
	user := a.client.User()
	var text strings.Builder
	switch {
	case !slices.Contains(users, user):
		fmt.Fprintf(&text, "error: no user %q here ["+code.SSHUserUnknown+"]\n", git.Printable(user, 40))
		fmt.Fprintf(&text, "hint:  use the user berth: ssh berth@HOST\n")
	case len(a.strange) == 0:
		fmt.Fprintf(&text, "error: no SSH key was offered ["+code.SSHKeyMissing+"]\n")
		fmt.Fprintf(&text, "hint:  create one: ssh-keygen -t ed25519\n")
	default:
		fmt.Fprintf(&text, "error: berth does not know this SSH key ["+code.SSHKeyUnknown+"]\n")
		for _, key := range a.strange {
			fmt.Fprintf(&text, "       %s\n", key)
		}
		fmt.Fprintf(&text, "hint:  ask a user with access to add your public key:\n")
		fmt.Fprintf(&text, "       berth ssh-keys:add NAME < id_ed25519.pub\n")
	}
	a.log.Info("SSH key refused", "remote", a.conn.RemoteAddr().String(), "as", git.Printable(user, 40), "keys", a.strange)
	if err := a.client.SendAuthBanner(text.String()); err != nil {
		a.log.Debug("send an SSH banner", "error", err)
	}
	return false
}

func isNotFound(err error) bool {
	f := fault.From(err)
	return f != nil && f.Kind == fault.NotFound
}
