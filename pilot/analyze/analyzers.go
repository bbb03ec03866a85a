package analyze

// Analyzer compares objects with each other.
type Analyzer struct {
	Name  string
	Finds string // what it finds
	find  func(*mesh)
}

// Analyzers lists those that run beside the checks of the control plane, by their subjects. None depends on another one.
func Analyzers() []Analyzer {
	return []Analyzer{
		{"gateway-selectors", "Gateways that select nobody, or sidecars", gatewaysWithoutWorkload},
		{"gateway-ports", "servers of Gateways on ports that no Service of the gateway leads to", gatewayPortsWithoutService},
		{"gateway-conflicts", "Gateways of one workload that want one host, or one port for protocols that exclude each other", conflictingGateways},
		{"gateway-certificates", "Gateways of one workload that present one certificate", sharedCertificates},
		{"gateway-rules", "rules of VirtualServices at servers that go by those of another protocol", rulesWithoutServer},
		{"destinations", "destinations of VirtualServices that do not exist: host, port or subset", missingDestinations},
		{"virtualservice-hosts", "hosts of VirtualServices within the cluster that no service has", unknownVirtualServiceHosts},
		{"virtualservice-conflicts", "VirtualServices with rules for one host, of which sidecars follow one", conflictingHosts},
		{"virtualservice-rules", "rules and matches of VirtualServices that are never used", repeatedMatches},
		{"destinationrule-hosts", "DestinationRules for hosts that no service has", unknownDestinationRuleHosts},
		{"destinationrule-subsets", "subsets of which no pod is", emptySubsets},
		{"destinationrule-ports", "settings for ports that no service has", settingsWithoutPort},
		{"rivals", "Sidecars and Telemetry objects for the same workloads, of which the oldest counts", rivals},
		{"selectors", "selectors that select nobody", selectorsWithoutWorkload},
		{"serviceentry-workloads", "ServiceEntries that select neither a pod nor a WorkloadEntry", entriesWithoutWorkload},
		{"serviceentry-addresses", "TCP ports of ServiceEntries without an address to be told apart by", entriesWithoutAddress},
		{"network-gateways", "gateways of the mesh's networks that name a Service which is none, or are not looked up", networkGateways},
		{"networks", "networks that have endpoints and no gateway, where there are others", networksWithoutGateway},
		{"policy-namespaces", "namespaces of callers in AuthorizationPolicies that do not exist", unknownNamespaces},
		{"policy-tokens", "rules about claims where no RequestAuthentication takes tokens", claimsWithoutTokens},
		{"envoyfilter-order", "patches that hang on what others did before", uncertainPatches},
		{"mtls-ports", "mutual TLS of ports that no workload has", portsWithoutWorkload},
		{"policy-ports", "ports of policies that no workload has", policyPortsWithoutWorkload},
		{"mtls-conflicts", "DestinationRules that send what PeerAuthentications refuse", conflictingMutualTLS},
		{"mtls-servers", "DestinationRules that send TLS to pods without a sidecar", bareServers},
		{"hidden-services", "Sidecars that leave out services which refuse what then arrives in the clear", hiddenServices},
		{"tcp-policies", "rules about requests at ports of TCP", requestRulesOfTCP},
		{"tcp-tokens", "RequestAuthentications for workloads of TCP only", tokensOfTCP},
		{"tcp-routes", "rules for requests of hosts that take no HTTP", requestRoutesOfTCP},
		{"injection-labels", "Namespaces that say twice who injects", injectionLabels},
		{"injection", "Namespaces that say nothing of injection, and pods that run without a sidecar", unlabelledNamespaces},
		{"injection-images", "image auto where nothing fills it in", autoImages},
		{"reserved-user", "applications that run as the proxy's user", reservedUser},
		{"port-names", "ports of Services whose names do not tell the protocol", portNames},
		{"service-selectors", "Services that select no workload", servicesWithoutWorkload},
		{"service-targets", "ports of Services that lead to names which no container has", targetsWithoutPort},
		{"service-ports", "Services that lead to one port of a workload by different numbers", workloadsOfSeveralServices},
		{"annotations", "annotations of pods for which these are refused", wrongAnnotations},
		{"deprecated-annotations", "annotations that Istio calls deprecated", deprecatedAnnotations},
		{"deprecated-fields", "fields that Istio calls deprecated", deprecatedFields},
	}
}
