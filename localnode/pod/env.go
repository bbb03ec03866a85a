package pod

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/localnode/volume"
)

// fields reads the downward API of one pod. Container is the one that asks, nil in a volume.
type fields struct {
	pod       *corev1.Pod
	container *corev1.Container
	capacity  corev1.ResourceList // the machine's, where a container has no limit
}

// Field gives the value of a fieldRef's path.
func (f fields) Field(path string) (string, error) {
	p := f.pod
	if name, ok := strings.CutSuffix(path, "']"); ok {
		if key, ok := strings.CutPrefix(name, "metadata.labels['"); ok {
			return p.Labels[key], nil
		}
		if key, ok := strings.CutPrefix(name, "metadata.annotations['"); ok {
			return p.Annotations[key], nil
		}
	}
	switch path {
	case "metadata.name":
		return p.Name, nil
	case "metadata.namespace":
		return p.Namespace, nil
	case "metadata.uid":
		return string(p.UID), nil
	case "metadata.labels":
		return formatMap(p.Labels), nil
	case "metadata.annotations":
		return formatMap(p.Annotations), nil
	case "spec.nodeName":
		return p.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return p.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.hostIPs":
		return p.Status.HostIP, nil
	case "status.podIP", "status.podIPs":
		return p.Status.PodIP, nil
	}
	return "", fmt.Errorf("fieldPath %q is not one that a pod has", path)
}

// formatMap writes labels or annotations as the downward API does: one key="value" a line.
func formatMap(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%q\n", k, m[k])
	}
	return b.String()
}

// Resource gives the value of a resourceFieldRef, in units of its divisor, rounded up.
func (f fields) Resource(ref *corev1.ResourceFieldSelector) (string, error) {
	c := f.container
	if ref.ContainerName != "" {
		c = findContainer(f.pod, ref.ContainerName)
	}
	if c == nil {
		return "", fmt.Errorf("resourceFieldRef %s names container %q, which the pod does not have", ref.Resource, ref.ContainerName)
	}
	list, name, ok := strings.Cut(ref.Resource, ".")
	var q resource.Quantity
	switch list {
	case "limits":
		if q, ok = c.Resources.Limits[corev1.ResourceName(name)]; !ok {
			q, ok = f.capacity[corev1.ResourceName(name)]
		}
	case "requests":
		q = c.Resources.Requests[corev1.ResourceName(name)]
	default:
		ok = false
	}
	if !ok {
		return "", fmt.Errorf("resource %q is not one that a container has", ref.Resource)
	}
	if name == string(corev1.ResourceCPU) {
		return divide(float64(q.MilliValue()), float64(ref.Divisor.MilliValue()), 1000), nil
	}
	return divide(float64(q.Value()), float64(ref.Divisor.Value()), 1), nil
}

func divide(value, divisor, one float64) string {
	if divisor == 0 {
		divisor = one
	}
	return strconv.FormatInt(int64(math.Ceil(value/divisor)), 10)
}

// environment gives the container's variables in order. Later ones replace earlier ones of the
// same name, and may refer to them as $(NAME).
func environment(f fields, objects volume.Objects) ([]corev1.EnvVar, error) {
	e := envBuilder{values: map[string]string{}}
	for _, from := range f.container.EnvFrom {
		if err := e.addFrom(f.pod.Namespace, from, objects); err != nil {
			return nil, fmt.Errorf("envFrom: %w", err)
		}
	}
	for _, v := range f.container.Env {
		value, ok, err := envValue(f, v, objects)
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", v.Name, err)
		}
		if !ok {
			continue
		}
		if v.ValueFrom == nil {
			value = expand(value, e.values)
		}
		e.set(v.Name, value)
	}
	vars := make([]corev1.EnvVar, 0, len(e.order))
	for _, name := range e.order {
		vars = append(vars, corev1.EnvVar{Name: name, Value: e.values[name]})
	}
	return vars, nil
}

