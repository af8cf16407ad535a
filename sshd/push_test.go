package sshd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

func (d *door) ref(t *testing.T, app, ref string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.repos.Dir, d.house.repository(app), ref))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestPush_CreatesTheAppDeploysAndCanBeClonedBack(t *testing.T) {
	d := openDoor(t, Config{})
	d.deploys(func(_ context.Context, p deploy.Push) error {
		fmt.Fprintf(p.Out, "success: v1 live\n")
		return nil
	})
	c := d.client(t, "alice", store.RoleDeploy)
	id := c.git("rev-parse", "HEAD")
	out, err := c.push("shop", "main")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantText(t, out, "remote: -----> shop  new app, created by this push", "success: v1 live")
	if len(d.pushed()) != 1 || d.pushed()[0].Commit != id || d.pushed()[0].Branch != "main" || d.pushed()[0].By.Name != "alice" {
		t.Errorf("pushes %+v", d.pushed())
	}
	if got := d.ref(t, "shop", "refs/heads/main"); got != id {
		t.Errorf("main is at %s, want %s", got, id)
	}
	c.git("clone", "-q", c.remote("shop"), "copy")
	if text, err := os.ReadFile(filepath.Join(c.home, "copy", "hello.py")); err != nil || len(text) == 0 {
		t.Errorf("clone: %v", err)
	}
	c.commit("hello.py", "print('Hello again!')\n")
	for _, spelling := range []string{"/shop", "shop.git", "~/shop.git"} {
		c.commit("hello.py", "print('"+spelling+"')\n")
		if out, err := c.push(spelling, "main"); err != nil {
			t.Errorf("push to %s: %v\n%s", spelling, err, out)
		}
	}
	if expected := d.expecting(); len(expected) != 3 {
		t.Errorf("expected %v: a push to an app that is there is told beforehand", expected)
	}
	if strings.Contains(d.log.String(), "level=ERROR") || strings.Contains(d.log.String(), "level=WARN") {
		t.Errorf("log:\n%s", d.log.String())
	}
}

func TestPush_FailedDeployRefusesAndTheSameCommitCanBePushedAgain(t *testing.T) {
	d := openDoor(t, Config{})
	var mended atomic.Bool
	d.deploys(func(_ context.Context, p deploy.Push) error {
		if !mended.Load() {
			fmt.Fprintln(p.Out, "error: it does not build [E201]")
			return fault.New(fault.Failed, "E201", "it does not build")
		}
		return nil
	})
	c := d.client(t, "alice", store.RoleDeploy)
	out, err := c.push("shop", "main")
	if err == nil {
		t.Error("a failed build was accepted")
	}
	if strings.Count(out, "does not build") != 1 || !strings.Contains(out, "pre-receive hook declined") {
		t.Errorf("said:\n%s", out)
	}
	if !d.has("shop") {
		t.Error("the app is gone: its config could not be set now")
	}
	mended.Store(true)
	if out, err := c.push("shop", "main"); err != nil {
		t.Errorf("second push: %v\n%s", err, out)
	}
}

func TestPush_PanicInADeployRefusesThePushAlone(t *testing.T) {
	d := openDoor(t, Config{})
	d.deploys(func(context.Context, deploy.Push) error { panic("boom") })
	c := d.client(t, "alice", store.RoleDeploy)
	out, err := c.push("shop", "main")
	if err == nil {
		t.Error("the push went through")
	}
	wantText(t, out, "internal error (ref ", "pre-receive hook declined")
	wantText(t, d.log.String(), "boom")
	d.deploys(nil)
	if out, err := c.push("shop", "main"); err != nil {
		t.Errorf("the next push: %v\n%s", err, out)
	}
}

