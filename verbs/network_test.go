package verbs

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/property"
	"github.com/berthd/berth/store"
)

func (p *puppet) SetNetwork(_ context.Context, name, value string, _ store.User) (edge.NetworkReport, error) {
	return edge.NetworkReport{Properties: []property.Row{{Name: name, Value: value, Set: true}}}, nil
}

func (p *puppet) NetworkReport(context.Context) (edge.NetworkReport, error) {
	return edge.NetworkReport{}, nil
}

func (p *puppet) AllowCalls(context.Context, store.Consent, store.User) error { return nil }
func (p *puppet) DenyCalls(context.Context, store.Consent, store.User) error  { return nil }
func (p *puppet) ConsentsReport(context.Context, string) ([]edge.ConsentReport, error) {
	return []edge.ConsentReport{}, nil
}

func (p *puppet) Findings(context.Context) ([]deploy.Finding, error) {
	return []deploy.Finding{{Code: "E508", Text: "runc is 1.1.5", Hint: "upgrade it"}}, nil
}

// One app is opened to another by who may deploy both, and closed by who may
// deploy either.
func TestConsent_IsGivenByBothEndsAndTakenBackByEach(t *testing.T) {
	h := newTenancy(t)
	dora := store.User{Name: "dora", Role: store.RoleDeploy, Apps: []string{"shop"}}
	owner := store.User{Name: "hidden-owner", Role: store.RoleDeploy, Apps: []string{"hidden"}}
	both := store.User{Name: "both", Role: store.RoleDeploy, Apps: []string{"shop", "hidden"}}
	third := store.User{Name: "third", Role: store.RoleAdmin, Apps: []string{"other"}}
	looker := store.User{Name: "looker", Role: store.RoleRead}
	call := func(verb string, user store.User, from, to, port string) string {
		return codeOf(h.Call(t.Context(), user, verb, map[string]any{"app": from, "to": to, "port": port}, nil, nil))
	}
	listed := func(user store.User, app string) (n int) {
		var list []edge.ConsentReport
		if err := h.Call(t.Context(), user, "network:report", ConsentsArgs{App: app}, &list, nil); err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for _, row := range []struct {
		user     store.User
		from, to string
		want     string
	}{
		{dora, "shop", "hidden", "E111"}, {dora, "hidden", "shop", "E111"}, {dora, "shop", "absent", "E111"}, {dora, "absent", "shop", "E111"},
		{owner, "shop", "hidden", "E111"}, {third, "shop", "hidden", "E111"}, {looker, "shop", "hidden", "E110"},
		{store.Root, "shop", "absent", "E101"}, {store.Root, "absent", "shop", "E101"},
	} {
		if got := call("network:allow", row.user, row.from, row.to, ""); got != row.want {
			t.Errorf("%s allows %s to call %s: got %q, want %q", row.user.Name, row.from, row.to, got, row.want)
		}
	}
	for _, port := range []string{"0", "65536", "web worker", "5432/udp", "../web", strings.Repeat("x", 5000)} {
		if got := call("network:allow", both, "shop", "hidden", port); got != "E640" {
			t.Errorf("port %.20q: got %q, want E640", port, got)
		}
	}
	if n := listed(store.Root, ""); n != 0 {
		t.Fatalf("%d consents after refusals alone", n)
	}
	for _, user := range []store.User{both, deployer, store.Root} {
		if got := call("network:allow", user, "shop", "hidden", ""); got != "" {
			t.Errorf("%s allows: %s", user.Name, got)
		}
	}
	for user, want := range map[*store.User]int{&dora: 1, &owner: 1, &third: 0, &looker: 1} {
		if got := listed(*user, ""); got != want {
			t.Errorf("%s sees %d consents, want %d", user.Name, got, want)
		}
	}
	if got := call("network:deny", third, "shop", "hidden", ""); got != "E111" {
		t.Errorf("a third denies: got %q, want E111", got)
	}
	if got := call("network:deny", looker, "shop", "hidden", ""); got != "E110" {
		t.Errorf("who only reads denies: got %q, want E110", got)
	}
	for _, user := range []store.User{dora, owner} {
		if got := call("network:deny", user, "shop", "hidden", ""); got != "" {
			t.Errorf("%s denies: %s", user.Name, got)
		}
		if got := call("network:deny", user, "shop", "hidden", ""); got != "E641" {
			t.Errorf("%s denies again: got %q, want E641", user.Name, got)
		}
		if got := call("network:allow", both, "shop", "hidden", "5432"); got != "" {
			t.Error(got)
		}
	}
	for _, app := range []string{"hidden", "absent"} {
		h.update(t, func(tx *store.Tx) error {
			consents, err := tx.Consents.Of("")
			for _, c := range consents {
				err = errors.Join(err, tx.Consents.Delete(c))
			}
			return err
		})
		if got := call("network:deny", dora, "shop", app, ""); got != "E641" {
			t.Errorf("dora denies for %s: got %q, want E641", app, got)
		}
	}
	for _, app := range []string{"hidden", "absent"} { // what is there and what is not look the same
		if got := call("network:deny", third, app, app, ""); got != "E111" {
			t.Errorf("a third denies for %s: got %q, want E111", app, got)
		}
	}
}

// What apps reach in the operator's network is the operator's, and so is what
// is wrong with the machine.
func TestNetwork_IsForAdmins(t *testing.T) {
	h := newHouse(t)
	args := SetArgs{Property: "lan", Value: "allow"}
	for _, user := range []store.User{
		{Name: "alice", Role: store.RoleDeploy}, {Name: "bob", Role: store.RoleRead}, {Name: "carol", Role: store.RoleAdmin, Apps: []string{"shop"}},
		{Name: "dave", Role: store.RoleDeploy, Apps: []string{"shop"}},
	} {
		for verb, args := range map[string]any{"network:set-global": args, "network:report-global": nil, "doctor": nil} {
			if err := h.Call(t.Context(), user, verb, args, nil, nil); codeOf(err) != "E110" && codeOf(err) != "E111" {
				t.Errorf("%+v calls %s: got %v, want a refusal", user, verb, err)
			}
		}
	}
	var now edge.NetworkReport
	if err := h.Call(t.Context(), store.Root, "network:set-global", args, &now, nil); err != nil || len(now.Properties) != 1 || now.Properties[0].Value != "allow" {
		t.Errorf("an admin got %+v, %v", now, err)
	}
	if v := h.verbs["network:set-global"]; v.Reads {
		t.Error("a GET may change it")
	}
}
