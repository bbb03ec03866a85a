package incluster

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

var entries = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "workloadentries"}

// mesh is an API server's objects and the problems with them; what the source knows is what is there.
type mesh struct {
	*testing.T
	dynamic *dynamicfake.FakeDynamicClient
	client  *fake.Clientset
	// replicas are the other ones of the control plane, nil for none.
	replicas Replicas

	mu       sync.Mutex
	problems []model.Problem
	changed  chan struct{}
}

func newMesh(t *testing.T) *mesh {
	kinds := map[schema.GroupVersionResource]string{entries: "WorkloadEntryList"}
	return &mesh{
		T: t, dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds),
		client: fake.NewClientset(), changed: make(chan struct{}),
	}
}

func entryKey(name string) model.Key {
	return model.Key{Kind: model.KindWorkloadEntry, Namespace: "shop", Name: name}
}

// put writes an object of a generation, with a condition of somebody else.
func (m *mesh) put(name string, generation int64) {
	m.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
		"metadata": map[string]any{"name": name, "namespace": "shop", "uid": "u-" + name, "generation": generation},
		"status":   map[string]any{"conditions": []any{map[string]any{"type": "Healthy", "status": "True"}}},
	}}
	if now := m.get(name); now != nil {
		o.Object["status"] = now.Object["status"]
		if err := m.dynamic.Tracker().Update(entries, o, "shop"); err != nil {
			m.Fatal(err)
		}
	} else if err := m.dynamic.Tracker().Create(entries, o, "shop"); err != nil {
		m.Fatal(err)
	}
	m.notify()
}

func (m *mesh) get(name string) *unstructured.Unstructured {
	o, err := m.dynamic.Tracker().Get(entries, "shop", name)
	if err != nil {
		return nil
	}
	return o.(*unstructured.Unstructured)
}

func (m *mesh) notify() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *mesh) Noted(key model.Key) (model.Noted, bool) {
	o := m.get(key.Name)
	if o == nil {
		return model.Noted{}, false
	}
	n := model.Noted{UID: string(o.GetUID()), APIVersion: o.GetAPIVersion(), Generation: o.GetGeneration()}
	n.Condition = m.condition(key.Name, ConditionType(""))
	return n, true
}

func (m *mesh) condition(name, kind string) *metav1.Condition {
	list, _, _ := unstructured.NestedSlice(m.get(name).Object, "status", "conditions")
	for _, c := range list {
		if c := c.(map[string]any); c["type"] == kind {
			out := &metav1.Condition{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(c, out); err != nil {
				m.Fatal(err)
			}
			return out
		}
	}
	return nil
}

func (m *mesh) Marked() []model.Key {
	list, err := m.dynamic.Tracker().List(entries, entries.GroupVersion().WithKind("WorkloadEntry"), "shop")
	if err != nil {
		m.Fatal(err)
	}
	var out []model.Key
	for _, o := range list.(*unstructured.UnstructuredList).Items {
		if m.condition(o.GetName(), ConditionType("")) != nil {
			out = append(out, entryKey(o.GetName()))
		}
	}
	return out
}

func (m *mesh) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m *mesh) Problems() []model.Problem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.problems
}

func (m *mesh) report(problems ...model.Problem) {
	m.mu.Lock()
	m.problems = problems
	m.mu.Unlock()
	m.notify()
}

// lead runs a leader until the test ends.
func (m *mesh) lead() {
	ctx, cancel := context.WithCancel(m.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		keepConditions(ctx, Options{
			Client: m.client, Dynamic: m.dynamic, Objects: m, Problems: m, Replicas: m.replicas, Identity: "a", Logger: slog.New(slog.DiscardHandler),
		})
	}()
	m.Cleanup(func() { cancel(); <-done })
}

