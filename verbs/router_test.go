package verbs

import (
	"context"
	"testing"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/property"
	"github.com/berthd/berth/store"
)

func (p *puppet) SetRouter(_ context.Context, _, name, value string, _ store.User) (edge.RouterReport, error) {
	return edge.RouterReport{Properties: []property.Row{{Name: name, Value: value, Set: true}}}, nil
}

func (p *puppet) RouterReport(context.Context, string) (edge.RouterReport, error) {
	return edge.RouterReport{}, nil
}

// Whoever says which proxies are believed, says who every client of every app is.
func TestRouterSet_ForAllAppsIsForAdmins(t *testing.T) {
	h := newHouse(t)
	args := PropertyArgs{Property: "trusted-proxies", Value: "192.0.2.1"}
	for _, user := range []store.User{
		{Name: "alice", Role: store.RoleDeploy}, {Name: "bob", Role: store.RoleRead}, {Name: "carol", Role: store.RoleAdmin, Apps: []string{"shop"}},
	} {
		if err := h.Call(t.Context(), user, "router:set", args, nil, nil); codeOf(err) != "E110" && codeOf(err) != "E111" {
			t.Errorf("%+v: got %v, want a refusal", user, err)
		}
		if err := h.Call(t.Context(), user, "router:report", nil, nil, nil); codeOf(err) != "E110" && codeOf(err) != "E111" {
			t.Errorf("%+v reads: got %v, want a refusal", user, err)
		}
	}
	var now edge.RouterReport
	if err := h.Call(t.Context(), store.Root, "router:set", args, &now, nil); err != nil || len(now.Properties) != 1 || now.Properties[0].Value != "192.0.2.1" {
		t.Errorf("an admin got %+v, %v", now, err)
	}
	if v := h.verbs["router:set"]; v.Reads {
		t.Error("a GET may change it")
	}
}
