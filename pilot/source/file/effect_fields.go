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
		{"L4MatchAttributes.sourceSubnet", "it has no effect in Istio either, so the match takes every source; use sourceLabels"},

		// DestinationRule, and the mesh's defaults of it
		{"RemoteService.tlsSettings.credentialName", "agents have no certificates from Secrets; use files"},
		{"Tracing.tlsSettings.credentialName", "agents have no certificates from Secrets; use files"},

		// Gateway
		{"Server.port.targetPort", "it has no effect in Istio either; the number of the port counts"},
		{"Server.defaultEndpoint", "it has no effect in Istio either; write a VirtualService"},

		// Sidecar
		{"Sidecar.inboundConnectionPool.http.h2UpgradePolicy", "it has no effect in Istio either; the workload is spoken to in the protocol of its port"},
		{"IstioIngressListener.connectionPool.http.h2UpgradePolicy", "it has no effect in Istio either; the workload is spoken to in the protocol of the listener's port"},
		{"IstioIngressListener.port.targetPort", "it has no effect in Istio either; write defaultEndpoint"},
		{"IstioIngressListener.tls.httpsRedirect", "a sidecar redirects nobody"},
		{"IstioIngressListener.tls.credentialName", "a sidecar takes its certificate from files"},
		{"IstioIngressListener.tls.credentialNames", "a sidecar takes its certificate from files"},
		{"IstioIngressListener.tls.caCertCredentialName", "a sidecar takes its certificate from files"},
		{"IstioIngressListener.tls.tlsCertificates", "a sidecar has one certificate; write serverCertificate and privateKey"},
		{"IstioIngressListener.tls.insecureSkipVerify", "certificates of clients are always checked at sidecars"},
		{"IstioEgressListener.port.targetPort", "it has no effect in Istio either"},

		// Telemetry
		{"MetricSelector.customMetric", "there are only Istio's own metrics; the override is left out"},

		// AuthorizationPolicy
		{"PolicyTargetReference.namespace", "a policy is attached to what is in its own namespace"},

		// EnvoyFilter
		{"EnvoyConfigObjectMatch.waypoint", "there are no waypoints here; the patch has no effect"},
		{"ListenerMatch.portName", "it has no effect in Istio either; use portNumber"},

		// Service
		{"Service.spec.sessionAffinity=CLIENTIP", "proxies do not keep to a client's address, in Istio neither; use a DestinationRule with consistentHash.useSourceIp"},
	}
}

// unreadMeshFields are those of the mesh's and of the proxies' configuration.
func unreadMeshFields() []unreadField {
	return []unreadField{
		{"MeshConfig.outboundTrafficPolicy.tls.credentialName", "sidecars have no certificates from Secrets; use files"},
		{"MeshConfig.configSources", "configuration is read from the directories of --configDir only"},
		{"MeshConfig.caCertificates.certSigners", "it chooses the root for certificates that signers of Kubernetes make by CertificateSigningRequests, and the control plane signs by itself; the root counts for all, as in Istio"},
		{"MeshConfig.certificates", "certificates of DNS names are made for nobody, and Istio has deprecated it; use cert-manager"},
		{"MeshConfig.verifyCertificateAtClient", "it has no effect in Istio either; servers are verified as each DestinationRule says, by the system's roots where it says nothing"},
		{"MeshConfig.ca", "certificates are signed by the control plane itself"},
		{"IstioNetworkGateway.locality", "it has no effect in Istio either; a gateway counts as what is behind it, wherever that is"},
		{"MeshConfig.meshMTLS.ecdhCurves", "it has no effect in Istio either; mutual TLS of the mesh has the curves of Envoy's defaults"},

		{"ProxyConfig.configPath", "Envoy's configuration has its place"},
		{"ProxyConfig.discoveryRefreshDelay", "it has no effect in Istio either"},
		{"Tracing.lightstep", "Envoy has no such tracer any longer; no spans are sent"},
		{"Tracing.stackdriver", "Envoy has no such tracer any longer; no spans are sent"},
		{"Tracing.openCensusAgent", "Envoy has no such tracer any longer; no spans are sent"},
		{"ProxyConfig.availabilityZone", "it has no effect in Istio either; a pod's labels tell its zone"},
		{"ProxyConfig.statNameLength", "it has no effect in Envoy either, since 1.11"},
		{"ProxyConfig.sds", "it has no effect in Istio either; secrets are served by the agent"},
		{"ProxyConfig.meshId", "it is the trust domain"},
		{"ProxyConfig.readinessProbe", "pods are probed by their kubelet; the agent of a machine reads it from the machine's own ProxyConfig"},
		{"ProxyConfig.caCertificatesPem", "only the mesh's own root is trusted"},
		{"ProxyConfig.privateKeyProvider", "its providers (CryptoMb, QAT) are not in upstream Envoy, which holds the keys itself"},
		{"ProxyConfig.connectionSettings.listenerConnectionLimit", "Envoy takes it from a runtime value under the name of each listener, which a bootstrap does not know; globalDownstreamConnectionLimit limits all listeners of a proxy together"},
	}
}

// unreadProviders are the kinds of extension providers that nothing asks.
func unreadProviders() []unreadField {
	var out []unreadField
	for _, name := range []string{"lightstep", "stackdriver", "opencensus"} {
		out = append(out, unreadField{"ExtensionProvider." + name, "Envoy has no such tracer any longer; spans go to opentelemetry, zipkin, datadog or skywalking"})
	}
	return append(out, unreadField{"ExtensionProvider.sds", "secrets are served by the agent"})
}