type envBuilder struct {
	order  []string
	values map[string]string
}

func (e *envBuilder) set(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.order = append(e.order, name)
	}
	e.values[name] = value
}

func (e *envBuilder) addFrom(namespace string, from corev1.EnvFromSource, objects volume.Objects) error {
	data := map[string]string{}
	switch {
	case from.ConfigMapRef != nil:
		cm, ok := objects.ConfigMap(namespace, from.ConfigMapRef.Name)
		if !ok {
			return missingUnless(from.ConfigMapRef.Optional, "ConfigMap", namespace, from.ConfigMapRef.Name)
		}
		data = cm.Data
	case from.SecretRef != nil:
		s, ok := objects.Secret(namespace, from.SecretRef.Name)
		if !ok {
			return missingUnless(from.SecretRef.Optional, "Secret", namespace, from.SecretRef.Name)
		}
		data = secretData(s)
	}
	for _, k := range slices.Sorted(maps.Keys(data)) {
		if len(validation.IsRelaxedEnvVarName(from.Prefix+k)) > 0 {
			continue // no variable can have that name; a kubelet leaves it out as well
		}
		e.set(from.Prefix+k, data[k])
	}
	return nil
}

// envValue gives one variable's value; ok is false for an optional reference to nothing.
func envValue(f fields, v corev1.EnvVar, objects volume.Objects) (value string, ok bool, err error) {
	src := v.ValueFrom
	ns := f.pod.Namespace
	switch {
	case src == nil:
		return v.Value, true, nil
	case src.FieldRef != nil:
		value, err = f.Field(src.FieldRef.FieldPath)
		return value, true, err
	case src.ResourceFieldRef != nil:
		value, err = f.Resource(src.ResourceFieldRef)
		return value, true, err
	case src.ConfigMapKeyRef != nil:
		if cm, found := objects.ConfigMap(ns, src.ConfigMapKeyRef.Name); found {
			value, ok = cm.Data[src.ConfigMapKeyRef.Key]
		}
		if !ok {
			err = missingUnless(src.ConfigMapKeyRef.Optional, "ConfigMap", ns, src.ConfigMapKeyRef.Name+" with key "+src.ConfigMapKeyRef.Key)
		}
		return value, ok, err
	case src.SecretKeyRef != nil:
		if s, found := objects.Secret(ns, src.SecretKeyRef.Name); found {
			value, ok = secretData(s)[src.SecretKeyRef.Key]
		}
		if !ok {
			err = missingUnless(src.SecretKeyRef.Optional, "Secret", ns, src.SecretKeyRef.Name+" with key "+src.SecretKeyRef.Key)
		}
		return value, ok, err
	}
	return "", false, fmt.Errorf("valueFrom names no source that can be read locally")
}

func secretData(s *corev1.Secret) map[string]string {
	data := make(map[string]string, len(s.Data)+len(s.StringData))
	for k, v := range s.Data {
		data[k] = string(v)
	}
	maps.Copy(data, s.StringData)
	return data
}

func missingUnless(optional *bool, kind, namespace, name string) error {
	if optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("%s %s/%s is not in the mesh's directory", kind, namespace, name)
}

// expand replaces $(NAME) by its value. A name without a value stays as it is written, and $$
// stands for one dollar, so that $$(NAME) is never replaced.
func expand(s string, values map[string]string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		s = s[i:]
		switch end := strings.IndexByte(s, ')'); {
		case s[1] == '$':
			b.WriteByte('$')
			s = s[2:]
		case s[1] == '(' && end > 0:
			if v, ok := values[s[2:end]]; ok {
				b.WriteString(v)
			} else {
				b.WriteString(s[:end+1])
			}
			s = s[end+1:]
		default:
			b.WriteByte('$')
			s = s[1:]
		}
	}
}

func expandAll(in []string, values map[string]string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = expand(s, values)
	}
	return out
}

func findContainer(p *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}
