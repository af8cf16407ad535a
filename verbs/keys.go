package verbs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// KeyRoom is what the verbs of keys ask for; *deploy.Deployer documents it.
type KeyRoom interface {
	CancelBuild(ctx context.Context, app string, number int, by store.User) (store.Build, error)
}

type keys struct {
	records
	KeyRoom
	open
}

func (n keys) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "ssh-keys:add", Role: admins,
			Short: "add an SSH public key",
			Long: "Without FILE the key is read from standard input. Without NAME it is named after\n" +
				"its comment. The role is admin, deploy or read. The default is admin for the\n" +
				"first key and deploy for later ones.",
			Example: "ssh-keys:add alice <alice.pub\nssh-keys:add ci --role deploy --app shop <ci.pub",
		}, n.add),
		look(Verb{
			Name: "ssh-keys:list", Role: admins,
			Short:   "list the SSH keys and their roles",
			Example: "ssh-keys:list",
			Aliases: []string{"ssh-keys"},
		}, n.list),
		act(Verb{
			Name: "ssh-keys:remove", Role: admins,
			Short:   "remove an SSH key and end its sessions",
			Example: "ssh-keys:remove alice",
			Done:    "removed the key {result.name} and ended its sessions",
		}, n.remove),
	}
}

// KeyAddArgs are a public key and what it may do.
type KeyAddArgs struct {
	NoArgs
	// Name is one made of the key's comment when it is empty.
	Name string `json:"name,omitempty" cli:"[NAME]"`
	// Key is a line of authorized_keys.
	Key string `json:"key" cli:"[FILE]" file:"paste the public key"`
	// Role is admin for the first key and deploy after that when it is empty.
	Role store.Role `json:"role,omitempty" flag:"role" help:"admin, deploy or read"`
	// Apps are all that the key is for; empty is all apps.
	Apps []string `json:"apps,omitempty" flag:"app,a" help:"only this app; can be repeated"`
}

// KeyRemoveArgs name a key.
type KeyRemoveArgs struct {
	NoArgs
	Name        string `json:"name,omitempty" cli:"[NAME]"`
	Fingerprint string `json:"fingerprint,omitempty" flag:"fingerprint" help:"SHA256:..., instead of the name"`
	Force       bool   `json:"force,omitempty" flag:"force,f" help:"remove even the last key of an admin"`
}

// KeyAdded is a key that may enter now.
type KeyAdded struct {
	store.Key
	Known bool `json:"known,omitempty"` // it was there before
}

func (n keys) list(context.Context, Call, NoArgs) (keys []store.Key, err error) {
	err = n.db.View(func(tx *store.Tx) error {
		keys, err = list(tx.Keys.All())
		return err
	})
	return keys, err
}

