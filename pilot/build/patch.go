package build

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/patch"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// filters keep the patches of EnvoyFilter objects decoded, which costs more than to apply them.
type filters struct {
	mu     sync.Mutex
	parsed map[*model.Object][]*patch.Patch
}

// advance forgets objects that may be there no longer.
func (f *filters) advance(c store.Commit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Full || slices.ContainsFunc(c.Rows, store.IsPatch) {
		f.parsed = nil
	}
}

func (f *filters) patches(o *model.Object) []*patch.Patch {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known, ok := f.parsed[o]; ok {
		return known
	}
	if f.parsed == nil {
		f.parsed = map[*model.Object][]*patch.Patch{}
	}
	f.parsed[o], _ = patch.Parse(o) // the source tells what is wrong
	return f.parsed[o]
}

// changes finds what EnvoyFilters change for a class.
type changes struct {
	reader  resolve.Reader
	class   *resolve.Class
	filters *filters
	context patch.Context
}

// changes is for what a class sends, or, received, for what it receives or serves as a gateway.
func (e *encoder) changes(r resolve.Reader, c *resolve.Class, received bool) changes {
	return changes{r, c, &e.filters, patchContext(c, received)}
}

func patchContext(c *resolve.Class, received bool) patch.Context {
	switch {
	case c.Type == model.RouterProxy:
		return networking.EnvoyFilter_GATEWAY
	case received:
		return networking.EnvoyFilter_SIDECAR_INBOUND
	}
	return networking.EnvoyFilter_SIDECAR_OUTBOUND
}

// set gives the patches that touch one of some targets, in order. What none touches is shared with all that
// have no patches; so those for the other side are left out here.
func (c changes) set(targets ...string) patch.Set {
	if len(targets) == 0 {
		return nil
	}
	out := c.of(targets)
	if out.Refers() {
		out = c.of(append(targets, model.PatchExtensions))
	}
	return out
}

func (c changes) of(targets []string) patch.Set {
	var out patch.Set
	for _, f := range resolve.EnvoyFilters(c.reader, c.class, targets...) {
		all := c.filters.patches(f.Object)
		for _, i := range f.Patches {
			if all[i] != nil && all[i].In(c.context) {
				out = append(out, all[i])
			}
		}
	}
	return out
}

// listenerTargets are those of a listener and of what is in it.
func listenerTargets(l *ir.Listener, c patch.Context) []string {
	out := []string{model.PatchListeners, model.PatchListener + l.Name}
	if c == networking.EnvoyFilter_SIDECAR_INBOUND {
		out = append(out, model.PatchInboundListeners)
	}
	if l.Direction == ir.DirectionInbound {
		return append(out, model.PatchHosts, model.PatchRoutes, model.PatchInboundRoutes)
	}
	return append(out, model.PatchListenerPort+strconv.FormatUint(uint64(l.Port), 10))
}

func hostTargets(vh *ir.VirtualHost) []string {
	if vh == nil {
		return nil
	}
	host := resolve.FallbackHost
	if at := strings.LastIndexByte(vh.Name, ':'); at >= 0 {
		host = vh.Name[:at]
	}
	return []string{model.PatchHosts, model.PatchHost + host}
}

// ownChanges gives the patches of a cluster of no service that a class sends to.
func ownChanges(e *encoder, r resolve.Reader, c *resolve.Class, cl *ir.Cluster) (patch.Set, patch.Context) {
	received := strings.HasPrefix(cl.Name, "inbound|") || cl.Name == model.InboundPassthroughCluster
	targets := []string{model.PatchClusters, model.PatchOwnClusters}
	for _, svc := range cl.Metadata.Services {
		targets = append(targets, model.PatchHost+svc.Host)
	}
	changes := e.changes(r, c, received)
	return changes.set(targets...), changes.context
}

// patched is what patches made of a resource or a virtual host.
type patched struct {
	name     string
	resource *resource.Resource // nil where it is removed, or is a virtual host
	host     *encodedHost
	problems []model.Problem
}

// patchInput is the whole input of a patched resource.
type patchInput struct {
	value   any
	patches string
	context patch.Context
	place   patch.RoutePlace
}

// take puts what patches made into the output, and tells whether it is still there.
func (out *Output) take(m *patched, err error) bool {
	if err != nil {
		out.Problems = append(slices.Clip(out.Problems), forbidden(out.Type, "", err))
		return false
	}
	out.changed = append(out.changed, m)
	out.Problems = append(slices.Clip(out.Problems), m.problems...)
	if m.resource != nil {
		out.Resources = append(out.Resources, resource.Entry{Name: m.name, Resource: m.resource})
	}
	out.host = m.host
	return m.resource != nil
}

func (e *encoder) patchCluster(cl *ir.Cluster, set patch.Set, c patch.Context) (*patched, error) {
	return e.patched.get(e.digests.of(&patchInput{value: cl, patches: set.ID(), context: c}), func() (*patched, error) {
		m, kept, problems := set.Cluster(c, clusterPlace(cl), func() *clusterv3.Cluster { return envoy.Cluster(cl) })
		return e.made(resource.Clusters, m.GetName(), m, kept, problems)
	})
}

// clusterPlace is where a cluster stands.
func clusterPlace(cl *ir.Cluster) patch.ClusterPlace {
	out := placeOfCluster(cl.Name)
	if len(out.Hosts) > 0 {
		return out
	}
	for _, svc := range cl.Metadata.Services {
		out.Hosts = append(out.Hosts, svc.Host)
	}
	return out
}

