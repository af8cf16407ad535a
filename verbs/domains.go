package verbs

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// DomainRoom is what the verbs of domains ask for; *edge.Edge documents it.
type DomainRoom interface {
	AddDomains(ctx context.Context, app string, domains []store.Domain, by store.User) error
	RemoveDomains(ctx context.Context, app string, addresses []string, by store.User) error
	ReplaceDomains(ctx context.Context, app string, as edge.DomainsAs, by store.User) error
	SetHostless(ctx context.Context, app string, off bool, by store.User) error
	SetSettings(ctx context.Context, change func(*store.Settings) error, by store.User) (store.Settings, error)
}

type domains struct {
	records
	DomainRoom
	addresses func() ([]netip.Addr, error)
	resolver  *net.Resolver
}

func (n domains) verbs() []Verb {
	return []Verb{
		look(Verb{
			Name: "domains:report", Role: reads,
			Short:   "show the domains",
			Example: "domains:report shop\ndomains:report shop --domains-app-vhosts",
			Aliases: []string{"domains"},
			Keys: keysOf(func(d Domains) []Key {
				hosts := d.Domains
				if d.Default != "" {
					hosts = append([]string{d.Default}, hosts...)
				}
				return []Key{
					{"domains-app-enabled", fmt.Sprint(len(hosts) > 0)}, {"domains-app-vhosts", strings.Join(hosts, " ")},
					{"domains-global-enabled", fmt.Sprint(d.Global != "")}, {"domains-global-vhosts", d.Global},
				}
			}),
		}, n.report),
		act(Verb{
			Name: "domains:add", Role: deploys,
			Short: "add domains to an app",
			Long: "www.example.com   the host\n" +
				"*.example.com     each host one level below it that has no app of its own\n" +
				"example.com/blog  the path and everything below it; the rest of the host may be\n" +
				"                  another app's. The longest path wins.",
			Example: "domains:add shop www.example.com\ndomains:add blog example.com/blog --strip",
		}, n.add),
		act(Verb{
			Name: "domains:redirect", Role: deploys,
			Short:   "redirect a host to another host",
			Long:    "The redirect (308) keeps path, query and method. domains:remove removes it.",
			Example: "domains:redirect shop www.example.com example.com",
			Aliases: []string{"redirect:set"},
			Done:    "{from} redirects to {to}",
		}, n.redirect),
		act(Verb{
			Name: "domains:remove", Role: deploys,
			Short:   "remove domains or redirects",
			Example: "domains:remove shop www.example.com",
			Aliases: []string{"redirect:unset"},
		}, n.remove),
		act(Verb{
			Name: "domains:set", Role: deploys,
			Short:   "replace all domains of an app",
			Long:    "The default host is one of them: without it in the list, it is removed.\nRedirects stay.",
			Example: "domains:set shop www.example.com example.com",
		}, n.set),
		act(Verb{
			Name: "domains:clear", Role: deploys,
			Short:   "remove all domains of an app",
			Long:    "The default host as well; domains:reset restores that one.",
			Example: "domains:clear shop",
		}, n.clear),
		act(Verb{
			Name: "domains:reset", Role: deploys,
			Short:   "keep only the default host of an app",
			Long:    "Removes the added domains. Redirects stay.",
			Example: "domains:reset shop",
		}, n.reset),
		act(Verb{
			Name: "domains:disable", Role: deploys,
			Short:   "disable all domains of an app",
			Long:    "No host points to it until domains:enable, and no other app can take its\ndomains. TCP ports keep working.",
			Example: "domains:disable shop",
		}, n.disable),
		act(Verb{
			Name: "domains:enable", Role: deploys,
			Short:   "enable the domains again",
			Example: "domains:enable shop",
		}, n.enable),
		act(Verb{
			Name: "domains:set-global", Role: admins,
			Short:   "set the global domain of all apps",
			Long:    "An app answers at APP.DOMAIN, the admin page at berth.DOMAIN. A DNS record for\n*.DOMAIN has to point to this machine. There is one global domain.",
			Example: "domains:set-global example.com",
			Done:    "apps answer at APP.{result.global}, the admin page at https://berth.{result.global}",
		}, n.setGlobal),
		act(Verb{
			Name: "domains:add-global", Role: admins,
			Short:   "set it where none is set",
			Long:    "Dokku allows several global domains, berth one: a second is refused.",
			Example: "domains:add-global example.com",
			Done:    "apps answer at APP.{result.global}",
		}, n.addGlobal),
		act(Verb{
			Name: "domains:remove-global", Role: admins,
			Short:   "refused: one is required",
			Example: "domains:remove-global example.com",
			Done:    "apps answer at APP.{result.global}",
		}, n.removeGlobal),
		act(Verb{
			Name: "domains:clear-global", Role: admins,
			Short:   "refused: one is required",
			Example: "domains:clear-global",
		}, n.clearGlobal),
	}
}

