package file

// unreadField is a field, or a value of one, that has no effect here.
type unreadField struct{ path, why string }

// unreadFields are the fields that nothing reads, each with what holds instead. What is not here is read by
// the translation, by the agent or by the injection, or needs none; test/translate proves it.
func unreadFields() []unreadField {
	return []unreadField{
		// VirtualService
		{"Delay.exponentialDelay", "it has no effect in Istio either; write fixedDelay"},
		{"Abort.http2Error", "it has no effect in Istio either; write httpStatus or grpcStatus"},
		{"L4MatchAttributes.sourceSubnet", "it has no effect in Istio either; use sourceLabels, until then the match is left out"},

		// DestinationRule, and the mesh's defaults of it
		{"LoadBalancerSettings.zoneAwareLbSetting", "zone-aware balancing is not translated; use localityLbSetting"},
		{"RemoteService.tlsSettings.credentialName", "agents have no certificates from Secrets; use files"},
		{"RemoteService.tlsSettings.caCrl", "agents do not check the revocation list"},
		{"Tracing.tlsSettings.caCrl", "agents do not check the revocation list"},
		{"Tracing.tlsSettings.credentialName", "agents have no certificates from Secrets; use files"},

		// Gateway
		{"Server.port.targetPort", "it has no effect in Istio either; the number of the port counts"},
		{"Server.defaultEndpoint", "it has no effect in Istio either; write a VirtualService"},

		// Sidecar
		{"Sidecar.inboundConnectionPool.tcp.idleTimeout", "connections to the workload are idle for an hour at most"},
		{"Sidecar.inboundConnectionPool.http.h2UpgradePolicy", "the workload is spoken to in the protocol of its port"},
		{"Sidecar.inboundConnectionPool.http.useClientProtocol", "the workload is spoken to in the protocol of its port"},
		{"IstioIngressListener.connectionPool.tcp.idleTimeout", "connections to the workload are idle for an hour at most"},
		{"IstioIngressListener.connectionPool.http.h2UpgradePolicy", "the workload is spoken to in the protocol of the listener's port"},
		{"IstioIngressListener.connectionPool.http.useClientProtocol", "the workload is spoken to in the protocol of the listener's port"},
		{"IstioIngressListener.port.targetPort", "it has no effect in Istio either; write defaultEndpoint"},
		{"IstioIngressListener.tls.httpsRedirect", "a sidecar redirects nobody"},
		{"IstioIngressListener.tls.credentialName", "a sidecar takes its certificate from files"},
		{"IstioIngressListener.tls.credentialNames", "a sidecar takes its certificate from files"},
		{"IstioIngressListener.tls.caCertCredentialName", "a sidecar takes its certificate from files"},
		{"IstioIngressListener.tls.tlsCertificates", "a sidecar has one certificate; write serverCertificate and privateKey"},
		{"IstioIngressListener.tls.insecureSkipVerify", "certificates of clients are always checked at sidecars"},
		{"IstioEgressListener.port.targetPort", "it has no effect in Istio either"},

		// Telemetry
		{"Telemetry.targetRef", "waypoints and Gateways of the Kubernetes API are not translated; the object is left out"},
		{"Telemetry.targetRefs", "waypoints and Gateways of the Kubernetes API are not translated; the object is left out"},
		{"Metrics.providers", "metrics are for Prometheus, whatever is named here"},
		{"MetricSelector.customMetric", "there are only Istio's own metrics; the override is left out"},

		// RequestAuthentication
		{"JWTRule.timeout", "keys are fetched by the control plane, which waits for 5 s"},
		// AuthorizationPolicy
		{"PolicyTargetReference.namespace", "a policy is attached to what is in its own namespace"},

		// EnvoyFilter
		{"EnvoyConfigObjectMatch.waypoint", "there are no waypoints here; the patch has no effect"},
		{"ListenerMatch.portName", "it has no effect in Istio either; use portNumber"},

		// ServiceEntry and WorkloadGroup
		{"WorkloadEntry.network", "there is one network; the address is used as it is"},
		{"WorkloadGroup.metadata", "machines are not registered by themselves; write a WorkloadEntry for each"},
		{"WorkloadGroup.template", "machines are not registered by themselves; write a WorkloadEntry for each"},
		{"WorkloadGroup.probe", "machines are not registered by themselves; write a WorkloadEntry for each"},

		// Service
		{"Service.spec.sessionAffinity=CLIENTIP", "proxies do not keep to a client's address; use a DestinationRule with consistentHash.useSourceIp"},
		{"Service.spec.internalTrafficPolicy=LOCAL", "endpoints of other nodes get requests as well"},
		{"Service.spec.trafficDistribution=PREFERSAMENODE", "nodes are not told apart; endpoints of the same zone are preferred"},
	}
}

