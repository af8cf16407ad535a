package verbs

import (
	"context"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
)

// NetworkRoom is what the verbs of network ask for; *edge.Network documents it.
type NetworkRoom interface {
	SetNetwork(ctx context.Context, name, value string, by store.User) (edge.NetworkReport, error)
	NetworkReport(ctx context.Context) (edge.NetworkReport, error)
}

type network struct {
	NetworkRoom
}

func (n network) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "network:set-global", Role: admins, Hidden: true,
			Short: "say what apps reach beside the internet",
		}, n.setGlobal),
		look(Verb{
			Name: "network:report-global", Role: admins, Hidden: true,
			Short: "show what apps reach",
		}, n.reportGlobal),
	}
}

func (n network) reportGlobal(ctx context.Context, _ Call, _ NoArgs) (edge.NetworkReport, error) {
	return n.NetworkReport(ctx)
}

func (n network) setGlobal(ctx context.Context, c Call, args SetArgs) (edge.NetworkReport, error) {
	return n.SetNetwork(ctx, args.Property, args.Value, c.User)
}
