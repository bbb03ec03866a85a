package resolve

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// egressHost is one "namespace/host" of a Sidecar's egress hosts.
type egressHost struct {
	namespace string // a name, "*" for any
	host      string // may be a wildcard
}

// egressHosts are the hosts of all egress listeners of one Sidecar.
type egressHosts struct{ allow, exclude []egressHost }

// parseEgress reads ./*, ns/*, */*, ns/host, ~/* (nothing) and ~ns/host (an exclusion). "." is
// the proxy's own namespace, also for the root namespace's Sidecar.
func parseEgress(sc *networking.Sidecar, proxyNamespace string) egressHosts {
	var out egressHosts
	for _, l := range sc.GetEgress() {
		for _, h := range l.GetHosts() {
			ns, host, ok := strings.Cut(h, "/")
			if !ok || ns == "~" {
				continue
			}
			ns, excluded := strings.CutPrefix(ns, "~")
			if ns == "." {
				ns = proxyNamespace
			}
			if excluded {
				out.exclude = append(out.exclude, egressHost{ns, host})
			} else {
				out.allow = append(out.allow, egressHost{ns, host})
			}
		}
	}
	return out
}

func (e egressHosts) allowService(svc *model.Service) bool {
	hit := func(h egressHost) bool {
		return (h.namespace == "*" || h.namespace == svc.Namespace) && hostCovers(h.host, svc.Hostname)
	}
	return slices.ContainsFunc(e.allow, hit) && !slices.ContainsFunc(e.exclude, hit)
}

// allowVirtualService matches in both directions: a VirtualService for *.example.com is seen
// through an egress host a.example.com as well.
func (e egressHosts) allowVirtualService(o *model.Object, vs *networking.VirtualService, domain string) bool {
	return slices.ContainsFunc(vs.GetHosts(), func(host string) bool {
		full := ResolveHost(host, o.Namespace, domain)
		named := func(h egressHost) bool { return h.namespace == "*" || h.namespace == o.Namespace }
		return slices.ContainsFunc(e.allow, func(h egressHost) bool {
			return named(h) && (hostCovers(h.host, full) || hostCovers(full, h.host))
		}) && !slices.ContainsFunc(e.exclude, func(h egressHost) bool {
			return named(h) && hostCovers(h.host, full)
		})
	})
}

// hostCovers tells whether pattern ("*", "*.suffix" or a name) matches all that host stands for.
func hostCovers(pattern, host string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(strings.TrimPrefix(host, "*"), suffix)
	}
	return pattern == host
}
