package push

import (
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/endpoint"
	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// encoder turns ir values into resources, equal ones into the same.
type encoder struct {
	*pools
	memos [NumTypes]*memo[Resource]
	hosts *memo[virtualHost]

	mu          sync.Mutex
	assignments map[assignmentKey]*Resource // of the present snapshot
}

// assignmentKey is what decides about a load assignment in one snapshot: the cluster, by identity,
// and what endpoints show to a class.
type assignmentKey struct {
	cluster    *ir.Cluster
	ipv4, ipv6 bool
	clusterID  string
	locality   model.Locality
}

// virtualHost is one virtual host as a field of a marshalled route configuration.
type virtualHost struct {
	value *ir.VirtualHost
	field []byte
}

// fieldVirtualHosts is virtual_hosts of envoy.config.route.v3.RouteConfiguration.
const fieldVirtualHosts = 2

func newEncoder() *encoder {
	e := &encoder{pools: newPools(), hosts: newMemo[virtualHost]()}
	for t := range e.memos {
		e.memos[t] = newMemo[Resource]()
	}
	e.advance()
	return e
}

// apart gives an encoder for another use of the present snapshot or a former one. It has the same
// memory of what equal values come to, since that follows from the values alone.
func (e *encoder) apart() *encoder {
	out := &encoder{pools: e.pools, memos: e.memos, hosts: e.hosts}
	out.advance()
	return out
}

func (e *encoder) resource(t Type, name string, value any, message func() proto.Message) (*Resource, error) {
	r, _, err := e.encode(t, name, "", value, message)
	return r, err
}

// encode gives the resource of a value, and the equal value that it was made from. Where resources
// of one name are many, variant narrows the search for it.
func (e *encoder) encode(t Type, name, variant string, value any, message func() proto.Message) (*Resource, any, error) {
	return e.memos[t].get(memoKey{name, variant}, value, func() (*Resource, error) {
		r, err := encode(Message{t, name, message()})
		if err != nil {
			return nil, err
		}
		return e.resources.one(r), nil
	})
}

// cluster gives with the resource the equal value that is shared.
func (e *encoder) cluster(cl *ir.Cluster) (*Resource, *ir.Cluster, error) {
	r, shared, err := e.encode(Clusters, cl.Name, "", cl, func() proto.Message { return envoy.Cluster(cl) })
	if err != nil {
		return nil, cl, err
	}
	return r, shared.(*ir.Cluster), nil
}

func (e *encoder) listener(l *ir.Listener) (*Resource, error) {
	return e.resource(Listeners, l.Name, l, func() proto.Message { return envoy.Listener(l) })
}

// assignment gives the load assignment of a cluster that is shared.
func (e *encoder) assignment(r resolve.Reader, c *resolve.Class, cl *ir.Cluster) (*Resource, error) {
	key := assignmentKey{cl, c.IPv4, c.IPv6, c.ClusterID, c.Locality}
	e.mu.Lock()
	known := e.assignments[key]
	e.mu.Unlock()
	if known != nil {
		return known, nil
	}
	a := endpoint.Assignment(r, c, cl)
	made, err := e.resource(Endpoints, a.Cluster, a, func() proto.Message { return envoy.LoadAssignment(a) })
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.assignments[key] = made
	e.mu.Unlock()
	return made, nil
}

// advance forgets what followed from the former snapshot alone.
func (e *encoder) advance() { e.assignments = map[assignmentKey]*Resource{} }

func (e *encoder) nameTable(t *ir.NameTable) (*Resource, error) {
	return e.resource(NameTables, NameTableName, t, func() proto.Message { return envoy.NameTable(t) })
}

func (e *encoder) virtualHost(vh *ir.VirtualHost) (*virtualHost, error) {
	out, _, err := e.hosts.get(memoKey{name: vh.Name}, vh, func() (*virtualHost, error) {
		m := envoy.VirtualHost(vh)
		if err := m.ValidateAll(); err != nil {
			return nil, err
		}
		value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return nil, err
		}
		field := protowire.AppendTag(nil, fieldVirtualHosts, protowire.BytesType)
		return &virtualHost{vh, protowire.AppendBytes(field, value)}, nil
	})
	return out, err
}

// routes puts marshalled virtual hosts together, which were checked one by one.
func (e *encoder) routes(name string, hosts []*virtualHost) (*Resource, error) {
	head, err := proto.MarshalOptions{Deterministic: true}.Marshal(envoy.RouteConfig(&ir.RouteConfig{Name: name}))
	if err != nil {
		return nil, err
	}
	size := 0
	for _, h := range hosts {
		size += len(h.field)
	}
	r := &Resource{Type: Routes, Name: name}
	if size > largeResource {
		r.finishRope(head, hosts)
	} else {
		for _, h := range hosts {
			head = append(head, h.field...)
		}
		r.finish(head)
	}
	return e.resources.one(r), nil
}
