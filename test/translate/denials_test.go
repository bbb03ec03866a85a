package translate

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const denyingYAML = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "accessLogFile: /dev/stdout\nextensionProviders: [{name: asks, envoyExtAuthzHttp: {service: away.auth.svc.cluster.local, port: 8000}}]"}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec: {rules: [{to: [{operation: {paths: [/open*, /secret, /dear]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: secrets, namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/nothing]}}]}, {to: [{operation: {paths: [/secret]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: dear, namespace: shop}
spec: {action: CUSTOM, provider: {name: asks}, rules: [{to: [{operation: {paths: [/dear]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial, namespace: shop, annotations: {istio.io/dry-run: "true"}}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/open/trial]}}]}]}
---
`

// A real Envoy says who denied a request: in its access log, and in a header of the answer where the control plane is
// told so. A policy on trial denies nothing, and is counted.
func TestEnvoyNamesWhoDenies(t *testing.T) {
	for _, named := range []bool{false, true} {
		t.Run(fmt.Sprint(named), func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "access.log")
			d := startDenying(t, log, named)
			for path, want := range map[string]struct {
				status  int
				log, by string
			}{
				"/open":       {200, "via_upstream", ""},
				"/open/trial": {200, "via_upstream", ""},
				"/closed":     {403, "rbac_access_denied_matched_policy[none]", "no ALLOW policy matched"},
				"/secret":     {403, "rbac_access_denied_matched_policy[ns[shop]-policy[secrets]-rule[1]]", "rbac_access_denied_matched_policy[ns[shop]-policy[secrets]-rule[1]]"},
				"/dear":       {403, "ext_authz_error", "istio-ext-authz-asks-ns[shop]-policy[dear]-rule[0]"},
			} {
				res, err := http.Get("http://" + d.http + path)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if !named {
					want.by = ""
				}
				if got := res.Header.Get("x-denied-by"); res.StatusCode != want.status || got != want.by {
					t.Errorf("%s: status %d, denied by %q, want %d, %q", path, res.StatusCode, got, want.status, want.by)
				}
				d.logged(t, log, "GET "+path+" HTTP/1.1", want.log)
			}
			if conn, err := net.Dial("tcp", d.tcp); err == nil {
				_, _ = io.WriteString(conn, "bytes\n")
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}
			d.logged(t, log, `"- - -"`, "rbac_access_denied_matched_policy[ns[shop]-policy[secrets]-rule[0]]") // whose path is not looked at
			stats := d.post(t, "/stats?filter=dry_run")
			for _, want := range []string{"http.inbound_0.0.0.0_8080;.rbac.istio_dry_run_deny_.shadow_denied: 1\n", ".istio_dry_run_deny_.shadow_allowed: 3\n"} {
				if !strings.Contains(stats, want) {
					t.Errorf("of the dry run Envoy counts\n%swhich has no %s", stats, want)
				}
			}
		})
	}
}

// denying is an Envoy that serves the workload's chains of requests and of connections, in the clear.
type denying struct{ http, tcp, admin string }

func startDenying(t *testing.T, log string, named bool) *denying {
	t.Helper()
	documents := providersYAML + workloadYAML + "---\n" + denyingYAML
	options := build.Options{Settings: resolve.Settings{NameDenials: named}}
	res := translateWith(t, options, strings.TrimSuffix(documents, "---\n"), Proxy{Name: "web-0", Namespace: "shop", IPs: []string{"10.0.0.1"}, Labels: map[string]string{"app": "web"}})
	out := &denying{}
	b := &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{}}
	for _, l := range inlined(t, res) {
		if l.Name != "virtualInbound" {
			continue
		}
		for _, c := range l.FilterChains {
			to := map[string]*string{"0.0.0.0_8080": &out.http, "0.0.0.0_9000": &out.tcp}[c.Name]
			if to == nil || *to != "" {
				continue
			}
			port := envoytest.FreePort(t)
			*to = fmt.Sprintf("127.0.0.1:%d", port)
			c.TransportSocket, c.FilterChainMatch = nil, nil
			c = logsTo(t, c, log)
			b.StaticResources.Listeners = append(b.StaticResources.Listeners, &listenerv3.Listener{Name: c.Name, Address: address(port), FilterChains: []*listenerv3.FilterChain{c}})
		}
	}
	s := &served{t: t, requests: make(chan answer, 100)}
	for _, r := range res.ByType["clusters"] {
		cl := r.Body.(*clusterv3.Cluster)
		port := envoytest.FreePort(t)
		switch cl.Name {
		case "inbound|8080||":
			port = s.httpServer(cl.Name)
		case "inbound|9000||":
			port = rawServer(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		}
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, staticCluster(cl, port))
	}
	startStatic(t, b)
	out.admin = fmt.Sprintf("http://127.0.0.1:%d", b.Admin.Address.GetSocketAddress().GetPortValue())
	return out
}

// logsTo gives a filter chain with its log in a file of the test's.
func logsTo(t *testing.T, c *listenerv3.FilterChain, path string) *listenerv3.FilterChain {
	t.Helper()
	text, err := protojson.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out := &listenerv3.FilterChain{}
	if err := protojson.Unmarshal(bytes.ReplaceAll(text, []byte("/dev/stdout"), []byte(path)), out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (d *denying) post(t *testing.T, path string) string {
	t.Helper()
	res, err := http.Post(d.admin+path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// logged waits for a line of the log about something, which has to say why.
func (d *denying) logged(t *testing.T, path, about, why string) {
	t.Helper()
	envoytest.Eventually(t, "a line of the log about "+about+" with "+why, func() bool {
		d.post(t, "/reopen_logs") // which writes what has not been written yet
		f, err := os.Open(path)
		if err != nil {
			return false
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if strings.Contains(lines.Text(), about) && strings.Contains(lines.Text(), why) {
				return true
			}
		}
		return false
	})
}
