package deploy

import (
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/git"
	"github.com/berthd/berth/store"
)

// tree lists the files under a directory with what is in them.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			text, readErr := os.ReadFile(path)
			err = readErr
			list = append(list, strings.TrimPrefix(path, dir+"/")+"="+string(text))
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

func lay(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// before is an installation of a berth that kept files under the names of apps:
// shop has the id 70001, blog 70002.
type before struct {
	db        *store.Store
	repos     git.Repositories
	git, logs string
}

func underNames(t *testing.T) before {
	t.Helper()
	dir := t.TempDir()
	fixture := "../store/testdata/format1/"
	packed, err := os.Open(fixture + "berth.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	state, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(fixture + "secret.key")
	if err != nil {
		t.Fatal(err)
	}
	lay(t, filepath.Join(dir, "berth.db"), string(state))
	lay(t, filepath.Join(dir, "secret.key"), string(key))
	b := before{git: filepath.Join(dir, "git"), logs: filepath.Join(dir, "logs")}
	b.repos = git.Repositories{Dir: b.git}
	if b.db, err = store.Open(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.db.Close() })
	for _, name := range []string{"shop", "blog"} {
		lay(t, filepath.Join(b.git, name+".git", "HEAD"), name)
		lay(t, filepath.Join(b.logs, name, "v1", "web.1.c.log"), name)
		lay(t, filepath.Join(b.logs, name, "access.log"), name)
	}
	lay(t, filepath.Join(b.logs, "access.log"), "nobody's")
	return b
}

func (b before) adopt(t *testing.T) {
	t.Helper()
	if err := AdoptFiles(b.db, b.repos, b.logs, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

func TestAdoptFiles_MovesOnceWhatLiesUnderNames(t *testing.T) {
	b := underNames(t)
	// A life before this one was ended in the middle.
	if err := os.Rename(filepath.Join(b.logs, "shop"), filepath.Join(b.logs, "70001")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.adopt(t)
		if got := tree(t, b.git); got != "70001.git/HEAD=shop 70002.git/HEAD=blog" {
			t.Errorf("repositories: %s", got)
		}
		want := "70001/access.log=shop 70001/v1/web.1.c.log=shop 70002/access.log=blog 70002/v1/web.1.c.log=blog access.log=nobody's"
		if got := tree(t, b.logs); got != want {
			t.Errorf("logs: %s", got)
		}
	}
	// From now on a directory of that name is nobody's.
	lay(t, filepath.Join(b.logs, "shop", "v7", "web.1.c.log"), "another's")
	b.adopt(t)
	if got := tree(t, filepath.Join(b.logs, "70001")); strings.Contains(got, "another's") {
		t.Errorf("the app has the logs of another one: %s", got)
	}
}

func TestAdoptFiles_AfterTheOlderBerthWasBackForAWhile(t *testing.T) {
	b := underNames(t)
	lay(t, filepath.Join(b.git, "70001.git", "HEAD"), "before")
	lay(t, filepath.Join(b.logs, "70001", "v1", "web.1.b.log"), "before")
	b.adopt(t)
	got := tree(t, b.git)
	if !strings.HasPrefix(got, "70001.git/HEAD=shop 70002.git/HEAD=blog left-70001-") || !strings.HasSuffix(got, "/70001.git/HEAD=before") {
		t.Errorf("repositories: %s", got)
	}
	if got := tree(t, filepath.Join(b.logs, "70001")); got != "access.log=shop v1/web.1.b.log=before v1/web.1.c.log=shop" {
		t.Errorf("logs: %s", got)
	}
}

func TestAdoptFiles_ANewStateHasNone(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	lay(t, filepath.Join(d.cfg.Git.Dir, "shop.git", "HEAD"), "another's")
	if err := AdoptFiles(d.db, d.cfg.Git, d.cfg.Logs, d.log); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, d.cfg.Git.Dir); got != "shop.git/HEAD=another's" {
		t.Errorf("got %s", got)
	}
}

func TestAdoptFiles_RemovesTheLogsOfDestroyedApps(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	for _, app := range []string{"gone", "blog"} {
		update(t, d, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: app}); return err })
	}
	for _, dir := range []string{shopID, "70001", "70002", "70003", "shop"} {
		lay(t, filepath.Join(d.cfg.Logs, dir, "access.log"), "")
	}
	lay(t, filepath.Join(d.cfg.Logs, "access.log"), "")
	update(t, d, func(tx *store.Tx) error { return tx.DeleteApp("gone") })
	if err := AdoptFiles(d.db, d.cfg.Git, d.cfg.Logs, d.log); err != nil {
		t.Fatal(err)
	}
	// 70003 was never given by this state.
	if got := tree(t, d.cfg.Logs); got != "70000/access.log= 70002/access.log= 70003/access.log= access.log= shop/access.log=" {
		t.Errorf("left: %s", got)
	}
}

