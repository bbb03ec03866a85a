package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/test/leftovers"
)

const reviewsPath = "/api/v1/products/0/reviews"

// reviews is what the reviews service answers.
type reviews struct {
	Version string `json:"version"`
	Pod     string `json:"podname"`
	Caller  string `json:"caller"`
	Ratings *struct {
		Caller string `json:"caller"`
	} `json:"ratings"`
	Reviews []struct {
		Rating *struct {
			Stars int    `json:"stars"`
			Error string `json:"error"`
		} `json:"rating"`
	} `json:"reviews"`
}

func (m *mesh) reviews(headers ...string) (reviews, error) {
	r := m.get(reviewsPath, headers...)
	if r.err != nil {
		return reviews{}, r.err
	}
	if r.status != http.StatusOK {
		return reviews{}, fmt.Errorf("status %d: %s", r.status, r.body)
	}
	var v reviews
	err := json.Unmarshal([]byte(r.body), &v)
	return v, err
}

// versions asks n times and counts who answered.
func (m *mesh) versions(t *testing.T, n int, headers ...string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for range n {
		v, err := m.reviews(headers...)
		if err != nil {
			t.Fatal(err)
		}
		count[v.Version]++
	}
	return count
}

// asUser signs a user in, as the product page's cookie does.
func asUser(name string) []string { return []string{"Cookie", "bookinfo-user=" + name} }

// TestBookinfo is a day with the sample, in one mesh: what it shows, live edits under load, and
// what the tools say of it.
func TestBookinfo(t *testing.T) {
	before := leftovers.Traces(t, meshes)
	m := start(t, "e2e", copyDir(t, filepath.Join(root(t), "samples/bookinfo")))
	for _, step := range []struct {
		name string
		run  func(*testing.T, *mesh)
	}{
		{"page", testPage},
		{"identities", testIdentities},
		{"dns", testDNS},
		{"tools", testTools},
		{"explain", testExplain},
		{"debug pages", testDebugPages},
		{"browser", testBrowser},
		{"tap", testTap},
		{"prometheus", testPrometheus},
		{"metrics", testMetrics},
		{"split", testSplit},
		{"live edits", testLiveEdits},
		{"fault timeout retry", testFaultTimeoutRetry},
		{"bad input", testBadInput},
		{"unknown subset", testUnknownSubset},
		{"strict", testStrict},
		{"readiness", testReadiness},
		{"wire", testWire},
	} {
		t.Run(step.name, func(t *testing.T) { step.run(t, m) })
	}
	m.stop()
	leftovers.AssertNone(t, meshes, before)
}

func testPage(t *testing.T, m *mesh) {
	r := m.get("/productpage")
	if r.err != nil || r.status != http.StatusOK {
		t.Fatalf("productpage: %d %v", r.status, r.err)
	}
	for _, want := range []string{"Book Details", "details v1 on details-v1-", "reviews v", "called by spiffe://cluster.local/ns/istio-system/sa/"} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the page lacks %q:\n%s", want, r.body)
		}
	}
	if r := m.get("/nowhere"); r.status != http.StatusNotFound {
		t.Errorf("a path that no rule matches: %d %v, want 404", r.status, r.err)
	}
}

func testIdentities(t *testing.T, m *mesh) {
	seen := false
	eventually(t, 20*time.Second, "reviews v3 answers with ratings", func() error {
		v, err := m.reviews()
		if err != nil {
			t.Fatal(err)
		}
		if want := "spiffe://cluster.local/ns/default/sa/bookinfo-productpage"; v.Caller != want {
			t.Fatalf("reviews was called by %q, want %q", v.Caller, want)
		}
		if v.Ratings == nil {
			return fmt.Errorf("only %s so far", v.Version)
		}
		seen = v.Ratings.Caller == "spiffe://cluster.local/ns/default/sa/bookinfo-reviews"
		return nil
	})
	if !seen {
		t.Error("ratings did not see the identity of reviews")
	}
}

func testDNS(t *testing.T, m *mesh) {
	for _, name := range []string{"reviews", "reviews.default", "reviews.default.svc.cluster.local"} {
		out := m.ctl(t, "exec", "productpage-v1", "-c", "productpage", "--", "/usr/local/bin/bookinfo", "lookup", name)
		if !strings.HasPrefix(out, "10.") {
			t.Errorf("lookup %s in a pod with a sidecar: %q", name, out)
		}
	}
	if out, err := m.try("exec", "productpage-v1", "-c", "productpage", "--", "/usr/local/bin/bookinfo", "lookup", "nowhere.example"); err == nil {
		t.Errorf("a name that does not exist has addresses: %q", out)
	}
}

