package discovery

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
	review "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/jwks"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/names"
	"github.com/pilothouse-mesh/pilothouse/pilot/webhook"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/kubetest"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// Its tags are those of a revision's webhooks, and not those of another's.
func TestARevisionHasTags(t *testing.T) {
	webhooks := func(name, tag, revision string) *admissionv1.MutatingWebhookConfiguration {
		out := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"istio.io/rev": revision}}}
		if tag != "" {
			out.Labels["istio.io/tag"] = tag
		}
		return out
	}
	client := fake.NewClientset(
		webhooks("istio-sidecar-injector-1-22", "", "1-22"), webhooks("istio-revision-tag-prod", "prod", "1-22"),
		webhooks("istio-revision-tag-default", "default", "1-22"), webhooks("istio-revision-tag-next", "next", "1-23"),
	).AdmissionregistrationV1().MutatingWebhookConfigurations()
	for revision, want := range map[string][]string{"1-22": {"default", "prod"}, "1-23": {"next"}, "default": nil} {
		if got, err := tags(t.Context(), client, revision); err != nil || !slices.Equal(got, want) {
			t.Errorf("tags of %s: %v, %v", revision, got, err)
		}
	}
}

// injectedPatch asks the webhook to inject a pod and gives its patch.
func injectedPatch(t *testing.T, handler http.Handler, namespace, app string) string {
	t.Helper()
	body := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"` + namespace + `","operation":"CREATE","object":` +
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"` + namespace + `","labels":{"sidecar.istio.io/inject":"true","app":"` + app + `"}},` +
		`"spec":{"containers":[{"name":"app","image":"i"}]}}}}`
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/inject", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var out review.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Response == nil || !out.Response.Allowed {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return string(out.Response.Patch)
}

// Pods that the webhook injects have what ProxyConfig objects say at that time: those of the root namespace, of
// the pod's namespace and of its labels, each over the former.
func TestTheWebhookReadsProxyConfigs(t *testing.T) {
	p := newPlane(Config{Logger: slog.New(slog.DiscardHandler), ConfigDirs: []string{"none"}})
	client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: model.RootNamespace, Name: injectorMap}})
	i := &injectors{cluster: &cluster{plane: p, client: client, namespace: model.RootNamespace}}
	var group errgroup.Group
	group.Go(func() error { return p.store.Run(t.Context()) })
	if err := i.start(t.Context(), &group); err != nil {
		t.Fatal(err)
	}
	group.Go(func() error { // nobody is connected
		for {
			select {
			case c := <-p.store.Commits():
				c.Applied()
			case <-t.Context().Done():
				return nil
			}
		}
	})
	for _, source := range []string{p.cfg.sourceName(), jwks.Name, names.Name, trustSource} {
		p.store.Synced(source)
	}
	apply := func(o *model.Object, deleted bool) {
		e := model.Event{Key: o.Key, New: o}
		if deleted {
			e.New = nil
		}
		p.store.Apply(p.cfg.sourceName(), []model.Event{e}, nil)
		if err := p.store.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	handler := webhook.Handler(webhook.Options{Injector: i.get, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	config := func(namespace, name string, selector map[string]string, spec *networking.ProxyConfig) *model.Object {
		if selector != nil {
			spec.Selector = &typev1beta1.WorkloadSelector{MatchLabels: selector}
		}
		return storetest.Object(model.KindProxyConfig, namespace, name, spec)
	}
	rootWide := config(model.RootNamespace, "mesh", nil, &networking.ProxyConfig{EnvironmentVariables: map[string]string{"FROM_ROOT": "mesh"}, Concurrency: wrapperspb.Int32(5)})
	workload := config("shop", "cart", map[string]string{"app": "cart"}, &networking.ProxyConfig{
		Concurrency: wrapperspb.Int32(7), Image: &networking.ProxyImage{ImageType: "distroless"},
	})
	says := func(when, app string, want map[string]bool) {
		t.Helper()
		patch := injectedPatch(t, handler, "shop", app)
		for text, wanted := range want {
			if strings.Contains(patch, text) != wanted {
				t.Errorf("%s, %s: %q in the patch: %v, want %v\n%s", when, app, text, !wanted, wanted, patch)
			}
		}
	}
	five, seven, image := `concurrency\":5`, `concurrency\":7`, "distroless"
	apply(storetest.Object(model.KindNamespace, "", "shop", &corev1.Namespace{}), false)
	says("without objects", "cart", map[string]bool{"FROM_ROOT": false, five: false, seven: false, image: false})
	apply(rootWide, false)
	says("with one of the mesh", "cart", map[string]bool{"FROM_ROOT": true, five: true, seven: false, image: false})
	apply(workload, false)
	says("with one of the workload", "cart", map[string]bool{"FROM_ROOT": true, five: false, seven: true, image: true})
	says("with one of another workload", "web", map[string]bool{"FROM_ROOT": true, five: true, seven: false, image: false})
	apply(workload, true)
	says("without it", "cart", map[string]bool{"FROM_ROOT": true, five: true, seven: false, image: false})
}

// TestReadyOnceWebhooksAreOpen: a Service leads an API server to a replica that is ready, and the API server refuses
// pods that it cannot ask about.
func TestReadyOnceWebhooksAreOpen(t *testing.T) {
	faults, config := kubetest.Unserved("v1/nodes").Faulty(t)
	told := make(chan struct{})
	faults.Answer("list v1/nodes", func(w http.ResponseWriter, r *http.Request) { // which injection waits for
		select {
		case <-told:
			faults.Mended(w, r)
		case <-r.Context().Done():
		}
	})
	cfg := testConfig(t, "")
	cfg.ConfigDirs, cfg.Kube, cfg.CADir = nil, config, t.TempDir()
	cfg.HTTPSAddr = fmt.Sprintf("127.0.0.1:%d", envoytest.FreePort(t))
	p := newPlane(cfg)
	serve(t, p.run)
	envoytest.Eventually(t, "gRPC", p.serving.Load)
	if code, _ := get(t, "http://"+cfg.HTTPAddr+"/ready"); code != http.StatusServiceUnavailable {
		t.Errorf("/ready says %d before the webhooks are open", code)
	}
	close(told)
	envoytest.Eventually(t, "ready", func() bool {
		code, _ := get(t, "http://"+cfg.HTTPAddr+"/ready")
		return code == http.StatusOK
	})
	conn, err := net.Dial("tcp", cfg.HTTPSAddr)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close() // nothing was said
}
