package discovery

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	security "istio.io/api/security/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// from dials from an address of loopback, so that callers are of several machines.
func from(ip string) func(context.Context, string) (net.Conn, error) {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
}

// flooding runs f again and again, n at a time, until stop is called.
func flooding(t *testing.T, n int, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				f(ctx)
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// Callers without proof open connections, speak half of TLS, ask for certificates without a token and with bad
// ones, more than there are places. Each caller with a token gets its certificate meanwhile, over a connection of its own.
func TestCallersWithoutProofStarveNobody(t *testing.T) {
	keys := t.TempDir()
	token, foreign := tokens(t, keys), tokens(t, t.TempDir())
	p := running(t, func(p *plane) {
		p.connections = newConnections(256, prometheus.NewRegistry()) // 32 of them without proof
		p.cfg.TokenJWKS = filepath.Join(keys, "jwks.json")
		p.cfg.SecureGRPCAddr = fmt.Sprintf("0.0.0.0:%d", envoytest.FreePort(t)) // of loopback, there would be no strangers
	})
	_, port, _ := net.SplitHostPort(p.cfg.SecureGRPCAddr)
	addr := "127.0.0.1:" + port
	anyone := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}) // of callers that trust anyone
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	certificate := func(ctx context.Context, ip, bearer string) error {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(anyone), grpc.WithContextDialer(from(ip)))
		if err != nil {
			return err
		}
		defer conn.Close()
		if bearer != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", bearer)
		}
		_, err = security.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, &security.IstioCertificateRequest{Csr: csr})
		return err
	}
	bad := []string{"", "Bearer x.y.z", foreign("default").Get("Authorization"), "Bearer " + strings.Repeat("a", 60<<10)}
	var mu sync.Mutex
	refused := map[codes.Code]int{}
	stop := []func(){
		flooding(t, 60, func(ctx context.Context) { // silent connections, and halves of a handshake
			conn, err := from("127.0.0.3")(ctx, addr)
			if err != nil {
				return
			}
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			_, _ = conn.Write([]byte{0x16, 0x03, 0x01, 0x02, 0x00})
			_, _ = io.Copy(io.Discard, conn) // until another takes its place
		}),
		flooding(t, 8, func(ctx context.Context) {
			for _, bearer := range bad {
				err := certificate(ctx, "127.0.0.4", bearer)
				mu.Lock()
				refused[status.Code(err)]++
				mu.Unlock()
			}
		}),
	}
	envoytest.Eventually(t, "the flood has begun", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return refused[codes.Unauthenticated] > 20
	})
	var slowest time.Duration
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		began := time.Now()
		if err := certificate(ctx, "127.0.0.2", token(fmt.Sprintf("ns-%d", i)).Get("Authorization")); err != nil {
			t.Errorf("caller %d: %v", i, err)
		}
		slowest = max(slowest, time.Since(began))
		cancel()
	}
	for _, s := range stop {
		s()
	}
	t.Logf("20 callers with proof got their certificates, the slowest after %s; answers to those without: %v", slowest.Round(time.Millisecond), refused)
	if refused[codes.OK] > 0 {
		t.Errorf("%d have got a certificate without proof", refused[codes.OK])
	}
}
