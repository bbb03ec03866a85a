package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/yamldoc"
)

// templateOf tells where an object of a kind has its pod's metadata and spec; nil for kinds without pods.
func templateOf(kind string) []string {
	switch kind {
	case "Deployment", "DaemonSet", "ReplicaSet", "StatefulSet", "ReplicationController", "Job", "DeploymentConfig":
		return []string{"spec", "template"}
	case "CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}
	case "Pod":
		return []string{}
	}
	return nil
}

// Manifest copies the YAML documents of in to out, and gives the pods that they have or make their proxies,
// as Pod does for the pods that a cluster makes of them. Documents without pods stay as they are. namespace is
// that of objects which name none; warn is told of pods that get no proxy.
func (in *Injector) Manifest(from File, out io.Writer, namespace string, warn func(string)) error {
	return yamldoc.Each(from.Text, func(d yamldoc.Document) error {
		document, err := in.document(d.Text, namespace, warn)
		if err != nil {
			return d.In(from.Name, err)
		}
		if document = bytes.TrimSpace(document); len(document) == 0 {
			return nil
		}
		_, err = fmt.Fprintf(out, "%s\n---\n", document)
		return err
	})
}

// File is a file with manifests.
type File struct {
	Name string
	Text []byte
}

func (in *Injector) document(text []byte, namespace string, warn func(string)) ([]byte, error) {
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &object.Object); err != nil {
		return nil, fmt.Errorf("it is no YAML: %w", err)
	}
	changed, err := in.object(object, namespace, warn)
	if err != nil || !changed {
		return text, err
	}
	return yaml.Marshal(object.Object)
}

// object injects an object, or all in a List, and tells whether anything changed.
func (in *Injector) object(o *unstructured.Unstructured, namespace string, warn func(string)) (changed bool, err error) {
	if strings.HasSuffix(o.GetKind(), "List") {
		items, ok := o.Object["items"].([]any)
		if !ok && o.Object["items"] != nil {
			return false, fmt.Errorf("%s: items is no list", o.GetKind())
		}
		for i := range items {
			item := &unstructured.Unstructured{}
			item.Object, _ = items[i].(map[string]any)
			if item.GetKind() == "" {
				return false, fmt.Errorf("%s: items[%d] is no object with a kind; correct it or take it out", o.GetKind(), i)
			}
			one, err := in.object(item, namespace, warn)
			if err != nil {
				return false, err
			}
			changed = changed || one
		}
		return changed, nil
	}
	at := templateOf(o.GetKind())
	if at == nil {
		return false, nil
	}
	name := o.GetKind() + "/" + o.GetName()
	if o.GetNamespace() != "" {
		namespace = o.GetNamespace()
	}
	holder, ok, err := unstructured.NestedFieldNoCopy(o.Object, at...)
	template, isMap := holder.(map[string]any)
	if err != nil || !ok || !isMap {
		return false, fmt.Errorf("%s: %s is missing", name, strings.Join(at, "."))
	}
	changed, err = in.template(template, o, namespace)
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	if !changed {
		warn(name + " gets no sidecar: it uses the host's network, or its pods are kept out by label, annotation, namespace or policy")
	}
	return changed, nil
}

// template injects metadata and spec of a pod, in place. The pod comes out with the defaults that injection tells
// the proxy of, as an API server would have filled them in before it asks a webhook.
func (in *Injector) template(template map[string]any, o *unstructured.Unstructured, namespace string) (bool, error) {
	text, err := json.Marshal(map[string]any{"metadata": template["metadata"], "spec": template["spec"]})
	if err != nil {
		return false, err
	}
	var pod corev1.Pod
	if err := json.Unmarshal(text, &pod); err != nil {
		return false, fmt.Errorf("its pod cannot be read: %w", err)
	}
	complete(&pod.Spec)
	named := pod.Namespace != ""
	if !named {
		pod.Namespace = namespace
	}
	injected, ok, err := in.Pod(&pod, nil, Owner{Kind: o.GetKind(), Name: o.GetName(), APIVersion: o.GetAPIVersion()})
	if err != nil || !ok {
		return false, err
	}
	if !named {
		injected.Namespace = ""
	}
	result, err := runtime.DefaultUnstructuredConverter.ToUnstructured(injected)
	if err != nil {
		return false, err
	}
	for _, part := range []string{"metadata", "spec"} {
		template[part] = result[part]
	}
	if metadata, _ := template["metadata"].(map[string]any); metadata["creationTimestamp"] == nil {
		delete(metadata, "creationTimestamp") // which is how a zero time is written
	}
	return true, nil
}
