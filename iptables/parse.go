package iptables

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxOwnerGroups bounds the included groups: they become the matches of one single rule.
const maxOwnerGroups = 64

// wildcard stands for every port, destination or group.
const wildcard = "*"

var (
	// A user or group is a number, or a name that the pod's own files know.
	ownerPattern = regexp.MustCompile(`^([0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.-]{0,31})$`)
	// The kernel takes interface names of up to 15 bytes; a trailing + matches a prefix.
	interfacePattern = regexp.MustCompile(`^[A-Za-z0-9_.:@-]{1,15}\+?$`)
)

// parsed is a validated Config.
type parsed struct {
	Config
	outbound, inbound, tunnel      string
	uids, gids                     []string
	inboundAll                     bool
	inboundPorts, inboundExclude   []string
	outboundAll                    bool
	include, exclude               []netip.Prefix
	outboundPorts, outboundExclude []string
	excludeIfs, virtualIfs         []string
	groups, groupsExclude          []string
	loopbackV4                     netip.Prefix
}

// parser remembers the first fault, so that the inputs can be read one after another.
type parser struct{ err error }

func (p *parser) fail(flag, format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%s: %s", flag, fmt.Sprintf(format, args...))
	}
}

func parse(c Config) (*parsed, error) {
	var p parser
	switch strings.ToUpper(c.Mode) {
	case "", "REDIRECT":
	case "TPROXY":
		p.fail(flagMode, "TPROXY is not supported; use REDIRECT")
	default:
		p.fail(flagMode, "%q is no interception mode; use REDIRECT", c.Mode)
	}
	out := &parsed{
		Config:        c,
		outbound:      p.port(flagOutboundPort, c.OutboundPort, DefaultOutboundPort),
		inbound:       p.port(flagInboundPort, c.InboundPort, DefaultInboundPort),
		tunnel:        p.port(flagTunnelPort, c.TunnelPort, DefaultTunnelPort),
		excludeIfs:    p.names(flagExcludeInterfaces, c.ExcludeInterfaces, interfacePattern, "an interface name"),
		virtualIfs:    p.names(flagVirtualInterfaces, c.VirtualInterfaces, interfacePattern, "an interface name"),
		outboundPorts: p.ports(flagOutboundPorts, c.OutboundPorts),
		exclude:       p.prefixes(flagOutboundCIDRsExclude, c.OutboundCIDRsExclude),
	}
	out.uids, out.gids = p.owners(c)
	if strings.TrimSpace(c.InboundPorts) == wildcard {
		out.inboundAll = true
	} else {
		out.inboundPorts = p.ports(flagInboundPorts, c.InboundPorts)
	}
	out.inboundExclude = p.ports(flagInboundPortsExclude, c.InboundPortsExclude)
	if strings.TrimSpace(c.OutboundCIDRs) == wildcard {
		out.outboundAll = true
	} else {
		out.include = p.prefixes(flagOutboundCIDRs, c.OutboundCIDRs)
	}
	out.outboundExclude = p.ports(flagOutboundPortsExclude, c.OutboundPortsExclude)
	out.groups, out.groupsExclude = p.ownerGroups(c)
	out.loopbackV4 = p.loopback(c.LoopbackCIDR)
	return out, p.err
}

// items splits a list; it drops blanks and repetitions, and keeps the order.
func items(list string) []string {
	var out []string
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (p *parser) port(flag, value string, fallback int) string {
	value = strings.TrimSpace(value)
	if value == "" {
		return strconv.Itoa(fallback)
	}
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		p.fail(flag, "%q is not a port (1 to 65535)", value)
	}
	return strconv.FormatUint(n, 10)
}

func (p *parser) ports(flag, list string) []string {
	var out []string
	for _, s := range items(list) {
		if s == wildcard {
			p.fail(flag, "%q cannot stand for all ports here; list them", s)
			return nil
		}
		if n := p.port(flag, s, 0); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// prefixes reads CIDRs; an address alone is a CIDR of full length. Host bits are cleared, as
// the kernel does.
func (p *parser) prefixes(flag, list string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range items(list) {
		prefix, err := netip.ParsePrefix(s)
		if addr, e := netip.ParseAddr(s); e == nil && addr.Zone() == "" {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		switch {
		case s == wildcard:
			p.fail(flag, "%q cannot be mixed with, or stand for, a list here", s)
			return nil
		case err != nil:
			p.fail(flag, "%q is not a CIDR such as 10.0.0.0/8 or fd00::/8", s)
			return nil
		case prefix.Addr().Is4In6() && prefix.Bits() >= 96: // connections have it as IPv4
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		if prefix = prefix.Masked(); !slices.Contains(out, prefix) {
			out = append(out, prefix)
		}
	}
	return out
}

func (p *parser) names(flag, list string, pattern *regexp.Regexp, what string) []string {
	out := items(list)
	for _, s := range out {
		if !pattern.MatchString(s) {
			p.fail(flag, "%q is not %s", s, what)
		}
	}
	return out
}

// owners gives the proxy's users and groups; the groups are the users' when none are named.
func (p *parser) owners(c Config) (uids, gids []string) {
	uids = p.names(flagProxyUID, c.ProxyUID, ownerPattern, "a user")
	if len(uids) == 0 {
		uids = []string{DefaultProxyID}
	}
	gids = p.names(flagProxyGID, c.ProxyGID, ownerPattern, "a group")
	if len(gids) == 0 {
		gids = uids
	}
	return uids, gids
}

func (p *parser) ownerGroups(c Config) (include, exclude []string) {
	if s := strings.TrimSpace(c.OwnerGroups); s != wildcard {
		include = p.names(envOwnerGroups, s, ownerPattern, "a group")
	}
	exclude = p.names(envOwnerGroupsExclude, c.OwnerGroupsExclude, ownerPattern, "a group")
	if len(include) > 0 && len(exclude) > 0 {
		p.fail(envOwnerGroupsExclude, "cannot be given together with %s", envOwnerGroups)
	}
	if len(include) > maxOwnerGroups {
		p.fail(envOwnerGroups, "names %d groups; at most %d are possible", len(include), maxOwnerGroups)
	}
	return include, exclude
}

func (p *parser) loopback(cidr string) netip.Prefix {
	if strings.TrimSpace(cidr) == "" {
		cidr = "127.0.0.1/32"
	}
	all := p.prefixes(envLoopbackCIDR, cidr)
	if p.err == nil && (len(all) != 1 || !all[0].Addr().Is4() || !all[0].Addr().IsLoopback()) {
		p.fail(envLoopbackCIDR, "%q is not one CIDR within 127.0.0.0/8", cidr)
	}
	if p.err != nil {
		return netip.Prefix{}
	}
	return all[0]
}