// unreadMeshFields are those of the mesh's and of the proxies' configuration.
func unreadMeshFields() []unreadField {
	return []unreadField{
		{"MeshConfig.proxyHttpPort", "there is no listener for HTTP proxies"},
		{"MeshConfig.hboneIdleTimeout", "HBONE is not translated"},
		{"MeshConfig.ingressService", "the status of Ingresses is not written"},
		{"MeshConfig.enableEnvoyAccessLogService", "logs are sent by extensionProviders: write envoyHttpAls and envoyTcpAls"},
		{"MeshConfig.outboundTrafficPolicy.tls.credentialName", "sidecars have no certificates from Secrets; use files"},
		{"MeshConfig.configSources", "configuration is read from the directories of --configDir only"},
		{"MeshConfig.caCertificates.spiffeBundleUrl", "bundles are not fetched; give the roots as pem, until then trustDomains that have no others are not trusted"},
		{"MeshConfig.caCertificates.certSigners", "certificates are signed by the control plane itself"},
		{"MeshConfig.zoneAwareLbSetting", "zone-aware balancing is not translated; use localityLbSetting"},
		{"MeshConfig.certificates", "certificates are made for workloads only"},
		{"MeshConfig.serviceSettings", "every service is of this cluster alone"},
		{"MeshConfig.serviceScopeConfigs", "every service is of this cluster alone"},
		{"MeshConfig.verifyCertificateAtClient", "servers are verified as each DestinationRule says"},
		{"MeshConfig.ca", "certificates are signed by the control plane itself"},
		{"OpenTelemetryTracingProvider.serviceAttributeEnrichment", "the service of spans is named as tracingServiceName says"},
		{"OpenTelemetryTracingProvider.dynatraceSampler", "requests are sampled by their share; use randomSamplingPercentage"},
		{"HttpHeader.envName", "a header's value is not taken from the environment; the header is left out"},
		{"MeshConfig.defaultProviders.metrics", "metrics are for Prometheus, whatever is named here"},
		{"MeshConfig.meshMTLS.ecdhCurves", "it has no effect in Istio either; mutual TLS of the mesh has the curves of Envoy's defaults"},
		{"MeshConfig.serviceEntryVisibility", "each ServiceEntry is seen as its exportTo says"},

		{"ProxyConfig.configPath", "Envoy's configuration has its place"},
		{"ProxyConfig.discoveryRefreshDelay", "it has no effect in Istio either"},
		{"Tracing.lightstep", "Envoy has no such tracer any longer; no spans are sent"},
		{"Tracing.stackdriver", "Envoy has no such tracer any longer; no spans are sent"},
		{"Tracing.openCensusAgent", "Envoy has no such tracer any longer; no spans are sent"},
		{"ProxyConfig.envoyAccessLogService", "logs are sent by extensionProviders: write envoyHttpAls and envoyTcpAls"},
		{"ProxyConfig.availabilityZone", "a pod's labels tell its zone"},
		{"ProxyConfig.statNameLength", "it has no effect in Envoy either, since 1.11"},
		{"ProxyConfig.sds", "it has no effect in Istio either; secrets are served by the agent"},
		{"ProxyConfig.meshId", "it is the trust domain"},
		{"ProxyConfig.readinessProbe", "the agent's own probe is used"},
		{"ProxyConfig.caCertificatesPem", "only the mesh's own root is trusted"},
		{"ProxyConfig.privateKeyProvider", "keys are held by Envoy itself"},
		{"ProxyConfig.proxyHeaders", "headers are Envoy's defaults"},
	}
}

// unreadConnectionFields are those of a ProxyConfig's connection settings: the agent reads one of them.
func unreadConnectionFields() []unreadField {
	var out []unreadField
	for _, name := range []string{
		"profile", "listenerConnectionLimit", "httpDrainTimeout", "httpMaxConnectionDuration", "httpMaxStreamDuration",
		"httpRequestHeadersTimeout", "listenerPerConnectionBufferLimitBytes", "clusterPerConnectionBufferLimitBytes",
		"httpIdleTimeout", "httpRequestTimeout", "httpStreamIdleTimeout", "httpMaxConcurrentStreams", "http2InitialStreamWindowSize",
		"http2InitialConnectionWindowSize", "httpHeadersWithUnderscoresAction", "httpMergeSlashes", "httpPathWithEscapedSlashesAction",
	} {
		out = append(out, unreadField{"ProxyConfig.connectionSettings." + name, "connections have the same limits at all proxies, but for globalDownstreamConnectionLimit"})
	}
	return out
}

// unreadProviders are the kinds of extension providers that nothing asks.
func unreadProviders() []unreadField {
	var out []unreadField
	for _, name := range []string{"lightstep", "stackdriver", "opencensus"} {
		out = append(out, unreadField{"ExtensionProvider." + name, "Envoy has no such tracer any longer; spans go to opentelemetry, zipkin, datadog or skywalking"})
	}
	return append(
		out,
		unreadField{"ExtensionProvider.prometheus", "metrics are for Prometheus anyway"},
		unreadField{"ExtensionProvider.sds", "secrets are served by the agent"},
	)
}
