package translate

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"istio.io/api/annotation"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// annotationReaders are the annotations that act, each with a file that reads it.
var annotationReaders = map[string]string{
	annotation.NetworkingExportTo.Name:                        "pilot/store/service.go",
	annotation.NetworkingTrafficDistribution.Name:             "pilot/store/service.go",
	annotation.InjectTemplates.Name:                           "pilot/inject/render.go",
	annotation.IoIstioRerouteVirtualInterfaces.Name:           "pilot/inject/funcs.go",
	annotation.PrometheusMergeMetrics.Name:                    "pilot/inject/prometheus.go",
	annotation.ProxyConfig.Name:                               "pilot/inject/proxyconfig.go",
	annotation.ProxyOverrides.Name:                            "pilot/inject/status.go",
	annotation.SidecarAgentLogLevel.Name:                      "pilot/inject/files/common.yaml",
	annotation.SidecarBootstrapOverride.Name:                  "pilot/inject/files/common.yaml",
	annotation.SidecarComponentLogLevel.Name:                  "pilot/inject/files/common.yaml",
	annotation.SidecarDiscoveryAddress.Name:                   "pilot/inject/proxyconfig.go",
	annotation.SidecarInject.Name:                             "pilot/inject/policy.go",
	annotation.SidecarInterceptionMode.Name:                   "pilot/inject/files/sidecar.yaml",
	annotation.SidecarLogLevel.Name:                           "pilot/inject/files/common.yaml",
	annotation.SidecarNativeSidecar.Name:                      "pilot/inject/data.go",
	annotation.SidecarProxyCPU.Name:                           "pilot/inject/funcs.go",
	annotation.SidecarProxyCPULimit.Name:                      "pilot/inject/funcs.go",
	annotation.SidecarProxyImage.Name:                         "pilot/inject/data.go",
	annotation.SidecarProxyImageType.Name:                     "pilot/inject/data.go",
	annotation.SidecarProxyMemory.Name:                        "pilot/inject/funcs.go",
	annotation.SidecarProxyMemoryLimit.Name:                   "pilot/inject/funcs.go",
	annotation.SidecarRewriteAppHTTPProbers.Name:              "pilot/inject/data.go",
	annotation.SidecarExtraStatTags.Name:                      "agent/bootstrap/stats.go",
	annotation.SidecarStatsCompression.Name:                   "agent/bootstrap/listener.go",
	annotation.SidecarStatsEvictionInterval.Name:              "agent/bootstrap/stats.go",
	annotation.SidecarStatsHistogramBuckets.Name:              "agent/bootstrap/stats.go",
	annotation.SidecarStatsFlushInterval.Name:                 "agent/bootstrap/stats.go",
	annotation.SidecarStatsInclusionPrefixes.Name:             "agent/bootstrap/stats.go",
	annotation.SidecarStatsInclusionRegexps.Name:              "agent/bootstrap/stats.go",
	annotation.SidecarStatsInclusionSuffixes.Name:             "agent/bootstrap/stats.go",
	annotation.SidecarStatus.Name:                             "pilot/inject/status.go",
	annotation.SidecarStatusPort.Name:                         "pilot/inject/data.go",
	annotation.SidecarStatusReadinessFailureThreshold.Name:    "pilot/inject/files/common.yaml",
	annotation.SidecarStatusReadinessInitialDelaySeconds.Name: "pilot/inject/files/common.yaml",
	annotation.SidecarStatusReadinessPeriodSeconds.Name:       "pilot/inject/files/common.yaml",
	annotation.SidecarTrafficExcludeInboundPorts.Name:         "pilot/inject/files/sidecar.yaml",
	annotation.SidecarTrafficExcludeInterfaces.Name:           "pilot/inject/files/sidecar.yaml",
	annotation.SidecarTrafficExcludeOutboundIPRanges.Name:     "pilot/inject/files/sidecar.yaml",
	annotation.SidecarTrafficExcludeOutboundPorts.Name:        "pilot/inject/files/sidecar.yaml",
	annotation.SidecarTrafficIncludeInboundPorts.Name:         "pilot/inject/files/sidecar.yaml",
	annotation.SidecarTrafficIncludeOutboundIPRanges.Name:     "pilot/inject/files/sidecar.yaml",
	annotation.SidecarTrafficIncludeOutboundPorts.Name:        "pilot/inject/files/sidecar.yaml",
	annotation.SidecarTrafficKubevirtInterfaces.Name:          "pilot/inject/funcs.go",
	annotation.SidecarUserVolume.Name:                         "pilot/inject/files/common.yaml",
	annotation.SidecarUserVolumeMount.Name:                    "pilot/inject/files/common.yaml",
	model.AnnotationNetBindService:                            "pilot/inject/files/common.yaml",
	model.AnnotationScrapeTargets:                             "pilot/inject/prometheus.go",
	model.AnnotationSecurePort:                                "pilot/inject/prometheus.go",
	model.AnnotationSecureEnvoyPort:                           "pilot/inject/prometheus.go",
}

