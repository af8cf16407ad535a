package verbs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func TestNearestVerb_StaysWithTheNoun(t *testing.T) {
	names := []string{"apps:create", "apps:list", "apps", "config:set", "domains:add", "domains:set-global", "rollback", "ps", "ps:scale", "logs"}
	for word, want := range map[string]string{
		"apps:lits": "apps:list", "apps:crate": "apps:create", "app:create": "apps:create", "app:crate": "apps:create", "rollbak": "rollback",
		"ps:sclae": "ps:scale", "confg:set": "config:set", "log": "logs",
		"redis:create": "", "redis:list": "", "network:create": "", "cron:list": "", "apps:": "", "x:y": "", ":": "", "apps:zzzzzz": "",
		strings.Repeat("x", 5000) + ":create": "", "domains:sett-global": "domains:set-global",
	} {
		if got := NearestVerb(word, names); got != want {
			t.Errorf("%.40s: got %q, want %q", word, got, want)
		}
	}
}

func TestVerb_TheHintOfTheAPIStaysWithTheNounToo(t *testing.T) {
	h := newHouse(t)
	err := h.Call(t.Context(), store.Root, "redis:create", nil, nil, nil)
	if f := fault.From(err); f == nil || f.Code != "E141" || strings.Contains(strings.Join(f.Hints, " "), "apps:create") {
		t.Errorf("got %+v", f)
	}
}

func TestLock_IsKeptAndToldOf(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	h.makeApp(t, "blog")
	call := func(user store.User, verb, app string) (LockState, string) {
		var state LockState
		err := h.Call(t.Context(), user, verb, AppArgs{app}, &state, nil)
		return state, codeOf(err)
	}
	if state, code := call(ofShop, "apps:lock", "shop"); code != "" || !state.Locked || state.By != "sam" || state.At.IsZero() {
		t.Errorf("locked by a key of the app: %+v %s", state, code)
	}
	if state, code := call(store.Root, "apps:lock", "shop"); code != "" || state.By != "sam" {
		t.Errorf("locked again: %+v %s; the first stands", state, code)
	}
	if state, code := call(reader, "apps:locked", "shop"); code != "" || !state.Locked {
		t.Errorf("a reader sees %+v %s", state, code)
	}
	for _, c := range []struct {
		user      store.User
		app, want string
	}{{reader, "shop", "E110"}, {ofShop, "blog", "E111"}, {ofShop, "absent", "E111"}, {store.Root, "absent", "E101"}} {
		for _, verb := range []string{"apps:lock", "apps:unlock"} {
			if _, code := call(c.user, verb, c.app); code != c.want {
				t.Errorf("%s of %s by %s: got %q, want %q", verb, c.app, c.user.Name, code, c.want)
			}
		}
	}
	for range 2 { // undoing what is not there is done
		if state, code := call(store.Root, "apps:unlock", "shop"); code != "" || state.Locked {
			t.Errorf("unlocked: %+v %s", state, code)
		}
	}
	var events []store.Event
	if err := h.Call(t.Context(), store.Root, "events", EventArgs{App: "shop"}, &events, nil); err != nil || len(events) != 2 {
		t.Errorf("two events, for what changed something: %+v %v", events, err)
	}
}

func TestURLs_OfAnAppWithoutAHost(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	var url string
	if err := h.Call(t.Context(), store.Root, "url", AppArgs{"shop"}, &url, nil); codeOf(err) != "E419" {
		t.Errorf("got %q, %v", url, err)
	}
}

func TestDomains_OneGlobalDomain(t *testing.T) {
	h := newHouse(t) // example.com
	for _, c := range []struct {
		verb  string
		words []string
		want  string
	}{
		{"domains:add-global", []string{"example.com"}, ""}, {"domains:add-global", []string{"EXAMPLE.com"}, ""},
		{"domains:add-global", []string{"example.com", "other.test"}, "E423"}, {"domains:add-global", []string{"not a host"}, "E152"},
		{"domains:remove-global", []string{"other.test"}, ""}, {"domains:remove-global", []string{"example.com"}, "E423"},
		{"domains:set-global", []string{"one.test", "two.test"}, "E423"},
	} {
		args := DomainArgs{Domain: c.words[0], Others: c.words[1:]}
		if got := codeOf(h.Call(t.Context(), store.Root, c.verb, args, nil, nil)); got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.verb, c.words, got, c.want)
		}
		if got := codeOf(h.Call(t.Context(), deployer, c.verb, args, nil, nil)); got != "E110" {
			t.Errorf("%s by a deployer: got %q", c.verb, got)
		}
	}
	if got := codeOf(h.Call(t.Context(), store.Root, "domains:clear-global", nil, nil, nil)); got != "E423" {
		t.Errorf("domains:clear-global: got %q", got)
	}
	if settings, err := h.settings(); err != nil || settings.Domain != "example.com" {
		t.Errorf("the domain is %q, %v", settings.Domain, err)
	}
}