func TestRenameApp_MovesNoFile(t *testing.T) {
	d, table := newDeployerWith(t, noHosts{})
	requests := edge.NewRequests(d.db, table, d.cfg.AccessLog)
	_, a := shop(t, d)
	a.fleet.Reroute()
	d.logs.Note(a.fleet, 1, "web.1", "crashed")
	lay(t, filepath.Join(d.cfg.Git.Dir, a.id()+".git", "HEAD"), "main")
	lay(t, filepath.Join(d.cfg.Caches, a.id(), "uv", "index"), "cached")
	before := tree(t, filepath.Dir(d.cfg.Logs))
	stats := requests.Counters()
	if _, ok := stats["shop"]; !ok || len(stats) != 1 {
		t.Errorf("the counters are of %v, want those of shop", stats)
	}
	if _, err := d.RenameApp(t.Context(), "shop", "store", store.Root, io.Discard); err != nil {
		t.Fatal(err)
	}
	strip := func(s string) string { // the state itself changes
		_, rest, _ := strings.Cut(s, "caches/")
		return rest
	}
	if after := tree(t, filepath.Dir(d.cfg.Logs)); strip(after) != strip(before) {
		t.Errorf("got %s\nwant %s", strip(after), strip(before))
	}
	if stats := requests.Counters(); len(stats) != 1 {
		t.Errorf("the counters are of %v, want those of store", stats)
	} else if _, ok := stats["store"]; !ok {
		t.Errorf("the counters are of %v, want those of store", stats)
	}
}

func TestReserve_TheNextAppInheritsNothing(t *testing.T) {
	d := newDeployer(t)
	// A state that was put back to how it was before an app with this id.
	lay(t, filepath.Join(d.cfg.Git.Dir, "70000.git", "HEAD"), "another's")
	lay(t, filepath.Join(d.cfg.Logs, "70000", "v1", "web.1.c.log"), "another's")
	lay(t, filepath.Join(d.cfg.Caches, "70000", "uv", "index"), "another's")
	uid, release, err := d.Reserve("shop")
	if err != nil || uid != 70000 {
		t.Fatalf("got %d, %v", uid, err)
	}
	lay(t, filepath.Join(d.cfg.Git.Dir, "70000.git", "HEAD"), "pushed") // before the app is made
	record, err := d.CreateApp(t.Context(), "shop", store.Root)
	if err != nil || record.UID != uid {
		t.Fatalf("got %+v, %v", record, err)
	}
	release()
	if got := tree(t, filepath.Join(d.cfg.Git.Dir, "70000.git")); !strings.Contains(got, "HEAD=pushed") {
		t.Errorf("what was pushed before the app was made is gone: %s", got)
	}
	if got := tree(t, d.cfg.Logs) + tree(t, d.cfg.Caches); strings.Contains(got, "another's") {
		t.Errorf("it has inherited %s", got)
	}
	left, _ := filepath.Glob(filepath.Join(d.cfg.Git.Dir, "left-70000-*", "70000.git", "HEAD"))
	if len(left) != 1 {
		t.Errorf("the other repository is not set aside: %q", left)
	}
}
