package tokenreview

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/peer"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// slow takes a second for an answer, and knows one token.
type slow struct{}

func (slow) Create(_ context.Context, review *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	time.Sleep(time.Second) // of the synctest bubble
	if review.Spec.Token == "good" {
		review.Status = status("system:serviceaccount:shop:cart", "istio-ca")
	}
	return review, nil
}

// A machine that sends bad tokens keeps no other waiting.
func TestBadTokensOfOneAddressWaitForThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := New(slow{}, []string{"istio-ca"}, "cluster.local", nil)
		verify := func(ip, token string) error {
			_, err := v.Verify(peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}}), token)
			return err
		}
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				if verify("10.0.0.1", "bad") == nil {
					t.Error("a bad token proves something")
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := verify("10.0.0.2", "good"); err != nil || time.Since(start) > 2*time.Second {
			t.Errorf("a good token of another machine: %v after %v", err, time.Since(start))
		}
		all.Wait()
	})
}
