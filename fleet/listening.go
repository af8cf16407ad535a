package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"syscall"
)

// listensOn finds a port among listening addresses.
func listensOn(addresses []string, port int) string {
	for _, a := range addresses {
		if portOf(a) == strconv.Itoa(port) {
			return a
		}
	}
	return ""
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// forRequests returns the address that requests go to, of a program that does
// not listen on PORT: the first that no port of the app's leads to. raw is set
// when there is no such one.
func forRequests(addresses, containerPorts []string) (address string, raw bool) {
	for _, a := range addresses {
		if !slices.Contains(containerPorts, portOf(a)) {
			return a, false
		}
	}
	return addresses[0], true
}

// containerPorts are where the app's ports lead in a web instance.
func (i *instance) containerPorts() []string {
	if i.process.Type != "web" {
		return nil
	}
	return i.fleet().cfg.Router.Ports(i.app.ref())
}

// listens notes where the instance takes requests.
func (i *instance) listens(address string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.address, i.detail = address, ""
	if port := strconv.Itoa(i.release.Port); address != "0.0.0.0:"+port && address != "[::]:"+port {
		i.detail = "listens on " + address
	}
}

// oddAddress tells whether the instance listens where apps should not: on
// loopback alone, or on a port that is neither PORT nor one of the image's.
func (i *instance) oddAddress() (address string, odd bool) {
	_, _, address = i.running()
	if address == "" {
		return "", false
	}
	host, port, _ := net.SplitHostPort(address)
	return address, host == "127.0.0.1" || host == "::1" || port != strconv.Itoa(i.release.Port) && !i.release.exposes(port)
}

// dialInto returns a dialer for an address of a container.
func dialInto(c Container, address string) dialer {
	return func(ctx context.Context) (net.Conn, error) { return c.Dial(ctx, address) }
}

// dialPort opens a connection to a port of a container. Nearly every program
// listens on loopback too; where one does not, its sockets tell.
func dialPort(ctx context.Context, c Container, port int) (net.Conn, error) {
	conn, err := c.Dial(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return conn, err
	}
	addresses, lookErr := c.Listening()
	if address := listensOn(addresses, port); lookErr == nil && address != "" {
		return c.Dial(ctx, address)
	}
	return nil, fmt.Errorf("nothing listens on port %d: %w", port, err)
}
