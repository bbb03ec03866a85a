package incluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"istio.io/api/annotation"
	networking "istio.io/api/networking/v1alpha3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// entryManager names us among those who set fields of the WorkloadEntries of machines.
const entryManager = "pilothouse-machines"

// ClaimEntry creates the WorkloadEntry of a registered machine. One that is there stays as it is, but for the
// annotations that tell who hears the machine. Those are taken where they are of an earlier time, and where the
// entry is that of the same machine: made by registration, of the same group, address and service account. An entry
// belongs to its WorkloadGroup, and goes with it.
func ClaimEntry(ctx context.Context, objects dynamic.Interface, entry *model.Object) error {
	client := istioObjects(objects, entry.Key)
	now, err := client.Get(ctx, entry.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return createEntry(ctx, objects, entry)
	}
	if err != nil || !claimable(now, entry) {
		return err
	}
	wanted := map[string]any{annotation.IoIstioDisconnectedAt.Name: nil}
	for _, name := range []string{annotation.IoIstioConnectedAt.Name, annotation.IoIstioWorkloadController.Name, model.AnnotationAnswers} {
		wanted[name] = entry.Annotations[name]
	}
	return annotate(ctx, client, now, wanted)
}

// LeaveEntry tells of an entry that its machine has gone, unless it has come at another time than connected.
func LeaveEntry(ctx context.Context, objects dynamic.Interface, key model.Key, connected, disconnected time.Time) error {
	client := istioObjects(objects, key)
	now, err := registeredEntry(ctx, client, key, annotation.IoIstioConnectedAt.Name, connected)
	if now == nil {
		return err
	}
	return annotate(ctx, client, now, map[string]any{
		annotation.IoIstioConnectedAt.Name: nil, annotation.IoIstioDisconnectedAt.Name: stamp(disconnected),
	})
}

// RemoveEntry deletes an entry, unless its machine has come back or gone at another time than disconnected.
func RemoveEntry(ctx context.Context, objects dynamic.Interface, key model.Key, disconnected time.Time) error {
	client := istioObjects(objects, key)
	now, err := registeredEntry(ctx, client, key, annotation.IoIstioDisconnectedAt.Name, disconnected)
	if now == nil {
		return err
	}
	uid, version := now.GetUID(), now.GetResourceVersion()
	err = client.Delete(ctx, key.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// registeredEntry gives an entry that registration made and whose annotation is of a time; nil for none.
func registeredEntry(ctx context.Context, client dynamic.ResourceInterface, key model.Key, name string, at time.Time) (*unstructured.Unstructured, error) {
	now, err := client.Get(ctx, key.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case !registered(now), !annotated(now, name).Equal(at):
		return nil, nil
	}
	return now, nil
}

// registered tells whether registration made an entry as it is: it belongs to its group, and its name is of the group
// and its address. One that somebody has copied with its annotations, or given another address, is theirs.
func registered(o *unstructured.Unstructured) bool {
	group, owner := o.GetAnnotations()[annotation.IoIstioAutoRegistrationGroup.Name], metav1.GetControllerOf(o)
	if owner == nil || owner.Kind != string(model.KindWorkloadGroup) || owner.Name != group {
		return false
	}
	address, _, _ := unstructured.NestedString(o.Object, "spec", "address")
	of := strings.TrimRight(group+"-"+strings.ReplaceAll(address, ":", "-"), "-")
	// Of a long name the beginning is left out.
	return o.GetName() == of || strings.HasPrefix(o.GetName(), of+"-") || len(o.GetName()) >= longName && strings.Contains(o.GetName(), strings.TrimPrefix(of, group))
}

// longName is the shortest name that something may have been left out of: 253 bytes, of which it loses dots and dashes
// at its beginning.
const longName = 240

// istioObjects gives the client of a kind of Istio in a namespace.
func istioObjects(objects dynamic.Interface, key model.Key) dynamic.ResourceInterface {
	kind := kinds.OfIstio()[key.Kind]
	group := schema.GroupVersion{Group: kind.Group, Version: kind.Versions[0]}
	return objects.Resource(group.WithResource(kinds.Resource(key.Kind))).Namespace(key.Namespace)
}

// annotated gives the time in an annotation; zero for none.
func annotated(o *unstructured.Unstructured, name string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, o.GetAnnotations()[name])
	return t
}

// annotate sets annotations, or takes away those whose value is nil, unless the object is another one by now.
func annotate(ctx context.Context, client dynamic.ResourceInterface, now *unstructured.Unstructured, values map[string]any) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": now.GetResourceVersion(), "annotations": values},
	})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, now.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: entryManager})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// claimable tells whether an entry that is there is the machine's, and was claimed earlier.
func claimable(now *unstructured.Unstructured, entry *model.Object) bool {
	has := now.GetAnnotations()
	group, name := annotation.IoIstioAutoRegistrationGroup.Name, annotation.IoIstioWorkloadController.Name
	spec := entry.Spec.(*networking.WorkloadEntry)
	address, _, _ := unstructured.NestedString(now.Object, "spec", "address")
	account, _, _ := unstructured.NestedString(now.Object, "spec", "serviceAccount")
	switch {
	case has[name] == "" || has[group] != entry.Annotations[group]:
		return false
	case model.CanonicalIP(address) != spec.GetAddress() || cmp.Or(account, model.DefaultServiceAccount) != spec.GetServiceAccount():
		return false
	}
	since, _ := time.Parse(time.RFC3339Nano, entry.Annotations[annotation.IoIstioConnectedAt.Name])
	return annotated(now, annotation.IoIstioConnectedAt.Name).Before(since)
}

// createEntry creates the entry as one that belongs to its group.
func createEntry(ctx context.Context, objects dynamic.Interface, entry *model.Object) error {
	of := model.Key{Kind: model.KindWorkloadGroup, Namespace: entry.Namespace, Name: entry.Annotations[annotation.IoIstioAutoRegistrationGroup.Name]}
	group, err := istioObjects(objects, of).Get(ctx, of.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // it is deleted, and its source will say so
	}
	if err != nil {
		return err
	}
	data, err := protojson.Marshal(entry.Spec.(proto.Message))
	if err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return err
	}
	out := &unstructured.Unstructured{Object: map[string]any{"apiVersion": group.GetAPIVersion(), "kind": string(entry.Kind), "spec": spec}}
	out.SetName(entry.Name)
	out.SetNamespace(entry.Namespace)
	out.SetLabels(entry.Labels)
	out.SetAnnotations(entry.Annotations)
	controls := true
	out.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: group.GetAPIVersion(), Kind: string(of.Kind), Name: of.Name, UID: group.GetUID(), Controller: &controls,
	}})
	_, err = istioObjects(objects, entry.Key).Create(ctx, out, metav1.CreateOptions{FieldManager: entryManager})
	if err != nil {
		return fmt.Errorf("create %s: %w", entry.Key, err)
	}
	return nil
}
