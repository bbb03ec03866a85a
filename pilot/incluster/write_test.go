package incluster

import (
	"bytes"
	"context"
	"encoding/pem"
	"log/slog"
	"strings"
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

// replaced is a mesh that has the CA of cacerts, which is gone as is the ConfigMap that says so, beside another CA in
// istio-ca-secret. It gives what the leader writes into a namespace, and logs, in some time.
func replaced(t *testing.T, plugged bool, said string, after time.Duration) (written, logged string) {
	has, other := selfSigned(t), selfSigned(t)
	objects := []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: OwnSecret, Namespace: "istio-system"}, Data: other},
	}
	if said != "" {
		objects = append(objects, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: rootMap, Namespace: "istio-system", Annotations: map[string]string{annotationSecret: said}}})
	}
	var log bytes.Buffer
	client, logger := fake.NewClientset(objects...), slog.New(slog.NewTextHandler(&log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- write(ctx, Options{
			Client: client, Namespace: "istio-system", Identity: "a", Logger: logger,
			Roots:  &roots{pem: string(has["root-cert.pem"]), plugged: plugged},
			Stored: &AuthorityOptions{Client: client, Namespace: "istio-system", Logger: logger},
		})
	}()
	time.Sleep(after)
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	m, err := client.CoreV1().ConfigMaps("shop").Get(t.Context(), rootMap, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		t.Error(err)
	case m.Data[rootKey] == string(has["root-cert.pem"]):
		written = "its own"
	default:
		written = "another one"
	}
	return written, log.String()
}

// Who stays with the CA of cacerts, which is gone, waits for no other Secret: nobody else would make the ConfigMaps. Who
// does wait says so once.
func TestWhoStaysWithACAWritesItsRoots(t *testing.T) {
	for what, c := range map[string]struct {
		plugged       bool
		said, written string
	}{
		"the ConfigMap is gone too":             {true, "", "its own"},
		"the ConfigMap says that it stays":      {true, PluggedSecret, "its own"},
		"it does though its own was made here":  {false, PluggedSecret, "its own"},
		"an operator has said that another one": {true, OwnSecret, ""},
		"the Secret is ahead":                   {false, "", ""},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const line = "has other roots"
				if written, logged := replaced(t, c.plugged, c.said, 50*time.Second); written != c.written || logged != "" {
					t.Errorf("written %q, want %q; logged %q", written, c.written, logged)
				}
				want := 1
				if c.written != "" {
					want = 0
				}
				if written, logged := replaced(t, c.plugged, c.said, 10*time.Minute); written != c.written || strings.Count(logged, line) != want {
					t.Errorf("after ten minutes: written %q, want %q; logged %q", written, c.written, logged)
				}
			})
		})
	}
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
