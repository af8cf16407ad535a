package names

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// resolversAge is how long what was read of the machine's resolvers is used.
const resolversAge = 5 * time.Second

// Resolvers are those of the machine, as a resolv.conf has them. The zero value
// is not ready: see ReadResolvers. It is safe for concurrent use.
type Resolvers struct {
	file string

	mu      sync.Mutex // guards what follows
	read    time.Time
	servers []netip.AddrPort
	search  []string
}

// ReadResolvers returns the resolvers that a file has, at every time.
func ReadResolvers(file string) *Resolvers { return &Resolvers{file: file} }

// Servers are the addresses of the resolvers.
func (r *Resolvers) Servers() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh()
	return r.servers
}

// Foreign tells whether a name of Zone is in one of the domains that the machine
// searches, or in one that its cloud answers by itself.
func (r *Resolvers) Foreign(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh()
	for _, domain := range append([]string{"google." + Zone}, r.search...) {
		if strings.HasSuffix(domain, "."+Zone) && (name == domain || strings.HasSuffix(name, "."+domain)) {
			return true
		}
	}
	return false
}

// refresh reads the file again when that was long ago. A file that cannot be
// read leaves what was read before.
func (r *Resolvers) refresh() {
	if time.Since(r.read) < resolversAge {
		return
	}
	r.read = time.Now()
	conf, err := dns.ClientConfigFromFile(r.file)
	if err != nil {
		return
	}
	r.servers, r.search = nil, nil
	for _, server := range conf.Servers {
		if addr, err := netip.ParseAddr(server); err == nil {
			r.servers = append(r.servers, netip.AddrPortFrom(addr, 53))
		}
	}
	for _, domain := range conf.Search {
		r.search = append(r.search, strings.ToLower(strings.TrimSuffix(domain, ".")))
	}
}
