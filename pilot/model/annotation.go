package model

import "istio.io/api/annotation"

// The annotations of Prometheus' kind that Istio reads and that its API has no name for.
const (
	AnnotationScrapeTargets   = "prometheus.istio.io/scrape-targets"
	AnnotationSecurePort      = "prometheus.istio.io/secure-port"
	AnnotationSecureEnvoyPort = "prometheus.istio.io/secure-envoy-port"
	// AnnotationHealthChecks tells that the agent of a WorkloadEntry probes it, so that it is in service
	// once the status says that it is healthy.
	AnnotationHealthChecks = "proxy.istio.io/health-checks-enabled"
	// AnnotationNetBindService lets a proxy listen on ports below 1024.
	AnnotationNetBindService = "sidecar.istio.io/capNetBindService"
)

// Annotations of Kubernetes by which it is decided what objects are to a mesh.
const (
	// AnnotationIngressClass is the former way to name an Ingress's class.
	AnnotationIngressClass = "kubernetes.io/ingress.class"
	// AnnotationDefaultClass makes an IngressClass that of all Ingresses without one.
	AnnotationDefaultClass = "ingressclass.kubernetes.io/is-default-class"
	// AnnotationLeader is at Endpoints that are no service's, but a lock.
	AnnotationLeader = "control-plane.alpha.kubernetes.io/leader"
)

// KeepsAnnotation tells whether a source keeps an annotation, and an inventory tells it: nothing reads the others.
func KeepsAnnotation(name string) bool {
	switch name {
	case AnnotationIngressClass, AnnotationDefaultClass, AnnotationLeader:
		return true
	}
	return ForMesh(name)
}

// MeshAnnotation is in the name of every annotation of Istio.
const MeshAnnotation = "istio.io/"

// Annotation tells what an annotation for a mesh does.
type Annotation struct {
	// Kinds are those of the objects that it acts on, none for all.
	Kinds []Kind
	// Why is why it acts nowhere, "" where it acts.
	Why string
}

// Annotations gives all annotations for a mesh that are known, by name. The source of files tells users of
// those without effect, and the injection checks those of pods.
func Annotations() map[string]Annotation {
	out := map[string]Annotation{
		annotation.NetworkingExportTo.Name:            {Kinds: []Kind{KindService}},
		annotation.NetworkingTrafficDistribution.Name: {Kinds: []Kind{KindService, KindServiceEntry, KindNamespace}},
		AnnotationIngressClass:                        {Kinds: []Kind{KindIngress}},
		annotation.IoIstioDryRun.Name:                 {Kinds: []Kind{KindAuthorizationPolicy}},
		AnnotationStickySplit:                         {Kinds: []Kind{KindVirtualService}},
		AnnotationSubsetFallback:                      {Kinds: []Kind{KindDestinationRule}},
		// It speaks to the analysis, which takes every object.
		annotation.GalleyAnalyzeSuppress.Name: {},
		// The injection notes it.
		annotation.IoIstioRev.Name: {Kinds: []Kind{KindPod}},
		AnnotationPeers:            {Kinds: []Kind{KindPod, KindWorkloadEntry}}, // and so does registration
	}
	for _, name := range podAnnotations() {
		out[name] = Annotation{Kinds: []Kind{KindPod}}
	}
	// pilotctl x workload entry configure reads it of groups.
	out[annotation.ProxyConfig.Name] = Annotation{Kinds: []Kind{KindPod, KindWorkloadGroup}}
	for name, why := range unreadAnnotations() {
		out[name] = Annotation{Why: why}
	}
	// They tell whether a machine is probed, the group that it is a replica of, and who hears it since when.
	for _, name := range []string{
		AnnotationHealthChecks, annotation.IoIstioAutoRegistrationGroup.Name, annotation.IoIstioWorkloadController.Name,
		annotation.IoIstioConnectedAt.Name, annotation.IoIstioDisconnectedAt.Name, AnnotationAnswers,
	} {
		out[name] = Annotation{Kinds: []Kind{KindWorkloadEntry}}
	}
	return out
}

