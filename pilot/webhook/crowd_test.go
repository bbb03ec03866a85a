package webhook

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// crowd is how many pods come at once.
const crowd = 200

// TestManyAtOnceGetTheirOwn: pods that come at once and share what templates give them have their own names.
func TestManyAtOnceGetTheirOwn(t *testing.T) {
	handler := injecting(t)
	var all sync.WaitGroup
	for i := range crowd {
		all.Go(func() {
			name := fmt.Sprintf("pod-%d", i)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, review(t, "/inject", "CREATE", strings.NewReplacer(`"p"`, `"`+name+`"`, "LABEL", "true").Replace(pod)))
			var answer admissionv1.AdmissionReview
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Response == nil {
				t.Errorf("%d %s: %v", w.Code, w.Body, err)
				return
			}
			patch := string(answer.Response.Patch)
			for _, want := range []string{
				`{"name":"ISTIO_META_WORKLOAD_NAME","value":"` + name + `"}`, `canonical-name","value":"` + name + `"`, `/pods/` + name + `"`,
			} {
				if !strings.Contains(patch, want) {
					t.Errorf("%s: no %s", name, want)
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkCrowd has many pods injected at once, over TLS as an API server asks: by HTTP/1.1, with as many connections
// as questions, of which it keeps 25. It tells how long answers take to who asks and to the webhook.
func BenchmarkCrowd(b *testing.B) {
	var mu sync.Mutex
	var served, asked []float64
	note := func(to *[]float64, since time.Time) {
		mu.Lock()
		defer mu.Unlock()
		*to = append(*to, float64(time.Since(since).Microseconds())/1e3)
	}
	handler, pods := injecting(b), bookinfo(b)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer note(&served, time.Now())
		handler.ServeHTTP(w, r)
	}))
	certificate, roots := selfSigned(b)
	server.TLS = TLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil })
	server.StartTLS()
	defer server.Close()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "istiod", NextProtos: []string{"http/1.1"}}, MaxIdleConnsPerHost: 25,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for b.Loop() {
		var all sync.WaitGroup
		for i := range crowd {
			all.Go(func() {
				defer note(&asked, time.Now())
				if err := askOver(b.Context(), client, server.URL, pods[i%len(pods)]); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
	}
	for name, took := range map[string][]float64{"asked": asked, "served": served} {
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2], name+"-p50-ms")
		b.ReportMetric(took[len(took)*99/100], name+"-p99-ms")
	}
}

func askOver(ctx context.Context, client *http.Client, url, pod string) error {
	body := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"shop","operation":"CREATE","object":` + pod + `}}`
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/inject", strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(answer.Body)
	if err = cmp.Or(err, answer.Body.Close()); err == nil && !strings.Contains(string(text), `"patch"`) {
		err = fmt.Errorf("%d: %s", answer.StatusCode, text)
	}
	return err
}

// selfSigned gives a certificate of the kind that the control plane's authority issues.
func selfSigned(b *testing.B) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"istiod"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
