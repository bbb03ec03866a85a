package push

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// message is a resource before it is marshalled.
type message struct {
	typ  resource.Type
	name string
	body proto.Message
}

// fake has a table of messages for classes named by namespace; a pod's class may be moved.
type fake struct {
	messages map[string][]message
	class    map[string]string // by pod name, where it is not the namespace
	moved    map[string]bool   // pods whose class may be another now
	seats    *[]*build.Seat    // of connected pods; nil if none moves
	patching func(part proto.Message) []model.MadeOf
}

func (f fake) classOf(p *model.Proxy) resolve.Class {
	if c, ok := f.class[p.Name]; ok {
		return resolve.Class{Key: c}
	}
	return resolve.Class{Key: p.Namespace}
}

func (f fake) Seat(p *model.Proxy) *build.Seat {
	s := &build.Seat{Proxy: p, Class: f.classOf(p)}
	if f.seats != nil {
		*f.seats = append(*f.seats, s)
	}
	return s
}

func (f fake) Leave(*build.Seat) {}

func (f fake) Retain([]*resolve.Class) {}

func (f fake) Discard(*resolve.Class) {}

func (f fake) Patching(_ *resolve.Class, _ *resource.Resource, part proto.Message) []model.MadeOf {
	if f.patching == nil {
		return nil
	}
	return f.patching(part)
}

func (f fake) FromScratch(c *resolve.Class) func() build.Result {
	return func() build.Result { return f.Result(c) }
}

func (f fake) Advance(context.Context) (build.Work, error) {
	work := build.Work{All: true}
	if f.seats != nil {
		for _, s := range *f.seats {
			if f.moved[s.Proxy.Name] {
				s.Class = f.classOf(s.Proxy)
				work.Moved = append(work.Moved, s)
			}
		}
	}
	return work, nil
}

func (f fake) Result(c *resolve.Class) build.Result {
	var byType [resource.NumTypes][]*resource.Resource
	for _, m := range f.messages[c.Key] {
		r, err := resource.New(m.typ, m.name, m.body)
		if err != nil {
			panic(err)
		}
		byType[m.typ] = append(byType[m.typ], r)
	}
	var out build.Result
	for t, list := range byType {
		out.Sets[t] = resource.NewSet(list...)
	}
	return out
}

func cluster(name string, timeout time.Duration, config string) message {
	c := &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(timeout),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
	}
	if config != "" {
		c.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
			"istio": {Fields: map[string]*structpb.Value{"config": structpb.NewStringValue(config)}},
		}}
	}
	return message{resource.Clusters, name, c}
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

func TestNothingIsServedBeforeTheFirstCommit(t *testing.T) {
	e := New(Options{})
	if _, err := e.Connect(node(t, "p", "a"), func(*Update) {}); !errors.Is(err, ErrNotReady) {
		t.Errorf("got %v", err)
	}
}

func TestProxiesOfAClassShareAView(t *testing.T) {
	e := New(Options{})
	apply(t, e, Commit{Translator: fake{messages: map[string][]message{"a": {cluster("same", time.Second, "")}}}})
	if a1, a2 := connect(t, e, "p1", "a"), connect(t, e, "p2", "a"); a1.now() != a2.now() {
		t.Error("proxies of one class have two views")
	}
}

func TestOnlyThoseAreToldWhoseViewChanges(t *testing.T) {
	e := New(Options{})
	f := fake{messages: map[string][]message{"a": {cluster("x", time.Second, "")}, "b": {cluster("y", time.Second, "")}}}
	apply(t, e, Commit{Translator: f})
	a, b := connect(t, e, "p1", "a"), connect(t, e, "p2", "b")
	before := b.now()
	f.messages = maps.Clone(f.messages)
	f.messages["a"] = []message{cluster("x", 2*time.Second, "")}
	apply(t, e, Commit{Translator: f})
	if !a.told() || b.told() || b.now() != before {
		t.Error("want a told and b left alone")
	}
}

func TestProxyMovesToItsNewClass(t *testing.T) {
	e := New(Options{})
	f := fake{seats: &[]*build.Seat{}, messages: map[string][]message{"a": {cluster("x", time.Second, "")}, "other": {cluster("z", time.Second, "")}}}
	apply(t, e, Commit{Translator: f})
	c, stays := connect(t, e, "p1", "a"), connect(t, e, "p2", "a")
	f.class = map[string]string{"p1": "other", "p2": "other"}
	f.moved = map[string]bool{"p1": true}
	apply(t, e, Commit{Translator: f})
	if !c.told() || c.now().Set(resource.Clusters).Get("z") == nil {
		t.Error("the proxy whose pod changed keeps its former view")
	}
	if stays.told() {
		t.Error("a pod's change moved another proxy")
	}
}

