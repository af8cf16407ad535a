package verbs

import (
	"context"
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

func (p *puppet) Findings(context.Context) ([]deploy.Finding, error) {
	return []deploy.Finding{{Code: "E508", Text: "runc is 1.1.5", Hint: "upgrade it"}}, nil
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
