package model

import (
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// The targets of patches: what of a proxy's configuration a patch of an EnvoyFilter may touch. Those that end
// in a space go on with a name.
const (
	PatchClusters    = "clusters"     // any cluster
	PatchOwnClusters = "own clusters" // clusters of no service that the proxy sends to
	PatchListeners   = "listeners"    // any listener
	// PatchInboundListeners are any of what a sidecar receives: a patch of these leaves the many of what it
	// sends alone.
	PatchInboundListeners = "inbound listeners"
	PatchListener         = "listener "      // one, by name
	PatchListenerPort     = "listener port " // those of a port, of what is sent or served as a gateway
	PatchRoutes           = "routes"         // any route configuration
	PatchRoute            = "route "         // one, by name
	PatchHosts            = "hosts"          // any virtual host
	PatchInboundRoutes    = "inbound routes" // virtual hosts of what is received
	PatchHost             = "host "          // what is for one host: its clusters and virtual hosts
	PatchAdded            = "added"          // clusters and listeners beside those that there are
	PatchExtensions       = "extensions"     // settings that filters refer to
	PatchBootstrap        = "bootstrap"      // what Envoys start with
)

// PatchTarget gives the narrowest target of a patch.
func PatchTarget(p *networking.EnvoyFilter_EnvoyConfigObjectPatch) string {
	add := p.GetPatch().GetOperation() == networking.EnvoyFilter_Patch_ADD
	switch p.GetApplyTo() {
	case networking.EnvoyFilter_CLUSTER:
		if add {
			return PatchAdded
		}
		return clusterTarget(p.GetMatch().GetCluster())
	case networking.EnvoyFilter_ROUTE_CONFIGURATION:
		return routeTarget(p.GetMatch().GetRouteConfiguration())
	case networking.EnvoyFilter_VIRTUAL_HOST, networking.EnvoyFilter_HTTP_ROUTE:
		if add && p.GetApplyTo() == networking.EnvoyFilter_VIRTUAL_HOST {
			return routeTarget(p.GetMatch().GetRouteConfiguration())
		}
		return hostTarget(p.GetMatch().GetRouteConfiguration().GetVhost().GetName())
	case networking.EnvoyFilter_EXTENSION_CONFIG:
		return PatchExtensions
	case networking.EnvoyFilter_BOOTSTRAP:
		return PatchBootstrap
	case networking.EnvoyFilter_LISTENER:
		if add {
			return PatchAdded
		}
	}
	m := p.GetMatch().GetListener()
	context := p.GetMatch().GetContext()
	switch {
	case m.GetName() != "":
		return PatchListener + m.GetName()
	case m.GetPortNumber() != 0 && (context == networking.EnvoyFilter_SIDECAR_OUTBOUND || context == networking.EnvoyFilter_GATEWAY):
		return PatchListenerPort + strconv.FormatUint(uint64(m.GetPortNumber()), 10)
	case context == networking.EnvoyFilter_SIDECAR_INBOUND:
		return PatchInboundListeners
	}
	return PatchListeners
}

func clusterTarget(m *networking.EnvoyFilter_ClusterMatch) string {
	if _, _, host := ClusterParts(m.GetName()); host != "" {
		return PatchHost + host
	}
	switch {
	case m.GetName() != "":
		return PatchOwnClusters
	case m.GetService() != "":
		return PatchHost + m.GetService()
	}
	return PatchClusters
}

func routeTarget(m *networking.EnvoyFilter_RouteConfigurationMatch) string {
	if m.GetName() == "" || strings.Contains(m.GetName(), "|") {
		return PatchRoutes
	}
	return PatchRoute + m.GetName()
}

// hostTarget reads host:port, a name of a virtual host.
func hostTarget(name string) string {
	host, _, ported := cutLast(name, ":")
	switch {
	case name == "":
		return PatchHosts
	case strings.Contains(name, "|"):
		return PatchInboundRoutes
	case ported:
		return PatchHost + host
	}
	return PatchHost + "*" // of hosts that nothing else knows
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// ConditionalPatches tells whether an EnvoyFilter is for some proxies of its namespace only, or has patches
// that are.
func ConditionalPatches(f *networking.EnvoyFilter) bool {
	if len(f.GetWorkloadSelector().GetLabels())+len(f.GetTargetRefs()) > 0 {
		return true
	}
	for _, p := range f.GetConfigPatches() {
		if m := p.GetMatch().GetProxy(); m.GetProxyVersion() != "" || len(m.GetMetadata()) > 0 {
			return true
		}
	}
	return false
}
