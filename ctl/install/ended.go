package install

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
)

// isProgram tells whether an object runs pods.
func isProgram(o *unstructured.Unstructured) bool {
	return slices.Contains([]string{"Deployment", "DaemonSet"}, o.GetKind())
}

// deleteAll deletes objects in the order in which they are given, which is that of made. Before anything goes
// that programs use, such as their rights, the pods of the programs before it have ended. why ends each line
// that is said.
func (c *Cluster) deleteAll(ctx context.Context, objects []*unstructured.Unstructured, why string) error {
	running, err := c.running(ctx, objects)
	if err != nil {
		return err
	}
	programs := false
	for _, o := range objects {
		if programs && !isProgram(o) {
			if err := c.ended(ctx, running); err != nil {
				return err
			}
		}
		programs = isProgram(o)
		c.say("deleting " + nameOf(o) + why)
		if err := c.delete(ctx, o); err != nil {
			return err
		}
	}
	if programs {
		return c.ended(ctx, running)
	}
	return nil
}

// owners are the UIDs of what has pods, by namespace.
type owners map[string]map[types.UID]bool

// running finds the owners of the programs' pods. That has to be before the programs go: pods name only their
// ReplicaSets, which whoever deleted a program otherwise than this package may have taken away at once.
func (c *Cluster) running(ctx context.Context, objects []*unstructured.Unstructured) (owners, error) {
	out := owners{}
	for _, o := range objects {
		if !isProgram(o) {
			continue
		}
		if out[o.GetNamespace()] == nil {
			out[o.GetNamespace()] = map[types.UID]bool{}
		}
		out[o.GetNamespace()][o.GetUID()] = true
	}
	_, err := c.left(ctx, out)
	return out, err
}

// overdue is how long a pod may be there beyond its own grace period. Nobody ends a pod of a node that is lost.
const overdue = 30 * time.Second

// ended waits until no pod of deleted programs' is left, and tells how many are. It goes on without those that
// nobody ends. Where ctx ends before, the error names the pods.
func (c *Cluster) ended(ctx context.Context, of owners) error {
	var last error
	var said string
	since := time.Now() // when it was last known that something moves
	err := wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		var l left
		if l, last = c.left(ctx, of); last != nil {
			return false, nil
		}
		if len(l.pods) == 0 && len(l.programs) == 0 {
			return true, nil
		}
		last = fmt.Errorf("there are still %s", strings.Join(slices.Concat(l.programs, l.pods), ", "))
		if line := fmt.Sprintf("waiting for the end of %d pods", len(l.pods)); line != said {
			said, since = line, time.Now()
			if len(l.pods) > 0 {
				c.say(line)
			}
		}
		if l.asked < len(l.pods) {
			since = time.Now()
		}
		if time.Since(since) < l.grace+overdue {
			return false, nil
		}
		c.say("going on without the end of " + strings.Join(slices.Concat(l.programs, l.pods), ", "))
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the end of what was deleted: %w: %w", err, last)
	}
	return nil
}

// left is what is left of deleted programs.
type left struct {
	pods     []string      // their names
	programs []string      // the names of what has or makes pods
	asked    int           // how many of the pods were asked to end
	grace    time.Duration // the longest of their grace periods
}

// podOwners are the kinds of what has pods; those in the midst stand between a Deployment and its pods.
var podOwners = []schema.GroupVersionResource{
	deployments,
	{Group: "apps", Version: "v1", Resource: "daemonsets"},
	{Group: "apps", Version: "v1", Resource: "replicasets"},
}

// left looks for the pods of owners. ReplicaSets of theirs become owners too.
func (c *Cluster) left(ctx context.Context, of owners) (left, error) {
	var out left
	for _, namespace := range slices.Sorted(maps.Keys(of)) {
		owned := func(o *unstructured.Unstructured) bool {
			return slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return of[namespace][r.UID] })
		}
		for _, kind := range podOwners {
			list, err := c.client.Resource(kind).Namespace(namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return out, fmt.Errorf("list %s: %w", kind.Resource, err)
			}
			for _, program := range list.Items {
				if owned(&program) {
					of[namespace][program.GetUID()] = true
				}
				if of[namespace][program.GetUID()] {
					out.programs = append(out.programs, nameOf(&program))
				}
			}
		}
		list, err := c.client.Resource(pods).Namespace(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return out, fmt.Errorf("list pods: %w", err)
		}
		for _, pod := range list.Items {
			if !owned(&pod) {
				continue
			}
			out.pods = append(out.pods, nameOf(&pod))
			if pod.GetDeletionTimestamp() != nil {
				out.asked++
			}
			seconds, _, _ := unstructured.NestedInt64(pod.Object, "spec", "terminationGracePeriodSeconds")
			out.grace = max(out.grace, time.Duration(seconds)*time.Second)
		}
	}
	return out, nil
}
