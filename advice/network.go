package advice

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/berthd/berth/store/fault"
)

// netSays are the words with which package managers, git, curl and the
// libraries beneath them say that a host was not found or did not answer.
var netSays = regexp.MustCompile(`(?i)could ?n[o']t resolve|cannot resolve|failed to resolve|temporary failure (in name resolution|resolving)|` +
	`name or service not known|no such host|unknown ?host|\bdns error\b|getaddrinfo|server misbehaving|\bEAI_AGAIN\b|\bENOTFOUND\b|` +
	`\bETIMEDOUT\b|\bECONNREFUSED\b|\bENETUNREACH\b|\bEHOSTUNREACH\b|connection refused|network is unreachable|no route to host|` +
	`connection timed out|\bi/o timeout\b|failed to (establish a new|open tcp) connection|couldn't connect to server|` +
	`(could not|cannot|unable to) connect to|could not reach host|tcp connect error|error trying to connect`)

// netHosts find the host in such a line, the surest first.
var netHosts = []*regexp.Regexp{
	regexp.MustCompile(`getaddrinfo [A-Z_]+ ([\w.-]+)`),
	regexp.MustCompile(`(?i)resolv(?:e|ing)(?: host(?:name)?)?(?: name)?:? ['"\x60]?([\w-]+(?:\.[\w-]+)+)`),
	regexp.MustCompile(`\blookup ([\w-]+(?:\.[\w-]+)+)`),
	regexp.MustCompile(`(?i)unknown ?host(?:exception)?:? ([\w-]+(?:\.[\w-]+)+)`),
	regexp.MustCompile(`(?i)could not reach host ([\w-]+(?:\.[\w-]+)+)`),
	regexp.MustCompile(`([\w-]+(?:\.[\w-]+)+): (?:Temporary failure|Name or service not known)`),
	regexp.MustCompile(`host='([\w.-]+)'`),
	netURL,
	regexp.MustCompile(`(?i)connect(?:ion)?(?: to)? ([\w-]+(?:\.[\w-]+)+)(?: port |:)\d+`),
}

var netURL = regexp.MustCompile(`https?://(?:[^\s/@]*@)?([\w-]+(?:\.[\w-]+)+)`)

// unreachable tells whether a program says that it could not reach a host, and
// which; "" when it does not name it.
func unreachable(lines []string) (host string, yes bool) {
	for _, line := range lines {
		if !netSays.MatchString(line) {
			continue
		}
		host, local := hostIn(line)
		if local {
			continue // a database or a server of the app's own, not the network
		}
		if host != "" {
			return host, true
		}
		yes = true
	}
	if !yes {
		return "", false
	}
	for _, line := range lines { // some name the address in another line
		if m := netURL.FindStringSubmatch(line); m != nil {
			return m[1], true
		}
	}
	return "", true
}

// hostIn returns the host that a line speaks of; local is one of the machine itself.
func hostIn(line string) (host string, local bool) {
	for _, find := range netHosts {
		m := find.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		address, err := netip.ParseAddr(m[1])
		if err == nil && address.IsLoopback() {
			return "", true
		}
		return strings.TrimSuffix(m[1], "."), false
	}
	return "", strings.Contains(line, "localhost") || strings.Contains(line, "127.0.0.1") || strings.Contains(line, "[::1]")
}

// Network puts in the place of a fault's hints what helps when a build
// could not reach a host: nothing in the repository is wrong.
func Network(f *fault.Error, lines []string) *fault.Error {
	host, yes := unreachable(lines)
	if !yes {
		return f
	}
	f.Hints = nil
	if host == "" {
		f.Hint("the machine could not reach the download host")
	} else {
		f.Hint("the machine cannot reach %s", host)
	}
	return f.Hint("check the machine's DNS servers, network and firewall, or the proxy set for berth").
		Hint("then push the same commit again")
}
