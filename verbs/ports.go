package verbs

import (
	"context"
	"slices"
	"strings"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
)

// PortRoom is what the verbs of ports ask for; *edge.Edge documents it.
type PortRoom interface {
	AddPorts(ctx context.Context, app string, ports []store.Port, by store.User) (edge.PortsReport, error)
	RemovePorts(ctx context.Context, app string, ports []store.Port, by store.User) (edge.PortsReport, error)
	ClearPorts(ctx context.Context, app string, by store.User) (edge.PortsReport, error)
	PortsReport(ctx context.Context, app string) (edge.PortsReport, error)
}

type ports struct {
	PortRoom
}

func (n ports) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "ports:report", Role: reads,
			Short:   "show the TCP ports",
			Example: "ports:report shop",
			Whole:   true,
			Keys: keysOf(func(r edge.PortsReport) []Key {
				var list []string
				for _, p := range r.Ports {
					list = append(list, p.String())
				}
				return []Key{{"ports-map", strings.Join(list, " ")}}
			}),
			Aliases: []string{"ports", "ports:list"},
		}, n.report),
		act(Verb{
			Name: "ports:add", Role: deploys,
			Short: "map TCP ports to an app",
			Long: "tcp:5432:5432  passes on everything unchanged\n" +
				"tls:993:143    terminates TLS, with the certificate of the app's host that the\n" +
				"               client asks for\n" +
				"\nWithout healthchecks in app.json the app is healthy once it listens on the port.\n" +
				"HTTP and HTTPS need no port mapping.",
			Example: "ports:add db tcp:5432:5432\nports:add mail tls:993:143 tcp:25:2525",
		}, n.add),
		act(Verb{
			Name: "ports:remove", Role: deploys,
			Short:   "remove TCP ports",
			Example: "ports:remove db tcp:5432:5432",
		}, n.remove),
		act(Verb{
			Name: "ports:set", Role: deploys,
			Short:   "replace all TCP ports of an app",
			Example: "ports:set db tcp:5432:5432",
		}, n.set),
		act(Verb{
			Name: "ports:clear", Role: deploys,
			Short:   "remove all TCP ports of an app",
			Example: "ports:clear db",
		}, n.clear),
	}
}

// PortsArgs name ports of an app: "tcp:5432:5432", "tls:993:143".
type PortsArgs struct {
	AppArgs
	Ports []string `json:"ports" cli:"PORT ..."`
}

// PortsReportArgs name an app, or "" for all of them.
type PortsReportArgs struct {
	App string `json:"app,omitempty" cli:"[APP]"`
}

func (a PortsReportArgs) target() (string, bool) { return a.App, false }

func (n ports) report(ctx context.Context, c Call, args PortsReportArgs) (edge.PortsReport, error) {
	report, err := n.PortsReport(ctx, args.App)
	report.Ports = slices.DeleteFunc(report.Ports, func(p edge.PortReport) bool {
		return !sees(c.User, p.App) // asked for all, one sees one's own
	})
	return report, err
}

func (n ports) add(ctx context.Context, c Call, args PortsArgs) (edge.PortsReport, error) {
	ports, err := store.ParsePorts(args.Ports)
	if err != nil {
		return edge.PortsReport{}, err
	}
	return n.AddPorts(ctx, args.App, ports, c.User)
}

// set adds before it removes: what cannot be had leaves all as it was.
func (n ports) set(ctx context.Context, c Call, args PortsArgs) (edge.PortsReport, error) {
	ports, err := store.ParsePorts(args.Ports)
	if err != nil {
		return edge.PortsReport{}, err
	}
	report, err := n.AddPorts(ctx, args.App, ports, c.User)
	if err != nil {
		return report, err
	}
	var others []store.Port
	for _, p := range report.Ports {
		if !slices.ContainsFunc(ports, func(wanted store.Port) bool { return wanted.String() == p.String() }) {
			others = append(others, p.Port)
		}
	}
	if len(others) == 0 {
		return report, nil
	}
	return n.RemovePorts(ctx, args.App, others, c.User)
}

func (n ports) remove(ctx context.Context, c Call, args PortsArgs) (edge.PortsReport, error) {
	ports, err := store.ParsePorts(args.Ports)
	if err != nil {
		return edge.PortsReport{}, err
	}
	return n.RemovePorts(ctx, args.App, ports, c.User)
}

func (n ports) clear(ctx context.Context, c Call, args AppArgs) (edge.PortsReport, error) {
	return n.ClearPorts(ctx, args.App, c.User)
}
