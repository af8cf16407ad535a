package edge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/fleet"
	"github.com/berthd/berth/runtime"
	"github.com/berthd/berth/store"
)

// wayBook is an engine that writes down what it is told.
type wayBook struct {
	told      []runtime.Passage
	times     int
	err       error
	addresses map[string][]netip.Addr
	owners    map[string]int
}

func (b *wayBook) SetPassages(_ context.Context, list []runtime.Passage) error {
	b.times++
	if b.err == nil {
		b.told = list
	}
	return b.err
}

func (b *wayBook) AddressesOf(id string) []netip.Addr { return b.addresses[id] }
func (b *wayBook) OwnerOf(addr netip.Addr) int        { return b.owners[addr.String()] }

func endpoint(process string, number int, serving string, listening ...string) fleet.Endpoint {
	return fleet.Endpoint{Type: process, Number: number, Container: fmt.Sprintf("%s-%d", process, number), Listening: listening, Serving: serving}
}

func TestDecide_OpensWhatIsListenedOnAndNothingElse(t *testing.T) {
	ids := map[string]int{"shop": 1, "api": 2}
	endpoints := map[int][]fleet.Endpoint{2: {
		endpoint("web", 1, "[::]:5000", "0.0.0.0:9090", "[::]:5000"),
		endpoint("web", 2, "127.0.0.1:5000", "127.0.0.1:5000", "10.213.0.9:6000"),
		endpoint("worker", 1, "", "127.0.0.1:1", "0.0.0.0:7000", "[::]:7001"),
	}}
	for _, row := range []struct{ port, want, named string }{
		{"web", "{1 web-1 5000}", "web.1:5000/46"},
		{"worker", "{1 worker-1 7000} {1 worker-1 7001}", "worker.1:7000/4 worker.1:7001/46"},
		{"5432", "{1 web-1 5432} {1 web-2 5432} {1 worker-1 5432}", "web.1:5432/ web.2:5432/ worker.1:5432/"},
		{"9090", "{1 web-1 9090} {1 web-2 9090} {1 worker-1 9090}", "web.1:9090/4 web.2:9090/ worker.1:9090/"},
		{"cron", "", ""},
	} {
		list, visible := decide([]store.Consent{{From: "shop", To: "api", Port: row.port}}, ids, endpoints)
		var texts, named []string
		for _, p := range list {
			texts = append(texts, fmt.Sprint(p))
		}
		for _, n := range visible[1]["api"] {
			families := ""
			if n.four {
				families += "4"
			}
			if n.six {
				families += "6"
			}
			named = append(named, fmt.Sprintf("%s.%d:%d/%s", n.process, n.number, n.port, families))
		}
		if got := strings.Join(texts, " "); got != row.want {
			t.Errorf("%s: got %s, want %s", row.port, got, row.want)
		}
		if got := strings.Join(named, " "); got != row.named {
			t.Errorf("%s: names lead to %s, want %s", row.port, got, row.named)
		}
		if visible[2] != nil {
			t.Errorf("%s: api sees %v by a consent to call it", row.port, visible[2])
		}
	}
	list, visible := decide([]store.Consent{{From: "shop", To: "api", Port: "web"}}, ids, nil)
	if _, known := visible[1]["api"]; len(list) != 0 || !known {
		t.Errorf("without an instance: %v, %v", list, visible)
	}
}

func TestConsents_FindIsForWhoMayCall(t *testing.T) {
	book := &wayBook{
		addresses: map[string][]netip.Addr{
			"web-1": {netip.MustParseAddr("10.213.0.5"), netip.MustParseAddr("fd01::5")}, "web-2": {netip.MustParseAddr("10.213.0.6")},
			"worker-1": {netip.MustParseAddr("10.213.0.7")},
		},
		owners: map[string]int{"10.213.0.2": 1, "10.213.0.3": 3},
	}
	c := NewConsents(nil, book, nil, nil, nil)
	shop, other, host := netip.MustParseAddr("10.213.0.2"), netip.MustParseAddr("10.213.0.3"), netip.MustParseAddr("10.213.0.1")
	if _, found := c.Find(shop, "api"); found {
		t.Error("a name is found before anything is known")
	}
	ids := map[string]int{"shop": 1, "api": 2, "v2.api": 4}
	_, visible := decide([]store.Consent{
		{From: "shop", To: "api", Port: "web"}, {From: "shop", To: "api", Port: "worker"}, {From: "shop", To: "v2.api", Port: "web"},
	}, ids, map[int][]fleet.Endpoint{2: {
		endpoint("web", 1, "[::]:5000", "[::]:5000"), endpoint("web", 2, "0.0.0.0:5000", "0.0.0.0:5000"), endpoint("worker", 1, "", "0.0.0.0:7000"),
	}})
	c.visible.Store(&visible)
	for name, want := range map[string]string{
		"api": "1.web.api[10.213.0.5 fd01::5]:5000 2.web.api[10.213.0.6]:5000", "web.api": "1.web.api[10.213.0.5 fd01::5]:5000 2.web.api[10.213.0.6]:5000",
		"2.web.api": "2.web.api[10.213.0.6]:5000", "worker.api": "1.worker.api[10.213.0.7]:7000",
		"v2.api": "", "web.v2.api": "",
	} {
		targets, found := c.Find(shop, name)
		var texts []string
		for _, target := range targets {
			texts = append(texts, fmt.Sprintf("%s%v:%d", target.Name, target.Addresses, target.Port))
		}
		if got := strings.Join(texts, " "); got != want || !found {
			t.Errorf("%s: got %s, %v; want %s", name, got, found, want)
		}
		for _, asker := range []netip.Addr{other, host, {}} {
			if _, found := c.Find(asker, name); found {
				t.Errorf("%s is told to %s", name, asker)
			}
		}
	}
	for _, name := range []string{"", "shop", "api.", "x.api", "3.web.api", "0.web.api", "1.1.web.api", "web.web.api", "1.x.v2.api", "xapi", ".api", "é.api", strings.Repeat("a.", 100) + "api"} {
		if targets, found := c.Find(shop, name); found {
			t.Errorf("%.40q: got %v, want nothing", name, targets)
		}
	}
}

