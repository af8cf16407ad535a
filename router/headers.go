package router

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/router/http1"
)

// untrusted tells whether a client's header is dropped: those that are ours to
// set, and those with an underscore in their name. CGI and WSGI apps read
// X_Remote_User as X-Remote-User, which whatever stands before them may set.
func untrusted(name string) bool {
	return strings.IndexByte(name, '_') >= 0 || ours(name)
}

// ours tells whether a header is for us to set. Underscores count as hyphens.
func ours(name string) bool {
	if strings.IndexByte(name, '_') >= 0 {
		name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	switch name {
	case "Forwarded", "X-Forwarded", "X-Real-Ip", "X-Request-Id", "X-Request-Start":
		return true
	case "Proxy": // becomes HTTP_PROXY in a CGI environment
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// setForwarded puts what we know of the client in place of what it claims.
func (x *exchange) setForwarded(h http.Header) {
	drop := untrusted
	if x.isGRPC() { // whose metadata has names such as user_id, and whose servers are no CGI
		drop = ours
	}
	for name := range h {
		if drop(name) {
			delete(h, name)
		}
	}
	for _, f := range x.forwarded() {
		h[f.Name] = []string{f.Value}
	}
}

// forwarded is what we know of the client. Its address is alone, whatever came
// through: apps that count proxies find one.
func (x *exchange) forwarded() []http1.Field {
	client, proto, host, start := x.client(), "http", x.in.Host, ""
	if x.secure() {
		proto = "https"
	}
	if b := x.believed; b != nil {
		start = b.start
		if b.host != "" {
			host = b.host
		}
	}
	if start == "" {
		start = requestStart(x.start)
	}
	fields := [...]http1.Field{
		{Name: "Forwarded", Value: forwardedPair(client, host, proto)},
		{Name: "X-Forwarded-For", Value: client},
		{Name: "X-Forwarded-Host", Value: host},
		{Name: "X-Forwarded-Port", Value: strconv.Itoa(x.port())},
		{Name: "X-Forwarded-Proto", Value: proto},
		{Name: "X-Real-Ip", Value: client},
		{Name: "X-Request-Id", Value: x.id},
		{Name: "X-Request-Start", Value: start},
		{Name: "X-Forwarded-Prefix", Value: x.prefix},
	}
	if x.prefix == "" {
		return fields[:len(fields)-1]
	}
	return fields[:]
}

// forwardedPair says the same in the words of RFC 7239.
func forwardedPair(client, host, proto string) string {
	b := append(make([]byte, 0, 96), "for="...)
	if strings.IndexByte(client, ':') >= 0 {
		b = append(append(append(b, `"[`...), client...), `]"`...)
	} else {
		b = append(b, client...)
	}
	b = append(b, `;host="`...)
	for i := range len(host) {
		if host[i] == '"' || host[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, host[i])
	}
	return string(append(append(b, `";proto=`...), proto...))
}

// client returns the client's address without port and zone.
func (x *exchange) client() string {
	if x.believed != nil {
		return x.believed.client
	}
	host, _, err := net.SplitHostPort(x.in.RemoteAddr)
	if err != nil {
		return x.in.RemoteAddr
	}
	host, _, _ = strings.Cut(host, "%") // our name of the interface means nothing to the app
	return host
}

// requestStart writes a time as nginx's msec, "t=1700000000.123": what the
// queue-time meters of Ruby, Python and Node read.
func requestStart(t time.Time) string {
	b := append(make([]byte, 0, 20), "t="...)
	b = strconv.AppendInt(b, t.Unix(), 10)
	ms := t.Nanosecond() / int(time.Millisecond)
	return string(append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10)))
}
