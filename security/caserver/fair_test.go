package caserver

import (
	"context"
	"crypto/x509"
	"log/slog"
	"math/big"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	security "istio.io/api/security/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// slow takes a second to sign.
type slow struct{ Authority }

func (slow) SignProven([]byte, auth.Proof, time.Duration) (ca.Issued, error) {
	time.Sleep(time.Second) // of the synctest bubble
	return ca.Issued{Leaf: &x509.Certificate{SerialNumber: big.NewInt(1)}}, nil
}

// One identity that asks as often as it can has its share, and another that asks once is served next.
func TestAnIdentityThatFloodsLimitsItself(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := New(slow{authority}, named{}, slog.New(slog.DiscardHandler), nil)
		as := func(name string) context.Context { return context.WithValue(t.Context(), nameKey{}, name) }
		ask := func(name string) error {
			_, err := s.CreateCertificate(as(name), &security.IstioCertificateRequest{})
			return err
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		for range 2 * maxPresentIdentity {
			all.Go(func() {
				switch err := ask("flood"); status.Code(err) {
				case codes.OK:
				case codes.ResourceExhausted:
					mu.Lock()
					refused++
					mu.Unlock()
				default:
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		for _, name := range []string{"a", "b", "c"} {
			start := time.Now()
			if err := ask(name); err != nil {
				t.Error(err)
			}
			// One second until a slot is free, one to sign.
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("%s has waited %v", name, took)
			}
		}
		all.Wait()
		if refused != maxPresentIdentity {
			t.Errorf("%d of the flood are refused, want %d", refused, maxPresentIdentity)
		}
	})
}
