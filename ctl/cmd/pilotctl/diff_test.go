package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
	"github.com/pilothouse-mesh/pilothouse/pilot/discovery"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// controlPlane runs a control plane of a directory, to which proxies are connected, and gives its pages.
func controlPlane(t *testing.T, dir string, proxies ...string) http.Handler {
	t.Helper()
	at := func() string { return fmt.Sprintf("127.0.0.1:%d", envoytest.FreePort(t)) }
	cfg := discovery.Config{
		ConfigDirs: []string{dir}, Domain: "cluster.local", ClusterID: "Kubernetes", Name: "istiod-1",
		GRPCAddr: at(), HTTPAddr: at(), MonitoringAddr: at(), Logger: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- discovery.Run(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	envoytest.Eventually(t, "ready", func() bool {
		resp, err := http.Get("http://" + cfg.HTTPAddr + "/ready")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
	for _, id := range proxies {
		connect(t, ctx, cfg.GRPCAddr, id)
	}
	pages := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: cfg.MonitoringAddr})
	pages.ModifyResponse = proven
	return pages
}

// proven lets the proxies, which here come without certificates, stand for ones that proved their namespace.
func proven(r *http.Response) error {
	if r.Request.URL.Path != debug.ProxiesPath {
		return nil
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	text = bytes.ReplaceAll(text, []byte(`"Secrets": false`), []byte(`"Secrets": true`))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	r.Header.Set("Content-Length", strconv.Itoa(len(text)))
	return nil
}

// connect opens the stream of a proxy, which lasts as long as ctx. A label may follow its ID after a space, as a=b.
func connect(t *testing.T, ctx context.Context, address, id string) {
	t.Helper()
	node := &corev3.Node{}
	var label string
	if node.Id, label, _ = strings.Cut(id, " "); label != "" {
		name, value, _ := strings.Cut(label, "=")
		labels, err := structpb.NewStruct(map[string]any{"LABELS": map[string]any{name: value}})
		if err != nil {
			t.Fatal(err)
		}
		node.Metadata = labels
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: resource.Clusters.URL()}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
}

// pilotctl runs a command against a cluster of replicas of the control plane.
func pilotctl(t *testing.T, replicas map[string]http.Handler, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return pilotctlOf(t, &apiServer{t: t, replicas: replicas}, args...)
}

// pilotctlOf runs a command against a cluster.
func pilotctlOf(t *testing.T, cluster *apiServer, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	server := httptest.NewServer(cluster)
	defer server.Close()
	kubeconfig := filepath.Join(t.TempDir(), "config")
	writeFile(t, kubeconfig, fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: x, clusters: [{name: x, cluster: {server: "%s"}}], contexts: [{name: x, context: {cluster: x}}]}`, server.URL))
	var out, said bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&said)
	root.SetArgs(append(args, "--kubeconfig", kubeconfig))
	err := root.ExecuteContext(t.Context())
	var exit *exitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		code = exit.code
	default:
		code = exitFailure
		said.WriteString(err.Error())
	}
	return out.String(), said.String(), code
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runningMesh gives the mesh that tests of pilot/analyze have as well, with routes and a gateway.
func runningMesh(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../pilot/analyze/testdata/running.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + runningRoutes
}

const runningRoutes = `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop], http: [{match: [{uri: {prefix: /cart}}], route: [{destination: {host: shop}}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: edge-1, labels: {istio: edge}}
spec: {containers: [{name: istio-proxy, image: x, args: [proxy, router]}]}
status: {podIP: 10.9.0.3, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec: {selector: {istio: edge}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: shop}, hosts: [shop.example.com]},
  {port: {number: 443, name: late, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: late}, hosts: [late.example.com]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge}
spec: {hosts: [shop.example.com, late.example.com], gateways: [edge], http: [{route: [{destination: {host: shop}}]}]}
---
`

// keyedSecret is a Secret with a key pair, and a line of the key.
func keyedSecret(t *testing.T, name string) (yaml, keyLine string) {
	t.Helper()
	s := envoytest.NewSecrets(t).Named("x").GetTlsCertificate()
	certificate, key := s.GetCertificateChain().GetInlineBytes(), s.GetPrivateKey().GetInlineBytes()
	if block, _ := pem.Decode(key); block == nil {
		t.Fatal("no key")
	}
	indent := func(text []byte) string { return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    ") }
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n    %s\n  tls.key: |\n    %s\n---\n", name, indent(certificate), indent(key)),
		strings.Split(string(key), "\n")[1]
}

func TestDiffAgainstARunningMesh(t *testing.T) {
	dir := t.TempDir()
	mesh := runningMesh(t)
	secret, keyLine := keyedSecret(t, "shop")
	writeFile(t, filepath.Join(dir, "mesh.d.yaml"), mesh+secret)
	plane := controlPlane(t, dir,
		"sidecar~10.9.0.1~client-6d4c-x.default~default.svc.cluster.local", "sidecar~10.9.0.2~shop-77-y.default~default.svc.cluster.local",
		"router~10.9.0.3~edge-1.default~default.svc.cluster.local")
	late, lateKey := keyedSecret(t, "late")
	other, otherKey := keyedSecret(t, "shop")
	replicas := map[string]http.Handler{"istiod-1": plane}
	for name, c := range map[string]struct {
		files string
		code  int
		want  []string
		not   []string
	}{
		"what is there already": {mesh + secret, 0, nil, []string{"."}},
		"a Service without the address that the cluster gave it": {
			"apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}\n", 0, nil, []string{"."},
		},
		"another route": {
			"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop}\nspec: {hosts: [shop], http: [{match: [{uri: {prefix: /basket}}], route: [{destination: {host: shop}}]}]}\n",
			exitFindings,
			[]string{"sidecars of namespace default: client, shop\n", "GET http://shop.default:80/cart: shop.default:80 -> 404 (NR)"},
			[]string{"router", "removed", "any."},
		},
		"a subset of what a Deployment's pods would be": {
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec: {selector: {matchLabels: {app: shop}}, template: {metadata: {labels: {app: shop, version: v2}}, spec: {containers: [{name: app, image: x}]}}}\n---\n" +
				"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: shop}\nspec: {host: shop, subsets: [{name: two, labels: {version: v2}}]}\n---\n" +
				"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop}\nspec: {hosts: [shop], http: [{route: [{destination: {host: shop, subset: two}}]}]}\n",
			exitFindings,
			[]string{"/: 404 (NR) -> shop.default:80 two", "cluster outbound|80|two|shop.default.svc.cluster.local: added"},
			[]string{"workload: added", "(UH)"},
		},
		"a workload that is not there yet": {
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: more}\nspec: {selector: {matchLabels: {app: shop}}, template: {metadata: {labels: {app: shop}}, spec: {containers: [{name: app, image: x}]}}}\n",
			exitFindings,
			[]string{"sidecar more.default\n  workload: added", "endpoints of outbound|80||shop.default.svc.cluster.local: changed"},
			nil,
		},
		"a Secret that was missing": {
			late, exitFindings,
			[]string{"router edge-1.default\n", "GET https://late.example.com:443/: the connection ends (needs Secret late, which the proxy does not have) -> shop.default:80", "secret kubernetes://late: added"},
			[]string{"sidecar", "https://shop"},
		},
		"a certificate with a comment": {strings.ReplaceAll(secret, "    -----BEGIN", "    # of the shop\n    -----BEGIN"), 0, nil, []string{"."}},
		"another certificate":          {other, exitFindings, []string{"router edge-1.default\n  secret kubernetes://shop: changed\n"}, []string{"sidecar", "https://"}},
		"what would be refused": {
			"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop}\nspec: {hosts: [shop], http: [{route: []}]}\n", 0, []string{"IST0106"}, []string{"sidecar"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "new.yaml")
			writeFile(t, file, c.files)
			out, said, code := pilotctl(t, replicas, "diff", file)
			if code != c.code {
				t.Errorf("exit code %d\n%s%s", code, out, said)
			}
			for _, want := range c.want {
				if !strings.Contains(out+said, want) {
					t.Errorf("%q is not said:\n%s%s", want, out, said)
				}
			}
			for _, not := range c.not {
				if strings.Contains(out, not) {
					t.Errorf("%q is said:\n%s", not, out)
				}
			}
			for _, text := range []string{out, said} {
				if strings.Contains(text, keyLine) || strings.Contains(text, lateKey) || strings.Contains(text, otherKey) {
					t.Error("a key is printed")
				}
			}
		})
	}
	t.Run("two replicas", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "new.yaml")
		writeFile(t, file, strings.ReplaceAll(mesh, "/cart", "/basket"))
		out, said, code := pilotctl(t, map[string]http.Handler{"istiod-1": plane, "istiod-2": controlPlane(t, dir)}, "diff", file, "-o", "json")
		if code != exitFindings || strings.Count(out, `"workload": "client"`) != 1 {
			t.Errorf("exit code %d\n%s%s", code, out, said)
		}
		if out, said, code := pilotctl(t, map[string]http.Handler{"istiod-1": plane, "istiod-2": nil}, "diff", file); code != exitFailure || !strings.Contains(said, "istiod-2") {
			t.Errorf("with a replica that does not answer: exit code %d\n%s%s", code, out, said)
		}
	})
	another := t.TempDir() // in which nothing stands
	elsewhere := controlPlane(t, another, "sidecar~10.9.0.4~canary-x.default~default.svc.cluster.local")
	t.Run("two revisions", func(t *testing.T) {
		both := map[string]http.Handler{"istiod-another-1": elsewhere, "istiod-1": plane}
		file := filepath.Join(t.TempDir(), "new.yaml")
		writeFile(t, file, mesh+secret)
		for revision, want := range map[string]struct {
			code int
			said string
		}{"": {exitFailure, "another, default"}, "default": {0, ""}, "another": {exitFindings, "workload: added"}, "none": {exitFailure, "no control plane of revision none"}} {
			out, said, code := pilotctl(t, both, "diff", file, "--revision", revision)
			if code != want.code || !strings.Contains(out+said, want.said) {
				t.Errorf("revision %q: exit code %d\n%s%s", revision, code, out, said)
			}
		}
	})
	t.Run("rules of the mesh's routes", func(t *testing.T) {
		both := cluster(t, map[string]http.Handler{"istiod-another-1": elsewhere, "istiod-1": plane})
		again, err := remake(t.Context(), both, "client-6d4c-x.default")
		if err != nil {
			t.Fatal(err)
		}
		for _, server := range []string{"10.9.0.2", "10.9.0.4"} { // the second is of the other revision
			if again.peers(t.Context(), both)(netip.MustParseAddr(server)) == nil {
				t.Errorf("the proxy beside %s is not known", server)
			}
		}
		c := policed(t.Context(), again.translation, again.proxy, configOf(again.proxy))
		a := c.Explain(explain.Request{
			Way: explain.Outbound, Protocol: explain.HTTP11, Host: "shop", Path: "/cart",
			Destination: netip.MustParseAddrPort("10.96.0.7:80"),
		})
		if !slices.ContainsFunc(a.Steps, func(s explain.Step) bool { return s.Field == "spec.http[0].match[0]" }) {
			t.Errorf("no step names the rule: %+v", a.Steps)
		}
		if _, err := remake(t.Context(), cluster(t, replicas), "nobody.default"); err == nil {
			t.Error("a proxy that is not connected is known")
		}
	})
	t.Run("while the control plane starts", func(t *testing.T) {
		asked := 0
		starting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; asked < 3 {
				w.Header().Set("Retry-After", "0")
				http.Error(w, "not ready", http.StatusServiceUnavailable)
				return
			}
			plane.ServeHTTP(w, r)
		})
		file := filepath.Join(t.TempDir(), "new.yaml")
		writeFile(t, file, mesh+secret)
		if out, said, code := pilotctl(t, map[string]http.Handler{"istiod-1": starting}, "diff", file); code != 0 || asked < 3 {
			t.Errorf("exit code %d, asked %d times\n%s%s", code, asked, out, said)
		}
	})
	t.Run("policies", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "new.yaml")
		writeFile(t, file, "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: no-admin}\n"+
			"spec: {selector: {matchLabels: {app: shop}}, action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}\n---\n"+
			"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: strict}\nspec: {selector: {matchLabels: {app: shop}}, mtls: {mode: STRICT}}\n")
		out, said, code := pilotctl(t, replicas, "diff", file)
		want := "sidecar shop.default\n" +
			"  any request of a client in the clear to any port: allowed -> the connection ends (NR)\n" +
			"  GET /admin of any other workload of the mesh to any port: allowed -> 403: denied by default/no-admin spec.rules[0]\n" +
			"  listener virtualInbound: changed (chain 0.0.0.0_8080, filter http.rbac, chain virtualInbound-catchall-http, chain virtualInbound and 4 more)\n"
		if code != exitFindings || out != want {
			t.Errorf("exit code %d\n%s%s", code, out, said)
		}
	})
	t.Run("no rights", func(t *testing.T) {
		refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "debug pages need proof of identity", http.StatusUnauthorized)
		})
		out, said, code := pilotctl(t, map[string]http.Handler{"istiod-1": refuse}, "diff", dir)
		if code != exitFailure || out != "" || !strings.Contains(said, "need proof of identity") {
			t.Errorf("exit code %d\n%s%s", code, out, said)
		}
	})
	page := httptest.NewRecorder()
	plane.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/debug/pilothouse/objects", nil))
	if text := page.Body.String(); page.Code != http.StatusOK || !strings.Contains(text, `"Kind":"Secret"`) || strings.Contains(text, keyLine) || strings.Contains(text, "PRIVATE") {
		t.Errorf("the page has %d bytes, and status %d; a key, or no Secret", len(text), page.Code)
	}
}
