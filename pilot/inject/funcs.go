package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"istio.io/api/annotation"
	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// functions are what templates may call: sprig without its access to environment, clock and
// chance, the functions that templates for Istio call, and a few for our own templates. ProxyConfigs are written by w.
func functions(w *proxyConfigWriter) template.FuncMap {
	f := sprig.HermeticTxtFuncMap()
	maps.Copy(f, template.FuncMap{
		"annotation":          annotated,
		"text":                text,
		"isset":               func(m map[string]string, key string) bool { _, ok := m[key]; return ok },
		"valueOrDefault":      valueOrDefault,
		"contains":            func(part, text string) bool { return strings.Contains(text, part) },
		"indent":              indent,
		"toJSON":              toJSON,
		"toJson":              toJSON,
		"fromJSON":            fromJSON,
		"structToJSON":        toJSON,
		"protoToJSON":         w.protoToJSON,
		"toYaml":              toYAML,
		"formatDuration":      func(d *durationpb.Duration) string { return d.AsDuration().String() },
		"directory":           directory,
		"toLower":             strings.ToLower,
		"parseBool":           strconv.ParseBool,
		"excludeInboundPort":  excludeInboundPort,
		"includeInboundPorts": includeInboundPorts,
		"applicationPorts":    applicationPorts,
		"excludeInterfaces":   func(s string) string { return s },
		"kubevirtInterfaces":  func(s string) string { return s },
		"virtualInterfaces":   virtualInterfaces,
		"canonicalName":       canonicalName,
		"canonicalRevision":   canonicalRevision,
		"proxyConfigJSON":     w.json,
		"podPorts":            podPorts,
		"appContainers":       func(spec corev1.PodSpec) string { return strings.Join(appContainers(spec), ",") },
		"firstApp":            firstApp,
		"userVolumes":         userVolumes,
		"userVolumeMounts":    userVolumeMounts,
		"env":                 func(_, fallback string) string { return fallback },
		"omit":                omit,
		"omitNil":             omitNil,
		"strdict":             strdict,
		"mergeMaps":           mergeMaps,
		"toJsonMap":           func(m ...map[string]string) (string, error) { return toJSON(mergeMaps(m...)) },
		"appendMultusNetwork": appendMultusNetwork,

		"otelResourceAttributes": otelResourceAttributes,
	})
	return f
}

func firstNonEmpty(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// annotated gives an annotation's value, or a default.
func annotated(meta metav1.ObjectMeta, name string, fallback any) string {
	if v, ok := meta.Annotations[name]; ok {
		return v
	}
	switch fallback := fallback.(type) {
	case nil:
		return ""
	case string:
		return fallback
	}
	return fmt.Sprint(fallback)
}

// text writes a value in quotes, as sprig's quote does with any number of them. Templates call it most of all.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return `""`
	case string:
		return strconv.Quote(v)
	}
	return strconv.Quote(fmt.Sprint(v))
}

func toJSON(v any) (string, error) {
	out, err := json.Marshal(v)
	return string(out), err
}

func fromJSON(text string) (any, error) {
	var out any
	err := json.Unmarshal([]byte(text), &out)
	return out, err
}

// protoToJSON leaves out of a ProxyConfig what is the default: the agent knows it too.
func (w *proxyConfigWriter) protoToJSON(m proto.Message) (string, error) {
	if pc, ok := m.(*meshconfig.ProxyConfig); ok {
		return w.json(pc)
	}
	data, err := protojson.Marshal(m)
	return string(compact(data)), err
}

func toYAML(v any) (string, error) {
	out, err := yaml.Marshal(v)
	return strings.TrimSuffix(string(out), "\n"), err
}

// directory gives the folder of a file, with a slash at its end.
func directory(file string) string {
	return strings.TrimSuffix(path.Dir(file), "/") + "/"
}

