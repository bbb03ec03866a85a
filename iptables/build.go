package iptables

import (
	"net/netip"
	"slices"
	"strings"
)

// family holds what differs between the two families.
type family struct {
	id Family
	// loopback is where containers of a pod reach each other, passthrough the source from
	// which the proxy dials the application for an inbound connection.
	loopback, passthrough string
	// bits is the length of a host's prefix.
	bits int
}

// builder collects one family's rules.
type builder struct {
	*parsed
	family
	set Set
}

// Build decides the rules. The error names the input that is wrong.
func Build(c Config) (Rules, error) {
	p, err := parse(c)
	if err != nil {
		return Rules{}, err
	}
	return Rules{
		IPv4: p.build(family{IPv4, p.loopbackV4.String(), "127.0.0.6/32", 32}),
		IPv6: p.build(family{IPv6, "::1/128", "::6/128", 128}),
	}, nil
}

func (p *parsed) build(f family) Set {
	b := &builder{parsed: p, family: f}
	b.targets()
	b.inboundRules()
	b.outputStart()
	b.proxyOwners("uid", p.uids)
	b.proxyOwners("gid", p.gids)
	b.groupRules()
	if p.RedirectDNS {
		b.dnsRedirect()
	}
	b.destinations()
	if p.RedirectDNS {
		b.dnsZones()
	}
	if p.DropInvalid {
		b.dropInvalid()
	}
	return b.set
}

// add appends a rule, unless the chain has the same one already: the second could never match.
func (b *builder) add(table, chain, reason string, args ...string) {
	same := func(r Rule) bool { return r.Table == table && r.Chain == chain && slices.Equal(r.Args, args) }
	if !slices.ContainsFunc(b.set, same) {
		b.set = append(b.set, Rule{table, chain, args, reason})
	}
}

// nat adds a rule to the nat table; args are split at blanks.
func (b *builder) nat(chain, reason, args string) {
	b.add(TableNAT, chain, reason, strings.Fields(args)...)
}

func (b *builder) targets() {
	b.nat(chainRedirect, "outbound connections go to the proxy's outbound listener",
		"-p tcp -j REDIRECT --to-ports "+b.outbound)
	b.nat(chainInRedirect, "inbound connections go to the proxy's inbound listener",
		"-p tcp -j REDIRECT --to-ports "+b.inbound)
}

// inboundRules captures what comes in from outside the pod. Interfaces that are excluded or
// belong to a virtual machine are decided first, within our own chain, so that nothing but
// the jump stands in a chain of the kernel's.
func (b *builder) inboundRules() {
	captures := b.inboundAll || len(b.inboundPorts) > 0
	if !captures && len(b.virtualIfs) == 0 {
		return
	}
	b.nat(chainPrerouting, "look at connections that come into the pod", "-p tcp -j "+chainInbound)
	b.virtualInterfaces()
	for _, dev := range b.excludeIfs {
		b.nat(chainInbound, "interface is excluded", "-i "+dev+" -j RETURN")
	}
	b.nat(chainInbound, "HBONE tunnels reach the proxy directly", "-p tcp -m tcp --dport "+b.tunnel+" -j RETURN")
	if b.inboundAll {
		for _, port := range b.inboundExclude {
			b.nat(chainInbound, "inbound port is excluded", "-p tcp -m tcp --dport "+port+" -j RETURN")
		}
		b.nat(chainInbound, "every other inbound port is captured", "-p tcp -j "+chainInRedirect)
		return
	}
	for _, port := range b.inboundPorts {
		b.nat(chainInbound, "inbound port is captured", "-p tcp -m tcp --dport "+port+" -j "+chainInRedirect)
	}
}

// virtualInterfaces treats what a virtual machine sends as outbound.
func (b *builder) virtualInterfaces() {
	for _, dev := range b.virtualIfs {
		if b.outboundAll {
			b.nat(chainInbound, "a virtual machine's traffic is outbound", "-i "+dev+" -p tcp -j "+chainRedirect)
		}
		for _, cidr := range b.of(b.include) {
			b.nat(chainInbound, "a virtual machine's traffic is outbound",
				"-d "+cidr+" -i "+dev+" -p tcp -j "+chainRedirect)
		}
		b.nat(chainInbound, "a virtual machine's other traffic is left alone", "-i "+dev+" -j RETURN")
	}
}

