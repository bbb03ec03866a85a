package traffic

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// traps are what a naive clone of Istio gets wrong, each with the cases that are about it: of this package by their
// names, of test/translate as policies/NAME and pairs/NAME, which are calls as well, and tests as DIRECTORY:NAME.
func traps() map[string][]string {
	return map[string][]string{
		"gateways concatenate the routes of VirtualServices, catch-alls last":          {"gateway_http", "order_at_a_gateway", "order_of_one_age", "no_rule_at_a_gateway"},
		"sidecars do not merge VirtualServices: private, exported by name, public":     {"vs_precedence_sidecar", "export_to_several"},
		"the most specific wildcard wins, and port 80 takes hosts of no service":       {"vs_wildcards", "vs_services_of_other_ports"},
		"sourceLabels, sourceNamespace and gateways are about the proxy":               {"source_conditions", "sources_of_a_sidecar", "no_rule_for_this_client", "sources_at_a_gateway_elsewhere"},
		"what follows a catch-all is never reached":                                    {"catch_all"},
		"a destination without port, or that nobody knows":                             {"destination_ports"},
		"a delegate's match lies within the root's, or the route vanishes":             {"delegates", "delegates_of_a_namespace"},
		"short names follow the configuration's namespace, domains the client's":       {"short_names", "absolute_names"},
		"exportTo: * before all, then ~; Services have an annotation":                  {"export_to", "serviceentry_export", "serviceentry_visibility"},
		"on a taken address and port the oldest service stays":                         {"listener_claims"},
		"duplicate hosts: own namespace, then Services, then the oldest":               {"serviceentry_shadows_a_service"},
		"Sidecar: selector before namespace before root":                               {"sidecar_scopes", "hosts_that_are_not_imported", "sidecar_destinations"},
		"egress listeners with a port lock it, ~ takes hosts out":                      {"sidecar_egress_listeners", "sidecar_http_proxy"},
		"gateways ignore Sidecar objects":                                              {"sidecar_at_a_gateway"},
		"DestinationRule: client's namespace, service's, root; no inheritance":         {"destinationrule_lookup", "destinationrule_root_client"},
		"rules of one host merge subsets only":                                         {"subsets"},
		"port-level settings replace everything":                                       {"destinationrule_port_level"},
		"workloadSelector of a DestinationRule is private":                             {"destinationrule_workload_selector"},
		"defaultTrafficPolicy fills blocks that are not set":                           {"default_traffic_policy"},
		"gateway conflicts: TCP on a taken port, a TLS host twice, targetPort":         {"gateway_conflicts"},
		"a VirtualService binds where hosts intersect, by ns/host":                     {"gateway_http", "names_of_gateways"},
		"ServiceEntry resolutions":                                                     {"serviceentry_none", "serviceentry_none_undeclared", "serviceentry_static", "serviceentry_dns", "dynamic_dns", "dynamic_dns_at_a_gateway"},
		"a CIDR address is a chain of the wildcard listener":                           {"serviceentry_addresses"},
		"addresses are allocated where DNS is captured only":                           {"serviceentry_allocated"},
		"appProtocol before the port's name; sniffing, but not of server-first":        {"protocol_selection"},
		"databases are bytes, and nobody waits for a server that speaks first":         {"protocol_mongo", "protocol_redis", "protocol_mysql", "test/translate:TestDatabasesBetweenEnvoys"},
		"HTTP on a wildcard address still carries TCP":                                 {"protocol_selection", "udp_and_tcp"},
		"retries by default twice and not on 503; no timeout":                          {"retries"},
		"ALLOW_ANY, REGISTRY_ONLY and ALLOW_ANY_DYNAMIC_DNS":                           {"unknown_destinations", "registry_only", "allow_any_dynamic_dns"},
		"headless: listeners by pod, HTTP shares the wildcard":                         {"headless"},
		"headless: no mutual TLS if any endpoint has no sidecar":                       {"headless_without_sidecars"},
		"failover needs outlier detection; distribute excludes it; failoverPriority":   {"locality", "locality_distribute"},
		"locality: rule by zones or localities, trafficDistribution, mesh by zones":    {"locality_zones", "locality_distribute"},
		"Services select WorkloadEntries, ServiceEntries select Pods":                  {"workloads"},
		"ExternalName, and other fields of Services":                                   {"service_fields"},
		"PeerAuthentication by scope and container port; a DestinationRule overrides":  {"inbound_strict", "inbound_disabled", "auto_mtls"},
		"PeerAuthentication: the oldest of a scope, none by a selector of the root":    {"peerauthentication_scopes", "pilot/resolve:TestInboundMTLSTakesTheClosestModeThatIsSet"},
		"portLevelMtls wants a selector and means ports of the container":              {"inbound_strict", "peerauthentication_scopes", "pilot/validate:TestRules"},
		"clients: the namespace's mode on the cluster, a workload's on its endpoints":  {"peerauthentication_scopes", "auto_mtls"},
		"a DestinationRule's TLS mode overrides, and a conflict is told of both":       {"auto_mtls", "test/translate/testdata/tls_conflict"},
		"policies are asked in the order CUSTOM, tokens, AUDIT, DENY, ALLOW":           {"policies/custom_before_tokens", "policies/custom_http", "pairs/order"},
		"an AuthorizationPolicy without rules matches nothing: ALLOW denies all":       {"policies/allow_nothing", "policies/none"},
		"of a connection, what is of HTTP voids a rule that allows":                    {"pairs/tcp-allow", "policies/operations"},
		"of a connection, a rule that denies is without what is of HTTP":               {"pairs/tcp-deny", "policies/deny_first"},
		"names of rules are those that tools parse, of CUSTOM with the provider":       {"pairs/order", "test/translate:TestEnvoyTellsWhatItEnforces"},
		"a policy on trial is counted, and decides nothing":                            {"test/translate:TestEnvoyNamesWhoDenies"},
		"all RequestAuthentications of a workload count together":                      {"policies/tokens_of_several"},
		"a missing token passes, a bad one does not":                                   {"policies/tokens", "pairs/tokens", "test/translate:TestRandomTokens"},
		"of several issuers one finds its token good, or each none":                    {"policies/tokens", "policies/tokens_of_several", "test/translate:TestRandomTokens"},
		"an issuer whose keys nobody has lets no token pass":                           {"policies/tokens", "policies/refused_tokens"},
		"a change of keys reaches the proxies that use them":                           {"pilot/build:TestAPolicyTouchesOnlyTheWorkloadItSelects"},
		"Telemetry: one of a scope, of mesh, namespace and workload; overrides add up": {"pilot/resolve:TestTelemetryOfEachScope"},
		"Telemetry: providers replace those of the scope above":                        {"pilot/resolve:TestAccessLogsAreMergedAsIstioDoes"},
		"Telemetry: what turns all metrics off leaves nothing that counts":             {"pilot/resolve:TestTelemetryOfEachScope"},
		"ProxyConfig: workload, annotation, namespace, root, mesh; at injection":       {"pilot/inject:TestProxyConfigObjects"},
		"a sidecar ignores credentialName without selector":                            {"destinationrule_credential"},
		"EnvoyFilter: priority, root namespace, age; a match of nothing":               {"envoyfilter_order", "envoyfilter"},
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
			if !known[name] && !elsewhere(t, name) {
				t.Errorf("%s: there is no case %s with calls", trap, name)
			}
		}
	}
}

// elsewhere tells whether a case of another package is there: a file of policies with calls, a golden, or a test.
func elsewhere(t *testing.T, name string) bool {
	t.Helper()
	contains := func(text string, paths ...string) bool {
		return slices.ContainsFunc(paths, func(path string) bool {
			data, err := os.ReadFile(path)
			return err == nil && strings.Contains(string(data), text)
		})
	}
	if directory, test, ok := strings.Cut(name, ":"); ok {
		files, err := filepath.Glob("../../" + directory + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		return contains("\nfunc "+test+"(t *testing.T)", files...)
	}
	return contains("\ncalls:\n- ", "../translate/"+name+".yaml") || contains("-- input.yaml --", "../../"+name+".txtar")
}
