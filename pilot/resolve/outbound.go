package resolve

import (
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Outbound gives the class without what decides only about what its proxies receive or serve as a
// gateway, and without where they run and their labels of failover, which decide about endpoints only. Classes with
// equal outbound parts send alike.
func (c *Class) Outbound() Class {
	out := *c
	out.Inbound, out.PeerAuthentications, out.Gateways, out.UDPPorts, out.Secrets, out.Settings = nil, nil, nil, nil, false, Settings{}
	out.AuthorizationPolicies, out.RequestAuthentications = nil, nil
	out.Interception, out.Network, out.Locality, out.Node, out.FailoverLabels = "", Network{}, model.Locality{}, "", nil
	out.Topology, out.AsksForBootstrap = model.Topology{}, false
	if c.Type == model.RouterProxy {
		out.HTTP10, out.LogService, out.Unprivileged = false, false, false // only its Gateways' listeners take requests
		out.Connections = model.Connections{ClusterBuffer: c.Connections.ClusterBuffer}
		out.Headers = model.ProxyHeaders{KeepCase: c.Headers.KeepCase}
		out.SourceLabels = nil // only its Gateways' rules have sources
	} else { // what a sidecar tells servers of clients
		out.Headers.ClientCert, out.Headers.Details = "", model.CertDetails{}
	}
	out.Key = out.hash()
	return out
}

// Nobody is a namespace that has nothing of its own: no object is in it, none is exported to it by
// name ("~" in an exportTo means nobody), and no name is short for it.
const Nobody = "~"

// Common gives the outbound part of a class as it would be in the namespace Nobody. It has most in
// common with those of all namespaces: they send otherwise only where a row of their own, or a fact
// about them, was looked for. Classes with a Sidecar object send what that says, so ok is false for
// them.
func (c *Class) Common() (common Class, ok bool) {
	if c.Sidecar != (model.Key{}) {
		return Class{}, false
	}
	common = c.Outbound()
	common.Namespace, common.DestinationRules, common.SourceLabels, common.Patches = Nobody, nil, nil, nil
	common.Telemetry, common.OutboundTokens, common.NamesFrom = model.Key{}, nil, Position{}
	if _, suffix, found := strings.Cut(c.DNSDomain, ".svc."); found {
		common.DNSDomain = Nobody + ".svc." + suffix
	}
	common.Key = common.hash()
	return common, true
}

// Facts lists what is true of the class and not of one in the namespace Nobody, in the words in which
// units note that they look at it.
func (c *Class) Facts() []string {
	out := []string{factNamespace + c.Namespace}
	if own, _, found := strings.Cut(c.DNSDomain, ".svc."); found {
		own, _, _ = strings.Cut(own, ".")
		out = append(out, factSearched+own)
	}
	for _, set := range c.SourceLabels {
		out = append(out, factLabels+set)
	}
	for _, p := range c.Patches {
		out = append(out, factPatches+p.Filter.String())
	}
	if len(c.OutboundTokens) > 0 {
		out = append(out, factTokens)
	}
	if c.NamesFrom != (Position{}) {
		out = append(out, factPlace)
	}
	return out
}

// The facts about a class, each before what it is about.
const (
	factNamespace = "namespace "        // it is in the namespace
	factSearched  = "short names in "   // services of the namespace are known by their names alone
	factLabels    = "labels "           // its workload carries the model.LabelSet
	factScope     = "sidecar lets see " // under the hostname, whichever service
	factPatches   = "patches of "       // its proxies have some of the EnvoyFilter's
	factEgress    = "egress hosts"      // of the Sidecar object
	factTokens    = "outbound tokens"   // RequestAuthentications for some workloads mean it
	factPlace     = "place"             // it runs where names are ordered, or replaced by gateways, for it
)
