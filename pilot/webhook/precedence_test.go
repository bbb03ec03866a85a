package webhook

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	admission "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
)

// revision is a control plane with its registered webhooks.
type revision struct {
	name     string
	webhooks []admissionv1.MutatingWebhook
	handler  http.Handler
}

func newRevision(t *testing.T, name, config, values string) revision {
	t.Helper()
	plan, err := operator.Settings{Revision: name, Profile: "minimal"}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := plan.All(false)
	if err != nil {
		t.Fatal(err)
	}
	r := revision{name: name, webhooks: registered(t, objects)}
	r.handler = Handler(Options{
		Injector: func(string, string) (*inject.Injector, error) {
			return inject.New(inject.Options{Revision: name, Config: []byte(config), Values: []byte(values), NativeSidecar: true})
		},
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	return r
}

// registered gives the webhooks of objects.
func registered(t *testing.T, objects []*unstructured.Unstructured) (out []admissionv1.MutatingWebhook) {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == "MutatingWebhookConfiguration" {
			var c admissionv1.MutatingWebhookConfiguration
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &c); err != nil {
				t.Fatal(err)
			}
			out = append(out, c.Webhooks...)
		}
	}
	return out
}

// admit does with a pod what an API server does: it asks each webhook whose selectors match. It gives the
// revisions that injected it, and how often any was asked.
func admit(t *testing.T, revisions []revision, namespace *corev1.Namespace, pod *corev1.Pod) (injected []string, asked int) {
	t.Helper()
	matches := func(s *metav1.LabelSelector, set map[string]string) bool {
		selector, err := metav1.LabelSelectorAsSelector(s)
		if err != nil {
			t.Fatal(err)
		}
		return s == nil || selector.Matches(labels.Set(set))
	}
	for _, r := range revisions {
		for _, w := range r.webhooks {
			if !matches(w.NamespaceSelector, namespace.Labels) || !matches(w.ObjectSelector, pod.Labels) {
				continue
			}
			asked++
			if response := r.ask(t, *w.ClientConfig.Service.Path, namespace.Name, pod); !response.Allowed {
				t.Errorf("refused: %s", response.Result.Message)
			} else if response.Patch != nil {
				injected = append(injected, r.name)
			}
		}
	}
	return injected, asked
}

func (r revision) ask(t *testing.T, path, namespace string, pod *corev1.Pod) *admission.AdmissionResponse {
	t.Helper()
	object, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(admission.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request:  &admission.AdmissionRequest{UID: "u", Namespace: namespace, Operation: admission.Create, Object: runtime.RawExtension{Raw: object}},
	})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(string(body)))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	var review admission.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || review.Response == nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return review.Response
}

// set reads "a=b c=d".
func set(text string) map[string]string {
	out := map[string]string{}
	for pair := range strings.FieldsSeq(text) {
		k, v, _ := strings.Cut(pair, "=")
		out[k] = v
	}
	return out
}

const (
	on    = "sidecar.istio.io/inject=true"
	off   = "sidecar.istio.io/inject=false"
	bad   = "sidecar.istio.io/inject=yes"
	ofOwn = "istio.io/rev=canary"
	ofDef = "istio.io/rev=default"
)

