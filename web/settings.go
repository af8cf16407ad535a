package web

import (
	"context"

	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// DomainsArgs name hosts of an app.
type DomainsArgs struct {
	AppArgs
	Domains []string `json:"domains"`
}

// Domains is what leads to an app.
type Domains struct {
	App     string   `json:"app,omitempty"`
	Global  string   `json:"global"`            // the appliance's domain
	Default string   `json:"default,omitempty"` // the host that the app has by its name
	Domains []string `json:"domains"`
	// Points is where the DNS leads the public ones of those just added.
	Points []Pointing `json:"points,omitempty"`
}

// DomainsReportArgs name an app, or "" for the appliance's own domain.
type DomainsReportArgs struct {
	App string `json:"app,omitempty"`
}

func (a DomainsReportArgs) target() (string, bool) { return a.App, false }

func (a *API) domainsReport(_ context.Context, _ call, args DomainsReportArgs) (Domains, error) {
	return a.domains(args.App)
}

func (a *API) domains(app string) (report Domains, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		settings, err := tx.Settings()
		if err != nil {
			return err
		}
		report = Domains{App: app, Global: settings.Domain, Domains: []string{}}
		if app == "" {
			return nil
		}
		if _, err := tx.App(app); err != nil {
			return err
		}
		if settings.Domain != "" {
			report.Default = app + "." + settings.Domain
		}
		domains, err := tx.Domains(app)
		for _, d := range domains {
			report.Domains = append(report.Domains, d.Host)
		}
		return err
	})
	return report, err
}

func (a *API) domainsAdd(ctx context.Context, c call, args DomainsArgs) (Domains, error) {
	hosts, err := normalHosts(args.Domains)
	if err != nil {
		return Domains{}, err
	}
	if err := a.deployer.AddDomains(ctx, args.App, hosts, c.user); err != nil {
		return Domains{}, err
	}
	points := a.pointing(ctx, c.out, hosts)
	domains, err := a.domains(args.App)
	domains.Points = points
	return domains, err
}

func (a *API) domainsRemove(ctx context.Context, c call, args DomainsArgs) (Domains, error) {
	hosts, err := normalHosts(args.Domains)
	if err != nil {
		return Domains{}, err
	}
	if err := a.deployer.RemoveDomains(ctx, args.App, hosts, c.user); err != nil {
		return Domains{}, err
	}
	return a.domains(args.App)
}

func normalHosts(names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, fault.New(fault.Usage, "E140", "name at least one domain")
	}
	hosts := make([]string, len(names))
	for i, name := range names {
		host, err := NormalHost(name)
		if err != nil {
			return nil, err
		}
		hosts[i] = host
	}
	return hosts, nil
}

// DomainArgs name a domain for the whole appliance.
type DomainArgs struct {
	NoArgs
	Domain string `json:"domain"`
}

func (a *API) domainsSetGlobal(ctx context.Context, c call, args DomainArgs) (Domains, error) {
	domain, err := NormalHost(args.Domain)
	if err != nil {
		return Domains{}, err
	}
	if _, err := a.deployer.SetSettings(ctx, func(s *store.Settings) error {
		s.Domain = domain
		return nil
	}, c.user); err != nil {
		return Domains{}, err
	}
	return a.domains("")
}

func (a *API) settings() (settings store.Settings, err error) {
	err = a.db.View(func(tx *store.Tx) error {
		settings, err = tx.Settings()
		return err
	})
	return settings, err
}
