package apply

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/iptables"
)

// tableState is what one table holds of ours, as arguments of an iptables command.
type tableState struct {
	// chains holds the rules of each of our chains, without the chain's name.
	chains map[string][]string
	// jumps are the rules of the kernel's chains that lead into ours, each beginning with the
	// name of its chain.
	jumps []string
}

// state is what a family holds of ours, by table.
type state map[string]tableState

// empty tells whether nothing of ours is there.
func (s state) empty() bool {
	for _, t := range s {
		if len(t.chains) > 0 || len(t.jumps) > 0 {
			return false
		}
	}
	return true
}

// wanted gives the state that a set of rules asks for.
func wanted(set iptables.Set) state {
	out := state{}
	for _, table := range iptables.Tables() {
		t := tableState{chains: map[string][]string{}}
		for _, chain := range set.Chains(table) {
			rules := []string{}
			for _, r := range set.In(table, chain) {
				rules = append(rules, r.String())
			}
			t.chains[chain] = rules
		}
		for _, r := range set.Jumps(table) {
			t.jumps = append(t.jumps, r.Chain+" "+r.String())
		}
		out[table] = t
	}
	return out
}

// read lists what the kernel holds of ours.
func (b *backend) read() (state, error) {
	out := state{}
	for _, table := range b.tables() {
		chains, err := b.ipt.ListChains(table)
		if err != nil {
			return nil, fmt.Errorf("listing table %s of %s: %w", table, b.family, err)
		}
		t := tableState{chains: map[string][]string{}}
		// A rule can only lead into a chain that exists.
		if !slices.ContainsFunc(chains, iptables.OwnChain) {
			continue
		}
		for _, chain := range chains {
			lines, err := b.ipt.List(table, chain)
			if err != nil {
				return nil, fmt.Errorf("listing chain %s/%s of %s: %w", table, chain, b.family, err)
			}
			t.take(chain, lines)
		}
		out[table] = t
	}
	return out, nil
}

// take keeps from the listing of one chain what is ours.
func (t *tableState) take(chain string, lines []string) {
	own := iptables.OwnChain(chain)
	if own {
		t.chains[chain] = []string{}
	}
	for _, line := range lines {
		rule, isRule := strings.CutPrefix(line, "-A "+chain+" ")
		switch {
		case !isRule:
		case own:
			t.chains[chain] = append(t.chains[chain], rule)
		case iptables.OwnChain(target(rule)):
			t.jumps = append(t.jumps, chain+" "+rule)
		}
	}
}

// target gives the chain to which a rule leads.
func target(rule string) string {
	words := strings.Fields(rule)
	i := slices.Index(words, "-j")
	if i < 0 {
		i = slices.Index(words, "-g")
	}
	if i < 0 || i+1 >= len(words) {
		return ""
	}
	return words[i+1]
}

// matches tells whether the kernel's state is what is wanted. Text that differs is no proof:
// iptables prints some rules otherwise than they were given, so it is asked about those.
func (b *backend) matches(have, want state) (bool, error) {
	for _, table := range iptables.Tables() {
		h, w := have[table], want[table]
		if len(h.chains) != len(w.chains) {
			return false, nil
		}
		for chain, rules := range w.chains {
			present, ok := h.chains[chain]
			if !ok {
				return false, nil
			}
			if same, err := b.sameRules(table, chain, present, rules); err != nil || !same {
				return false, err
			}
		}
		for _, chain := range []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"} {
			same, err := b.sameRules(table, chain, of(h.jumps, chain), of(w.jumps, chain))
			if err != nil || !same {
				return false, err
			}
		}
	}
	return true, nil
}

// of gives the rules of one chain among jumps.
func of(jumps []string, chain string) []string {
	var out []string
	for _, j := range jumps {
		if rule, ok := strings.CutPrefix(j, chain+" "); ok {
			out = append(out, rule)
		}
	}
	return out
}

func (b *backend) sameRules(table, chain string, have, want []string) (bool, error) {
	if len(have) != len(want) {
		return false, nil
	}
	for _, rule := range want {
		if slices.Contains(have, rule) {
			continue
		}
		ok, err := b.ipt.Exists(table, chain, strings.Fields(rule)...)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// script writes the change from one state to another for a single iptables-restore, which
// commits each section at once. First our chains are filled: one that exists is emptied and
// filled again in the same commit. Then the jumps are replaced, by which the rules take
// effect, and chains that are wanted no longer go.
func script(from, to state) string {
	var fill, jump strings.Builder
	for _, table := range iptables.Tables() {
		f, t := from[table], to[table]
		chains := slices.Sorted(maps.Keys(t.chains))
		if len(chains) > 0 {
			fmt.Fprintf(&fill, "*%s\n", table)
			for _, chain := range chains {
				fmt.Fprintf(&fill, ":%s - [0:0]\n", chain)
			}
			for _, chain := range chains {
				for _, rule := range t.chains[chain] {
					fmt.Fprintf(&fill, "-A %s %s\n", chain, rule)
				}
			}
			fill.WriteString("COMMIT\n")
		}
		var b strings.Builder
		writeLines(&b, "-D ", f.jumps)
		writeLines(&b, "-A ", t.jumps)
		var stale []string
		for _, chain := range slices.Sorted(maps.Keys(f.chains)) {
			if _, keep := t.chains[chain]; !keep {
				stale = append(stale, chain)
			}
		}
		writeLines(&b, "-F ", stale)
		writeLines(&b, "-X ", stale)
		if b.Len() > 0 {
			fmt.Fprintf(&jump, "*%s\n%sCOMMIT\n", table, b.String())
		}
	}
	return fill.String() + jump.String()
}

func writeLines(b *strings.Builder, prefix string, lines []string) {
	for _, line := range lines {
		b.WriteString(prefix + line + "\n")
	}
}
