package web

import (
	"context"
	"slices"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// PortsArgs name ports of an app: "tcp:5432:5432", "tls:993:143".
type PortsArgs struct {
	AppArgs
	Ports []string `json:"ports"`
}

// PortsReportArgs name an app, or "" for all of them.
type PortsReportArgs struct {
	App string `json:"app,omitempty"`
}

func (a PortsReportArgs) target() (string, bool) { return a.App, false }

func (a *API) portsReport(ctx context.Context, c call, args PortsReportArgs) (deploy.PortsReport, error) {
	report, err := a.deployer.PortsReport(ctx, args.App)
	report.Ports = slices.DeleteFunc(report.Ports, func(p deploy.PortReport) bool {
		return c.user.May(store.RoleRead, p.App) != nil // asked for all, one sees one's own
	})
	return report, err
}

func (a *API) portsAdd(ctx context.Context, c call, args PortsArgs) (deploy.PortsReport, error) {
	ports, err := parsePorts(args.Ports)
	if err != nil {
		return deploy.PortsReport{}, err
	}
	return a.deployer.AddPorts(ctx, args.App, ports, c.user)
}

func (a *API) portsRemove(ctx context.Context, c call, args PortsArgs) (deploy.PortsReport, error) {
	ports, err := parsePorts(args.Ports)
	if err != nil {
		return deploy.PortsReport{}, err
	}
	return a.deployer.RemovePorts(ctx, args.App, ports, c.user)
}

func (a *API) portsClear(ctx context.Context, c call, args AppArgs) (deploy.PortsReport, error) {
	return a.deployer.ClearPorts(ctx, args.App, c.user)
}

func parsePorts(words []string) (ports []store.Port, err error) {
	if len(words) == 0 {
		return nil, fault.New(fault.Usage, "E166", "no port is named").Hint("tcp:5432:5432 is one")
	}
	for _, word := range words {
		p, err := store.ParsePort(word)
		if err != nil {
			return nil, err
		}
		ports = append(ports, p)
	}
	return ports, nil
}
