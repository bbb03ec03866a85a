package store

import (
	"cmp"
	"slices"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Reader answers the questions of translation from one snapshot. It records every row that an answer
// follows from, also where the row is absent. The mesh's own configuration is not recorded: a commit that
// changes it is a full one.
type Reader struct {
	s      *Snapshot
	record func(Row)
}

// Mesh gives the defaulted mesh configuration, never nil.
func (r Reader) Mesh() *meshconfig.MeshConfig { return r.s.mesh }

// Domain gives the cluster's DNS suffix, e.g. cluster.local.
func (r Reader) Domain() string { return r.s.domain }

// Cluster gives the name by which proxies know the control plane's own cluster, e.g. Kubernetes.
func (r Reader) Cluster() string { return r.s.cluster }

// Remote tells whether a name is that of another cluster than the control plane's own, of which there is a source. It
// is not recorded, since it lasts as long as the process.
func (r Reader) Remote(cluster string) bool { return slices.Contains(r.s.remote, cluster) }

// Variable gives a variable of the control plane's environment, "" for one that is not set, and whether the
// environment is known. Only what the mesh's configuration names may be asked for, and the value is a secret. It
// is not recorded, since it lasts as long as the process.
func (r Reader) Variable(name string) (value string, known bool) {
	if r.s.environment == nil {
		return "", false
	}
	return r.s.environment(name), true
}

// Note records that an answer follows from a fact about the class itself, see resolve.Class.Facts.
func (r Reader) Note(fact string) { r.record(FactRow(fact)) }

// Record records rows that were read elsewhere.
func (r Reader) Record(rows []Row) {
	for _, row := range rows {
		r.record(row)
	}
}

// With gives a reader of the same snapshot that records elsewhere.
func (r Reader) With(record func(Row)) Reader { return Reader{r.s, record} }

// FactRow is the row that stands for a fact about a class, of which the store knows nothing.
func FactRow(fact string) Row { return Row{tableFacts, Place{Name: fact}} }

// IsFact tells whether a row is a FactRow.
func IsFact(row Row) bool { return row.Table == tableFacts }

const tableFacts = "facts about a class"

// List gives what an index has at a place, model.Older first.
func (r Reader) List(table string, at Place) []*model.Object {
	return r.s.indexes[table].lists.read(r, at)
}

// Names gives the names that an index has at a place whose own name is empty, sorted.
func (r Reader) Names(table string, at Place) []string { return r.s.indexes[table].names.read(r, at) }

// Object gives an object of one of the kinds that have names, or nil.
func (r Reader) Object(k model.Key) *model.Object { return r.s.objects[k.Kind].read(r, rowOf(k)) }

// Pod gives a Pod object of a cluster, or nil.
func (r Reader) Pod(cluster, namespace, name string) *model.Object {
	return r.Object(model.Key{Kind: model.KindPod, Namespace: namespace, Name: name, Cluster: cluster})
}

// PodsAt gives the Pod objects of a cluster that have an address, sorted by key.
func (r Reader) PodsAt(cluster, address string) []*model.Object {
	var out []*model.Object
	for _, k := range r.s.podsAt.read(r, clusterAddress(cluster, address)) {
		if k.Kind == model.KindPod {
			out = append(out, r.Object(k))
		}
	}
	return out
}

// Services gives what is visible from a namespace, one service a hostname, sorted by hostname.
func (r Reader) Services(namespace string) []*model.Service {
	own := r.s.services.list.lists.read(r, Place{Client: namespace})
	byHost := func(a, b *model.Service) int { return cmp.Compare(a.Hostname, b.Hostname) }
	return replaceRows(r.s.services.list.lists.read(r, Place{}), own, own, byHost)
}

// HasDynamicServices tells whether proxies resolve the hosts of some of the Services as they are asked for.
func (r Reader) HasDynamicServices(namespace string) bool {
	return r.hasServices(namespace, dynamicHosts)
}

// HasServicesByNode tells whether the endpoints of some of the Services depend on the client's node.
func (r Reader) HasServicesByNode(namespace string) bool {
	return r.hasServices(namespace, endpointsByNode)
}

// HasLocatedNames tells whether proxies resolve the names of some endpoints that may say where they are.
func (r Reader) HasLocatedNames(namespace string) bool {
	return r.hasServices(namespace, locatedNames)
}

func (r Reader) hasServices(namespace, list string) bool {
	public := r.s.services.list.lists.read(r, Place{Name: list})
	return len(public)+len(r.s.services.list.lists.read(r, Place{Client: namespace, Name: list})) > 0
}

// Service gives the one that Services would hold for the hostname, or nil.
func (r Reader) Service(namespace, hostname string) *model.Service {
	if svc := r.s.services.visible.read(r, Place{Client: namespace, Name: hostname}); svc != nil {
		return svc
	}
	return r.s.services.visible.read(r, Place{Name: hostname})
}

// ServicesNamed gives the services of a hostname that a client may see, one a namespace. The first is the one that counts
// unless the client asks for another.
func (r Reader) ServicesNamed(client, hostname string) []*model.Service {
	return visibleTo(r.s.services.merged.read(r, Place{Name: hostname}), client)
}

// ServiceHostsIn gives the hostnames of the services that live in a namespace, whoever sees them, sorted.
func (r Reader) ServiceHostsIn(namespace string) []string {
	var out []string
	for _, svc := range r.s.services.inNamespace.lists.read(r, Place{Namespace: namespace}) {
		out = append(out, svc.Hostname)
	}
	return slices.Compact(out)
}

// ServicesSelecting gives the services of a namespace whose selector matches the labels, sorted
// by hostname.
func (r Reader) ServicesSelecting(cluster, namespace string, labels map[string]string) []*model.Service {
	var out []*model.Service
	for _, svc := range r.s.services.inNamespace.lists.read(r, Place{Namespace: namespace}) {
		if svc.Key.Cluster == cluster && model.Selects(svc.Selector, labels) {
			out = append(out, svc)
		}
	}
	return out
}

// Endpoints gives a service's endpoints of every health, sorted by port, address.
func (r Reader) Endpoints(service model.ServiceID) []model.Endpoint {
	return r.s.endpoints.read(r, Place{Namespace: service.Namespace, Name: service.Hostname})
}

// HasLongPeers tells whether some endpoint, of whatever cluster, has a proxy that may know the long form alone in which
// proxies say who they are.
func (r Reader) HasLongPeers() bool { return r.s.longPeers.read(r, Place{}) }

// VirtualServices gives what is exported to a client for a hostname: by the most specific of their
// hosts first, then those that only the client's namespace sees, those exported to it by name, those
// of everyone, each model.Older first.
func (r Reader) VirtualServices(client, hostname string) []*model.Object {
	return r.covering(tableVirtualServices, client, "", hostname, r.ranked)
}

// covering gives what an index has for a client and for everyone, put together by join: under a hostname, then under
// the wildcards that cover it, the most specific first.
func (r Reader) covering(table, client, namespace, hostname string, join func(table, client, namespace, name string) []*model.Object) []*model.Object {
	out := join(table, client, namespace, hostname)
	all := slices.Concat(r.Wildcards(table, Place{client, namespace, ""}), r.Wildcards(table, Place{Namespace: namespace}))
	slices.SortFunc(all, mostSpecific)
	for _, w := range slices.Compact(all) {
		if model.HostCovers(w, hostname) && w != hostname {
			out = slices.Concat(out, join(table, client, namespace, w))
		}
	}
	return out
}

// Wildcards gives those of the Names that begin with "*", the most specific first.
func (r Reader) Wildcards(table string, at Place) []string {
	return r.s.indexes[table].wildcards.read(r, at)
}

// names gives the names that an index has for a client and for everyone, sorted.
func (r Reader) names(table, client, namespace string) []string {
	all := slices.Concat(r.Names(table, Place{client, namespace, ""}), r.Names(table, Place{Namespace: namespace}))
	slices.Sort(all)
	return slices.Compact(all)
}

// ranked gives what an index has for a client and for everyone: what only a namespace sees before what is exported to
// it by name, and that before what everyone sees.
func (r Reader) ranked(table, client, namespace, name string) []*model.Object {
	own, public := r.List(table, Place{client, namespace, name}), r.List(table, Place{"", namespace, name})
	if len(own) == 0 {
		return public
	}
	rank := func(o *model.Object) int { return virtualServiceAudience(r.s.mesh, o).Rank(o.Namespace, client) }
	own = slices.Clone(own)
	slices.SortStableFunc(own, func(a, b *model.Object) int { return cmp.Compare(rank(a), rank(b)) })
	return append(own, public...)
}

// VirtualServiceHosts gives the hosts of all VirtualServices that are exported to a client, sorted.
func (r Reader) VirtualServiceHosts(client string) []string {
	return r.names(tableVirtualServices, client, "")
}

// VirtualServicesNaming gives those of the VirtualServices of which the hostname is one of the hosts itself.
func (r Reader) VirtualServicesNaming(client, hostname string) []*model.Object {
	return r.ranked(tableVirtualServices, client, "", hostname)
}

// VirtualServiceHostSets gives, as model.HostSet writes them, the hosts of each VirtualService that has several and is
// exported to a client, of those that route requests of sidecars, sorted.
func (r Reader) VirtualServiceHostSets(client string) []string {
	return r.names(tableHostSets, client, "")
}

// VirtualServicesIn gives those of a namespace that are exported to a client, model.Older first.
func (r Reader) VirtualServicesIn(namespace, client string) []*model.Object {
	return r.joined(tableVirtualServicesIn, client, namespace, "")
}

// joined gives what an index has for a client and for everyone, model.Older first.
func (r Reader) joined(table, client, namespace, name string) []*model.Object {
	return replaceRows(r.List(table, Place{"", namespace, name}), nil, r.List(table, Place{client, namespace, name}), model.Older)
}

// BoundHosts gives, as namespace/host, the hosts of the VirtualServices that name a gateway
// (namespace/name) and are exported to a client, sorted, with the namespace of their object.
func (r Reader) BoundHosts(client, gateway string) []string {
	return r.names(tableBoundVirtualServices, client, gateway)
}

// BoundVirtualServices gives the VirtualServices behind one of the BoundHosts, in the order of
// VirtualServices.
func (r Reader) BoundVirtualServices(client, gateway, host string) []*model.Object {
	return r.ranked(tableBoundVirtualServices, client, gateway, host)
}

// SourceLabels gives the sets of labels that matches of VirtualServices ask for, of those exported to a
// client, as model.LabelSet writes them, sorted.
func (r Reader) SourceLabels(client string) []string {
	return r.names(tableSourceLabels, client, "")
}

// RoutesByClaims tells whether a VirtualService for sidecars, exported to a client, asks for claims of tokens.
func (r Reader) RoutesByClaims(client string) bool {
	return len(r.List(tableClaims, Place{Client: client}))+len(r.List(tableClaims, Place{})) > 0
}

// DestinationRules gives the rules that live in configNamespace, are exported to client and match the
// hostname, the most specific host first, then model.Older first.
func (r Reader) DestinationRules(configNamespace, client, hostname string) []*model.Object {
	return r.covering(tableDestinationRules, client, configNamespace, hostname, r.joined)
}

// WorkloadDestinationRules gives a namespace's DestinationRules that have a workloadSelector,
// model.Older first.
func (r Reader) WorkloadDestinationRules(namespace string) []*model.Object {
	return r.List(tableWorkloadRules, Place{Namespace: namespace})
}

// DestinationSecrets gives the SDS names that the DestinationRules exported to a client need, sorted.
func (r Reader) DestinationSecrets(client string) []string {
	return r.names(tableDestinationSecrets, client, "")
}

// SecretDestinationRules gives the DestinationRules that need one of the DestinationSecrets, model.Older first.
func (r Reader) SecretDestinationRules(client, name string) []*model.Object {
	return r.joined(tableDestinationSecrets, client, "", name)
}

// FailoverLabels gives the labels of which failover priorities of DestinationRules take a proxy's own value, of
// those exported to a client, sorted.
func (r Reader) FailoverLabels(client string) []string {
	return r.names(tableFailoverLabels, client, "")
}

// Gateways gives all Gateway objects, model.Older first.
func (r Reader) Gateways() []*model.Object { return r.List(tableGateways, Place{}) }

// TrustBundle gives the roots that the certificate authority told of, nil before it did.
func (r Reader) TrustBundle() *model.TrustBundle {
	for _, o := range r.List(tableTrustBundles, Place{}) {
		return o.Spec.(*model.TrustBundle)
	}
	return nil
}

// Sidecars gives a namespace's Sidecar objects, model.Older first.
func (r Reader) Sidecars(namespace string) []*model.Object {
	return r.List(tableSidecars, Place{Namespace: namespace})
}

// Telemetries gives a namespace's objects, model.Older first.
func (r Reader) Telemetries(namespace string) []*model.Object {
	return r.List(tableTelemetries, Place{Namespace: namespace})
}

// TurnsMetricsOn tells whether some object, beside the root namespace's for all, turns on metrics at servers.
func (r Reader) TurnsMetricsOn() bool {
	return len(r.Names(tableMetricTelemetries, Place{})) > 0
}

// PeerAuthentications gives a namespace's objects, model.Older first.
func (r Reader) PeerAuthentications(namespace string) []*model.Object {
	return r.List(tablePeerAuthentications, Place{Namespace: namespace})
}

// AuthorizationPolicies gives those for all workloads of a namespace, model.Older first.
func (r Reader) AuthorizationPolicies(namespace string) []*model.Object {
	return r.List(tableAuthorization, Place{Namespace: namespace})
}

// WorkloadAuthorizationPolicies gives a namespace's policies for some workloads, model.Older first.
func (r Reader) WorkloadAuthorizationPolicies(namespace string) []*model.Object {
	return r.List(tableWorkloadAuthorization, Place{Namespace: namespace})
}

// RequestAuthentications gives those for all workloads of a namespace, model.Older first.
func (r Reader) RequestAuthentications(namespace string) []*model.Object {
	return r.List(tableAuthentication, Place{Namespace: namespace})
}

// WorkloadRequestAuthentications gives a namespace's policies for some workloads, model.Older first.
func (r Reader) WorkloadRequestAuthentications(namespace string) []*model.Object {
	return r.List(tableWorkloadAuthentication, Place{Namespace: namespace})
}

// KeySources gives the places that keys are fetched from: first the bundles of the mesh's configuration, so that no
// number of others keeps them out, then those of RequestAuthentications, sorted by name. Of the times that rules give
// a fetch the longest counts, and model.KeySetTimeout where none gives one.
func (r Reader) KeySources() []model.KeySetFetch {
	var out []model.KeySetFetch
	for _, ca := range r.Mesh().GetCaCertificates() {
		at := model.KeySetFetch{KeySetSource: model.KeySetSource{Bundle: ca.GetSpiffeBundleUrl()}, Timeout: model.KeySetTimeout}
		if at.Bundle != "" && !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	for _, name := range r.Names(tableKeySources, Place{}) {
		of, longest := model.ParseKeySetSource(name), time.Duration(0)
		for _, o := range r.List(tableKeySources, Place{Name: name}) {
			longest = max(longest, model.KeySetTimeoutOf(o.Spec.(*security.RequestAuthentication), of))
		}
		out = append(out, model.KeySetFetch{KeySetSource: of, Timeout: cmp.Or(longest, model.KeySetTimeout)})
	}
	return out
}

// Own gives the rows that a namespace has of its own, or sees otherwise than everyone: of the tables
// whose answers are for a client.
func (r Reader) Own(namespace string) []Row { return r.s.own.read(r, Place{Namespace: namespace}) }
