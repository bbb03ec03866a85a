package proxyconfig

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var (
	notBefore = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	notAfter  = notBefore.Add(24 * time.Hour)
)

// sample gives the dump in testdata with a real certificate in its root secret.
func sample(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/config_dump.json")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0xabc), NotBefore: notBefore, NotAfter: notAfter,
		URIs: []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/default/sa/x"}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return bytes.ReplaceAll(data, []byte("ROOTPEM"), []byte(base64.StdEncoding.EncodeToString(block)))
}

func parsed(t *testing.T) *Dump {
	t.Helper()
	d, err := ParseDump(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// squeezed makes rows comparable without their padding.
func squeezed(s string) string {
	var out []string
	for l := range strings.Lines(s) {
		out = append(out, strings.Join(strings.Fields(l), " "))
	}
	return strings.Join(out, "\n")
}

func TestTables(t *testing.T) {
	for name, c := range map[string]struct {
		print func(d *Dump, w *bytes.Buffer) error
		want  string
	}{
		"clusters": {func(d *Dump, w *bytes.Buffer) error { return d.PrintClusters(w, Short, ClusterFilter{}) }, `
SERVICE FQDN PORT SUBSET DIRECTION TYPE DESTINATION RULE
9080 - inbound ORIGINAL_DST
PassthroughCluster - - - ORIGINAL_DST
agent - - - STATIC
late.default.svc.cluster.local 80 - outbound envoy.cluster.eds
reviews.default.svc.cluster.local 9080 - outbound EDS
reviews.default.svc.cluster.local 9080 v2 outbound EDS reviews.default`},
		"clusters by subset": {func(d *Dump, w *bytes.Buffer) error {
			return d.PrintClusters(w, Short, ClusterFilter{Subset: "v2", Port: 9080, Direction: "OUTBOUND", FQDN: "reviews.default.svc.cluster.local"})
		}, `
SERVICE FQDN PORT SUBSET DIRECTION TYPE DESTINATION RULE
reviews.default.svc.cluster.local 9080 v2 outbound EDS reviews.default`},
		"listeners": {func(d *Dump, w *bytes.Buffer) error { return d.PrintListeners(w, Short, ListenerFilter{}, true) }, `
ADDRESSES PORT MATCH DESTINATION
10.1.0.7 3306 SNI: a.example; Addr: 10.2.0.0/16:443 Weighted Clusters: a[1], b[3]
0.0.0.0 9080 Trans: raw_buffer; App: http/1.1,h2c Route: 9080
0.0.0.0 9080 ALL PassthroughCluster
0.0.0.0 15021 ALL Inline Route: /healthz/ready*`},
		"listeners in short": {func(d *Dump, w *bytes.Buffer) error {
			return d.PrintListeners(w, Short, ListenerFilter{Type: "http+tcp"}, false)
		}, `
ADDRESSES PORT TYPE
0.0.0.0 9080 HTTP+TCP`},
		"routes": {func(d *Dump, w *bytes.Buffer) error { return d.PrintRoutes(w, Short, "", true) }, `
NAME VHOST NAME DOMAINS MATCH VIRTUAL SERVICE
80 block_all * /one
9080 reviews.default.svc.cluster.local:9080 reviews.default.svc.cluster.local, reviews + 2 more... /x* in any case, end-user, without x-no reviews.default
9080 reviews.default.svc.cluster.local:9080 reviews.default.svc.cluster.local, reviews + 2 more... regex /a.* 503
9080 empty * /* 404`},
		"secrets": {func(d *Dump, w *bytes.Buffer) error { return d.PrintSecrets(w, Short, notBefore.Add(time.Hour)) }, `
RESOURCE NAME TYPE STATUS VALID CERT SERIAL NUMBER NOT AFTER NOT BEFORE TRUST DOMAIN
ROOTCA CA ACTIVE true 0abc 2026-11-22T00:00:00Z 2026-11-21T00:00:00Z cluster.local
default WARMING false`},
		"bootstrap": {func(d *Dump, w *bytes.Buffer) error { return d.PrintBootstrap(w, Short) }, `
NODE CLUSTER AGENT VERSION ENVOY VERSION
sidecar~10.0.0.9~reviews-v1-1.default~default.svc.cluster.local reviews.default 1.30.0 1.40.0`},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := c.print(parsed(t), &out); err != nil {
				t.Fatal(err)
			}
			if got := squeezed(out.String()); got != strings.TrimSpace(c.want) {
				t.Errorf("got\n%s\nwant%s", got, c.want)
			}
		})
	}
}

