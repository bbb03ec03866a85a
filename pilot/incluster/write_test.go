package incluster

import (
	"context"
	"encoding/pem"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
)

// A ConfigMap that is there, and that the cache does not have, may hold anything: until it is seen nobody says that the
// roots are written.
func TestWhatIsNotSeenIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
		var seen atomic.Bool
		client.PrependReactor("create", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
			if seen.Load() {
				return false, nil, nil
			}
			return true, nil, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "configmaps"}, rootMap)
		})
		var written atomic.Pointer[string]
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- write(ctx, Options{
				Client: client, Namespace: "istio-system", Identity: "a", Roots: &roots{pem: "ROOT"}, Logger: slog.New(slog.DiscardHandler),
				Written: func(roots []byte) { text := string(roots); written.Store(&text) },
			})
		}()
		defer func() { cancel(); <-done }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if roots := *written.Load(); roots != "" {
			t.Errorf("%q is said to be written", roots)
		}
		seen.Store(true)
		time.Sleep(again)
		synctest.Wait()
		if roots := *written.Load(); roots != "ROOT" {
			t.Errorf("%q is written at a later look", roots)
		}
	})
}

// Roots are the same in any order.
func TestRootsHaveNoOrder(t *testing.T) {
	block := func(text string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(text)}))
	}
	a, b := block("a"), block("b")
	for _, c := range []struct {
		have, want string
		same       bool
	}{
		{a, a, true},
		{a + b, b + a, true},
		{a + "\n" + b, a + b, true},
		{a, a + b, false},
		{a + b, b, false},
		{"", a, false},
		{a + "more", a, false},
		{"ROOT", "ROOT", true},
		{"ROOT", "ANOTHER", false},
		{"", "", true},
	} {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: rootMap, Namespace: "shop"}, Data: map[string]string{rootKey: c.have}}
		client := fake.NewClientset(m)
		w := &writer{Options: Options{Client: client, Namespace: "istio-system", Roots: &roots{pem: c.want}}, roots: kubeclient.Follow(client, client.CoreV1().ConfigMaps(""), &corev1.ConfigMap{}, rootMap)}
		if err := w.roots.GetStore().Add(m); err != nil {
			t.Fatal(err)
		}
		due := w.keep(w.roots, "shop", rootMap, rootKey, w.Roots.RootPEM())
		hook := &admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Name: "istiod", Namespace: "istio-system"}, CABundle: []byte(c.have)}
		patch := w.bundles([]*admissionv1.WebhookClientConfig{hook})
		if written := due != nil; written == c.same || (patch == nil) != c.same {
			t.Errorf("%q for %q: the ConfigMap is written: %v, the webhook by %s", c.have, c.want, written, patch)
		}
	}
}
