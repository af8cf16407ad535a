package edge

import (
	"net"
	"strconv"
	"testing"

	"github.com/berthd/berth/store"
)

func TestAddPorts_AllOrNone(t *testing.T) {
	d := newWorld(t)
	create(t, d, "shop")
	update(t, d, func(tx *store.Tx) error { _, err := tx.CreateApp(store.App{Name: "blog"}); return err })
	alice := store.User{Name: "alice", Role: store.RoleDeploy}
	other, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	taken := other.Addr().(*net.TCPAddr).Port
	free, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	mine := free.Addr().(*net.TCPAddr).Port
	free.Close()
	d.cfg.Ports = []int{2222}
	for n, want := range map[int]string{2222: "E168", taken: "E168"} {
		if _, err := d.AddPorts(t.Context(), "shop", []store.Port{{Number: mine, Container: 7}, {Number: n, Container: 7}}, alice); codeOf(err) != want {
			t.Errorf("%d: got %v, want %s", n, err, want)
		}
	}
	report, err := d.PortsReport(t.Context(), "shop")
	if err != nil || len(report.Ports) != 0 {
		t.Fatalf("got %+v, %v; want nothing half made", report, err)
	}
	if l, err := net.Listen("tcp", ":"+strconv.Itoa(mine)); err != nil {
		t.Errorf("a port that was not added stays open: %v", err)
	} else {
		l.Close()
	}

	p := store.Port{Number: mine, Container: 7}
	for range 2 {
		if report, err = d.AddPorts(t.Context(), "shop", []store.Port{p}, alice); err != nil || len(report.Ports) != 1 || report.Ports[0].Error != "" {
			t.Fatalf("got %+v, %v", report, err)
		}
	}
	if _, err := d.AddPorts(t.Context(), "blog", []store.Port{p}, alice); codeOf(err) != "E167" {
		t.Errorf("another app's: got %v, want E167", err)
	}
	if _, err := d.RemovePorts(t.Context(), "blog", []store.Port{p}, alice); codeOf(err) != "E185" {
		t.Errorf("another app's: got %v, want E185", err)
	}
	if c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(mine)); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	if all, err := d.PortsReport(t.Context(), ""); err != nil || len(all.Ports) != 1 || all.Ports[0].App != "shop" {
		t.Errorf("got %+v, %v", all, err)
	}
	if report, err = d.ClearPorts(t.Context(), "shop", alice); err != nil || len(report.Ports) != 0 {
		t.Errorf("got %+v, %v", report, err)
	}
	if c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(mine)); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

func TestAddPorts_ABoundKeyOpensNone(t *testing.T) {
	d := newWorld(t)
	create(t, d, "shop")
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().(*net.TCPAddr).Port
	l.Close()
	d.cfg.Ports = []int{2222}
	bob := tenant("shop")
	add := func(by store.User, number, container int) string {
		_, err := d.AddPorts(t.Context(), "shop", []store.Port{{Number: number, Container: container}}, by)
		return codeOf(err)
	}
	if got := add(bob, free, 7); got != "E198" {
		t.Errorf("a free port: got %q, want E198", got)
	}
	if got := add(bob, 2222, 7); got != "E198" {
		t.Errorf("berth's own: got %q, want E198, as for every other", got)
	}
	if got := add(store.User{Name: "alice", Role: store.RoleDeploy}, free, 7); got != "" {
		t.Errorf("by a key that is not bound: got %q", got)
	}
	if got := add(bob, free, 7); got != "" {
		t.Errorf("one that the app has: got %q", got)
	}
	if _, err := d.ClearPorts(t.Context(), "shop", bob); err != nil {
		t.Error(err)
	}
}
