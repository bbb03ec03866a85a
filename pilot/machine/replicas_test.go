package machine

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/incluster"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

var (
	entriesResource = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "workloadentries"}
	groupsResource  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "workloadgroups"}
)

// apiServer is one that several replicas write to and watch.
type apiServer struct {
	*testing.T
	client *dynamicfake.FakeDynamicClient

	mu       sync.Mutex
	away     bool
	replicas map[string]*Registry
	groups   []*model.Object
	writes   int
	grace    time.Duration // zero for the default
}

func newAPIServer(t *testing.T) *apiServer {
	a := &apiServer{T: t, replicas: map[string]*Registry{}}
	a.client = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		entriesResource: "WorkloadEntryList", groupsResource: "WorkloadGroupList",
	})
	a.client.PrependReactor("*", "workloadentries", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetVerb() != "get" && action.GetVerb() != "list" {
			a.mu.Lock()
			a.writes++
			a.mu.Unlock()
		}
		return false, nil, nil
	})
	group := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup",
		"metadata": map[string]any{"name": "db", "namespace": "vms", "uid": "u-db"},
	}}
	if err := a.client.Tracker().Create(groupsResource, group, "vms"); err != nil {
		t.Fatal(err)
	}
	a.groups = []*model.Object{dbGroup(func(w *networking.WorkloadGroup) { w.Template.Network = "" })}
	return a
}

// get gives an entry; nil for none.
func (a *apiServer) get(name string) *model.Object {
	a.Helper()
	o, err := a.client.Tracker().Get(entriesResource, "vms", name)
	if err != nil {
		return nil
	}
	u := o.(*unstructured.Unstructured)
	spec := &networking.WorkloadEntry{}
	if data, err := json.Marshal(u.Object["spec"]); err != nil || protojson.Unmarshal(data, spec) != nil {
		a.Fatal(u.Object)
	}
	return &model.Object{
		Key: model.Key{Kind: model.KindWorkloadEntry, Namespace: "vms", Name: name}, Labels: u.GetLabels(), Annotations: u.GetAnnotations(), Spec: spec,
	}
}

// put writes an entry as somebody else.
func (a *apiServer) put(name string, annotations map[string]any) {
	a.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
		"metadata": map[string]any{
			"name": name, "namespace": "vms", "annotations": annotations,
			"ownerReferences": []any{map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup", "name": "db", "uid": "u", "controller": true}},
		},
		"spec": map[string]any{"address": strings.TrimPrefix(name, "db-"), "serviceAccount": "db"},
	}}
	if err := a.client.Tracker().Create(entriesResource, o, "vms"); err != nil {
		a.Fatal(err)
	}
	a.show(name)
}

// show lets all replicas see an entry as it is.
func (a *apiServer) show(name string) {
	o := a.get(name)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.replicas {
		g.Apply("kube", []model.Event{{Key: model.Key{Kind: model.KindWorkloadEntry, Namespace: "vms", Name: name}, New: o}}, nil)
	}
}

// write does what pilot/discovery does.
func (a *apiServer) write(ctx context.Context, c Change) (err error) {
	a.mu.Lock()
	away := a.away
	a.mu.Unlock()
	if away {
		return errors.New("the API server is away")
	}
	switch r := c.Registration; {
	case r == nil:
		return nil
	case r.Claim != nil:
		err = incluster.ClaimEntry(ctx, a.client, r.Claim)
	case r.Leave != nil:
		err = incluster.LeaveEntry(ctx, a.client, c.Key, r.Leave.Connected, r.Leave.Disconnected)
	default:
		err = incluster.RemoveEntry(ctx, a.client, c.Key, r.Remove)
	}
	a.show(c.Key.Name)
	return err
}

// replica starts one, which sees all that is there, and ends without a word when stop is called.
func (a *apiServer) replica(name string) (g *Registry, stop func()) {
	a.Helper()
	g = New(&sink{health: map[string]string{}}, Options{Write: a.write, Name: name, Grace: a.grace, Logger: slog.New(slog.DiscardHandler)})
	list, err := a.client.Tracker().List(entriesResource, entriesResource.GroupVersion().WithKind("WorkloadEntry"), "vms")
	if err != nil {
		a.Fatal(err)
	}
	g.Apply("kube", added(a.groups...), nil)
	for _, o := range list.(*unstructured.UnstructuredList).Items {
		g.Apply("kube", added(a.get(o.GetName())), nil)
	}
	g.Synced("kube")
	a.mu.Lock()
	a.replicas[name] = g
	a.mu.Unlock()
	end := run(a.T, g)
	return g, func() {
		end()
		a.mu.Lock()
		delete(a.replicas, name)
		a.mu.Unlock()
	}
}

