package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	// namesAgain is how long it takes until names are served again after a failure.
	namesAgain = 30 * time.Second
	// namesLook is how often it is looked whether the machine's resolvers are
	// others, and whether questions still come through.
	namesLook = 2 * time.Second
	// namesPatience is how long an answer may take, and namesTries how often it
	// may be missing until questions go to the machine's resolvers again.
	namesPatience = 3 * time.Second
	namesTries    = 3
)

// ServeNames has what containers ask the machine's resolvers come to serve
// instead, until ctx ends. serve answers on the sockets until its context ends,
// and closes them. probe asks by a connection that is a container's, and fails
// when it is not serve that answers.
//
// The rule that leads the questions here is in a table that the kernel removes
// with the process that holds it (nftables' "owner"). So containers never ask
// somebody who is not there: while berth is away, killed or stopped, their
// questions go to the machine's resolvers as they are written in resolv.conf.
// They do as well where another firewall of the machine drops what comes to it
// from containers, and where the kernel or nft has no such tables; a warning
// says so.
func (n *Network) ServeNames(ctx context.Context, serve NameServer, probe func(net.Conn) error) error {
	outlet, bridge := n.engine.Outlet(), n.net.cfg.Bridge
	defer outlet.Close()
	warned := false
	for ctx.Err() == nil {
		err := func() error {
			from, err := outlet.namespace(ctx)
			if err != nil {
				return err
			}
			return n.net.serveNames(ctx, serve, from, probe)
		}()
		if ctx.Err() != nil || err == nil {
			continue
		}
		if !warned {
			n.net.log.Warn("containers ask the machine's resolvers alone: names of other apps do not resolve", "err", err, "again", namesAgain,
				"hint", "another firewall may drop what comes from "+bridge+": ufw allow in on "+bridge+", or iptables -I INPUT -i "+bridge+" -j ACCEPT; berth's own rules keep all else closed")
			warned = true
		} else {
			n.net.log.Debug("names are not served", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(namesAgain):
		}
	}
	return nil
}

// NameServer answers on sockets until ctx ends, and closes them.
type NameServer func(ctx context.Context, packets []net.PacketConn, listeners []net.Listener) error

// serveNames is ServeNames as long as the resolvers are the same and questions
// come through. It asks itself from the namespace of a container.
func (n *network) serveNames(ctx context.Context, serve NameServer, from *os.File, probe func(net.Conn) error) (err error) {
	resolvers, six, gateways := n.firewall.current().resolvers, n.hasSix(), n.gateways()
	if !six {
		gateways = gateways[:1]
	}
	packets, listeners, port, err := listenForNames(gateways)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- serve(ctx, packets, listeners) }()
	var held *heldTable
	ended := false // serve has
	defer func() {
		cancel()
		if !ended {
			<-served
		}
		if held != nil {
			<-held.ended
		}
	}()
	address, err := n.addressWithin(from)
	if err != nil {
		return err
	}
	held, err = holdTable(ctx, n.firewall.table+"_names", n.namesTable())
	if err == nil { // for the one who probes alone, so that nobody else asks in vain
		err = held.add(ctx, n.namesRules(resolvers, port, "ip saddr "+address.String()+" "))
	}
	if err == nil {
		err = n.probeNames(ctx, from, resolvers, probe)
	}
	if err == nil {
		err = held.add(ctx, n.namesRules(resolvers, port, ""))
	}
	if err != nil {
		return err
	}
	tick := time.NewTicker(namesLook)
	defer tick.Stop()
	for {
		select {
		case err := <-served:
			ended = true
			return errors.Join(err, errors.New("names are not served any more"))
		case err := <-held.ended:
			held = nil
			return fmt.Errorf("the table of names is gone: %w", err)
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if now := n.firewall.current().resolvers; !slices.Equal(now, resolvers) || n.hasSix() != six {
				return nil
			}
			if err := n.probeNames(ctx, from, resolvers, probe); err != nil {
				return err
			}
		}
	}
}

