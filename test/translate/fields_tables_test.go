package translate

// needNoEffect are fields, and values, without effect of which nothing has to be told, each with the reason.
var needNoEffect = map[string]string{
	"MeshConfig.extensionProviders.opentelemetry.resourceDetectors.environment":  "the environment is always asked",
	"WorkloadGroup.template.address":                                             "each machine has its own, as in Istio",
	"Gateway.servers.name":                                                       "a label for people",
	"Sidecar.ingress.port.name":                                                  "a label for people",
	"Sidecar.egress.port.name":                                                   "a label for people",
	"MeshConfig.hboneIdleTimeout":                                                "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.namespaceSelector.matchLabels":               "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.namespaceSelector.matchExpressions.key":      "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.namespaceSelector.matchExpressions.operator": "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.namespaceSelector.matchExpressions.values":   "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.servicesSelector.matchLabels":                "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.servicesSelector.matchExpressions.key":       "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.servicesSelector.matchExpressions.operator":  "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.servicesSelector.matchExpressions.values":    "of ambient mode only, in Istio as well",
	"MeshConfig.serviceScopeConfigs.scope":                                       "of ambient mode only, in Istio as well",
	"MeshConfig.defaultConfig.proxyHeaders.metadataExchangeHeaders.mode":         "what is outside of the mesh gets none of these headers anyway",
	"MeshConfig.defaultConfig.controlPlaneAuthPolicy":                            "port 15010 of discoveryAddress goes without TLS; of this field an injector tells pods nothing but the default, in Istio neither",
	"MeshConfig.enableTracing":                                                   "true is the default, and what would be sent where is a problem",
}

// leftOut are fields that are told to have no effect and that change what is sent all the same, each with
// the reason.
var leftOut = map[string]string{
	"Gateway.servers.port.protocol":                                              "servers of other protocols are left out",
	"Gateway.servers.tls.mode":                                                   "servers of other modes are left out",
	"DestinationRule.trafficPolicy.tls.credentialName":                           "acts at gateways, and is told for sidecars",
	"DestinationRule.trafficPolicy.portLevelSettings.tls.credentialName":         "acts at gateways, and is told for sidecars",
	"DestinationRule.subsets.trafficPolicy.tls.credentialName":                   "acts at gateways, and is told for sidecars",
	"DestinationRule.subsets.trafficPolicy.portLevelSettings.tls.credentialName": "acts at gateways, and is told for sidecars",
	"Sidecar.ingress.tls.mode":                                                   "other modes are left out",
	"Gateway.servers.bind":                                                       "servers of other addresses are left out",
	"EnvoyFilter.targetRefs.group":                                               "references to others than Gateways are left out",
	"EnvoyFilter.targetRefs.kind":                                                "references to others than Gateways are left out",
	"EnvoyFilter.configPatches.applyTo":                                          "patches of the bootstrap are left out",
	"EnvoyFilter.configPatches.match.context":                                    "patches of waypoints are left out",
}

// inVain are fields without effect that change what is sent all the same, since they stand where another field
// would, each with the reason.
var inVain = map[string]string{
	"VirtualService.http.fault.delay.exponentialDelay": "takes the place of fixedDelay",
	"VirtualService.http.fault.abort.http2Error":       "takes the place of httpStatus",
	"Telemetry.metrics.overrides.match.customMetric":   "the override is left out",
}

// tracedMesh is the mesh of the provider that Telemetry objects name.
const tracedMesh = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "extensionProviders: [{name: x, zipkin: {service: ratings.default.svc.cluster.local, port: 9080}}, {name: otel, opentelemetry: {service: ratings.default.svc.cluster.local, port: 9080}}]"}
`

// withoutMutualTLS lets the port serve TLS of its own, for which Sidecar objects have settings.
const withoutMutualTLS = `
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: own, namespace: default}
spec: {selector: {matchLabels: {app: client}}, portLevelMtls: {9443: {mode: DISABLE}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: own-of-reviews, namespace: default}
spec: {selector: {matchLabels: {app: reviews}}, portLevelMtls: {9443: {mode: DISABLE}}}
`

// reachedFromOutside is a Service that may be the gateway of a network.
const reachedFromOutside = `
---
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: default}
spec: {clusterIP: 10.96.0.16, externalIPs: [203.0.113.3], ports: [{name: tls, port: 15443}]}
`
