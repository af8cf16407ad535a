package verbs

import (
	"context"

	"github.com/berthd/berth/edge"
	"github.com/berthd/berth/store"
)

// RouterRoom is what the verbs of router ask for; *edge.Edge documents it.
type RouterRoom interface {
	SetRouter(ctx context.Context, app, name, value string, by store.User) (edge.RouterReport, error)
	SetMaintenance(ctx context.Context, app string, on bool, by store.User) error
	AddHTTPUser(ctx context.Context, app, name, password string, by store.User) error
	RemoveHTTPUser(ctx context.Context, app, name string, by store.User) error
	RouterReport(ctx context.Context, app string) (edge.RouterReport, error)
	SetGlobalRouter(ctx context.Context, name, value string, by store.User) (edge.RouterReport, error)
	GlobalRouterReport(ctx context.Context) (edge.RouterReport, error)
}

type routing struct {
	RouterRoom
}

func (n routing) verbs() []Verb {
	return []Verb{
		act(Verb{
			Name: "router:set", Role: deploys,
			Short: "say how requests are treated",
			Long: "https-only        off answers plain HTTP too, in place of sending it to HTTPS\n" +
				"balance           round-robin, least-connections, or sticky by a cookie\n" +
				"protocol          http (gRPC included) or h2c\n" +
				"max-body          how long a request may be: 64k, 100m, 2g, unlimited\n" +
				"min-body-rate     bytes a second that it has to come with, or off\n" +
				"rate-limit        requests of one address: 10/s, 100/m, 1000/h, off\n" +
				"max-in-flight     requests of one address at once, or off\n" +
				"response-timeout  how long the app may take to begin its response: 5m\n" +
				"stream-grace      how long WebSockets go on when a release replaces theirs: 5m\n" +
				"hsts              on, off or SECONDS, then perhaps subdomains and preload\n" +
				"compress          off passes responses as the app makes them\n" +
				"access-log        off, or paths to leave out queries, which may hold secrets\n" +
				"maintenance-page  FILE of HTML, - is standard input\n" +
				"error-page        the same, for when the app does not answer (502, 503, 504)\n" +
				"header:NAME       a header of every response, in place of the app's own\n" +
				"\nWith --global, for all apps:\n" +
				"trusted-proxies   addresses and networks of the proxies in front, whose word for\n" +
				"                  who the client is counts; private and loopback are some\n" +
				"proxy-protocol    on: they begin each connection with a PROXY header; optional\n" +
				"max-connections-per-address  of a client, at all ports together, or off\n" +
				"\nNo VALUE takes a property back. It counts at once and fails no request.",
			Example: "router:set shop max-body 500m\nrouter:set shop hsts on subdomains\n" +
				"router:set shop header:X-Frame-Options DENY\nrouter:set shop error-page sorry.html\n" +
				"router:set --global trusted-proxies 192.0.2.10 2001:db8::/32",
			Values: func(words []string) []string {
				if len(words) == 0 {
					return append(edge.RouterProperties(), edge.GlobalRouterProperties()...)
				}
				return edge.RouterValues(words[0])
			},
		}, n.set),
		act(Verb{
			Name: "router:set-global", Role: admins, Hidden: true,
			Short: "say how requests are treated",
		}, n.setGlobal),
		look(Verb{
			Name: "router:report", Role: reads,
			Short:   "show how requests are treated",
			Example: "router:report shop",
			Aliases: []string{"router", "maintenance:report", "http-auth:report"},
		}, n.report),
		look(Verb{
			Name: "router:report-global", Role: admins, Hidden: true,
			Short: "show how requests are treated",
		}, n.reportGlobal),
		act(Verb{
			Name: "maintenance:on", Role: deploys,
			Short:   "show a page in the app's place",
			Long:    "The app goes on and gets no requests. router:set APP maintenance-page FILE\nmakes the page your own.",
			Example: "maintenance:on shop",
			Aliases: []string{"maintenance:enable"},
			Done:    "{app} is under maintenance",
		}, n.maintenanceOn),
		act(Verb{
			Name: "maintenance:off", Role: deploys,
			Short:   "lead requests to the app again",
			Example: "maintenance:off shop",
			Aliases: []string{"maintenance:disable"},
			Done:    "{app} answers again",
		}, n.maintenanceOff),
		act(Verb{
			Name: "http-auth:add-user", Role: deploys,
			Short: "ask visitors for a password",
			Long: "From then on nobody sees the app without one. A password that is not given is\n" +
				"read from standard input, where no list of processes shows it. The app does\nnot see it either.",
			Example: "http-auth:add-user shop alice <password.txt",
			Done:    "{user} may enter {app}; nobody without a password does",
		}, n.addUser),
		act(Verb{
			Name: "http-auth:remove-user", Role: deploys,
			Short:   "take a password away",
			Example: "http-auth:remove-user shop alice",
		}, n.removeUser),
	}
}

// RouterSetArgs give a property of an app's routing its value; an empty value
// takes it back.
type RouterSetArgs struct {
	AppArgs
	Property string `json:"property"`
	Value    string `json:"value"`
}

func (n routing) report(ctx context.Context, _ Call, args AppArgs) (edge.RouterReport, error) {
	return n.RouterReport(ctx, args.App)
}

func (n routing) set(ctx context.Context, c Call, args RouterSetArgs) (edge.RouterReport, error) {
	return n.SetRouter(ctx, args.App, args.Property, args.Value, c.User)
}

func (n routing) reportGlobal(ctx context.Context, _ Call, _ NoArgs) (edge.RouterReport, error) {
	return n.GlobalRouterReport(ctx)
}

func (n routing) setGlobal(ctx context.Context, c Call, args SetArgs) (edge.RouterReport, error) {
	return n.SetGlobalRouter(ctx, args.Property, args.Value, c.User)
}

func (n routing) maintenanceOn(ctx context.Context, c Call, args AppArgs) (edge.RouterReport, error) {
	return n.maintain(ctx, c, args, true)
}

func (n routing) maintenanceOff(ctx context.Context, c Call, args AppArgs) (edge.RouterReport, error) {
	return n.maintain(ctx, c, args, false)
}

func (n routing) maintain(ctx context.Context, c Call, args AppArgs, on bool) (edge.RouterReport, error) {
	if err := n.SetMaintenance(ctx, args.App, on, c.User); err != nil {
		return edge.RouterReport{}, err
	}
	return n.RouterReport(ctx, args.App)
}

// HTTPUserArgs name a user of an app's pages.
type HTTPUserArgs struct {
	AppArgs
	User string `json:"user" cli:"USER"`
}

// HTTPUserAddArgs give one a password.
type HTTPUserAddArgs struct {
	HTTPUserArgs
	Password string `json:"password" cli:"[PASSWORD]" stdin:"type the password"`
}

func (n routing) addUser(ctx context.Context, c Call, args HTTPUserAddArgs) (edge.RouterReport, error) {
	if err := n.AddHTTPUser(ctx, args.App, args.User, args.Password, c.User); err != nil {
		return edge.RouterReport{}, err
	}
	return n.RouterReport(ctx, args.App)
}

func (n routing) removeUser(ctx context.Context, c Call, args HTTPUserArgs) (edge.RouterReport, error) {
	if err := n.RemoveHTTPUser(ctx, args.App, args.User, c.User); err != nil {
		return edge.RouterReport{}, err
	}
	return n.RouterReport(ctx, args.App)
}
