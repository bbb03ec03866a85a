package build

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/endpoint"
	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/patch"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// Outline is what a layer's plan says: of which units the layer is made, and how each is computed. It
// never changes; a plan that is computed again gives another one.
type Outline interface {
	// Units gives all units.
	Units() []UnitID
	Has(id UnitID) bool
	// Compare gives the units that differ from those of another outline. One that is both Gone and Added has
	// another part of the plan.
	Compare(other Outline) Differences
	// Compute makes a unit. Everything that it follows from is in the outline or read from the reader.
	Compute(in Input, id UnitID) Output
	// Routes gives the names of the route configurations, sorted, and Hosts the virtual hosts of one, in the
	// order in which they stand.
	Routes() []string
	Hosts(route string) []string
	// ChangedFacts gives what units note as facts and what differs from a former outline, or from none.
	ChangedFacts(former Outline) []string
	// Names gives the hosts that units look rows up by, for which a wildcard may stand.
	Names() []string
	// For gives the same outline for another class.
	For(c *resolve.Class) Outline
	Problems() []model.Problem
}

// Input is what a unit is computed from.
type Input struct {
	store.Reader
	// Clusters gives the clusters of a service as its unit made them.
	Clusters func(host string) []*ir.Cluster
}

// served is what plans of both sides have: listeners, and routes of virtual hosts.
type served interface {
	Listeners() []string
	Listener(r resolve.Reader, name string) (*ir.Listener, []model.Problem)
	Routes() []string
	Served(route string) resolve.ServedRoutes
	Hosts(route string) []string
	VirtualHost(r resolve.Reader, route, host string) (*ir.VirtualHost, []model.Problem)
}

// appendServed adds their units to a list.
func appendServed(out []UnitID, p served) []UnitID {
	for _, name := range p.Listeners() {
		out = append(out, UnitID{Kind: kindListener, Name: name})
	}
	for _, route := range p.Routes() {
		out = append(out, UnitID{Kind: kindRouteHead, Name: route})
		for _, host := range p.Hosts(route) {
			out = append(out, UnitID{Kind: kindVirtualHost, Name: route, Host: host})
		}
	}
	return out
}

// served gives the output of one of those units.
func (e *encoder) served(p served, r store.Reader, id UnitID, changes changes) Output {
	if id.Kind == kindListener {
		l, problems := p.Listener(r, id.Name)
		if l == nil {
			return Output{Type: resource.Listeners, Problems: problems}
		}
		return e.listeners(problems, changes, l)
	}
	s := p.Served(id.Name)
	at := patch.RoutePlace{Name: id.Name, Ports: s.Numbers, PortName: s.PortName, Gateway: s.Gateway}
	if id.Kind == kindRouteHead {
		return e.routeHead(at, changes)
	}
	vh, problems := p.VirtualHost(r, id.Name, id.Host)
	return e.virtualHostOf(vh, problems, at, changes)
}

// outboundOutline is that of what a class sends.
type outboundOutline struct {
	*resolve.Plan
	class   *resolve.Class
	encoder *encoder
}

func newOutboundOutline(r resolve.Reader, c *resolve.Class, e *encoder) Outline {
	return &outboundOutline{resolve.NewPlan(r, c), c, e}
}

func (o *outboundOutline) Problems() []model.Problem { return o.Plan.Problems }

func (o *outboundOutline) For(c *resolve.Class) Outline {
	return &outboundOutline{o.Plan.For(c), c, o.encoder}
}

func (o *outboundOutline) Units() []UnitID {
	services := o.Services()
	out := make([]UnitID, 0, 4*len(services)+16)
	for _, svc := range services {
		out = append(out, UnitID{Kind: kindClusters, Host: svc.Hostname}, UnitID{Kind: kindAssignments, Host: svc.Hostname})
	}
	if o.class.Type == model.SidecarProxy {
		out = append(out, UnitID{Kind: kindOutbound})
	}
	for _, host := range o.Ruled() {
		out = append(out, UnitID{Kind: kindReferences, Host: host})
	}
	if o.class.DNSCapture {
		out = append(out, UnitID{Kind: kindNameTable})
	}
	return appendServed(append(out, UnitID{Kind: kindTrustBundle}), o)
}

func (o *outboundOutline) Has(id UnitID) bool {
	switch id.Kind {
	case kindClusters, kindAssignments:
		return o.HasService(id.Host)
	case kindOutbound:
		return o.class.Type == model.SidecarProxy
	case kindReferences:
		return o.HasRuled(id.Host)
	case kindNameTable:
		return o.class.DNSCapture
	case kindListener:
		return o.HasListener(id.Name)
	case kindRouteHead:
		return o.HasRoutes(id.Name)
	case kindVirtualHost:
		return o.HasHost(id.Name, id.Host)
	}
	return id.Kind == kindTrustBundle
}

func (o *outboundOutline) ChangedFacts(former Outline) []string {
	if former == nil {
		return o.Plan.ChangedFacts(nil)
	}
	return o.Plan.ChangedFacts(former.(*outboundOutline).Plan)
}

func (o *outboundOutline) Compute(in Input, id UnitID) Output {
	r := in.Reader
	changes := o.encoder.changes(r, o.class, false)
	switch id.Kind {
	case kindClusters:
		return o.clusters(r, id.Host)
	case kindAssignments:
		return o.assignments(in, id.Host)
	case kindOutbound:
		return o.encoder.listeners(nil, changes, o.VirtualOutbound(r))
	case kindReferences:
		return Output{Problems: o.References(r, id.Host)}
	case kindTrustBundle:
		b := resolve.TrustBundle(r)
		if b == nil {
			return Output{Type: resource.TrustBundles}
		}
		return o.encoder.sole(resource.TrustBundles, resource.TrustBundleName, b, func() proto.Message { return envoy.TrustBundle(b) })
	case kindNameTable:
		table := o.NameTable(r)
		return o.encoder.sole(resource.NameTables, resource.NameTableName, table, func() proto.Message { return envoy.NameTable(table) })
	}
	return o.encoder.served(o, r, id, changes)
}

