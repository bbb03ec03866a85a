package caserver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	security "istio.io/api/security/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/security/loglimit"
)

// proves is an Authenticator of one proof.
type proves struct {
	auth.Proof
	err error
}

func (p proves) Prove(context.Context) (auth.Proof, error) { return p.Proof, p.err }

// broken is an Authority that cannot sign.
type broken struct{ Authority }

func (broken) SignProven([]byte, auth.Proof, time.Duration) (ca.Issued, error) {
	return ca.Issued{}, errors.New("the CA's own certificate has ended")
}

// lines reads a log of JSON.
func lines(t *testing.T, log *bytes.Buffer) []map[string]any {
	t.Helper()
	var out []map[string]any
	for d := json.NewDecoder(log); ; {
		line := map[string]any{}
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		delete(line, "time")
		out = append(out, line)
	}
}

func keyRequest(t *testing.T, curve elliptic.Curve) string {
	t.Helper()
	key, _ := ecdsa.GenerateKey(curve, rand.Reader)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// Each certificate is a line with what an auditor asks for, and no more.
func TestAuditOfWhatIsIssued(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	proof := auth.Proof{
		Caller: auth.Caller{Identity: auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "reviews"}},
		At:     time.Now().Add(-time.Hour).Truncate(time.Second).UTC(), By: auth.ByCertificate, Serial: "abc123",
	}
	s := New(authority, proves{Proof: proof}, slog.New(slog.NewJSONHandler(&log, nil)), reg)
	ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 4711}})
	resp, err := s.CreateCertificate(ctx, &security.IstioCertificateRequest{Csr: keyRequest(t, elliptic.P256())})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(resp.CertChain[0]))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	got := lines(t, &log)
	if len(got) != 1 {
		t.Fatalf("got %d lines: %v", len(got), got)
	}
	id := proof.Identity.String()
	for key, want := range map[string]string{
		"msg": "certificate issued", "level": "INFO", "identity": id, "caller": id, "proof": "certificate", "callerSerial": "abc123",
		"provenAt": proof.At.Format(time.RFC3339), "address": "10.0.0.7:4711", "serial": leaf.SerialNumber.Text(16),
		"notAfter": leaf.NotAfter.Format(time.RFC3339), "key": "ECDSA P-256", "issuer": leaf.Issuer.String(),
	} {
		if got[0][key] != want {
			t.Errorf("%s is %v, want %q", key, got[0][key], want)
		}
		delete(got[0], key)
	}
	if len(got[0]) > 0 {
		t.Errorf("more than that: %v", got[0])
	}
	if n := labelled(t, reg, "pilot_certificates_issued_total", "certificate"); n != 1 {
		t.Errorf("pilot_certificates_issued_total is %v", n)
	}
}

