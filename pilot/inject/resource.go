package inject

import (
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
)

// attributeAnnotation begins the annotations by which pods say attributes of their own
// (https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes).
const attributeAnnotation = "resource.opentelemetry.io/"

// podUID stands for the pod's UID, which its kubelet puts in.
const podUID = "$(POD_UID)"

// conventional tells whether a provider of the mesh wants spans of services that are named by OpenTelemetry's
// conventions.
func conventional(mesh *meshconfig.MeshConfig) bool {
	return slices.ContainsFunc(mesh.GetExtensionProviders(), func(p *meshconfig.MeshConfig_ExtensionProvider) bool {
		return p.GetOpentelemetry().GetServiceAttributeEnrichment() == meshconfig.MeshConfig_ExtensionProvider_OTEL_SEMANTIC_CONVENTIONS
	})
}

// otelResourceAttributes gives what a pod's proxy says of its service by OpenTelemetry's conventions, but for the name,
// as the value of OTEL_RESOURCE_ATTRIBUTES; "" where no provider asks. Istio's templates call it so.
func otelResourceAttributes(mesh *meshconfig.MeshConfig, annotations, labels map[string]string, namespace string) string {
	if !conventional(mesh) {
		return ""
	}
	said := func(name string) string { return annotations[attributeAnnotation+name] }
	return joinAttributes(
		attribute("service.namespace", firstNonEmpty(said("service.namespace"), namespace)),
		attribute("service.version", firstNonEmpty(said("service.version"), labels["app.kubernetes.io/version"])),
		attribute("service.instance.id", firstNonEmpty(said("service.instance.id"), podUID)),
	)
}

// resource gives the same with the service's name, which Istio's control plane tells proxies and ours does not, since
// they share their configuration.
func (d *templateData) resource() string {
	rest := otelResourceAttributes(d.MeshConfig, d.ObjectMeta.Annotations, d.ObjectMeta.Labels, d.ObjectMeta.Namespace)
	if rest == "" {
		return ""
	}
	name := firstNonEmpty(d.ObjectMeta.Annotations[attributeAnnotation+"service.name"], d.ObjectMeta.Labels["app.kubernetes.io/name"],
		d.DeploymentMeta.Name, "$(POD_NAME)")
	return joinAttributes(attribute("service.name", name), rest)
}

// attributeEscaper takes out what separates attributes. Envoy decodes nothing, so all else stays readable.
var attributeEscaper = strings.NewReplacer(",", "%2C", "=", "%3D")

// attribute gives "" for one without a value, which Envoy does not take.
func attribute(key, value string) string {
	if value = strings.TrimSpace(value); value == "" {
		return ""
	}
	return key + "=" + attributeEscaper.Replace(value)
}

func joinAttributes(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(a string) bool { return a == "" }), ",")
}
