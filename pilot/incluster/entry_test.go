package incluster

import (
	"maps"
	"strings"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// claim gives the entry of a machine that a replica hears since a second.
func claim(name, controller string, second int) *model.Object {
	return &model.Object{
		Key: entryKey(name), Labels: map[string]string{"app": "db"},
		Annotations: map[string]string{
			"istio.io/autoRegistrationGroup": "db", "istio.io/workloadController": controller, model.AnnotationAnswers: controller,
			"istio.io/connectedAt": stamp(heardAt(second)),
		},
		Spec: &networking.WorkloadEntry{Address: "10.0.0.1", ServiceAccount: "db"},
	}
}

func heardAt(second int) time.Time { return time.Date(2026, 11, 29, 10, 0, second, 5, time.UTC) }

// TestWhatWasWrittenMeanwhileIsKept has somebody else write an entry between each read and the write after it.
func TestWhatWasWrittenMeanwhileIsKept(t *testing.T) {
	m := newMesh(t)
	m.put("db-10.0.0.1", 1)
	o := m.get("db-10.0.0.1")
	o.SetAnnotations(claim("db-10.0.0.1", "one", 1).Annotations)
	o.SetResourceVersion("7")
	controls := true
	o.SetOwnerReferences([]metav1.OwnerReference{{Kind: "WorkloadGroup", Name: "db", Controller: &controls}})
	o.Object["spec"] = map[string]any{"address": "10.0.0.1", "serviceAccount": "db"}
	if err := m.dynamic.Tracker().Update(entries, o, "shop"); err != nil {
		t.Fatal(err)
	}
	var patches, deletes int
	m.dynamic.PrependReactor("patch", "workloadentries", func(a clienttesting.Action) (bool, runtime.Object, error) {
		patches++
		if body := string(a.(clienttesting.PatchAction).GetPatch()); !strings.Contains(body, `"resourceVersion":"7"`) {
			t.Errorf("the patch %s is not of what was read", body)
		}
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "workloadentries"}, "db-10.0.0.1", nil)
	})
	m.dynamic.PrependReactor("delete", "workloadentries", func(a clienttesting.Action) (bool, runtime.Object, error) {
		deletes++
		p := a.(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions
		if p == nil || *p.ResourceVersion != "7" || *p.UID != "u-db-10.0.0.1" {
			t.Errorf("%v is deleted, whatever it is by now", p)
		}
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "workloadentries"}, "db-10.0.0.1", nil)
	})
	if err := ClaimEntry(t.Context(), m.dynamic, claim("db-10.0.0.1", "two", 2)); !apierrors.IsConflict(err) {
		t.Errorf("claim: %v", err)
	}
	if err := LeaveEntry(t.Context(), m.dynamic, entryKey("db-10.0.0.1"), heardAt(1), heardAt(3)); !apierrors.IsConflict(err) {
		t.Errorf("leave: %v", err)
	}
	gone := o.DeepCopy()
	gone.SetAnnotations(map[string]string{"istio.io/autoRegistrationGroup": "db", "istio.io/disconnectedAt": stamp(heardAt(3))})
	if err := m.dynamic.Tracker().Update(entries, gone, "shop"); err != nil {
		t.Fatal(err)
	}
	if err := RemoveEntry(t.Context(), m.dynamic, entryKey("db-10.0.0.1"), heardAt(3)); !apierrors.IsConflict(err) {
		t.Errorf("remove: %v", err)
	}
	if patches != 2 || deletes != 1 {
		t.Errorf("%d patches, %d deletes", patches, deletes)
	}
}

