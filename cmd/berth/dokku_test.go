package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs"
)

// ansible are the command lines of Dokku's own Ansible role, and what the GitHub
// action and the client script send, one a line.
const ansible = `
--quiet apps:exists shop
apps:create shop
--force apps:destroy shop
--version
builder:set shop selected dockerfile
--quiet certs:report shop
--quiet certs:remove shop
certs:add shop server.crt server.key
--quiet checks:report shop
--quiet checks:enable shop
--quiet checks:disable shop
git:sync shop https://example.com/shop.git
git:sync --build shop https://example.com/shop.git main
git:report shop --git-sha
config:export --format json shop
config:set shop COLOR=blue SIZE=xl
config:set --no-restart shop COLOR=blue
--quiet config:set --encoded shop COLOR=Ymx1ZQ==
--quiet config:get shop DOKKU_DISABLE_PROXY
--quiet domains --global --domains-global-vhosts
--quiet domains:report --global --domains-global-vhosts
--quiet domains:report shop --domains-app-vhosts
--quiet domains:disable shop
--quiet domains:enable shop
--quiet domains:add shop www.example.com example.com
--quiet domains:remove shop www.example.com
--quiet domains:set shop www.example.com example.com
--quiet domains:clear shop
--quiet domains:add-global example.com
--quiet domains:remove-global example.com
--quiet domains:set-global example.com
--quiet domains:clear-global
--quiet git:set shop deploy-branch main
--quiet git:set shop deploy-branch
git:from-image shop registry.example.com/shop:1.4
git:from-image shop registry.example.com/shop:1.4 alice alice@example.com
git:from-image --build-dir sub shop registry.example.com/shop:1.4
--quiet letsencrypt:list
--quiet letsencrypt:enable shop
--quiet letsencrypt:disable shop
--quiet network:exists front
network:create front
--force network:destroy front
network:set shop attach-post-create front
--quiet ports:report shop --ports-map
--quiet ports:list shop
--quiet ports:add shop tcp:5000:5000 tcp:5001:5001
--quiet ports:remove shop tcp:5000:5000
--quiet ports:clear shop
ports:set shop tcp:5000:5000
--quiet ps:scale shop
ps:scale shop web=2 worker=1
ps:scale --skip-deploy shop web=2
--quiet registry:report shop
--quiet registry:login docker.io alice secret
resource:limit --memory 256m shop
--quiet resource:limit shop
resource:limit-clear shop
resource:limit --process-type web --cpu 1 shop
resource:reserve --memory 256m shop
--quiet resource:reserve shop
resource:reserve-clear shop
--quiet storage:list shop
--quiet storage:mount shop /var/lib/data:/data
--quiet storage:unmount shop /var/lib/data:/data
ssh-keys:add alice
ssh-keys:remove alice
apps:clone --skip-deploy --ignore-existing shop review-42
--trace apps:clone --skip-deploy shop review-42
apps:unlock shop
--quiet apps:list
--trace ps:restart shop
ps:rebuild shop
--app shop apps:create shop
--app shop config:set COLOR=blue
--app shop domains:add www.example.com
--app shop ps:scale web=2
--app shop logs -t
--app shop run ls -la
--app shop apps:destroy shop
apps:list --quiet
apps:destroy shop --force
logs shop -q -n 10
events -t
run:detached shop sleep 10
run:list shop
enter shop web
cron:list shop
`

// elsewhere are the nouns and commands that are not this grammar's matter: while
// berth has not the verb or the flag, a line of them is pending.
var elsewhere = regexp.MustCompile(`^(storage|resource|network|cron|git|checks|run|enter|config|registry|domains|ports|certs)(:|$)`)

// parses tells whether a command line is taken, as far as a command line can say:
// nothing is asked of berth.
func parses(words []string) error {
	c := &cli{in: strings.NewReader(""), out: io.Discard, err: io.Discard, version: "1.2.3", words: words}
	root := c.tree()
	cmd, rest, err := root.Find(words)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	switch {
	case err != nil || c.global.version:
		return err
	case cmd == root:
		return c.unknown(c.firstWord(words))
	}
	for _, t := range c.topics() {
		for _, spec := range t.commands {
			if spec.name() == cmd.Name() {
				_, _, err = spec.place(c.app, cmd.Flags().Args())
			}
		}
	}
	return err
}

