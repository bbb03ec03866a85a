package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/vishvananda/netns"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/iptables"
	"github.com/pilothouse-mesh/pilothouse/iptables/apply"
)

// iptablesOptions is what the command line of istio-iptables says.
type iptablesOptions struct {
	iptables.Config
	dryRun, cleanupOnly, dualStack, force bool
	reconcile                             bool
	binary, logLevel                      string
	logAsJSON                             bool
	resolvConf                            string
	tproxyMark, tproxyTable               uint32
	skipApply, validate                   bool
	probePort                             uint16
	probeTimeout                          time.Duration
	namespace                             string
	cniMode, nativeNftables               bool
}

// newIptablesCommand gives the command that captures the pod's traffic.
func newIptablesCommand() *cobra.Command {
	var o iptablesOptions
	cmd := &cobra.Command{
		Use:          "istio-iptables",
		Short:        "Redirect the pod's connections to its proxy",
		Args:         usage.Args(cobra.NoArgs),
		SilenceUsage: true,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			return o.fromEnvironment(cmd.Flags(), os.LookupEnv)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

func (o *iptablesOptions) flags(f *pflag.FlagSet) {
	f.StringVarP(&o.OutboundPort, "envoy-port", "p", "15001", "port of the proxy for outbound connections")
	f.StringVarP(&o.InboundPort, "inbound-capture-port", "z", "15006", "port of the proxy for inbound connections")
	f.StringVarP(&o.TunnelPort, "inbound-tunnel-port", "e", "15008", "port of the proxy for HBONE tunnels")
	f.StringVarP(&o.ProxyUID, "proxy-uid", "u", "", "users whose traffic is the proxy's own")
	f.StringVarP(&o.ProxyGID, "proxy-gid", "g", "", "groups whose traffic is the proxy's own (default: as --proxy-uid)")
	f.StringVarP(&o.Mode, "istio-inbound-interception-mode", "m", "", "how connections are captured: REDIRECT")
	f.StringVarP(&o.InboundPorts, "istio-inbound-ports", "b", "", `inbound ports to capture, "*" for all`)
	f.StringVarP(&o.InboundPortsExclude, "istio-local-exclude-ports", "d", "", "inbound ports not to capture")
	f.StringVarP(&o.OutboundCIDRs, "istio-service-cidr", "i", "", `destinations to capture, "*" for all`)
	f.StringVarP(&o.OutboundCIDRsExclude, "istio-service-exclude-cidr", "x", "", "destinations not to capture")
	f.StringVarP(&o.OutboundPorts, "istio-outbound-ports", "q", "", "outbound ports to capture, wherever they lead")
	f.StringVarP(&o.OutboundPortsExclude, "istio-local-outbound-ports-exclude", "o", "", "outbound ports not to capture")
	f.StringVarP(&o.ExcludeInterfaces, "istio-exclude-interfaces", "c", "", "interfaces to leave alone")
	f.StringVarP(&o.VirtualInterfaces, "kube-virt-interfaces", "k", "", "interfaces of virtual machines, whose traffic is outbound")
	f.BoolVar(&o.RedirectDNS, "redirect-dns", false, "send DNS queries for the pod's name servers to the agent")
	f.BoolVar(&o.CaptureAllDNS, "capture-all-dns", false, "with --redirect-dns: queries for any name server")
	f.BoolVar(&o.DropInvalid, "drop-invalid", false, "drop packets that no connection knows")
	f.BoolVar(&o.dualStack, "dual-stack", false, "apply all IPv6 rules even if no interface has a global IPv6 address (inbound ones always are)")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "print the rules and change nothing")
	f.BoolVar(&o.cleanupOnly, "cleanup-only", false, "remove all rules")
	f.BoolVar(&o.force, "force-apply", false, "apply the rules even if they are in place")
	f.BoolVar(&o.reconcile, "reconcile", true, "accepted for compatibility: rules that differ are always reconciled")
	f.StringVar(&o.binary, "force-iptables-binary", "", "iptables backend: legacy, nft or a command's name (default: choose)")
	f.StringVar(&o.logLevel, "log_output_level", "default:info", "log level, as SCOPE:LEVEL")
	f.BoolVar(&o.logAsJSON, "log_as_json", false, "log JSON objects")
	f.Uint32VarP(&o.tproxyMark, "istio-inbound-tproxy-mark", "t", 1337, "accepted for compatibility: a mark of TPROXY, which is not supported")
	f.Uint32VarP(&o.tproxyTable, "istio-inbound-tproxy-route-table", "r", 133, "accepted for compatibility: a route table of TPROXY")
	f.BoolVar(&o.skipApply, "skip-rule-apply", false, "change nothing, as if the rules were in place")
	f.BoolVar(&o.validate, "run-validation", false, "try out whether the rules redirect connections; exit code 126 if not")
	f.Uint16Var(&o.probePort, "iptables-probe-port", 15002, "port that is called for it")
	f.DurationVar(&o.probeTimeout, "probe-timeout", 5*time.Second, "how long it may take")
	f.StringVar(&o.namespace, "network-namespace", "", "file of the network namespace to work in (default: one's own)")
	f.BoolVar(&o.cniMode, "cni-mode", false, "refused: there is no CNI plugin")
	f.BoolVar(&o.nativeNftables, "native-nftables", false, "refused: rules are applied by iptables (with the nft backend where there is one)")
	f.StringVar(&o.resolvConf, "resolv-conf", "/etc/resolv.conf", "file that names the pod's name servers")
}

// moreEnvironment names the variables, besides a flag's own, that give its value.
var moreEnvironment = map[string]string{
	"redirect-dns": "ISTIO_META_DNS_CAPTURE",
	"drop-invalid": "INVALID_DROP",
	"dual-stack":   "ISTIO_DUAL_STACK",
}

// fromEnvironment fills the flags that the command line leaves open. Each but -p has a
// variable named after it: upper case, underscores for dashes.
func (o *iptablesOptions) fromEnvironment(f *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var err error
	f.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed || flag.Name == "envoy-port" || flag.Name == "help" || err != nil {
			return
		}
		own := strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		for _, name := range []string{own, moreEnvironment[flag.Name]} {
			value, ok := lookup(name)
			if !ok || name == "" || value == "" {
				continue
			}
			if e := flag.Value.Set(value); e != nil {
				err = fmt.Errorf("environment variable %s: %w", name, e)
			}
			return
		}
	})
	get := func(name string) string { v, _ := lookup(name); return v }
	o.OwnerGroups = get("ISTIO_OUTBOUND_OWNER_GROUPS")
	o.OwnerGroupsExclude = get("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE")
	o.LoopbackCIDR = get("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR")
	if o.ProxyUID == "" {
		o.ProxyUID = proxyUser(get("ENVOY_USER"))
	}
	return err
}

