package build

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
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

// encoder turns ir values into resources, equal ones into the same.
type encoder struct {
	*encodings

	mu          sync.Mutex
	assignments map[assignmentKey]assignment // of the present snapshot
}

// encodings are what equal values come to, which follows from the values alone.
type encodings struct {
	pool     *resource.Pool
	digests  digester
	memos    [resource.NumTypes]memo[resource.Resource]
	clusters memo[ir.Cluster] // those of equal values
	hosts    memo[encodedHost]
	chains   memo[resource.Fragment]
	elements elements // of chains
	// patched are resources and virtual hosts as EnvoyFilters change them.
	patched memo[patched]
	filters filters
}

// assignmentKey is what decides about a load assignment in one snapshot: the cluster, by identity,
// and what endpoints show to a class.
type assignmentKey struct {
	cluster    *ir.Cluster
	ipv4, ipv6 bool
	clusterID  string
	place      place
}

// assignment is a load assignment with the rows that were read for it.
type assignment struct {
	*resource.Resource
	rows []store.Row
}

// encodedHost is a virtual host as a field of a marshalled route configuration.
type encodedHost struct {
	resource.Fragment
	value *ir.VirtualHost
	// message is the host as patches changed it; nil where value says all.
	message *routev3.VirtualHost
}

func newEncoder() *encoder {
	e := &encodings{pool: resource.NewPool()}
	e.elements.digests = &e.digests
	return e.forSnapshot()
}

// forSnapshot gives an encoder for a snapshot.
func (e *encodings) forSnapshot() *encoder {
	return &encoder{encodings: e, assignments: map[assignmentKey]assignment{}}
}

// advance forgets what followed from the former snapshot alone.
func (e *encoder) advance() { e.assignments = map[assignmentKey]assignment{} }

// encode gives the resource of the value of a digest.
func (e *encoder) encode(t resource.Type, name string, key digest, message func() proto.Message) (*resource.Resource, error) {
	return e.memos[t].get(key, func() (*resource.Resource, error) { return e.resource(t, name, message()) })
}

// resource checks a message and makes the resource of it.
func (e *encoder) resource(t resource.Type, name string, m proto.Message) (*resource.Resource, error) {
	if err := validate(m); err != nil {
		return nil, err
	}
	r, err := resource.New(t, name, m)
	if err != nil {
		return nil, err
	}
	return e.pool.One(r), nil
}

// validate checks a message by its generated rules.
func validate(m proto.Message) error {
	if v, ok := m.(interface{ ValidateAll() error }); ok {
		return v.ValidateAll()
	}
	return nil
}

// cluster gives with the resource the equal value that is shared.
func (e *encoder) cluster(cl *ir.Cluster) (*resource.Resource, *ir.Cluster, error) {
	key := e.digests.of(cl)
	cl, _ = e.clusters.get(key, func() (*ir.Cluster, error) { return cl, nil })
	r, err := e.encode(resource.Clusters, cl.Name, key, func() proto.Message { return envoy.Cluster(cl) })
	return r, cl, err
}

// listeners gives the output of a unit that makes listeners.
func (e *encoder) listeners(problems []model.Problem, changes changes, all ...*ir.Listener) Output {
	out := Output{Type: resource.Listeners, Problems: problems}
	for _, l := range all {
		if set := changes.set(listenerTargets(l, changes.context)...); len(set) > 0 {
			out.take(e.patchListener(l, set, changes.context))
			continue
		}
		r, err := e.listener(l)
		out.add(l.Name, r, err)
	}
	return out
}

// assignment gives the load assignment of a cluster that is shared.
func (e *encoder) assignment(r store.Reader, c *resolve.Class, cl *ir.Cluster) (*resource.Resource, error) {
	key := assignmentKey{cl, c.IPv4, c.IPv6, c.ClusterID, placeFor(cl, c)}
	e.mu.Lock()
	known, ok := e.assignments[key]
	e.mu.Unlock()
	if ok {
		r.Record(known.rows)
		return known.Resource, nil
	}
	t := trace{}
	a := endpoint.Assignment(r.With(t.record), c, cl)
	made, err := e.encode(resource.Endpoints, a.Cluster, e.digests.of(a), func() proto.Message { return envoy.LoadAssignment(a) })
	r.Record(t.rows)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.assignments[key] = assignment{made, t.rows}
	e.mu.Unlock()
	return made, nil
}