// quietAnnotations act nowhere here, and nothing has to be told of them, each with the reason.
var quietAnnotations = map[string]string{
	annotation.GalleyAnalyzeSuppress.Name: "it speaks to the analysis",
	annotation.IoIstioRev.Name:            "a note of the injection",
}

// annotated gives the problems of the annotations of an object of a kind.
func annotated(kind, name, value string) []model.Problem {
	apiVersion := map[string]string{"VirtualService": "networking.istio.io/v1", "Deployment": "apps/v1"}[kind]
	if apiVersion == "" {
		apiVersion = "v1"
	}
	_, problems := file.Decode(fmt.Appendf(nil, "apiVersion: %s\nkind: %s\nmetadata: {name: a, annotations: {%s: %q}}\n", apiVersion, kind, name, value), "x.yaml")
	return slices.DeleteFunc(problems, func(p model.Problem) bool { return !strings.Contains(p.Field, "annotations["+name+"]") })
}

// TestEveryAnnotationActsOrIsReported sets every annotation of Istio on every kind that may have it.
func TestEveryAnnotationActsOrIsReported(t *testing.T) {
	names := []string{model.AnnotationNetBindService, model.AnnotationScrapeTargets, model.AnnotationSecurePort, model.AnnotationSecureEnvoyPort}
	for _, a := range annotation.AllResourceAnnotations() {
		names = append(names, a.Name)
	}
	for _, name := range names {
		at := annotationReaders[name]
		kind := "Pod"
		if name == annotation.NetworkingExportTo.Name || name == annotation.NetworkingTrafficDistribution.Name {
			kind = "Service"
		}
		_, quiet := quietAnnotations[name]
		if reported := len(annotated(kind, name, "{}")) > 0; reported == (at != "" || quiet) {
			t.Errorf("%s: reported %v, read by %q, quiet %v", name, reported, at, quiet)
		}
		for _, other := range []string{"Namespace", "VirtualService", "Deployment"} {
			acts := other == "Namespace" && name == annotation.NetworkingTrafficDistribution.Name
			if len(annotated(other, name, "{}")) == 0 && !quiet && !acts {
				t.Errorf("%s on a %s has no effect, and nothing tells so", name, other)
			}
		}
		if at == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../..", at))
		if err != nil {
			t.Fatal(err)
		}
		field := strings.ToLower(name[strings.LastIndexByte(name, '/')+1:])
		if body := strings.ToLower(string(text)); !strings.Contains(body, strings.ToLower(name)) && !strings.Contains(body, strings.ReplaceAll(strings.TrimSuffix(field, "-interfaces"), "-", "")) {
			t.Errorf("%s does not read %s", at, name)
		}
	}
	if len(annotated("Pod", "sidecar.istio.io/injekt", "true")) != 1 {
		t.Error("an annotation that is misspelt is passed over")
	}
	if problems := annotated("Pod", "proxy.istio.io/config", "{concurrency: 1, tracing: {}}"); len(problems) != 1 || !strings.HasSuffix(problems[0].Field, ".tracing") {
		t.Errorf("in a ProxyConfig of a pod: %v", problems)
	}
}

// TestInjectionWritesWhatIsRead decodes pods as the injection makes them.
func TestInjectionWritesWhatIsRead(t *testing.T) {
	in, err := inject.New(inject.Options{})
	if err != nil {
		t.Fatal(err)
	}
	objects, _ := file.Decode([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: a}}\nspec: {containers: [{name: a, image: i}]}\n"), "x.yaml")
	pod, injected, err := in.Pod(objects[0].Spec.(*corev1.Pod), nil, inject.Owner{})
	if err != nil || !injected {
		t.Fatal(injected, err)
	}
	data, err := yaml.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	if _, problems := file.Decode(data, "x.yaml"); len(problems) > 0 {
		t.Errorf("%v in %s", problems, data)
	}
}
