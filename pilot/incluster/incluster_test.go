package incluster

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/fake"
)

func made(text string) func() (map[string][]byte, error) {
	return func() (map[string][]byte, error) { return map[string][]byte{"ca-key.pem": []byte(text)}, nil }
}

func TestReplicasShareOneAuthority(t *testing.T) {
	client := fake.NewClientset()
	var all sync.WaitGroup
	found := make([]string, 5)
	for i := range found {
		all.Go(func() {
			files, _, err := Authority(t.Context(), AuthorityOptions{Client: client, Namespace: "istio-system", Logger: slog.New(slog.DiscardHandler)}, made(string(rune('a'+i))))
			if err != nil {
				t.Error(err)
			}
			found[i] = string(files["ca-key.pem"])
		})
	}
	all.Wait()
	for _, key := range found {
		if key != found[0] || key == "" {
			t.Fatalf("replicas have the keys %q", found)
		}
	}
}

func TestAPluggedInAuthorityWins(t *testing.T) {
	secret := func(name string, data map[string][]byte) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system"}, Data: data}
	}
	never := func() (map[string][]byte, error) { return nil, errors.New("made one") }
	client := fake.NewClientset(
		secret("istio-ca-secret", map[string][]byte{"ca-key.pem": []byte("own")}),
		secret("cacerts", map[string][]byte{"tls.crt": []byte("cert"), "tls.key": []byte("plugged"), "ca.crt": []byte("root")}),
	)
	files, own, err := Authority(t.Context(), AuthorityOptions{Client: client, Namespace: "istio-system", Logger: slog.New(slog.DiscardHandler)}, never)
	if own || err != nil || string(files["ca-key.pem"]) != "plugged" || string(files["root-cert.pem"]) != "root" {
		t.Errorf("%q, %v", files, err)
	}
}

// roots are those of a CA that may change.
type roots struct {
	mu      sync.Mutex
	pem     string
	crl     string
	plugged bool
	changed chan struct{}
}

func (r *roots) RootPEM() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []byte(r.pem)
}

func (r *roots) CRL() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []byte(r.crl)
}

func (r *roots) Plugged() bool { return r.plugged }

func (r *roots) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *roots) set(pem, crl string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pem, r.crl = pem, crl
	close(r.changed)
	r.changed = make(chan struct{})
}

func TestTheLeaderKeepsRoots(t *testing.T) {
	namespace := func(name string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	webhook := func(service string) admissionv1.MutatingWebhook {
		return admissionv1.MutatingWebhook{ClientConfig: admissionv1.WebhookClientConfig{
			Service: &admissionv1.ServiceReference{Name: service, Namespace: "istio-system"},
		}}
	}
	client := fake.NewClientset(namespace("shop"), namespace("kube-system"), &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "w"}, Webhooks: []admissionv1.MutatingWebhook{webhook("istiod"), webhook("other")},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	roots := &roots{pem: "ROOT", changed: make(chan struct{})}
	var written atomic.Pointer[string]
	note := func(roots []byte) {
		if written.Store(nil); roots != nil {
			text := string(roots)
			written.Store(&text)
		}
	}
	go func() {
		done <- Run(ctx, Options{
			Client: client, Namespace: "istio-system", Identity: "a", Roots: roots, Written: note, Logger: slog.New(slog.DiscardHandler),
		})
	}()
	until := func(what string, is func() bool) {
		t.Helper()
		err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) { return is(), nil })
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	root := func(namespace string) string {
		m, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, rootMap, metav1.GetOptions{})
		if err != nil {
			return ""
		}
		return m.Data[rootKey]
	}
	until("word that all have the root", func() bool { roots := written.Load(); return roots != nil && *roots == "ROOT" })
	if root("shop") != "ROOT" {
		t.Error("it is said that all have the root")
	}
	until("the root of a namespace", func() bool { return root("shop") == "ROOT" })
	until("the root of a webhook", func() bool {
		w, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "w", metav1.GetOptions{})
		return err == nil && string(w.Webhooks[0].ClientConfig.CABundle) == "ROOT" && w.Webhooks[1].ClientConfig.CABundle == nil
	})
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace("late"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until("the root of a new namespace", func() bool { return root("late") == "ROOT" })
	if err := client.CoreV1().ConfigMaps("shop").Delete(ctx, rootMap, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until("a root that was deleted", func() bool { return root("shop") == "ROOT" })
	roots.set("ANOTHER", "")
	until("another root", func() bool { return root("shop") == "ANOTHER" && root("late") == "ANOTHER" })
	until("word of another root", func() bool { return *written.Load() == "ANOTHER" })
	list := func(namespace string) string {
		m, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, crlMap, metav1.GetOptions{})
		if err != nil {
			return "none"
		}
		return m.Data[crlKey]
	}
	if list("shop") != "none" {
		t.Error("there is a list of what nobody has revoked")
	}
	for _, crl := range []string{"LIST", "NEXT", ""} {
		roots.set("ANOTHER", crl)
		until("the list "+crl, func() bool { return list("shop") == crl && list("late") == crl })
	}
	if root("kube-system") != "" {
		t.Error("the cluster's own namespace has a root")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if written.Load() != nil {
		t.Error("who does not lead says what is written")
	}
}