func testSplit(t *testing.T, m *mesh) {
	const n = 400
	count := m.versions(t, n)
	if count["v2"] != 0 || count["v1"]+count["v3"] != n {
		t.Errorf("answers by version %v", count)
	}
	// Five standard deviations of a binomial with p = 0.1 are 30 of 400.
	if count["v3"] < 10 || count["v3"] > 70 {
		t.Errorf("of %d answers %d are from v3, want about 40", n, count["v3"])
	}
}

// rule gives a VirtualService for a host of the sample.
func rule(host, http string) string {
	return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " + host + "}\nspec:\n  hosts: [" + host + "]\n  http:\n" + http
}

func to(host, subset string, weight int) string {
	return fmt.Sprintf("        - destination: {host: %s, subset: %s}\n          weight: %d\n", host, subset, weight)
}

func testLiveEdits(t *testing.T, m *mesh) {
	edits := []struct{ text, user, want string }{
		{rule("reviews", "    - route:\n"+to("reviews", "v1", 0)+to("reviews", "v3", 100)), "", "v3"},
		{rule("reviews", "    - route:\n"+to("reviews", "v2", 100)), "", "v2"},
		{rule("reviews", "    - match: [{headers: {end-user: {exact: jason}}}]\n      route:\n"+to("reviews", "v3", 100)+
			"    - route:\n"+to("reviews", "v1", 100)), "jason", "v3"},
		{rule("reviews", "    - route:\n"+to("reviews", "v1", 100)), "", "v1"},
		{rule("reviews", "    - match: [{headers: {end-user: {exact: jason}}}]\n      route:\n"+to("reviews", "v3", 100)+
			"    - route:\n"+to("reviews", "v1", 100)), "jason", "v3"},
	}
	const rounds = 6
	l := m.startLoad(200, reviewsPath)
	var slowest time.Duration
	for i := range rounds * len(edits) {
		edit := edits[i%len(edits)]
		m.write(t, "virtual-service-reviews.yaml", edit.text)
		began := time.Now()
		eventually(t, 5*time.Second, "edit "+edit.want, func() error {
			if got := m.versions(t, 10, asUser(edit.user)...); got[edit.want] != 10 {
				return fmt.Errorf("versions %v", got)
			}
			return nil
		})
		slowest = max(slowest, time.Since(began))
	}
	if slowest > 2*time.Second {
		t.Errorf("an edit took %s", slowest)
	}
	t.Logf("%d edits, the slowest was in effect after %s", rounds*len(edits), slowest)
	if got := m.versions(t, 20, asUser("someone")...); got["v1"] != 20 {
		t.Errorf("everyone else sees %v", got)
	}
	l.stop(t, 200)
}

func testFaultTimeoutRetry(t *testing.T, m *mesh) {
	toV2 := rule("reviews", "    - route:\n"+to("reviews", "v2", 100))
	m.write(t, "virtual-service-reviews.yaml", toV2)
	abort := rule("ratings", "    - fault: {abort: {percentage: {value: 100}, httpStatus: 418}}\n      route:\n"+to("ratings", "v1", 100))
	m.write(t, "virtual-service-ratings.yaml", abort)
	eventually(t, 5*time.Second, "abort", func() error {
		r := m.get("/api/v1/products/0/ratings")
		if r.status != http.StatusTeapot {
			return fmt.Errorf("status %d %v", r.status, r.err)
		}
		return nil
	})
	delay := rule("ratings", "    - fault: {delay: {percentage: {value: 100}, fixedDelay: 2s}}\n      route:\n"+to("ratings", "v1", 100))
	m.write(t, "virtual-service-ratings.yaml", delay)
	eventually(t, 10*time.Second, "delay", func() error {
		if r := m.get("/api/v1/products/0/ratings"); r.status != http.StatusOK || r.took < 2*time.Second || r.took > 4*time.Second {
			return fmt.Errorf("status %d after %s", r.status, r.took)
		}
		return nil
	})
	// A timeout is shorter than the delay further down: reviews gives up on nothing, its caller does.
	m.write(t, "virtual-service-reviews.yaml", rule("reviews", "    - timeout: 0.5s\n      route:\n"+to("reviews", "v2", 100)))
	eventually(t, 10*time.Second, "timeout", func() error {
		r := m.get(reviewsPath)
		if r.status != http.StatusGatewayTimeout || r.took > 2*time.Second {
			return fmt.Errorf("status %d after %s", r.status, r.took)
		}
		return nil
	})
	// Every second request for /flaky fails. The default is not to retry a 503; a rule that asks for
	// it hides every failure.
	m.write(t, "virtual-service-ratings.yaml", rule("ratings", "    - route:\n"+to("ratings", "v1", 100)))
	m.write(t, "virtual-service-reviews.yaml", toV2)
	flaky := func() int {
		failed := 0
		for range 10 {
			out := m.ctl(t, "exec", "productpage-v1", "-c", "productpage", "--", "/usr/local/bin/bookinfo", "get", "http://ratings:9080/flaky")
			if strings.HasPrefix(out, "503") {
				failed++
			}
		}
		return failed
	}
	eventually(t, 10*time.Second, "half of the requests fail", func() error {
		if n := flaky(); n != 5 {
			return fmt.Errorf("%d of 10 failed", n)
		}
		return nil
	})
	m.write(t, "virtual-service-ratings.yaml", rule("ratings", "    - retries: {attempts: 2, retryOn: 5xx}\n      route:\n"+to("ratings", "v1", 100)))
	eventually(t, 10*time.Second, "retries hide the failures", func() error {
		if n := flaky(); n != 0 {
			return fmt.Errorf("%d of 10 failed", n)
		}
		return nil
	})
}