func (b *builder) outputStart() {
	b.nat(builtinOutput, "look at connections that leave a process", "-j "+chainOutput)
	for _, dev := range b.excludeIfs {
		b.nat(chainOutput, "interface is excluded", "-o "+dev+" -j RETURN")
	}
	for _, port := range b.outboundExclude {
		for _, proto := range []string{"tcp", "udp"} {
			b.nat(chainOutput, "outbound port is excluded", "-p "+proto+" -m "+proto+" --dport "+port+" -j RETURN")
		}
	}
	b.nat(chainOutput, "the proxy hands an inbound connection to the application",
		"-s "+b.passthrough+" -o lo -j RETURN")
}

// proxyOwners tells the proxy's own connections from the application's, by user or by group.
func (b *builder) proxyOwners(kind string, owners []string) {
	notTunnel, notDNS := "-p tcp -m tcp ! --dport "+b.tunnel, ""
	if b.RedirectDNS {
		notTunnel, notDNS = "-p tcp -m multiport ! --dports 53,"+b.tunnel, "-p tcp -m tcp ! --dport 53 "
	}
	for _, id := range owners {
		owner := "--" + kind + "-owner " + id
		b.nat(chainOutput, "the application calls itself through a service: in again by the inbound listener",
			"! -d "+b.loopback+" -o lo "+notTunnel+" -m owner "+owner+" -j "+chainInRedirect)
		if !b.includesLoopback() {
			b.nat(chainOutput, "the application calls its own address",
				"-o lo "+notDNS+"-m owner ! "+owner+" -j RETURN")
		}
		b.nat(chainOutput, "what the proxy sends is never captured again", "-m owner "+owner+" -j RETURN")
	}
}

func (b *builder) groupRules() {
	for _, group := range b.groupsExclude {
		b.nat(chainOutput, "group is excluded", "-m owner --gid-owner "+group+" -j RETURN")
	}
	if len(b.groups) > 0 {
		var matches strings.Builder
		for _, group := range b.groups {
			matches.WriteString("-m owner ! --gid-owner " + group + " ")
		}
		b.nat(chainOutput, "only the included groups are captured", matches.String()+"-j RETURN")
	}
}

func (b *builder) destinations() {
	b.nat(chainOutput, "containers of the pod call each other", "-d "+b.loopback+" -j RETURN")
	for _, cidr := range b.of(b.exclude) {
		b.nat(chainOutput, "destination is excluded", "-d "+cidr+" -j RETURN")
	}
	for _, port := range b.outboundPorts {
		b.nat(chainOutput, "outbound port is captured", "-p tcp -m tcp --dport "+port+" -j "+chainRedirect)
	}
	if b.outboundAll {
		b.nat(chainOutput, "every other destination is captured", "-j "+chainRedirect)
	}
	for _, cidr := range b.of(b.include) {
		b.nat(chainOutput, "destination is captured", "-d "+cidr+" -j "+chainRedirect)
	}
}

func (b *builder) dropInvalid() {
	b.add(TableMangle, chainPrerouting, "look for packets that no connection knows",
		"-m", "conntrack", "--ctstate", "INVALID", "-j", chainDrop)
	b.add(TableMangle, chainDrop, "drop them, where the kernel would reset the connection", "-j", "DROP")
}

// of gives the prefixes of this family.
func (b *builder) of(prefixes []netip.Prefix) []string {
	var out []string
	for _, p := range prefixes {
		if p.Addr().BitLen() == b.bits {
			out = append(out, p.String())
		}
	}
	return out
}

func (b *builder) includesLoopback() bool {
	return slices.ContainsFunc(b.include, func(p netip.Prefix) bool {
		return p.Addr().BitLen() == b.bits && p.Addr().IsLoopback()
	})
}
