package bootstrap

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pilothouse-mesh/pilothouse/agent/proxyconfig"
)

var update = flag.Bool("update", false, "write the goldens anew")

func resolved(t *testing.T, text string) *proxyconfig.Config {
	t.Helper()
	p, err := proxyconfig.Resolve(proxyconfig.Layer{Source: "test", Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sidecar(t *testing.T) Config {
	return Config{
		Node: Node{
			Type: "sidecar", IPs: []string{"10.4.0.7", "fd00::7"}, Pod: "reviews-v1-5", Namespace: "default",
			Domain: "default.svc.cluster.local", ServiceAccount: "bookinfo-reviews",
			Labels:      map[string]string{"app": "reviews", "version": "v1", "istio-locality": "eu.eu-1.a"},
			Annotations: map[string]string{"sidecar.istio.io/statsInclusionPrefixes": "cluster.outbound, http."},
			PilotSANs:   []string{"istiod.istio-system.svc"},
			Env: map[string]string{
				"ISTIO_META_CLUSTER_ID":        "Kubernetes",
				"ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
				"ISTIO_META_DNS_CAPTURE":       "true",
				"ISTIO_META_POD_PORTS":         `[{"containerPort":9080}]`,
				"ISTIO_METAJSON_EXTRA":         `{"TEAM":{"name":"x"}}`,
				"ISTIO_METAJSON_LIST":          `["a"]`,
				"ISTIO_META_NAME":              "not-my-name",
				"PATH":                         "/bin",
			},
			EnvoyVersion: "1.40.0",
		},
		Proxy:     resolved(t, "concurrency: 2\nextraStatTags: [team]\ntracing: {zipkin: {address: 'zipkin.istio-system:9411'}}\nproxyStatsMatcher: {inclusionSuffixes: [upstream_rq_total]}"),
		XDSSocket: "./etc/istio/proxy/XDS",
		SDSSocket: "./var/run/secrets/workload-spiffe-uds/socket",
	}
}

func router(t *testing.T) Config {
	c := sidecar(t)
	c.Node.Type, c.Node.IPs, c.Node.Pod, c.Node.Namespace = "router", []string{"fd00::9"}, "gw-1", "istio-system"
	c.Node.Labels, c.Node.Annotations, c.Node.Env = nil, nil, nil
	c.Proxy, c.StateOfTheWorld, c.OutlierLogPath = resolved(t, ""), true, "/dev/stdout"
	c.MemoryLimit = 1 << 30
	return c
}

// everything has each part of a bootstrap that is not always there.
func everything(t *testing.T) Config {
	c := sidecar(t)
	c.Node.Annotations = map[string]string{
		"sidecar.istio.io/statsInclusionPrefixes": "http.{pod_ip}_",
		"sidecar.istio.io/extraStatTags":          "team,shift",
		"sidecar.istio.io/statsHistogramBuckets":  `{"istiocustom":[1,5,10],"cluster.xds-grpc":[1.5]}`,
		"sidecar.istio.io/statsFlushInterval":     "10s",
		"sidecar.istio.io/statsEvictionInterval":  "25s",
		"sidecar.istio.io/statsCompression":       "gzip",
	}
	c.Proxy = resolved(t, `
extraStatTags: [team]
tracing: {datadog: {address: 'datadog:8126'}, tlsSettings: {mode: SIMPLE, sni: datadog, caCrl: /revoked.pem}}
statsdUdpAddress: 10.1.1.1:9125
envoyMetricsService: {address: 'metrics:15000', tlsSettings: {mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem, caCertificates: /ca.pem, caCrl: /crl.pem, subjectAltNames: [metrics, 'spiffe://td/x']}, tcpKeepalive: {probes: 3, time: 10s, interval: 1500ms}}
envoyAccessLogService: {address: 'als:15000', tlsSettings: {mode: ISTIO_MUTUAL}}
connectionSettings: {globalDownstreamConnectionLimit: 15000}
runtimeValues: {re2.max_program_size.error_level: '', envoy.x: 'true', envoy.y: '7'}
`)
	c.SecureMetricsPort, c.SecureMergedMetricsPort, c.MetricsLocalOnly, c.LogAsJSON = 15091, 15092, true, true
	return c
}

func TestGolden(t *testing.T) {
	cases := map[string]Config{"sidecar": sidecar(t), "router-ipv6": router(t), "everything": everything(t)}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Build(c)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := Write(path, got); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("bootstrap differs (-want +got; go test -update writes it anew):\n%s", diff)
			}
			for range 20 {
				if again, _ := Build(c); !bytes.Equal(got, again) {
					t.Fatal("the same input gave other bytes")
				}
			}
		})
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(cases) {
		t.Errorf("testdata holds %v for %d cases", files, len(cases))
	}
}

func TestMetadataKnowsBetterThanVariables(t *testing.T) {
	m := sidecar(t).metadata()
	if m["NAME"] != "reviews-v1-5" || m["CLUSTER_ID"] != "Kubernetes" || m["INSTANCE_IPS"] != "10.4.0.7,fd00::7" {
		t.Errorf("metadata %v", m)
	}
	if _, ok := m["TEAM"].(map[string]any); !ok {
		t.Errorf("an entry of a METAJSON object is missing: %v", m)
	}
}

