package verbs

import (
	"context"
	"fmt"
	"strings"

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
}

type routing struct {
	RouterRoom
}

func (n routing) verbs() []Verb {
	return []Verb{
		setter(edge.RouterProperties, Verb{
			Short: "set how requests are handled",
			Example: "router:set shop max-body 500m\nrouter:set shop hsts on subdomains\n" +
				"router:set shop header:X-Frame-Options DENY\nrouter:set shop error-page sorry.html\n" +
				"router:set --global trusted-proxies 192.0.2.10 2001:db8::/32",
			Done: "set for {app}",
		}, n.set),
		reporter(edge.RouterProperties, Verb{
			Short:   "show how requests are handled",
			Example: "router:report shop\nrouter:report shop --router-computed-max-body",
			Aliases: []string{"router", "maintenance:report", "http-auth:report"},
			Keys: keysOf(func(r edge.RouterReport) []Key {
				return []Key{{"maintenance-enabled", fmt.Sprint(r.Maintenance)}, {"http-auth-enabled", fmt.Sprint(len(r.Users) > 0)}, {"http-auth-users", strings.Join(r.Users, " ")}}
			}),
		}, n.report),
		act(Verb{
			Name: "maintenance:on", Role: deploys,
			Short:   "enable maintenance mode",
			Long:    "Visitors see a maintenance page; the app keeps running and gets no requests.\nrouter:set APP maintenance-page FILE sets your own page.",
			Example: "maintenance:on shop",
			Aliases: []string{"maintenance:enable"},
			Done:    "maintenance mode of {app} is on",
		}, n.maintenanceOn),
		act(Verb{
			Name: "maintenance:off", Role: deploys,
			Short:   "disable maintenance mode",
			Example: "maintenance:off shop",
			Aliases: []string{"maintenance:disable"},
			Done:    "maintenance mode of {app} is off",
		}, n.maintenanceOff),
		act(Verb{
			Name: "http-auth:add-user", Role: deploys,
			Short: "ask visitors for a password",
			Long: "Then the app can only be seen with a password. Without PASSWORD it is\n" +
				"read from standard input, where no list of processes shows it. The app does\nnot see the password.",
			Example: "http-auth:add-user shop alice <password.txt",
			Done:    "added {user}; {app} now asks visitors for a password",
		}, n.addUser),
		act(Verb{
			Name: "http-auth:remove-user", Role: deploys,
			Short:   "remove a user of http-auth",
			Example: "http-auth:remove-user shop alice",
		}, n.removeUser),
	}
}

func (n routing) report(ctx context.Context, _ Call, args ReportArgs) (edge.RouterReport, error) {
	return n.RouterReport(ctx, args.App)
}

func (n routing) set(ctx context.Context, c Call, args PropertyArgs) (edge.RouterReport, error) {
	return n.SetRouter(ctx, args.App, args.Property, args.Value, c.User)
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