// TestWhatRegistrationDidNotMakeStays has entries that look as if their machine had gone, and are somebody's.
func TestWhatRegistrationDidNotMakeStays(t *testing.T) {
	controls := true
	owner := []metav1.OwnerReference{{Kind: "WorkloadGroup", Name: "db", Controller: &controls}}
	for name, c := range map[string]struct {
		entry, address string
		owners         []metav1.OwnerReference
		stays          bool
	}{
		"its own":              {"db-10.0.0.1", "10.0.0.1", owner, false},
		"with a network":       {"db-10.0.0.1-lan", "10.0.0.1", owner, false},
		"a copy":               {"copy", "10.0.0.1", owner, true},
		"an edited address":    {"db-10.0.0.1", "10.0.0.2", owner, true},
		"one without a group":  {"db-10.0.0.1", "10.0.0.1", nil, true},
		"one of another group": {"db-10.0.0.1", "10.0.0.1", []metav1.OwnerReference{{Kind: "WorkloadGroup", Name: "web", Controller: &controls}}, true},
	} {
		m := newMesh(t)
		m.put(c.entry, 1)
		o := m.get(c.entry)
		o.SetAnnotations(map[string]string{"istio.io/autoRegistrationGroup": "db", "istio.io/disconnectedAt": stamp(heardAt(3)), "istio.io/connectedAt": stamp(heardAt(1))})
		o.SetOwnerReferences(c.owners)
		o.Object["spec"] = map[string]any{"address": c.address, "serviceAccount": "db"}
		if err := m.dynamic.Tracker().Update(entries, o, "shop"); err != nil {
			t.Fatal(err)
		}
		writes := 0
		m.dynamic.PrependReactor("*", "workloadentries", func(a clienttesting.Action) (bool, runtime.Object, error) {
			if a.GetVerb() != "get" {
				writes++
				return true, o, nil
			}
			return false, nil, nil
		})
		if err := LeaveEntry(t.Context(), m.dynamic, entryKey(c.entry), heardAt(1), heardAt(3)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := RemoveEntry(t.Context(), m.dynamic, entryKey(c.entry), heardAt(3)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := map[bool]int{true: 0, false: 2}[c.stays]; writes != want {
			t.Errorf("%s: %d writes, want %d", name, writes, want)
		}
	}
}

// TestOnlyTheMachinesOwnEntryIsWritten has entries that differ from the machine's in one thing.
func TestOnlyTheMachinesOwnEntryIsWritten(t *testing.T) {
	for name, edit := range map[string]func(annotations map[string]string, spec map[string]any){
		"no registration": func(a map[string]string, _ map[string]any) { delete(a, "istio.io/workloadController") },
		"no group":        func(a map[string]string, _ map[string]any) { delete(a, "istio.io/autoRegistrationGroup") },
		"another group":   func(a map[string]string, _ map[string]any) { a["istio.io/autoRegistrationGroup"] = "web" },
		"another account": func(_ map[string]string, s map[string]any) { s["serviceAccount"] = "web" },
		"no account":      func(_ map[string]string, s map[string]any) { delete(s, "serviceAccount") },
		"another address": func(_ map[string]string, s map[string]any) { s["address"] = "10.0.0.2" },
		"a later time":    func(a map[string]string, _ map[string]any) { a["istio.io/connectedAt"] = stamp(heardAt(9)) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMesh(t)
			m.put("vm", 1)
			o, annotations := m.get("vm"), claim("vm", "one", 1).Annotations
			spec := map[string]any{"address": "10.0.0.1", "serviceAccount": "db"}
			edit(annotations, spec)
			o.SetAnnotations(annotations)
			o.Object["spec"] = spec
			if err := m.dynamic.Tracker().Update(entries, o, "shop"); err != nil {
				t.Fatal(err)
			}
			if err := ClaimEntry(t.Context(), m.dynamic, claim("vm", "two", 2)); err != nil {
				t.Fatal(err)
			}
			if got := m.get("vm").GetAnnotations(); !maps.Equal(got, annotations) {
				t.Errorf("it is claimed: %v", got)
			}
		})
	}
}

// TestAnEntryOfAGroupThatIsGoneIsNotMade has the group deleted before the entry is.
func TestAnEntryOfAGroupThatIsGoneIsNotMade(t *testing.T) {
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		entries: "WorkloadEntryList", {Group: entries.Group, Version: entries.Version, Resource: "workloadgroups"}: "WorkloadGroupList",
	})
	if err := ClaimEntry(t.Context(), client, claim("vm", "one", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Tracker().Get(entries, "shop", "vm"); err == nil {
		t.Error("it is made")
	}
}