// placeOfCluster reads what a cluster's name says.
func placeOfCluster(name string) patch.ClusterPlace {
	port, subset, host := model.ClusterParts(name)
	out := patch.ClusterPlace{Port: port, Subset: subset}
	if host != "" {
		out.Hosts = []string{host}
	}
	return out
}

func (e *encoder) patchListener(l *ir.Listener, set patch.Set, c patch.Context) (*patched, error) {
	return e.patched.get(e.digests.of(&patchInput{value: l, patches: set.ID(), context: c}), func() (*patched, error) {
		m, kept, problems := set.Listener(c, func() *listenerv3.Listener { return envoy.Listener(l) })
		return e.made(resource.Listeners, m.GetName(), m, kept, problems)
	})
}

// made makes a resource of what patches left.
func (e *encoder) made(t resource.Type, name string, m proto.Message, kept bool, problems []model.Problem) (*patched, error) {
	out := &patched{name: name, problems: problems}
	if !kept {
		return out, nil
	}
	var err error
	out.resource, err = e.resource(t, name, m)
	return out, err
}

func (e *encoder) patchHost(vh *ir.VirtualHost, at patch.RoutePlace, set patch.Set, c patch.Context) (*patched, error) {
	return e.patched.get(e.digests.of(&patchInput{vh, set.ID(), c, at}), func() (*patched, error) {
		m, kept, problems := set.VirtualHost(c, at, func() *routev3.VirtualHost { return envoy.VirtualHost(vh) })
		out := &patched{problems: problems}
		if !kept || len(m.GetDomains()) == 0 {
			return out, nil
		}
		if err := validate(m); err != nil {
			return nil, err
		}
		var err error
		out.host, err = changedHost(m, vh.Domains[len(vh.Domains)-vh.Aliases:])
		return out, err
	})
}

// changedHost marshals a virtual host that patches made of one with some aliases among its domains. Those that they
// left remain aliases, whichever domains they added.
func changedHost(m *routev3.VirtualHost, aliases []string) (*encodedHost, error) {
	left := make(map[string]bool, len(aliases))
	for _, d := range aliases {
		left[d] = true
	}
	var own, others []string
	for _, d := range m.GetDomains() {
		if left[d] {
			left[d], others = false, append(others, d)
		} else {
			own = append(own, d) // also an alias that a patch names once more
		}
	}
	out, err := hostOf(m, &ir.VirtualHost{Name: m.GetName(), Domains: append(own, others...), Aliases: len(others)})
	if err == nil {
		out.message = m
	}
	return out, err
}

// prunedHost gives a changed virtual host with the domains that others leave it.
func prunedHost(m *routev3.VirtualHost, value *ir.VirtualHost) (*encodedHost, error) {
	m = proto.CloneOf(m)
	m.Domains = value.Domains
	return hostOf(m, value)
}

// routeHead is a route configuration as patches change it, but for the virtual hosts that the plan knows.
type routeHead struct {
	data  []byte // without virtual hosts
	hosts []hostField
}

// bytes gives the marshalled configuration without virtual hosts.
func (h *routeHead) bytes(name string) ([]byte, error) {
	if h != nil {
		return h.data, nil
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(envoy.RouteConfig(&ir.RouteConfig{Name: name}))
}

// routeHead gives the output of a unit that makes one; most make none.
func (e *encoder) routeHead(at patch.RoutePlace, changes changes) Output {
	out := Output{Type: resource.Routes}
	set := changes.set(model.PatchRoutes, model.PatchRoute+at.Name)
	if len(set) == 0 {
		return out
	}
	rc, problems := set.RouteConfig(changes.context, at, func() *routev3.RouteConfiguration {
		return envoy.RouteConfig(&ir.RouteConfig{Name: at.Name})
	})
	out.Problems = problems
	head := &routeHead{}
	for _, vh := range rc.GetVirtualHosts() {
		h, err := changedHost(vh, nil)
		if err != nil {
			out.Problems = append(out.Problems, forbidden(resource.Routes, at.Name, err))
			continue
		}
		head.hosts = append(head.hosts, hostField{vh.GetName(), h})
	}
	rc.Name, rc.VirtualHosts = at.Name, nil
	var err error
	if head.data, err = (proto.MarshalOptions{Deterministic: true}).Marshal(rc); err != nil {
		out.Problems = append(out.Problems, forbidden(resource.Routes, at.Name, err))
		return out
	}
	out.head = head
	return out
}

// What units of kindAdded add.
const (
	addedClusters  = "clusters"
	addedListeners = "listeners"
)

// added gives the clusters or listeners that patches add for a class.
func (e *encoder) added(r resolve.Reader, c *resolve.Class, what string) Output {
	out := Output{Type: resource.Clusters}
	if what == addedListeners {
		out.Type = resource.Listeners
	}
	for _, received := range []bool{false, true} {
		changes := e.changes(r, c, received)
		if received && changes.context == networking.EnvoyFilter_GATEWAY {
			continue // there is one context
		}
		set := changes.set(model.PatchAdded)
		if what == addedListeners {
			for _, l := range set.AddedListeners(changes.context) {
				out.addMessage(e, l.GetName(), l)
			}
			continue
		}
		for _, cl := range set.AddedClusters(changes.context) {
			out.addMessage(e, cl.GetName(), cl)
		}
	}
	return out
}

func (out *Output) addMessage(e *encoder, name string, m proto.Message) {
	again := slices.ContainsFunc(out.Resources, func(other resource.Entry) bool { return other.Name == name })
	if name == "" || again {
		return
	}
	r, err := resource.New(out.Type, name, m)
	if err == nil {
		r = e.pool.One(r)
	}
	out.add(name, r, err)
}
