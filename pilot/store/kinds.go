package store

import (
	"cmp"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Index declares a table of the objects of a kind by what they say of themselves. To add one is all
// that the store needs for a new kind; which units are computed again when a list changes follows from
// who read it.
type Index struct {
	Kind model.Kind
	Name string // of the table
	// Keys gives where an object is listed.
	Keys func(s *Settings, o *model.Object) []Place
	// Names lists the names in use, and Wildcards those of them that begin with "*". Own tells that lists may be
	// particular to a namespace, which then counts them among its own: to a client, or, where everyone is one, to
	// where the object lives.
	Names, Wildcards, Own bool
}

// Settings are what of the mesh decides where objects are listed.
type Settings struct {
	Mesh   *meshconfig.MeshConfig
	Domain string
}

// The names of the tables of objects.
const (
	tableSidecars               = "sidecars"
	tablePeerAuthentications    = "peer authentications"
	tableTelemetries            = "telemetries"
	tableMetricTelemetries      = "telemetries that turn metrics on"
	tableGateways               = "gateways"
	tableVirtualServices        = "virtual services"
	tableVirtualServicesIn      = "virtual services of a namespace"
	tableBoundVirtualServices   = "virtual services of a gateway"
	tableSourceLabels           = "source labels"
	tableClaims                 = "virtual services by claims"
	tableHostSets               = "virtual services of several hosts"
	tableDestinationRules       = "destination rules"
	tableWorkloadRules          = "destination rules of workloads"
	tableDestinationSecrets     = "secrets of destination rules"
	tableFailoverLabels         = "labels of failover priorities"
	tableAuthentication         = "request authentications"
	tableWorkloadAuthentication = "request authentications of workloads"
	tableKeySources             = "sources of keys"
	tableAuthorization          = "authorization policies"
	tableWorkloadAuthorization  = "authorization policies of workloads"
	tableTrustBundles           = "trust bundles"
	tableAliases                = "aliases of a host"
	tableAliasTargets           = "targets of aliases"
	tableProxyConfigs           = "proxy configs"
)

// indexes declares the tables of the kinds that the control plane translates.
func indexes() []Index {
	return []Index{
		{Kind: model.KindService, Name: tableAliases, Keys: aliasedHost, Names: true, Own: true},
		{Kind: model.KindService, Name: tableAliasTargets, Keys: aliasHost, Own: true},
		{Kind: model.KindSidecar, Name: tableSidecars, Keys: byNamespace},
		{Kind: model.KindPeerAuthentication, Name: tablePeerAuthentications, Keys: byNamespace},
		{Kind: model.KindTelemetry, Name: tableTelemetries, Keys: byNamespace, Own: true},
		{Kind: model.KindTelemetry, Name: tableMetricTelemetries, Keys: metricTelemetries, Names: true},
		{Kind: model.KindRequestAuthentication, Name: tableAuthentication, Keys: ofNamespaces, Own: true},
		{Kind: model.KindRequestAuthentication, Name: tableWorkloadAuthentication, Keys: ofWorkloads},
		{Kind: model.KindRequestAuthentication, Name: tableKeySources, Keys: keySources, Names: true},
		{Kind: model.KindAuthorizationPolicy, Name: tableAuthorization, Keys: ofNamespaces},
		{Kind: model.KindAuthorizationPolicy, Name: tableWorkloadAuthorization, Keys: ofWorkloads},
		{Kind: model.KindGateway, Name: tableGateways, Keys: inOneList},
		{Kind: model.KindProxyConfig, Name: tableProxyConfigs, Keys: inOneList},
		{Kind: model.KindTrustBundle, Name: tableTrustBundles, Keys: inOneList},
		{Kind: model.KindVirtualService, Name: tableVirtualServices, Keys: virtualServiceHosts, Names: true, Wildcards: true, Own: true},
		{Kind: model.KindVirtualService, Name: tableVirtualServicesIn, Keys: virtualServiceNamespace},
		{Kind: model.KindVirtualService, Name: tableBoundVirtualServices, Keys: virtualServiceGateways, Names: true},
		{Kind: model.KindVirtualService, Name: tableSourceLabels, Keys: virtualServiceLabels, Names: true},
		{Kind: model.KindVirtualService, Name: tableClaims, Keys: virtualServiceClaims, Own: true},
		{Kind: model.KindVirtualService, Name: tableHostSets, Keys: virtualServiceHostSet, Names: true, Own: true},
		{Kind: model.KindDestinationRule, Name: tableDestinationRules, Keys: destinationRuleHost, Wildcards: true, Own: true},
		{Kind: model.KindDestinationRule, Name: tableWorkloadRules, Keys: workloadRules},
		{Kind: model.KindEnvoyFilter, Name: tablePatches, Keys: patchTargets, Own: true},
		{Kind: model.KindEnvoyFilter, Name: tablePatched, Keys: patchedNamespace, Names: true},
		{Kind: model.KindEnvoyFilter, Name: tableConditional, Keys: conditionalPatches},
		{Kind: model.KindDestinationRule, Name: tableDestinationSecrets, Keys: destinationSecrets, Names: true},
		{Kind: model.KindDestinationRule, Name: tableFailoverLabels, Keys: failoverLabels, Names: true},
	}
}

func inOneList(*Settings, *model.Object) []Place { return []Place{{}} }

// ofNamespaces lists policies for all workloads of a namespace, ofWorkloads those for some of them.
func ofNamespaces(_ *Settings, o *model.Object) []Place {
	return inNamespaceIf(!model.PolicyTargetOf(o.Spec).Some(), o)
}

func ofWorkloads(_ *Settings, o *model.Object) []Place {
	return inNamespaceIf(model.PolicyTargetOf(o.Spec).Some(), o)
}

func inNamespaceIf(listed bool, o *model.Object) []Place {
	if !listed {
		return nil
	}
	return []Place{{Namespace: o.Namespace}}
}

// keySources lists a RequestAuthentication by each place that its keys are fetched from.
func keySources(_ *Settings, o *model.Object) []Place {
	var names []string
	for _, rule := range o.Spec.(*security.RequestAuthentication).GetJwtRules() {
		if source, ok := model.KeySetSourceOf(rule); ok {
			names = append(names, source.Name())
		}
	}
	return named(names)
}

// metricTelemetries lists the Telemetry objects that turn on metrics at servers which the root namespace's may have
// turned off for all. They have one name, so that it alone tells whether there is one.
func metricTelemetries(s *Settings, o *model.Object) []Place {
	if o.Namespace == cmp.Or(s.Mesh.GetRootNamespace(), model.RootNamespace) && !model.PolicyTargetOf(o.Spec).Some() {
		return nil
	}
	for _, m := range o.Spec.(*telemetryapi.Telemetry).GetMetrics() {
		for _, override := range m.GetOverrides() {
			off := override.GetDisabled()
			if off != nil && !off.GetValue() && override.GetMatch().GetMode() != telemetryapi.WorkloadMode_CLIENT {
				return []Place{{Name: "on"}}
			}
		}
	}
	return nil
}

func byNamespace(_ *Settings, o *model.Object) []Place { return inNamespaceIf(true, o) }

// named gives a place for each of some names, which it sorts.
func named(names []string) []Place {
	var places []Place
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		places = append(places, Place{Name: name})
	}
	return places
}

