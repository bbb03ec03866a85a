package store

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// running starts a store in a synctest bubble and stops it at the test's end.
func running(t *testing.T, opts Options) *Store {
	s := New(opts)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// commitNow gives the commit that is there, or nil.
func commitNow(s *Store) *Commit {
	synctest.Wait()
	select {
	case c := <-s.Commits():
		return &c
	default:
		return nil
	}
}

// asker edits objects of a source, and asks a question of each commit.
type asker struct {
	store *Store
	held  map[model.Key]*model.Object
	ask   func(Reader) bool
}

func newAsker(t *testing.T, ask func(Reader) bool) *asker {
	return &asker{running(t, Options{Domain: "cluster.local"}), map[model.Key]*model.Object{}, ask}
}

// edit commits an object, or that it goes. It gives the answer, and whether the commit tells who has asked.
func (a *asker) edit(t *testing.T, what string, o *model.Object, goes bool) (answer, told, full bool) {
	t.Helper()
	event := model.Event{Key: o.Key, Old: a.held[o.Key], New: o}
	if goes {
		event.New = nil
	}
	a.held[o.Key] = event.New
	a.store.Apply("file", []model.Event{event}, nil)
	a.store.Synced("file")
	time.Sleep(time.Minute)
	commit := commitNow(a.store)
	if commit == nil {
		t.Fatalf("%s: nothing is committed", what)
	}
	var rows []Row
	answer = a.ask(commit.Snapshot.Reader(func(row Row) { rows = append(rows, row) }))
	return answer, slices.ContainsFunc(commit.Rows, func(row Row) bool { return slices.Contains(rows, row) }), commit.Full
}

func events(objects ...*model.Object) []model.Event {
	var out []model.Event
	for _, o := range objects {
		out = append(out, model.Event{Key: o.Key, New: o})
	}
	return out
}

func serviceKey(name string) model.Key {
	return model.Key{Kind: model.KindService, Namespace: "default", Name: name}
}

// changedPod gives a copy of one pod of the small mesh, changed by f.
func changedPod(t *testing.T, name string, f func(*corev1.Pod)) *model.Object {
	t.Helper()
	for _, o := range load(t, "small.yaml") {
		if o.Kind == model.KindPod && o.Name == name {
			f(o.Spec.(*corev1.Pod))
			return o
		}
	}
	t.Fatalf("no pod %s", name)
	return nil
}

func TestNothingIsCommittedBeforeEverySourceSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Sources: []SourceOptions{{Name: "a"}, {Name: "b"}}})
		s.Apply("a", events(load(t, "small.yaml")...), nil)
		s.Synced("a")
		time.Sleep(time.Hour)
		if c := commitNow(s); c != nil || s.Ready() {
			t.Fatalf("committed without b: %+v", c)
		}
		s.Synced("b")
		c := commitNow(s)
		if c == nil || !c.Full || len(c.Snapshot.Services("default")) != 2 || !s.Ready() {
			t.Fatalf("first commit: %+v", c)
		}
	})
}

func TestASourceThatMissesItsDeadlineIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reported := map[string][]model.Problem{}
		s := running(t, Options{
			Sources: []SourceOptions{{Name: "a"}, {Name: "remote", Deadline: 10 * time.Second}},
			Report:  func(stage string, problems []model.Problem) { reported[stage] = problems },
		})
		s.Apply("a", events(load(t, "small.yaml")...), nil)
		s.Synced("a")
		time.Sleep(9 * time.Second)
		if commitNow(s) != nil {
			t.Fatal("committed before the deadline")
		}
		time.Sleep(2 * time.Second)
		if commitNow(s) == nil {
			t.Fatal("not committed after the deadline")
		}
		if got := reported["source remote"]; len(got) != 1 || got[0].Reason != model.ReasonDegraded {
			t.Errorf("reported %v", got)
		}
		s.Synced("remote")
		synctest.Wait()
		if got := reported["source remote"]; len(got) != 0 {
			t.Errorf("still reported after it synced: %v", got)
		}
	})
}

func TestConfigurationWaitsAndEndpointsDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Sources: []SourceOptions{{Name: "a"}}})
		s.Apply("a", events(load(t, "small.yaml")...), nil)
		s.Synced("a")
		commitNow(s)

		vs := decode(t, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: new}\nspec: {hosts: [new]}\n")[0]
		s.Apply("a", events(vs), nil)
		ready := changedPod(t, "hello-abc-2", func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionTrue })
		s.Apply("a", events(ready), nil)
		c := commitNow(s)
		if c == nil || len(c.Changed) != 0 || len(c.Endpoints) != 1 || c.Full {
			t.Fatalf("endpoint's commit: %+v", c)
		}
		if _, ok := c.Endpoints[serviceKey("hello")]; !ok || len(c.Snapshot.Reader(nil).VirtualServicesIn("default", "default")) != 1 {
			t.Errorf("endpoint's commit: %+v", c)
		}
		time.Sleep(19 * time.Millisecond)
		if commitNow(s) != nil {
			t.Fatal("configuration did not wait")
		}
		time.Sleep(2 * time.Millisecond)
		c = commitNow(s)
		if c == nil || len(c.Changed) != 1 || len(c.Endpoints) != 0 || len(c.Snapshot.Reader(nil).VirtualServicesIn("default", "default")) != 2 {
			t.Fatalf("configuration's commit: %+v", c)
		}
	})
}

func TestSteadyChangesAreCommittedAfterMaxQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Sources: []SourceOptions{{Name: "a"}}})
		s.Synced("a")
		commitNow(s)
		began := time.Now()
		for i := range 100 {
			host := "h" + string(rune('a'+i%26)) + string(rune('a'+i/26))
			s.Apply("a", events(decode(t, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec: {hosts: ["+host+"]}\n")...), nil)
			time.Sleep(10 * time.Millisecond)
			if commitNow(s) != nil {
				break
			}
		}
		if took := time.Since(began); took < 190*time.Millisecond || took > 220*time.Millisecond {
			t.Errorf("first commit after %v", took)
		}
	})
}

func TestASlowReaderGetsMergedSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Sources: []SourceOptions{{Name: "a"}}})
		s.Apply("a", events(load(t, "small.yaml")...), nil)
		s.Synced("a")
		commitNow(s)
		s.Apply("a", events(changedPod(t, "hello-abc-2", func(p *corev1.Pod) { p.Status.PodIP = "10.0.0.9" })), nil)
		synctest.Wait()
		s.Apply("a", []model.Event{{Key: serviceKey("solo")}}, nil)
		time.Sleep(time.Second)
		c := commitNow(s)
		if c == nil {
			t.Fatal("no commit")
		}
		_, pod := c.Changed[model.Key{Kind: model.KindPod, Namespace: "default", Name: "hello-abc-2"}]
		_, solo := c.Changed[serviceKey("solo")]
		_, hello := c.Endpoints[serviceKey("hello")]
		if !pod || !solo || !hello || c.Full || c.Snapshot != s.Snapshot() {
			t.Errorf("merged step: %+v", c)
		}
		if commitNow(s) != nil {
			t.Error("a step twice")
		}
	})
}

func TestNoCommitWithoutAChangeInValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Sources: []SourceOptions{{Name: "a"}}})
		s.Apply("a", events(load(t, "small.yaml")...), nil)
		s.Synced("a")
		commitNow(s)
		again := load(t, "small.yaml")
		for _, o := range again {
			o.Origin.Line += 7
			o.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "x"}
		}
		s.Apply("a", events(again...), nil)
		s.Apply("a", events(changedPod(t, "hello-abc-1", func(p *corev1.Pod) { p.Status.Message = "fine" })), nil)
		s.Apply("a", events(decode(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")...), nil)
		time.Sleep(time.Second)
		if c := commitNow(s); c != nil {
			t.Errorf("commit: changed %v, endpoints %v", c.Changed, c.Endpoints)
		}
	})
}

func TestALaterSourceWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Sources: []SourceOptions{{Name: "a"}, {Name: "b"}}})
		service := func(port string) *model.Object {
			return decode(t, "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: "+port+"}]}\n")[0]
		}
		port := func() uint32 {
			time.Sleep(time.Second)
			synctest.Wait()
			return s.Snapshot().Services("default")[0].Ports[0].Port
		}
		s.Apply("b", events(service("2")), nil)
		s.Apply("a", events(service("1")), nil)
		s.Synced("a")
		s.Synced("b")
		if got := port(); got != 2 {
			t.Errorf("port %d of the earlier source", got)
		}
		s.Apply("b", []model.Event{{Key: serviceKey("x")}}, nil)
		if got := port(); got != 1 {
			t.Errorf("port %d after the later source let go", got)
		}
	})
}

func TestProblemsGoToTheBoardBySource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []model.Problem
		s := running(t, Options{Sources: []SourceOptions{{Name: "a"}}, Report: func(stage string, problems []model.Problem) {
			if stage == "source a" {
				got = problems
			}
		}})
		want := []model.Problem{{Object: serviceKey("x"), Message: "wrong"}}
		s.Apply("a", nil, want)
		synctest.Wait()
		if !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	})
}
