package secret

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/security/caserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quietLog = slog.New(slog.DiscardHandler)

// fakeCA issues numbered certificates that live an hour, or fails.
type fakeCA struct {
	mu     sync.Mutex
	at     []time.Time
	broken bool
	root   string
}

func (f *fakeCA) issue(context.Context, *Value) (cert, roots *Value, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = append(f.at, time.Now())
	if f.broken {
		return nil, nil, errors.New("CA is down")
	}
	return &Value{Version: fmt.Sprint(len(f.at)), NotAfter: time.Now().Add(time.Hour)}, &Value{Version: f.root}, nil
}

func (f *fakeCA) set(edit func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	edit()
}

func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeCA{root: "root1"}
		m := New(Config{Logger: quietLog})
		m.ca = f
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		first := m.Changed()
		go func() { m.renew(ctx); close(done) }()
		<-first
		if v, err := m.Secret(Workload); err != nil || v.Version != "1" {
			t.Fatal(v, err)
		}
		begin := time.Now()
		<-m.Changed()
		if after := time.Since(begin); after < 29*time.Minute || after > 31*time.Minute {
			t.Errorf("renewed after %v, want about half an hour", after)
		}
		roots := m.Roots()
		// While the CA is down the old certificate serves, and requests become rarer.
		f.set(func() { f.broken, f.at = true, nil })
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		if v := m.WorkloadCertificate(); v == nil || v.Version != "2" {
			t.Errorf("the old certificate is gone: %v", v)
		}
		f.mu.Lock()
		if n := len(f.at); n < 10 || n > 60 {
			t.Errorf("%d requests in 20 minutes", n)
		}
		f.mu.Unlock()
		changed := m.Changed()
		f.set(func() { f.broken, f.root = false, "root2" })
		<-changed
		if m.WorkloadCertificate().Version == "2" || m.Roots() == roots || m.Roots().Version != "root2" {
			t.Errorf("after recovery: %v, %v", m.WorkloadCertificate(), m.Roots())
		}
		cancel()
		<-done
	})
}

// testCA serves a real CA over TLS, and gives the file with its root.
func testCA(t *testing.T, ttl time.Duration) (address, rootFile string, authority *ca.Authority) {
	t.Helper()
	authority, err := ca.New(ca.Options{DefaultTTL: ttl, MaxTTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	rootFile = filepath.Join(t.TempDir(), "root-cert.pem")
	if err := os.WriteFile(rootFile, authority.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		GetCertificate: authority.ServerCertificate([]string{"istiod.istio-system.svc"}),
		ClientAuth:     tls.RequestClientCert,
	})))
	authenticator := auth.New(auth.Config{
		TrustDomain: "cluster.local", Roots: authority.Roots, Tokens: []auth.TokenVerifier{oneToken{}},
	})
	caserver.New(authority, authenticator, quietLog, nil).Register(srv)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	return l.Addr().String(), rootFile, authority
}

// oneToken knows one bearer.
type oneToken struct{}

func (oneToken) Verify(_ context.Context, token string) (auth.Caller, error) {
	if token != "the-token" {
		return auth.Caller{}, errors.New("unknown token")
	}
	return auth.NewCaller("cluster.local", "default", "reviews", "")
}