func TestDokku_TheLinesOfItsToolsAreTaken(t *testing.T) {
	taken, pending := 0, 0
	for line := range strings.Lines(strings.TrimSpace(ansible)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		err := parses(words)
		if err == nil {
			taken++
			continue
		}
		c := &cli{}
		if command := c.firstWord(words); elsewhere.MatchString(command) {
			pending++
			t.Logf("pending: %s: %v", strings.TrimSpace(line), err)
			continue
		}
		t.Errorf("%s: %v", strings.TrimSpace(line), err)
	}
	if taken < 55 {
		t.Errorf("%d lines are taken, %d pending", taken, pending)
	}
}

func TestGlobalFlags_StandAnywhere(t *testing.T) {
	s := newSite(t)
	s.berth(t, "apps:create", "shop")
	for _, c := range []struct {
		words string
		code  int
		out   string
		err   string // all of it
	}{
		{"--quiet apps:list", 0, "shop\n", ""},
		{"apps:list --quiet", 0, "shop\n", ""},
		{"-- --quiet apps:list", 0, "shop\n", ""},
		{"--quiet --force apps:list", 0, "shop\n", ""},
		{"--quiet ps:report shop", 0, "web.1  up  v2  3m ago  0  48 MiB  -  512 MiB  -\nlimits of each: 512 MiB of memory, 1024 processes\n", ""},
		{"--quiet releases shop", 0, "", ""},
		{"--quiet config:set shop COLOR=BLUE", 0, "", ""},
		{"--quiet config:show shop", 0, "COLOR  BLUE\n", ""}, // no header, however it looks
		{"--quiet events shop", 0, "", ""},
		{"--quiet logs shop", 0, "hello\n", ""}, // its flag is the same word

		{"logs shop -q", 0, "hello\n", ""},
		{"logs --quiet shop", 0, "hello\n", ""},
		{"--version", 0, "dokku version 0.38.0, as berth 1.2.3 speaks it\n", ""},
		{"--version apps:list", 0, "dokku version 0.38.0, as berth 1.2.3 speaks it\n", ""},
		{"apps:list --version", 0, "dokku version 0.38.0, as berth 1.2.3 speaks it\n", ""},
		{"--app blog apps:create blog", 0, "berth@example.com:blog\n", "created blog; to deploy to it:\n  git remote add berth berth@example.com:blog\n  git push berth main\n"},
		{"--app=other --quiet apps:create other", 0, "berth@example.com:other\n", ""},
		{"--app shop apps:info blog", 2, "", "error: apps:info does not take \"blog\" [E151]\nhint:  usage: berth apps:info [APP] [--KEY]\n"},
		{"--quiet apps:info none", 3, "", "error: no app named \"none\" [E101]\n"},
		{"--quiet apps:destroy shop", 2, "", "error: destroying shop was not confirmed [E153]\n" +
			"hint:  it removes the app's releases, config, logs and repository for good\n" +
			"       berth apps:destroy shop --force does it\n"},
		{"--quiet --colour apps:list", 2, "", "error: unknown flag: --colour [E151]\nhint:  usage: berth COMMAND [ARGS]; berth help lists the commands\n"},
		{"--force apps:destroy blog", 0, "", "destroyed blog\n"},
		{"--quiet apps:destroy other --force", 0, "", ""},
		{"run shop ls --quiet", 2, "[\"ls\" \"--quiet\"] ", ""}, // the program's own
		{"--quiet run shop ls", 1, "[\"ls\"] ", ""},
	} {
		got := s.berth(t, strings.Fields(c.words)...)
		if got.code != c.code || got.out != c.out || got.err != c.err {
			t.Errorf("%s: got %d\n%s--- stderr\n%swant %d\n%s--- stderr\n%s", c.words, got.code, got.out, got.err, c.code, c.out, c.err)
		}
	}
	traced := s.berth(t, "--trace", "config:set", "shop", "KEY=secret")
	if !regexp.MustCompile(`(?m)^trace: config:set took \d+`).MatchString(traced.err) || strings.Contains(traced.err, "secret") {
		t.Errorf("--trace: %+v", traced)
	}
}

