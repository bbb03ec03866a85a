package kubeclient

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
)

var _ Interface = kubernetes.Interface(nil)

// A cache has what the server has of the name, and ends with its context.
func TestCacheFollowsObjectsOfAName(t *testing.T) {
	object := func(namespace, name string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string]string{"in": namespace}}
	}
	server := fake.NewClientset(object("a", "root"), object("b", "root"))
	ctx, cancel := context.WithCancel(t.Context())
	c := Follow(server, server.CoreV1().ConfigMaps(""), &corev1.ConfigMap{}, "root")
	wait := Run(ctx, c)
	if got, found := c.Get("b", "root"); !found || got.Data["in"] != "b" || len(c.All()) != 2 {
		t.Errorf("b/root is %v, of %d", got, len(c.All()))
	}
	if _, found := c.Get("c", "root"); found {
		t.Error("there is what the server has not")
	}
	cancel()
	wait()
}

// Only what has the name is asked for, in each group at its own path.
func TestClientsAskTheServer(t *testing.T) {
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path + "?" + r.URL.Query().Get("fieldSelector")
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "List", "apiVersion": "v1"})
	}))
	defer server.Close()
	config := &rest.Config{Host: server.URL}
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	if config.RateLimiter != nil {
		t.Error("the caller's configuration is another one")
	}
	ctx, opts := t.Context(), metav1.ListOptions{}
	for want, ask := range map[string]func() error{
		"/api/v1/namespaces?": func() error { _, err := client.CoreV1().Namespaces().List(ctx, opts); return err },
		"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations?": func() error {
			_, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, opts)
			return err
		},
		"/apis/coordination.k8s.io/v1/namespaces/a/leases?": func() error { _, err := client.CoordinationV1().Leases("a").List(ctx, opts); return err },
		"/apis/discovery.k8s.io/v1/endpointslices?":         func() error { _, err := client.DiscoveryV1().EndpointSlices("").List(ctx, opts); return err },
		"/apis/networking.k8s.io/v1/ingresses?":             func() error { _, err := client.NetworkingV1().Ingresses("").List(ctx, opts); return err },
	} {
		if err := ask(); err != nil {
			t.Error(err)
		}
		if got := <-asked; got != want {
			t.Errorf("asks for %s, want %s", got, want)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	wait := Run(ctx, Follow(client, client.CoreV1().ConfigMaps(""), &corev1.ConfigMap{}, "root"))
	if got := <-asked; got != "/api/v1/configmaps?metadata.name=root" {
		t.Error("a cache asks for", got)
	}
	cancel()
	wait()
}
