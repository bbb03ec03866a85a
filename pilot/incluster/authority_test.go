package incluster

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// A Secret that is deleted for a moment, while somebody replaces it, lets no other CA sign.
func TestTheSecretOfTheAuthorityIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := func(name, key string) *corev1.Secret {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system"}, Data: map[string][]byte{"ca-key.pem": []byte(key)}}
		}
		client := fake.NewClientset(secret("istio-ca-secret", "own"))
		secrets := client.CoreV1().Secrets("istio-system")
		var used []string
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = FollowAuthority(ctx, client, "istio-system", func(files map[string][]byte) error {
				used = append(used, string(files["ca-key.pem"]))
				return nil
			}, slog.New(slog.DiscardHandler))
		}()
		after := func(looks int, want ...string) {
			t.Helper()
			time.Sleep(time.Duration(looks) * lookEvery)
			synctest.Wait()
			if got := slices.Compact(slices.Clone(used)); !slices.Equal(got, want) {
				t.Errorf("used %v, not %v", got, want)
			}
		}
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		after(3, "own")
		_, err := secrets.Create(ctx, secret("cacerts", "plugged"), metav1.CreateOptions{})
		check(err)
		after(3, "own", "plugged")
		check(secrets.Delete(ctx, "cacerts", metav1.DeleteOptions{}))
		after(1, "own", "plugged")
		_, err = secrets.Create(ctx, secret("cacerts", "next"), metav1.CreateOptions{})
		check(err)
		after(3, "own", "plugged", "next")
		check(secrets.Delete(ctx, "cacerts", metav1.DeleteOptions{}))
		check(secrets.Delete(ctx, "istio-ca-secret", metav1.DeleteOptions{}))
		after(3, "own", "plugged", "next")
		cancel()
		<-done
	})
}
