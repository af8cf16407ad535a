package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
)

// portSockets open the ports of apps. Unlike berth's own these come and go, so
// no unit of systemd's can hold them; instead each is put into the store that
// systemd keeps for a service (FileDescriptorStoreMax), which hands it to the
// next berth beside its own: connections wait there, and none is refused.
type portSockets struct {
	host string // the address that all are opened at; "" is every
	log  *slog.Logger

	mu     sync.Mutex // guards passed
	passed map[int]net.Listener
}

const portSocketName = "port-" // and the number, as the service manager knows it

// takePortSockets takes those that an earlier berth has stored out of what was
// passed.
func takePortSockets(host string, passed map[string][]net.Listener, log *slog.Logger) *portSockets {
	s := &portSockets{host: host, log: log, passed: map[int]net.Listener{}}
	for name, listeners := range passed {
		number, ok := strings.CutPrefix(name, portSocketName)
		if port, err := strconv.Atoi(number); ok && err == nil {
			delete(passed, name)
			if !s.opens(listeners[0].Addr()) { // --http has another address since
				closeListeners(listeners)
				s.Forget(port)
				continue
			}
			s.passed[port] = listeners[0]
			closeListeners(listeners[1:])
		}
	}
	return s
}

// opens tells whether an address is one that ports are opened at now.
func (s *portSockets) opens(at net.Addr) bool {
	tcp, ok := at.(*net.TCPAddr)
	if host := net.ParseIP(s.host); host != nil {
		return ok && tcp.IP.Equal(host)
	}
	return true
}

// Listen returns the stored listener of a port, or a new one, which it stores.
func (s *portSockets) Listen(port int) (net.Listener, error) {
	s.mu.Lock()
	l := s.passed[port]
	delete(s.passed, port)
	s.mu.Unlock()
	if l != nil {
		return l, nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(s.host, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	if err := keep(l, port); err != nil {
		s.log.Warn("a port will be closed for a moment when berth restarts", "port", port, "err", err)
	}
	return l, nil
}

func keep(l net.Listener, port int) error {
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	told := raw.Control(func(fd uintptr) {
		err = notify(fmt.Sprintf("FDSTORE=1\nFDNAME=%s%d", portSocketName, port), int(fd))
	})
	return errors.Join(told, err)
}

// Forget takes a port out of the service manager's store.
func (s *portSockets) Forget(port int) {
	if err := notify(fmt.Sprintf("FDSTOREREMOVE=1\nFDNAME=%s%d", portSocketName, port)); err != nil {
		s.log.Warn("the service manager keeps a port open", "port", port, "err", err)
	}
}

// forgetRest closes the ports that were stored and no app has any more.
func (s *portSockets) forgetRest() {
	s.mu.Lock()
	rest := s.passed
	s.passed = map[int]net.Listener{}
	s.mu.Unlock()
	for port, l := range rest {
		l.Close()
		s.Forget(port)
	}
}

func closeListeners(ls []net.Listener) {
	for _, l := range ls {
		l.Close()
	}
}
