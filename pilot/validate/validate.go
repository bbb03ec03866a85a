// Package validate tells what is wrong with a decoded object: rules about its meaning that its
// schema does not hold, as Istio documents them. An Error keeps the object out of effect, a
// Warning does not. It is pure, and sources call it before they hand an object to the store.
package validate

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	networkingbeta "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Object gives the problems of one object, sorted by field.
func Object(o *model.Object) []model.Problem {
	c := &checker{object: o}
	c.metadata()
	switch spec := o.Spec.(type) {
	case *networking.VirtualService:
		c.virtualService(spec)
	case *networking.DestinationRule:
		c.destinationRule(spec)
	case *networking.Gateway:
		c.gateway(spec)
	case *networkingbeta.ProxyConfig:
		c.proxyConfigObject(spec)
	case *networking.EnvoyFilter:
		c.envoyFilter(spec)
	case *networking.Sidecar:
		c.sidecar(spec)
	case *networking.ServiceEntry:
		c.serviceEntry(spec)
	case *networking.WorkloadEntry:
		c.workloadEntry(spec)
	case *networking.WorkloadGroup:
		c.workloadGroup(spec)
	case *security.PeerAuthentication:
		c.peerAuthentication(spec)
	case *telemetry.Telemetry:
		c.telemetry(spec)
	case *security.RequestAuthentication:
		c.requestAuthentication(spec)
	case *security.AuthorizationPolicy:
		c.authorizationPolicy(spec)
	case *meshconfig.MeshConfig:
		c.mesh(spec)
	case *meshconfig.MeshNetworks:
		c.networks(spec)
	case *corev1.Service:
		c.service(spec)
	case *corev1.Pod:
		c.pod(spec)
	case *appsv1.Deployment:
		c.deployment(spec)
	case *networkingv1.Ingress:
		c.kubernetesIngress(spec)
	case *discoveryv1.EndpointSlice:
		c.endpointSlice(spec)
	case *corev1.Namespace:
		c.distributionAnnotation() // which its services have
	}
	if spec, ok := o.Spec.(proto.Message); ok {
		root := "spec"
		if o.Kind == model.KindMeshConfig || o.Kind == model.KindMeshNetworks {
			root = "" // it is no Kubernetes object, its fields stand at the top
		}
		c.walk(root, spec)
	}
	slices.SortFunc(c.problems, model.CompareProblems)
	return slices.Compact(c.problems)
}

// checker collects the problems of one object.
type checker struct {
	object   *model.Object
	problems []model.Problem
}

func (c *checker) add(field string, sev model.Severity, reason model.Reason, format string, args ...any) {
	c.problems = append(c.problems, model.Problem{
		Object: c.object.Key, Field: field, Severity: sev, Reason: reason,
		Message: fmt.Sprintf(format, args...), Origin: c.object.Origin,
	})
}

// fail reports what keeps the object out of effect.
func (c *checker) fail(field, format string, args ...any) {
	c.add(field, model.SeverityError, model.ReasonInvalid, format, args...)
}

// overridden reports what something else takes the effect of.
func (c *checker) overridden(field, format string, args ...any) {
	c.add(field, model.SeverityWarning, model.ReasonConflict, format, args...)
}

// warn reports what is probably not as meant.
func (c *checker) warn(field, format string, args ...any) {
	c.add(field, model.SeverityWarning, model.ReasonInvalid, format, args...)
}

// missing reports a field that has to be set.
func (c *checker) missing(field string) { c.fail(field, "is missing; set it") }

// at gives the path of an item.
func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// entry gives the path of a map's value.
func entry(path, key string) string { return fmt.Sprintf("%s[%s]", path, key) }

// metadata checks the names, which become parts of resource names and hostnames.
func (c *checker) metadata() {
	if c.object.Namespace != "" && !isPlainName(c.object.Namespace) && len(validation.IsDNS1123Label(c.object.Namespace)) > 0 {
		c.fail("metadata.namespace", "%q is no namespace name; use lower-case letters, digits and dashes", c.object.Namespace)
	}
	if isPlainName(c.object.Name) {
		return
	}
	valid := validation.IsDNS1123Subdomain
	switch c.object.Kind {
	case model.KindService:
		valid = func(name string) []string { return validation.IsDNS1035Label(name) }
	case model.KindNamespace:
		valid = func(name string) []string { return validation.IsDNS1123Label(name) }
	}
	if len(valid(c.object.Name)) > 0 {
		c.fail("metadata.name", "%q is no valid name of a %s; use lower-case letters, digits and dashes", c.object.Name, c.object.Kind)
	}
}

// isPlainName tells whether any object or namespace may have a name, as it may nearly all that there are. It takes a
// hundredth of the time of a pattern.
func isPlainName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', i > 0 && c >= '0' && c <= '9', i > 0 && c == '-':
		default:
			return false
		}
	}
	return name != "" && len(name) <= validation.DNS1123LabelMaxLength && !strings.HasSuffix(name, "-")
}

// exportTo checks a list of namespaces, and reports what is none.
func (c *checker) exportTo(field string, list []string, report func(field, format string, args ...any)) {
	for i, ns := range list {
		switch ns {
		case ".", "~":
			continue
		case "*":
			if len(list) > 1 {
				c.warn(field, `contains "*", which overrides the other entries; remove it or them`)
			}
			continue
		}
		if len(validation.IsDNS1123Label(ns)) > 0 {
			report(at(field, i), `%q is no namespace; use a name, ".", "*" or "~"`, ns)
		}
		if slices.Contains(list[:i], ns) {
			c.warn(at(field, i), "names %q twice; remove one", ns)
		}
	}
}

// annotations checks the names of annotations.
func (c *checker) annotations(field string, annotations map[string]string) {
	for _, k := range sortedKeys(annotations) {
		if problems := validation.IsQualifiedName(strings.ToLower(k)); len(problems) > 0 {
			c.fail(field, "%q is no annotation name: %s", k, problems[0])
		}
	}
}

// labels checks labels that select workloads.
func (c *checker) labels(field string, labels map[string]string) {
	for _, k := range sortedKeys(labels) {
		if problems := validation.IsQualifiedName(k); len(problems) > 0 {
			c.fail(field, "%q is no label name: %s", k, problems[0])
		}
		if problems := validation.IsValidLabelValue(labels[k]); len(problems) > 0 {
			c.fail(entry(field, k), "%q is no label value: %s", labels[k], problems[0])
		}
	}
}