// A private key is for those who deploy the app that has it, and no others.
func TestCertsShow_IsForThoseWhoDeployTheApp(t *testing.T) {
	h := newTenancy(t)
	h.update(t, func(tx *store.Tx) error {
		return errors.Join(
			tx.Pairs.Put(store.Pair{App: "shop", Chain: "SHOP CHAIN\n", Key: "SHOP KEY\n"}),
			tx.Pairs.Put(store.Pair{App: "hidden", Host: "hidden.test", Chain: "hidden chain", Key: "hidden key"}),
			tx.Pairs.Put(store.Pair{App: store.AdminPairs, Chain: "hidden admin", Key: "hidden admin key"}),
		)
	})
	show := func(user store.User, target, part string) (PEM, error) {
		var shown PEM
		err := h.Call(t.Context(), user, "certs:show", CertsShowArgs{CertsArgs{Target: target}, part}, &shown, nil)
		return shown, err
	}
	bound := store.User{Name: "dora", Role: store.RoleDeploy, Apps: []string{"shop"}}
	for part, want := range map[string]string{"crt": "SHOP CHAIN\n", "key": "SHOP KEY\n"} {
		if got, err := show(bound, "shop", part); err != nil || got.PEM != want {
			t.Errorf("%s: got %q, %v", part, got.PEM, err)
		}
	}
	for _, c := range []struct {
		user               store.User
		target, part, want string
	}{
		{bound, "hidden", "key", "E111"}, {bound, "hidden.test", "key", "E111"}, {bound, "berth.example.com", "key", "E111"}, {bound, "example.com", "key", "E111"},
		{bound, "absent.test", "key", "E111"}, {reader, "shop", "key", "E110"}, {reader, "shop", "crt", "E110"},
		{deployer, "berth.example.com", "key", "E110"}, {deployer, "hidden.test", "key", ""}, {deployer, "hidden", "key", ""},
		{bound, "shop.test", "key", "E179"}, {store.Root, "shop", "", "E140"}, {store.Root, "shop", "pem", "E140"},
	} {
		got, err := show(c.user, c.target, c.part)
		if codeOf(err) != c.want || strings.Contains(fromError(err), "hidden key") || c.want != "" && got.PEM != "" {
			t.Errorf("%s %s by %s: got %q, %v; want %q", c.target, c.part, c.user.Name, got.PEM, err, c.want)
		}
	}
}

func TestKeys_LinesOfDokku(t *testing.T) {
	h := newHouse(t)
	admin := newKey(t)
	if _, code := addKey(t, h, KeyAddArgs{Name: "root-of-trust", Key: admin}); code != "" {
		t.Fatal(code)
	}
	line := `command="FINGERPRINT=SHA256:abc NAME=\"alice\" ` + "`cat /home/dokku/.sshcommand` $SSH_ORIGINAL_COMMAND" + `",no-agent-forwarding,no-user-rc,no-X11-forwarding,no-port-forwarding `
	key, code := addKey(t, h, KeyAddArgs{Key: line + newKey(t) + " somebody@laptop"})
	if code != "" || key.Name != "alice" || key.Role != store.RoleDeploy {
		t.Errorf("got %+v %s, want alice to deploy", key, code)
	}
	for _, options := range []string{`from="10.0.0.1" `, `command="rm -rf /" `, line[:len(line)-1] + `,from="10.0.0.1" `, `command="FINGERPRINT=x; sh" `, `cert-authority `, `expiry-time="2027" `} {
		if _, code := addKey(t, h, KeyAddArgs{Name: "x", Key: options + newKey(t)}); code != "E156" {
			t.Errorf("%.40s: got %q, want E156", options, code)
		}
	}
	remove := func(args KeyRemoveArgs) string {
		return codeOf(h.Call(t.Context(), store.Root, "ssh-keys:remove", args, nil, nil))
	}
	for _, c := range []struct {
		args KeyRemoveArgs
		want string
	}{
		{KeyRemoveArgs{}, "E140"}, {KeyRemoveArgs{Name: "alice", Fingerprint: key.Fingerprint}, "E140"},
		{KeyRemoveArgs{Fingerprint: "SHA256:none"}, codeOf(store.NoKeyOf("x"))}, {KeyRemoveArgs{Fingerprint: key.Fingerprint}, ""},
		{KeyRemoveArgs{Fingerprint: key.Fingerprint}, codeOf(store.NoKeyOf("x"))},
	} {
		if got := remove(c.args); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.args, got, c.want)
		}
	}
}

// restarter restarts apps in the way of a test.
type restarter struct {
	*puppet
	restart func(app string, out io.Writer) error
}

func (r restarter) Restart(_ context.Context, app, _ string, _ store.User, out io.Writer) error {
	return r.restart(app, out)
}