// probeNames asks a resolver from the namespace of a container.
func (n *network) probeNames(ctx context.Context, from *os.File, resolvers []netip.Addr, probe func(net.Conn) error) (err error) {
	four := ofFamily(resolvers, "ip")
	if len(four) == 0 {
		return nil // no rule of IPv4 is there to be tried
	}
	for range namesTries {
		var conn net.Conn
		if err := n.within(from, func() (err error) {
			conn, err = net.Dial("udp", netip.AddrPortFrom(four[0], 53).String())
			return err
		}); err != nil {
			return err
		}
		conn.SetDeadline(time.Now().Add(namesPatience))
		err = probe(conn)
		conn.Close()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("what containers ask does not come through: %w", err)
}

// addressWithin is the IPv4 address of a container by its namespace.
func (n *network) addressWithin(ns *os.File) (addr netip.Addr, err error) {
	err = n.within(ns, func() error {
		link, err := netlink.LinkByName(containerInterface)
		if err != nil {
			return err
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil || len(addrs) == 0 {
			return errors.Join(err, errors.New("the interface has no address"))
		}
		addr, _ = netip.AddrFromSlice(addrs[0].IP.To4())
		return nil
	})
	return addr, err
}

// listenForNames opens the sockets, all at one port that is free: the usual one
// may be the machine's own resolver's.
func listenForNames(gateways []netip.Addr) (packets []net.PacketConn, listeners []net.Listener, port int, err error) {
	for range 10 {
		if packets, listeners, port, err = tryListenForNames(gateways); err == nil {
			break
		}
	}
	return packets, listeners, port, err
}

func tryListenForNames(gateways []netip.Addr) (packets []net.PacketConn, listeners []net.Listener, port int, err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, p := range packets {
			p.Close()
		}
		for _, l := range listeners {
			l.Close()
		}
	}()
	for _, gateway := range gateways {
		p, err := net.ListenPacket("udp", netip.AddrPortFrom(gateway, uint16(port)).String())
		if err != nil {
			return packets, listeners, 0, err
		}
		packets = append(packets, p)
		port = p.LocalAddr().(*net.UDPAddr).Port
		l, err := net.Listen("tcp", netip.AddrPortFrom(gateway, uint16(port)).String())
		if err != nil {
			return packets, listeners, 0, err
		}
		listeners = append(listeners, l)
	}
	return packets, listeners, port, nil
}

// namesTable are the commands that make the table.
func (n *network) namesTable() []string {
	table := n.firewall.table + "_names"
	return []string{
		fmt.Sprintf("add table inet %s { flags owner ; }", table),
		fmt.Sprintf("add chain inet %s prerouting { type nat hook prerouting priority dstnat - 1 ; policy accept ; }", table),
	}
}

// namesRules are the commands that lead the questions of some containers to a port.
func (n *network) namesRules(resolvers []netip.Addr, port int, of string) (lines []string) {
	for _, family := range []string{"ip", "ip6"} {
		to := matchAny(ofFamily(resolvers, family))
		if to == "" || family == "ip6" && (of != "" || !n.hasSix()) {
			continue
		}
		for _, protocol := range []string{"udp", "tcp"} {
			lines = append(lines, fmt.Sprintf("add rule inet %s_names prerouting iifname %q %s%s %s dport 53 redirect to :%d", n.firewall.table, n.cfg.Bridge, of, to, protocol, port))
		}
	}
	return lines
}

// heldTable is a table that a process of nft's holds.
type heldTable struct {
	name  string
	in    io.Writer
	rules int
	ended chan error // gets the end of the process
}

// holdTable has a process of nft's make a table and hold it until ctx ends or
// this process does.
func holdTable(ctx context.Context, name string, lines []string) (*heldTable, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "nft", "--interactive")
	cmd.Env = append(os.Environ(), "HOME=/nonexistent") // where it would write a history
	in, err := cmd.StdinPipe()                          // its end is the end of the process: that is how a kill of ours ends it
	if err != nil {
		cancel()
		return nil, err
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	t := &heldTable{name: name, in: in, ended: make(chan error, 1)}
	go func() {
		err := cmd.Wait()
		cancel()
		t.ended <- fmt.Errorf("nft: %w: %s", errors.Join(err, io.EOF), bytes.TrimSpace(said.Bytes()))
	}()
	if err := t.add(ctx, lines); err != nil {
		cancel()
		return nil, errors.Join(err, <-t.ended)
	}
	return t, nil
}

// add gives the process more commands, and waits until they are done.
func (t *heldTable) add(ctx context.Context, lines []string) error {
	if _, err := io.WriteString(t.in, strings.Join(lines, "\n")+"\n"); err != nil {
		return err
	}
	t.rules += strings.Count(strings.Join(lines, "\n"), "redirect to")
	for range 100 {
		list, err := exec.CommandContext(ctx, "nft", "list", "table", "inet", t.name).Output()
		if err == nil && strings.Count(string(list), "redirect to") == t.rules && strings.Contains(string(list), "flags owner") {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("nft did not make the table")
}

// directory finds containers for whoever cannot wait for nft, which the
// firewall's turn may be held for.
type directory struct {
	mu     sync.RWMutex // guards what follows
	ports  map[string]port
	owners map[netip.Addr]int
}

func (d *directory) add(id string, p port, owner int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ports == nil {
		d.ports, d.owners = make(map[string]port), make(map[netip.Addr]int)
	}
	d.ports[id] = p
	d.owners[p.Address], d.owners[p.Address6] = owner, owner
}

func (d *directory) remove(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.ports[id]
	delete(d.ports, id)
	delete(d.owners, p.Address)
	delete(d.owners, p.Address6)
}

func (d *directory) port(id string) (port, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	p, there := d.ports[id]
	return p, there
}

func (d *directory) owner(addr netip.Addr) int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.owners[addr]
}