func TestBadNodes(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no IP":    {func(c *Config) { c.Node.IPs = nil }, "INSTANCE_IP"},
		"bad IP":   {func(c *Config) { c.Node.IPs = []string{"x"} }, "INSTANCE_IP"},
		"no pod":   {func(c *Config) { c.Node.Pod = "" }, "POD_NAME"},
		"tilde":    {func(c *Config) { c.Node.Domain = "a~b" }, "--domain"},
		"zipkin":   {func(c *Config) { c.Proxy.Tracing.Zipkin = "zipkin" }, "tracing.zipkin.address"},
		"no proxy": {func(c *Config) { c.Proxy = nil }, "ProxyConfig"},
		"statsd":   {func(c *Config) { c.Proxy.StatsdAddress = "x:0" }, "statsdUdpAddress"},
		"metrics":  {func(c *Config) { c.Proxy.Metrics.Address = "x" }, "envoyMetricsService.address"},
		"tls": {func(c *Config) {
			c.Proxy.AccessLog = proxyconfig.RemoteService{Address: "x:1", TLS: &proxyconfig.TLS{Mode: "HARD"}}
		}, "envoyAccessLogService.address: tlsSettings"},
		"limit":   {func(c *Config) { c.Node.Env[metaConnections] = "many" }, metaConnections},
		"buckets": {func(c *Config) { c.Node.Annotations["sidecar.istio.io/statsHistogramBuckets"] = "[1]" }, "statsHistogramBuckets"},
		"flush":   {func(c *Config) { c.Node.Annotations["sidecar.istio.io/statsFlushInterval"] = "0s" }, "statsFlushInterval"},
	} {
		c := sidecar(t)
		tc.change(&c)
		if _, err := Build(c); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one that names %s", name, err, tc.want)
		}
	}
}

// TestConnectionLimit says who wins: ProxyConfig, the variable, the runtime value, the proxy's type.
func TestConnectionLimit(t *testing.T) {
	c := sidecar(t)
	wants := func(want int) {
		t.Helper()
		if got, err := c.connectionLimit(); got != want || err != nil {
			t.Errorf("limit %d, want %d (%v)", got, want, err)
		}
	}
	wants(1<<31 - 1)
	c.Node.Type = "router"
	wants(50000)
	c.Proxy.Runtime = map[string]string{runtimeConnections: "5000"}
	wants(5000)
	c.Node.Env[metaConnections] = "20000"
	wants(20000)
	c.Proxy.ConnectionLimit = 25000
	wants(25000)
}

func TestServiceCluster(t *testing.T) {
	for _, tc := range []struct {
		configured, app, want string
	}{
		{"", "reviews", "reviews.ns"},
		{"serviceCluster: mine", "reviews", "mine"},
		{"", "", "reviews-v1.ns"},
		{"tracingServiceName: CANONICAL_NAME_ONLY", "reviews", "canon"},
		{"tracingServiceName: CANONICAL_NAME_AND_NAMESPACE", "", "canon.ns"},
		{"tracingServiceName: APP_LABEL_AND_NAMESPACE", "reviews", "reviews.ns"},
	} {
		p := resolved(t, tc.configured)
		labels := map[string]string{"app": tc.app, "service.istio.io/canonical-name": "canon"}
		if got := (Node{Namespace: "ns", Labels: labels, Env: map[string]string{"ISTIO_META_WORKLOAD_NAME": "reviews-v1"}}).ServiceName(p); got != tc.want {
			t.Errorf("cluster of %+v = %q", tc, got)
		}
	}
}

func TestParsePodInfo(t *testing.T) {
	m, err := ParsePodInfo("app=\"reviews\"\nnote=\"a=\\\"b\\\"\\nc\"\n")
	if err != nil || m["app"] != "reviews" || m["note"] != "a=\"b\"\nc" {
		t.Errorf("parsed %v, %v", m, err)
	}
	for _, bad := range []string{"app", "app=reviews", "=\"x\""} {
		if _, err := ParsePodInfo(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if m, err := ReadPodInfo(filepath.Join(t.TempDir(), "absent")); err != nil || len(m) != 0 {
		t.Errorf("absent file: %v, %v", m, err)
	}
}

func FuzzPodInfo(f *testing.F) {
	f.Add("app=\"reviews\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := ParsePodInfo(text); err != nil && m != nil {
			t.Fatal("both a map and an error")
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add("ISTIO_META_A", "x", "ISTIO_METAJSON_B", `{"A":1}`)
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		a := envMetadata(map[string]string{k1: v1, k2: v2})
		x, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		y, _ := json.Marshal(envMetadata(map[string]string{k2: v2, k1: v1}))
		if k1 != k2 && !bytes.Equal(x, y) {
			t.Fatalf("%s differs from %s", x, y)
		}
	})
}
