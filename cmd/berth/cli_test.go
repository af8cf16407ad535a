package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthd/berth/client"
	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/deploy/logs"
	"github.com/berthd/berth/jobs"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/verbs"
	"github.com/berthd/berth/verbs/verbstest"
	"github.com/berthd/berth/web"
)

// puppet stands in for the deployer where a container would be needed.
type puppet struct {
	verbstest.Everything // what is not there panics
	db                   *store.Store
}

func (p puppet) CreateApp(_ context.Context, name string, by store.User) (app store.App, err error) {
	err = p.db.Update(func(tx *store.Tx) error {
		app, err = tx.CreateApp(store.App{Name: name, CreatedAt: time.Now(), CreatedBy: by.Name})
		return err
	})
	return app, err
}

func (p puppet) DestroyApp(_ context.Context, name string, _ store.User, _ io.Writer) error {
	return p.db.Update(func(tx *store.Tx) error { return tx.DeleteApp(name) })
}

func (p puppet) Status(_ context.Context, name string) (s deploy.AppStatus, err error) {
	err = p.db.View(func(tx *store.Tx) error { s.App, err = tx.App(name); return err })
	s.State, s.GitURL, s.URLs = deploy.StateRunning, "berth@example.com:"+name, []string{"https://" + name + ".example.com"}
	s.Instances = []deploy.Instance{{Name: "web.1", State: "up", Release: 2, Since: time.Now().Add(-3 * time.Minute), Memory: 48 << 20}}
	return s, err
}

