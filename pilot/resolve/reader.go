// Package resolve decides what a class of proxies should do: from a snapshot, read through a
// Reader, it computes ir values (listeners, routes, clusters, name table) and problems. It is
// pure: no protobuf of Envoy, no clock, no log, no I/O, and no order that a map decides.
package resolve

import (
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Reader is all that translation may see of a snapshot. Every answer is immutable, in an order
// that depends on nothing but the objects, and absent rows are nil; an implementation may record
// what was read. store.Snapshot implements it.
type Reader interface {
	// Mesh gives the defaulted mesh configuration, never nil.
	Mesh() *meshconfig.MeshConfig
	// Domain gives the cluster's DNS suffix, e.g. cluster.local.
	Domain() string
	// Namespace gives the Namespace object, or nil.
	Namespace(name string) *model.Object
	// Services gives what is visible from a namespace, one service a hostname (own namespace
	// first, then the oldest), sorted by hostname.
	Services(namespace string) []*model.Service
	// Service gives the one that Services would hold for the hostname, or nil.
	Service(namespace, hostname string) *model.Service
	// ServicesSelecting gives the services of a namespace whose selector matches the labels,
	// sorted by hostname.
	ServicesSelecting(namespace string, labels map[string]string) []*model.Service
	// Endpoints gives a service's endpoints of every health, sorted by port, address.
	Endpoints(service model.Key) []model.Endpoint
	// VirtualServices gives what is exported to a namespace, model.Older first.
	VirtualServices(namespace string) []*model.Object
	// DestinationRules gives those that live in configNamespace, are exported to clientNamespace
	// and whose host (short names resolved) matches the hostname, the most specific host first,
	// then model.Older first.
	DestinationRules(configNamespace, clientNamespace, hostname string) []*model.Object
	// WorkloadDestinationRules gives a namespace's DestinationRules that have a workloadSelector,
	// model.Older first.
	WorkloadDestinationRules(namespace string) []*model.Object
	// Gateways gives all Gateway objects, model.Older first.
	Gateways() []*model.Object
	// Sidecars gives a namespace's Sidecar objects, model.Older first.
	Sidecars(namespace string) []*model.Object
	// PeerAuthentications gives a namespace's objects, model.Older first.
	PeerAuthentications(namespace string) []*model.Object
	// Pod gives a Pod object, or nil.
	Pod(namespace, name string) *model.Object
}