// forAudience gives the places that everyone, or each of the namespaces, sees.
func forAudience(a model.Audience, places ...Place) []Place {
	if a.Everyone {
		return places
	}
	out := make([]Place, 0, len(places)*len(a.Namespaces))
	for _, ns := range a.Namespaces {
		for _, p := range places {
			p.Client = ns
			out = append(out, p)
		}
	}
	return out
}

func virtualServiceAudience(mesh *meshconfig.MeshConfig, o *model.Object) model.Audience {
	return model.VirtualServiceAudience(mesh, o.Spec.(*networking.VirtualService), o.Namespace)
}

func destinationRuleAudience(s *Settings, o *model.Object) model.Audience {
	rule := o.Spec.(*networking.DestinationRule)
	if rule.GetWorkloadSelector() != nil { // such a rule is private
		return model.Audience{Namespaces: []string{o.Namespace}}
	}
	return model.ExportTo(rule.GetExportTo(), s.Mesh.GetDefaultDestinationRuleExportTo(), o.Namespace)
}

// hosts gives the hosts of a VirtualService, completed.
func (s *Settings) hosts(o *model.Object) []string {
	var out []string
	for _, host := range o.Spec.(*networking.VirtualService).GetHosts() {
		out = append(out, model.ResolveHost(host, o.Namespace, s.Domain))
	}
	return out
}

