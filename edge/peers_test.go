package edge

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/berthd/berth/property"
	"github.com/berthd/berth/router/peer"
	"github.com/berthd/berth/store"
)

func TestSetRouter_TellsTheRouterWhomToBelieve(t *testing.T) {
	d := newWorld(t)
	by := store.User{Name: "alice", Role: store.RoleAdmin}
	if got := fmt.Sprint(d.peersOf(d.settings())); got != fmt.Sprint(peer.Policy{MaxConnections: defaultConnections, Strangers: d.cfg.Containers}) {
		t.Errorf("before anything is set: %s", got)
	}
	for _, row := range []struct{ name, value, want string }{
		{"trusted-proxies", "192.0.2.1, 2001:db8::/32", "{[192.0.2.1/32 2001:db8::/32] [10.213.0.0/16]  1000}"},
		{"proxy-protocol", "on", "{[192.0.2.1/32 2001:db8::/32] [10.213.0.0/16] required 1000}"},
		{"max-connections-per-address", "50", "{[192.0.2.1/32 2001:db8::/32] [10.213.0.0/16] required 50}"},
		{"max-connections-per-address", "off", "{[192.0.2.1/32 2001:db8::/32] [10.213.0.0/16] required 0}"},
		{"proxy-protocol", "optional", "{[192.0.2.1/32 2001:db8::/32] [10.213.0.0/16] optional 0}"},
		{"trusted-proxies", "loopback", "{[127.0.0.0/8 ::1/128] [10.213.0.0/16] optional 0}"},
		{"trusted-proxies", "none", "{[] [10.213.0.0/16] optional 0}"},
		{"proxy-protocol", "", "{[] [10.213.0.0/16]  0}"},
		{"max-connections-per-address", "", "{[] [10.213.0.0/16]  1000}"},
	} {
		if _, err := d.SetRouter(t.Context(), "", row.name, row.value, by); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(d.peersOf(d.settings())); got != row.want {
			t.Errorf("%s %s: got %s, want %s", row.name, row.value, got, row.want)
		}
	}
	report, err := d.RouterReport(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []property.Row{
		{Name: "trusted-proxies", Value: "none", Raw: "none", Set: true}, {Name: "proxy-protocol", Value: "off", Usual: true}, {Name: "max-connections-per-address", Value: "1000", Usual: true},
	} {
		if !slices.Contains(report.Properties, want) {
			t.Errorf("the report has no %+v: %+v", want, report.Properties)
		}
	}
	for _, row := range [][2]string{
		{"trusted-proxies", "0.0.0.0/0"}, {"trusted-proxies", "example.com"}, {"trusted-proxies", ","}, {"trusted-proxies", "10.0.0.1/8"},
		{"trusted-proxies", strings.Repeat("192.0.2.1,", maxNetworks+1)}, {"proxy-protocol", "v1"}, {"max-connections-per-address", "0"},
		{"max-connections-per-address", "many"}, {"max-body", "1t"}, {"", "on"},
	} {
		if _, err := d.SetRouter(t.Context(), "", row[0], row[1], by); codeOf(err) != "E181" {
			t.Errorf("%s %.40q: got %v, want E181", row[0], row[1], err)
		}
	}
}

func TestPeersOf_LeavesOutWhatALaterBerthHasSet(t *testing.T) {
	d := newWorld(t)
	got := d.peersOf(store.Settings{Router: map[string]string{"trusted-proxies": "the moon", "proxy-protocol": "on", "tomorrow": "1"}})
	if want := (peer.Policy{Strangers: d.cfg.Containers, Header: peer.HeaderRequired, MaxConnections: defaultConnections}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
