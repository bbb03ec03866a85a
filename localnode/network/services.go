package network

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
)

// Protocol of a service's port as iptables writes it.
type Protocol string

// The protocols that a service address is translated for.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Forward leads one port of one service address to backends. Without backends a connection is
// refused.
type Forward struct {
	Address  netip.Addr
	Port     uint16
	Protocol Protocol
	Backends []netip.AddrPort
}

// Rules gives the whole nat and filter tables of the namespace for iptables-restore. The same
// forwards in any order give the same bytes.
func (p Plan) Rules(forwards []Forward) []byte {
	sorted := slices.Clone(forwards)
	slices.SortFunc(sorted, compareForwards)
	var chains, jumps, rules bytes.Buffer
	for i, f := range sorted {
		if len(f.Backends) == 0 {
			continue
		}
		chain := fmt.Sprintf("PH-SVC-%d", i)
		fmt.Fprintf(&chains, ":%s - [0:0]\n", chain)
		fmt.Fprintf(&jumps, "-A PH-SERVICES -d %s/32 -p %s -m %s --dport %d -j %s\n",
			f.Address, f.Protocol, f.Protocol, f.Port, chain)
		writeBackends(&rules, chain, f)
	}
	var out bytes.Buffer
	out.WriteString("*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:PH-SERVICES - [0:0]\n")
	out.Write(chains.Bytes())
	fmt.Fprintf(&out, "-A PREROUTING -d %s -j PH-SERVICES\n", p.Services)
	fmt.Fprintf(&out, "-A OUTPUT -d %s -j PH-SERVICES\n", p.Services)
	// What a pod sends to itself by a service's address must come back by the same way.
	for _, a := range backendAddresses(sorted) {
		fmt.Fprintf(&out, "-A POSTROUTING -s %s/32 -d %s/32 -j MASQUERADE\n", a, a)
	}
	out.Write(jumps.Bytes())
	out.Write(rules.Bytes())
	out.WriteString("COMMIT\n")
	// What is still on its way to a service address has no backend.
	out.WriteString("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n")
	for _, chain := range []string{"FORWARD", "OUTPUT"} {
		fmt.Fprintf(&out, "-A %s ! -o lo -d %s -p tcp -j REJECT --reject-with tcp-reset\n", chain, p.Services)
		fmt.Fprintf(&out, "-A %s ! -o lo -d %s -j REJECT\n", chain, p.Services)
	}
	out.WriteString("COMMIT\n")
	return out.Bytes()
}

// writeBackends chooses among n backends with probability 1/n, 1/(n-1), …, 1.
func writeBackends(w *bytes.Buffer, chain string, f Forward) {
	backends := slices.Clone(f.Backends)
	slices.SortFunc(backends, netip.AddrPort.Compare)
	backends = slices.Compact(backends)
	for i, b := range backends {
		chance := ""
		if left := len(backends) - i; left > 1 {
			chance = fmt.Sprintf(" -m statistic --mode random --probability %.10f", 1/float64(left))
		}
		fmt.Fprintf(w, "-A %s -p %s%s -j DNAT --to-destination %s\n", chain, f.Protocol, chance, b)
	}
}

func backendAddresses(forwards []Forward) []netip.Addr {
	var addrs []netip.Addr
	for _, f := range forwards {
		for _, b := range f.Backends {
			addrs = append(addrs, b.Addr())
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

func compareForwards(a, b Forward) int {
	return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
}

// Restore puts rules that Rules gave into the namespace, each table at once.
func (n Namespace) Restore(ctx context.Context, rules []byte) error {
	cmd := exec.CommandContext(ctx, "iptables-restore")
	cmd.Stdin = bytes.NewReader(rules)
	if _, err := n.Output(cmd); err != nil {
		return fmt.Errorf("put service addresses into namespace %s: %w", n.Name, err)
	}
	return nil
}
