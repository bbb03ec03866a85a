package model

import (
	"math"
	"net"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
)

// DefaultClusterID is how proxies name the control plane's own cluster where nobody says otherwise, as Istio has it.
const DefaultClusterID = "Kubernetes"

// ClusterLocal tells whether clients of a host get endpoints of their own cluster only, as the mesh's serviceSettings
// say: the most specific of their hosts counts, and of two that are equal the last. What is not named there is reached
// from everywhere, but for what each cluster has for itself: the namespace kube-system, the API server and the control
// plane. As in Istio, one host among these that is named as not local frees all that it was among.
func ClusterLocal(mesh *meshconfig.MeshConfig, domain, host string) bool {
	local, best := false, -1
	consider := func(pattern string, says bool) {
		rank := len(pattern)
		if pattern == host {
			rank = math.MaxInt
		}
		if rank >= best && HostCovers(pattern, host) {
			local, best = says, rank
		}
	}
	for _, pattern := range clusterLocalDefaults(mesh, domain) {
		consider(pattern, true)
	}
	for _, s := range mesh.GetServiceSettings() {
		for _, pattern := range s.GetHosts() {
			consider(CanonicalHost(pattern), s.GetSettings().GetClusterLocal())
		}
	}
	return local
}

// clusterLocalDefaults gives the hosts that are local to each cluster unless the mesh says otherwise.
func clusterLocalDefaults(mesh *meshconfig.MeshConfig, domain string) []string {
	var out []string
	for _, pattern := range []string{"*.kube-system.svc." + domain, "kubernetes.default.svc." + domain, discoveryHost(mesh, domain)} {
		if pattern != "" && !freed(mesh, pattern) {
			out = append(out, pattern)
		}
	}
	return out
}

// freed tells whether the mesh says of a default, or of a part of it, that it is reached from everywhere.
func freed(mesh *meshconfig.MeshConfig, pattern string) bool {
	for _, s := range mesh.GetServiceSettings() {
		for _, host := range s.GetHosts() {
			if !s.GetSettings().GetClusterLocal() && HostCovers(pattern, CanonicalHost(host)) {
				return true
			}
		}
	}
	return false
}

// discoveryHost gives the host of the control plane's own Service, completed; "" for none.
func discoveryHost(mesh *meshconfig.MeshConfig, domain string) string {
	host, _, err := net.SplitHostPort(mesh.GetDefaultConfig().GetDiscoveryAddress())
	if err != nil || host == "" {
		return ""
	}
	host = CanonicalHost(host)
	if !strings.HasSuffix(host, domain) {
		host += "." + domain
	}
	return host
}
