package translate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

func inlined(t *testing.T, res Resources) []*listenerv3.Listener {
	t.Helper()
	out, err := Inlined(res)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func address(port int) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: "127.0.0.1", PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

// staticCluster leads to one port of loopback, in HTTP as the cluster that it stands for.
func staticCluster(of *clusterv3.Cluster, port int) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name: of.Name,
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: of.Name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
				Endpoint: &endpointv3.Endpoint{Address: address(port)},
			}}},
		}}},
		TypedExtensionProtocolOptions: of.TypedExtensionProtocolOptions,
	}
}

func writeBootstrap(t *testing.T, b *bootstrapv3.Bootstrap) string {
	t.Helper()
	data, err := protojson.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A real Envoy takes the listeners and routes of every case.
func TestEnvoyAcceptsListenersAndRoutes(t *testing.T) {
	program := envoytest.Path(t)
	forEachCase(t, func(t *testing.T, _ string, _ *txtar.Archive, c *Case) {
		t.Parallel()
		r := Snapshot(c.Objects)
		for i := range c.Proxies {
			p := c.Proxies[i].Model()
			b := &bootstrapv3.Bootstrap{
				Node: &core.Node{Id: "test", Cluster: "test"},
				StaticResources: &bootstrapv3.Bootstrap_StaticResources{
					Listeners: inlined(t, Build(r, p)), Clusters: []*clusterv3.Cluster{staticCluster(&clusterv3.Cluster{Name: "sds-grpc"}, 1)},
				},
			}
			// Clusters that are missing are no fault of listeners; TCP filters want them at once.
			for _, cl := range Build(r, p).ByType["clusters"] {
				b.StaticResources.Clusters = append(b.StaticResources.Clusters, staticCluster(cl.Body.(*clusterv3.Cluster), 1))
			}
			file := writeBootstrap(t, b)
			out, err := exec.CommandContext(t.Context(), program, "--mode", "validate", "--disable-hot-restart", "--concurrency", "1", "-l", "error",
				"-c", file).CombinedOutput()
			// Envoy 1.40 crashes when it has validated a shared scope of statistics, as it takes down what it
			// never started (a running one ends well), so what it says counts.
			if !strings.Contains(string(out), "configuration '"+file+"' OK") {
				t.Errorf("%s: %v\n%s", p.Name, err, out)
			}
		}
	})
}

// startStatic runs an Envoy without a control plane until the test ends and waits until it serves.
func startStatic(t *testing.T, b *bootstrapv3.Bootstrap) {
	t.Helper()
	admin := envoytest.FreePort(t)
	b.Node, b.Admin = &core.Node{Id: "test", Cluster: "test"}, &bootstrapv3.Admin{Address: address(admin)}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, envoytest.Path(t), "--disable-hot-restart", "--concurrency", "1", "-l", "warn", "-c", writeBootstrap(t, b))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(log.String())
		}
	})
	awaitReady(t, "http://127.0.0.1:"+strconv.Itoa(admin)+"/ready")
}

func awaitReady(t *testing.T, url string) {
	t.Helper()
	deadline, tick := time.After(2*time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		if res, err := http.Get(url); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-deadline:
			t.Fatal("Envoy does not get ready")
		case <-tick.C:
		}
	}
}

const routedYAML = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 10.96.0.2, selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}, {name: v3, labels: {version: v3}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - match: [{uri: {prefix: /V3}, ignoreUriCase: true}, {queryParams: {version: {regex: "3|three"}}}, {withoutHeaders: {x-keep: {exact: "1"}}, uri: {exact: /without}}]
    route: [{destination: {host: reviews, subset: v3}}]
  - match: [{uri: {prefix: /old/}}]
    rewrite: {uri: /new/, authority: rewritten.example.com}
    headers: {request: {set: {x-path: "%REQ(:path)% 100%%"}, remove: [x-gone]}, response: {set: {x-served: mesh}}}
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {regex: "/group/([^/]+)/.*"}}]
    rewrite: {uriRegexRewrite: {match: "^/group/([^/]+)/(.*)$", rewrite: '/\2/\1'}}
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {exact: /moved}}]
    redirect: {uri: /here, redirectCode: 307}
  - match: [{uri: {exact: /teapot}}]
    directResponse: {status: 418, body: {string: short and stout}}
  - match: [{uri: {exact: /abort}}]
    fault: {abort: {httpStatus: 555, percentage: {value: 100}}}
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {exact: /slow}}]
    fault: {delay: {fixedDelay: 0.1s, percentage: {value: 100}}}
    timeout: 0.05s
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {exact: /fail}}]
    retries: {attempts: 2, retryOn: "503"}
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {exact: /cors}}]
    corsPolicy: {allowOrigins: [{prefix: "https://good"}], allowMethods: [PUT]}
    route: [{destination: {host: reviews, subset: v1}}]
  - route: [{destination: {host: reviews, subset: v1}, weight: 50}, {destination: {host: reviews, subset: v3}, weight: 50}]