// podAnnotations are those by which a pod changes its proxy.
func podAnnotations() []string {
	return []string{
		annotation.InjectTemplates.Name, annotation.IoIstioRerouteVirtualInterfaces.Name, annotation.PrometheusMergeMetrics.Name,
		annotation.ProxyConfig.Name, annotation.ProxyOverrides.Name, annotation.SidecarAgentLogLevel.Name,
		annotation.SidecarBootstrapOverride.Name, annotation.SidecarComponentLogLevel.Name, annotation.SidecarDiscoveryAddress.Name,
		annotation.SidecarExtraStatTags.Name, annotation.SidecarInject.Name, annotation.SidecarInterceptionMode.Name,
		annotation.SidecarLogLevel.Name, annotation.SidecarNativeSidecar.Name, annotation.SidecarProxyCPU.Name,
		annotation.SidecarProxyCPULimit.Name, annotation.SidecarProxyImage.Name, annotation.SidecarProxyImageType.Name,
		annotation.SidecarProxyMemory.Name, annotation.SidecarProxyMemoryLimit.Name, annotation.SidecarRewriteAppHTTPProbers.Name,
		annotation.SidecarStatsCompression.Name, annotation.SidecarStatsEvictionInterval.Name,
		annotation.SidecarStatsFlushInterval.Name, annotation.SidecarStatsHistogramBuckets.Name,
		annotation.SidecarStatsInclusionPrefixes.Name, annotation.SidecarStatsInclusionRegexps.Name,
		annotation.SidecarStatsInclusionSuffixes.Name, annotation.SidecarStatus.Name, annotation.SidecarStatusPort.Name,
		annotation.SidecarStatusReadinessFailureThreshold.Name, annotation.SidecarStatusReadinessInitialDelaySeconds.Name,
		annotation.SidecarStatusReadinessPeriodSeconds.Name, annotation.SidecarTrafficExcludeInboundPorts.Name,
		annotation.SidecarTrafficExcludeInterfaces.Name, annotation.SidecarTrafficExcludeOutboundIPRanges.Name,
		annotation.SidecarTrafficExcludeOutboundPorts.Name, annotation.SidecarTrafficIncludeInboundPorts.Name,
		annotation.SidecarTrafficIncludeOutboundIPRanges.Name, annotation.SidecarTrafficIncludeOutboundPorts.Name,
		annotation.SidecarTrafficKubevirtInterfaces.Name, annotation.SidecarUserVolume.Name, annotation.SidecarUserVolumeMount.Name,
		AnnotationNetBindService, AnnotationScrapeTargets, AnnotationSecurePort, AnnotationSecureEnvoyPort,
	}
}

// unreadAnnotations are annotations of Istio that nothing reads, each with why.
func unreadAnnotations() map[string]string {
	const (
		ambient    = "ambient mode is not translated"
		gatewayAPI = "the Gateway API is not translated"
		accounts   = "identities follow from the pods behind a Service"
	)
	return map[string]string{
		annotation.AlphaCanonicalServiceAccounts.Name:          accounts,
		annotation.AlphaKubernetesServiceAccounts.Name:         accounts,
		annotation.AmbientBypassInboundCapture.Name:            ambient,
		annotation.AmbientDnsCapture.Name:                      ambient,
		annotation.AmbientRedirection.Name:                     ambient,
		annotation.AmbientWaypointInboundBinding.Name:          ambient,
		annotation.GatewayControllerVersion.Name:               gatewayAPI,
		annotation.GatewayNameOverride.Name:                    gatewayAPI,
		annotation.GatewayServiceAccount.Name:                  gatewayAPI,
		annotation.NetworkingServiceType.Name:                  gatewayAPI,
		annotation.IoIstioUseWaypointCanaryWeight.Name:         ambient,
		annotation.SidecarStatsHistogramBins.Name:              "Envoy's statistics keep their bins",
		annotation.SidecarStatusReadinessApplicationPorts.Name: "the application's own probes tell whether it is ready",
		annotation.TopologyControlPlaneClusters.Name:           "there is one cluster",
		annotation.TrafficNodeSelector.Name:                    "addresses of nodes are not read; write those of the gateway in the mesh's networks (meshNetworks)",
	}
}
