package store

import (
	"fmt"
	"testing"

	"github.com/berthd/berth/store/fault"
)

func TestParsePort(t *testing.T) {
	for _, word := range []string{"tcp:5432:5432", "tls:993:143", "tcp:1:65535"} {
		if p, err := ParsePort(word); err != nil || p.String() != word {
			t.Errorf("%s: got %s, %v", word, p, err)
		}
	}
	for _, word := range []string{
		"", "5432", "tcp:5432", "tcp:0:1", "tcp:1:65536", "tcp:-1:1", "tcp:+1:1", "tcp:01:1", "tcp:1:", "tcp:1:1:1", "udp:1:1", "http:80:5000", "https:443:5000", "tcp:a:b", "TCP:1:1", "tcp: 1:1",
	} {
		if _, err := ParsePort(word); fault.From(err) == nil || fault.From(err).Code != "E166" {
			t.Errorf("%q: got %v, want E166", word, err)
		}
	}
}

func faultCode(err error) string {
	if f := fault.From(err); f != nil {
		return f.Code
	}
	return ""
}

func TestPort_IsOneAppsAndMovesWithIt(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Update(func(tx *Tx) error {
		for _, name := range []string{"shop", "blog"} {
			if _, err := tx.CreateApp(App{Name: name}); err != nil {
				return err
			}
		}
		for range 2 { // twice is once
			if err := tx.Ports.Put(Port{Number: 5432, Container: 5432, App: "shop"}); err != nil {
				return err
			}
		}
		for _, other := range []Port{{Number: 5432, Container: 5432, App: "blog"}, {Number: 5432, Container: 1, App: "shop"}, {Number: 5432, Container: 5432, TLS: true, App: "shop"}} {
			if err := tx.Ports.Put(other); faultCode(err) != "E167" {
				t.Errorf("%s of %s: got %v, want E167", other, other.App, err)
			}
		}
		if _, err := tx.RenameApp("shop", "store"); err != nil {
			return err
		}
		if p, found, err := tx.Ports.Get(5432); p.App != "store" || !found {
			t.Errorf("after the renaming: got %+v, %v", p, err)
		}
		if err := tx.DeleteApp("store"); err != nil {
			return err
		}
		if p, found, err := tx.Ports.Get(5432); found {
			t.Errorf("after the end of its app: got %+v, %v", p, err)
		}
		for n := 1; n <= MaxAppPorts; n++ {
			if err := tx.Ports.Put(Port{Number: n, Container: 1, App: "blog"}); err != nil {
				return err
			}
		}
		if err := tx.Ports.Put(Port{Number: 1000, Container: 1, App: "blog"}); faultCode(err) != "E169" {
			t.Errorf("one more than an app may have: got %v, want E169", err)
		}
		for n := MaxAppPorts + 1; n <= MaxPorts; n++ {
			app := fmt.Sprintf("app-%d", n/MaxAppPorts)
			if tx.id(app) == "" {
				if _, err := tx.CreateApp(App{Name: app}); err != nil {
					return err
				}
			}
			if err := tx.Ports.Put(Port{Number: n, Container: 1, App: app}); err != nil {
				return err
			}
		}
		if _, err := tx.CreateApp(App{Name: "last"}); err != nil {
			return err
		}
		if err := tx.Ports.Put(Port{Number: 1000, Container: 1, App: "last"}); faultCode(err) != "E169" {
			t.Errorf("one more than a machine may have: got %v, want E169", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