`

// Requests go where the rules say, as a real Envoy understands them.
func TestEnvoyRoutesRequests(t *testing.T) {
	objects, problems := file.Decode([]byte(routedYAML), "input.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p := Proxy{Name: "client-0", Namespace: "default", IPs: []string{"10.0.0.9"}}
	res := Build(Snapshot(objects), p.Model())
	if len(res.Problems) > 0 {
		t.Fatal(res.Problems)
	}
	mesh := serve(t, res, place{listener: "0.0.0.0_9080"})
	send := func(t *testing.T, method, path string, header http.Header) (*http.Response, answer) {
		t.Helper()
		return mesh.send(t, method, "reviews:9080", path, header, nil)
	}
	subset := func(v string) string { return "outbound|9080|" + v + "|reviews.default.svc.cluster.local" }
	for _, c := range []struct {
		name, path string
		header     http.Header
		status     int
		cluster    string
		seen       string // the path upstream, or the body where no upstream was asked
	}{
		{"header", "/x", http.Header{"End-User": {"jason"}}, 200, subset("v2"), "/x"},
		{"prefix in any case", "/v3/x", nil, 200, subset("v3"), "/v3/x"},
		{"query", "/?version=three", nil, 200, subset("v3"), "/?version=three"},
		{"without header", "/without", nil, 200, subset("v3"), "/without"},
		{"rewrite", "/old/a?b=c", nil, 200, subset("v1"), "/new/a?b=c"},
		{"regex rewrite", "/group/a/b", nil, 200, subset("v1"), "/b/a"},
		{"redirect", "/moved", nil, 307, "", ""},
		{"direct response", "/teapot", nil, 418, "", "short and stout"},
		{"abort", "/abort", nil, 555, "", "fault filter abort"},
		{"retries", "/fail", nil, 503, subset("v1"), "/fail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, a := send(t, http.MethodGet, c.path, c.header)
			if out.StatusCode != c.status || a.Cluster != c.cluster || a.Path != c.seen {
				t.Errorf("got %d from %q, which saw %q", out.StatusCode, a.Cluster, a.Path)
			}
			if s := out.Header.Get("Server"); s != "envoy" {
				t.Errorf("the server calls itself %q", s)
			}
			switch c.name {
			case "rewrite":
				if a.Host != "rewritten.example.com" || a.Header.Get("X-Path") != "/old/a?b=c 100%" || out.Header.Get("X-Served") != "mesh" {
					t.Errorf("host %q, x-path %q, x-served %q", a.Host, a.Header.Get("X-Path"), out.Header.Get("X-Served"))
				}
			case "redirect":
				if l := out.Header.Get("Location"); l != "http://reviews:9080/here" {
					t.Errorf("location %q", l)
				}
			case "retries":
				if n := a.Header.Get("X-Envoy-Attempt-Count"); n != "3" {
					t.Errorf("the last attempt is number %s", n)
				}
			}
		})
	}
	t.Run("delay, then timeout", func(t *testing.T) {
		start := time.Now()
		out, _ := send(t, http.MethodGet, "/slow", nil)
		if took := time.Since(start); out.StatusCode != http.StatusGatewayTimeout || took < 100*time.Millisecond {
			t.Errorf("status %d after %v", out.StatusCode, took)
		}
	})
	t.Run("cors", func(t *testing.T) {
		preflight := http.Header{"Origin": {"https://good.example"}, "Access-Control-Request-Method": {"PUT"}}
		out, a := send(t, http.MethodOptions, "/cors", preflight)
		if a.Cluster != "" || out.Header.Get("Access-Control-Allow-Methods") != "PUT" {
			t.Errorf("%d from %q, %v", out.StatusCode, a.Cluster, out.Header)
		}
	})
	t.Run("shares", func(t *testing.T) {
		got := map[string]int{}
		for range 100 {
			_, a := send(t, http.MethodGet, "/share", nil)
			got[a.Cluster]++
		}
		if len(got) != 2 || got[subset("v1")] < 20 || got[subset("v3")] < 20 {
			t.Errorf("%v", got)
		}
	})
	t.Run("not HTTP", func(t *testing.T) {
		conn, err := net.Dial("tcp", mesh.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		const line = "\x01\x02 this is no request\n"
		if _, err := io.WriteString(conn, line); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(line))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != line {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// A port of unknown protocol is routed as HTTP where the first bytes are a request, else as bytes.
func TestEnvoyRoutesConnections(t *testing.T) {
	objects, problems := file.Decode([]byte(strings.Join([]string{
		"{apiVersion: v1, kind: Service, metadata: {name: any, namespace: default}, spec: {clusterIP: 10.96.0.1, ports: [{name: any, port: 9001}]}}",
		"{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}}",
	}, "\n---\n")), "input.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p := Proxy{Name: "client-0", Namespace: "default", IPs: []string{"10.0.0.9"}}
	addr := serve(t, Build(Snapshot(objects), p.Model()), place{listener: "10.96.0.1_9001"}).addr
	cluster := "outbound|9001||any.default.svc.cluster.local"
	for name, request := range map[string]string{
		"sniffed HTTP":      "GET /x HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n",
		"HTTP/1.0 as bytes": "GET /x HTTP/1.0\r\nHost: whatever\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, request)
			body, err := io.ReadAll(conn)
			if err != nil || !strings.Contains(string(body), cluster) {
				t.Errorf("%q, %v", body, err)
			}
			if mesh := strings.Contains(string(body), "X-Envoy-Attempt-Count"); mesh != (name == "sniffed HTTP") {
				t.Errorf("routed as HTTP: %v", mesh)
			}
		})
	}
}