// precedence has who injects a pod: the default revision, canary, or nobody. Both are installed.
var precedence = []struct {
	namespace           string // its labels
	labels, annotations string // of the pod
	config              string // of both injectors
	host                bool   // the pod is of the host's network
	name, want          string // namespace (shop if empty), revision
}{
	// Nothing is said, or only by one of the two.
	{},
	{labels: off},
	{labels: on, want: "default"},
	{labels: bad},
	{annotations: on}, // only labels select webhooks
	{labels: ofOwn, want: "canary"},
	{labels: ofDef, want: "default"},
	{labels: "istio.io/rev=other"},
	{labels: on + " " + ofOwn, want: "canary"},
	{labels: on + " istio.io/rev=other"},
	{labels: off + " " + ofOwn},
	{labels: ofOwn, annotations: off},
	{labels: ofOwn, annotations: on, want: "canary"},
	{labels: on, annotations: off, want: "default"}, // the label wins
	// The namespace is injected.
	{namespace: "istio-injection=enabled", want: "default"},
	{namespace: "istio-injection=enabled", labels: on, want: "default"},
	{namespace: "istio-injection=enabled", labels: off},
	{namespace: "istio-injection=enabled", labels: bad, want: "default"},
	{namespace: "istio-injection=enabled", annotations: off},
	{namespace: "istio-injection=enabled", annotations: bad, want: "default"},
	{namespace: "istio-injection=enabled", labels: on, annotations: off, want: "default"},
	{namespace: "istio-injection=enabled", labels: off, annotations: on},
	{namespace: "istio-injection=enabled", labels: ofOwn, want: "default"}, // the namespace's label outranks the pod's revision
	{namespace: "istio-injection=enabled " + ofOwn, want: "default"},       // and its own
	{namespace: "istio-injection=enabled " + ofOwn, labels: off},
	// The namespace is out, which is final.
	{namespace: "istio-injection=disabled"},
	{namespace: "istio-injection=disabled", labels: on},
	{namespace: "istio-injection=disabled", labels: ofOwn},
	{namespace: "istio-injection=disabled", labels: on + " " + ofOwn},
	{namespace: "istio-injection=disabled " + ofOwn},
	{namespace: "istio-injection=disabled " + ofOwn, labels: on},
	{namespace: "istio-injection=sometimes"},
	{namespace: "istio-injection=sometimes", labels: on},
	// The namespace is of a revision.
	{namespace: ofOwn, want: "canary"},
	{namespace: ofOwn, labels: on, want: "canary"},
	{namespace: ofOwn, labels: off},
	{namespace: ofOwn, annotations: off},
	{namespace: ofOwn, labels: ofDef, want: "canary"},
	{namespace: ofOwn, labels: on + " " + ofDef, want: "canary"},
	{namespace: ofDef, want: "default"},
	{namespace: ofDef, labels: ofOwn, want: "default"},
	{namespace: "istio.io/rev=other", labels: on},
	{namespace: "istio.io/rev=other", labels: ofOwn},
	// What no label changes.
	{namespace: "istio-injection=enabled", host: true},
	{namespace: "istio-injection=enabled", labels: on, host: true},
	{name: "kube-system", namespace: "istio-injection=enabled"},
	{name: "kube-system", labels: on},
	{name: "kube-public", labels: on},
	{name: "kube-node-lease", namespace: ofOwn},
	{name: "local-path-storage", namespace: "istio-injection=enabled", labels: on},
	{name: "istio-system", namespace: "istio-injection=enabled", labels: "app=istiod " + off},
	// The injector's configuration, where the pod says nothing.
	{namespace: "istio-injection=enabled", config: "policy: disabled"},
	{namespace: "istio-injection=enabled", labels: on, config: "policy: disabled", want: "default"},
	{namespace: "istio-injection=enabled", annotations: on, config: "policy: disabled", want: "default"},
	{namespace: "istio-injection=enabled", labels: bad, config: "policy: disabled"},
	{namespace: "istio-injection=enabled", config: "policy: sometimes"},
	{namespace: "istio-injection=enabled", labels: on, config: "policy: sometimes"},
	{namespace: "istio-injection=enabled", labels: "job=a", config: never},
	{namespace: "istio-injection=enabled", labels: "job=a " + on, config: never, want: "default"},
	{namespace: "istio-injection=enabled", labels: "job=a", annotations: on, config: never, want: "default"},
	{namespace: "istio-injection=enabled", labels: "job=a", config: "policy: disabled\n" + always, want: "default"},
	{namespace: "istio-injection=enabled", labels: "job=a " + off, config: "policy: disabled\n" + always},
	{namespace: "istio-injection=enabled", labels: "job=a", annotations: off, config: "policy: disabled\n" + always},
	{namespace: "istio-injection=enabled", labels: "job=a", config: "policy: sometimes\n" + always},
	{namespace: "istio-injection=enabled", labels: "job=a", config: never + "\n" + always},
	{namespace: "istio-injection=enabled", labels: "job=b", config: never, want: "default"},
	{labels: "job=a", config: always}, // no webhook is asked
}

