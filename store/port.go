package store

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/berthd/berth/store/fault"
	"github.com/berthd/berth/store/fault/code"
)

// MaxPorts bounds the ports of all apps: berth.service has a place for the
// socket of each (FileDescriptorStoreMax). MaxAppPorts bounds those of one app.
const (
	MaxPorts    = 256
	MaxAppPorts = 32
)

// Port is a TCP port of the machine that leads to an app.
type Port struct {
	Number    int       `json:"port"`      // of the machine
	Container int       `json:"container"` // where the app's web process listens
	TLS       bool      `json:"tls,omitempty"`
	App       string    `json:"app"`
	CreatedAt time.Time `json:"created_at"`
}

// String writes a port as it is asked for: "tcp:5432:5432", "tls:993:143".
func (p Port) String() string {
	scheme := "tcp"
	if p.TLS {
		scheme = "tls"
	}
	return fmt.Sprintf("%s:%d:%d", scheme, p.Number, p.Container)
}

// ParsePorts reads one word or more. None is a fault (E166).
func ParsePorts(words []string) (ports []Port, err error) {
	if len(words) == 0 {
		return nil, fault.New(fault.Usage, code.PortInvalid, "no port was given").Hint("write it as tcp:5432:5432")
	}
	for _, word := range words {
		p, err := ParsePort(word)
		if err != nil {
			return nil, err
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// ParsePort reads what String writes. Anything else is a fault (E166).
func ParsePort(word string) (p Port, err error) {
	no := func(why string) *fault.Error {
		return fault.New(fault.Usage, code.PortInvalid, "%.60q is not a port mapping: %s", word, why)
	}
	parts := strings.Split(word, ":")
	switch scheme := parts[0]; {
	case scheme == "http" || scheme == "https":
		return p, webPort(parts, no("HTTP and HTTPS need no mapping"))
	case len(parts) != 3 || scheme != "tcp" && scheme != "tls":
		return p, no("the form is SCHEME:PORT:CONTAINERPORT").
			Hint("tcp:5432:5432 passes everything, tls:993:143 terminates TLS")
	default:
		p.TLS = scheme == "tls"
	}
	for i, into := range []*int{&p.Number, &p.Container} {
		n, err := strconv.Atoi(parts[i+1])
		if err != nil || n < 1 || n > 65535 || parts[i+1] != strconv.Itoa(n) {
			return p, no("a port is a number from 1 to 65535")
		}
		*into = n
	}
	return p, nil
}

// webPort adds what replaces Dokku's mapping of HTTP: a machine port other than 80
// and 443 can pass everything to the app.
func webPort(parts []string, f *fault.Error) *fault.Error {
	if len(parts) == 3 && parts[1] != "80" && parts[1] != "443" {
		return f.Hint("tcp:%.5s:%.5s passes everything from the machine's port to the app's", parts[1], parts[2])
	}
	if len(parts) == 3 {
		return f.Hint("berth detects the port on which the app listens; berth config:set APP PORT=%.5s sets it", parts[2])
	}
	return f.Hint("berth detects the port on which the app listens, $PORT or another").
		Hint("for other protocols use tcp:PORT:CONTAINERPORT or tls:PORT:CONTAINERPORT")
}

// storedPort is a port as it lies in the file: of an id, not of a name.
type storedPort struct {
	Port
	Of int `json:"app"` // takes the place of Port.App
}

func (s storedPort) of(app string) Port {
	s.Port.App = app
	return s.Port
}

// Ports is what a transaction has of ports.
type Ports struct{ *records }

// Get returns what a port leads to; found is false when that is nothing.
func (tx Ports) Get(n int) (p Port, found bool, err error) {
	stored, found, err := get[storedPort](tx.bucket("ports"), number(n))
	if err != nil || !found {
		return p, found, err
	}
	app, err := tx.nameOf(stored.Of)
	return stored.of(app), true, err
}

// Of returns the ports of an app by number; "" is of every app.
func (tx Ports) Of(app string) ([]Port, error) {
	stored, err := all[storedPort](tx.bucket("ports"))
	if err != nil {
		return nil, err
	}
	names := tx.names()
	var ports []Port
	for _, s := range stored {
		if name := names[s.Of]; app == "" || name == app {
			ports = append(ports, s.of(name))
		}
	}
	return ports, nil
}

// Put stores a port, or returns a fault when it leads elsewhere already
// (E167), or there are too many (E169).
func (tx Ports) Put(p Port) error {
	old, found, err := tx.Get(p.Number)
	switch {
	case err != nil:
		return err
	case found && old.App != p.App:
		return fault.New(fault.Conflict, code.PortTaken, "port %d already belongs to the app %q", p.Number, old.App).
			Hint("to free it: berth ports:remove %s %s", old.App, old)
	case found && (old.Container != p.Container || old.TLS != p.TLS):
		return fault.New(fault.Conflict, code.PortTaken, "port %d already belongs to this app, as %s", p.Number, old).
			Hint("to free it: berth ports:remove %s %s", old.App, old)
	case found:
		return nil
	}
	every, err := tx.Of("")
	if err != nil {
		return err
	}
	mine := 0
	for _, other := range every {
		if other.App == p.App {
			mine++
		}
	}
	switch {
	case mine >= MaxAppPorts:
		return fault.New(fault.Conflict, code.PortsFull, "%s has %d ports, which is the maximum", p.App, MaxAppPorts)
	case len(every) >= MaxPorts:
		return fault.New(fault.Conflict, code.PortsFull, "the apps of this machine have %d ports, which is the maximum", MaxPorts)
	}
	uid, err := tx.uid(p.App)
	if err != nil {
		return err
	}
	return put(tx.bucket("ports"), number(p.Number), storedPort{p, uid})
}

// Delete removes a port.
func (tx Ports) Delete(n int) error { return tx.bucket("ports").Delete(number(n)) }
