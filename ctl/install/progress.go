package install

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ready waits until a workload's pods are all new and available, and tells how far it is. Where ctx ends
// before, the error says what its pods wait for.
func (c *Cluster) ready(ctx context.Context, o *unstructured.Unstructured, done func(*unstructured.Unstructured) bool, wanted, available []string) error {
	last := ""
	err := c.until(ctx, o, "is not ready", func(now *unstructured.Unstructured) bool {
		want, _, _ := unstructured.NestedInt64(now.Object, wanted...)
		have, _, _ := unstructured.NestedInt64(now.Object, available...)
		if line := fmt.Sprintf("%s: %d of %d are ready", o.GetName(), have, want); line != last {
			c.say(line)
			last = line
		}
		return done(now)
	})
	if err == nil {
		return nil
	}
	asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), reasonsTimeout)
	defer cancel()
	for _, reason := range c.reasons(asked, o) {
		err = errors.Join(err, errors.New(reason))
	}
	return err
}

// reasonsTimeout is how long it may take to find out why pods are not ready.
const reasonsTimeout = 5 * time.Second

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// reasons tells what the pods of a workload wait for, as far as the API server says.
func (c *Cluster) reasons(ctx context.Context, o *unstructured.Unstructured) []string {
	selector, _, _ := unstructured.NestedStringMap(o.Object, "spec", "selector", "matchLabels")
	list, err := c.client.Resource(pods).Namespace(o.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(selector).String()})
	if err != nil {
		return nil
	}
	var out []string
	if len(list.Items) == 0 {
		out = append(out, "it has no pods, which its ReplicaSet's events explain: kubectl -n "+o.GetNamespace()+" get events")
	}
	for _, pod := range list.Items {
		conditions, _, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
		for _, each := range conditions {
			if m, _ := each.(map[string]any); m["type"] == "PodScheduled" && m["status"] == "False" {
				out = append(out, fmt.Sprintf("Pod %s is on no node: %v", pod.GetName(), m["message"]))
			}
		}
		for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
			statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", field)
			for _, each := range statuses {
				m, _ := each.(map[string]any)
				waiting, found, _ := unstructured.NestedMap(m, "state", "waiting")
				if !found {
					continue
				}
				out = append(out, strings.TrimRight(fmt.Sprintf("container %v of Pod %s waits: %v %v", m["name"], pod.GetName(), waiting["reason"], text(waiting["message"])), " "))
			}
		}
	}
	return out
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