func (p puppet) Statuses(ctx context.Context) (all []deploy.AppStatus, err error) {
	var apps []store.App
	if err := p.db.View(func(tx *store.Tx) error { apps, err = tx.Apps(); return err }); err != nil {
		return nil, err
	}
	for _, app := range apps {
		s, err := p.Status(ctx, app.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (p puppet) SetConfig(_ context.Context, app string, set map[string]string, unset []string, _ bool, _ store.User, out io.Writer) (store.Release, error) {
	fmt.Fprintln(out, "-----> Switch   v1 -> v2")
	return store.Release{Number: 2}, p.db.Update(func(tx *store.Tx) error {
		config, err := tx.Config(app)
		maps.Copy(config, set)
		for _, name := range unset {
			delete(config, name)
		}
		return errors.Join(err, tx.PutConfig(app, config))
	})
}

func (p puppet) ReplaceConfig(ctx context.Context, app string, set map[string]string, noRestart bool, by store.User, out io.Writer) (store.Release, error) {
	var now map[string]string
	err := p.db.View(func(tx *store.Tx) (err error) {
		now, err = tx.Config(app)
		return err
	})
	if err != nil {
		return store.Release{}, err
	}
	return p.SetConfig(ctx, app, set, deploy.OtherNames(now, set), noRestart, by, out)
}

func (p puppet) Scale(context.Context, string, map[string]int, store.User, io.Writer) error {
	return fault.New(fault.Timeout, "E301", "web.1 did not become healthy in 30s").
		With("ModuleNotFoundError: No module named 'flask'", "\x1b[2Jboom").
		Hint("add flask to requirements.txt").Hint("v18 stopped; v17 still serves all traffic")
}

func (p puppet) Logs(ctx context.Context, q logs.Query, fn func(logs.LogLine) error) error {
	return fn(logs.LogLine{Time: time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC), Source: "web.1", Text: "hello"})
}

func (p puppet) RunOnce(_ context.Context, _ string, o jobs.OneOffOptions, att runtime.Attachment, _ store.User) (int, error) {
	text, err := io.ReadAll(att.Stdin)
	fmt.Fprintf(att.Stdout, "%q %s", o.Args, text)
	return len(o.Args), err
}

// site is an appliance without containers, and a command line to it.
type site struct {
	db     *store.Store
	server *web.Server
	table  *verbs.Table
}

func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteOf(t, func(db *store.Store) verbstest.Everything { return puppet{db: db} })
}

// newSiteOf is one with other rooms below the verbs.
func newSiteOf(t *testing.T, rooms func(*store.Store) verbstest.Everything) *site {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Update(func(tx *store.Tx) error { return tx.PutSettings(store.Settings{Domain: "example.com"}) }); err != nil {
		t.Fatal(err)
	}
	root := func(certificates.Trust) ([]byte, error) { return []byte("PEM\n"), nil }
	log := slog.New(slog.DiscardHandler)
	table := verbs.New(verbs.Config{Version: "1.2.3", RootCA: root}, verbstest.Rooms(rooms(db)), db, log)
	server := web.New(web.Config{Version: "1.2.3"}, table, log)
	socket, err := net.Listen("unix", filepath.Join(dir, "berth.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Serve(ctx, socket, time.Second); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return &site{db, server, table}
}

type answer struct {
	code     int
	out, err string
}

// as runs a command line as it comes over SSH.
func (s *site) as(t *testing.T, user store.User, stdin string, words ...string) answer {
	t.Helper()
	var out, err bytes.Buffer
	c := &cli{client: s.server.Client(user), in: strings.NewReader(stdin), out: &out, err: &err, version: "1.2.3"}
	code := c.run(t.Context(), words)
	return answer{code, out.String(), err.String()}
}

func (s *site) berth(t *testing.T, words ...string) answer {
	t.Helper()
	return s.as(t, store.Root, "", words...)
}

func TestCommands_OutputAndExitCodes(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct {
		words string
		code  int
		out   string // in stdout
		err   string // in stderr
	}{
		{"apps:create shop", 0, "berth@example.com:shop\n", "created shop"},
		{"apps:create shop", 5, "", "error: an app named \"shop\" already exists [E102]"},
		{"apps:create Shop", 2, "", "[E100]"},
		{"apps:create -- -rf", 2, "", "[E100]"},
		{"apps:create", 2, "", "usage: berth apps:create NAME"},
		{"apps:list", 0, "NAME  STATE    RELEASE  INSTANCES  URL\nshop  running  -        1/1 up     https://shop.example.com\n", ""},
		{"apps", 0, "shop", ""},
		{"apps:info shpo", 3, "", "error: no app named \"shpo\" [E101]\nhint:  did you mean \"shop\"?\n"},
		{"apps:exists shop", 0, "", ""},
		{"apps:exists none", 3, "", "[E101]"},
		{"apps:info shop more", 2, "", "apps:info does not take \"more\""},
		{"apps:info -a shop", 0, "running", ""},
		{"apps:info --app=shop", 0, "running", ""},
		{"apps:info --colour shop", 2, "", "apps:info has no value --colour [E218]"},
		{"apps:info shop --format xml", 2, "", "there is no format \"xml\""},
		{"apps:lits", 2, "", "berth has no command \"apps:lits\" [E150]\nhint:  did you mean \"apps:list\"?\n"},
		{"serve", 2, "", "[E150]"}, // not over SSH
		{"completion bash", 2, "", "[E150]"},
		{"ps:report shop", 0, "web.1     up     v2       3m ago  0         48 MiB  -     512 MiB  -\n", ""},
		{"ps:scale shop web=many", 2, "", "\"many\" is not a number of instances"},
		{"ps:scale shop web=-1", 2, "", "is not a number of instances"},
		{"ps:scale shop web", 2, "", "\"web\" is not TYPE=N"},
		{"ps:scale shop web=1 web=2", 2, "", "given twice"},
		{"ps:scale shop web=2", 6, "", "error: web.1 did not become healthy in 30s [E301]\n" +
			"       ModuleNotFoundError: No module named 'flask'\n" +
			"       boom\n" +
			"hint:  add flask to requirements.txt\n" +
			"       v18 stopped; v17 still serves all traffic\n"},
		{"config:set shop COLOR=blue EMPTY= URL=a=b", 0, "", "-----> Switch   v1 -> v2\nset in v2 of shop\n"},
		{"config:set shop A=1 --no-restart", 0, "", "set for the next release"},
		{"config:get shop COLOR", 0, "blue\n", ""},
		{"config:get shop URL", 0, "a=b\n", ""},
		{"config:get shop NONE", 3, "", "[E154]"},
		{"config:set shop", 2, "", "needs at least one NAME=VALUE"},
		{"config:set shop secretvalue", 2, "", "argument 1 is not NAME=VALUE"},
		{"config:unset shop A", 0, "", "v2"},
		{"config shop", 0, "COLOR  blue\nEMPTY  -\nURL    a=b\n", ""},
		{"config:export shop", 0, "export COLOR='blue'\nexport EMPTY=''\nexport URL='a=b'\n", ""},
		{"config:export shop --format env", 0, "COLOR=\"blue\"\nEMPTY=\"\"\nURL=\"a=b\"\n", ""},
		{"config:export shop --format json", 0, "{\n  \"COLOR\": \"blue\",\n  \"EMPTY\": \"\",\n  \"URL\": \"a=b\"\n}\n", ""},
		{"logs shop", 0, "2026-11-23T18:00:00.000Z web.1 | hello\n", ""},
		{"logs shop --format json", 0, `"text":"hello"`, ""},
		{"run shop", 2, "", "run is missing an argument"},
		{"run shop --", 2, "", "run needs a command"},
		{"run shop ls -la", 2, `["ls" "-la"]`, ""},
		{"run shop -- ls -la", 2, `["ls" "-la"]`, ""},
		{"run -T -a shop -- ls -la", 2, `["ls" "-la"]`, ""},
		{"run shop -T ls", 1, `["ls"]`, ""},
		{"run --tty shop ls", 2, "", "there is no terminal here"},
		{"rollback shop v0", 2, "", "\"v0\" is not a release or build number"},
		{"releases shop", 0, "RELEASE  STATUS  WHEN  BY  WHAT\n", ""},
		{"releases:info shop", 5, "", "nothing has been deployed to shop yet [E112]"},
		{"domains:report shop", 0, "hosts   shop.example.com\n", ""},
		{"domains:add shop a.*.example.com", 2, "", "it is not a host's whole name [E152]"},
		{"domains:add shop www.example.com --strip", 2, "", "has no path to strip"},
		{"domains:redirect shop www.example.com example.com/blog", 2, "", "it is an address of a page [E152]"},
		{"domains:redirect shop example.com/blog example.com", 2, "", "takes a host without a path"},
		{"router:set shop error-page /etc/shadow", 2, "", "over SSH berth cannot read your files"},
		{"router:set", 2, "", "--global instead of the name sets it for all apps"},
		{"router:set shop", 2, "", "router:set needs a property"},
		{"router:set --global", 2, "", "router:set needs a property"},
		{"router:set max-body 1g", 2, "", "for all apps: berth router:set --global max-body 1g"},
		{"ps:set shop", 2, "", "the properties are rollout, memory, processes"},
		{"builder:set shop test on off", 2, "", "builder:set does not take \"off\""},
		{"router:set --global -a shop proxy-protocol on", 2, "", "needs a property and no app"},
		{"router:report shop --global", 2, "", "takes the name of an app, or --global"},
		{"http-auth:add-user shop", 2, "", "usage: berth http-auth:add-user APP USER [PASSWORD]"},
		{"letsencrypt:set email ops@example.com", 2, "", "--global"},
		{"network:set lan deny", 2, "", "berth network:set --global lan deny"},
		{"network:set --global", 2, "", "usage: berth network:set --global PROPERTY [VALUE]"},
		{"network:report shop --global", 2, "", "berth network:report --global"},
		{"network:allow shop", 2, "", "usage: berth network:allow FROM TO"},
		{"letsencrypt:report --global", 0, "from the appliance's own CA", ""},
		{"letsencrypt:report shop --letsencrypt-active", 0, "false\n", ""},
		{"certs:root", 0, "PEM\n", ""},
		{"ssh-keys:add alice /etc/shadow", 2, "", "over SSH berth cannot read your files"},
		{"login", 0, "https://berth.example.com/login?token=", "valid once"},
		{"events shop -n 3", 0, "WHEN  APP  BY  KIND  WHAT\n", ""},
		{"version", 0, "berth  1.2.3\n", ""},
		{"apps:destroy shop", 2, "", "[E153]"},
		{"apps:destroy shop --force", 0, "", "destroyed shop\n"},
		{"apps:list --format json", 0, "[]\n", ""},
		{"bad\xffbyte", 2, "", "not UTF-8"},
	} {
		got := s.berth(t, strings.Fields(c.words)...)
		if got.code != c.code || !strings.Contains(got.out, c.out) || !strings.Contains(got.err, c.err) {
			t.Errorf("%s: got %d\n%s--- stderr\n%swant %d %q and %q", c.words, got.code, got.out, got.err, c.code, c.out, c.err)
		}
		if c.out == "" && got.out != "" {
			t.Errorf("%s: stdout is for data, got %q", c.words, got.out)
		}
	}
}

func TestFormatJSON_IsTheAPIsResult(t *testing.T) {
	s := newSite(t)
	s.berth(t, "apps:create", "shop")
	var fromCLI, fromAPI any
	got := s.berth(t, "apps:info", "shop", "--format", "json")
	if err := json.Unmarshal([]byte(got.out), &fromCLI); err != nil {
		t.Fatalf("%v: %s", err, got.out)
	}
	if err := s.table.Call(t.Context(), store.Root, "apps:info", verbs.AppArgs{App: "shop"}, &fromAPI, nil); err != nil {
		t.Fatal(err)
	}
	drop := func(v any) any { // the clock goes on between the two
		delete(v.(map[string]any)["instances"].([]any)[0].(map[string]any), "since")
		delete(v.(map[string]any), "app-created-at") // Dokku's key, which the command adds
		return v
	}
	if a, b := fmt.Sprint(drop(fromCLI)), fmt.Sprint(drop(fromAPI)); a != b {
		t.Errorf("got  %s\nwant %s", a, b)
	}
}

func TestCommands_GoInTheNameOfWhoAsks(t *testing.T) {
	s := newSite(t)
	reader := store.User{Name: "rita", Role: store.RoleRead}
	if got := s.as(t, reader, "", "apps:create", "shop"); got.code != 4 || !strings.Contains(got.err, "[E110]") {
		t.Errorf("got %+v, want exit code 4 and E110", got)
	}
	if got := s.as(t, reader, "", "ssh-keys:list"); got.code != 4 {
		t.Errorf("got %+v, want exit code 4", got)
	}
}

func TestCommands_RunManyAtATime(t *testing.T) {
	s := newSite(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			name := fmt.Sprintf("app-%d", i)
			if got := s.berth(t, "apps:create", name); got.code != 0 || got.out != "berth@example.com:"+name+"\n" {
				t.Errorf("%s: got %+v", name, got)
			}
			if got := s.berth(t, "config:set", name, "ME="+name); got.code != 0 {
				t.Errorf("%s: got %+v", name, got)
			}
			if got := s.berth(t, "config:get", name, "ME"); got.out != name+"\n" {
				t.Errorf("%s: got %+v", name, got)
			}
		})
	}
	wg.Wait()
}

func TestRun_PassesInputOn(t *testing.T) {
	s := newSite(t)
	s.berth(t, "apps:create", "shop")
	if got := s.as(t, store.Root, "a\nb\n", "run", "shop", "wc -l"); got.code != 3 || got.out != "[\"bash\" \"-c\" \"wc -l\"] a\nb\n" {
		t.Errorf("got %+v", got)
	}
}

func TestConfig_ExportsComeBackThroughAShellAndStdin(t *testing.T) {
	s := newSite(t)
	hostile := "it's \"quoted\"\n$HOME `id` \\n \\ # no comment\t\u2713 '"
	s.berth(t, "apps:create", "one")
	s.berth(t, "apps:create", "two")
	s.berth(t, "config:set", "one", "HOSTILE="+hostile)
	shell := exec.Command("sh", "-c", s.berth(t, "config:export", "one").out+`printf %s "$HOSTILE"`)
	if out, err := shell.Output(); string(out) != hostile || err != nil {
		t.Errorf("through a shell: got %q, %v; want %q", out, err, hostile)
	}
	if got := s.as(t, store.Root, s.berth(t, "config:export", "one", "--format", "env").out, "config:set", "two", "--stdin"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	if got := s.berth(t, "config:get", "two", "HOSTILE").out; got != hostile+"\n" {
		t.Errorf("through an .env file: got %q, want %q", got, hostile)
	}
}

func TestHelp_FitsTheScreenAndHasAnExampleEach(t *testing.T) {
	s := newSite(t)
	short, explicit := s.berth(t), s.berth(t, "help")
	if short != explicit || short.code != 0 || !strings.Contains(short.out, "apps:create") || strings.Contains(short.out, "uninstall") {
		t.Errorf("got %d\n%s", short.code, short.out)
	}
	local := &cli{local: true, client: s.server.Client(store.Root), out: &bytes.Buffer{}, err: io.Discard}
	local.run(t.Context(), nil)
	texts := map[string]string{"help": local.out.(*bytes.Buffer).String()}
	for _, topic := range local.topics() {
		for _, cmd := range topic.commands {
			name, _, _ := strings.Cut(cmd.use, " ")
			if cmd.example == "" || cmd.short == "" {
				t.Errorf("%s has no example", name)
			}
			var out bytes.Buffer
			one := &cli{local: true, client: local.client, out: &out, err: io.Discard}
			if code := one.run(t.Context(), []string{"help", name}); code != 0 || !strings.Contains(out.String(), "\nusage: berth "+name) {
				t.Errorf("help %s: got %d\n%s", name, code, &out)
			}
			texts[name] = out.String()
		}
	}
	for name, text := range texts {
		for line := range strings.Lines(text) {
			if line = strings.TrimSuffix(line, "\n"); len([]rune(line)) > 80 {
				t.Errorf("%s: %d columns: %s", name, len([]rune(line)), line)
			}
		}
	}
	if got := s.berth(t, "help", "apps:creat"); got.code != 2 || !strings.Contains(got.err, `"apps:create"`) {
		t.Errorf("got %+v", got)
	}
	if got := s.berth(t, "apps:create", "--help"); got.code != 0 || !strings.Contains(got.out, "usage: berth apps:create NAME") {
		t.Errorf("got %+v", got)
	}
}

func TestCompletion_KnowsCommandsAndApps(t *testing.T) {
	s := newSite(t)
	s.berth(t, "apps:create", "shop")
	if got := s.berth(t, "__complete", "apps:info", "s"); !strings.Contains(got.out, "shop\n") {
		t.Errorf("got %+v", got)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out bytes.Buffer
		c := &cli{local: true, client: s.server.Client(store.Root), out: &out, err: io.Discard}
		if code := c.run(t.Context(), []string{"completion", shell}); code != 0 || out.Len() < 1000 {
			t.Errorf("%s: got %d and %d bytes", shell, code, out.Len())
		}
	}
}

func TestColour_OnlyAtATerminal(t *testing.T) {
	s := newSite(t)
	for _, color := range []bool{true, false} {
		var err bytes.Buffer
		c := &cli{client: s.server.Client(store.Root), out: io.Discard, err: &err, color: color}
		c.run(t.Context(), []string{"apps:info", "none"})
		if got := strings.Contains(err.String(), "\x1b["); got != color {
			t.Errorf("colour %v: got %q", color, &err)
		}
	}
}

func TestDaemon_AbsentOrClosedIsToldApart(t *testing.T) {
	var err bytes.Buffer
	c := &cli{client: client.Dial(filepath.Join(t.TempDir(), "berth.sock")), out: io.Discard, err: &err}
	if code := c.run(t.Context(), []string{"apps:list"}); code != 1 || !strings.Contains(err.String(), "berth is not running") || !strings.Contains(err.String(), "[E130]") || !strings.Contains(err.String(), "hint:") {
		t.Errorf("got %d %s", code, &err)
	}
	denied := client.New(func(context.Context) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: os.ErrPermission}
	})
	err.Reset()
	c = &cli{client: denied, out: io.Discard, err: &err}
	if code := c.run(t.Context(), []string{"apps:list"}); code != 4 || !strings.Contains(err.String(), "sudo") {
		t.Errorf("got %d %s", code, &err)
	}
}

func TestDestroy_AsksAtATerminal(t *testing.T) {
	s := newSite(t)
	s.berth(t, "apps:create", "shop")
	for _, typed := range []string{"no\n", "shop\n"} {
		var err bytes.Buffer
		c := &cli{client: s.server.Client(store.Root), in: strings.NewReader(typed), out: io.Discard, err: &err, term: &terminal{}}
		code := c.run(t.Context(), []string{"apps:destroy", "shop"})
		if want := map[string]int{"no\n": 2, "shop\n": 0}[typed]; code != want || !strings.Contains(err.String(), "Type its name") {
			t.Errorf("typed %q: got %d\n%s", typed, code, &err)
		}
	}
}
