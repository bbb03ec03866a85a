// Package iptables decides how a pod's traffic reaches its proxy: it turns the inputs of
// `istio-iptables` into rules as data. It touches no kernel; package apply does that.
package iptables

import "net/netip"

// Well-known ports and identities of the sidecar.
const (
	DefaultOutboundPort = 15001
	DefaultInboundPort  = 15006
	DefaultTunnelPort   = 15008
	DefaultProxyID      = "1337"

	// dnsListenPort is where the agent's DNS proxy listens, on loopback.
	dnsListenPort = 15053
)

// Config holds every input of the rules, in the form in which users write them: lists are
// separated by commas, "*" stands for everything and "" for nothing. Build validates them.
type Config struct {
	// OutboundPort, InboundPort and TunnelPort are the proxy's ports for captured outbound
	// connections, captured inbound connections and HBONE.
	OutboundPort string
	InboundPort  string
	TunnelPort   string

	// ProxyUID and ProxyGID list the users and groups whose traffic is the proxy's own.
	ProxyUID string
	ProxyGID string

	// Mode is how connections are captured: REDIRECT, or "" for the same.
	Mode string

	// InboundPorts lists the ports that are captured ("*" all, "" none);
	// InboundPortsExclude those that are not, when all are.
	InboundPorts        string
	InboundPortsExclude string

	// OutboundCIDRs lists the destinations that are captured ("*" all), OutboundCIDRsExclude
	// those that are not; OutboundPorts are captured wherever they lead, and
	// OutboundPortsExclude never.
	OutboundCIDRs        string
	OutboundCIDRsExclude string
	OutboundPorts        string
	OutboundPortsExclude string

	// ExcludeInterfaces are left alone. What comes in on VirtualInterfaces (of a virtual
	// machine in the pod) is treated as outbound.
	ExcludeInterfaces string
	VirtualInterfaces string

	// OwnerGroups lists the groups whose outbound traffic is captured ("*" all),
	// OwnerGroupsExclude those whose traffic is not. Only one of them may be given.
	OwnerGroups        string
	OwnerGroupsExclude string

	// LoopbackCIDR is the part of 127.0.0.0/8 that containers use among themselves.
	LoopbackCIDR string

	// RedirectDNS sends queries for Nameservers to the agent; CaptureAllDNS those for any
	// server.
	RedirectDNS   bool
	CaptureAllDNS bool
	Nameservers   []netip.Addr

	// DropInvalid drops packets that connection tracking cannot place, where the kernel
	// would answer them with a reset.
	DropInvalid bool
}

// The names by which messages call the inputs, as the command line and the environment do.
const (
	flagOutboundPort         = "-p/--envoy-port"
	flagInboundPort          = "-z/--inbound-capture-port"
	flagTunnelPort           = "-e/--inbound-tunnel-port"
	flagProxyUID             = "-u/--proxy-uid"
	flagProxyGID             = "-g/--proxy-gid"
	flagMode                 = "-m/--istio-inbound-interception-mode"
	flagInboundPorts         = "-b/--istio-inbound-ports"
	flagInboundPortsExclude  = "-d/--istio-local-exclude-ports"
	flagOutboundCIDRs        = "-i/--istio-service-cidr"
	flagOutboundCIDRsExclude = "-x/--istio-service-exclude-cidr"
	flagOutboundPorts        = "-q/--istio-outbound-ports"
	flagOutboundPortsExclude = "-o/--istio-local-outbound-ports-exclude"
	flagExcludeInterfaces    = "-c/--istio-exclude-interfaces"
	flagVirtualInterfaces    = "-k/--kube-virt-interfaces"
	envOwnerGroups           = "ISTIO_OUTBOUND_OWNER_GROUPS"
	envOwnerGroupsExclude    = "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"
	envLoopbackCIDR          = "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR"
)