func testBadInput(t *testing.T, m *mesh) {
	m.write(t, "virtual-service-reviews.yaml", rule("reviews", "    - route:\n"+to("reviews", "v1", 100)))
	eventually(t, 5*time.Second, "v1", func() error {
		if got := m.versions(t, 5); got["v1"] != 5 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	l := m.startLoad(50, reviewsPath)
	for _, bad := range []struct{ name, text, said string }{
		{"does not parse", "kind: [VirtualService\n", "does not parse"},
		{"misspelt field", strings.Replace(rule("reviews", "    - route:\n"+to("reviews", "v3", 100)), "route:", "rout:", 1), "\"rout\""},
		{"weights below zero", rule("reviews", "    - route:\n"+to("reviews", "v3", -5)), "spec.http[0].route[0].weight"},
		{"empty", "", "empty"},
	} {
		said := len(m.output.String())
		m.write(t, "virtual-service-reviews.yaml", bad.text)
		eventually(t, 5*time.Second, bad.name+" is reported", func() error {
			for line := range strings.Lines(m.output.String()[said:]) {
				if strings.Contains(line, "virtual-service-reviews.yaml:") && strings.Contains(line, bad.said) {
					return nil
				}
			}
			return fmt.Errorf("up said nothing of %s in that file, only:\n%s", bad.said, m.output.String()[said:])
		})
		if got := m.versions(t, 10); got["v1"] != 10 {
			t.Errorf("%s: versions %v, want v1 as before", bad.name, got)
		}
	}
	m.write(t, "virtual-service-reviews.yaml", rule("reviews", "    - route:\n"+to("reviews", "v3", 100)))
	eventually(t, 5*time.Second, "a good file again", func() error {
		if got := m.versions(t, 5); got["v3"] != 5 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	l.stop(t, 5)
}

// plainPod is a pod that has no sidecar.
const plainPod = `apiVersion: v1
kind: Pod
metadata:
  name: plain
  labels: {app: plain}
  annotations: {sidecar.istio.io/inject: "false"}
spec:
  containers:
    - name: plain
      image: docker.io/pilothouse/examples-bookinfo-details-v1:dev
---
apiVersion: v1
kind: Service
metadata: {name: plain}
spec: {ports: [{port: 9080, name: http}], selector: {app: plain}}
`

func testStrict(t *testing.T, m *mesh) {
	m.write(t, "plain.yaml", plainPod)
	reaches := func(url string, from ...string) error {
		out, err := m.try(append(append([]string{"exec"}, from...), "--", "/usr/local/bin/bookinfo", "get", url)...)
		if err == nil && !strings.HasPrefix(out, "200") {
			err = fmt.Errorf("answer %.100s", out)
		}
		return err
	}
	plain := func() error { return reaches("http://details:9080/details/0", "plain") }
	eventually(t, 30*time.Second, "a pod without a sidecar reaches details while plaintext is permitted", plain)
	eventually(t, 5*time.Second, "a pod with a sidecar reaches one without", func() error {
		return reaches("http://plain:9080/details/0", "productpage-v1", "-c", "productpage")
	})
	m.write(t, "strict.yaml", "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\nspec: {mtls: {mode: STRICT}}\n")
	eventually(t, 5*time.Second, "plaintext is refused under STRICT", func() error {
		if err := plain(); err == nil {
			return fmt.Errorf("it still gets through")
		}
		return nil
	})
	if r := m.get("/productpage"); r.status != http.StatusOK || !strings.Contains(r.body, "details v1 on") {
		t.Errorf("the mesh's own traffic under STRICT: %d %v", r.status, r.err)
	}
	// Under STRICT with a port left open, just that port takes plaintext.
	m.write(t, "port.yaml", "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: details}\n"+
		"spec: {selector: {matchLabels: {app: details}}, mtls: {mode: STRICT}, portLevelMtls: {9080: {mode: PERMISSIVE}}}\n")
	eventually(t, 5*time.Second, "one port is permissive", plain)
}

func testReadiness(t *testing.T, m *mesh) {
	m.write(t, "slow.yaml", `apiVersion: v1
kind: Service
metadata: {name: slow}
spec: {ports: [{port: 9080, name: http}], selector: {app: slow}}
---
apiVersion: v1
kind: Pod
metadata: {name: slow, labels: {app: slow}}
spec:
  containers:
    - name: slow
      image: docker.io/pilothouse/examples-bookinfo-details-v1:dev
      readinessProbe: {httpGet: {path: /no-such-path, port: 9080}, periodSeconds: 1}
`)
	get := []string{"exec", "productpage-v1", "-c", "productpage", "--", "/usr/local/bin/bookinfo", "get", "http://slow:9080/details/0"}
	eventually(t, 30*time.Second, "a pod that is not ready gets no traffic", func() error {
		out, err := m.try(get...)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(out, "503") {
			return fmt.Errorf("answer %.100s", out)
		}
		return nil
	})
	m.write(t, "slow.yaml", "")
}

func testTools(t *testing.T, m *mesh) {
	status := m.ctl(t, "proxy-status")
	lines := strings.Split(strings.TrimSpace(status), "\n")
	if got := strings.Fields(lines[0]); strings.Join(got, " ") != "NAME CLUSTER CDS LDS EDS RDS ISTIOD VERSION" {
		t.Errorf("header %q", lines[0])
	}
	for _, want := range []string{"productpage-v1-", "details-v1-", "reviews-v1-", "reviews-v2-", "reviews-v3-", "ratings-v1-", "istio-ingressgateway-"} {
		if !strings.Contains(status, want) {
			t.Errorf("proxy-status lacks %s:\n%s", want, status)
		}
	}
	if strings.Contains(status, "STALE") || strings.Contains(status, "ERROR") {
		t.Errorf("proxies are not in sync:\n%s", status)
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(m.ctl(t, "ps", "-o", "json")), &list); err != nil || len(list) != 7 {
		t.Errorf("ps -o json: %v, %d proxies", err, len(list))
	}
	if out := m.ctl(t, "proxy-status", "productpage-v1"); !strings.Contains(out, "Clusters Match") || !strings.Contains(out, "Routes Match") {
		t.Errorf("proxy-status of a pod:\n%s", out)
	}
	for sub, want := range map[string]string{
		"cluster": "reviews.default.svc.cluster.local", "listener": "Route: 9080", "route": "reviews.default",
		"endpoint": "outbound|9080|v1|reviews.default.svc.cluster.local", "secret": "ROOTCA", "log": "active loggers", "bootstrap": "sidecar~",
	} {
		if out := m.ctl(t, "proxy-config", sub, "productpage-v1"); !strings.Contains(out, want) {
			t.Errorf("proxy-config %s lacks %q:\n%s", sub, want, out)
		}
	}
	if out := m.ctl(t, "logs", "productpage-v1", "-c", "productpage"); !strings.Contains(out, "service=productpage") {
		t.Errorf("logs:\n%s", out)
	}
	if _, err := m.try("proxy-config", "cluster", "nobody"); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a pod that does not exist: %v", err)
	}
}

// testUnknownSubset shows that a reference which leads nowhere is told while the mesh runs on.
func testUnknownSubset(t *testing.T, m *mesh) {
	said := len(m.output.String())
	m.write(t, "virtual-service-ratings.yaml", rule("ratings", "    - route:\n"+to("ratings", "v9", 100)))
	eventually(t, 5*time.Second, "an unknown subset is told", func() error {
		if out := m.output.String()[said:]; !strings.Contains(out, "VirtualService/default/ratings") || !strings.Contains(out, "v9") {
			return fmt.Errorf("up said only:\n%s", out)
		}
		return nil
	})
	if out := m.ctl(t, "problems"); !strings.Contains(out, "v9") {
		t.Errorf("problems:\n%s", out)
	}
	m.write(t, "virtual-service-ratings.yaml", rule("ratings", "    - route:\n"+to("ratings", "v1", 100)))
}
