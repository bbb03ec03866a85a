package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	"github.com/pilothouse-mesh/pilothouse/ctl/install"
	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
)

// sideBySide installs a second revision, moves namespaces to it by a tag and by a label, and takes the first one
// out: the second injects as before, and none of its requests fails meanwhile.
func (w *world) sideBySide(ctx context.Context) {
	w.Helper()
	w.verified(ctx, operator.Settings{})
	canary := operator.Settings{Revision: "canary", Profile: "minimal"}
	if err := w.mesh.SetTag(ctx, "canary", "prod", false); err == nil || !strings.Contains(err.Error(), "not installed") {
		w.Errorf("a tag of no revision: %v", err)
	}
	if err := w.mesh.Install(ctx, canary, false); err != nil {
		w.Fatal(err)
	}
	if err := w.mesh.SetTag(ctx, "default", "prod", false); err != nil {
		w.Fatal(err)
	}
	moved := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "moved", Labels: map[string]string{"istio.io/rev": "prod"}}}
	if _, err := w.client.CoreV1().Namespaces().Create(ctx, moved, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.injectedBy(ctx, "moved", "first", "default")
	if err := w.mesh.SetTag(ctx, "canary", "prod", false); !errors.Is(err, install.ErrTagExists) {
		w.Errorf("a tag of another revision: %v", err)
	}
	if err := w.mesh.SetTag(ctx, "canary", "prod", true); err != nil {
		w.Fatal(err)
	}
	w.injectedBy(ctx, "moved", "second", "canary")
	if err := w.mesh.SetTag(ctx, "default", "canary", true); err == nil {
		w.Error("a tag is called as a revision that is installed")
	}
	w.defaultTag(ctx)
	tags, err := w.mesh.Tags(ctx)
	if err != nil || len(tags) != 1 || tags[0].Revision != "canary" || !slices.Equal(tags[0].Namespaces, []string{"moved"}) {
		w.Errorf("tags %v, %v", tags, err)
	}
	w.nothingWasDenied()
	load := loading(ctx, w.sampleMoves(ctx))
	load.meanwhile("the other revision is uninstalled")
	if err := w.mesh.Uninstall(ctx, "default", true); err != nil {
		w.Fatal(err)
	}
	if wrong := w.faults(ctx, operator.Settings{}); len(wrong) == 0 {
		w.Error("what is uninstalled is verified")
	}
	w.verified(ctx, canary)
	w.injectedBy(ctx, "moved", "third", "canary")
	load.end(w)
}

// defaultTag has tag default stand for canary while revision default is there: what names no revision is
// canary's, until the tag is removed.
func (w *world) defaultTag(ctx context.Context) {
	w.Helper()
	unnamed := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "unnamed", Labels: map[string]string{"istio-injection": "enabled"}}}
	if _, err := w.client.CoreV1().Namespaces().Create(ctx, unnamed, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	if err := w.mesh.SetTag(ctx, "canary", "default", false); err != nil {
		w.Fatal(err)
	}
	w.injectedBy(ctx, "unnamed", "first", "canary")
	if err := w.mesh.Install(ctx, operator.Settings{}, false); err != nil {
		w.Fatal(err)
	}
	w.injectedBy(ctx, "unnamed", "second", "canary")
	if err := w.mesh.RemoveTag(ctx, "default"); err != nil {
		w.Fatal(err)
	}
	w.injectedBy(ctx, "unnamed", "third", "default")
	if err := w.client.CoreV1().Namespaces().Delete(ctx, "unnamed", metav1.DeleteOptions{}); err != nil {
		w.Error(err)
	}
}

func (w *world) verified(ctx context.Context, s operator.Settings) {
	w.Helper()
	if wrong := w.faults(ctx, s); len(wrong) > 0 {
		w.Errorf("the installation of %q: %v", s.Revision, wrong)
	}
}

// faults tells what is wrong with an installation.
func (w *world) faults(ctx context.Context, s operator.Settings) []string {
	w.Helper()
	p, err := s.Plan()
	if err != nil {
		w.Fatal(err)
	}
	_, wrong, err := w.mesh.Verify(ctx, p)
	if err != nil {
		w.Fatal(err)
	}
	return wrong
}

// injectedBy makes a pod in a namespace, and looks which revision gave it its sidecar.
func (w *world) injectedBy(ctx context.Context, namespace, name, revision string) {
	w.Helper()
	pods := w.client.CoreV1().Pods(namespace)
	made := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "pilothouse/pause:dev", ImagePullPolicy: corev1.PullNever}}},
	}
	// A moment after a webhook was changed an API server may still ask the former one.
	w.until(ctx, "a pod of "+revision, func(ctx context.Context) (bool, error) {
		pod, err := pods.Create(ctx, made, metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		var status struct{ Revision string }
		if err := json.Unmarshal([]byte(pod.Annotations["sidecar.istio.io/status"]), &status); err != nil {
			return false, err
		}
		if status.Revision == revision {
			return true, nil
		}
		zero := int64(0)
		err = pods.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &zero})
		return false, fmt.Errorf("revision %q: %w", status.Revision, err)
	})
}

