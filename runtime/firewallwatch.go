package runtime

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// repairPause bounds how often the tables are looked at: a program that
	// loads its own rules one by one makes thousands of changes.
	repairPause = 100 * time.Millisecond
	// repairInterval is for what no notification tells: resolv.conf,
	// notifications that were lost, and what failed the last time.
	repairInterval = time.Minute
	// repairSilence is how long a second repair is not logged as a warning.
	repairSilence = 10 * time.Minute
)

// run keeps the firewall as it was made, and makes it anew when the machine's
// addresses or resolvers change, until ctx ends.
func (n *network) run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return n.listen(ctx, unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES, n.firewall.touches, changed)
	})
	for _, family := range []uint{unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR} {
		g.Go(func() error {
			return n.listen(ctx, unix.NETLINK_ROUTE, family, func(syscall.NetlinkMessage) bool { return true }, changed)
		})
	}
	g.Go(func() error {
		tick := time.NewTicker(repairInterval)
		defer tick.Stop()
		for {
			n.keep(ctx)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(repairPause):
			}
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			case <-tick.C:
			}
		}
	})
	return g.Wait()
}

// keep is one look at the firewall.
func (n *network) keep(ctx context.Context) {
	repaired, err := n.firewall.repair(ctx)
	n.warn("the firewall's tables are not as berth made them and could not be put back", err)
	if repaired {
		n.reportRepair()
	}
	n.warn("the rules for containers are not renewed", n.refresh(ctx))
}

// warn logs an error that is none of a run's end.
func (n *network) warn(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		n.log.Warn(what, "err", err)
	}
}

func (n *network) reportRepair() {
	level := n.log.Warn
	if now := time.Now(); now.Sub(n.reported) < repairSilence {
		level = n.log.Debug
	} else {
		n.reported = now
	}
	level("another program removed or changed berth's firewall tables; they are back",
		"tables", n.firewall.table, "hint", "reload a firewall without 'flush ruleset', which removes the rules of every program")
}

// listen signals changed for each notification of a netlink group that wants it.
func (n *network) listen(ctx context.Context, protocol int, group uint, wants func(syscall.NetlinkMessage) bool, changed chan<- struct{}) error {
	signal := func() {
		select {
		case changed <- struct{}{}:
		default: // one is waiting
		}
	}
	socket, err := nl.Subscribe(protocol, group)
	if err != nil {
		n.log.Warn("the kernel does not report changes: the firewall is looked at once a minute", "err", err)
		return nil
	}
	stop := context.AfterFunc(ctx, socket.Close)
	defer stop()
	for {
		messages, _, err := socket.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // more changes than the socket holds
			signal()
		case err != nil:
			n.log.Warn("the kernel's reports cannot be read: the firewall is looked at once a minute", "err", err)
			return nil
		case slices.ContainsFunc(messages, wants):
			signal()
		}
	}
}

// touches tells whether a notification of nftables is about our tables. Each
// begins with the family, and its first attribute is the table's name. Elements
// of sets are left out: containers come and go by those.
func (f *firewall) touches(m syscall.NetlinkMessage) bool {
	kind := m.Header.Type & 0xff
	if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || kind == unix.NFT_MSG_NEWSETELEM || kind == unix.NFT_MSG_DELSETELEM || len(m.Data) < nl.SizeofNfgenmsg {
		return false
	}
	attributes, err := nl.ParseRouteAttr(m.Data[nl.SizeofNfgenmsg:])
	if err != nil {
		return false
	}
	return slices.ContainsFunc(attributes, func(a syscall.NetlinkRouteAttr) bool {
		return a.Attr.Type&nl.NLA_TYPE_MASK == 1 && string(a.Value) == f.table+"\x00"
	})
}
