package traffic

import (
	"maps"
	"slices"
	"testing"
)

// traps are what a naive clone of Istio gets wrong, each with the cases that are about it.
func traps() map[string][]string {
	return map[string][]string{
		"gateways concatenate the routes of VirtualServices, catch-alls last":         {"gateway_http", "order_at_a_gateway"},
		"sidecars do not merge VirtualServices: private, exported by name, public":    {"vs_precedence_sidecar"},
		"the most specific wildcard wins, and port 80 takes hosts of no service":      {"vs_wildcards"},
		"sourceLabels, sourceNamespace and gateways are about the proxy":              {"source_conditions", "sources_of_a_sidecar", "no_rule_for_this_client", "sources_at_a_gateway_elsewhere"},
		"what follows a catch-all is never reached":                                   {"catch_all"},
		"a destination without port, or that nobody knows":                            {"destination_ports"},
		"a delegate's match lies within the root's, or the route vanishes":            {"delegates"},
		"short names follow the configuration's namespace, domains the client's":      {"short_names", "absolute_names"},
		"exportTo: * before all, then ~; Services have an annotation":                 {"export_to", "serviceentry_export"},
		"duplicate hosts: own namespace, then Services, then the oldest":              {"serviceentry_shadows_a_service"},
		"Sidecar: selector before namespace before root":                              {"sidecar_scopes", "hosts_that_are_not_imported"},
		"egress listeners with a port lock it, ~ takes hosts out":                     {"sidecar_egress_listeners"},
		"gateways ignore Sidecar objects":                                             {"sidecar_at_a_gateway"},
		"DestinationRule: client's namespace, service's, root; no inheritance":        {"destinationrule_lookup"},
		"rules of one host merge subsets only":                                        {"subsets"},
		"port-level settings replace everything":                                      {"destinationrule_port_level"},
		"workloadSelector of a DestinationRule is private":                            {"destinationrule_workload_selector"},
		"defaultTrafficPolicy fills blocks that are not set":                          {"default_traffic_policy"},
		"gateway conflicts: TCP on a taken port, a TLS host twice, targetPort":        {"gateway_conflicts"},
		"a VirtualService binds where hosts intersect, by ns/host":                    {"gateway_http", "names_of_gateways"},
		"ServiceEntry resolutions":                                                    {"serviceentry_none", "serviceentry_static", "serviceentry_dns", "dynamic_dns", "dynamic_dns_at_a_gateway"},
		"a CIDR address is a chain of the wildcard listener":                          {"serviceentry_addresses"},
		"addresses are allocated where DNS is captured only":                          {"serviceentry_allocated"},
		"appProtocol before the port's name; sniffing, but not of server-first":       {"protocol_selection"},
		"HTTP on a wildcard address still carries TCP":                                {"protocol_selection", "udp_and_tcp"},
		"retries by default twice and not on 503; no timeout":                         {"retries"},
		"ALLOW_ANY, REGISTRY_ONLY and ALLOW_ANY_DYNAMIC_DNS":                          {"unknown_destinations", "registry_only", "allow_any_dynamic_dns"},
		"headless: listeners by pod, HTTP shares the wildcard":                        {"headless"},
		"headless: no mutual TLS if any endpoint has no sidecar":                      {"headless_without_sidecars"},
		"failover needs outlier detection; distribute excludes it; failoverPriority":  {"locality", "locality_distribute"},
		"Services select WorkloadEntries, ServiceEntries select Pods":                 {"workloads"},
		"ExternalName, and other fields of Services":                                  {"service_fields"},
		"PeerAuthentication by scope and container port; a DestinationRule overrides": {"inbound_strict", "inbound_disabled", "auto_mtls"},
		"EnvoyFilter: priority, root namespace, age; a match of nothing":              {"envoyfilter_order", "envoyfilter"},
	}
}

// Each trap has a case.
func TestTraps(t *testing.T) {
	known := map[string]bool{}
	for _, c := range cases(t) {
		known[c.Name] = len(c.Calls) > 0
	}
	for _, trap := range slices.Sorted(maps.Keys(traps())) {
		for _, name := range traps()[trap] {
			if !known[name] {
				t.Errorf("%s: there is no case %s with calls", trap, name)
			}
		}
	}
}
