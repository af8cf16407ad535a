package runtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// namesAgain is how long it takes until names are served again after a failure.
	namesAgain = 5 * time.Second
	// namesLook is how often it is looked whether the machine's resolvers are others.
	namesLook = 2 * time.Second
)

// ServeNames has what containers ask the machine's resolvers come to serve
// instead, until ctx ends. serve answers on the sockets until its context ends,
// and closes them.
//
// The rule that leads the questions here is in a table that the kernel removes
// with the process that holds it (nftables' "owner"). So containers never ask
// somebody who is not there: while berth is away, killed or stopped, their
// questions go to the machine's resolvers as they are written in resolv.conf.
// Where the kernel or nft cannot do that, they always do, and a warning says so.
func (e *Engine) ServeNames(ctx context.Context, serve func(ctx context.Context, packets []net.PacketConn, listeners []net.Listener) error) error {
	warned := false
	for ctx.Err() == nil {
		err := e.net.serveNames(ctx, serve)
		if ctx.Err() != nil {
			break
		}
		if err != nil && !warned {
			e.log.Warn("containers ask the machine's resolvers alone: names of other apps do not resolve", "err", err, "again", namesAgain)
			warned = true
		} else if err != nil {
			e.log.Debug("names are not served", "err", err)
		}
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(namesAgain):
			}
		}
	}
	return nil
}

// serveNames is ServeNames as long as the resolvers are the same.
func (n *network) serveNames(ctx context.Context, serve func(context.Context, []net.PacketConn, []net.Listener) error) error {
	resolvers, gateways := n.firewall.current().resolvers, n.gateways()
	if !n.hasSix() {
		gateways = gateways[:1]
	}
	six := n.hasSix()
	packets, listeners, port, err := listenForNames(gateways)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- serve(ctx, packets, listeners) }()
	hold, err := holdTable(ctx, n.namesRules(resolvers, port), n.firewall.table+"_names")
	if err != nil {
		cancel()
		<-served
		return err
	}
	tick := time.NewTicker(namesLook)
	defer tick.Stop()
	for {
		select {
		case err := <-served:
			cancel()
			<-hold
			if ctx.Err() == nil && err == nil {
				err = errors.New("names are not served any more")
			}
			return err
		case err := <-hold:
			cancel()
			<-served
			return fmt.Errorf("the table of names is gone: %w", err)
		case <-ctx.Done():
			<-hold
			<-served
			return nil
		case <-tick.C:
			if now := n.firewall.current().resolvers; !slices.Equal(now, resolvers) || n.hasSix() != six {
				cancel()
				<-hold
				<-served
				return nil
			}
		}
	}
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

// namesRules are the commands that make the table.
func (n *network) namesRules(resolvers []netip.Addr, port int) (lines []string) {
	table := n.firewall.table + "_names"
	lines = []string{
		fmt.Sprintf("add table inet %s { flags owner ; }", table),
		fmt.Sprintf("add chain inet %s prerouting { type nat hook prerouting priority dstnat - 1 ; policy accept ; }", table),
	}
	for _, family := range []string{"ip", "ip6"} {
		if to := matchAny(ofFamily(resolvers, family)); to != "" && (family == "ip" || n.hasSix()) {
			for _, protocol := range []string{"udp", "tcp"} {
				lines = append(lines, fmt.Sprintf("add rule inet %s prerouting iifname %q %s %s dport 53 redirect to :%d", table, n.cfg.Bridge, to, protocol, port))
			}
		}
	}
	return lines
}

// holdTable has a process of nft's make a table and hold it until ctx ends or
// this process does. The channel gets its end.
func holdTable(ctx context.Context, lines []string, table string) (<-chan error, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "nft", "--interactive")
	in, err := cmd.StdinPipe() // its end is the end of the process: that is how a kill of ours ends it
	if err != nil {
		cancel()
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	said := make(chan string, 1)
	go func() {
		var text strings.Builder
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			if text.Len() < 2000 {
				text.WriteString(scanner.Text() + "\n")
			}
		}
		said <- text.String()
	}()
	ended := make(chan error, 1)
	go func() {
		text := <-said
		err := cmd.Wait()
		cancel()
		ended <- fmt.Errorf("nft: %w: %s", errors.Join(err, io.EOF), strings.TrimSpace(text))
	}()
	give := func(err error) (<-chan error, error) {
		cancel()
		return nil, errors.Join(err, <-ended)
	}
	if _, err := io.WriteString(in, strings.Join(lines, "\n")+"\n"); err != nil {
		return give(err)
	}
	rules := strings.Count(strings.Join(lines, "\n"), "redirect")
	for range 40 {
		list, err := exec.CommandContext(ctx, "nft", "list", "table", "inet", table).Output()
		if err == nil && strings.Count(string(list), "redirect") == rules && strings.Contains(string(list), "flags owner") {
			return ended, nil
		}
		select {
		case <-ctx.Done():
			return give(ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return give(errors.New("nft did not make the table"))
}

// AddressesOf are the addresses of a container on the network, none when it is
// gone.
func (e *Engine) AddressesOf(id string) []netip.Addr {
	p, there := e.net.firewall.directory.port(id)
	switch {
	case !there:
		return nil
	case e.net.hasSix():
		return []netip.Addr{p.Address, p.Address6}
	}
	return []netip.Addr{p.Address}
}

// OwnerOf tells whose container has an address, 0 when nobody's has.
func (e *Engine) OwnerOf(addr netip.Addr) int { return e.net.firewall.directory.owner(addr) }

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
