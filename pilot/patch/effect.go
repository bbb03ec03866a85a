package patch

import (
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
)

// Changes tells whether a patch of the set changes a message that no patch has changed yet, alone or with the others.
// One that fails counts as such: that is told of it.
func (s Set) Changes(p *Patch, c Context, at Place, fresh proto.Message) bool {
	if !p.In(c) || !p.concerns(fresh) {
		return false
	}
	if !(Set{}).outcome(c, at, fresh).equal((Set{p}).outcome(c, at, fresh)) {
		return true
	}
	others := slices.DeleteFunc(slices.Clone(s), func(o *Patch) bool { return o == p })
	return len(others) > 0 && !others.outcome(c, at, fresh).equal(s.outcome(c, at, fresh))
}

// concerns tells whether a patch is applied to messages of such a type, or to what is in them.
func (p *Patch) concerns(m proto.Message) bool {
	routes := p.applyTo == networking.EnvoyFilter_ROUTE_CONFIGURATION || p.applyTo == networking.EnvoyFilter_VIRTUAL_HOST || p.applyTo == networking.EnvoyFilter_HTTP_ROUTE
	switch m.(type) {
	case *clusterv3.Cluster:
		return p.applyTo == networking.EnvoyFilter_CLUSTER
	case *listenerv3.Listener:
		return routes || kinds[p.applyTo].match == matchListener
	case *routev3.RouteConfiguration:
		return routes
	}
	return false
}

// outcome is what patches make of a message.
type outcome struct {
	message  proto.Message
	kept     bool
	problems int
}

func (o outcome) equal(other outcome) bool {
	return o.kept == other.kept && o.problems == other.problems && proto.Equal(o.message, other.message)
}

func (s Set) outcome(c Context, at Place, fresh proto.Message) outcome {
	switch m := fresh.(type) {
	case *clusterv3.Cluster:
		out, kept, problems := s.Cluster(c, at.Cluster, func() *clusterv3.Cluster { return proto.CloneOf(m) })
		return outcome{out, kept, len(problems)}
	case *listenerv3.Listener:
		out, kept, problems := s.Listener(c, func() *listenerv3.Listener { return proto.CloneOf(m) })
		return outcome{out, kept, len(problems)}
	case *routev3.RouteConfiguration:
		return s.routesOutcome(c, at.Routes, m)
	}
	return outcome{message: fresh, kept: true}
}

func (s Set) routesOutcome(c Context, at RoutePlace, fresh *routev3.RouteConfiguration) outcome {
	rc, problems := s.RouteConfig(c, at, func() *routev3.RouteConfiguration {
		out := proto.CloneOf(fresh)
		out.VirtualHosts = nil
		return out
	})
	found := len(problems)
	for _, vh := range fresh.GetVirtualHosts() {
		out, kept, problems := s.VirtualHost(c, at, func() *routev3.VirtualHost { return proto.CloneOf(vh) })
		if found += len(problems); kept {
			rc.VirtualHosts = append(rc.VirtualHosts, out)
		}
	}
	return outcome{rc, true, found}
}

// Adds tells whether a patch has its effect whatever there is, as one that adds a cluster.
func (p *Patch) Adds() bool {
	switch p.applyTo {
	case networking.EnvoyFilter_CLUSTER, networking.EnvoyFilter_LISTENER:
		return p.operation == opAdd
	case networking.EnvoyFilter_EXTENSION_CONFIG, networking.EnvoyFilter_BOOTSTRAP:
		return true
	}
	return false
}
