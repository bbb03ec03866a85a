package random

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// content is what matters of a resource's bytes.
type content struct {
	hash     string   // equal for equal messages, whatever the order of their fields on the wire
	name     string   // of the resource; state of the world tells it only there
	eds      string   // of a cluster: the load assignment that it waits for
	rds      []string // of a listener: the route configurations that it waits for
	clusters []string // that a listener or a route points at
	empty    bool     // a load assignment without hosts, or routes without any
	wire     string   // the bytes, where it came over the wire
	parts    []part   // of routes and of a listener
}

// part is a virtual host or a filter chain. Its hash is "" where it denies everything.
type part struct{ name, hash string }

// takeParts reads what an Envoy may be served the rest of a resource without.
func (c *content) takeParts(m proto.Message) error {
	add := func(name string, denies bool, m proto.Message) error {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		h := fnv.New64a()
		_, _ = h.Write(b) // a hash never fails
		p := part{name: name, hash: strconv.FormatUint(h.Sum64(), 36)}
		if denies {
			p.hash = ""
		}
		c.parts = append(c.parts, p)
		return err
	}
	switch m := m.(type) {
	case *routev3.RouteConfiguration:
		for _, vh := range m.GetVirtualHosts() {
			if err := add(vh.GetName(), len(vh.GetRoutes()) == 1 && vh.GetRoutes()[0].GetName() == "quarantined", vh); err != nil {
				return err
			}
		}
	case *listenerv3.Listener:
		for _, chain := range append(slices.Clone(m.GetFilterChains()), m.GetDefaultFilterChain()) {
			if chain == nil {
				continue
			}
			if err := add(chain.GetName(), len(chain.GetFilters()) == 0, chain); err != nil {
				return err
			}
		}
	}
	return nil
}

// triedOf tells whether a resource has the parts of another one, or something else in the place of some.
func (c *content) triedOf(o *content) bool {
	return len(c.parts) > 0 && slices.EqualFunc(c.parts, o.parts, func(a, b part) bool { return a.name == b.name })
}

// without tells whether a resource is another one with something else in the place of just these parts.
func (c *content) without(o *content, broken func(part) bool) bool {
	return c != nil && slices.EqualFunc(c.parts, o.parts, func(a, b part) bool {
		return a.name == b.name && (a == b) == !broken(b)
	})
}

// resource is one received resource.
type resource struct {
	*content
	name, version string
}

// contents remembers what bytes mean; the seeds share it.
type contents struct {
	mu   sync.Mutex
	byID map[string]*content
}

// of reads a message's bytes.
func (c *contents) of(t xdsres.Type, wire []byte) (*content, error) {
	id := t.String() + string(wire)
	c.mu.Lock()
	known := c.byID[id]
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	m := t.New()
	if err := proto.Unmarshal(wire, m); err != nil {
		return nil, err
	}
	out, err := read(m)
	if err != nil {
		return nil, err
	}
	out.wire = id[len(t.String()):]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID[id] = out
	return out, nil
}

func read(m proto.Message) (*content, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	h := fnv.New64a()
	_, _ = h.Write(b) // a hash never fails
	out := &content{hash: strconv.FormatUint(h.Sum64(), 36)}
	switch m := m.(type) {
	case *clusterv3.Cluster:
		out.name = m.GetName()
		if m.GetType() == clusterv3.Cluster_EDS {
			out.eds = m.GetEdsClusterConfig().GetServiceName()
			if out.eds == "" {
				out.eds = m.GetName()
			}
		}
		return out, nil
	case *endpointv3.ClusterLoadAssignment:
		out.name, out.empty = m.GetClusterName(), len(m.GetEndpoints()) == 0
		return out, nil
	case *routev3.RouteConfiguration:
		out.name, out.empty = m.GetName(), len(m.GetVirtualHosts()) == 0
	case interface{ GetName() string }:
		out.name = m.GetName()
	}
	if out.name == "" {
		out.name = xdsres.NameTableName
	}
	if err := out.takeParts(m); err != nil {
		return nil, err
	}
	out.refer(m.ProtoReflect())
	slices.Sort(out.clusters)
	out.clusters = slices.Compact(out.clusters)
	return out, nil
}

// refer collects what a message points at, also inside of packed messages.
func (c *content) refer(m protoreflect.Message) {
	switch m := m.Interface().(type) {
	case *anypb.Any:
		if inner, err := m.UnmarshalNew(); err == nil {
			c.refer(inner.ProtoReflect())
		}
		return
	case *hcmv3.Rds:
		c.rds = append(c.rds, m.GetRouteConfigName())
	case *routev3.WeightedCluster_ClusterWeight:
		c.clusters = append(c.clusters, m.GetName())
	case interface{ GetCluster() string }:
		if m.GetCluster() != "" {
			c.clusters = append(c.clusters, m.GetCluster())
		}
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				c.refer(v.List().Get(i).Message())
			}
		case fd.IsMap() && fd.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				c.refer(v.Message())
				return true
			})
		case !fd.IsList() && !fd.IsMap() && fd.Message() != nil:
			c.refer(v.Message())
		}
		return true
	})
}

// decode reads a response from the wire.
func (c *contents) decode(delta bool, wire []byte) (*response, error) {
	if delta {
		var m discoveryv3.DeltaDiscoveryResponse
		if err := proto.Unmarshal(wire, &m); err != nil {
			return nil, err
		}
		t, ok := xdsres.ByURL(m.GetTypeUrl())
		if !ok {
			return nil, fmt.Errorf("response of type %q", m.GetTypeUrl())
		}
		out := &response{typ: t, nonce: m.GetNonce(), version: m.GetSystemVersionInfo(), removed: m.GetRemovedResources()}
		for _, r := range m.GetResources() {
			read, err := c.of(t, r.GetResource().GetValue())
			if err != nil {
				return nil, err
			}
			out.resources = append(out.resources, &resource{read, r.GetName(), r.GetVersion()})
		}
		return out, nil
	}
	var m discoveryv3.DiscoveryResponse
	if err := proto.Unmarshal(wire, &m); err != nil {
		return nil, err
	}
	t, ok := xdsres.ByURL(m.GetTypeUrl())
	if !ok {
		return nil, fmt.Errorf("response of type %q", m.GetTypeUrl())
	}
	out := &response{typ: t, nonce: m.GetNonce(), version: m.GetVersionInfo()}
	for _, r := range m.GetResources() {
		read, err := c.of(t, r.GetValue())
		if err != nil {
			return nil, err
		}
		out.resources = append(out.resources, &resource{read, read.name, m.GetVersionInfo()})
	}
	return out, nil
}