// sole gives the output of a unit that makes the only resource of its type.
func (e *encoder) sole(t resource.Type, name string, value any, message func() proto.Message) Output {
	out := Output{Type: t}
	res, err := e.encode(t, name, e.digests.of(value), message)
	out.add(name, res, err)
	return out
}

// virtualHostOf gives the output of a unit that makes a virtual host; nil for none.
func (e *encoder) virtualHostOf(vh *ir.VirtualHost, problems []model.Problem, at patch.RoutePlace, changes changes) Output {
	out := Output{Type: resource.Routes, Problems: problems}
	switch set := changes.set(hostTargets(vh)...); {
	case vh == nil:
	case len(set) > 0:
		out.take(e.patchHost(vh, at, set, changes.context))
	default:
		out.host, out.err = e.virtualHost(vh)
	}
	return out
}

func (e *encoder) virtualHost(vh *ir.VirtualHost) (*encodedHost, error) {
	return e.hosts.get(e.digests.of(vh), func() (*encodedHost, error) {
		m := envoy.VirtualHost(vh)
		if err := validate(m); err != nil {
			return nil, err
		}
		return hostOf(m, vh)
	})
}

// hostOf marshals a virtual host.
func hostOf(m *routev3.VirtualHost, value *ir.VirtualHost) (*encodedHost, error) {
	f, err := resource.FragmentOf(resource.FieldVirtualHosts, m)
	return &encodedHost{Fragment: f, value: value}, err
}

// compose puts a route configuration together of virtual hosts that were checked one by one. A domain
// that stands twice is left with its first host; unique tells on the way in that there is none, on the
// way out whether there was none.
func (e *encoder) compose(name string, hosts []hostField, unique bool, changed *routeHead) (*resource.Resource, bool, error) {
	head, err := changed.bytes(name)
	if err != nil {
		return nil, unique, err
	}
	if changed != nil && len(changed.hosts) > 0 {
		hosts, unique = append(slices.Clip(hosts), changed.hosts...), false
	}
	if !unique {
		if hosts, unique, err = e.uniqueDomains(hosts); err != nil {
			return nil, unique, err
		}
	}
	fragments := make([]*resource.Fragment, len(hosts))
	for i := range hosts {
		fragments[i] = &hosts[i].Fragment
	}
	return e.pool.One(resource.NewFromFragments(resource.Routes, name, head, fragments)), unique, nil
}

// uniqueDomains leaves each domain with its owner, once, and tells whether all were so. Envoy would refuse the whole
// configuration, and to it the case of a domain means nothing.
func (e *encoder) uniqueDomains(hosts []hostField) (out []hostField, unique bool, err error) {
	owners := ownersOf(hosts)
	unique, out = true, make([]hostField, 0, len(hosts))
	for i, h := range hosts {
		domains := make([]string, 0, len(h.value.Domains))
		for _, d := range h.value.Domains {
			key := strings.ToLower(d)
			if owner, left := owners[key]; left && owner == i {
				delete(owners, key)
				domains = append(domains, d)
			}
		}
		if len(domains) < len(h.value.Domains) {
			unique = false
			value := *h.value
			value.Domains, value.Aliases = domains, 0
			if h.message != nil {
				h.encodedHost, err = prunedHost(h.message, &value)
			} else if len(domains) > 0 {
				h.encodedHost, err = e.virtualHost(&value)
			}
		}
		if err != nil {
			return nil, false, err
		}
		if len(domains) > 0 {
			out = append(out, h)
		}
	}
	return out, unique, nil
}

// forbidden reports a resource that came out as Envoy's API forbids it.
func forbidden(t resource.Type, name string, err error) model.Problem {
	return model.Problem{
		Object: model.Key{Kind: model.KindResource, Name: t.String() + " " + name}, Severity: model.SeverityError, Reason: model.ReasonInvalid,
		Message: fmt.Sprintf("is what Envoy's API forbids, so its former version stays: %v", err),
	}
}
