package incluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// workload is a proxy with its agent: it takes the roots that its replica tells of after a moment, and renews its
// certificate within half a minute when another key signs.
type workload struct {
	*testing.T
	name          string
	of            *replica
	takes, renews int // after so many seconds
	roots         []string
	cert          *x509.Certificate

	behind, old int // for how many seconds it has had other roots, and a certificate of another key
}

func newWorkload(t *testing.T, of *replica, at int) *workload {
	p := &workload{T: t, name: fmt.Sprintf("%s-%d.default", of.name, at), of: of, takes: at, renews: 7 * at, roots: of.keeper.Bundle()}
	p.renew()
	return p
}

// renew asks the workload's replica for a certificate.
func (p *workload) renew() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		p.Fatal(err)
	}
	id := auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "shop"}
	chain, err := p.of.keeper.SignWorkload(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}), id, 0)
	if err != nil {
		p.Fatal(err)
	}
	block, _ := pem.Decode([]byte(chain[0]))
	if p.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		p.Fatal(err)
	}
}

// second is one second of its life.
func (p *workload) second() {
	if p.behind++; slices.Equal(p.roots, p.of.keeper.Bundle()) {
		p.behind = 0
	}
	if p.behind > p.takes {
		p.roots, p.behind = p.of.keeper.Bundle(), 0
	}
	if p.old++; p.leadsTo() == fingerprints(p.roots)[0] {
		p.old = 0
	}
	if p.old > p.renews {
		p.renew()
		p.old = 0
	}
}

// verify tells why roots refuse a certificate, as a handshake would.
func verify(cert *x509.Certificate, roots ...string) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(strings.Join(roots, "\n")))
	_, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// trusts gives the fingerprints of its roots, sorted.
func (p *workload) trusts() []string { return slices.Sorted(slices.Values(fingerprints(p.roots))) }

// leadsTo gives the first root by which its certificate verifies.
func (p *workload) leadsTo() string {
	for _, root := range p.roots {
		if verify(p.cert, root) == nil {
			return fingerprints([]string{root})[0]
		}
	}
	return ""
}

// handshakes has every workload verify every other one, and the control planes, and gives how many it did.
func handshakes(t *testing.T, replicas []*replica, all []*workload) (done int) {
	t.Helper()
	var servers []*x509.Certificate
	for _, r := range replicas {
		c, err := r.keeper.ServerCertificate([]string{"istiod.istio-system.svc"})(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, c.Leaf)
	}
	for _, p := range all {
		for _, peer := range all {
			if err := verify(peer.cert, p.roots...); err != nil {
				t.Errorf("%s refuses %s: %v", p.name, peer.name, err)
			}
			done++
		}
		for _, s := range servers {
			if err := verify(s, p.roots...); err != nil {
				t.Errorf("%s refuses a control plane: %v", p.name, err)
			}
			done++
		}
	}
	return done
}

// While the root is rotated nobody refuses anybody, whichever replica a proxy is connected to, however late it takes
// roots and renews, with replicas that are started anew in between; the former root ends without force and nobody
// takes a certificate of it any more.
func TestNoHandshakeFailsWhileTheRootIsRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRootTest(t, ca.Options{})
		defer func() { w.stop() }()
		var all []*workload
		for _, r := range w.replicas {
			var fleet []*workload
			for at := range 4 {
				fleet = append(fleet, newWorkload(t, r, at))
			}
			r.set(func() { r.fleet = fleet })
			all = append(all, fleet...)
		}
		first, done := all[0].cert, 0
		seconds := func(n int, until func(ca.Status) bool) int {
			t.Helper()
			for took := range n {
				w.pass(time.Second)
				for _, r := range w.replicas {
					r.set(func() {
						for _, p := range r.fleet {
							p.second()
						}
					})
				}
				if done += handshakes(t, w.replicas, all); until(w.status()) {
					return took
				}
			}
			t.Fatalf("after %d seconds %+v", n, w.status())
			return n
		}
		w.request(ca.Start)
		signs := seconds(60, func(s ca.Status) bool { return s.Stage == ca.Signing })
		w.restart()
		refused := 0
		ended := seconds(120, func(s ca.Status) bool {
			if s.Stage == ca.Signing && s.Refused != "" {
				refused++
			}
			if s.Stage == ca.Signing {
				w.request(ca.Finish) // as `finish --wait`
			}
			return s.Stage == ca.Steady
		})
		seconds(10, func(ca.Status) bool {
			return !slices.ContainsFunc(all, func(p *workload) bool { return len(p.roots) > 1 })
		})
		for _, p := range all {
			if err := verify(first, p.roots...); err == nil {
				t.Errorf("%s takes a certificate of the former root", p.name)
			}
		}
		if refused == 0 {
			t.Error("the former root went at once")
		}
		t.Logf("%d handshakes; the new key signed after %d s, the former root went %d s later", done, signs, ended)
	})
}
