// Package resource holds what goes over the wire: marshalled resources with their versions, sets of
// them, and sets of names. All of it is immutable and shared by everyone who has the same, so that a
// resource is marshalled, hashed and put together once for the whole mesh. It knows Envoy's types and
// nothing of how resources come about.
//
// Glossary:
//
//	resource   one message of a type under a name, marshalled and framed for a response
//	version    a hash of a resource's bytes; equal bytes have equal versions
//	set        the resources of one type that somebody should have, by name, perhaps over a base
//	block      a run of resources of a set that are sent together
//	lookup     what a set has for the names of a subscription
//	claims     the versions that a reconnecting client says it holds
//	part       what one object gives to a resource that many share: a virtual host, a filter chain
//	quarantine what stands in a part's place and denies as much
//	fragment   a marshalled field that several resources have in common
//	rope       a large resource that is put together from fragments when it is sent
package resource

import (
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/proto/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/proto/nds"
)

// Type is a type of resource, in the order in which responses are sent.
type Type uint8

// The types that this control plane serves.
const (
	Clusters Type = iota
	Endpoints
	Listeners
	Routes
	Secrets
	NameTables
	TrustBundles
	BootstrapPatches
	// NumTypes is how many there are.
	NumTypes
)

// NameTableName is the name of the only resource of type NameTables.
const NameTableName = "nametable"

// TrustBundleName is the name of the only resource of type TrustBundles.
const TrustBundleName = "trustbundle"

// BootstrapPatchesName is the name of the only resource of type BootstrapPatches.
const BootstrapPatchesName = "bootstrap"

// types are the names of the types that metrics and tools use, and their messages.
var types = [NumTypes]struct {
	name    string
	message proto.Message
}{
	Clusters:         {"cds", &clusterv3.Cluster{}},
	Endpoints:        {"eds", &endpointv3.ClusterLoadAssignment{}},
	Listeners:        {"lds", &listenerv3.Listener{}},
	Routes:           {"rds", &routev3.RouteConfiguration{}},
	Secrets:          {"sds", &tlsv3.Secret{}},
	NameTables:       {"nds", &nds.NameTable{}},
	TrustBundles:     {"pcds", &meshconfig.ProxyConfig{}},
	BootstrapPatches: {"bootstrap", &bootstrap.Patches{}},
}

var typeURLs = func() (out [NumTypes]string) {
	for t := range types {
		out[t] = "type.googleapis.com/" + string(types[t].message.ProtoReflect().Descriptor().FullName())
	}
	return out
}()

// URL gives the type URL.
func (t Type) URL() string { return typeURLs[t] }

// String gives the short name that metrics and tools use, e.g. "cds".
func (t Type) String() string { return types[t].name }

// ByURL finds a type by its URL.
func ByURL(url string) (_ Type, ok bool) {
	at := slices.Index(typeURLs[:], url)
	return Type(max(at, 0)), at >= 0
}

// Private tells that nobody may see a resource of the type but who it is for: it is in no pool that
// others look into, and decoded without what is secret.
func (t Type) Private() bool { return t == Secrets }

// New gives an empty message of the type.
func (t Type) New() proto.Message { return types[t].message.ProtoReflect().New().Interface() }

// Empty gives the resource that answers for a name that a set lacks, so that whoever waits
// for it stops waiting: a load assignment without hosts, a route configuration without routes.
// Other types have none; ok is then false.
func (t Type) Empty(name string) (r *Resource, ok bool) {
	var m proto.Message
	switch t {
	case Endpoints:
		m = &endpointv3.ClusterLoadAssignment{ClusterName: name}
	case Routes:
		m = &routev3.RouteConfiguration{Name: name}
	default:
		return nil, false
	}
	r, err := New(t, name, m)
	return r, err == nil
}