func TestConsents_AreToldAsTheyChangeAndAgainAfterAFailure(t *testing.T) {
	d, book := newWorld(t), &wayBook{}
	create(t, d, "shop")
	create(t, d, "api")
	c := NewConsents(d.db, book, d, d, d.log)
	by := store.User{Name: "alice", Role: store.RoleAdmin}
	consent := store.Consent{From: "shop", To: "api", Port: "web"}
	if err := c.AllowCalls(t.Context(), consent, by); err != nil || book.times != 0 {
		t.Errorf("before it is known what runs: %v, told %d times", err, book.times)
	}
	c.ready.Store(true)
	if err := c.keep(t.Context()); err != nil || book.times != 1 {
		t.Errorf("at the start: %v, told %d times, want once", err, book.times)
	}
	if err := c.keep(t.Context()); err != nil || book.times != 1 {
		t.Errorf("with nothing new: %v, told %d times, want once", err, book.times)
	}
	book.err = errors.New("nft: no")
	c.said = false
	if err := c.DenyCalls(t.Context(), consent, by); codeOf(err) != "E193" || !errors.Is(err, book.err) {
		t.Errorf("an engine that fails: got %v, want E193", err)
	}
	book.err = nil
	if err := c.keep(t.Context()); err != nil || book.times != 3 {
		t.Errorf("after the failure: %v, told %d times, want 3", err, book.times)
	}
	if report, err := c.ConsentsReport(t.Context(), ""); err != nil || len(report) != 0 {
		t.Errorf("the report says %v, %v", report, err)
	}
	if err := c.AllowCalls(t.Context(), store.Consent{From: "shop", To: "api", Port: "5432"}, by); err != nil {
		t.Fatal(err)
	}
	report, err := c.ConsentsReport(t.Context(), "api")
	if err != nil || len(report) != 1 || report[0].Name != "api.internal" || report[0].Trouble != "no healthy instance listens there" || report[0].By != "alice" {
		t.Errorf("the report says %+v, %v", report, err)
	}
	if _, err := c.ConsentsReport(t.Context(), "nobody"); codeOf(err) != "E101" {
		t.Errorf("of an app that is not there: got %v, want E101", err)
	}
	var texts []string
	if err := d.db.View(func(tx *store.Tx) error {
		events, err := tx.Events("shop", 0)
		for _, e := range events {
			texts = append(texts, e.Text)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"allowed shop to call web of api", "denied shop to call web of api", "allowed shop to call 5432 of api"} {
		if !slices.Contains(texts, want) {
			t.Errorf("no event %q in %q", want, texts)
		}
	}
}

func TestAllowCalls_RefusesAProcessThatTheAppDoesNotHave(t *testing.T) {
	d := newWorld(t)
	create(t, d, "shop")
	create(t, d, "api")
	update(t, d, func(tx *store.Tx) error {
		err := tx.PutRelease(store.Release{App: "api", Number: 1, Status: store.ReleaseLive, Processes: []store.Process{{Type: "web"}, {Type: "worker"}}})
		app, appErr := tx.App("api")
		app.Release = 1
		return errors.Join(err, appErr, tx.PutApp(app))
	})
	c := NewConsents(d.db, &wayBook{}, d, d, d.log)
	for port, want := range map[string]string{"worker": "", "web": "", "5432": "", "wroker": "E640"} {
		if err := c.AllowCalls(t.Context(), store.Consent{From: "shop", To: "api", Port: port}, store.User{Name: "alice"}); codeOf(err) != want {
			t.Errorf("%s: got %v, want %q", port, err, want)
		}
	}
}
