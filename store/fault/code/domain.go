package code

// Domains: which names lead to which app.
const (
	DomainTaken       = "E104"
	DomainUnknown     = "E113"
	ApplianceNoDomain = "E149"
	DomainInvalid     = "E152"
	RedirectLoop      = "E184"
	DomainForbidden   = "E187"
	DomainsFull       = "E199"
	GlobalDomainOne   = "E423"
)

var domains = []Entry{
	{DomainTaken, "The domain is already in use.",
		"A domain belongs to one app. This one was added to another app, is the default host of another app, " +
			"or is the host of the admin page. Nothing was changed. `berth domains:report` shows which app has " +
			"it, and `berth domains:remove APP DOMAIN` frees it."},
	{DomainUnknown, "The app has no such domain.",
		"The domain was never added to this app, or it was removed. A domain with a path is a separate " +
			"domain: example.com and example.com/blog are two. `berth domains:report APP` lists them as they have " +
			"to be written."},
	{GlobalDomainOne, "An appliance has one global domain.",
		"All apps and the admin page are below one domain, so a second one cannot be added and the only one " +
			"cannot be removed. Nothing was changed. `berth domains:set-global DOMAIN` replaces it; " +
			"`berth domains:add APP DOMAIN` adds domains to an app, and `berth domains:clear APP` removes an app's " +
			"host below the global domain."},
	{ApplianceNoDomain, "The appliance has no domain yet.",
		"The sign-in link opens the admin page, which is served at the appliance's domain. No domain has been " +
			"set. Set one that points to this machine: `berth domains:set-global example.com`. Then run `berth " +
			"login` again."},
	{DomainInvalid, "This is not a valid domain.",
		"A domain is a plain host name, for example www.example.com, perhaps with *. before it or a path " +
			"behind it. The message says what is wrong with this one: a scheme, a port, a character that is not " +
			"allowed, or a path that is too long. Write it without https:// and without a port."},
	{RedirectLoop, "The redirect would be a loop.",
		"A visitor would be redirected from host to host without end. The evidence shows the chain of " +
			"redirects. Nothing was added. Remove one of these redirects with `berth domains:remove APP HOST`, or " +
			"choose another target."},
	{DomainForbidden, "Your key may not add this domain.",
		"A key that is bound to apps can only add names that nobody else can claim. The name, or one above or " +
			"below it, belongs to the appliance or to an app that the key has no access to. An administrator can " +
			"add it: `berth domains:add APP DOMAIN`."},
	{DomainsFull, "The app has as many domains as this key may add.",
		"A key that is bound to apps can give an app 100 domains, paths included. Each new domain needs a " +
			"certificate from the operator's CA account, whose rate limit all apps share. Remove unused domains " +
			"with `berth domains:remove APP DOMAIN`, or ask an administrator to add more."},
}
