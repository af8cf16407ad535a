package verbs

import (
	"context"
	"testing"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
)

func (p *puppet) SetGlobalRouter(_ context.Context, name, value string, _ store.User) (edge.RouterReport, error) {
	return edge.RouterReport{Properties: []edge.RouterProperty{{Name: name, Value: value, Set: true}}}, nil
}

func (p *puppet) GlobalRouterReport(context.Context) (edge.RouterReport, error) {
	return edge.RouterReport{}, nil
}

// Whoever says which proxies are believed, says who every client of every app is.
func TestRouterSetGlobal_IsForAdmins(t *testing.T) {
	h := newHouse(t)
	args := SetArgs{Property: "trusted-proxies", Value: "192.0.2.1"}
	for _, user := range []store.User{
		{Name: "alice", Role: store.RoleDeploy}, {Name: "bob", Role: store.RoleRead}, {Name: "carol", Role: store.RoleAdmin, Apps: []string{"shop"}},
	} {
		if err := h.Call(t.Context(), user, "router:set-global", args, nil, nil); codeOf(err) != "E110" && codeOf(err) != "E111" {
			t.Errorf("%+v: got %v, want a refusal", user, err)
		}
		if err := h.Call(t.Context(), user, "router:report-global", nil, nil, nil); codeOf(err) != "E110" && codeOf(err) != "E111" {
			t.Errorf("%+v reads: got %v, want a refusal", user, err)
		}
	}
	var now edge.RouterReport
	if err := h.Call(t.Context(), store.Root, "router:set-global", args, &now, nil); err != nil || len(now.Properties) != 1 || now.Properties[0].Value != "192.0.2.1" {
		t.Errorf("an admin got %+v, %v", now, err)
	}
	if v := h.verbs["router:set-global"]; v.Reads {
		t.Error("a GET may change it")
	}
}
