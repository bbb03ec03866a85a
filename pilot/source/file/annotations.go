package file

import (
	"maps"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"

	"google.golang.org/protobuf/encoding/protojson"
	"istio.io/api/annotation"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// annotations reports the annotations of an object that are for a mesh and have no effect.
func (d *decoder) annotations(o *model.Object) []model.Problem {
	found := d.annotated(o.Key, o.Kind, "metadata", o.Annotations)
	if deployment, ok := o.Spec.(*appsv1.Deployment); ok {
		found = append(found, d.annotated(o.Key, model.KindPod, "spec.template.metadata", deployment.Spec.Template.Annotations)...)
	}
	return found
}

// UnreadAnnotations reports the annotations at an object that are for a mesh and have no effect, for the
// kinds that Decode does not read. They are of the object itself or of a template in it: kind is what they
// are to act on, at the path of their metadata.
func UnreadAnnotations(o *model.Object, kind model.Kind, at string, annotations map[string]string) []model.Problem {
	d := &decoder{name: o.Origin.File}
	found := d.annotated(o.Key, kind, at, annotations)
	for i := range found {
		found[i].Origin = o.Origin
	}
	return found
}

func (d *decoder) annotated(key model.Key, kind model.Kind, at string, annotations map[string]string) []model.Problem {
	var found []model.Problem
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		if !strings.Contains(name, "istio.io/") && name != annotation.IoKubernetesIngressClass.Name {
			continue
		}
		field := at + ".annotations[" + name + "]"
		if why := d.known().annotationUnread(name, kind); why != "" {
			found = append(found, d.noEffect(key, field, why))
		} else if name == annotation.ProxyConfig.Name {
			found = append(found, d.proxyConfig(key, field, annotations[name])...)
		}
	}
	return found
}

// proxyConfig reports what of a pod's own ProxyConfig nothing reads.
func (d *decoder) proxyConfig(key model.Key, field, text string) []model.Problem {
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return []model.Problem{d.noEffect(key, field, "does not parse: "+err.Error())}
	}
	pc := &meshconfig.ProxyConfig{}
	if data, err = model.SecondsJSON(data, pc.ProtoReflect().Descriptor()); err == nil {
		err = protojson.Unmarshal(data, pc)
	}
	if err != nil {
		return []model.Problem{d.noEffect(key, field, "does not parse: "+model.ProtoJSONError(err))}
	}
	o := &model.Object{Key: key}
	return d.unread(o, pc.ProtoReflect(), model.DefaultProxyConfig().ProtoReflect(), field+".")
}

// annotationUnread gives why an annotation of a kind has no effect, "" where it has one.
func (e *effects) annotationUnread(name string, kind model.Kind) string {
	if on, ok := e.annotations[name]; ok {
		if on == kind || on == "" {
			return ""
		}
		return "it acts on a " + string(on) + " only"
	}
	if why, ok := e.unreadAnnotations[name]; ok {
		return why
	}
	return "no annotation has this name; correct its spelling or remove it"
}

// readAnnotation are annotations that act on a kind.
type readAnnotation struct {
	kind  model.Kind // "" for all
	names []string
}