// excludeInboundPort adds a port to a list of ports; 0 and "" add none.
func excludeInboundPort(port any, list string) string {
	p := strings.TrimSpace(fmt.Sprint(port))
	var out []string
	for _, item := range append(strings.Split(list, ","), p) {
		if item = strings.TrimSpace(item); item != "" && item != "0" && !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return strings.Join(out, ",")
}

// includeInboundPorts lists the TCP ports of all containers, applicationPorts those of all but the proxy.
func includeInboundPorts(containers []corev1.Container) string {
	var out []string
	for _, c := range containers {
		for _, p := range c.Ports {
			if p.Protocol == "" || p.Protocol == corev1.ProtocolTCP {
				out = append(out, strconv.Itoa(int(p.ContainerPort)))
			}
		}
	}
	return strings.Join(out, ",")
}

func applicationPorts(containers []corev1.Container) string {
	return includeInboundPorts(slices.DeleteFunc(slices.Clone(containers), func(c corev1.Container) bool { return c.Name == model.ProxyContainer }))
}

func virtualInterfaces(meta metav1.ObjectMeta) string {
	return firstNonEmpty(meta.Annotations[annotation.IoIstioRerouteVirtualInterfaces.Name],
		meta.Annotations[annotation.SidecarTrafficKubevirtInterfaces.Name])
}

// canonicalName gives the service to which a workload belongs in telemetry.
func canonicalName(labels map[string]string, workload string) string {
	return asLabel(firstNonEmpty(labels["service.istio.io/canonical-name"], labels["app.kubernetes.io/name"],
		labels["app"], workload))
}

// asLabel cuts a name to what a label's value may be: 63 characters, the last a letter or a digit. A
// workload's name may have 253.
func asLabel(name string) string {
	const longest = 63
	if len(name) > longest {
		name = strings.TrimRight(name[:longest], "-._")
	}
	return name
}

func canonicalRevision(labels map[string]string) string {
	return firstNonEmpty(labels["service.istio.io/canonical-revision"], labels["app.kubernetes.io/version"],
		labels["version"], "latest")
}

// podPorts gives the ports of all containers as a JSON array.
func podPorts(spec corev1.PodSpec) (string, error) {
	ports := []corev1.ContainerPort{}
	for _, c := range spec.Containers {
		ports = append(ports, c.Ports...)
	}
	return toJSON(ports)
}

func appContainers(spec corev1.PodSpec) []string {
	var out []string
	for _, c := range spec.Containers {
		if c.Name != model.ProxyContainer {
			out = append(out, c.Name)
		}
	}
	return out
}

func firstApp(spec corev1.PodSpec) string {
	return firstNonEmpty(appContainers(spec)...)
}

// resources gives the proxy's resources as JSON: those of the annotations, if there are any, else the defaults.
func resources(annotations map[string]string, defaults string) (string, error) {
	out := map[string]map[string]string{}
	for _, r := range []struct{ kind, resource, annotation string }{
		{"requests", "cpu", annotation.SidecarProxyCPU.Name},
		{"requests", "memory", annotation.SidecarProxyMemory.Name},
		{"limits", "cpu", annotation.SidecarProxyCPULimit.Name},
		{"limits", "memory", annotation.SidecarProxyMemoryLimit.Name},
	} {
		if v, ok := annotations[r.annotation]; ok {
			if out[r.kind] == nil {
				out[r.kind] = map[string]string{}
			}
			out[r.kind][r.resource] = v
		}
	}
	if len(out) == 0 {
		return defaults, nil
	}
	return toJSON(out)
}

func userVolumes(meta metav1.ObjectMeta) (map[string]corev1.Volume, error) {
	sources := map[string]corev1.VolumeSource{}
	if err := fromAnnotation(meta, annotation.SidecarUserVolume.Name, &sources); err != nil {
		return nil, err
	}
	out := map[string]corev1.Volume{}
	for name, source := range sources {
		out[name] = corev1.Volume{Name: name, VolumeSource: source}
	}
	return out, nil
}

func userVolumeMounts(meta metav1.ObjectMeta) (map[string]corev1.VolumeMount, error) {
	mounts := map[string]corev1.VolumeMount{}
	if err := fromAnnotation(meta, annotation.SidecarUserVolumeMount.Name, &mounts); err != nil {
		return nil, err
	}
	for name, mount := range mounts {
		mount.Name = name
		mounts[name] = mount
	}
	return mounts, nil
}

func fromAnnotation(meta metav1.ObjectMeta, name string, into any) error {
	text, ok := meta.Annotations[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("annotation %s: %w", name, err)
	}
	return nil
}
