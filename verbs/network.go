package verbs

import (
	"context"
	"slices"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
)

// NetworkRoom is what the verbs of network ask for; *edge.Network and
// *edge.Consents document it.
type NetworkRoom interface {
	SetNetwork(ctx context.Context, name, value string, by store.User) (edge.NetworkReport, error)
	NetworkReport(ctx context.Context) (edge.NetworkReport, error)
	AllowCalls(ctx context.Context, consent store.Consent, by store.User) error
	DenyCalls(ctx context.Context, consent store.Consent, by store.User) error
	ConsentsReport(ctx context.Context, app string) ([]edge.ConsentReport, error)
}

type network struct {
	NetworkRoom
}

func (n network) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "network:allow", Role: consents,
			Short: "let an app call another one",
			Long: "FROM reaches the web processes of TO by the name TO.internal, at the port where\n" +
				"they listen; nothing else of TO, and TO nothing of FROM. Each needs the consent\n" +
				"of both: it is given by who may deploy both. By --port it is another process\n" +
				"type of TO, or a TCP port of all its instances.\n" +
				"\nThe public URLs of apps need no consent.",
			Example: "network:allow shop api\nnetwork:allow shop api --port worker\nnetwork:allow shop api --port 5432",
			Usage:   "network:allow FROM TO",
			Done:    "{app} may call {to}",
		}, n.allow),
		act(Verb{
			Name: "network:deny", Role: endsConsent,
			Short:   "keep an app from calling another one",
			Long:    "It takes back what network:allow gave, all of it without --port, and cuts the\nconnections that came by it.",
			Example: "network:deny shop api\nnetwork:deny shop api --port 5432",
			Usage:   "network:deny FROM TO",
			Done:    "{app} may not call {to}",
		}, n.deny),
		look(Verb{
			Name: "network:report", Role: reads, Hidden: true,
			Short: "show which apps may call which",
		}, n.report),
		act(Verb{
			Name: "network:set-global", Role: admins, Hidden: true,
			Short: "set which private networks apps reach",
		}, n.setGlobal),
		look(Verb{
			Name: "network:report-global", Role: admins, Hidden: true,
			Short: "show which private networks apps reach",
		}, n.reportGlobal),
	}
}

// ConsentArgs name who calls and who is called, and what of it.
type ConsentArgs struct {
	App  string `json:"app" cli:"APP"` // who calls
	To   string `json:"to" cli:"TO"`
	Port string `json:"port,omitempty" flag:"port,p" help:"a TCP port, or a process type (default web)"`
}

func (a ConsentArgs) target() (string, bool) { return a.App, true }

func (a ConsentArgs) ends() (from, to string) { return a.App, a.To }

// DenyArgs are likewise. The owner of either app may ask, so that none of them
// is the one that the verb is about.
type DenyArgs struct {
	App  string `json:"app" cli:"APP"`
	To   string `json:"to" cli:"TO"`
	Port string `json:"port,omitempty" flag:"port,p" help:"a TCP port or a process type; all without it"`
}

func (DenyArgs) target() (string, bool) { return "", false }

func (a DenyArgs) ends() (from, to string) { return a.App, a.To }

// ConsentsArgs name an app, or "" for all of them.
type ConsentsArgs struct {
	App string `json:"app,omitempty" cli:"[APP]"`
}

func (a ConsentsArgs) target() (string, bool) { return a.App, false }

func (n network) allow(ctx context.Context, c Call, args ConsentArgs) (struct{}, error) {
	port, err := store.ParseConsentPort(args.Port)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, n.AllowCalls(ctx, store.Consent{From: args.App, To: args.To, Port: port}, c.User)
}

func (n network) deny(ctx context.Context, c Call, args DenyArgs) (struct{}, error) {
	port := args.Port
	if port != "" {
		var err error
		if port, err = store.ParseConsentPort(port); err != nil {
			return struct{}{}, err
		}
	}
	return struct{}{}, n.DenyCalls(ctx, store.Consent{From: args.App, To: args.To, Port: port}, c.User)
}

func (n network) report(ctx context.Context, c Call, args ConsentsArgs) ([]edge.ConsentReport, error) {
	report, err := n.ConsentsReport(ctx, args.App)
	for i, r := range report {
		if !sees(c.User, r.From) || !sees(c.User, r.To) {
			report[i].By = "" // a user of somebody else's
		}
	}
	return slices.DeleteFunc(report, func(r edge.ConsentReport) bool {
		return !sees(c.User, r.From) && !sees(c.User, r.To) // asked for all, one sees one's own
	}), err
}

func (n network) reportGlobal(ctx context.Context, _ Call, _ NoArgs) (edge.NetworkReport, error) {
	return n.NetworkReport(ctx)
}

func (n network) setGlobal(ctx context.Context, c Call, args SetArgs) (edge.NetworkReport, error) {
	return n.SetNetwork(ctx, args.Property, args.Value, c.User)
}