// Whatever the name of an app is, it is taken where a name stands.
func TestAppNames_AreTakenEverywhere(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"example.com", "2048", "7", "help", "logs", "apps", strings.Repeat("a", 63)} {
		if got := s.berth(t, "apps:create", name); got.code != 0 {
			t.Fatalf("%s: %+v", name, got)
		}
		for _, words := range [][]string{
			{"apps:info", name}, {"apps:info", "-a", name}, {"--app", name, "apps:info"}, {"--app", name, "apps:info", name},
			{"config:set", name, "A=1"}, {"ps:report", name}, {"events", name}, {"logs", name}, {"domains:report", name}, {"releases", name},
			{"url", name}, {"apps:locked", name},
		} {
			got := s.berth(t, words...)
			if got.code != 0 && !(words[0] == "apps:locked" && got.code == 1) {
				t.Errorf("%v: %+v", words, got)
			}
		}
	}
	for _, name := range []string{"müller.de", "Example.com", "a_b"} {
		got := s.berth(t, "apps:create", name)
		near := regexp.MustCompile(`hint:  (\S+) is a valid name`).FindStringSubmatch(got.err)
		if got.code != 2 || near == nil {
			t.Errorf("%s: %+v", name, got)
		} else if again := s.berth(t, "apps:create", near[1]); again.code != 0 && !strings.Contains(again.err, "E102") {
			t.Errorf("%s, as the hint has it: %+v", near[1], again)
		}
	}
}

func TestUnknown_NeverMisleads(t *testing.T) {
	s := newSite(t)
	for words, want := range map[string]string{
		"apps:lits":                      `did you mean "apps:list"?`,
		"app:create shop":                `did you mean "apps:create"?`,
		"domain:add shop x":              `did you mean "domains:add"?`,
		"rollbak shop":                   `did you mean "rollback"?`,
		"redis:create db":                "DATABASE_URL",
		"postgres:backup-auth db -a b":   "DATABASE_URL",
		"plugin:install https://x.test":  "berth has no plugins",
		"docker-options:add a b -v":      "does not use Docker",
		"nginx:set shop hsts true":       "berth router:set APP",
		"trace:on":                       "use the flag --trace",
		"deploy shop abc":                "ps:rebuild",
		"acl:add shop alice":             "berth ssh-keys:add NAME --app APP",
		"postgres:frobnicate x":          "DATABASE_URL",
		"apps:frobnicate":                "commands of apps: berth apps:",
		"frobnicate:create x":            "berth help lists them",
		"zzz":                            "berth help lists them",
		"builder-pack:set shop x":        "berth builder:set",
		"events:off":                     "always recorded",
		"buildpacks:add shop heroku/php": ".buildpacks",
	} {
		got := s.berth(t, strings.Fields(words)...)
		if flat := strings.Join(strings.Fields(got.err), " "); got.code != 2 || !strings.Contains(flat, "[E150]") || !strings.Contains(flat, want) {
			t.Errorf("%s: got %d %s, want %q", words, got.code, got.err, want)
		}
		noun, _, _ := strings.Cut(words, ":")
		if strings.Contains(got.err, "did you mean") && !strings.Contains(got.err, `"`+noun) && noun != "rollbak shop" {
			t.Errorf("%s is taken for a command of another noun: %s", words, got.err)
		}
	}
}

// Every command that the table names is one.
func TestDokku_TheTableNamesCommandsThatThereAre(t *testing.T) {
	c := &cli{in: strings.NewReader(""), out: io.Discard, err: io.Discard, local: true}
	names := c.names()
	command := regexp.MustCompile(`berth ([a-z][a-z-]*:[a-z-]+|events|help|logs|run)\b`)
	count := 0
	for v := range verbs.DokkuVerbs(names) {
		count++
		for _, m := range command.FindAllStringSubmatch(v.Instead, -1) {
			if !slices.Contains(names, m[1]) {
				t.Errorf("%s: there is no command %q", v.Name, m[1])
			}
		}
	}
	if count < 350 {
		t.Errorf("the table has %d commands of Dokku's", count)
	}
	for _, name := range []string{"events:on", "repo:gc", "repo:purge-cache", "builds:prune", "cleanup", "report", "ps:restore"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is no command", name)
		}
	}
}

func TestHelp_OfANoun(t *testing.T) {
	s := newSite(t)
	for _, words := range []string{"apps:help", "--quiet apps:help"} {
		got := s.berth(t, strings.Fields(words)...)
		if got.code != 0 || !strings.Contains(got.out, "apps:create NAME") || strings.Contains(got.out, "\nps:") {
			t.Errorf("%s: %+v", words, got)
		}
	}
	if got := s.berth(t, "help", "--all"); got.code != 0 || !strings.Contains(got.out, "apps:create") {
		t.Errorf("help --all: %+v", got)
	}
	if got := s.berth(t, "redis:help"); got.code != 2 || !strings.Contains(got.err, "E150") {
		t.Errorf("help of a noun that there is not: %+v", got)
	}
}