func (n keys) add(ctx context.Context, c Call, args KeyAddArgs) (key KeyAdded, err error) {
	// The name stands for the user from now on, and root is the machine's own.
	if args.Name != "" && !store.ValidKeyName(args.Name) {
		return key, fault.New(fault.Usage, code.KeyInvalid, "%.60q cannot be the name of a key", args.Name).
			Hint("use letters, digits and . _ @ + -, at most 64 characters; root and berth are taken").
			Hint("without a name, the key's comment becomes its name")
	}
	if args.Role != "" && !slices.Contains([]store.Role{store.RoleAdmin, store.RoleDeploy, store.RoleRead}, args.Role) {
		return key, fault.New(fault.Usage, code.KeyInvalid, "there is no role %.60q", args.Role).Hint("the roles are admin, deploy and read")
	}
	if args.Role == store.RoleAdmin && len(args.Apps) > 0 {
		return key, fault.New(fault.Usage, code.KeyInvalid, "an admin has access to everything").Hint("give the role deploy or read with --app")
	}
	public, comment, err := parseKey(args.Key)
	if err != nil {
		return key, err
	}
	key.Key = store.Key{
		Name: args.Name, Role: args.Role, Apps: args.Apps, CreatedAt: time.Now(),
		Fingerprint: ssh.FingerprintSHA256(public),
		Authorized:  strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))),
	}
	var again *store.Key
	err = n.db.Update(func(tx *store.Tx) error {
		again = nil
		for _, app := range args.Apps {
			if _, err := tx.App(app); err != nil {
				return err
			}
		}
		keys, err := tx.Keys.All()
		if err != nil {
			return err
		}
		old, known, err := tx.Keys.ByFingerprint(key.Fingerprint)
		switch {
		case err != nil:
			return err
		case key.Name == "" && known:
			key.Name = old.Name
		case key.Name == "":
			key.Name = store.KeyNameFor(comment, key.Fingerprint, keys)
		}
		if i := slices.IndexFunc(keys, func(k store.Key) bool { return k.Name == key.Name }); i >= 0 {
			old := keys[i]
			if old.Fingerprint != key.Fingerprint {
				return fault.New(fault.Conflict, code.KeyNameTaken, "another key is named %q", key.Name).
					With(old.Fingerprint).
					Hint("choose another name, or give none to use the key's comment").
					Hint("berth ssh-keys:remove %s removes the other one", key.Name)
			}
			// The same key once more: what is not said stays.
			again = &old
			key.Known, key.CreatedAt, key.LastUsed = true, old.CreatedAt, old.LastUsed
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
		if err := tx.Keys.Put(key.Key); err != nil {
			return err
		}
		return event(tx, c.User, "", "key", "added the key %s (%s, %s)", key.Name, key.Role, key.Fingerprint)
	})
	if err == nil && again != nil && (again.Role != key.Role || !slices.Equal(again.Apps, key.Apps)) {
		n.disconnect(c.User, key.Name)
		return key, n.cancelBuilds(ctx, c.User, key.Name, func(app string) bool { return MayPush(key.User(), app) == nil })
	}
	return key, err
}

func (n keys) remove(ctx context.Context, c Call, args KeyRemoveArgs) (key store.Key, err error) {
	err = n.db.Update(func(tx *store.Tx) error {
		keys, err := tx.Keys.All()
		if err != nil {
			return err
		}
		if key, err = args.find(tx); err != nil {
			return err
		}
		if key.Role == store.RoleAdmin && lastAdmin(keys, key.Name) && !args.Force {
			return lastAdminStays(key.Name)
		}
		if err := tx.Keys.Delete(key.Name); err != nil {
			return err
		}
		if err := revokeAll(tx, key.Name); err != nil {
			return err
		}
		return event(tx, c.User, "", "key", "removed the key %s (%s)", key.Name, key.Fingerprint)
	})
	if err != nil {
		return key, err
	}
	n.disconnect(c.User, key.Name)
	return key, n.cancelBuilds(ctx, c.User, key.Name, func(string) bool { return false })
}

// find returns the key that the arguments name.
func (a KeyRemoveArgs) find(tx *store.Tx) (store.Key, error) {
	switch {
	case a.Name == "" && a.Fingerprint == "":
		return store.Key{}, BadArguments("ssh-keys:remove needs the name of a key, or --fingerprint").Hint("berth ssh-keys:list shows both")
	case a.Name != "" && a.Fingerprint != "":
		return store.Key{}, BadArguments("ssh-keys:remove takes a name or a fingerprint, and not both")
	case a.Name != "":
		return tx.Keys.Get(a.Name)
	}
	key, found, err := tx.Keys.ByFingerprint(a.Fingerprint)
	if err == nil && !found {
		err = store.NoKeyOf(a.Fingerprint)
	}
	return key, err
}

// lastAdmin tells whether no admin is left but for the key of that name.
func lastAdmin(keys []store.Key, name string) bool {
	return !slices.ContainsFunc(keys, func(k store.Key) bool { return k.Role == store.RoleAdmin && k.Name != name })
}

func lastAdminStays(name string) error {
	return fault.New(fault.Conflict, code.KeyLastAdmin, "%q is the last key of an admin", name).
		Hint("without it, only root on the machine itself can change keys and settings").
		Hint("to remove it anyway: berth ssh-keys:remove %s --force", name)
}

