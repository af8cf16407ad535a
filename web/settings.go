package web

import (
	"context"
	"slices"

	"github.com/berthd/berth/deploy"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
)

// DomainsArgs name domains of an app: hosts, or hosts with a path.
type DomainsArgs struct {
	AppArgs
	Domains []string `json:"domains"`
}

// DomainsAddArgs name domains for an app. Strip takes their paths off what the
// app sees.
type DomainsAddArgs struct {
	DomainsArgs
	Strip bool `json:"strip,omitempty"`
}

// RedirectArgs name a host and the one that its clients are sent to.
type RedirectArgs struct {
	AppArgs
	From string `json:"from"`
	To   string `json:"to"`
}

// Domains is what leads to an app.
type Domains struct {
	App       string            `json:"app,omitempty"`
	Global    string            `json:"global"`              // the appliance's domain
	Default   string            `json:"default,omitempty"`   // the host that the app has by its name; empty if that was added to an app
	Domains   []string          `json:"domains"`             // www.example.com, *.example.com, example.com/blog
	Stripped  []string          `json:"stripped,omitempty"`  // those of them whose path the app does not see
	Redirects map[string]string `json:"redirects,omitempty"` // hosts, by the host that leads there
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
		domains, err := deploy.DomainsOf(tx, app)
		if domains.Default != nil {
			report.Default = domains.Default.Host
		}
		for _, d := range domains.Added {
			if d.Redirect != "" {
				if report.Redirects == nil {
					report.Redirects = map[string]string{}
				}
				report.Redirects[d.Host] = d.Redirect
				continue
			}
			report.Domains = append(report.Domains, d.Address())
			if d.Strip {
				report.Stripped = append(report.Stripped, d.Address())
			}
		}
		return err
	})
	return report, err
}

func (a *API) domainsAdd(ctx context.Context, c call, args DomainsAddArgs) (Domains, error) {
	domains, err := normalDomains(args.Domains)
	if err != nil {
		return Domains{}, err
	}
	for i := range domains {
		if args.Strip && domains[i].Path == "" {
			return Domains{}, fault.New(fault.Usage, "E140", "%s has no path that could be stripped", domains[i].Host).
				Hint("example.com/blog has one")
		}
		domains[i].Strip = args.Strip
	}
	return a.addDomains(ctx, c, args.App, domains)
}

func (a *API) domainsRedirect(ctx context.Context, c call, args RedirectArgs) (Domains, error) {
	from, err := NormalDomain(args.From)
	if err != nil {
		return Domains{}, err
	}
	if from.Path != "" {
		return Domains{}, fault.New(fault.Usage, "E140", "a whole host is redirected, not a path of it").Hint("the path of a request is kept")
	}
	if from.Redirect, err = NormalHost(args.To); err != nil {
		return Domains{}, err
	}
	return a.addDomains(ctx, c, args.App, []store.Domain{from})
}

func (a *API) addDomains(ctx context.Context, c call, app string, domains []store.Domain) (Domains, error) {
	if err := a.deployer.AddDomains(ctx, app, domains, c.user); err != nil {
		return Domains{}, err
	}
	var hosts []string
	for _, d := range domains {
		if !slices.Contains(hosts, d.Host) {
			hosts = append(hosts, d.Host)
		}
	}
	points := a.pointing(ctx, c.out, hosts)
	if err := a.tellUncovered(c.out, hosts); err != nil {
		return Domains{}, err
	}
	report, err := a.domains(app)
	report.Points = points
	return report, err
}

func (a *API) domainsRemove(ctx context.Context, c call, args DomainsArgs) (Domains, error) {
	domains, err := normalDomains(args.Domains)
	if err != nil {
		return Domains{}, err
	}
	addresses := make([]string, len(domains))
	for i, domain := range domains {
		addresses[i] = domain.Address()
	}
	if err := a.deployer.RemoveDomains(ctx, args.App, addresses, c.user); err != nil {
		return Domains{}, err
	}
	return a.domains(args.App)
}

func normalDomains(names []string) ([]store.Domain, error) {
	if len(names) == 0 {
		return nil, fault.New(fault.Usage, "E140", "name at least one domain")
	}
	domains := make([]store.Domain, len(names))
	for i, name := range names {
		domain, err := NormalDomain(name)
		if err != nil {
			return nil, err
		}
		domains[i] = domain
	}
	return domains, nil
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
