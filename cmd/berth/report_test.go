package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/berthd/berth/fleet/formation"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/verbs/verbstest"
)

// settable sets what ps:set sets, without containers.
type settable struct{ puppet }

func (s settable) SetProcesses(_ context.Context, app, name, value string, _ store.User, _ io.Writer) error {
	change, err := formation.Properties.Check(app, name, value)
	if err != nil {
		return err
	}
	return s.db.Update(change.Keep)
}

// Scripts written for Dokku read reports by flags, and so do ours.
func TestReports_PrintOneValueByItsKey(t *testing.T) {
	var db *store.Store
	s := newSiteOf(t, func(of *store.Store) verbstest.Everything { db = of; return settable{puppet{db: of}} })
	s.berth(t, "apps:create", "shop")
	s.berth(t, "apps:create", "blog")
	if err := db.Update(func(tx *store.Tx) error { return tx.PutDomain(store.Domain{Host: "www.example.com", App: "blog"}) }); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"ps:set shop memory 64m", "ps:set --global rollout stop-first", "ps:set --global memory 1GB"} {
		if got := s.berth(t, strings.Fields(words)...); got.code != 0 {
			t.Fatalf("%s: %+v", words, got)
		}
	}
	for _, row := range []struct {
		words     string
		code      int
		out, fail string
	}{
		{"ps:report shop --running", 0, "true\n", ""},
		{"ps:report --running shop", 0, "true\n", ""},
		{"ps:report -a shop --ps-running", 0, "true\n", ""},
		{"ps:report shop --deployed", 0, "false\n", ""},
		{"ps:report shop --status-web-1", 0, "up\n", ""},
		{"ps:report shop --memory", 0, "64m\n", ""},
		{"ps:report shop --ps-memory", 0, "64m\n", ""},
		{"ps:report shop --ps-global-memory", 0, "1g\n", ""},
		{"ps:report shop --ps-computed-memory", 0, "64m\n", ""},
		{"ps:report blog --ps-memory", 0, "\n", ""},
		{"ps:report blog --ps-computed-memory", 0, "1g\n", ""},
		{"ps:report blog --ps-computed-rollout", 0, "stop-first\n", ""},
		{"ps:report --global --ps-memory", 0, "1g\n", ""},
		{"ps:report --global --ps-global-memory", 0, "1g\n", ""},
		{"ps:report --ps-computed-memory", 0, "1g\n64m\n", ""}, // by name: blog, shop
		{"ps:report --ps-computed-memory --format json", 0, "{\n  \"blog\": \"1g\",\n  \"shop\": \"64m\"\n}\n", ""},
		{"ps:report shop --ps-memory --format json", 0, "\"64m\"\n", ""},
		{"ps shop --running", 0, "true\n", ""},
		{"apps:report shop --state", 0, "running\n", ""},
		{"apps:info shop --git-url", 0, "berth@example.com:shop\n", ""},
		{"domains:report --global --domains-global-vhosts", 0, "example.com\n", ""},
		{"domains:report blog --domains-app-vhosts", 0, "blog.example.com www.example.com\n", ""},
		{"certs:report blog --ssl-enabled", 0, "false\n", ""},
		{"domains:report shop --domains-global", 0, "example.com\n", ""},
		{"domains:report blog --domains", 0, "www.example.com\n", ""},
		{"ps:report shop --runing", 2, "", "did you mean --running? E218"},
		{"ps:report shop --running --deployed", 2, "", "prints one value"},
		{"ps:report shop --running=perhaps", 2, "", "E151"},
		{"ps:report none --running", 3, "", "E101"},
		{"ps:report shop blog", 2, "", `does not take "blog"`},
		{"ps:report shop --global", 2, "", "takes the name of an app, or --global"},
		{"ps:report shop --\x1b[2J", 2, "", "E218"},
		{"ps:report shop --größe", 2, "", "E218"},
		{"ps:report shop --help", 0, "usage: berth ps:report [APP|--global] [--KEY]", ""},
	} {
		got := s.berth(t, strings.Fields(row.words)...)
		whole := got.out == row.out || row.fail == "" && strings.Contains(row.words, "help") && strings.Contains(got.out, row.out)
		for want := range strings.FieldsSeq(row.fail) {
			whole = whole && strings.Contains(got.err, want)
		}
		if got.code != row.code || !whole || strings.Contains(got.err, "\x1b") {
			t.Errorf("%s: got %+v, want %+v", row.words, got, row)
		}
	}
}

func TestReports_WithoutAnAppAreOfAllThatOneSees(t *testing.T) {
	s := newSiteOf(t, func(db *store.Store) verbstest.Everything { return settable{puppet{db: db}} })
	if got := s.berth(t, "ps:report"); got.code != 0 || got.out != "" || got.err != "there are no apps\n" {
		t.Errorf("without apps: %+v", got)
	}
	for _, app := range []string{"blog", "shop", "stock"} {
		s.berth(t, "apps:create", app)
	}
	got := s.berth(t, "ps:report")
	if got.code != 0 || strings.Count(got.out, "=====> ") != 3 || !strings.HasPrefix(got.out, "=====> blog ps information\nINSTANCE ") {
		t.Errorf("all: %+v", got)
	}
	var reports []struct {
		App        string `json:"app"`
		Running    string `json:"running"`
		Properties []struct{ Name, Value string }
	}
	got = s.berth(t, "ps:report", "--format", "json")
	if err := json.Unmarshal([]byte(got.out), &reports); err != nil || len(reports) != 3 || reports[2].App != "stock" || reports[2].Running != "true" || len(reports[2].Properties) != len(formation.Properties.Names()) {
		t.Errorf("as JSON: %v, %+v", err, reports)
	}
	ofShop := store.User{Name: "sam", Role: store.RoleDeploy, Apps: []string{"shop"}}
	for words, want := range map[string]string{
		"ps:report --running": "true\n", "ps:report": "=====> shop ", "apps:report --name": "shop\n",
	} {
		if got := s.as(t, ofShop, "", strings.Fields(words)...); got.code != 0 || !strings.HasPrefix(got.out, want) || strings.Contains(got.out, "blog") || strings.Contains(got.out, "stock") {
			t.Errorf("%s by a key of one app: %+v", words, got)
		}
	}
	for _, words := range []string{"ps:report blog --running", "ps:report --global", "ps:report --global --memory", "ps:set --global memory 1GB", "ps:set blog memory 64MB"} {
		if got := s.as(t, ofShop, "", strings.Fields(words)...); got.code != 4 || got.out != "" {
			t.Errorf("%s by a key of one app: %+v", words, got)
		}
	}
	deployer := store.User{Name: "dora", Role: store.RoleDeploy}
	if got := s.as(t, deployer, "", "ps:set", "--global", "memory", "1GB"); got.code != 4 {
		t.Errorf("for all apps by a deployer: %+v", got)
	}
}

func TestReports_CompleteTheirKeys(t *testing.T) {
	s := newSite(t)
	got := s.berth(t, "__complete", "ps:report", "shop", "--com")
	for _, want := range []string{"--computed-memory", "--computed-rollout"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%s is not offered: %+v", want, got)
		}
	}
	got = s.berth(t, "__complete", "ps:set", "shop", "rollout", "")
	if !strings.Contains(got.out, "stop-first") {
		t.Errorf("values: %+v", got)
	}
}
