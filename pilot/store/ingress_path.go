package store

import (
	"cmp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// ingressHost gathers the routes of one host, of all Ingresses that have it.
type ingressHost struct {
	object *model.Object
	spec   *networking.VirtualService // of the object
	routes []ingressRoute             // of the oldest Ingress first
	// without are the paths that lead nowhere, for which there is no route.
	without []model.MadeOf
}

// ingressRoute is the route of a path; the length is that of the path as it was written, 0 for every path.
type ingressRoute struct {
	route  *networking.HTTPRoute
	source model.MadeOf
	length int
	exact  bool
}

// finish gives the host's VirtualService. The longest path comes first, and of equal ones the exact before the
// prefix, as the Ingress specification has it.
func (h *ingressHost) finish() *model.Object {
	slices.SortStableFunc(h.routes, func(a, b ingressRoute) int {
		switch {
		case a.length != b.length:
			return cmp.Compare(b.length, a.length)
		case a.exact && !b.exact:
			return -1
		case b.exact && !a.exact:
			return 1
		}
		return 0
	})
	for _, r := range h.routes {
		h.spec.Http = append(h.spec.Http, r.route)
		h.object.Sources = append(h.object.Sources, r.source)
	}
	h.object.Sources = append(h.object.Sources, h.without...)
	return h.object
}

// routeOfPath gives the route of a path to where it leads. Paths whose kind is left to the implementation are
// exact, save for two ways to write a prefix, as Istio reads them.
func routeOfPath(path *networkingv1.HTTPIngressPath, to *networking.Destination) ingressRoute {
	out := ingressRoute{
		route:  &networking.HTTPRoute{Route: []*networking.HTTPRouteDestination{{Destination: to, Weight: 100}}},
		length: len(path.Path),
	}
	kind := networkingv1.PathTypeImplementationSpecific
	if path.PathType != nil {
		kind = *path.PathType
	}
	switch kind {
	case networkingv1.PathTypeExact:
		out.exact = true
		out.route.Match = []*networking.HTTPMatchRequest{exactPath(path.Path)}
	case networkingv1.PathTypePrefix:
		out.route.Match = prefixMatches(path.Path)
	default:
		prefix, short := cutGlob(path.Path)
		switch {
		case path.Path == "" || path.Path == "*" || short && prefix == "":
			out.length = 0
		case short:
			out.length = len(prefix)
			out.route.Match = prefixMatches(prefix)
		default:
			out.exact = true
			out.route.Match = []*networking.HTTPMatchRequest{exactPath(path.Path)}
		}
	}
	return out
}

// cutGlob takes the end off a path that is to be read as a prefix.
func cutGlob(path string) (prefix string, found bool) {
	if prefix, found = strings.CutSuffix(path, ".*"); found {
		return prefix, true
	}
	return strings.CutSuffix(path, "/*")
}

// prefixMatches gives the matches of a prefix, which counts by its segments: /a is a prefix of /a and /a/b, not
// of /ab.
func prefixMatches(path string) []*networking.HTTPMatchRequest {
	path = strings.TrimSuffix(path, "/")
	below := &networking.HTTPMatchRequest{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: path + "/"}}}
	if path == "" {
		return []*networking.HTTPMatchRequest{below}
	}
	return []*networking.HTTPMatchRequest{exactPath(path), below}
}

func exactPath(path string) *networking.HTTPMatchRequest {
	return &networking.HTTPMatchRequest{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: path}}}
}
