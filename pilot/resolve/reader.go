// Package resolve decides what a class of proxies should do. It reads a snapshot through a Reader, and
// computes ir values (listeners, routes, clusters, name table) and problems, one unit at a time. A Plan
// says which units there are, and each is a function of what it reads. It is pure: no protobuf of Envoy,
// no clock, no log, no I/O, and no order that a map decides.
package resolve

import (
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Reader is all that translation may see of a snapshot. Every answer is immutable, in an order
// that depends on nothing but the objects, and absent rows are nil; the implementation records
// what was read. A client is the namespace whose view it is. store.Reader implements it.
type Reader interface {
	// Mesh gives the defaulted mesh configuration, never nil.
	Mesh() *meshconfig.MeshConfig
	// Domain gives the cluster's DNS suffix, e.g. cluster.local.
	Domain() string
	// Variable gives a variable of the control plane's environment, "" for one that is not set, and whether the
	// environment is known. Only what the mesh's configuration names may be asked for. The value is a secret.
	Variable(name string) (value string, known bool)
	// Note records that an answer follows from a fact about the class itself, see Class.Facts.
	Note(fact string)
	// Object gives an object by its key, or nil, of the kinds that are found by name.
	Object(key model.Key) *model.Object
	// Pod gives a Pod object of a cluster, "" for the control plane's own, or nil.
	Pod(cluster, namespace, name string) *model.Object
	// PodsAt gives the Pod objects of a cluster that have an address, sorted by key.
	PodsAt(cluster, address string) []*model.Object
	// Services gives what a client sees, one service a hostname, sorted by hostname.
	Services(client string) []*model.Service
	// HasDynamicServices tells whether some of them are of model.ResolutionDynamicDNS.
	HasDynamicServices(client string) bool
	// HasServicesByNode tells whether the endpoints of some of them depend on the client's node.
	HasServicesByNode(client string) bool
	// ServicesIn gives those of them that live in a namespace.
	ServicesIn(namespace, client string) []*model.Service
	// Service gives the one that Services would hold for the hostname, or nil.
	Service(client, hostname string) *model.Service
	// AliasedHosts gives the hosts that Services of type ExternalName that a client sees stand for, sorted.
	AliasedHosts(client string) []string
	// Aliases gives the hosts of those that stand for a host, sorted.
	Aliases(client, host string) []string
	// AliasObjects gives those that stand for a host, model.Older first.
	AliasObjects(client, host string) []*model.Object
	// AliasTarget gives the host that one of them stands for; "" for a host that is no alias.
	AliasTarget(client, host string) string
	// ServicesSelecting gives the services of a namespace of a cluster whose selector matches the
	// labels, whoever sees them, sorted by hostname.
	ServicesSelecting(cluster, namespace string, labels map[string]string) []*model.Service
	// Endpoints gives a service's endpoints of every health, sorted by port, address.
	Endpoints(service model.ServiceID) []model.Endpoint
	// VirtualServices gives what a client sees for a hostname. The most specific of their hosts comes first,
	// then those that only the client's namespace sees, those exported to it by name, those of everyone,
	// each model.Older first.
	VirtualServices(client, hostname string) []*model.Object
	// VirtualServiceHosts gives the hosts of all that a client sees, completed, sorted.
	VirtualServiceHosts(client string) []string
	// VirtualServicesIn gives those that live in a namespace, of what a client sees, model.Older first.
	VirtualServicesIn(namespace, client string) []*model.Object
	// BoundHosts gives, as namespace/host, the hosts of those that name a gateway (namespace/name), with
	// the namespace of their object, sorted.
	BoundHosts(client, gateway string) []string
	// BoundVirtualServices gives those behind one of the BoundHosts, in the order of VirtualServices.
	BoundVirtualServices(client, gateway, host string) []*model.Object
	// SourceLabels gives the sets of labels that matches of VirtualServices ask for, of those that a
	// client sees, as model.LabelSet writes them, sorted.
	SourceLabels(client string) []string
	// RoutesByClaims tells whether a VirtualService for sidecars that a client sees asks for claims of tokens.
	RoutesByClaims(client string) bool
	// DestinationRules gives those that live in configNamespace, are exported to the client and whose
	// host matches the hostname, the most specific host first, then model.Older first.
	DestinationRules(configNamespace, client, hostname string) []*model.Object
	// WorkloadDestinationRules gives a namespace's DestinationRules that have a workloadSelector,
	// model.Older first.
	WorkloadDestinationRules(namespace string) []*model.Object
	// DestinationSecrets gives the SDS names that the DestinationRules exported to a client need, sorted.
	DestinationSecrets(client string) []string
	// Gateways gives all Gateway objects, model.Older first.
	Gateways() []*model.Object
	// TrustBundle gives the roots that the certificate authority told of, nil before it did.
	TrustBundle() *model.TrustBundle
	// Sidecars gives a namespace's Sidecar objects, model.Older first.
	Sidecars(namespace string) []*model.Object
	// EnvoyFilters gives those of a namespace with a patch of a model.PatchTarget, model.Older first;
	// HasEnvoyFilters tells whether it has any, and ConditionalEnvoyFilters gives those for some proxies only.
	EnvoyFilters(namespace, target string) []*model.Object
	HasEnvoyFilters(namespace string) bool
	ConditionalEnvoyFilters(namespace string) []*model.Object
	// PeerAuthentications gives a namespace's objects, model.Older first.
	PeerAuthentications(namespace string) []*model.Object
	// Telemetries gives a namespace's objects, model.Older first.
	Telemetries(namespace string) []*model.Object
	// TurnsMetricsOn tells whether some of all namespaces, beside the root namespace's for all, turns on metrics at servers.
	TurnsMetricsOn() bool
	// AuthorizationPolicies gives those for all workloads of a namespace, model.Older first, and
	// WorkloadAuthorizationPolicies those for some.
	AuthorizationPolicies(namespace string) []*model.Object
	WorkloadAuthorizationPolicies(namespace string) []*model.Object
	// RequestAuthentications and WorkloadRequestAuthentications do so.
	RequestAuthentications(namespace string) []*model.Object
	WorkloadRequestAuthentications(namespace string) []*model.Object
}