// proxyUser gives the id of the user under which the proxy runs, where the machine knows it.
func proxyUser(name string) string {
	if name == "" {
		name = "istio-proxy"
	}
	if u, err := user.Lookup(name); err == nil {
		return u.Uid
	}
	return iptables.DefaultProxyID
}

// errNotRedirected has the exit code by which Istio's controllers know a failed validation.
type errNotRedirected struct{ error }

// ExitCode implements the interface that exitCode looks for.
func (errNotRedirected) ExitCode() int { return 126 }

func (o *iptablesOptions) run(ctx context.Context, out, logs io.Writer) error {
	switch {
	case o.cniMode:
		return errors.New("--cni-mode: there is no CNI plugin; the rules are applied by the init container istio-init")
	case o.nativeNftables:
		return errors.New("--native-nftables: rules are applied by iptables, whose nft backend is used where there is one; leave the flag out")
	}
	if o.namespace != "" {
		// The thread stays locked, and so is thrown away with its namespace: the program ends soon.
		runtime.LockOSThread()
		if err := enter(o.namespace); err != nil {
			return fmt.Errorf("--network-namespace: %w", err)
		}
	}
	logger := newLogger(logs, o.logLevel, o.logAsJSON)
	opts := apply.Options{Binary: o.binary, Force: o.force, Logger: logger}
	if o.cleanupOnly && !o.dryRun {
		return apply.Cleanup(opts)
	}
	if o.RedirectDNS && !o.CaptureAllDNS {
		servers, err := nameservers(o.resolvConf)
		if err != nil {
			return fmt.Errorf("--redirect-dns: %w", err)
		}
		o.Nameservers = servers
	}
	rules, err := iptables.Build(o.Config)
	if err != nil {
		return err
	}
	if o.dualStack {
		opts.IPv6 = true
	} else if opts.IPv6, err = apply.HasIPv6(); err != nil {
		return err
	}
	if o.dryRun {
		return printRules(out, rules, opts.IPv6)
	}
	if !o.skipApply {
		if _, err = apply.Apply(rules, opts); err != nil {
			return err
		}
	}
	if o.validate {
		return o.probe(ctx, opts.IPv6)
	}
	return nil
}

// probe tries the rules out as the first of the proxy's users.
func (o *iptablesOptions) probe(ctx context.Context, ipv6 bool) error {
	first, _, _ := strings.Cut(o.ProxyUID, ",")
	uid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return fmt.Errorf("--run-validation: -u/--proxy-uid: %w", err)
	}
	inbound, err := strconv.ParseUint(o.InboundPort, 10, 16)
	if err != nil {
		return fmt.Errorf("--run-validation: -z/--inbound-capture-port: %w", err)
	}
	p := apply.Probe{Port: o.probePort, InboundPort: uint16(inbound), ProxyUID: uid, IPv6: ipv6, Timeout: o.probeTimeout}
	if err := p.Run(ctx); err != nil {
		return errNotRedirected{fmt.Errorf("--run-validation: %w", err)}
	}
	return nil
}

// enter moves this thread, and the commands that it starts, into another network namespace.
func enter(path string) error {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	return netns.Set(ns)
}

func printRules(out io.Writer, rules iptables.Rules, ipv6 bool) error {
	for _, family := range []iptables.Family{iptables.IPv4, iptables.IPv6} {
		if _, err := fmt.Fprintf(out, "# %s\n", family); err != nil {
			return err
		}
		if err := apply.Wanted(rules, family, ipv6).Print(out); err != nil {
			return err
		}
	}
	return nil
}

// nameservers reads the servers that the pod asks.
func nameservers(file string) ([]netip.Addr, error) {
	conf, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading name servers: %w", err)
	}
	var out []netip.Addr
	for _, s := range conf.Servers {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("%s: name server %q is not an address", file, s)
		}
		out = append(out, addr)
	}
	return out, nil
}

// iptablesLogLevel reads Istio's form of a log level; anything unknown is info.
func iptablesLogLevel(s string) slog.Level {
	_, level, found := strings.Cut(s, ":")
	if !found {
		level = s
	}
	var out slog.Level
	if err := out.UnmarshalText([]byte(level)); err != nil {
		return slog.LevelInfo
	}
	return out
}
