package router

import (
	"net/http"
	"strings"
)

// answersPlain tells whether the route answers plain HTTP.
func (x *exchange) answersPlain() bool { return x.route != nil && x.route.options.Plain }

// redirect sends the client to the same place over HTTPS.
func (x *exchange) redirect() {
	_, port := publicPorts(x)
	x.sendTo("https://" + urlHost(x.host, port, 443))
}

// redirectHost sends the client to the same path of another host, in one step
// to where it would end up. A host that is not ours has the usual ports.
func (x *exchange) redirectHost(host string) {
	port, tlsPort := publicPorts(x)
	scheme, standard := "http", 80
	if x.secure() || x.door.redirect && !x.answersPlain() {
		scheme, port, standard = "https", tlsPort, 443
	}
	if !x.door.knows(host) {
		port = standard
	}
	x.sendTo(scheme + "://" + urlHost(host, port, standard))
}

// sendTo answers with the same path and query of another origin. 308 keeps the
// method and the body.
func (x *exchange) sendTo(origin string) {
	uri := x.in.URL.RequestURI()
	if !strings.HasPrefix(uri, "/") {
		uri = "/" // OPTIONS *
	}
	x.w.Header().Set("Location", origin+uri)
	x.w.WriteHeader(http.StatusPermanentRedirect)
}

// strip takes the path's beginning off the request, and remembers it.
func (x *exchange) strip(prefix string) {
	x.in.URL, x.prefix = strip(x.in.URL, prefix), prefix
}