func TestPush_DryRunAndRefusedPackCreateNothing(t *testing.T) {
	d := openDoor(t, Config{})
	c := d.client(t, "alice", store.RoleDeploy)
	if out, err := c.gitCommand("push", "--dry-run", c.remote("shop"), "main").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// A tree that fsck refuses: a link and a directory of the same name.
	blob := c.git("hash-object", "-w", "hello.py")
	inner := c.input("100644 blob "+blob+"\tpasswd\n", "mktree")
	raw := func(id string) string { return hexDecode(t, id) }
	tree := c.input("120000 a\x00"+raw(blob)+"40000 a\x00"+raw(inner), "hash-object", "-t", "tree", "-w", "--stdin", "--literally")
	c.git("update-ref", "refs/heads/evil", c.input("evil\n", "commit-tree", tree))
	out, err := c.push("shop", "evil")
	if err == nil {
		t.Error("a hostile tree was accepted")
	}
	wantText(t, out, "duplicateEntries")
	if d.has("shop") {
		t.Error("the app was created")
	}
	eventually(t, "no repository left", func() bool {
		_, err := os.Stat(filepath.Join(d.repos.Dir, d.house.repository("shop")))
		return os.IsNotExist(err)
	})
}

func TestPush_OtherRefsAreStoredAndTheDeployBranchStays(t *testing.T) {
	d := openDoor(t, Config{})
	c := d.client(t, "alice", store.RoleDeploy)
	c.git("branch", "feature")
	c.git("tag", "v1")
	// Several at once: main is the one, whatever the order.
	out, err := c.push("shop", "feature", "main", "v1")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantText(t, out, "2 refs stored; only main is deployed")
	if len(d.pushed()) != 1 || d.pushed()[0].Branch != "main" {
		t.Errorf("pushes %+v", d.pushed())
	}
	out, err = c.push("shop", ":main")
	if err == nil {
		t.Error("the deploy branch was deleted")
	}
	wantText(t, out, "cannot be deleted [E174]", "git:set shop deploy-branch")
	out, err = c.push("shop", ":feature")
	if err != nil {
		t.Errorf("deleting another branch: %v\n%s", err, out)
	}
	wantText(t, out, "feature deleted")
	c.git("tag", "v2")
	out, err = c.push("shop", "v2")
	if err != nil {
		t.Errorf("a tag: %v\n%s", err, out)
	}
	wantText(t, out, "tag v2 stored; only main is deployed")
	out, err = c.push("shop", "v2:refs/tags/v3", ":v2")
	if err != nil {
		t.Errorf("one tag instead of another: %v\n%s", err, out)
	}
	wantText(t, out, "tag v3 stored, tag v2 deleted")
	if len(d.pushed()) != 1 {
		t.Errorf("%d deploys, want 1", len(d.pushed()))
	}
	// A forced push deploys too.
	c.git("checkout", "-q", "main")
	c.git("commit", "-q", "--amend", "-m", "other")
	if out, err := c.push("shop", "+main"); err != nil || len(d.pushed()) != 2 {
		t.Errorf("forced: %v\n%s", err, out)
	}
}

