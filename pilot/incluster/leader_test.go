package incluster

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// A leader that is told to end still writes for a moment. Until it does not, the lease is its own, and its owner waits.
func TestTheLeaseIsHeldUntilTheLeaderHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		o := &Options{Client: client, Namespace: "istio-system", Identity: "a", Logger: slog.New(slog.DiscardHandler)}
		holder := func() string {
			l, err := client.CoordinationV1().Leases("istio-system").Get(t.Context(), "lease", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return *l.Spec.HolderIdentity
		}
		ctx, cancel := context.WithCancel(t.Context())
		told, written, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- o.elect(ctx, "lease", "", func(ctx context.Context) {
				<-ctx.Done()
				close(told)
				<-written
			})
		}()
		synctest.Wait()
		if holder() != "a" {
			t.Fatal("nobody leads")
		}
		cancel()
		<-told
		synctest.Wait()
		if len(ended) > 0 || holder() != "a" {
			t.Errorf("while the leader writes its owner waits: %v, and the lease is %q's", len(ended) == 0, holder())
		}
		close(written)
		if err := <-ended; err != nil || holder() != "" {
			t.Errorf("in the end %v, and the lease is %q's", err, holder())
		}
	})
}

// One that ends before it ever leads waits for nothing.
func TestAFollowerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for _, name := range []string{"a", "b"} {
			o := &Options{Client: client, Namespace: "istio-system", Identity: name, Logger: slog.New(slog.DiscardHandler)}
			go func() { ended <- o.elect(ctx, "lease", "", func(ctx context.Context) { <-ctx.Done() }) }()
			synctest.Wait()
		}
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}
