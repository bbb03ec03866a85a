package iptables

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// The tables in which rules are placed, in the order in which they are written: nat, which
// moves traffic, comes last.
const (
	TableRaw    = "raw"
	TableMangle = "mangle"
	TableNAT    = "nat"
)

// Tables lists them in that order.
func Tables() []string { return []string{TableRaw, TableMangle, TableNAT} }

// The chains of our own. Their names are Istio's, which tools and people look for.
const (
	chainInbound    = "ISTIO_INBOUND"
	chainInRedirect = "ISTIO_IN_REDIRECT"
	chainOutput     = "ISTIO_OUTPUT"
	chainOutputDNS  = "ISTIO_OUTPUT_DNS"
	chainRedirect   = "ISTIO_REDIRECT"
	chainDrop       = "ISTIO_DROP"

	chainPrerouting = "PREROUTING"
	builtinOutput   = "OUTPUT"
)

// TrialChain is a chain in which a backend is tried out. It lives for a moment only.
const TrialChain = "ISTIO_TRIAL"

// OwnChain tells whether a chain is ours to fill and to delete. It knows the chains of Istio's
// TPROXY mode too, which a pod may have been left with.
func OwnChain(name string) bool {
	switch name {
	case chainInbound, chainInRedirect, chainOutput, chainOutputDNS, chainRedirect, chainDrop,
		TrialChain, "ISTIO_DIVERT", "ISTIO_TPROXY":
		return true
	}
	return false
}

// Family is an IP family, each with rules and commands of its own.
type Family int

// The two families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String gives "IPv4" or "IPv6".
func (f Family) String() string { return fmt.Sprintf("IPv%d", int(f)) }

// Rule is one rule: appended to Chain of Table. Args are the arguments of an iptables command
// after the chain, in the order in which iptables prints them; Reason says in one line why.
type Rule struct {
	Table, Chain string
	Args         []string
	Reason       string
}

// String gives the rule's arguments as iptables prints them.
func (r Rule) String() string { return strings.Join(r.Args, " ") }

// Jump tells whether the rule stands in a chain of the kernel's and leads into ours.
func (r Rule) Jump() bool { return !OwnChain(r.Chain) }

// Set is the rules of one family, in order.
type Set []Rule

// Chains lists our chains in a table, in order of first mention, also those that stay empty.
func (s Set) Chains(table string) []string {
	var out []string
	add := func(name string) {
		if OwnChain(name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, r := range s {
		if r.Table != table {
			continue
		}
		add(r.Chain)
		if i := slices.Index(r.Args, "-j"); i >= 0 && i+1 < len(r.Args) {
			add(r.Args[i+1])
		}
	}
	return out
}

// In lists the rules of one chain.
func (s Set) In(table, chain string) []Rule {
	var out []Rule
	for _, r := range s {
		if r.Table == table && r.Chain == chain {
			out = append(out, r)
		}
	}
	return out
}

// Inbound gives the rules that capture what comes into the pod, and nothing of what leaves it. They
// are for a pod without an address of the family that leads out of its link: its applications
// can still be reached there, by a link-local address, and must not be reached past the proxy.
func (s Set) Inbound() Set {
	var out Set
	for _, r := range s {
		outbound := slices.Contains(r.Args, chainRedirect)
		if r.Table == TableNAT && slices.Contains([]string{chainPrerouting, chainInbound, chainInRedirect}, r.Chain) && !outbound {
			out = append(out, r)
		}
	}
	return out
}

// Jumps lists the rules of a table that lead into our chains.
func (s Set) Jumps(table string) []Rule {
	var out []Rule
	for _, r := range s {
		if r.Table == table && r.Jump() {
			out = append(out, r)
		}
	}
	return out
}

// Rules is what Build gives: a set for each family.
type Rules struct {
	IPv4, IPv6 Set
}

// For gives the set of one family.
func (r Rules) For(f Family) Set {
	if f == IPv6 {
		return r.IPv6
	}
	return r.IPv4
}

// Print writes a family's rules in the format of iptables-restore, each below its reason.
func (s Set) Print(w io.Writer) error {
	var b strings.Builder
	for _, table := range Tables() {
		chains := s.Chains(table)
		if len(chains) == 0 {
			continue
		}
		fmt.Fprintf(&b, "*%s\n", table)
		for _, chain := range chains {
			fmt.Fprintf(&b, ":%s - [0:0]\n", chain)
		}
		for _, jump := range []bool{false, true} {
			for _, r := range s {
				if r.Table == table && r.Jump() == jump {
					fmt.Fprintf(&b, "# %s\n-A %s %s\n", r.Reason, r.Chain, r)
				}
			}
		}
		b.WriteString("COMMIT\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
