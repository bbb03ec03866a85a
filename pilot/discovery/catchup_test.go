package discovery

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"k8s.io/client-go/rest"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/proto/seen"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/kubetest"
)

func serviceObject(name string) kubetest.Object {
	return kubetest.Object{
		"apiVersion": "v1", "kind": "Service", "metadata": kubetest.Object{"name": name, "namespace": "default"},
		"spec": kubetest.Object{"clusterIP": "10.0.0.1", "ports": []any{kubetest.Object{"name": "http", "port": 80}}},
	}
}

// following runs a control plane of the API server at an address, which takes the tokens of a directory.
func following(t *testing.T, url, dir string, timeout time.Duration) *plane {
	t.Helper()
	cfg := testConfig(t, "")
	cfg.ConfigDirs, cfg.Kube, cfg.CADir, cfg.CatchUpTimeout = nil, &rest.Config{Host: url}, t.TempDir(), timeout
	cfg.TokenJWKS, cfg.TokenIssuer, cfg.TokenAudiences = filepath.Join(dir, "jwks.json"), "https://issuer.example.org", []string{"istio-ca"}
	cfg.RemovalGrace = -1 // so that what a proxy loses is told at once
	p := newPlane(cfg)
	serve(t, p.run)
	envoytest.Eventually(t, "ready", p.serving.Load)
	return p
}

// traveller is a proxy that goes from one replica to another with what it has, as our agent and Envoy do.
type traveller struct {
	*testing.T
	proof    http.Header
	stream   discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	clusters map[string]string // versions
	seen     seen.Versions
	told     bool
}

func (c *traveller) connect(p *plane) {
	c.Helper()
	conn := dialGRPC(c.T, p.cfg.SecureGRPCAddr, credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})) // of a caller that trusts anyone
	ctx := metadata.AppendToOutgoingContext(c.Context(), seen.Header, c.seen.String(), "authorization", c.proof.Get("Authorization"))
	var err error
	if c.stream, err = discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx); err != nil {
		c.Fatal(err)
	}
	c.told = false
	if err := c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{
		Node:    &corev3.Node{Id: "sidecar~10.0.0.1~pod.default~default.svc.cluster.local"},
		TypeUrl: xdsres.Clusters.URL(), InitialResourceVersions: maps.Clone(c.clusters),
	}); err != nil {
		c.Fatal(err)
	}
}

// receive takes one response, and gives what it removes.
func (c *traveller) receive() []string {
	c.Helper()
	r, err := c.stream.Recv()
	if err != nil {
		c.Fatal(err)
	}
	if err := c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}); err != nil {
		c.Fatal(err)
	}
	for _, res := range r.GetResources() {
		c.clusters[res.GetName()] = res.GetVersion()
	}
	if id := r.GetControlPlane().GetIdentifier(); id != "" {
		versions, err := seen.Parse(id)
		if err != nil {
			c.Fatal(err)
		}
		if c.told {
			versions = c.seen.With(versions)
		}
		c.seen, c.told = versions, true
	}
	return r.GetRemovedResources()
}

func (c *traveller) has(service string) bool {
	_, ok := c.clusters["outbound|80||"+service+".default.svc.cluster.local"]
	return ok
}

func metric(t *testing.T, p *plane, line string) bool {
	_, body := get(t, "http://"+p.cfg.MonitoringAddr+"/metrics")
	return slices.Contains(strings.Split(body, "\n"), line)
}

// A proxy that comes from a replica which has seen more keeps what it has, until the replica that lags has seen it
// as well.
func TestAReplicaThatLagsDoesNotTakeAProxyBack(t *testing.T) {
	api, url := kubetest.New(t)
	api.Put("v1/services", serviceObject("first"))
	held, heldURL := api.Hold(t, "v1/services")
	dir := t.TempDir()
	token := tokens(t, dir)
	ahead, behind := following(t, url, dir, time.Minute), following(t, heldURL, dir, time.Minute)

	c := &traveller{T: t, proof: token("default"), clusters: map[string]string{}}
	c.connect(ahead)
	for !c.has("first") {
		c.receive()
	}
	api.Put("v1/services", serviceObject("second"))
	for !c.has("second") {
		c.receive()
	}
	c.connect(behind)
	envoytest.Eventually(t, "the stream is taken", func() bool {
		_, body := get(t, "http://"+behind.cfg.MonitoringAddr+"/metrics")
		return strings.Contains(body, "\npilot_xds_catching_up 1\n") || strings.Contains(body, "\npilot_xds{")
	})
	held.Release()
	api.Put("v1/services", serviceObject("third"))
	for !c.has("third") {
		if removed := c.receive(); len(removed) > 0 {
			t.Fatalf("the proxy was taken back: removed are %v", removed)
		}
	}
	if !metric(t, behind, `pilot_xds_catch_up_waits_total{result="caught_up"} 1`) {
		t.Error("the wait is not counted")
	}
}