// DomainsArgs name domains of an app: hosts, or hosts with a path.
type DomainsArgs struct {
	AppArgs
	Domains []string `json:"domains" cli:"DOMAIN ..."`
}

// DomainsAddArgs name domains for an app. Strip takes their paths off what the
// app sees.
type DomainsAddArgs struct {
	DomainsArgs
	Strip bool `json:"strip,omitempty" flag:"strip" help:"the app sees /post for /blog/post, and /blog in X-Forwarded-Prefix"`
}

// RedirectArgs name a host and the target of its redirect.
type RedirectArgs struct {
	AppArgs
	From string `json:"from" cli:"HOST"`
	To   string `json:"to" cli:"TARGET"`
}

// Domains is what leads to an app.
type Domains struct {
	App       string            `json:"app,omitempty"`
	Global    string            `json:"global"`              // the appliance's domain
	Default   string            `json:"default,omitempty"`   // the host that the app has by its name; empty if that was added to an app, or cleared
	Disabled  bool              `json:"disabled,omitempty"`  // no host leads to it, by domains:disable
	Domains   []string          `json:"domains"`             // www.example.com, *.example.com, example.com/blog
	Stripped  []string          `json:"stripped,omitempty"`  // those of them whose path the app does not see
	Redirects map[string]string `json:"redirects,omitempty"` // hosts, by the host that leads there
	// Points is where the DNS leads the public ones of those just added.
	Points []Pointing `json:"points,omitempty"`
}

// DomainsReportArgs name an app, or "" for the appliance's own domain.
type DomainsReportArgs struct {
	App string `json:"app,omitempty" cli:"[APP]"`
}

func (a DomainsReportArgs) target() (string, bool) { return a.App, false }

func (n domains) report(_ context.Context, _ Call, args DomainsReportArgs) (Domains, error) {
	return n.of(args.App)
}

