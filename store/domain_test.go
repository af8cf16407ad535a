package store

import "testing"

func TestOpen_AFileOfABerthThatDidNotIndexDomains(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(func(tx *Tx) error {
		for _, d := range []Domain{{Host: "a.test", App: "shop"}, {Host: "b.test", App: "shop"}, {Host: "c.test", App: "blog"}} {
			if err := tx.PutDomain(d); err != nil {
				return err
			}
		}
		if err := tx.DeleteDomain("b.test"); err != nil {
			return err
		}
		return tx.bolt.DeleteBucket([]byte("domainsof"))
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.View(func(tx *Tx) error {
		for app, want := range map[string]string{"shop": "a.test", "blog": "c.test"} {
			domains, err := tx.Domains(app)
			if err != nil {
				return err
			}
			if len(domains) != 1 || domains[0].Host != want || domains[0].App != app {
				t.Errorf("%s has %+v, want %s", app, domains, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