// want compares who hears the machine: the controller, and "gone" where it is gone; "" for no entry.
func (a *apiServer) want(what string, after time.Duration, name, state string) {
	a.Helper()
	time.Sleep(after)
	synctest.Wait()
	got := ""
	if p, ok := presenceOf(a.get(name)); ok {
		got = p.controller
		if p.connected.IsZero() == p.disconnected.IsZero() {
			got += " undecided"
		} else if !p.disconnected.IsZero() {
			got += " gone"
		}
	}
	if got != state {
		a.Errorf("%s: %q, want %q", what, got, state)
	}
}

const vm = "db-10.0.0.1"

func TestAnEntryIsWrittenAndTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPIServer(t)
		g, _ := a.replica("one")
		a.replica("two")
		g.Join(joins("1", dbNode(1)))
		a.want("it comes", 2*round, vm, "one")
		o, err := a.client.Tracker().Get(entriesResource, "vms", vm)
		if err != nil {
			t.Fatal(err)
		}
		u := o.(*unstructured.Unstructured)
		owners := u.GetOwnerReferences()
		if len(owners) != 1 || owners[0].Kind != "WorkloadGroup" || owners[0].Name != "db" || owners[0].UID != "u-db" || u.GetLabels()["app"] != "db" {
			t.Errorf("%v", u.Object)
		}
		if we := a.get(vm).Spec.(*networking.WorkloadEntry); we.Address != "10.0.0.1" || we.ServiceAccount != "db" || we.Ports["tcp"] != 5432 {
			t.Errorf("%v", we)
		}
		a.want("nobody asks for what has just come", returning+answering, vm, "one")
		g.Ended("1")
		a.want("it goes", 2*round, vm, "one gone")
		a.want("within the grace period", grace-4*round, vm, "one gone")
		a.want("after it", 5*round, vm, "")
		if n := a.count(); n != 3 {
			t.Errorf("%d writes", n)
		}
		if len(g.registered) != 0 {
			t.Errorf("%d are kept", len(g.registered))
		}
	})
}

func TestWhatAUserWritesIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPIServer(t)
		a.put(vm, map[string]any{"istio.io/autoRegistrationGroup": "db"})
		a.put("db-10.0.0.2", map[string]any{"istio.io/autoRegistrationGroup": "web", "istio.io/workloadController": "x", "istio.io/connectedAt": "2020-01-01T00:00:00Z"})
		var told []model.Problem
		g, _ := a.replica("one")
		g.opts.Report = func(p []model.Problem) { told = p }
		g.Join(joins("1", dbNode(1)))
		g.Join(joins("2", dbNode(2)))
		time.Sleep(recheck + lingering)
		synctest.Wait()
		if n := a.count(); n != 0 || len(told) != 2 {
			t.Errorf("%d writes, told %v", n, told)
		}
		if err := a.client.Tracker().Delete(entriesResource, "vms", vm); err != nil {
			t.Fatal(err)
		}
		a.show(vm)
		a.want("the user takes it away", 2*round, vm, "one")
		a.edit(vm, func(u map[string]any) { u["spec"].(map[string]any)["weight"] = int64(7) })
		g.Ended("1")
		g.Join(joins("3", dbNode(1)))
		a.want("a registered one that a user edits", 5*round, vm, "one")
		if w := a.get(vm).Spec.(*networking.WorkloadEntry).Weight; w != 7 {
			t.Errorf("its weight is %d", w)
		}
	})
}

func (a *apiServer) setAway(away bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away = away
}

// count gives how much was written since it was asked last.
func (a *apiServer) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.writes
	a.writes = 0
	return n
}

// edit edits an entry as somebody else.
func (a *apiServer) edit(name string, edit func(map[string]any)) {
	a.Helper()
	o, err := a.client.Tracker().Get(entriesResource, "vms", name)
	if err != nil {
		a.Fatal(err)
	}
	u := o.(*unstructured.Unstructured).DeepCopy()
	edit(u.Object)
	if err := a.client.Tracker().Update(entriesResource, u, "vms"); err != nil {
		a.Fatal(err)
	}
	a.show(name)
}

// TestAnotherReplicaTakesOver has the machine connect anew before its former stream is known to have ended.
func TestAnotherReplicaTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPIServer(t)
		one, _ := a.replica("one")
		two, _ := a.replica("two")
		one.Join(joins("1", dbNode(1)))
		a.want("it comes", 2*round, vm, "one")
		two.Join(joins("2", dbNode(1)))
		a.want("the later one counts", 2*round, vm, "two")
		one.Ended("1")
		a.want("the former ends", 3*grace, vm, "two")
		one.Join(joins("3", dbNode(1)))
		two.Ended("2")
		a.want("it moves back", 3*grace, vm, "one")
		two.Join(joins("4", dbNode(1)))
		a.want("two streams", 2*round, vm, "two")
		two.Ended("4")
		a.want("the one that is left counts", 3*grace, vm, "one")
		if n := a.count(); n > 12 {
			t.Errorf("%d writes", n)
		}
		one.Ended("3")
		a.want("all are gone", grace+3*round, vm, "")
	})
}

func TestAMachineThatDiesWithItsReplicaIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPIServer(t)
		g, stop := a.replica("one")
		g.Join(joins("1", dbNode(1)))
		a.want("it comes", 2*round, vm, "one")
		stop()
		a.replica("two")
		a.want("it may be on its way", returning-2*round, vm, "one")
		a.want("it is asked for", 5*round, vm, "one gone")
		a.want("nobody answers", answering, vm, "")
	})
}

func TestAMachineThatOutlivesItsReplicaStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPIServer(t)
		g, stop := a.replica("one")
		g.Join(joins("1", dbNode(1)))
		a.want("it comes", 2*round, vm, "one")
		stop()
		two, _ := a.replica("two")
		time.Sleep(returning + answering/2)
		two.Join(joins("2", dbNode(1)))
		a.want("it comes back while it is asked for", 2*round, vm, "two")
		a.want("it stays", 10*recheck, vm, "two")
	})
}

// TestReplicasAnswer has one that hears the machine, and others that start.
func TestReplicasAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPIServer(t)
		g, _ := a.replica("one")
		g.Join(joins("1", dbNode(1)))
		time.Sleep(2 * round)
		came, _ := presenceOf(a.get(vm))
		for _, name := range []string{"two", "three", "four"} {
			a.replica(name)
		}
		a.want("all have asked", returning+2*answering, vm, "one")
		if n := a.count(); n > 7 {
			t.Errorf("%d writes: one, and three questions with their answers at most", n)
		}
		// Who has missed the question sees by the time that it was answered.
		if now, _ := presenceOf(a.get(vm)); !now.connected.After(came.connected) {
			t.Errorf("it was heard at %v, and is at %v", came.connected, now.connected)
		}
		a.count()
		a.want("hours later", 10*recheck, vm, "one")
		if n := a.count(); n > 60 {
			t.Errorf("%d writes in ten rounds", n)
		}
	})
}

func TestOtherControlPlanesAreNotAskedForTheirMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPIServer(t)
		istio := func(at string) map[string]any {
			return map[string]any{"istio.io/autoRegistrationGroup": "db", "istio.io/workloadController": "istiod-1", at: "1999-01-01T00:00:00.1Z"}
		}
		a.put(vm, istio("istio.io/connectedAt"))
		a.put("db-10.0.0.2", istio("istio.io/disconnectedAt"))
		of := istio("istio.io/connectedAt")
		of[model.AnnotationAnswers] = "one" // which it has been taken over from
		a.put("db-10.0.0.3", of)
		g, _ := a.replica("one")
		a.want("one that is heard", 2*recheck, vm, "istiod-1")
		a.want("one that was ours", 0, "db-10.0.0.3", "istiod-1")
		a.want("a leftover", 0, "db-10.0.0.2", "")
		g.Join(joins("1", dbNode(1)))
		a.want("it comes to us", 2*round, vm, "one")
	})
}

func TestWritesThatFailAreTriedAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPIServer(t)
		g, _ := a.replica("one")
		a.setAway(true)
		var tries atomic.Int32
		write := g.opts.Write
		g.opts.Write = func(ctx context.Context, c Change) error { tries.Add(1); return write(ctx, c) }
		g.Join(joins("1", dbNode(1)))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := tries.Load(); n > 30 || n < 10 {
			t.Errorf("%d tries", n)
		}
		a.setAway(false)
		a.want("it is back", maxRetry+round, vm, "one")
		a.setAway(true)
		g.Ended("1")
		time.Sleep(3 * grace)
		a.setAway(false)
		a.want("gone in the meantime", 2*maxRetry, vm, "")
	})
}

// TestManyMachinesAreAskedForInTurn has more than are asked for at once.
func TestManyMachinesAreAskedForInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPIServer(t)
		g, stop := a.replica("one")
		for i := range 3 * asksAtOnce {
			g.Join(joins(string(rune('a'+i)), dbNode(i+1)))
		}
		time.Sleep(3 * round)
		synctest.Wait()
		stop()
		a.count()
		a.replica("two")
		time.Sleep(returning + round/2)
		synctest.Wait()
		if n := a.count(); n != asksAtOnce {
			t.Errorf("%d are asked for at once", n)
		}
		time.Sleep(answering + 5*round)
		synctest.Wait()
		if left := slices.DeleteFunc([]string{vm, "db-10.0.0.30"}, func(n string) bool { return a.get(n) == nil }); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}