func TestEach_GoesOnPastWhatFails(t *testing.T) {
	h := newHouse(t)
	for i := range 8 {
		name := fmt.Sprintf("app%d", i)
		h.update(t, func(tx *store.Tx) error {
			_, err := tx.CreateApp(store.App{Name: name, Release: min(i, 1), LastRelease: 1, Stopped: i == 1})
			return errors.Join(err, tx.PutRelease(store.Release{App: name, Number: 1}))
		})
	}
	var mu sync.Mutex
	var done []string
	var now, most atomic.Int32
	h.rooms.Processes = restarter{h.deployer, func(app string, out io.Writer) error {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		time.Sleep(20 * time.Millisecond) // for the others to begin, were there more
		mu.Lock()
		defer mu.Unlock()
		done = append(done, app)
		fmt.Fprintf(out, "-----> of %s\nhalf a line", app)
		switch app {
		case "app3":
			return fault.New(fault.Conflict, "E301", "it does not start")
		case "app4":
			return errors.New("the secret is 1234")
		}
		return nil
	}}
	h.rebuild()
	var report Report
	out := &lockedBuffer{}
	err := h.Call(t.Context(), store.Root, "ps:restart", RestartArgs{AllArgs: AllArgs{All: true, Parallel: 3}}, &report, out)
	f := fault.From(err)
	if f == nil || f.Code != "E418" || len(f.Evidence) != 2 || !strings.Contains(f.Message, "2 of 6 apps") || strings.Contains(fromError(err), "1234") {
		t.Errorf("got %+v", f)
	}
	if len(done) != 6 || most.Load() > 3 { // app0 has no release, app1 is stopped
		t.Errorf("restarted %q, %d at once", done, most.Load())
	}
	if !strings.Contains(h.log.String(), "the secret is 1234") {
		t.Error("the log has not the cause")
	}
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "app") || !strings.HasSuffix(line, "\n") {
			t.Errorf("a line that is no app's: %q", line)
		}
	}
	for _, c := range []struct {
		user store.User
		args RestartArgs
		want string
	}{
		{store.Root, RestartArgs{AllArgs: AllArgs{All: true, App: "app2"}}, "E140"}, {store.Root, RestartArgs{}, "E140"},
		{ofShop, RestartArgs{AllArgs: AllArgs{All: true}}, "E111"}, {reader, RestartArgs{AllArgs: AllArgs{All: true}}, "E110"},
	} {
		if got := codeOf(h.Call(t.Context(), c.user, "ps:restart", c.args, nil, nil)); got != c.want {
			t.Errorf("%+v by %s: got %q, want %q", c.args, c.user.Name, got, c.want)
		}
	}
}

func TestEvents_AreFollowed(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	h.makeApp(t, "blog")
	happens := func(app, text string) {
		h.update(t, func(tx *store.Tx) error {
			return tx.AddEvent(store.Event{App: app, By: "alice", Kind: "k", Text: text})
		})
	}
	for i := range 60 {
		happens("shop", fmt.Sprint(i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var got []string
	raw, _ := json.Marshal(EventFollowArgs{EventArgs{App: "shop", Limit: 2}, true})
	_, err := h.Do(ctx, Call{User: ofShop, Out: io.Discard, Emit: func(item any) error {
		got = append(got, item.(store.Event).Text)
		switch len(got) {
		case 2:
			happens("blog", "hidden")
			happens("shop", "60")
		case 3:
			happens("shop", "61")
			happens("shop", "62")
		case 5:
			cancel()
		}
		return nil
	}}, "events:follow", raw)
	if err != nil || strings.Join(got, " ") != "58 59 60 61 62" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := h.Do(t.Context(), Call{User: ofShop, Emit: func(any) error { return nil }}, "events:follow", []byte(`{"app":"blog","follow":true}`)); codeOf(err) != "E111" {
		t.Errorf("another's: %v", err)
	}
	var kinds []string
	if err := h.Call(t.Context(), ofShop, "events:list", nil, &kinds, nil); err != nil || len(kinds) != 1 || kinds[0] != "k" {
		t.Errorf("kinds: %q, %v", kinds, err)
	}
}

func TestLogsFailed_OfTheLastThatFailed(t *testing.T) {
	h := newHouse(t)
	h.makeApp(t, "shop")
	if err := h.Call(t.Context(), store.Root, "logs:failed", AppArgs{"shop"}, nil, nil); codeOf(err) != "E424" {
		t.Errorf("none has failed: %v", err)
	}
	h.update(t, func(tx *store.Tx) error {
		return errors.Join(tx.Builds.Put(store.Build{App: "shop", Number: 1, Status: store.BuildFailed}), tx.Builds.Put(store.Build{App: "shop", Number: 2, Status: store.BuildSucceeded}))
	})
	h.rooms.Builds = failedBuild{h.deployer, t}
	h.rebuild()
	var lines []string
	if err := h.Call(t.Context(), reader, "logs:failed", AppArgs{"shop"}, &lines, nil); err != nil || len(lines) != 1 || lines[0] != "of build 1" {
		t.Errorf("got %q, %v", lines, err)
	}
}

type failedBuild struct {
	*puppet
	t *testing.T
}

func (failedBuild) FollowBuild(_ context.Context, _ string, number int, w io.Writer) error {
	_, err := fmt.Fprintf(w, "of build %d\n", number)
	return err
}