func readAnnotations() []readAnnotation {
	return []readAnnotation{
		{model.KindService, []string{annotation.NetworkingExportTo.Name}},
		// It speaks to the analysis, which takes every object.
		{"", []string{annotation.GalleyAnalyzeSuppress.Name}},
		// The injection notes it.
		{model.KindPod, []string{annotation.IoIstioRev.Name}},
		{model.KindPod, []string{
			annotation.InjectTemplates.Name, annotation.IoIstioRerouteVirtualInterfaces.Name, annotation.PrometheusMergeMetrics.Name,
			annotation.ProxyConfig.Name, annotation.ProxyOverrides.Name, annotation.SidecarAgentLogLevel.Name,
			annotation.SidecarBootstrapOverride.Name, annotation.SidecarComponentLogLevel.Name, annotation.SidecarDiscoveryAddress.Name,
			annotation.SidecarInject.Name, annotation.SidecarInterceptionMode.Name, annotation.SidecarLogLevel.Name,
			annotation.SidecarNativeSidecar.Name, annotation.SidecarProxyCPU.Name, annotation.SidecarProxyCPULimit.Name,
			annotation.SidecarProxyImage.Name, annotation.SidecarProxyImageType.Name, annotation.SidecarProxyMemory.Name,
			annotation.SidecarProxyMemoryLimit.Name, annotation.SidecarRewriteAppHTTPProbers.Name,
			annotation.SidecarStatsFlushInterval.Name, annotation.SidecarStatsInclusionPrefixes.Name,
			annotation.SidecarStatsInclusionRegexps.Name, annotation.SidecarStatsInclusionSuffixes.Name, annotation.SidecarStatus.Name,
			annotation.SidecarStatusPort.Name,
			annotation.SidecarStatusReadinessFailureThreshold.Name, annotation.SidecarStatusReadinessInitialDelaySeconds.Name,
			annotation.SidecarStatusReadinessPeriodSeconds.Name, annotation.SidecarTrafficExcludeInboundPorts.Name,
			annotation.SidecarTrafficExcludeInterfaces.Name, annotation.SidecarTrafficExcludeOutboundIPRanges.Name,
			annotation.SidecarTrafficExcludeOutboundPorts.Name, annotation.SidecarTrafficIncludeInboundPorts.Name,
			annotation.SidecarTrafficIncludeOutboundIPRanges.Name, annotation.SidecarTrafficIncludeOutboundPorts.Name,
			annotation.SidecarTrafficKubevirtInterfaces.Name, annotation.SidecarUserVolume.Name, annotation.SidecarUserVolumeMount.Name,
			"sidecar.istio.io/capNetBindService",
		}},
	}
}

// unreadAnnotations are annotations of Istio that nothing reads, each with why.
func unreadAnnotations() map[string]string {
	const (
		ambient    = "ambient mode is not translated"
		gatewayAPI = "the Gateway API is not translated"
		entries    = "WorkloadEntry is not translated"
		stats      = "Envoy's statistics have its defaults in this"
		scrape     = "the agent merges what the pod's own prometheus.io annotations name"
	)
	return map[string]string{
		annotation.AlphaCanonicalServiceAccounts.Name:          "identities follow from the pods behind a Service",
		annotation.AlphaKubernetesServiceAccounts.Name:         "identities follow from the pods behind a Service",
		annotation.AmbientBypassInboundCapture.Name:            ambient,
		annotation.AmbientDnsCapture.Name:                      ambient,
		annotation.AmbientRedirection.Name:                     ambient,
		annotation.AmbientWaypointInboundBinding.Name:          ambient,
		annotation.GatewayControllerVersion.Name:               gatewayAPI,
		annotation.GatewayNameOverride.Name:                    gatewayAPI,
		annotation.GatewayServiceAccount.Name:                  gatewayAPI,
		annotation.NetworkingServiceType.Name:                  gatewayAPI,
		annotation.IoIstioAutoRegistrationGroup.Name:           entries,
		annotation.IoIstioConnectedAt.Name:                     entries,
		annotation.IoIstioDisconnectedAt.Name:                  entries,
		annotation.IoIstioWorkloadController.Name:              entries,
		annotation.IoIstioDryRun.Name:                          "AuthorizationPolicy is not translated",
		annotation.IoIstioUseWaypointCanaryWeight.Name:         ambient,
		annotation.IoKubernetesIngressClass.Name:               "Ingress is not translated; use a Gateway and VirtualServices",
		annotation.NetworkingTrafficDistribution.Name:          "it is not translated; use a DestinationRule with localityLbSetting",
		annotation.SidecarExtraStatTags.Name:                   "use extraStatTags of proxy.istio.io/config",
		annotation.SidecarStatsCompression.Name:                stats,
		annotation.SidecarStatsEvictionInterval.Name:           stats,
		annotation.SidecarStatsHistogramBins.Name:              stats,
		annotation.SidecarStatsHistogramBuckets.Name:           stats,
		annotation.SidecarStatusReadinessApplicationPorts.Name: "the application's own probes tell whether it is ready",
		annotation.TopologyControlPlaneClusters.Name:           "there is one cluster",
		annotation.TrafficNodeSelector.Name:                    "there is one network",
		"prometheus.istio.io/scrape-targets":                   scrape,
		"prometheus.istio.io/secure-port":                      scrape,
	}
}