func (m *mesh) pass(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func (m *mesh) patches() (n int) {
	for _, a := range m.dynamic.Actions() {
		if a.GetVerb() == "patch" && a.GetSubresource() == "status" {
			n++
		}
	}
	return n
}

func (m *mesh) events() []corev1.Event {
	list, err := m.client.CoreV1().Events("shop").List(m.Context(), metav1.ListOptions{})
	if err != nil {
		m.Fatal(err)
	}
	return list.Items
}

func wrong(name string, severity model.Severity, message string) model.Problem {
	return model.Problem{Object: entryKey(name), Field: "spec.address", Severity: severity, Reason: model.ReasonInvalid, Message: message}
}

func TestAConditionFollowsTheProblems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.put("a", 1)
		m.lead()
		m.report(wrong("a", model.SeverityError, "it is none"), wrong("gone", model.SeverityError, "x"))
		m.pass(5 * time.Second)
		first := m.condition("a", "Accepted")
		if first == nil || first.Status != "False" || first.Reason != "Invalid" || first.Message != "spec.address: it is none" || first.ObservedGeneration != 1 || first.LastTransitionTime.IsZero() {
			t.Fatalf("%+v", first)
		}
		if e := m.events(); len(e) != 1 || e[0].Type != "Warning" || e[0].InvolvedObject.UID != "u-a" || e[0].Message != first.Message {
			t.Errorf("events %+v", e)
		}
		m.report(m.Problems()...)
		m.pass(time.Hour)
		if n := m.patches(); n != 1 {
			t.Errorf("%d writes of one change", n)
		}
		m.put("a", 2) // other content with the same problem
		m.pass(5 * time.Second)
		if c := m.condition("a", "Accepted"); c.ObservedGeneration != 2 || !c.LastTransitionTime.Equal(&first.LastTransitionTime) {
			t.Errorf("%+v", c)
		}
		m.report(wrong("a", model.SeverityWarning, "it is odd"))
		m.pass(5 * time.Second)
		if c := m.condition("a", "Accepted"); c.Status != "True" || c.LastTransitionTime.Equal(&first.LastTransitionTime) {
			t.Errorf("%+v", c)
		}
		m.report()
		m.pass(5 * time.Second)
		if c := m.condition("a", "Accepted"); c != nil || m.condition("a", "Healthy") == nil {
			t.Errorf("mended: %+v", m.get("a").Object)
		}
		if e := m.events(); len(e) != 3 {
			t.Errorf("%d events of three transitions", len(e))
		}
	})
}

func TestConditionsAreWrittenAtABoundedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		var problems []model.Problem
		for i := range 95 {
			name := fmt.Sprintf("e%02d", i)
			m.put(name, 1)
			problems = append(problems, wrong(name, model.SeverityError, "x"))
		}
		m.report(problems...)
		m.lead()
		m.pass(2500 * time.Millisecond)
		if n := m.patches(); n != 30 {
			t.Errorf("%d writes after 2.5 s", n)
		}
		m.pass(10 * time.Second)
		if n := m.patches(); n != 95 {
			t.Errorf("%d writes of 95", n)
		}
	})
}

func TestANewLeaderWaitsBeforeItTakesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		m.put("a", 1)
		m.lead()
		m.report(wrong("a", model.SeverityError, "an Envoy refused it"))
		m.pass(5 * time.Second)
		m.mu.Lock()
		m.problems = nil // the next leader has not heard of it
		m.mu.Unlock()
		m.lead()
		m.pass(settling / 2)
		if m.condition("a", "Accepted") == nil {
			t.Error("taken back at once")
		}
		m.pass(settling)
		if m.condition("a", "Accepted") != nil {
			t.Error("kept for good")
		}
	})
}

func TestTakingAConditionAway(t *testing.T) {
	for status, want := range map[string]string{
		`{}`:                                   ``,
		`{"conditions":[{"type":"Healthy"}]}`:  ``,
		`{"conditions":[{"type":"Accepted"}]}`: `{"metadata":{"resourceVersion":"7"},"status":null}`,
		`{"conditions":[{"type":"Accepted"}],"addresses":[]}`:                                `{"metadata":{"resourceVersion":"7"},"status":{"conditions":null}}`,
		`{"conditions":[{"type":"Healthy"},{"type":"Accepted"},{"type":"canary/Accepted"}]}`: `{"metadata":{"resourceVersion":"7"},"status":{"conditions":[{"type":"Healthy"},{"type":"canary/Accepted"}]}}`,
	} {
		o := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(`{"metadata":{"resourceVersion":"7"},"status":`+status+`}`), &o.Object); err != nil {
			t.Fatal(err)
		}
		if patch, err := WithoutCondition(o, ConditionType("")); err != nil || string(patch) != want {
			t.Errorf("%s: %s, %v", status, patch, err)
		}
	}
}

func TestLongMessages(t *testing.T) {
	long := strings.Repeat("ä", maxMessage)
	problems := []model.Problem{wrong("a", model.SeverityWarning, long), wrong("a", model.SeverityError, "b"), wrong("a", model.SeverityError, "c")}
	c := conditionFor("Accepted", problems)
	if len(c.Message) > maxMessage+20 || !strings.HasPrefix(c.Message, "spec.address: ä") || !strings.HasSuffix(c.Message, "; and 2 more") || c.Status != "False" {
		t.Errorf("%d bytes, %s", len(c.Message), c.Message[len(c.Message)-40:])
	}
}
