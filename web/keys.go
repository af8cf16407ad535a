package web

import (
	"bytes"
	"context"
	"crypto/rsa"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// KeyAddArgs are a public key and what it may do.
type KeyAddArgs struct {
	NoArgs
	Name string     `json:"name"`
	Key  string     `json:"key"`            // a line of authorized_keys
	Role store.Role `json:"role,omitempty"` // "" is admin for the first key and deploy after that
	Apps []string   `json:"apps,omitempty"` // these apps alone
}

// KeyRemoveArgs name a key.
type KeyRemoveArgs struct {
	NoArgs
	Name  string `json:"name"`
	Force bool   `json:"force,omitempty"` // even the last one of an admin
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$`)

func (a *API) keysList(context.Context, call, NoArgs) (keys []store.Key, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		keys, err = list(tx.Keys())
		return err
	})
	return keys, err
}

func (a *API) keysAdd(_ context.Context, c call, args KeyAddArgs) (key store.Key, err error) {
	// The name stands for the user from now on, and root is the machine's own.
	if !keyName.MatchString(args.Name) || args.Name == store.Root.Name {
		return key, fault.New(fault.Usage, "E156", "%.60q cannot be the name of a key", args.Name).
			Hint("use letters, digits and . _ @ + -, at most 64 characters; root is taken")
	}
	if args.Role != "" && !slices.Contains([]store.Role{store.RoleAdmin, store.RoleDeploy, store.RoleRead}, args.Role) {
		return key, fault.New(fault.Usage, "E156", "there is no role %.60q", args.Role).Hint("the roles are admin, deploy and read")
	}
	if args.Role == store.RoleAdmin && len(args.Apps) > 0 {
		return key, fault.New(fault.Usage, "E156", "an admin has access to everything").Hint("give the role deploy or read with --app")
	}
	public, err := parseKey(args.Key)
	if err != nil {
		return key, err
	}
	key = store.Key{
		Name: args.Name, Role: args.Role, Apps: args.Apps, CreatedAt: time.Now(),
		Fingerprint: ssh.FingerprintSHA256(public),
		Authorized:  strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))),
	}
	err = a.db.Update(func(tx *store.Tx) error {
		for _, app := range args.Apps {
			if _, err := tx.App(app); err != nil {
				return err
			}
		}
		keys, err := tx.Keys()
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(keys, func(k store.Key) bool { return k.Name == args.Name }); i >= 0 {
			old := keys[i]
			if old.Fingerprint != key.Fingerprint {
				return fault.New(fault.Conflict, "E157", "there is another key named %q", args.Name).
					With(old.Fingerprint).Hint("choose another name, or remove it first: berth ssh-keys:remove %s", args.Name)
			}
			// The same key once more: what is not said stays.
			key.CreatedAt, key.LastUsed = old.CreatedAt, old.LastUsed
			if key.Role == "" {
				key.Role, key.Apps = old.Role, old.Apps
			}
			if old.Role == store.RoleAdmin && key.Role != store.RoleAdmin && lastAdmin(keys, old.Name) {
				return lastAdminStays(old.Name)
			}
		}
		if key.Role == "" {
			key.Role = store.RoleDeploy
			if len(args.Apps) == 0 && lastAdmin(keys, "") {
				key.Role = store.RoleAdmin
			}
		}
		if err := tx.PutKey(key); err != nil {
			return err
		}
		return event(tx, c.user, "", "key", "added the key %s (%s, %s)", key.Name, key.Role, key.Fingerprint)
	})
	return key, err
}

func (a *API) keysRemove(_ context.Context, c call, args KeyRemoveArgs) (key store.Key, err error) {
	err = a.db.Update(func(tx *store.Tx) error {
		keys, err := tx.Keys()
		if err != nil {
			return err
		}
		if key, err = tx.Key(args.Name); err != nil {
			return err
		}
		if key.Role == store.RoleAdmin && lastAdmin(keys, key.Name) && !args.Force {
			return lastAdminStays(key.Name)
		}
		if err := tx.DeleteKey(key.Name); err != nil {
			return err
		}
		if err := revokeAll(tx, key.Name); err != nil {
			return err
		}
		return event(tx, c.user, "", "key", "removed the key %s (%s)", key.Name, key.Fingerprint)
	})
	return key, err
}

// lastAdmin tells whether no admin is left but for the key of that name.
func lastAdmin(keys []store.Key, name string) bool {
	return !slices.ContainsFunc(keys, func(k store.Key) bool { return k.Role == store.RoleAdmin && k.Name != name })
}

func lastAdminStays(name string) error {
	return fault.New(fault.Conflict, "E158", "%q is the last key of an admin", name).
		Hint("without it, only root on the machine itself can change keys and settings").
		Hint("berth ssh-keys:remove %s --force removes it all the same", name)
}

// minRSA is what OpenSSH and NIST ask for since 2015.
const minRSA = 2048

func parseKey(line string) (ssh.PublicKey, error) {
	no := func(why string) *fault.Error {
		return fault.New(fault.Usage, "E156", "this is no public key for SSH: %s", why)
	}
	if strings.Contains(line, "PRIVATE KEY") {
		return nil, no("it is a private key").Hint("give the file that ends in .pub, and keep this one to yourself")
	}
	if strings.HasPrefix(strings.TrimSpace(line), ssh.InsecureKeyAlgoDSA+" ") { // which x/crypto does not read
		return nil, no("DSA keys are not safe").Hint("ssh-keygen -t ed25519 makes a better one")
	}
	public, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, no("it does not read as one").Hint(`it looks like "ssh-ed25519 AAAA… name", see ~/.ssh/id_ed25519.pub`)
	}
	if _, isCertificate := public.(*ssh.Certificate); isCertificate {
		return nil, no("certificates are not supported")
	}
	if len(options) > 0 {
		return nil, no("options before the key are not supported").With(options...)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, no("there is more than one line").Hint("add one key at a time")
	}
	if crypto, ok := public.(ssh.CryptoPublicKey); ok {
		if key, ok := crypto.CryptoPublicKey().(*rsa.PublicKey); ok && key.N.BitLen() < minRSA {
			return nil, no("an RSA key this short is not safe").Hint("ssh-keygen -t ed25519 makes a better one")
		}
	}
	return public, nil
}
