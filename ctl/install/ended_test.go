package install

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	kubetesting "k8s.io/client-go/testing"
)

// ending is a cluster with a control plane, its ReplicaSet and pod, and another's pod. Once asked to, the pod
// is there for so long, if the node ends it at all; the programs are there until then.
func ending(t *testing.T, takes time.Duration) (c *Cluster, made []*unstructured.Unstructured, deleted *[]string) {
	t.Helper()
	object := func(group, kind, name, owner string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"terminationGracePeriodSeconds": int64(30)}}}
		o.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
		o.SetNamespace("istio-system")
		o.SetName(name)
		o.SetUID(types.UID("uid of " + name))
		if owner != "" {
			o.SetOwnerReferences([]metav1.OwnerReference{{UID: types.UID("uid of " + owner)}})
		}
		return o
	}
	replicaSets := podOwners[2]
	kinds := map[schema.GroupVersionResource]string{
		pods: "PodList", deployments: "DeploymentList", podOwners[1]: "DaemonSetList", replicaSets: "ReplicaSetList",
	}
	made = []*unstructured.Unstructured{
		object("apps", "Deployment", "istiod", ""), object("rbac.authorization.k8s.io", "Role", "istiod", ""), object("", "ServiceAccount", "istiod", ""),
	}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, made[0], made[1], made[2],
		object("apps", "ReplicaSet", "istiod-1", "istiod"), object("", "Pod", "istiod-1-a", "istiod-1"), object("", "Pod", "other", "other"),
	)
	var names []string
	var began time.Time
	client.PrependReactor("delete", "*", func(a kubetesting.Action) (bool, runtime.Object, error) {
		names = append(names, a.GetResource().Resource)
		if a.GetResource() != deployments {
			return false, nil, nil
		}
		if how := a.(kubetesting.DeleteAction).GetDeleteOptions().PropagationPolicy; how == nil || *how != metav1.DeletePropagationForeground {
			t.Error("the program goes before its pods")
		}
		if began.IsZero() {
			began = time.Now()
		}
		return true, nil, nil
	})
	client.PrependReactor("list", "*", func(a kubetesting.Action) (bool, runtime.Object, error) {
		tracker := client.Tracker()
		after := time.Since(began)
		if a.GetResource() != pods || began.IsZero() {
			return false, nil, nil
		}
		if after > takes { // as controllers and kubelet do
			if tracker.Delete(pods, "istio-system", "istiod-1-a") == nil {
				names = append(names, "the pod's end")
				if err := errors.Join(tracker.Delete(replicaSets, "istio-system", "istiod-1"), tracker.Delete(deployments, "istio-system", "istiod")); err != nil {
					t.Error(err)
				}
			}
			return false, nil, nil
		}
		if pod, err := tracker.Get(pods, "istio-system", "istiod-1-a"); err == nil && after > 2*time.Second {
			pod.(*unstructured.Unstructured).SetDeletionTimestamp(&metav1.Time{Time: began})
			if err := tracker.Update(pods, pod, "istio-system"); err != nil {
				t.Error(err)
			}
		}
		return false, nil, nil
	})
	c = cluster(t, "", nil)
	c.client = client
	return c, made, &names
}

// TestWhoIsInterruptedWaitsAgain stops an uninstallation while a pod ends: the next one waits for its end as well.
func TestWhoIsInterruptedWaitsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, objects, deleted := ending(t, 20*time.Second)
		stopped, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := c.deleteAll(stopped, objects, "")
		if err == nil || !strings.Contains(err.Error(), "Pod/istio-system/istiod-1-a") {
			t.Errorf("the first: %v", err)
		}
		if err := c.deleteAll(t.Context(), objects, ""); err != nil {
			t.Fatal(err)
		}
		if want := []string{"deployments", "deployments", "the pod's end", "roles", "serviceaccounts"}; !slices.Equal(*deleted, want) {
			t.Errorf("deleted in the order %v, want %v", *deleted, want)
		}
	})
}

// TestProgramsEndBeforeTheirRights has a pod end late: what it uses is there until then.
func TestProgramsEndBeforeTheirRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, objects, deleted := ending(t, 20*time.Second)
		var said []string
		c.say = func(line string) { said = append(said, line) }
		if err := c.deleteAll(t.Context(), objects, ""); err != nil {
			t.Fatal(err)
		}
		if want := []string{"deployments", "the pod's end", "roles", "serviceaccounts"}; !slices.Equal(*deleted, want) {
			t.Errorf("deleted in the order %v, want %v", *deleted, want)
		}
		if !slices.Contains(said, "waiting for the end of 1 pods") {
			t.Errorf("said %q", said)
		}
	})
}

// TestPodsOfALostNodeHoldNobodyUp goes on without a pod that nobody ends.
func TestPodsOfALostNodeHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, objects, deleted := ending(t, time.Hour)
		var said []string
		c.say = func(line string) { said = append(said, line) }
		began := time.Now()
		if err := c.deleteAll(t.Context(), objects, ""); err != nil {
			t.Fatal(err)
		}
		if want := []string{"deployments", "roles", "serviceaccounts"}; !slices.Equal(*deleted, want) {
			t.Errorf("deleted %v, want %v", *deleted, want)
		}
		if took := time.Since(began); took < 60*time.Second || took > 65*time.Second {
			t.Errorf("it waited %v for a pod whose grace period is 30 s", took)
		}
		if !strings.Contains(strings.Join(said, "\n"), "going on without the end of Deployment/istio-system/istiod, ReplicaSet/istio-system/istiod-1, Pod/istio-system/istiod-1-a") {
			t.Errorf("said %q", said)
		}
	})
}