// A pipeline goes by the exit code: a push that deploys nothing has failed.
func TestPush_WhatWouldDeployNothingIsRefused(t *testing.T) {
	d := openDoor(t, Config{})
	c := d.client(t, "alice", store.RoleDeploy)
	refused := func(refspec string, texts ...string) {
		t.Helper()
		out, err := c.push("shop", refspec)
		if err == nil {
			t.Errorf("%s was taken:\n%s", refspec, out)
		}
		wantText(t, out, texts...)
	}
	c.git("tag", "v1")
	refused("v1", "shop does not exist yet", "[E409]")
	refused("HEAD:refs/for/main", "is not a branch", "[E404]", "git push berth HEAD:main")
	if d.has("shop") {
		t.Error("a refused push made the app")
	}
	if out, err := c.push("shop", "main:master"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	refused("main", "nothing would be deployed: shop deploys master", "main [E404]",
		"berth git:set shop deploy-branch main", "git push berth main:master")
	refused("HEAD:refs/for/main", "shop deploys master", "[E404]", "git push berth HEAD:master")
	refused("HEAD:refs/notes/x", "[E404]")
	if len(d.pushed()) != 1 || d.ref(t, "shop", "refs/heads/main") != "" {
		t.Errorf("%d deploys, main at %q", len(d.pushed()), d.ref(t, "shop", "refs/heads/main"))
	}
}

func TestPush_AnAnnotatedTagOnTheDeployBranchIsItsCommit(t *testing.T) {
	d := openDoor(t, Config{})
	c := d.client(t, "alice", store.RoleDeploy)
	c.git("tag", "-a", "-m", "release", "v1")
	id := c.git("rev-parse", "HEAD")
	out, err := c.push("shop", "v1:refs/heads/main", "v1")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(d.pushed()) != 1 || d.pushed()[0].Commit != id || d.ref(t, "shop", "refs/heads/main") != id {
		t.Errorf("pushes %+v, main at %s, want %s", d.pushed(), d.ref(t, "shop", "refs/heads/main"), id)
	}
}

func TestPush_ARefusedFirstPushLeavesNoUnusedApp(t *testing.T) {
	d := openDoor(t, Config{})
	c := d.client(t, "alice", store.RoleDeploy)
	blob := c.git("hash-object", "-w", "hello.py")
	for _, refspecs := range [][]string{
		{blob + ":refs/heads/main"},
		{"main", "main:refs/heads/main/below"},
	} {
		out, err := c.push("shop", refspecs...)
		if err == nil {
			t.Errorf("%s was taken:\n%s", refspecs, out)
		}
		if d.has("shop") || len(d.pushed()) > 0 {
			t.Errorf("%s made the app:\n%s", refspecs, out)
		}
	}
	d.deploys(func(context.Context, deploy.Push) error {
		return fault.New(fault.Failed, "E402", "berth is being restarted")
	})
	if out, err := c.push("shop", "main"); err == nil {
		t.Errorf("taken:\n%s", out)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.left) != 1 || d.left[0] != "shop" {
		t.Errorf("to be destroyed unless used: %v, want shop", d.left)
	}
}

// A shallow clone is what CI systems push from.
func TestPush_AShallowCloneDeploys(t *testing.T) {
	d := openDoor(t, Config{})
	c := d.client(t, "alice", store.RoleDeploy)
	c.commit("hello.py", "print(2)\n")
	c.git("clone", "-q", "--depth", "1", "file://"+c.home, "ci")
	push := c.gitCommand("-C", "ci", "push", c.remote("shop"), "main")
	if out, err := push.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if id := c.git("rev-parse", "HEAD"); len(d.pushed()) != 1 || d.ref(t, "shop", "refs/heads/main") != id {
		t.Errorf("%d deploys, main at %q, want %s", len(d.pushed()), d.ref(t, "shop", "refs/heads/main"), id)
	}
}

func TestPush_TheDeployHearsOfALeftPusher(t *testing.T) {
	d := openDoor(t, Config{})
	entered, gone := make(chan bool), make(chan error, 1)
	d.deploys(func(ctx context.Context, p deploy.Push) error {
		entered <- true
		<-ctx.Done() // as it waits for its turn
		gone <- ctx.Err()
		return ctx.Err()
	})
	c := d.client(t, "alice", store.RoleDeploy)
	kill := c.startPush("shop", "main")
	<-entered
	kill()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	d.deploys(nil)
	if out, err := c.push("shop", "main"); err != nil {
		t.Errorf("the next push: %v\n%s", err, out)
	}
}

func TestPush_Roles(t *testing.T) {
	d := openDoor(t, Config{})
	alice := d.client(t, "alice", store.RoleDeploy)
	if out, err := alice.push("shop", "main"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	reader := d.client(t, "reader", store.RoleRead)
	out, err := reader.push("shop", "main")
	if err == nil {
		t.Error("a reader pushed")
	}
	wantText(t, out, "E110")
	reader.git("clone", "-q", reader.remote("shop"), "copy")
	ci := d.client(t, "ci", store.RoleDeploy, "blog")
	for _, app := range []string{"shop", "new-app"} {
		out, err := ci.push(app, "main")
		if err == nil {
			t.Errorf("ci pushed to %s", app)
		}
		wantText(t, out, "E111")
	}
	if out, err := ci.gitCommand("clone", ci.remote("shop"), "copy").CombinedOutput(); err == nil {
		t.Errorf("ci cloned shop:\n%s", out)
	}
	out2, err := alice.gitCommand("clone", alice.remote("nowhere"), "copy").CombinedOutput()
	if err == nil {
		t.Error("cloned what is not there")
	}
	wantText(t, string(out2), "E101")
}

func TestLookup_DoesNotDiscloseWhichAppsThereAre(t *testing.T) {
	h := &house{apps: map[string]store.App{"shop": {Name: "shop"}}}
	p := &Pushes{app: h.app}
	bound := store.User{Name: "ci", Role: store.RoleDeploy, Apps: []string{"blog"}}
	answer := func(name string) string {
		_, _, err := p.lookup(bound, name)
		if err == nil {
			t.Fatalf("ci may push to %s", name)
		}
		return strings.ReplaceAll(err.Error(), name, "NAME")
	}
	if there, missing := answer("shop"), answer("nowhere"); there != missing {
		t.Errorf("got %q for an app that exists and %q for one that does not", there, missing)
	}
}

func TestPush_TheAppIsLookedUpAgainAfterTheUpload(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(apps map[string]store.App)
		want   string
	}{
		{"another deploy branch", func(apps map[string]store.App) {
			app := apps["shop"]
			app.Branch = "other"
			apps["shop"] = app
		}, "nothing would be deployed: shop deploys other"},
		{"destroyed", func(apps map[string]store.App) { delete(apps, "shop") }, "shop was destroyed or renamed during your push [E422]"},
		{"another app of that name", func(apps map[string]store.App) { apps["shop"] = store.App{Name: "shop", UID: 71_000} }, "[E422]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := openDoor(t, Config{})
			c := d.client(t, "alice", store.RoleDeploy)
			if out, err := c.push("shop", "main"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			c.commit("hello.py", "print(2)\n")
			d.mu.Lock()
			d.upload = func(string) { row.change(d.apps) }
			d.mu.Unlock()
			out, err := c.push("shop", "main")
			if err == nil || len(d.pushed()) != 1 {
				t.Errorf("the push was deployed:\n%s", out)
			}
			wantText(t, out, row.want)
		})
	}
}

func TestPush_HostileNames(t *testing.T) {
	d := openDoor(t, Config{})
	c := d.client(t, "alice", store.RoleAdmin)
	for _, name := range []string{"../x", "a;id", "-x", "--upload-pack=id", "a/b", "$(id)", ".git", "a'b", "x\x1b[31m", "UP"} {
		out, err := c.push(name, "main")
		if err == nil {
			t.Errorf("pushed to %q:\n%s", name, out)
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%q: the escape came back: %q", name, out)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(d.repos.Dir, "*")); len(found) > 0 {
		t.Errorf("made: %v", found)
	}
}

func TestPush_KilledClientNeitherStopsTheDeployNorLeavesDebris(t *testing.T) {
	d := openDoor(t, Config{})
	entered, release := make(chan bool), make(chan bool)
	d.deploys(func(_ context.Context, p deploy.Push) error {
		entered <- true
		<-release
		for range 1000 {
			fmt.Fprintln(p.Out, strings.Repeat("x", 70))
		}
		return nil
	})
	c := d.client(t, "alice", store.RoleDeploy)
	kill := c.startPush("shop", "main")
	<-entered
	kill()
	release <- true
	want := c.git("rev-parse", "HEAD")
	eventually(t, "the ref of what was deployed", func() bool { return d.ref(t, "shop", "refs/heads/main") == want })
	// One that dies while its pack is on the way.
	big := make([]byte, 32<<20)
	f, _ := os.Open("/dev/urandom")
	f.Read(big)
	f.Close()
	c.commit("big", string(big))
	kill = c.startPush("shop", "main")
	eventually(t, "a quarantine", func() bool {
		found, _ := filepath.Glob(filepath.Join(d.repos.Dir, d.house.repository("shop"), "objects/tmp_objdir-*"))
		return len(found) > 0
	})
	kill()
	eventually(t, "no debris", func() bool {
		found, _ := filepath.Glob(filepath.Join(d.repos.Dir, d.house.repository("shop"), "objects/tmp_*"))
		return len(found) == 0
	})
}

// startPush starts a push and returns what kills it and all of its helpers, as
// a closed terminal does.
func (c *client) startPush(app, ref string) (kill func()) {
	c.t.Helper()
	cmd := c.gitCommand("push", c.remote(app), ref)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	}
}

func TestPush_LinesFitTheScreen(t *testing.T) {
	var b strings.Builder
	say(&b, fault.New(fault.Conflict, "E401", "a newer push took the place of this one: the push by %s", strings.Repeat("n", 40)).
		Hint("check what is live, then push again to replace it, or do not; this hint is long").Hint("second"))
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for _, line := range append(lines, "       "+aside([]git.Update{{Ref: "refs/heads/" + strings.Repeat("b", 99), New: "1"}}, strings.Repeat("d", 99))) {
		if len(line) > columns {
			t.Errorf("%d columns: %q", len(line), line)
		}
	}
}

func hexDecode(t *testing.T, id string) string {
	t.Helper()
	raw, err := hex.DecodeString(id)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// eventually waits for something that another process does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestPush_LongOutputArrivesWhole(t *testing.T) {
	d := openDoor(t, Config{})
	const lines = 4000
	d.deploys(func(_ context.Context, p deploy.Push) error {
		for n := range lines {
			fmt.Fprintf(p.Out, "line %d of what a long build says, and it says it at its own pace\n", n)
			if n%100 == 0 {
				time.Sleep(3 * time.Millisecond) // bursts, as apt and pip have them
			}
		}
		fmt.Fprintln(p.Out, "success: the end")
		return nil
	})
	c := d.client(t, "alice", store.RoleDeploy)
	for n := range 4 {
		c.commit("hello.py", fmt.Sprintf("print(%d)\n", n))
		out, err := c.push("shop", "main")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := strings.Count(out, "remote: line "); got != lines || !strings.Contains(out, "success: the end") {
			t.Errorf("%d of %d lines arrived; the last: %q", got, lines, out[max(0, len(out)-300):])
		}
	}
}

func TestPush_OntoAFullDiskSaysSo(t *testing.T) {
	d := openDoor(t, Config{})
	d.deploys(nil)
	if err := os.MkdirAll(d.repos.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", d.repos.Dir, "tmpfs", 0, "size=1m,mode=0711"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount: %v", err)
		}
		t.Skipf("needs root to mount a small filesystem: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(d.repos.Dir, syscall.MNT_DETACH) })
	c := d.client(t, "alice", store.RoleDeploy)
	if out, err := c.push("shop", "main"); err != nil {
		t.Fatalf("a push that fits: %v\n%s", err, out)
	}
	big := make([]byte, 3<<20)
	rand.Read(big)
	c.commit("big", string(big))
	out, err := c.push("shop", "main")
	if err == nil {
		t.Error("a push that does not fit was accepted")
	}
	wantText(t, out, "the disk is full", "[E501]")

	ballast, err := os.Create(filepath.Join(d.repos.Dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	for _, app := range []string{"shop", "another"} {
		out, err := c.push(app, "main")
		if err == nil {
			t.Error("a push onto a disk without a free byte was accepted")
		}
		wantText(t, out, "the disk is full", "[E501]")
	}
	if d.has("another") {
		t.Error("an app was created")
	}
}

// A name that is refused is no app that somebody else was quicker to create.
func TestPush_ARefusedCreationIsTold(t *testing.T) {
	for code, want := range map[string]string{"E189": "E189", "E102": "E101"} {
		app := func(string) (store.App, error) { return store.App{}, fault.New(fault.NotFound, "E101", "gone again") }
		p := &push{Pushes: &Pushes{app: app, deployer: refuser{code: code}}, user: store.Root, missing: true}
		p.app.Name = "shop"
		if err := p.create(t.Context(), io.Discard); fault.From(err) == nil || fault.From(err).Code != want {
			t.Errorf("%s: got %v, want %s", code, err, want)
		}
	}
}

// refuser creates no app.
type refuser struct {
	Deployer // nothing else is asked
	code     string
}

func (r refuser) CreateApp(context.Context, string, store.User) (store.App, error) {
	return store.App{}, fault.New(fault.Conflict, r.code, "no")
}

func eventuallyWaiting(t *testing.T, d *door, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d waiting", n), func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.waiting == n
	})
}

// What comes in when the turn ends, as when the app is destroyed, is given up.
func TestPush_AnUploadEndsWithItsTurn(t *testing.T) {
	d := openDoor(t, Config{})
	c := d.client(t, "alice", store.RoleDeploy)
	ctx, end := context.WithCancelCause(t.Context())
	d.mu.Lock()
	d.life = ctx
	d.upload = func(string) {}
	d.mu.Unlock()
	if out, err := c.push("shop", "main"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.commit("hello.py", "print(2)\n")
	d.mu.Lock()
	d.upload = func(string) { end(fault.New(fault.Conflict, "E420", "shop was destroyed by bob")) }
	d.mu.Unlock()
	out, err := c.push("shop", "main")
	if err == nil || len(d.pushed()) != 1 {
		t.Errorf("it was deployed:\n%s", out)
	}
	wantText(t, out, "shop was destroyed by bob", "[E420]")
}

// One who waits for the turn learns then whether the app is still the same.
func TestPush_WhoWaitsDoesNotBringADestroyedAppBack(t *testing.T) {
	d := openDoor(t, Config{})
	c := d.client(t, "alice", store.RoleDeploy)
	if out, err := c.push("shop", "main"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d.turn <- true
	c.commit("hello.py", "print(2)\n")
	said := make(chan string, 1)
	go func() { out, _ := c.push("shop", "main"); said <- out }()
	eventuallyWaiting(t, d, 1)
	d.mu.Lock()
	delete(d.apps, "shop")
	d.mu.Unlock()
	<-d.turn
	wantText(t, <-said, "shop was destroyed or renamed while your push waited for another", "[E422]")
	if d.has("shop") {
		t.Error("the push that waited made the app again")
	}
}

// The same developer goes on and pushes again while the first one builds. What git
// is told of the refs is what they are when the turn has come.
func TestPush_ASecondThatWaitedFits(t *testing.T) {
	d := openDoor(t, Config{})
	entered, release := make(chan bool), make(chan bool)
	d.deploys(func(_ context.Context, p deploy.Push) error { entered <- true; <-release; return nil })
	c := d.client(t, "alice", store.RoleDeploy)
	c.commit("hello.py", "print(1)\n")
	push := func() chan error {
		done := make(chan error, 1)
		go func() { _, err := c.push("shop", "main"); done <- err }()
		return done
	}
	first := push()
	<-entered
	id := c.commit("hello.py", "print(2)\n")
	second := push()
	eventuallyWaiting(t, d, 1)
	release <- true
	<-entered
	release <- true
	for what, done := range map[string]chan error{"first": first, "second": second} {
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := d.ref(t, "shop", "refs/heads/main"); got != id {
		t.Errorf("main is at %s, want the second push, %s", got, id)
	}
}
