package deploy

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// asked has the router tell of a request.
func asked(d *Deployer, id, path string, status int) {
	d.cfg.AccessLog.Add(router.Access{Time: time.Now(), Route: id, URI: path, Status: status})
}

func requestPaths(t *testing.T, d *Deployer, q RequestQuery) (got []string) {
	t.Helper()
	if err := d.Requests(t.Context(), q, func(l RequestLine) error { got = append(got, l.Path); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRequests_CanBeNarrowedToAStatus(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	d.reroute(a)
	for _, r := range []struct {
		path   string
		status int
	}{{"/1", 200}, {"/2", 404}, {"/3", 500}, {"/4", 503}, {"/5", 499}} {
		asked(d, a.id(), r.path, r.status)
	}
	for status, want := range map[string][]string{
		"": {"/1", "/2", "/3", "/4", "/5"}, "5xx": {"/3", "/4"}, "4XX": {"/2", "/5"}, "503": {"/4"}, "100": nil,
	} {
		if got := requestPaths(t, d, RequestQuery{App: "shop", Status: status, Lines: -1}); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", status, got, want)
		}
	}
	for _, status := range []string{"xx", "6xx", "5x", "5xxx", "0xx", "50", "x5x", "-10", "5xx "} {
		err := d.Requests(t.Context(), RequestQuery{App: "shop", Status: status}, nil)
		if f := fault.From(err); f == nil || f.Code != "E186" {
			t.Errorf("%q: got %v, want E186", status, err)
		}
	}
}

func TestRequests_GoWithTheApp(t *testing.T) {
	d := newDeployer(t)
	_, a := shop(t, d)
	d.reroute(a)
	asked(d, a.id(), "/before", 200)
	if got := requestPaths(t, d, RequestQuery{App: "shop", Lines: -1}); len(got) != 1 {
		t.Fatalf("got %q", got)
	}
	by := store.User{Name: "alice"}
	if _, err := d.RenameApp(t.Context(), "shop", "store", by, io.Discard); err != nil {
		t.Fatal(err)
	}
	asked(d, a.id(), "/late", 200) // was under way
	asked(d, a.id(), "/after", 200)
	if got := requestPaths(t, d, RequestQuery{App: "store", Lines: -1}); !slices.Equal(got, []string{"/before", "/late", "/after"}) {
		t.Errorf("under its new name: got %q", got)
	}
	if err := d.DestroyApp(t.Context(), "store", by, io.Discard); err != nil {
		t.Fatal(err)
	}
	asked(d, a.id(), "/too-late", 200)
	d.reroute(a) // as an instance does that crashes now
	asked(d, a.id(), "/too-late", 200)
	if _, err := os.Stat(filepath.Join(d.cfg.Logs, a.id())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a destroyed app has a directory: %v", err)
	}
	if _, err := d.CreateApp(t.Context(), "store", by); err != nil {
		t.Fatal(err)
	}
	if got := requestPaths(t, d, RequestQuery{App: "store", Lines: -1}); got != nil {
		t.Errorf("its namesake has %q", got)
	}
}

func TestSetRouter_SaysWhatIsLogged(t *testing.T) {
	d := newDeployer(t)
	shop(t, d)
	by := store.User{Name: "alice"}
	for _, value := range []string{"paths", "off", "on"} {
		if _, err := d.SetRouter(t.Context(), "shop", "access-log", value, by); err != nil {
			t.Fatal(err)
		}
		route, err := d.routeOf("shop")
		if err != nil || string(route.Options.Log) != value {
			t.Errorf("set to %s: got %q, %v", value, route.Options.Log, err)
		}
	}
	if _, err := d.SetRouter(t.Context(), "shop", "access-log", "some", by); err == nil {
		t.Error("some was taken")
	}
}