func (o *outboundOutline) clusters(r store.Reader, host string) Output {
	clusters, problems := o.ServiceClusters(r, host)
	out := Output{Type: resource.Clusters, Problems: problems}
	changes := o.encoder.changes(r, o.class, false)
	for i, cl := range clusters {
		if slices.ContainsFunc(clusters[i+1:], func(other *ir.Cluster) bool { return other.Name == cl.Name }) {
			continue // a port number that stands twice: the last counts
		}
		if cl.Discovery.IsDNS() {
			endpoint.Inline(r, o.class, cl)
		}
		res, cl, err := o.encoder.cluster(cl)
		if set := changes.set(model.PatchClusters, model.PatchHost+host); len(set) > 0 {
			if out.take(o.encoder.patchCluster(cl, set, changes.context)) {
				out.clusters = append(out.clusters, cl)
			}
			continue
		}
		out.clusters = append(out.clusters, cl)
		out.add(cl.Name, res, err)
	}
	return out
}

// assignments gives the load assignments of a service's clusters. Those that depend on where the proxy
// is are read for, but made for each place (locality and node).
func (o *outboundOutline) assignments(in Input, host string) Output {
	out := Output{Type: resource.Endpoints}
	for _, cl := range in.Clusters(host) {
		if !assigned(cl) {
			continue
		}
		res, err := o.encoder.assignment(in.Reader, o.class, cl)
		if !isLocal(cl) {
			out.add(cl.Name, res, err)
		}
	}
	return out
}

// classOutline is that of what a class has for itself: what it receives, or serves as a gateway.
type classOutline struct {
	*resolve.GatewayPlan // of nothing for sidecars
	secrets              *resolve.SecretPlan
	class                *resolve.Class
	encoder              *encoder
}

func newClassOutline(r resolve.Reader, c *resolve.Class, e *encoder) Outline {
	o := &classOutline{GatewayPlan: resolve.NewGatewayPlan(r, c), class: c, encoder: e}
	if c.Type == model.RouterProxy {
		o.secrets = o.SecretPlan()
	} else {
		o.secrets = resolve.NewSecretPlan(r, c)
	}
	return o
}

func (o *classOutline) Problems() []model.Problem { return o.GatewayPlan.Problems }

func (o *classOutline) For(*resolve.Class) Outline    { return o }
func (o *classOutline) ChangedFacts(Outline) []string { return nil }
func (o *classOutline) Names() []string               { return nil }

func (o *classOutline) Units() []UnitID {
	out := []UnitID{{Kind: kindOwnClusters}, {Kind: kindAdded, Name: addedClusters}, {Kind: kindAdded, Name: addedListeners}, {Kind: kindBootstrap}}
	if o.class.Type != model.RouterProxy {
		out = append(out, UnitID{Kind: kindInbound})
	}
	for _, name := range o.secrets.Secrets() {
		out = append(out, UnitID{Kind: kindSecret, Name: name})
	}
	return appendServed(out, o)
}

// Has looks at all of them: no layer is above that of a class, which would ask.
func (o *classOutline) Has(id UnitID) bool { return slices.Contains(o.Units(), id) }

func (o *classOutline) Compute(in Input, id UnitID) Output {
	r := in.Reader
	changes := o.encoder.changes(r, o.class, true)
	switch id.Kind {
	case kindInbound:
		all, problems := resolve.Inbound(r, o.class)
		return o.encoder.listeners(problems, changes, all...)
	case kindSecret:
		return o.encoder.secret(o.secrets.Secret(r, id.Name))
	case kindAdded:
		return o.encoder.added(r, o.class, id.Name)
	case kindBootstrap:
		return o.encoder.bootstrap(changes)
	case kindOwnClusters:
		return o.clusters(r)
	}
	return o.encoder.served(o, r, id, changes)
}

func (o *classOutline) clusters(r store.Reader) Output {
	clusters, problems := resolve.OwnClusters(r, o.class)
	out := Output{Type: resource.Clusters, Problems: problems}
	for _, cl := range clusters {
		if set, context := ownChanges(o.encoder, r, o.class, cl); len(set) > 0 {
			out.take(o.encoder.patchCluster(cl, set, context))
			continue
		}
		res, err := o.encoder.encode(resource.Clusters, cl.Name, o.encoder.digests.of(cl), func() proto.Message { return envoy.Cluster(cl) })
		out.add(cl.Name, res, err)
	}
	return out
}

// secret gives the output of a unit that makes a secret; nil for none. No memo sees it, since those remember for
// everyone.
func (e *encoder) secret(s *ir.Secret, problems []model.Problem) Output {
	out := Output{Type: resource.Secrets, Problems: problems}
	if s != nil {
		r, err := e.resource(out.Type, s.Name, envoy.Secret(s))
		out.add(s.Name, r, err)
	}
	return out
}

// add puts a resource into the output, or, where it came out forbidden, what stands in its place.
func (out *Output) add(name string, r *resource.Resource, err error) {
	if err != nil {
		out.Problems = append(slices.Clip(out.Problems), forbidden(out.Type, name, err))
	}
	out.Resources = append(out.Resources, resource.Entry{Name: name, Resource: r})
}