func TestIssueFromRealCA(t *testing.T) {
	address, rootFile, authority := testCA(t, time.Hour)
	token := "the-token"
	m := New(Config{
		Address: address, TLS: ServerTLS(rootFile, "istiod.istio-system.svc"), Logger: quietLog,
		Token: func() (string, error) { return token, nil }, Identity: "spiffe://cluster.local/ns/default/sa/reviews",
	})
	first, roots, err := m.ca.issue(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(roots.Roots) != string(authority.RootPEM()) {
		t.Error("roots are not the CA's")
	}
	if _, err := tls.X509KeyPair(first.CertificateChain, first.PrivateKey); err != nil {
		t.Error(err)
	}
	block, _ := pem.Decode(first.CertificateChain)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.URIs[0].String() != "spiffe://cluster.local/ns/default/sa/reviews" {
		t.Errorf("identity %v", leaf.URIs)
	}
	// Without a token the certificate proves who asks.
	token = ""
	if _, _, err := m.ca.issue(context.Background(), nil); err == nil {
		t.Error("a certificate for nobody")
	}
	second, _, err := m.ca.issue(context.Background(), first)
	if err != nil || second.Version == first.Version {
		t.Errorf("renewal by certificate: %v", err)
	}
	token = "wrong"
	if _, _, err := m.ca.issue(context.Background(), first); err == nil {
		t.Error("a wrong token is passed over")
	}
}

func TestServerIsVerified(t *testing.T) {
	address, rootFile, _ := testCA(t, time.Hour)
	for _, trust := range []func() (*tls.Config, error){
		ServerTLS(rootFile, "another.name"), ServerTLS("SYSTEM", "istiod.istio-system.svc"), ServerTLS("/nowhere", "x"),
	} {
		m := New(Config{Address: address, TLS: trust, Logger: quietLog, Token: func() (string, error) { return "the-token", nil }})
		if _, _, err := m.ca.issue(context.Background(), nil); err == nil {
			t.Error("a server that does not verify was given the token")
		}
	}
}

func TestUnknownNames(t *testing.T) {
	m := New(Config{Logger: quietLog})
	for _, name := range []string{"", "other", "file-cert:", "file-cert:a", "file-cert:~b", "file-root:", "file-other:x"} {
		if v, err := m.Secret(name); err == nil {
			t.Errorf("%q = %v", name, v)
		}
	}
	for _, name := range []string{Workload, Root, "file-root:/nowhere/ca.crt"} {
		if v, err := m.Secret(name); v != nil || err != nil {
			t.Errorf("%q = %v, %v: want to wait", name, v, err)
		}
	}
}

// Mounted files are followed through the symbolic links that a kubelet turns.
func TestFilesAreFollowed(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mount := func(version string, data []byte) {
		t.Helper()
		real := filepath.Join(dir, version)
		link := filepath.Join(dir, ".next")
		if err := errors.Join(os.Mkdir(real, 0o755), os.WriteFile(filepath.Join(real, "ca.crt"), data, 0o600),
			os.Symlink(real, link), os.Rename(link, filepath.Join(dir, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	mount("v1", authority.RootPEM())
	if err := os.Symlink("..data/ca.crt", filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	m := New(Config{Logger: quietLog})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.files.run(ctx) }()
	defer func() { cancel(); <-done }()
	name := "file-root:" + filepath.Join(dir, "ca.crt")
	v, err := m.Secret(name)
	if err != nil || string(v.Roots) != string(authority.RootPEM()) {
		t.Fatal(v, err)
	}
	changed := m.Changed()
	mount("v2", other.RootPEM())
	<-changed
	if v, _ := m.Secret(name); string(v.Roots) != string(other.RootPEM()) {
		t.Error("the changed file is not served")
	}
}

// A pipe, which a user may name as he names a file, is refused. Its read would wait for a writer, and who asks for
// another secret for that.
func TestAPipeIsNoSecret(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "ca.crt")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(file, authority.RootPEM(), 0o600)); err != nil {
		t.Fatal(err)
	}
	m := New(Config{Logger: quietLog})
	answered := make(chan bool, 1)
	go func() {
		none, err := m.Secret("file-root:" + pipe)
		v, other := m.Secret("file-root:" + file)
		answered <- none == nil && err == nil && v != nil && other == nil
	}()
	select {
	case ok := <-answered:
		if !ok {
			t.Error("the pipe has a value, or the file has none")
		}
	case <-time.After(time.Minute):
		t.Error("the pipe is waited for")
		w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // so that the other goroutine ends
		if err == nil {
			w.Close()
		}
	}
}

func TestRootsBesideARevocationList(t *testing.T) {
	for name, want := range map[string]string{"file-root:/a/ca.crt": "/a/ca.crt", "file-root:/a/ca.crt~/a/crl.pem": "/a/ca.crt /a/crl.pem", "file-root:/a/ca.crt~": "", "file-root:~/a/crl.pem": ""} {
		from, err := parseName(name)
		if got := strings.Join(from.all(), " "); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// A list beside roots that a user named is served with them and followed; one that cannot be used leaves the
// former, and before there is one the roots are not served without it.
func TestAListBesideRootsIsFollowed(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	list := func(number int64) []byte {
		issuer := &x509.Certificate{KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(number), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
		}, issuer, key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	}
	dir := t.TempDir()
	put := func(name string, data []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(filepath.Join(dir, ".new"), data, 0o600), os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	put("ca.crt", authority.RootPEM())
	m := New(Config{Logger: quietLog})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.files.run(ctx) }()
	defer func() { cancel(); <-done }()
	name := "file-root:" + filepath.Join(dir, "ca.crt") + "~" + filepath.Join(dir, "crl.pem")
	if v, err := m.Secret(name); v != nil || err != nil {
		t.Errorf("without its list: %v, %v", v, err)
	}
	var last string
	for i := range int64(2) {
		changed, text := m.Changed(), list(i)
		put("crl.pem", text)
		<-changed
		v, _ := m.Secret(name)
		if string(v.CRL) != string(text) || string(v.Roots) != string(authority.RootPEM()) || v.Version == last {
			t.Errorf("list %d: %+v", i, v)
		}
		last = v.Version
	}
	put("crl.pem", []byte("x"))
	m.files.reload()
	if v, _ := m.Secret(name); v.Version != last {
		t.Error("a list that cannot be used took the place of the former")
	}
}
