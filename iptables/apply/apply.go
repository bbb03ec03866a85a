// Package apply puts the rules of package iptables into the kernel of the current network
// namespace, and takes them out again. A change is made by one iptables-restore for each
// family, checked afterwards, and taken back when anything of it failed.
package apply

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/pilothouse-mesh/pilothouse/iptables"
)

// passthroughIPv6 is the IPv6 source from which the proxy dials the application. Other than
// 127.0.0.6 it has to be given to the loopback interface.
const passthroughIPv6 = "::6/128"

// Options says how rules are applied.
type Options struct {
	// IPv6 tells whether all IPv6 rules are wanted; see HasIPv6. Otherwise those of
	// iptables.Set.Inbound are, where the machine can hold any.
	IPv6 bool
	// Binary forces a backend: "legacy", "nft", or the name of the IPv4 command. Empty: choose.
	Binary string
	// Force applies rules even if the kernel has them already.
	Force bool
	// Logger hears what was done.
	Logger *slog.Logger
}

// HasIPv6 tells whether an interface other than loopback has an IPv6 address that leads out
// of its link. The kernel may well take IPv6 rules where no address needs them, and the other
// way round.
func HasIPv6() (bool, error) {
	links, err := net.Interfaces()
	if err != nil {
		return false, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, link := range links {
		if link.Flags&net.FlagLoopback != 0 || link.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := link.Addrs()
		if err != nil {
			return false, fmt.Errorf("listing addresses of interface %s: %w", link.Name, err)
		}
		for _, addr := range addrs {
			if n, ok := addr.(*net.IPNet); ok && n.IP.To4() == nil && n.IP.IsGlobalUnicast() {
				return true, nil
			}
		}
	}
	return false, nil
}

// change is what has to be done for one family.
type change struct {
	*backend
	before, after state
}

// Apply makes the kernel hold exactly these rules of ours. It tells whether it changed
// anything. On an error the rules are as they were before.
func Apply(rules iptables.Rules, opts Options) (changed bool, err error) {
	var changes []change
	for _, family := range []iptables.Family{iptables.IPv4, iptables.IPv6} {
		set, optional := Wanted(rules, family, opts.IPv6), family == iptables.IPv6 && !opts.IPv6
		c, err := prepare(family, set, optional, opts)
		if err != nil {
			return false, err
		}
		if c != nil {
			changes = append(changes, *c)
		}
	}
	added := false
	if opts.IPv6 {
		if added, err = addPassthrough(); err != nil {
			return false, err
		}
	}
	if err := carryOut(changes, opts.Logger); err != nil {
		if added {
			err = errors.Join(err, removePassthrough())
		}
		return false, err
	}
	return len(changes) > 0 || added, nil
}

// Wanted gives the rules of a family that Apply puts in place: all, or, of IPv6 in a pod without
// such an address (see HasIPv6), the inbound ones. Every interface that knows IPv6 has a link-local
// address, by which neighbours reach the applications.
func Wanted(rules iptables.Rules, family iptables.Family, ipv6 bool) iptables.Set {
	set := rules.For(family)
	if family == iptables.IPv6 && !ipv6 {
		return set.Inbound()
	}
	return set
}

// prepare compares one family's rules with the kernel's; nil means nothing to do. A family
// that is optional needs no working backend: a kernel that cannot redirect IPv6 mostly has none.
func prepare(family iptables.Family, set iptables.Set, optional bool, opts Options) (*change, error) {
	b, err := choose(family, opts.Binary)
	if err != nil {
		if optional {
			opts.Logger.Warn("inbound connections are not captured", "family", family.String(), "reason", err)
			return nil, nil
		}
		return nil, err
	}
	before, err := b.read()
	if err != nil {
		return nil, err
	}
	after := wanted(set)
	if before.empty() && after.empty() {
		return nil, nil
	}
	same, err := b.matches(before, after)
	if err != nil {
		return nil, err
	}
	if same && !opts.Force {
		opts.Logger.Info("rules are in place", "family", family.String(), "backend", b.command)
		return nil, nil
	}
	return &change{b, before, after}, nil
}

// carryOut makes all changes or none.
func carryOut(changes []change, log *slog.Logger) error {
	for i, c := range changes {
		err := c.restore(script(c.before, c.after))
		if err == nil {
			err = c.check()
		}
		if err != nil {
			err = fmt.Errorf("applying %s rules with %s: %w", c.family, c.command, err)
			for j := i; j >= 0; j-- {
				err = errors.Join(err, changes[j].takeBack())
			}
			return err
		}
		log.Info("rules applied", "family", c.family.String(), "backend", c.command)
	}
	return nil
}

// check reads the rules back.
func (c change) check() error {
	now, err := c.read()
	if err != nil {
		return err
	}
	same, err := c.matches(now, c.after)
	if err != nil {
		return err
	}
	if !same {
		return errors.New("the kernel does not hold the rules that were applied")
	}
	return nil
}

// takeBack goes from whatever is there now to what was there before.
func (c change) takeBack() error {
	now, err := c.read()
	if err == nil {
		err = c.restore(script(now, c.before))
	}
	if err != nil {
		return fmt.Errorf("taking back %s rules: %w", c.family, err)
	}
	return nil
}

// Cleanup removes every rule and chain of ours, of both families and from every backend that
// is installed. Nothing to remove is no error.
func Cleanup(opts Options) error {
	var errs []error
	for _, family := range []iptables.Family{iptables.IPv4, iptables.IPv6} {
		seen := map[bool]bool{}
		for _, command := range commands(family, opts.Binary) {
			b, err := open(family, command)
			if err != nil || seen[b.legacy] {
				continue
			}
			seen[b.legacy] = true
			errs = append(errs, b.cleanup(opts.Logger))
		}
		if len(seen) == 0 && family == iptables.IPv4 {
			errs = append(errs, fmt.Errorf("no iptables command is installed"))
		}
	}
	return errors.Join(append(errs, removePassthrough())...)
}

func (b *backend) cleanup(log *slog.Logger) error {
	before, err := b.read()
	if err != nil {
		// Rules cannot be where the kernel knows no such tables.
		log.Debug("nothing to clean up", "family", b.family.String(), "backend", b.command, "reason", err)
		return nil
	}
	if before.empty() {
		return nil
	}
	if err := b.restore(script(before, state{})); err != nil {
		return fmt.Errorf("removing %s rules: %w", b.family, err)
	}
	if now, err := b.read(); err != nil || !now.empty() {
		return errors.Join(err, fmt.Errorf("removing %s rules with %s: some are still there", b.family, b.command))
	}
	log.Info("rules removed", "family", b.family.String(), "backend", b.command)
	return nil
}

func loopback() (netlink.Link, *netlink.Addr, error) {
	link, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, nil, fmt.Errorf("finding interface lo: %w", err)
	}
	addr, err := netlink.ParseAddr(passthroughIPv6)
	if err != nil {
		return nil, nil, fmt.Errorf("parsing %s: %w", passthroughIPv6, err)
	}
	addr.Flags = unix.IFA_F_NODAD
	return link, addr, nil
}

// addPassthrough gives lo the passthrough address, and tells whether it was not there.
func addPassthrough() (bool, error) {
	link, addr, err := loopback()
	if err != nil {
		return false, err
	}
	switch err := netlink.AddrAdd(link, addr); {
	case errors.Is(err, unix.EEXIST):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("adding %s to interface lo: %w", passthroughIPv6, err)
	}
	return true, nil
}

func removePassthrough() error {
	link, addr, err := loopback()
	if err != nil {
		return err
	}
	err = netlink.AddrDel(link, addr)
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.EAFNOSUPPORT) {
		return fmt.Errorf("removing %s from interface lo: %w", passthroughIPv6, err)
	}
	return nil
}