// Each refusal is a line with its reason, and counted by it.
func TestAuditOfWhatIsRefused(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	proof := auth.Proof{Caller: auth.Caller{Identity: auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "reviews"}}, At: time.Now(), By: auth.ByToken}
	other, _ := structpb.NewStruct(map[string]any{"ImpersonatedIdentity": "spiffe://cluster.local/ns/a/sa/b"})
	good := keyRequest(t, elliptic.P256())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		why       reason
		authority Authority
		who       proves
		ctx       context.Context
		req       *security.IstioCertificateRequest
		code      codes.Code
		says      string
		edit      func(*Server)
	}{
		{unauthenticated, authority, proves{err: status.Error(codes.Unauthenticated, "no proof")}, t.Context(), &security.IstioCertificateRequest{Csr: good}, codes.Unauthenticated, "no proof", nil},
		{impersonation, authority, proves{Proof: proof}, t.Context(), &security.IstioCertificateRequest{Csr: good, Metadata: other}, codes.PermissionDenied, "another's", nil},
		{badRequest, authority, proves{Proof: proof}, t.Context(), &security.IstioCertificateRequest{Csr: keyRequest(t, elliptic.P224())}, codes.InvalidArgument, "P-224", nil},
		{limit, authority, proves{Proof: proof}, t.Context(), &security.IstioCertificateRequest{Csr: good}, codes.ResourceExhausted, "too many", func(s *Server) { s.perIdent = 0 }},
		{failed, broken{authority}, proves{Proof: proof}, t.Context(), &security.IstioCertificateRequest{Csr: good}, codes.Internal, "has ended", nil},
		{late, authority, proves{Proof: proof}, gone, &security.IstioCertificateRequest{Csr: good}, codes.Canceled, "canceled", func(s *Server) {
			for err := error(nil); err == nil; { // until no slot is free
				_, err = s.signing.Enter(gone, auth.Identity{})
			}
		}},
	} {
		var log bytes.Buffer
		reg := prometheus.NewRegistry()
		s := New(c.authority, c.who, slog.New(slog.NewJSONHandler(&log, nil)), reg)
		if c.edit != nil {
			c.edit(s)
		}
		if _, err := s.CreateCertificate(c.ctx, c.req); status.Code(err) != c.code {
			t.Errorf("%s: %v", c.why, err)
		}
		text := log.String()
		if strings.Contains(text, "BEGIN") || strings.Contains(text, good[40:80]) {
			t.Errorf("%s: the log holds a secret: %s", c.why, text)
		}
		got := lines(t, &log)
		if len(got) != 1 || got[0]["msg"] != "certificate refused" || got[0]["reason"] != string(c.why) {
			t.Errorf("%s: log %v", c.why, got)
			continue
		}
		if said, _ := got[0]["error"].(string); !strings.Contains(said, c.says) {
			t.Errorf("%s: the line says %q", c.why, said)
		}
		if who := got[0]["caller"]; (who == proof.Identity.String()) != (c.why != unauthenticated) {
			t.Errorf("%s: the caller is %v", c.why, who)
		}
		if n := labelled(t, reg, "pilot_certificates_refused_total", string(c.why)); n != 1 {
			t.Errorf("%s: counted %v times", c.why, n)
		}
	}
}

// Callers without proof do not fill the log, and take no lines from others.
func TestAuditIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		a := newAudit(slog.New(slog.NewJSONHandler(&log, nil)))
		known := auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "reviews"}
		for range 3 * loglimit.Lines {
			a.refused(t.Context(), auth.Proof{}, unauthenticated, errors.New("nobody"))
		}
		a.refused(t.Context(), auth.Proof{Caller: auth.Caller{Identity: known}}, badRequest, errors.New("bad"))
		if got := lines(t, &log); len(got) != loglimit.Lines+1 || got[loglimit.Lines]["caller"] != known.String() {
			t.Errorf("%d lines, the last is %v", len(got), got[len(got)-1])
		}
		time.Sleep(loglimit.Window)
		a.refused(t.Context(), auth.Proof{}, unauthenticated, errors.New("nobody"))
		if got := lines(t, &log); len(got) != 2 || got[0]["number"] != float64(2*loglimit.Lines) {
			t.Errorf("after a while: %v", got)
		}
	})
}

// What is told of the CA's end is true after it was exchanged.
func TestExpiryOfAnExchangedCA(t *testing.T) {
	short, err := ca.New(ca.Options{RootTTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	long, err := ca.New(ca.Options{RootTTL: 100 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	now := &struct{ Authority }{short}
	New(now, &caller{}, slog.New(slog.DiscardHandler), reg)
	now.Authority = long
	root, _ := long.NotAfter()
	for _, name := range []string{"root_cert", "cert_chain"} {
		if got := value(t, reg, "citadel_server_"+name+"_expiry_timestamp"); got != float64(root.Unix()) {
			t.Errorf("%s ends at %v, want %v", name, got, root.Unix())
		}
		if left := value(t, reg, "citadel_server_"+name+"_expiry_seconds"); left < 99*3600 || left > 100*3600 {
			t.Errorf("%s has %v s left", name, left)
		}
	}
}

func labelled(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
