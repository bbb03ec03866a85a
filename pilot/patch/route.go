package patch

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// RoutePlace is the route configuration in which a virtual host stands.
type RoutePlace struct {
	Name string
	// Ports are those that clients address; at a gateway there may be several.
	Ports []uint32
	// PortName and Gateway (namespace/name) are of a gateway's server; "" where it is not one.
	PortName, Gateway string
}

// RouteConfig patches a route configuration, of which the virtual hosts stand elsewhere; those that it comes
// to hold are to be added.
func (s Set) RouteConfig(c Context, at RoutePlace, fresh func() *routev3.RouteConfiguration) (*routev3.RouteConfiguration, []model.Problem) {
	out, _, problems := attempt(s, c, fresh, func(r *run, rc *routev3.RouteConfiguration) (*routev3.RouteConfiguration, bool) {
		r.routeConfig(at, rc)
		return rc, true
	})
	return out, problems
}

// VirtualHost patches a virtual host; kept is false where a patch removes it.
func (s Set) VirtualHost(c Context, at RoutePlace, fresh func() *routev3.VirtualHost) (out *routev3.VirtualHost, kept bool, problems []model.Problem) {
	return attempt(s, c, fresh, func(r *run, vh *routev3.VirtualHost) (*routev3.VirtualHost, bool) { return r.virtualHost(at, vh) })
}

func (r *run) routeConfig(at RoutePlace, rc *routev3.RouteConfiguration) {
	r.each(networking.EnvoyFilter_ROUTE_CONFIGURATION, func(p *Patch) {
		if p.matchesRoutes(r.context, at) {
			p.merge(rc, p.value)
			r.check(p, rc)
		}
	})
	r.each(networking.EnvoyFilter_VIRTUAL_HOST, func(p *Patch) {
		if p.operation == opAdd && p.matchesRoutes(r.context, at) {
			vh := clone[*routev3.VirtualHost](p)
			demand(vh)
			rc.VirtualHosts = append(rc.VirtualHosts, vh)
		}
	})
}

// inlineRoutes patches routes that stand in a listener.
func (r *run) inlineRoutes(rc *routev3.RouteConfiguration) {
	at := inlinePlace(rc)
	rc.VirtualHosts = slices.DeleteFunc(rc.VirtualHosts, func(vh *routev3.VirtualHost) bool {
		_, kept := r.virtualHost(at, vh)
		return !kept
	})
	r.routeConfig(at, rc)
}

// inlinePlace reads direction|port|subset|host, by which routes of a listener are named.
func inlinePlace(rc *routev3.RouteConfiguration) RoutePlace {
	at := RoutePlace{Name: rc.GetName()}
	if parts := strings.Split(rc.GetName(), "|"); len(parts) > 1 {
		if n, err := strconv.ParseUint(parts[1], 10, 16); err == nil {
			at.Ports = []uint32{uint32(n)}
		}
	}
	return at
}

func (r *run) virtualHost(at RoutePlace, vh *routev3.VirtualHost) (*routev3.VirtualHost, bool) {
	kept := true
	r.each(networking.EnvoyFilter_VIRTUAL_HOST, func(p *Patch) {
		if !kept || p.operation == opAdd || !p.matchesHost(r.context, at, vh) {
			return
		}
		switch p.operation {
		case opRemove:
			kept = false
		case opReplace:
			replaceMessage(vh, p.value)
		case opMerge:
			p.merge(vh, p.value)
			r.check(p, vh)
		}
	})
	if kept {
		r.routes(at, vh)
		demand(vh)
	}
	return vh, kept
}

// demand switches the filter for CORS on where a virtual host or a route has come to have settings in the fields that it
// had for them before filters had settings of routes. Envoy knows by those of the filter alone that a filter on demand is
// wanted. The control plane itself writes no such field.
func demand(vh *routev3.VirtualHost) {
	//lint:ignore SA1019 EnvoyFilters still write it
	if vh.GetCors() != nil {
		vh.TypedPerFilterConfig = switchedOn(vh.TypedPerFilterConfig, httpfilter.CORS)
	}
	for _, route := range vh.Routes {
		//lint:ignore SA1019 and so here
		if route.GetRoute().GetCors() != nil {
			route.TypedPerFilterConfig = switchedOn(route.TypedPerFilterConfig, httpfilter.CORS)
		}
	}
}