// minRSA is what OpenSSH and NIST ask for since 2015.
const minRSA = 2048

// parseKey reads a line of authorized_keys. Windows' editors may put a byte
// order mark before it and a carriage return behind.
func parseKey(line string) (public ssh.PublicKey, comment string, err error) {
	no := func(why string) *fault.Error {
		return fault.New(fault.Usage, code.KeyInvalid, "this is not an SSH public key: %s", why)
	}
	if strings.Contains(line, "PRIVATE KEY") {
		return nil, "", no("it is a private key").Hint("use the file that ends in .pub, and keep this one secret")
	}
	line = strings.TrimPrefix(line, "\ufeff")
	if strings.HasPrefix(strings.TrimSpace(line), ssh.InsecureKeyAlgoDSA+" ") { // which x/crypto does not read
		return nil, "", no("DSA keys are not safe").Hint("create a better one: ssh-keygen -t ed25519")
	}
	public, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, "", no("it cannot be parsed").Hint(`it looks like "ssh-ed25519 AAAA… name", see ~/.ssh/id_ed25519.pub`)
	}
	if _, isCertificate := public.(*ssh.Certificate); isCertificate {
		return nil, "", no("certificates are not supported")
	}
	name, strange := dokkuOptions(options)
	if len(strange) > 0 {
		return nil, "", no("options before the key are not supported").With(strange...).
			Hint("omit the options; --role and --app say what a key may do")
	}
	comment = cmp.Or(name, comment)
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, "", no("there is more than one line").Hint("add one key at a time")
	}
	if crypto, ok := public.(ssh.CryptoPublicKey); ok {
		if key, ok := crypto.CryptoPublicKey().(*rsa.PublicKey); ok && key.N.BitLen() < minRSA {
			return nil, "", no("an RSA key this short is not safe").Hint("create a better one: ssh-keygen -t ed25519")
		}
	}
	return public, comment, nil
}

// dokkuOptions reads the options before a key as Dokku's authorized_keys has them:
// its own command, which names the key, and what berth does for every key. strange
// are those that would bind a key in ways which berth does not heed.
func dokkuOptions(options []string) (name string, strange []string) {
	for _, option := range options {
		kind, value, _ := strings.Cut(option, "=")
		switch strings.ToLower(kind) {
		case "no-agent-forwarding", "no-port-forwarding", "no-user-rc", "no-x11-forwarding", "restrict":
		case "command":
			value = strings.ReplaceAll(strings.Trim(value, `"`), `\"`, `"`)
			if !strings.HasPrefix(value, "FINGERPRINT=") || !strings.Contains(value, "SSH_ORIGINAL_COMMAND") {
				strange = append(strange, option)
				continue
			}
			if _, after, ok := strings.Cut(value, `NAME="`); ok {
				name, _, _ = strings.Cut(after, `"`)
			}
		default:
			strange = append(strange, option)
		}
	}
	return name, strange
}

// recentBuilds is among how many of an app's last builds one may be under way.
const recentBuilds = 10

// cancelBuilds ends the builds under way of a user's who may not deploy the
// app any more. One whose release goes live at this moment is too late.
func (n keys) cancelBuilds(ctx context.Context, asker store.User, name string, may func(app string) bool) error {
	var running []store.Build
	err := n.db.View(func(tx *store.Tx) error {
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		for _, app := range apps {
			builds, err := tx.Builds.Of(app.Name, recentBuilds)
			if err != nil {
				return err
			}
			for _, b := range builds {
				if b.Status == store.BuildRunning && b.By == name && !may(app.Name) {
					running = append(running, b)
				}
			}
		}
		return nil
	})
	for _, b := range running {
		_, cancelErr := n.CancelBuild(ctx, b.App, b.Number, asker)
		if f := fault.From(cancelErr); f == nil || f.Kind != fault.Conflict {
			err = errors.Join(err, cancelErr)
		}
	}
	return err
}
