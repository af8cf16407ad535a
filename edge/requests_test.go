package edge

import (
	"slices"
	"testing"
	"time"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// asked has the router tell of a request.
func asked(d *world, id, path string, status int) {
	d.cfg.AccessLog.Add(router.Access{Time: time.Now(), Route: id, URI: path, Status: status})
}

func requestPaths(t *testing.T, d *world, q RequestQuery) (got []string) {
	t.Helper()
	if err := NewRequests(d.db, d.table, d.cfg.AccessLog).Requests(t.Context(), q, func(l RequestLine) error { got = append(got, l.Path); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRequests_CanBeNarrowedToAStatus(t *testing.T) {
	d := newWorld(t)
	id := create(t, d, "shop").ID()
	for _, r := range []struct {
		path   string
		status int
	}{{"/1", 200}, {"/2", 404}, {"/3", 500}, {"/4", 503}, {"/5", 499}} {
		asked(d, id, r.path, r.status)
	}
	for status, want := range map[string][]string{
		"": {"/1", "/2", "/3", "/4", "/5"}, "5xx": {"/3", "/4"}, "4XX": {"/2", "/5"}, "503": {"/4"}, "100": nil,
	} {
		if got := requestPaths(t, d, RequestQuery{App: "shop", Status: status, Lines: -1}); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", status, got, want)
		}
	}
	for _, status := range []string{"xx", "6xx", "5x", "5xxx", "0xx", "50", "x5x", "-10", "5xx "} {
		err := NewRequests(d.db, d.table, d.cfg.AccessLog).Requests(t.Context(), RequestQuery{App: "shop", Status: status}, nil)
		if f := fault.From(err); f == nil || f.Code != "E186" {
			t.Errorf("%q: got %v, want E186", status, err)
		}
	}
}

func TestSetRouter_SaysWhatIsLogged(t *testing.T) {
	d := newWorld(t)
	create(t, d, "shop")
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
