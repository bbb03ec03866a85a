package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/user"
	"strings"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pilothouse-mesh/pilothouse/iptables"
	"github.com/pilothouse-mesh/pilothouse/iptables/apply"
)

// iptablesOptions is what the command line of istio-iptables says.
type iptablesOptions struct {
	iptables.Config
	dryRun, cleanupOnly, dualStack, force bool
	reconcile                             bool
	binary, logLevel                      string
	resolvConf                            string
}

// newIptablesCommand gives the command that captures the pod's traffic.
func newIptablesCommand() *cobra.Command {
	var o iptablesOptions
	cmd := &cobra.Command{
		Use:          "istio-iptables",
		Short:        "Redirect the pod's connections to its proxy",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			return o.fromEnvironment(cmd.Flags(), os.LookupEnv)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.OutOrStdout(), cmd.ErrOrStderr())
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

func (o *iptablesOptions) run(out, logs io.Writer) error {
	logger := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: iptablesLogLevel(o.logLevel)}))
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
	_, err = apply.Apply(rules, opts)
	return err
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
