package incluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

// authorityTest is a control plane that follows the Secrets of its CA, in time that is told.
type authorityTest struct {
	*testing.T
	AuthorityOptions

	mu   sync.Mutex
	used []string // the keys, as they came
}

func secretOf(name, key string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system"}, Data: map[string][]byte{"ca-key.pem": []byte(key)}}
}

func newAuthorityTest(t *testing.T, objects ...runtime.Object) *authorityTest {
	return &authorityTest{T: t, AuthorityOptions: AuthorityOptions{
		Client: fake.NewClientset(objects...), Namespace: "istio-system", Logger: slog.New(slog.DiscardHandler),
	}}
}

// follow follows the Secrets until stop is called.
func (a *authorityTest) follow() (stop func()) {
	ctx, cancel := context.WithCancel(a.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = FollowAuthority(ctx, a.AuthorityOptions, func(files map[string][]byte, _ bool) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.used = append(a.used, string(files["ca-key.pem"]))
			return nil
		})
	}()
	return func() { cancel(); <-done }
}

func (a *authorityTest) after(looks int, want ...string) {
	a.Helper()
	time.Sleep(time.Duration(looks) * lookEvery)
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := slices.Compact(slices.Clone(a.used)); !slices.Equal(got, want) {
		a.Errorf("used %v, not %v", got, want)
	}
}

func (a *authorityTest) create(name, key string) {
	a.Helper()
	if _, err := a.Client.CoreV1().Secrets(a.Namespace).Create(a.Context(), secretOf(name, key), metav1.CreateOptions{}); err != nil {
		a.Fatal(err)
	}
}

func (a *authorityTest) delete(name string) {
	a.Helper()
	if err := a.Client.CoreV1().Secrets(a.Namespace).Delete(a.Context(), name, metav1.DeleteOptions{}); err != nil {
		a.Fatal(err)
	}
}

// say has an operator say which CA the mesh has.
func (a *authorityTest) say(secret string) {
	a.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, annotationSecret, secret)
	if _, err := a.Client.CoreV1().ConfigMaps(a.Namespace).Patch(a.Context(), rootMap, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		a.Fatal(err)
	}
}

// A Secret that is deleted for a moment, while somebody replaces it, lets no other CA sign.
func TestTheSecretOfTheAuthorityIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthorityTest(t, secretOf("istio-ca-secret", "own"))
		defer a.follow()()
		a.after(3, "own")
		a.create("cacerts", "plugged")
		a.after(3, "own", "plugged")
		a.delete("cacerts")
		a.after(1, "own", "plugged")
		a.create("cacerts", "next")
		a.after(3, "own", "plugged", "next")
		a.delete("cacerts")
		a.delete("istio-ca-secret")
		a.after(3, "own", "plugged", "next")
	})
}

// Looking at the Secrets asks the API server nothing.
func TestTheSecretOfTheAuthorityIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthorityTest(t, secretOf("istio-ca-secret", "own"))
		defer a.follow()()
		a.after(3, "own")
		client := a.Client.(*fake.Clientset)
		client.ClearActions()
		a.after(100, "own")
		if asked := client.Actions(); len(asked) > 0 {
			t.Errorf("%d questions of an API server that has nothing new: %v", len(asked), asked[0])
		}
	})
}

// Where cacerts stays away, it takes an operator's word that another CA takes its place; also where the control
// plane is started meanwhile.
func TestAPluggedInAuthorityStaysUntilAnOperatorSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: rootMap, Namespace: "istio-system"}, Data: map[string]string{rootKey: "root"}}
		a := newAuthorityTest(t, secretOf("istio-ca-secret", "own"), secretOf("cacerts", "plugged"), root)
		stop := a.follow()
		a.after(3, "plugged")
		a.delete("cacerts")
		a.after(20, "plugged")
		stop()

		started := make(chan string, 1)
		go func() {
			found, _, err := Authority(t.Context(), a.AuthorityOptions, func() (map[string][]byte, error) { return nil, errors.New("nobody asked for a CA") })
			started <- string(found["ca-key.pem"]) + fmt.Sprint(err)
		}()
		defer a.follow()()
		a.after(20, "plugged")
		select {
		case got := <-started:
			t.Errorf("started with %s", got)
		default:
		}
		a.say("istio-ca-secret")
		a.after(3, "plugged", "own")
		if got := <-started; got != "own<nil>" {
			t.Errorf("started with %s", got)
		}

		a.create("cacerts", "again")
		a.after(3, "plugged", "own", "again")
		a.delete("cacerts")
		a.after(20, "plugged", "own", "again")

		maps := a.Client.CoreV1().ConfigMaps(a.Namespace) // which the leader makes anew when it is deleted
		if err := maps.Delete(t.Context(), rootMap, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := maps.Create(t.Context(), root, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		a.after(20, "plugged", "own", "again")
		if now, err := maps.Get(t.Context(), rootMap, metav1.GetOptions{}); err != nil || now.Annotations[annotationSecret] != "cacerts" {
			t.Errorf("it is forgotten which CA the mesh has: %v, %v", now.GetAnnotations(), err)
		}
	})
}
