package push

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// fake has a table of messages for classes named by namespace; a pod's class may be moved.
type fake struct {
	messages map[string][]Message
	class    map[string]string // by pod name, where it is not the namespace
	moved    map[string]bool   // pods whose class may be another now
}

func (f fake) Classify(p *model.Proxy) resolve.Class {
	if c, ok := f.class[p.Name]; ok {
		return resolve.Class{Key: c}
	}
	return resolve.Class{Key: p.Namespace}
}

func (f fake) Advance(context.Context, []*resolve.Class) (Work, error) { return Work{}, nil }

func (f fake) Moved(p *model.Proxy) bool { return f.moved[p.Name] }

func (f fake) Touched(*resolve.Class) (base, own bool) { return false, true }

func (f fake) Base(*resolve.Class) Base { return Base{} }

func (f fake) Own(c *resolve.Class) Draft { return Draft{Messages: f.messages[c.Key]} }

func cluster(name string, timeout time.Duration, config string) Message {
	c := &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(timeout),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
	}
	if config != "" {
		c.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
			"istio": {Fields: map[string]*structpb.Value{"config": structpb.NewStringValue(config)}},
		}}
	}
	return Message{Clusters, name, c}
}

func node(t *testing.T, pod, namespace string) *Node {
	t.Helper()
	n, err := ParseNode(&corev3.Node{Id: "sidecar~10.0.0.1~" + pod + "." + namespace + "~" + namespace + ".svc.cluster.local"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func connect(t *testing.T, e *Engine, pod, namespace string) *viewer {
	t.Helper()
	return join(t, e, node(t, pod, namespace))
}

func apply(t *testing.T, e *Engine, c Commit) {
	t.Helper()
	if err := e.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

const dr = "/apis/networking.istio.io/v1/namespaces/shop/destination-rule/reviews"

func TestOneFrameServesBothProtocols(t *testing.T) {
	m := cluster("a", time.Second, "")
	r, err := NewResource(Clusters, "a", m.Body)
	if err != nil {
		t.Fatal(err)
	}
	var delta discoveryv3.DeltaDiscoveryResponse
	if err := proto.Unmarshal(r.Delta(), &delta); err != nil {
		t.Fatal(err)
	}
	var sotw discoveryv3.DiscoveryResponse
	if err := proto.Unmarshal(r.SotW(), &sotw); err != nil {
		t.Fatal(err)
	}
	got := delta.GetResources()[0]
	if got.GetName() != "a" || got.GetVersion() != r.Version || len(r.Version) != 11 {
		t.Errorf("delta frame names %q, version %q", got.GetName(), got.GetVersion())
	}
	if r.Size(true) != len(r.Delta()) || r.Size(false) != len(r.SotW()) {
		t.Errorf("sizes %d and %d of frames of %d and %d bytes", r.Size(true), r.Size(false), len(r.Delta()), len(r.SotW()))
	}
	if !proto.Equal(got.GetResource(), sotw.GetResources()[0]) || !proto.Equal(r.Any(), got.GetResource()) {
		t.Error("the two protocols carry different bodies")
	}
	back, err := r.Message()
	if err != nil || !proto.Equal(back, m.Body) {
		t.Errorf("does not decode to what was encoded: %v", err)
	}
	if r.LoadAssignment != "a" {
		t.Errorf("EDS cluster needs load assignment %q", r.LoadAssignment)
	}
}

func TestNothingIsServedBeforeTheFirstCommit(t *testing.T) {
	e := New(Options{})
	if _, err := e.Connect(node(t, "p", "a"), func(*Update) {}); !errors.Is(err, ErrNotReady) || e.Ready() {
		t.Errorf("got %v", err)
	}
}

func TestClassesShareViewsAndViewsShareBytes(t *testing.T) {
	e := New(Options{})
	same := cluster("same", time.Second, "")
	apply(t, e, Commit{Translator: fake{messages: map[string][]Message{"a": {same}, "b": {same}}}})
	a1, a2, b := connect(t, e, "p1", "a"), connect(t, e, "p2", "a"), connect(t, e, "p3", "b")
	if a1.now() != a2.now() {
		t.Error("proxies of one class have two views")
	}
	if a1.now().Set(Clusters).Get("same") != b.now().Set(Clusters).Get("same") {
		t.Error("equal resources of two views are two copies")
	}
}

func TestOnlyThoseAreToldWhoseViewChanges(t *testing.T) {
	e := New(Options{})
	f := fake{messages: map[string][]Message{"a": {cluster("x", time.Second, "")}, "b": {cluster("y", time.Second, "")}}}
	apply(t, e, Commit{Translator: f})
	a, b := connect(t, e, "p1", "a"), connect(t, e, "p2", "b")
	before := b.now()
	f.messages = maps.Clone(f.messages)
	f.messages["a"] = []Message{cluster("x", 2*time.Second, "")}
	apply(t, e, Commit{Translator: f})
	if !a.told() || b.told() || b.now() != before {
		t.Error("want a told and b left alone")
	}
}

func TestProxyMovesToItsNewClass(t *testing.T) {
	e := New(Options{})
	f := fake{messages: map[string][]Message{"a": {cluster("x", time.Second, "")}, "other": {cluster("z", time.Second, "")}}}
	apply(t, e, Commit{Translator: f})
	c, stays := connect(t, e, "p1", "a"), connect(t, e, "p2", "a")
	f.class = map[string]string{"p1": "other", "p2": "other"}
	f.moved = map[string]bool{"p1": true}
	apply(t, e, Commit{Translator: f})
	if !c.told() || c.now().Set(Clusters).Get("z") == nil {
		t.Error("the proxy whose pod changed keeps its former view")
	}
	if stays.told() {
		t.Error("a pod's change moved another proxy")
	}
}

func TestForbiddenMessageIsLeftOutAndItsFormerVersionStays(t *testing.T) {
	var problems []model.Problem
	e := New(Options{Report: func(p []model.Problem) { problems = p }})
	apply(t, e, Commit{Translator: fake{messages: map[string][]Message{"a": {cluster("x", time.Second, dr)}}}})
	c := connect(t, e, "p1", "a")
	good := c.now().Set(Clusters).Get("x")
	bad := []Message{cluster("x", -time.Second, dr), cluster("new", -time.Second, dr), cluster("y", time.Second, "")}
	apply(t, e, Commit{Translator: fake{messages: map[string][]Message{"a": bad}}})
	set := c.now().Set(Clusters)
	if set.Get("x") != good || set.Get("new") != nil || set.Get("y") == nil {
		t.Errorf("serves %v", slices.Collect(set.All()))
	}
	want := model.Key{Kind: model.KindDestinationRule, Namespace: "shop", Name: "reviews"}
	if len(problems) != 2 || problems[0].Object != want || problems[0].Reason != model.ReasonInvalid {
		t.Errorf("problems: %v", problems)
	}
}

func TestRejectedVersionGoesBackToTheLastAccepted(t *testing.T) {
	var problems []model.Problem
	e := New(Options{Report: func(p []model.Problem) { problems = p }})
	serve := func(timeout time.Duration) {
		apply(t, e, Commit{Translator: fake{messages: map[string][]Message{"a": {cluster("x", timeout, dr)}}}})
	}
	serve(time.Second)
	c, other := connect(t, e, "p1", "a"), connect(t, e, "p2", "a")
	good := c.now().Set(Clusters).Get("x")
	good.Accept()
	serve(2 * time.Second)
	bad := c.now().Set(Clusters).Get("x")
	other.told()
	c.Reject(bad, "too slow")
	if got := other.now().Set(Clusters).Get("x"); got != good || !other.told() {
		t.Errorf("serves %v, want the last accepted", got)
	}
	if len(problems) != 1 || problems[0].Reason != model.ReasonRejected || problems[0].Object.Name != "reviews" ||
		!strings.Contains(problems[0].Message, "p1.a") || !strings.Contains(problems[0].Message, "too slow") {
		t.Errorf("problems: %v", problems)
	}
	serve(2 * time.Second) // an unrelated commit yields the same bad version
	if c.now().Set(Clusters).Get("x") != good {
		t.Error("the refused version came back")
	}
	serve(3 * time.Second)
	if c.now().Set(Clusters).Get("x") == good || len(problems) != 0 {
		t.Errorf("a repaired version is not served, or its problem stays: %v", problems)
	}
}

func TestProblemGoesWithItsLastProxyButNotWithABreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var problems []model.Problem
		e := New(Options{Report: func(p []model.Problem) { problems = p }})
		apply(t, e, Commit{Translator: fake{messages: map[string][]Message{"a": {cluster("x", time.Second, dr)}}}})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		running.Go(func() {
			if err := e.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		c := connect(t, e, "p1", "a")
		c.Reject(c.now().Set(Clusters).Get("x"), "no")
		c.Close(nil)
		synctest.Wait()
		c = connect(t, e, "p1", "a")
		time.Sleep(CheckEvery + time.Second)
		synctest.Wait()
		if len(problems) != 1 {
			t.Errorf("after a break: %v", problems)
		}
		c.Close(nil)
		time.Sleep(CheckEvery)
		synctest.Wait()
		if len(problems) != 0 {
			t.Errorf("without a proxy: %v", problems)
		}
	})
}

func TestRejectionOfWhatOthersRunIsTheProxysOwn(t *testing.T) {
	e := New(Options{})
	apply(t, e, Commit{Translator: fake{messages: map[string][]Message{"a": {cluster("x", time.Second, dr)}}}})
	c := connect(t, e, "p1", "a")
	r := c.now().Set(Clusters).Get("x")
	r.Accept()
	c.Reject(r, "address already in use")
	if c.now().Set(Clusters).Get("x") != r {
		t.Error("one proxy's refusal took an accepted version from its class")
	}
}

func TestSuspicionWaitsForTheNextStream(t *testing.T) {
	e := New(Options{})
	apply(t, e, Commit{Translator: fake{}})
	c := connect(t, e, "p1", "a")
	var s Suspicion
	s.Add(Listeners, Doubt{All: true})
	s.Add(Routes, Doubt{})
	s.Add(Clusters, Doubt{Names: []string{"x"}})
	s.Add(Clusters, Doubt{Names: []string{"y"}})
	c.Close(s)
	again := connect(t, e, "p1", "a")
	if got := again.Suspicion(); len(got) != 2 || !got[Listeners].All || !slices.Equal(got[Clusters].Names, []string{"x", "y"}) {
		t.Errorf("got %v", got)
	}
	again.Close(nil)
	if connect(t, e, "p1", "a").Suspicion() != nil {
		t.Error("a suspicion outlives the stream that it was for")
	}
}

func TestOldestSuspicionGoesWhereThereAreTooMany(t *testing.T) {
	e := New(Options{})
	apply(t, e, Commit{Translator: fake{}})
	pod := func(i int) string { return "p" + strconv.Itoa(i) }
	suspect := func(i int) { connect(t, e, pod(i), "a").Close(Suspicion{Listeners: Doubt{All: true}}) }
	for i := range maxSuspects {
		suspect(i)
	}
	suspect(0) // now the newest
	suspect(maxSuspects)
	for i, want := range map[int]bool{0: true, 1: false, 2: true, maxSuspects: true} {
		if got := connect(t, e, pod(i), "a").Suspicion() != nil; got != want {
			t.Errorf("%s suspected: %v", pod(i), got)
		}
	}
	if got := len(e.suspects.byID); got != maxSuspects-3 || got != e.suspects.oldest.Len() {
		t.Errorf("%d are remembered", got)
	}
}

func TestNodes(t *testing.T) {
	md, err := structpb.NewStruct(map[string]any{
		"NAMESPACE": "shop", "SERVICE_ACCOUNT": "sa", "INSTANCE_IPS": "10.1.1.1,fd00::1", "DNS_CAPTURE": "true",
		"LABELS": map[string]any{"app": "x", "bad": 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := ParseNode(&corev3.Node{Id: "sidecar~10.0.0.1~web-1.2.shop~shop.svc.cluster.local", Metadata: md})
	if err != nil {
		t.Fatal(err)
	}
	if n.Name != "web-1.2" || n.Namespace != "shop" || !n.DNSCapture || len(n.IPs) != 2 || n.Labels["app"] != "x" || n.Interception != "REDIRECT" {
		t.Errorf("got %+v", n)
	}
	for _, id := range []string{"", "x", "sidecar~10.0.0.1~p.ns", "ztunnel~10.0.0.1~p.ns~d", "sidecar~nowhere~p.ns~d", "sidecar~10.0.0.1~~"} {
		if _, err := ParseNode(&corev3.Node{Id: id}); err == nil {
			t.Errorf("%q is accepted", id)
		}
	}
	if _, err := ParseNode(nil); err == nil {
		t.Error("no node is accepted")
	}
}

func FuzzSourceKey(f *testing.F) {
	f.Add(dr)
	f.Add("/apis/a/b/namespaces/c/-/d")
	f.Fuzz(func(t *testing.T, path string) {
		if k, ok := sourceKey(path); ok && strings.Contains(k.Name, "/") {
			t.Errorf("%q gives %v", path, k)
		}
	})
}
