package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// deadline is how long anything may take that has to come.
const deadline = 30 * time.Second

// mesh is a control plane with one gateway, an Envoy.
type mesh struct {
	t       *testing.T
	feed    *storetest.Feed
	builder *build.Builder
	engine  *push.Engine
	envoy   *envoytest.Envoy
	socket  string

	mu       sync.Mutex
	problems []model.Problem
}

// newMesh starts both; identity is what the gateway proves, nil for nothing.
func newMesh(t *testing.T, identity *xds.Identity, yaml string) *mesh {
	t.Helper()
	return newMeshWith(t, build.Options{}, identity, yaml)
}

func newMeshWith(t *testing.T, options build.Options, identity *xds.Identity, yaml string) *mesh {
	t.Helper()
	m := newPlane(t, options, identity, yaml)
	m.envoy = envoytest.Run(t, envoytest.Config{Node: "router~127.0.0.1~gw-0.istio-system~istio-system.svc.cluster.local", Socket: m.socket})
	return m
}

// newPlane starts the control plane alone.
func newPlane(t *testing.T, options build.Options, identity *xds.Identity, yaml string) *mesh {
	t.Helper()
	m := &mesh{t: t, builder: build.New(options), socket: filepath.Join(t.TempDir(), "ads.sock")}
	m.engine = push.New(push.Options{Report: func(problems []model.Problem) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.problems = problems
	}})
	m.feed = storetest.NewFeed(t, nil)
	m.apply(yaml)
	server := xds.New(xds.Options{Source: m.engine, Logger: slog.New(slog.DiscardHandler), RemovalGrace: time.Second})
	var authenticate xds.Authenticate
	if identity != nil {
		authenticate = func(context.Context) (xds.Identity, error) { return *identity, nil }
	}
	l, err := net.Listen("unix", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.ForceServerCodecV2(xds.Codec()))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(srv, server.Service(authenticate))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Stop()
		server.Wait()
		<-done
	})
	return m
}

// apply hands over objects; a document that is only a key after "-" deletes.
func (m *mesh) apply(yaml string) {
	m.t.Helper()
	objects, problems := file.Decode([]byte(yaml), "input.yaml")
	if len(problems) > 0 {
		m.t.Fatal(problems)
	}
	for _, c := range m.feed.Edit(objects...) {
		if err := m.engine.Apply(m.t.Context(), push.Built(m.builder, c)); err != nil {
			m.t.Fatal(err)
		}
	}
}

// until waits for what has to come; missing tells what is not there yet.
func until(t *testing.T, what string, missing func() error) {
	t.Helper()
	end := time.Now().Add(deadline)
	for {
		err := missing()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a.cert.Subject.CommonName = name
	a.pem, a.cert = a.sign(a.cert, a.cert, &a.key.PublicKey)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PublicKey) (string, *x509.Certificate) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), cert
}

// pair is a certificate with its key, in PEM.
type pair struct{ cert, key string }

// issue makes a certificate for hosts.
func (a *authority) issue(serial int64, hosts ...string) pair {
	a.t.Helper()
	key := newKey(a.t)
	cert, _ := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: hosts,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pair{cert, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
}

// revoke gives a list of revoked serial numbers.
func (a *authority) revoke(serials ...int64) string {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

func (p pair) tls(t *testing.T) *tls.Certificate {
	t.Helper()
	out, err := tls.X509KeyPair([]byte(p.cert), []byte(p.key))
	if err != nil {
		t.Fatal(err)
	}
	return &out
}

// secret writes a Secret of the gateway's namespace; data are keys and their values.
func secret(name string, data ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: istio-system}\ndata:\n", name)
	for i := 0; i < len(data); i += 2 {
		fmt.Fprintf(&b, "  %s: %s\n", data[i], base64.StdEncoding.EncodeToString([]byte(data[i+1])))
	}
	return b.String()
}

// client speaks HTTPS to a port of loopback under any host's name, on connections that it keeps.
type client struct {
	http *http.Client
	port int
}

func newClient(t *testing.T, port int, trust *authority, own *tls.Certificate) *client {
	roots := x509.NewCertPool()
	roots.AddCert(trust.cert)
	conf := &tls.Config{RootCAs: roots}
	if own != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	}
	transport := &http.Transport{
		TLSClientConfig: conf, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{&http.Client{
		Transport: transport, Timeout: 5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, port}
}

// get asks for a URL and gives the status and the body, with the serial number of the server's certificate.
func (c *client) get(url string) (status int, body string, serial int64, err error) {
	res, err := c.http.Get(url)
	if err != nil {
		return 0, "", 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if res.TLS != nil {
		serial = res.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	return res.StatusCode, string(text), serial, err
}

// want asks for a URL until it is answered by a status and body.
func (c *client) want(t *testing.T, url string, status int, body string) {
	t.Helper()
	until(t, url, func() error {
		got, text, _, err := c.get(url)
		if err == nil && (got != status || !strings.Contains(text, body)) {
			err = fmt.Errorf("%d %q, want %d %q", got, text, status, body)
		}
		return err
	})
}
