package secret

import (
	"context"
	"encoding/pem"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/proto/signer"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// issuer asks an Authority that may be put in another's place.
type issuer struct {
	client
	present atomic.Pointer[ca.Authority]
}

func (s *issuer) issue(context.Context, *Value) (cert, roots *Value, err error) {
	key, keyPEM, csr, err := s.request()
	if err != nil {
		return nil, nil, err
	}
	id := auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "reviews"}
	chain, err := s.present.Load().SignWorkload(csr, id, time.Hour)
	if err != nil {
		return nil, nil, err
	}
	return read(chain, key, keyPEM)
}

func newAuthority(t *testing.T) *ca.Authority {
	t.Helper()
	a, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// bundle is what the control plane sends of roots.
func bundle(t *testing.T, roots ...*ca.Authority) []byte {
	t.Helper()
	m := &meshconfig.ProxyConfig{ConfigPath: "not of interest"}
	for _, r := range roots {
		m.CaCertificatesPem = append(m.CaCertificatesPem, string(r.RootPEM()))
	}
	value, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// The control plane says whom to trust, and with that when the CA signs by another key: then the certificate is
// renewed within the spread, and not in hours.
func TestTrustBundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next := newAuthority(t), newAuthority(t)
		s := &issuer{}
		s.present.Store(old)
		m := New(Config{Logger: quietLog, RenewalSpread: time.Minute})
		m.ca = s
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		first := m.Changed()
		go func() { m.renew(ctx); close(done) }()
		defer func() { cancel(); <-done }()
		<-first
		take := func(value []byte) {
			t.Helper()
			if err := m.TakeTrust(value); err != nil {
				t.Fatal(err)
			}
		}
		has := func(step string, want ...*ca.Authority) {
			t.Helper()
			roots := string(m.Roots().Roots)
			if strings.Count(roots, "BEGIN") != len(want) {
				t.Errorf("%s: %d roots, want %d", step, strings.Count(roots, "BEGIN"), len(want))
			}
			for _, a := range want {
				if !strings.Contains(roots, string(a.RootPEM())) {
					t.Errorf("%s: a root is missing", step)
				}
			}
		}
		var mu sync.Mutex
		var told []string // what the control plane is told of the certificate
		telling := make(chan struct{})
		go func() {
			_ = m.TellSigner(ctx, func(root string) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, root)
			})
			close(telling)
		}()
		defer func() { cancel(); <-telling }()
		tells := func(step string, by *ca.Authority) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			block, _ := pem.Decode(by.RootPEM())
			if got := told[len(told)-1]; got != signer.Fingerprint(block.Bytes) {
				t.Errorf("%s: told that the certificate is by %q", step, got)
			}
		}
		tells("at first", old)
		before := m.WorkloadCertificate()
		take(bundle(t, old, next))
		has("both are told", old, next)
		time.Sleep(2 * time.Minute)
		if m.WorkloadCertificate() != before {
			t.Error("the certificate is renewed though the CA signs by the same key")
		}
		s.present.Store(next)
		take(bundle(t, next, old))
		tells("before it is renewed", old)
		time.Sleep(time.Minute)
		synctest.Wait()
		if v := m.WorkloadCertificate(); v == before || !leadsTo(v, string(next.RootPEM())) {
			t.Error("the certificate is not renewed by the new key")
		}
		tells("renewed", next)
		has("the new key signs", next, old)
		take(bundle(t, next))
		has("the former root is dropped", next)
		take(nil)
		has("nothing is told", next)
		for name, bad := range map[string][]byte{"no protobuf": {0xff}, "no PEM": func() []byte {
			value, _ := proto.Marshal(&meshconfig.ProxyConfig{CaCertificatesPem: []string{"x"}})
			return value
		}()} {
			if err := m.TakeTrust(bad); err == nil {
				t.Errorf("%s is taken", name)
			}
		}
		has("what is broken is refused", next)
		// A CA whose files were exchanged while the control plane's stream is away.
		third := newAuthority(t)
		s.present.Store(third)
		time.Sleep(time.Hour)
		has("the CA knows more", next, third)
	})
}