func TestRegistryLogin_NoErrorShowsThePassword(t *testing.T) {
	s := newSite(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{
		{"registry:login", "a", "b", "hunter2", "c", "d"},
		{"registry:login", "hunter2"},
		{"registry:login", "--password-stdin", "r.test", "alice", "hunter2"},
		{"registry:login", "--global", "-a", "shop", "r.test", "alice", "hunter2"},
		{"registry:login", "--global", "app", "r.test", "alice", "hunter2"},
		{"registry:login", "r.test", "alice", file},
	} {
		var out, err bytes.Buffer
		c := &cli{client: s.server.Client(store.Root), in: strings.NewReader(""), out: &out, err: &err, local: true}
		if code := c.run(t.Context(), words); code != 2 || strings.Contains(err.String()+out.String(), "hunter2") || strings.Contains(err.String(), file) {
			t.Errorf("%q: %d %s", words, code, &err)
		}
	}
}

// dokkuTable is the table of docs/dokku.md: of each noun what is the same, then
// what there is for the others.
func dokkuTable() string {
	c := &cli{in: strings.NewReader(""), out: io.Discard, err: io.Discard, local: true}
	var b strings.Builder
	b.WriteString("| Dokku | berth |\n|---|---|\n")
	var services, answers []string
	of := map[string][]string{} // commands of a noun by their answer
	noun := ""
	flush := func() {
		for _, answer := range answers {
			fmt.Fprintf(&b, "| `%s` | %s |\n", strings.Join(of[answer], "`, `"), asCode(answer))
		}
		answers, of = nil, map[string][]string{}
	}
	for v := range verbs.DokkuVerbs(c.names()) {
		if v.Noun != noun {
			flush()
			noun = v.Noun
		}
		answer := v.Instead
		switch {
		case strings.Contains(answer, "DATABASE_URL"): // each has some forty verbs, the same
			if name := "`" + noun + ":*`"; !slices.Contains(services, name) {
				services = append(services, name)
			}
			continue
		case answer != "":
		case verbs.DokkuDone[v.Name] != "":
			answer = "taken, with nothing to do: " + verbs.DokkuDone[v.Name]
		case slices.Contains(c.names(), v.Name):
			answer = "yes"
		default:
			answer = "no"
		}
		if of[answer] == nil {
			answers = append(answers, answer)
		}
		of[answer] = append(of[answer], v.Name)
	}
	flush()
	if len(services) > 0 {
		fmt.Fprintf(&b, "| %s | berth has no data services; set the URL of one on another machine: `berth config:set APP DATABASE_URL=...` |\n", strings.Join(services, ", "))
	}
	return b.String()
}

// asCode sets the commands of a text.
func asCode(text string) string {
	text = regexp.MustCompile(`berth (?:[a-z][a-z-]*:[a-z-]+|events|help|logs|run)\b(?: [A-Z|]{2,}| selected| build-dir| maintenance-page| memory 1GB| processes 500| --?[a-z-]+| json| bash)*`).ReplaceAllString(text, "`$0`")
	return strings.ReplaceAll(text, "|", `\|`)
}

const (
	tableBegins = "<!-- The table is generated: UPDATE_DOCS=1 go test ./cmd/berth -run TestDocs_CommandReference -->\n\n"
	tableEnds   = "\n<!-- end of the table -->"
)

func TestDocs_CommandReferenceOfDokku(t *testing.T) {
	path := filepath.Join(docsRoot, "docs", "dokku.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegins)
	table, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		t.Fatal("docs/dokku.md has lost the marks of its table")
	}
	want := dokkuTable()
	if os.Getenv("UPDATE_DOCS") != "" {
		table = want
		if err := os.WriteFile(path, []byte(before+tableBegins+want+tableEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if table != want {
		t.Error("docs/dokku.md is not what the commands say: UPDATE_DOCS=1 go test ./cmd/berth -run TestDocs_CommandReference")
	}
}

// A header is one by its name, for --quiet to leave it out.
func TestHouse_HeadersAreHeaders(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`\.row\("[A-Z][A-Z ]*"`)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range row.FindAllString(string(text), -1) {
			t.Errorf("%s: %s... is the row of the columns' names: header", name, m)
		}
	}
}