// switchedOn has a filter made without settings of its own, where nothing is said of it. Envoy wants an empty message in
// the place of settings.
func switchedOn(settings map[string]*anypb.Any, filter string) map[string]*anypb.Any {
	if settings[filter] != nil {
		return settings
	}
	on, err := anypb.New(&routev3.FilterConfig{Config: &anypb.Any{}})
	if err != nil {
		panic(err) // a fault of the library
	}
	out := map[string]*anypb.Any{filter: on} // the former may be shared
	maps.Copy(out, settings)
	return out
}

// routes patches the routes of a virtual host. What changes or removes some comes before what adds some, as in Istio: it
// finds none that are added, and nothing is added beside one that is removed.
func (r *run) routes(at RoutePlace, vh *routev3.VirtualHost) {
	r.each(networking.EnvoyFilter_HTTP_ROUTE, func(p *Patch) {
		if !p.matchesHost(r.context, at, vh) {
			return
		}
		switch p.operation {
		case opMerge:
			for _, route := range vh.Routes {
				if p.matchesRoute(route) {
					p.merge(route, p.value)
					r.check(p, route)
				}
			}
		case opRemove:
			vh.Routes = slices.DeleteFunc(vh.Routes, p.matchesRoute)
		}
	})
	r.each(networking.EnvoyFilter_HTTP_ROUTE, func(p *Patch) {
		if !p.matchesHost(r.context, at, vh) {
			return
		}
		switch p.operation {
		case opMerge, opRemove:
		case opFirst:
			if slices.ContainsFunc(vh.Routes, p.matchesRoute) || !p.namesRoute() {
				vh.Routes = slices.Insert(vh.Routes, 0, clone[*routev3.Route](p))
			}
		default:
			vh.Routes = edit(vh.Routes, p, p.namesRoute(), p.matchesRoute, len(vh.Routes))
		}
	})
}

func (p *Patch) namesRoute() bool {
	return p.match.GetRouteConfiguration().GetVhost().GetRoute() != nil
}

// matchesRoutes tells whether a patch is for a route configuration. What is asked of a Gateway's server counts at
// gateways only.
func (p *Patch) matchesRoutes(c Context, at RoutePlace) bool {
	m := p.match.GetRouteConfiguration()
	return (m.GetName() == "" || m.GetName() == at.Name) && (m.GetPortNumber() == 0 || slices.Contains(at.Ports, m.GetPortNumber())) &&
		(c != networking.EnvoyFilter_GATEWAY ||
			(m.GetPortName() == "" || m.GetPortName() == at.PortName) && (m.GetGateway() == "" || m.GetGateway() == at.Gateway))
}

func (p *Patch) matchesHost(c Context, at RoutePlace, vh *routev3.VirtualHost) bool {
	m := p.match.GetRouteConfiguration().GetVhost()
	return p.matchesRoutes(c, at) && (m.GetName() == "" || m.GetName() == vh.GetName()) &&
		(m.GetDomainName() == "" || slices.Contains(vh.GetDomains(), m.GetDomainName()))
}

func (p *Patch) matchesRoute(route *routev3.Route) bool {
	m := p.match.GetRouteConfiguration().GetVhost().GetRoute()
	if m.GetName() != "" && m.GetName() != route.GetName() {
		return false
	}
	switch m.GetAction() {
	case networking.EnvoyFilter_RouteConfigurationMatch_RouteMatch_ROUTE:
		return route.GetRoute() != nil
	case networking.EnvoyFilter_RouteConfigurationMatch_RouteMatch_REDIRECT:
		return route.GetRedirect() != nil
	case networking.EnvoyFilter_RouteConfigurationMatch_RouteMatch_DIRECT_RESPONSE:
		return route.GetDirectResponse() != nil
	}
	return true
}