func (n domains) of(app string) (report Domains, err error) {
	err = n.db.View(func(tx *store.Tx) error {
		settings, err := tx.Settings()
		if err != nil {
			return err
		}
		report = Domains{App: app, Global: settings.Domain, Domains: []string{}}
		if app == "" {
			return nil
		}
		record, err := tx.App(app)
		if err != nil {
			return err
		}
		report.Disabled = record.Hosts.Off
		domains, err := edge.DomainsOf(tx, app)
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

func (n domains) add(ctx context.Context, c Call, args DomainsAddArgs) (Domains, error) {
	domains, err := normalDomains(args.Domains)
	if err != nil {
		return Domains{}, err
	}
	for i := range domains {
		if args.Strip && domains[i].Path == "" {
			return Domains{}, fault.New(fault.Usage, code.ArgumentsInvalid, "%s has no path to strip", domains[i].Host).
				Hint("--strip needs a path, as in example.com/blog")
		}
		domains[i].Strip = args.Strip
	}
	return n.addAll(ctx, c, args.App, domains)
}

func (n domains) redirect(ctx context.Context, c Call, args RedirectArgs) (Domains, error) {
	from, err := NormalDomain(args.From)
	if err != nil {
		return Domains{}, err
	}
	if from.Path != "" {
		return Domains{}, fault.New(fault.Usage, code.ArgumentsInvalid, "domains:redirect takes a host without a path").Hint("the redirect keeps the path of a request")
	}
	if from.Redirect, err = NormalHost(args.To); err != nil {
		return Domains{}, err
	}
	return n.addAll(ctx, c, args.App, []store.Domain{from})
}

func (n domains) addAll(ctx context.Context, c Call, app string, domains []store.Domain) (Domains, error) {
	if err := n.AddDomains(ctx, app, domains, c.User); err != nil {
		return Domains{}, err
	}
	var hosts []string
	for _, d := range domains {
		if !slices.Contains(hosts, d.Host) {
			hosts = append(hosts, d.Host)
		}
	}
	points := n.pointing(ctx, c.Out, hosts)
	if err := n.tellUncovered(c.Out, hosts); err != nil {
		return Domains{}, err
	}
	report, err := n.of(app)
	report.Points = points
	return report, err
}

func (n domains) remove(ctx context.Context, c Call, args DomainsArgs) (Domains, error) {
	domains, err := normalDomains(args.Domains)
	if err != nil {
		return Domains{}, err
	}
	addresses := make([]string, len(domains))
	for i, domain := range domains {
		addresses[i] = domain.Address()
	}
	if err := n.RemoveDomains(ctx, args.App, addresses, c.User); err != nil {
		return Domains{}, err
	}
	return n.of(args.App)
}

func normalDomains(names []string) ([]store.Domain, error) {
	if len(names) == 0 {
		return nil, fault.New(fault.Usage, code.ArgumentsInvalid, "name at least one domain")
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

func (n domains) set(ctx context.Context, c Call, args DomainsArgs) (Domains, error) {
	domains, err := normalDomains(args.Domains)
	if err != nil {
		return Domains{}, err
	}
	report, err := n.replace(ctx, c, args.App, edge.DomainsAs{Domains: domains})
	if err != nil {
		return report, err
	}
	var hosts []string
	for _, d := range domains {
		hosts = append(hosts, d.Host)
	}
	report.Points = n.pointing(ctx, c.Out, hosts)
	return report, n.tellUncovered(c.Out, hosts)
}

func (n domains) clear(ctx context.Context, c Call, args AppArgs) (Domains, error) {
	return n.replace(ctx, c, args.App, edge.DomainsAs{})
}

func (n domains) reset(ctx context.Context, c Call, args AppArgs) (Domains, error) {
	return n.replace(ctx, c, args.App, edge.DomainsAs{Default: true})
}

func (n domains) replace(ctx context.Context, c Call, app string, as edge.DomainsAs) (Domains, error) {
	if err := n.ReplaceDomains(ctx, app, as, c.User); err != nil {
		return Domains{}, err
	}
	return n.of(app)
}

func (n domains) disable(ctx context.Context, c Call, args AppArgs) (Domains, error) {
	return n.hostless(ctx, c, args.App, true)
}

func (n domains) enable(ctx context.Context, c Call, args AppArgs) (Domains, error) {
	return n.hostless(ctx, c, args.App, false)
}

func (n domains) hostless(ctx context.Context, c Call, app string, off bool) (Domains, error) {
	if err := n.SetHostless(ctx, app, off, c.User); err != nil {
		return Domains{}, err
	}
	return n.of(app)
}

// DomainArgs name a domain for the whole appliance.
type DomainArgs struct {
	NoArgs
	Domain string   `json:"domain" cli:"DOMAIN"`
	Others []string `json:"others,omitempty" cli:"[DOMAIN ...]"` // Dokku takes several; they are refused
}

func (n domains) setGlobal(ctx context.Context, c Call, args DomainArgs) (Domains, error) {
	if len(args.Others) > 0 {
		return Domains{}, oneGlobal("%d global domains are given, and an appliance has one", 1+len(args.Others)).
			Hint("berth domains:set-global %s sets the first, berth domains:add APP DOMAIN adds others to an app", args.Domain)
	}
	domain, err := NormalHost(args.Domain)
	if err != nil {
		return Domains{}, err
	}
	if _, err := n.SetSettings(ctx, func(s *store.Settings) error {
		s.Domain = domain
		return nil
	}, c.User); err != nil {
		return Domains{}, err
	}
	return n.of("")
}

// oneGlobal is the fault (E423) of a request for more global domains than one, or
// for none.
func oneGlobal(format string, args ...any) *fault.Error {
	return fault.New(fault.Conflict, code.GlobalDomainOne, format, args...)
}

// global are the domains of a request for the whole appliance, and the one that
// there is.
func (n domains) global(args DomainArgs) (asked []string, now string, err error) {
	settings, err := n.settings()
	if err != nil {
		return nil, "", err
	}
	for _, name := range append([]string{args.Domain}, args.Others...) {
		domain, err := NormalHost(name)
		if err != nil {
			return nil, "", err
		}
		asked = append(asked, domain)
	}
	return asked, settings.Domain, nil
}

// addGlobal takes the domain that there is; any other would be a second.
func (n domains) addGlobal(ctx context.Context, c Call, args DomainArgs) (Domains, error) {
	asked, now, err := n.global(args)
	if err != nil {
		return Domains{}, err
	}
	for _, domain := range asked {
		switch now {
		case domain:
		case "":
			return n.setGlobal(ctx, c, args)
		default:
			return Domains{}, oneGlobal("an appliance has one global domain, which is %s", now).
				Hint("berth domains:set-global %s replaces it for all apps", domain).
				Hint("berth domains:add APP HOST.%s adds a host below it to one app", domain)
		}
	}
	return n.of("")
}

// removeGlobal removes what is not there anyway.
func (n domains) removeGlobal(_ context.Context, _ Call, args DomainArgs) (Domains, error) {
	asked, now, err := n.global(args)
	if err != nil {
		return Domains{}, err
	}
	if slices.Contains(asked, now) {
		return Domains{}, keepsGlobal(now)
	}
	return n.of("")
}

func (n domains) clearGlobal(context.Context, Call, NoArgs) (Domains, error) {
	settings, err := n.settings()
	if err != nil || settings.Domain == "" {
		return Domains{}, err
	}
	return Domains{}, keepsGlobal(settings.Domain)
}

func keepsGlobal(domain string) error {
	return oneGlobal("%s cannot be removed: the admin page is below it", domain).
		Hint("berth domains:set-global DOMAIN replaces it").
		Hint("berth domains:clear APP removes the host that an app has below it")
}