// An API server that was restored to a former state will not come to what was seen of it: the wait ends, and the
// proxy knows then what is true now.
func TestAWaitInVainEnds(t *testing.T) {
	api, url := kubetest.New(t)
	api.Put("v1/services", serviceObject("first"))
	dir := t.TempDir()
	token := tokens(t, dir)
	p := following(t, url, dir, 50*time.Millisecond)
	c := &traveller{T: t, proof: token("default"), clusters: map[string]string{}, seen: seen.Of(map[string]string{"services": "99"})}
	c.connect(p)
	for !c.has("first") {
		c.receive()
	}
	if !strings.Contains(c.seen.String(), "services=2") {
		t.Errorf("the proxy was told %s", c.seen)
	}
	if want := fmt.Sprintf("pilot_xds_catch_up_waits_total{result=%q} 1", "in_vain"); !metric(t, p, want) {
		t.Error("the wait is not counted")
	}
	c.connect(p)
	api.Put("v1/services", serviceObject("second"))
	for !c.has("second") {
		c.receive()
	}
	if want := fmt.Sprintf("pilot_xds_catch_up_waits_total{result=%q} 1", "in_vain"); !metric(t, p, want) {
		t.Error("the proxy waited again for what is no more")
	}
}

// fixed is a source at versions that do not change.
type fixed struct{ reached seen.Versions }

func (f fixed) Seen() seen.Versions    { return f.reached }
func (f fixed) Reached() seen.Versions { return f.reached }

func (f fixed) CatchUp(_ context.Context, to seen.Versions) (lacking seen.Versions, waited bool) {
	if !f.reached.Cover(to) {
		return to, true
	}
	return nil, false
}

// While a commit is applied, however long that takes, only proxies wait that have seen what it may bring; what
// they wait for is not said to be lacking.
func TestOnlyWhatIsNotInEffectIsWaitedFor(t *testing.T) {
	p := newPlane(testConfig(t, t.TempDir()))
	serve(t, p.store.Run) // and nobody applies its commits
	p.cluster = fixed{seen.Of(map[string]string{"pods": "7", "services": "3"})}
	p.applied.to(seen.Of(map[string]string{"pods": "5", "services": "3"}))
	late, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		to        map[string]string
		lacking   string
		unapplied bool
	}{
		{map[string]string{"pods": "5"}, "", false},
		{map[string]string{"pods": "4", "services": "3"}, "", false},
		{map[string]string{"pods": "6", "services": "3"}, "", true},
		{map[string]string{"pods": "8"}, "pods=8", false},
	} {
		to := seen.Of(c.to)
		if end := p.catchUp(late, to); end.Lacking.String() != c.lacking || end.Unapplied != c.unapplied {
			t.Errorf("of %s is lacking %q, and not applied %v", to, end.Lacking, end.Unapplied)
		}
	}
}

// What a control plane tells is known to be in effect soon after, without anybody who asks.
func TestWhatIsInEffectIsKnown(t *testing.T) {
	api, url := kubetest.New(t)
	dir := t.TempDir()
	tokens(t, dir)
	p := following(t, url, dir, time.Minute)
	for _, name := range []string{"first", "second"} {
		said := p.seen().Of("services") // before, or the change might be seen already
		api.Put("v1/services", serviceObject(name))
		envoytest.Eventually(t, "the change is seen", func() bool { return p.seen().Of("services") != said })
		envoytest.Eventually(t, "it is in effect", func() bool { return p.applied.covers(p.seen()) })
		if _, body := get(t, "http://"+p.cfg.MonitoringAddr+"/metrics"); strings.Contains(body, "pilot_xds_catch_up_waits_total{") {
			t.Error("a wait is counted of nobody")
		}
	}
}
