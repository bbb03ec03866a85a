package build

import (
	"slices"
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/patch"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// Patching gives the patches of EnvoyFilters that concern a resource of a class, or one part of it where part is not
// nil, in the order in which they apply. It belongs to the present state.
func (b *Builder) Patching(c *resolve.Class, r *resource.Resource, part proto.Message) []model.MadeOf {
	whole, err := r.Message()
	if err != nil {
		return nil // what is no message of its type, no patch made
	}
	if r.Type == resource.BootstrapPatches {
		return bootstrapMadeOf(b.encoder.changes(b.snapshot.Reader(nil), c, true), part)
	}
	at, received := b.place(c, r.Name, whole)
	targets := []string{model.PatchAdded, model.PatchExtensions}
	switch m := whole.(type) {
	case *clusterv3.Cluster:
		targets = append(targets, model.PatchClusters, model.PatchOwnClusters)
		for _, host := range at.Cluster.Hosts {
			targets = append(targets, model.PatchHost+host)
		}
	case *listenerv3.Listener:
		port := strconv.FormatUint(uint64(m.GetAddress().GetSocketAddress().GetPortValue()), 10)
		targets = append(targets, model.PatchListeners, model.PatchListener+r.Name, model.PatchInboundListeners,
			model.PatchListenerPort+port, model.PatchHosts, model.PatchRoutes, model.PatchInboundRoutes)
	default:
		targets = append(targets, model.PatchRoutes, model.PatchRoute+r.Name, model.PatchHosts)
		if vh, ok := part.(interface{ GetName() string }); ok {
			host := vh.GetName()[:max(0, strings.LastIndexByte(vh.GetName(), ':'))]
			targets = append(targets, model.PatchHost+host, model.PatchHost+resolve.FallbackHost)
		}
	}
	changes := b.encoder.changes(b.snapshot.Reader(nil), c, received)
	return changes.of(targets).Touching(changes.context, at, whole, part)
}

// Place tells where a resource of a class stands for patches, and in which context.
func (b *Builder) Place(c *resolve.Class, name string, whole proto.Message) (patch.Place, patch.Context) {
	at, received := b.place(c, name, whole)
	return at, patchContext(c, received)
}

// place tells with it whether the resource is of what the class receives.
func (b *Builder) place(c *resolve.Class, name string, whole proto.Message) (at patch.Place, received bool) {
	at = patch.Place{Cluster: placeOfCluster(name), Routes: b.layer(c).routePlace(name)}
	switch m := whole.(type) {
	case *clusterv3.Cluster:
		received = strings.HasPrefix(name, "inbound|") || name == model.InboundPassthroughCluster
		if len(at.Cluster.Hosts) == 0 {
			at.Cluster.Hosts = hostsIn(m)
		}
	case *listenerv3.Listener:
		received = m.GetTrafficDirection() == corev3.TrafficDirection_INBOUND
	}
	return at, received
}

// routePlace is where a route configuration of the class stands; of its name alone where the class has none of it.
func (l *layer) routePlace(name string) patch.RoutePlace {
	for ; l != nil; l = l.below {
		if p, ok := l.outline.(served); ok && slices.Contains(p.Routes(), name) {
			s := p.Served(name)
			return patch.RoutePlace{Name: name, Ports: s.Numbers, PortName: s.PortName, Gateway: s.Gateway}
		}
	}
	return patch.RoutePlace{Name: name}
}

// hostsIn gives the services that a cluster says it is for (filter_metadata: istio: services).
func hostsIn(cl *clusterv3.Cluster) []string {
	var out []string
	for _, v := range cl.GetMetadata().GetFilterMetadata()["istio"].GetFields()["services"].GetListValue().GetValues() {
		if host := v.GetStructValue().GetFields()["host"].GetStringValue(); !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	return out
}