func TestExpiredCertificateIsNotValid(t *testing.T) {
	var out bytes.Buffer
	if err := parsed(t).PrintSecrets(&out, Short, notAfter.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "true") {
		t.Errorf("an expired certificate is shown as valid:\n%s", out.String())
	}
}

func TestStatesAndErrorsAreKept(t *testing.T) {
	d := parsed(t)
	found := 0
	for _, c := range d.Clusters {
		if c.Name == "outbound|9080||reviews.default.svc.cluster.local" && c.Error == "refused" {
			found++
		}
		if c.Name == "outbound|80||late.default.svc.cluster.local" && c.State == "WARMING" {
			found++
		}
	}
	if found != 2 {
		t.Errorf("clusters %+v", d.Clusters)
	}
}

func TestEndpoints(t *testing.T) {
	data := `{"cluster_statuses":[{"name":"c","host_statuses":[
	 {"address":{"socket_address":{"address":"10.0.0.2","port_value":80}},"health_status":{"eds_health_status":"UNHEALTHY"}},
	 {"address":{"socket_address":{"address":"fd00::1","port_value":80}},"health_status":{"failed_outlier_check":true}},
	 {"address":{"pipe":{"path":"/x"}},"health_status":{"eds_health_status":"HEALTHY"}}]}]}`
	var out bytes.Buffer
	if err := PrintEndpoints(&out, []byte(data), Short, EndpointFilter{}); err != nil {
		t.Fatal(err)
	}
	want := "ENDPOINT STATUS OUTLIER CHECK CLUSTER\n10.0.0.2:80 UNHEALTHY OK c\n[fd00::1]:80 HEALTHY FAILED c\nunix:///x HEALTHY OK c"
	if got := squeezed(out.String()); got != want {
		t.Errorf("got\n%s", got)
	}
	out.Reset()
	if err := PrintEndpoints(&out, []byte(data), JSON, EndpointFilter{Address: "10.0.0.2", Status: "unhealthy", Port: 80}); err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(out.Bytes(), &list); err != nil || len(list) != 1 || len(list[0]["hostStatuses"].([]any)) != 1 {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestJSONAndYAMLGiveTheMessages(t *testing.T) {
	for _, f := range []Format{JSON, YAML} {
		var out bytes.Buffer
		if err := parsed(t).PrintRoutes(&out, f, "80", true); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "block_all") || strings.Contains(out.String(), "9080") {
			t.Errorf("%s:\n%s", f, out.String())
		}
	}
	if _, err := ParseFormat("xml"); err == nil {
		t.Error("xml is accepted")
	}
}

func FuzzParseDump(f *testing.F) {
	data, err := os.ReadFile("testdata/config_dump.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","dynamic_listeners":[{"active_state":{}}]}]}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		d, err := ParseDump(data)
		if err != nil {
			return
		}
		var out bytes.Buffer
		for _, print := range []func() error{
			func() error { return d.PrintClusters(&out, Short, ClusterFilter{}) },
			func() error { return d.PrintListeners(&out, Short, ListenerFilter{}, true) },
			func() error { return d.PrintRoutes(&out, Short, "", true) },
			func() error { return d.PrintSecrets(&out, Short, notBefore) },
			func() error { return d.PrintBootstrap(&out, Short) },
		} {
			// An error is a fine answer to nonsense; a panic is not.
			_ = print()
		}
	})
}

// TestDocumentsOfStrangers prints a dump whose texts turn the direction of writing.
func TestDocumentsOfStrangers(t *testing.T) {
	data := []byte("{\"name\": \"a\u202eb\u009b\xff\"}")
	for _, format := range []Format{JSON, YAML} {
		var out bytes.Buffer
		if err := PrintDocument(&out, format, data); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), "\u202e\u009b") || !utf8.Valid(out.Bytes()) || !strings.Contains(out.String(), `a\u202e`) {
			t.Errorf("%s: %q", format, out.String())
		}
	}
}