// somebodysNamespace has the namespace of the mesh there before, with something in it that is to stay.
func (w *world) somebodysNamespace(ctx context.Context) {
	w.Helper()
	meta := metav1.ObjectMeta{Name: "istio-system"}
	if _, err := w.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	meta = metav1.ObjectMeta{Name: "somebodys", Namespace: "istio-system"}
	if _, err := w.client.CoreV1().ConfigMaps(meta.Namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.until(ctx, "what controllers make in a namespace", func(ctx context.Context) (bool, error) {
		_, root := w.client.CoreV1().ConfigMaps(meta.Namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		_, account := w.client.CoreV1().ServiceAccounts(meta.Namespace).Get(ctx, "default", metav1.GetOptions{})
		return root == nil && account == nil, errors.Join(root, account)
	})
}

// somebodysDefinition has one of Istio's kinds there before, with an object, which are to stay when the mesh goes.
func (w *world) somebodysDefinition(ctx context.Context) {
	w.Helper()
	const name = "workloadgroups.networking.istio.io"
	all, err := sample(root + "/deploy/charts/base/files/crd-all.gen.yaml")
	if err != nil {
		w.Fatal(err)
	}
	client, err := dynamic.NewForConfig(w.config)
	if err != nil {
		w.Fatal(err)
	}
	at := slices.IndexFunc(all, func(o *unstructured.Unstructured) bool { return o.GetName() == name })
	if at < 0 {
		w.Fatalf("%s is not defined", name)
	}
	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if _, err := definitions.Create(ctx, all[at], metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	group := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup", "metadata": map[string]any{"name": "somebodys"},
		"spec": map[string]any{"template": map[string]any{"serviceAccount": "default"}},
	}}
	groups := client.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "workloadgroups"})
	w.until(ctx, "an object of somebody's kind", func(ctx context.Context) (bool, error) {
		_, err := groups.Namespace("istio-system").Create(ctx, group, metav1.CreateOptions{})
		return err == nil, err
	})
	w.until(ctx, "discovery of somebody's kind", func(ctx context.Context) (bool, error) {
		all, err := w.objects(ctx)
		return all[name+"/istio-system/somebodys"], err
	})
}

// objects names all objects of the cluster but those that controllers make and end by themselves. While kinds come
// or go an API server may have errors for them.
func (w *world) objects(ctx context.Context) (map[string]bool, error) {
	passing := []string{"events", "pods", "replicasets", "endpoints", "endpointslices", "controllerrevisions", "podmetrics", "certificatesigningrequests", "ipaddresses", "componentstatuses"}
	client, err := dynamic.NewForConfig(w.config)
	disco, err2 := discovery.NewDiscoveryClientForConfig(w.config)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	lists, err := disco.ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || slices.Contains(passing, r.Name) {
				continue
			}
			found, err := client.Resource(gv.WithResource(r.Name)).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) { // a kind that is just going
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list %s.%s: %w", r.Name, gv.Group, err)
			}
			for _, o := range found.Items {
				if r.Name == "leases" && strings.HasPrefix(o.GetNamespace(), "kube-") {
					continue
				}
				out[r.Name+"."+gv.Group+"/"+o.GetNamespace()+"/"+o.GetName()] = true
			}
		}
	}
	return out, nil
}

// leavesNothing takes the last revision out, and the sample, after which all objects are those of before.
func (w *world) leavesNothing(ctx context.Context, before map[string]bool) {
	w.Helper()
	if err := w.mesh.Uninstall(ctx, "canary", true); err != nil {
		w.Fatal(err)
	}
	for _, namespace := range []string{"moved", shifted} {
		if err := w.client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}); err != nil {
			w.Error(err)
		}
	}
	w.kubectl(ctx, w.sample("bookinfo.yaml"), "delete", "-f", "-")
	w.isAs(ctx, before)
}

// isAs waits until the cluster has the objects that it had before, and no others.
func (w *world) isAs(ctx context.Context, before map[string]bool) {
	w.Helper()
	w.until(ctx, "the end of all that was made", func(ctx context.Context) (bool, error) {
		var other []string
		now, err := w.objects(ctx)
		if err != nil {
			return false, err
		}
		for name := range now {
			if !before[name] {
				other = append(other, "left: "+name)
			}
		}
		for name := range before {
			if !now[name] {
				other = append(other, "missing: "+name)
			}
		}
		slices.Sort(other)
		return len(other) == 0, errors.New(strings.Join(other, "\n"))
	})
}
