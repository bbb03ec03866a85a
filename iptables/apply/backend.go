package apply

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	goiptables "github.com/coreos/go-iptables/iptables"

	"github.com/pilothouse-mesh/pilothouse/iptables"
)

// lockTimeout is how many seconds a command waits for the lock of the legacy backend.
const lockTimeout = 30

// backend is one family's set of commands, such as iptables-nft and iptables-nft-restore.
type backend struct {
	family  iptables.Family
	command string
	legacy  bool
	ipt     *goiptables.IPTables
}

// open finds a backend by the name of its command.
func open(family iptables.Family, command string) (*backend, error) {
	proto := goiptables.ProtocolIPv4
	if family == iptables.IPv6 {
		proto = goiptables.ProtocolIPv6
	}
	ipt, err := goiptables.New(goiptables.IPFamily(proto), goiptables.Path(command), goiptables.Timeout(lockTimeout))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	return &backend{family: family, command: command, legacy: isLegacy(command), ipt: ipt}, nil
}

// isLegacy asks a command which backend it speaks to. Legacy ones before 1.8 name none.
func isLegacy(command string) bool {
	out, err := exec.Command(command, "--version").Output()
	return err == nil && !strings.Contains(string(out), "nf_tables")
}

// commands lists a family's commands in order of preference. An empty binary means to choose:
// the legacy backend where it holds rules already, for two backends at once would both act;
// else nft, else whatever bears the plain name, else legacy.
func commands(family iptables.Family, binary string) []string {
	name := "iptables"
	if family == iptables.IPv6 {
		name = "ip6tables"
	}
	legacy, nft := name+"-legacy", name+"-nft"
	switch binary {
	case "":
	case "legacy", "nft":
		return []string{name + "-" + binary}
	default:
		return []string{strings.Replace(binary, "iptables", name, 1)}
	}
	if legacyInUse(family, legacy) {
		return []string{legacy, nft, name}
	}
	return []string{nft, name, legacy}
}

// choose gives the first backend that can write, proven by a trial.
func choose(family iptables.Family, binary string) (*backend, error) {
	var errs []error
	for _, command := range commands(family, binary) {
		b, err := open(family, command)
		if err == nil {
			if err = b.trial(); err == nil {
				return b, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("no usable iptables for %s: %w", family, errors.Join(errs...))
}

// trial puts a rule of the kind that is needed into a chain that nothing leads to.
func (b *backend) trial() error {
	if err := b.ipt.ClearChain(iptables.TableNAT, iptables.TrialChain); err != nil {
		return err
	}
	err := b.ipt.Append(iptables.TableNAT, iptables.TrialChain, "-p", "tcp", "-j", "REDIRECT", "--to-ports", "15001")
	return errors.Join(err, b.ipt.ClearAndDeleteChain(iptables.TableNAT, iptables.TrialChain))
}

// tables lists the tables to look into. Listing a legacy table creates it, so only those that
// exist are.
func (b *backend) tables() []string {
	if !b.legacy {
		return iptables.Tables()
	}
	exist := legacyTables(b.family)
	return slices.DeleteFunc(iptables.Tables(), func(t string) bool { return !slices.Contains(exist, t) })
}

// legacyTables lists the tables of the legacy backend that exist in this thread's network
// namespace; none where the kernel has no such backend.
func legacyTables(family iptables.Family) []string {
	file := "ip_tables_names"
	if family == iptables.IPv6 {
		file = "ip6_tables_names"
	}
	data, err := os.ReadFile(filepath.Join("/proc/thread-self/net", file))
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// legacyInUse tells whether a legacy table holds a rule or a chain of anyone's.
func legacyInUse(family iptables.Family, command string) bool {
	tables := legacyTables(family)
	if len(tables) == 0 {
		return false
	}
	b, err := open(family, command)
	if err != nil {
		return false
	}
	for _, table := range tables {
		chains, err := b.ipt.ListChains(table)
		if err != nil {
			continue
		}
		for _, chain := range chains {
			// The first line declares the chain or states its policy.
			if lines, err := b.ipt.List(table, chain); err == nil && len(lines) > 1 {
				return true
			}
		}
	}
	return false
}

// restore runs one iptables-restore over a script; what it does not mention stays.
func (b *backend) restore(script string) error {
	args := []string{"--noflush"}
	if b.legacy {
		args = append(args, fmt.Sprintf("--wait=%d", lockTimeout))
	}
	cmd := exec.Command(b.command+"-restore", args...)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