func virtualServiceHosts(s *Settings, o *model.Object) []Place {
	return forAudience(virtualServiceAudience(s.Mesh, o), named(s.hosts(o))...)
}

func virtualServiceNamespace(s *Settings, o *model.Object) []Place {
	return forAudience(virtualServiceAudience(s.Mesh, o), Place{Namespace: o.Namespace})
}

// virtualServiceGateways lists a VirtualService by each gateway that it names, under namespace/host.
func virtualServiceGateways(s *Settings, o *model.Object) []Place {
	var gateways []string
	for _, g := range o.Spec.(*networking.VirtualService).GetGateways() {
		if g != model.MeshGateway {
			gateways = append(gateways, model.GatewayName(g, o.Namespace))
		}
	}
	var places []Place
	for _, g := range named(gateways) {
		for _, host := range named(s.hosts(o)) {
			places = append(places, Place{Namespace: g.Name, Name: o.Namespace + "/" + host.Name})
		}
	}
	return forAudience(virtualServiceAudience(s.Mesh, o), places...)
}

// virtualServiceLabels lists a VirtualService by each set of sourceLabels in its matches.
func virtualServiceLabels(s *Settings, o *model.Object) []Place {
	var sets []string
	model.EachMatch(o.Spec.(*networking.VirtualService), func(_ model.MatchPlace, m model.Match) {
		if labels := m.GetSourceLabels(); len(labels) > 0 {
			sets = append(sets, model.LabelSet(labels))
		}
	})
	return forReaders(s, o, named(sets)...)
}

// virtualServiceClaims lists a VirtualService that routes what sidecars send by claims.
func virtualServiceClaims(s *Settings, o *model.Object) []Place {
	vs := o.Spec.(*networking.VirtualService)
	if claim, _ := model.FirstClaim(vs); claim == "" || !model.BoundToMesh(vs.GetGateways()) {
		return nil
	}
	return forReaders(s, o, Place{})
}

// virtualServiceHostSet lists a VirtualService that routes requests of sidecars by its hosts, if there are several.
func virtualServiceHostSet(s *Settings, o *model.Object) []Place {
	vs := o.Spec.(*networking.VirtualService)
	if len(vs.GetHosts()) < 2 || len(vs.GetHttp()) == 0 || !model.BoundToMesh(vs.GetGateways()) {
		return nil
	}
	return forAudience(virtualServiceAudience(s.Mesh, o), Place{Name: model.HostSet(o.Key, s.hosts(o))})
}

// forReaders gives the places for the audience of a VirtualService. A delegate counts for whoever sees what delegates to
// it.
func forReaders(s *Settings, o *model.Object, places ...Place) []Place {
	if len(o.Spec.(*networking.VirtualService).GetHosts()) == 0 {
		return places
	}
	return forAudience(virtualServiceAudience(s.Mesh, o), places...)
}

func destinationRuleHost(s *Settings, o *model.Object) []Place {
	host := model.ResolveHost(o.Spec.(*networking.DestinationRule).GetHost(), o.Namespace, s.Domain)
	return forAudience(destinationRuleAudience(s, o), Place{Namespace: o.Namespace, Name: host})
}

func workloadRules(_ *Settings, o *model.Object) []Place {
	return inNamespaceIf(o.Spec.(*networking.DestinationRule).GetWorkloadSelector() != nil, o)
}

// destinationSecrets lists a DestinationRule by each secret that its settings need.
func destinationSecrets(s *Settings, o *model.Object) []Place {
	return forAudience(destinationRuleAudience(s, o), named(model.DestinationSecrets(o.Spec.(*networking.DestinationRule)))...)
}

// failoverLabels lists a DestinationRule by each label of which its failover priorities take a proxy's own value.
func failoverLabels(s *Settings, o *model.Object) []Place {
	return forAudience(destinationRuleAudience(s, o), named(model.RuleFailoverLabels(o.Spec.(*networking.DestinationRule)))...)
}
