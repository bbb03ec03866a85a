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
	return c
}

func TestGolden(t *testing.T) {
	cases := map[string]Config{"sidecar": sidecar(t), "router-ipv6": router(t)}
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
		"zipkin":   {func(c *Config) { c.Proxy.ZipkinAddress = "zipkin" }, "tracing.zipkin.address"},
		"no proxy": {func(c *Config) { c.Proxy = nil }, "ProxyConfig"},
	} {
		c := sidecar(t)
		tc.change(&c)
		if _, err := Build(c); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one that names %s", name, err, tc.want)
		}
	}
}

func TestServiceCluster(t *testing.T) {
	for _, tc := range []struct {
		configured, app, want string
	}{
		{"", "reviews", "reviews.ns"},
		{"mine", "reviews", "mine"},
		{"", "", "istio-proxy.ns"},
	} {
		p := resolved(t, "serviceCluster: '"+tc.configured+"'")
		if got := (Node{Namespace: "ns", Labels: map[string]string{"app": tc.app}}).cluster(p); got != tc.want {
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
