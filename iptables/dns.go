package iptables

import "strconv"

// Connection tracking zones for DNS. The agent listens on loopback and asks the real servers itself, so
// that a query of the application and one of the agent may share addresses and ports. Zones of their own
// keep the kernel from taking one for the other.
const (
	zoneAgent = "1"
	zoneApp   = "2"
)

// dnsRedirect sends queries to the agent. Unless all servers are captured, only those of the
// pod's resolv.conf are, so that a local resolver may ask its own servers without a loop.
func (b *builder) dnsRedirect() {
	b.nat(chainOutput, "look at DNS queries", "-j "+chainOutputDNS)
	to := " --dport 53 -j REDIRECT --to-ports " + strconv.Itoa(dnsListenPort)
	for _, proto := range []string{"tcp", "udp"} {
		for _, server := range b.servers() {
			dst := ""
			if server != "" {
				dst = "-d " + server + " "
			}
			b.nat(chainOutputDNS, "DNS queries go to the agent", dst+"-p "+proto+" -m "+proto+to)
		}
	}
}

// dnsZones marks UDP packets, in the raw table, before connection tracking sees them.
func (b *builder) dnsZones() {
	udp := func(side, port string) []string { return []string{"-p", "udp", "-m", "udp", "--" + side, port} }
	zone := func(id string) []string { return []string{"-j", "CT", "--zone", id} }
	raw := func(chain, reason string, parts ...[]string) {
		var args []string
		for _, p := range parts {
			args = append(args, p...)
		}
		b.add(TableRaw, chain, reason, args...)
	}
	raw(builtinOutput, "look at DNS queries", []string{"-j", chainOutputDNS})
	raw(chainPrerouting, "look at DNS answers", []string{"-j", chainInbound})
	for _, dev := range b.excludeIfs {
		raw(chainOutputDNS, "interface is excluded", []string{"-o", dev, "-j", "RETURN"})
		raw(chainInbound, "interface is excluded", []string{"-i", dev, "-j", "RETURN"})
	}
	owners := func(kind string, ids []string) {
		for _, id := range ids {
			owner := []string{"-m", "owner", "--" + kind + "-owner", id}
			raw(chainOutputDNS, "the agent's own queries", udp("dport", "53"), owner, zone(zoneAgent))
			raw(chainOutputDNS, "the agent's answers to the application",
				udp("sport", strconv.Itoa(dnsListenPort)), owner, zone(zoneApp))
		}
	}
	owners("uid", b.uids)
	owners("gid", b.gids)
	for _, server := range b.servers() {
		var dst, src []string
		if server != "" {
			dst, src = []string{"-d", server}, []string{"-s", server}
		}
		raw(chainOutputDNS, "the application's queries", dst, udp("dport", "53"), zone(zoneApp))
		raw(chainInbound, "answers to the agent", src, udp("sport", "53"), zone(zoneAgent))
	}
}

// servers gives the captured DNS servers of this family as CIDRs; "" stands for all.
func (b *builder) servers() []string {
	if b.CaptureAllDNS {
		return []string{""}
	}
	var out []string
	for _, addr := range b.Nameservers {
		if addr.BitLen() == b.bits {
			out = append(out, addr.WithZone("").String()+"/"+strconv.Itoa(b.bits))
		}
	}
	return out
}
