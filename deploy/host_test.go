package deploy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/berthd/berth/router"
	"github.com/berthd/berth/router/accesslog"
	"github.com/berthd/berth/router/certificates"
	"github.com/berthd/berth/store"
)

// leadsTo returns the route that has a host, by trying to take it.
func leadsTo(table *router.Router, host string) string {
	_, err := table.Swap(router.Route{Name: "probe", Hosts: []string{host}})
	table.Remove("probe")
	if taken, ok := err.(interface{ Unwrap() error }); ok {
		if by, ok := taken.Unwrap().(*router.HostTakenError); ok {
			return by.By
		}
	}
	return ""
}

func TestDomains_TheDefaultHostComesBackWhenItIsNobodysDomain(t *testing.T) {
	for name, free := range map[string]func(d *Deployer) error{
		"removed": func(d *Deployer) error {
			return d.edge.RemoveDomains(t.Context(), "blog", []string{"shop.example.com"}, store.Root)
		},
		"destroyed": func(d *Deployer) error { return d.DestroyApp(t.Context(), "blog", store.Root, io.Discard) },
	} {
		t.Run(name, func(t *testing.T) {
			now := &heard{}
			d, table := newDeployerWith(t, now)
			create := func(name string) store.App {
				record, err := d.CreateApp(t.Context(), name, store.Root)
				if err != nil {
					t.Fatal(err)
				}
				return record
			}
			blog, shop := create("blog"), create("shop")
			update(t, d, func(tx *store.Tx) error { // as a berth before this one let it be
				return tx.PutDomain(store.Domain{Host: "shop.example.com", App: "blog"})
			})
			d.app(shop).fleet.Reroute()
			d.app(blog).fleet.Reroute()
			if by := leadsTo(table, "shop.example.com"); by != "blog" {
				t.Fatalf("shop.example.com leads to %q, want blog", by)
			}
			if err := free(d); err != nil {
				t.Fatal(err)
			}
			if by := leadsTo(table, "shop.example.com"); by != "shop" {
				t.Errorf("shop.example.com leads to %q, want shop", by)
			}
			if !slices.Contains(now.hosts, certificates.Host{Name: "shop.example.com", For: strconv.Itoa(shop.UID)}) {
				t.Errorf("certificates are wanted for %+v", now.hosts)
			}
		})
	}
}

func TestHosts_WhatIsToldStepByStepIsWhatIsToldAtOnce(t *testing.T) {
	now := &heard{}
	d, _ := newDeployerWith(t, now)
	d.edge.AnnounceHosts()
	step := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		told := slices.Clone(now.hosts)
		d.edge.AnnounceHosts()
		for _, host := range slices.Concat(told, now.hosts) {
			if !slices.Contains(told, host) || !slices.Contains(now.hosts, host) {
				t.Errorf("told step by step: %+v; at once: %+v", told, now.hosts)
				return
			}
		}
	}
	for _, name := range []string{"shop", "blog"} {
		_, err := d.CreateApp(t.Context(), name, store.Root)
		step(err)
	}
	step(d.edge.AddDomains(t.Context(), "shop", []store.Domain{{Host: "shop.test"}, {Host: "*.shop.test"}, {Host: "www.shop.test", Redirect: "shop.test"}}, store.Root))
	step(d.edge.AddDomains(t.Context(), "blog", []store.Domain{{Host: "shop.test", Path: "/blog"}, {Host: "blog.test"}}, store.Root))
	step(d.edge.SetLocalCertificates(t.Context(), "blog", true, store.Root))
	_, err := d.RenameApp(t.Context(), "shop", "store", store.Root, io.Discard)
	step(err)
	err = setDomain(d, "example.org")
	step(err)
	step(d.edge.RemoveDomains(t.Context(), "store", []string{"*.shop.test"}, store.Root))
	step(d.DestroyApp(t.Context(), "store", store.Root, io.Discard))
}

// plateFor is a machine's real table and certificates.
type plateFor struct {
	b     *testing.B
	table *router.Router
	certs *certificates.Keeper
}

func (p plateFor) SetHosts(domain string, hosts []certificates.Host, acme certificates.ACME) {
	if err := p.table.Handle([]string{domain, "berth." + domain}, http.NotFoundHandler()); err != nil {
		p.b.Error(err)
	}
	if err := p.certs.SetHosts(context.Background(), hosts, acme); err != nil {
		p.b.Error(err)
	}
}

func (p plateFor) SetHostsFor(whom string, hosts []certificates.Host) {
	if err := p.certs.SetHostsFor(context.Background(), whom, hosts); err != nil {
		p.b.Error(err)
	}
}

// populated returns a deployer of n apps with a domain each.
func populated(b *testing.B, n int) *Deployer {
	b.Helper()
	dir := b.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	err = db.Update(func(tx *store.Tx) error {
		for i := range n {
			name := fmt.Sprintf("app%d", i)
			if _, err := tx.CreateApp(store.App{Name: name}); err != nil {
				return err
			}
			if err := tx.PutDomain(store.Domain{Host: "www." + name + ".test", App: name}); err != nil {
				return err
			}
		}
		return tx.PutSettings(store.Settings{Domain: "example.com"})
	})
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	certs, err := certificates.New(b.Context(), certificates.Config{Storage: db.Certificates()}, log)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(certs.Close)
	table := router.New(router.Config{Certificates: certs}, log)
	d := New(Config{Logs: dir + "/logs", AccessLog: accesslog.New(dir+"/logs", log)}, db, nil, table, plateFor{b, table, certs}, log)
	b.Cleanup(func() { d.end(); d.rest() })
	close(d.adopted)
	return d
}

// take is what boot does of every app's hosts.
func (d *Deployer) take(b *testing.B) {
	b.Helper()
	records, err := d.db.Apps()
	if err != nil {
		b.Fatal(err)
	}
	d.fleet.Adopt(d.wanted(records), nil)
	d.edge.AnnounceHosts()
}

func BenchmarkHosts_Boot(b *testing.B) {
	for _, n := range []int{10, 2500} {
		b.Run(fmt.Sprintf("hosts=%d", 2*n), func(b *testing.B) {
			d := populated(b, n)
			for b.Loop() {
				d.take(b)
			}
		})
	}
}

func BenchmarkAddDomains(b *testing.B) {
	for _, n := range []int{5, 2500} {
		b.Run(fmt.Sprintf("hosts=%d", 2*n), func(b *testing.B) {
			d := populated(b, n)
			d.take(b)
			for b.Loop() {
				if err := d.edge.AddDomains(b.Context(), "app1", []store.Domain{{Host: "new.test"}}, store.Root); err != nil {
					b.Fatal(err)
				}
				if err := d.edge.RemoveDomains(b.Context(), "app1", []string{"new.test"}, store.Root); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