func TestRejectedVersionGoesBackToTheLastAccepted(t *testing.T) {
	var problems []model.Problem
	e := New(Options{Report: func(p []model.Problem) { problems = p }})
	serve := func(timeout time.Duration) {
		apply(t, e, Commit{Translator: fake{messages: map[string][]message{"a": {cluster("x", timeout, dr)}}}})
	}
	serve(time.Second)
	c, other := connect(t, e, "p1", "a"), connect(t, e, "p2", "a")
	good := c.now().Set(resource.Clusters).Get("x")
	good.Accept()
	serve(2 * time.Second)
	bad := c.now().Set(resource.Clusters).Get("x")
	other.told()
	c.Reject(bad, "too slow")
	if got := other.now().Set(resource.Clusters).Get("x"); got != good || !other.told() {
		t.Errorf("serves %v, want the last accepted", got)
	}
	if len(problems) != 1 || problems[0].Reason != model.ReasonRejected || problems[0].Object.Name != "reviews" ||
		!strings.Contains(problems[0].Message, "p1.a") || !strings.Contains(problems[0].Message, "too slow") {
		t.Errorf("problems: %v", problems)
	}
	serve(2 * time.Second) // an unrelated commit yields the same bad version
	if c.now().Set(resource.Clusters).Get("x") != good {
		t.Error("the rejected version came back")
	}
	serve(3 * time.Second)
	if c.now().Set(resource.Clusters).Get("x") == good || len(problems) != 0 {
		t.Errorf("a repaired version is not served, or its problem stays: %v", problems)
	}
}

func TestProblemGoesWithItsLastProxyButNotWithABreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var problems []model.Problem
		e := New(Options{Report: func(p []model.Problem) { problems = p }})
		apply(t, e, Commit{Translator: fake{messages: map[string][]message{"a": {cluster("x", time.Second, dr)}}}})
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
		c.Reject(c.now().Set(resource.Clusters).Get("x"), "no")
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
	apply(t, e, Commit{Translator: fake{messages: map[string][]message{"a": {cluster("x", time.Second, dr)}}}})
	c := connect(t, e, "p1", "a")
	r := c.now().Set(resource.Clusters).Get("x")
	r.Accept()
	c.Reject(r, "address already in use")
	if c.now().Set(resource.Clusters).Get("x") != r {
		t.Error("one proxy's rejection took an accepted version from its class")
	}
}

func TestUntrustedWaitsForTheNextStream(t *testing.T) {
	e := New(Options{})
	apply(t, e, Commit{Translator: fake{}})
	c := connect(t, e, "p1", "a")
	var s Untrusted
	s.Add(resource.Listeners, UntrustedNames{All: true})
	s.Add(resource.Routes, UntrustedNames{})
	s.Add(resource.Clusters, UntrustedNames{Names: []string{"x"}})
	s.Add(resource.Clusters, UntrustedNames{Names: []string{"y"}})
	c.Close(s)
	again := connect(t, e, "p1", "a")
	if got := again.Untrusted(); len(got) != 2 || !got[resource.Listeners].All || !slices.Equal(got[resource.Clusters].Names, []string{"x", "y"}) {
		t.Errorf("got %v", got)
	}
	again.Close(nil)
	if connect(t, e, "p1", "a").Untrusted() != nil {
		t.Error("a suspicion outlives the stream that it was for")
	}
}

func TestNodes(t *testing.T) {
	md, err := structpb.NewStruct(map[string]any{
		"NAMESPACE": "shop", "SERVICE_ACCOUNT": "sa", "INSTANCE_IPS": "::ffff:10.1.1.1,FD00::0:1", "DNS_CAPTURE": "true", "UNPRIVILEGED_POD": "T",
		"LABELS": map[string]any{"app": "x", "bad": 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := ParseNode(&corev3.Node{Id: "sidecar~10.0.0.1~web-1.2.shop~shop.svc.cluster.local", Metadata: md})
	if err != nil {
		t.Fatal(err)
	}
	if n.Name != "web-1.2" || n.Namespace != "shop" || !n.DNSCapture || !n.Unprivileged || !slices.Equal(n.IPs, []string{"10.1.1.1", "fd00::1"}) || n.Labels["app"] != "x" || n.Interception != "REDIRECT" {
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