const (
	never  = "neverInjectSelector: [{matchLabels: {job: a}}]"
	always = "alwaysInjectSelector: [{matchLabels: {job: a}}]"
)

func TestPrecedence(t *testing.T) {
	revisions := map[string][]revision{}
	for _, c := range precedence {
		name := c.name
		if name == "" {
			name = "shop"
		}
		t.Run(fmt.Sprintf("%s(%s) %s,%s %s %v", name, c.namespace, c.labels, c.annotations, c.config, c.host), func(t *testing.T) {
			if revisions[c.config] == nil {
				revisions[c.config] = []revision{newRevision(t, "default", c.config, ""), newRevision(t, "canary", c.config, "")}
			}
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: set(c.namespace)}}
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: set(c.labels), Annotations: set(c.annotations)},
				Spec:       corev1.PodSpec{HostNetwork: c.host, Containers: []corev1.Container{{Name: "app", Image: "i"}}},
			}
			injected, asked := admit(t, revisions[c.config], namespace, pod)
			if got := strings.Join(injected, ","); got != c.want {
				t.Errorf("injected by %q, not by %q", got, c.want)
			}
			if asked > 1 {
				t.Errorf("%d webhooks were asked about one pod", asked)
			}
		})
	}
}

// TestTagsChooseARevision has revision canary and its tags prod and default, and no revision default.
func TestTagsChooseARevision(t *testing.T) {
	canary := newRevision(t, "canary", "", "")
	for _, tag := range []string{"prod", "default"} {
		objects, err := operator.Tag("istio-system", "canary", tag, base64.StdEncoding.EncodeToString([]byte("ROOT")))
		if err != nil {
			t.Fatal(err)
		}
		webhooks := registered(t, objects)
		for _, w := range webhooks {
			if string(w.ClientConfig.CABundle) != "ROOT" || w.ClientConfig.Service.Name != "istiod-canary" {
				t.Errorf("tag %s leads to %s, with root %q", tag, w.ClientConfig.Service.Name, w.ClientConfig.CABundle)
			}
		}
		canary.webhooks = append(canary.webhooks, webhooks...)
	}
	for _, c := range []struct {
		namespace, labels string
		want              bool
	}{
		{namespace: "istio.io/rev=prod", want: true},
		{namespace: "istio.io/rev=prod", labels: off},
		{namespace: "istio.io/rev=prod", labels: ofDef, want: true},
		{namespace: "istio.io/rev=prod istio-injection=disabled"},
		{labels: "istio.io/rev=prod", want: true},
		{namespace: "istio.io/rev=other", labels: "istio.io/rev=prod"},
		{namespace: "istio-injection=enabled", want: true},
		{namespace: "istio-injection=enabled", labels: off},
		{labels: on, want: true},
		{labels: ofDef, want: true},
		{namespace: ofOwn, want: true},
		{},
	} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: set(c.namespace)}}
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: set(c.labels)},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "i"}}},
		}
		injected, asked := admit(t, []revision{canary}, namespace, pod)
		if (len(injected) == 1) != c.want || asked > 1 {
			t.Errorf("namespace %s, pod %s: injected by %v, %d asked", c.namespace, c.labels, injected, asked)
		}
		policy := inject.DefaultPolicy()
		policy.Revision, policy.Tags = "canary", []string{"default", "prod"}
		if got := policy.Injects(inject.Subject{Namespace: "shop", NamespaceLabels: namespace.Labels, Labels: pod.Labels}); got != c.want {
			t.Errorf("namespace %s, pod %s: injected by the policy with tags: %t", c.namespace, c.labels, got)
		}
	}
}
