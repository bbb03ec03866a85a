package push

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// TestRejectedSharedResource is a refusal of what several classes share: only the class of the
// proxy that refused goes back, and takes what comes next.
func TestRejectedSharedResource(t *testing.T) {
	const name, host = "outbound|80||web.a.svc.cluster.local", "web.a.svc.cluster.local"
	port := corev1.ServicePort{Name: "http", Port: 80}
	f := newFeed(t,
		service("a", "web", "172.16.0.1", port), service("b", "own", "172.16.0.2", port),
		pod("b", "p", "10.0.0.1", map[string]string{"app": "own"}), destinationRule("a", "web", host, 1),
	)
	d := newDriver(t)
	d.apply(f.edit()...)
	connect := func(pod, ip string) *viewer { return join(t, d.engine, proxy(t, "b", pod, ip, nil)) }
	refuses, other := connect("p", "10.0.0.1"), connect("q", "10.0.0.2")
	if refuses.group == other.group || refuses.group.base != other.group.base {
		t.Fatal("want two classes that share their outbound part")
	}
	get := func(c *viewer) *Resource { return c.now().Set(Clusters).Get(name) }
	good := get(refuses)
	good.Accept()
	d.apply(f.edit(destinationRule("a", "web", host, 2))...)
	bad := get(refuses)
	refuses.Reject(bad, "no")
	if get(refuses) != good || get(other) != bad || len(d.problems) == 0 {
		t.Errorf("after the refusal: %v and %v; problems %v", get(refuses), get(other), d.problems)
	}
	d.apply(f.edit(service("a", "unrelated", "172.16.0.3", port))...)
	if get(refuses) != good {
		t.Error("the refused version came back with an unrelated change")
	}
	d.apply(f.edit(destinationRule("a", "web", host, 3))...)
	if now := get(refuses); now == good || now == bad || now != get(other) || len(d.problems) != 0 {
		t.Errorf("a repaired version is not served, or its problem stays: %v", d.problems)
	}
}

// A proxy that refuses what it gets with its new class goes back to what it had in the former one, also
// where it tells only later that it took that.
func TestProxyTakesAlongWhatItRuns(t *testing.T) {
	e, f := New(Options{}), fake{messages: map[string][]Message{
		"a": {cluster("x", time.Second, "")}, "b": {cluster("x", 2*time.Second, "")},
	}}
	apply(t, e, Commit{Translator: f})
	c := connect(t, e, "p", "a")
	get := func(v *viewer) *Resource { return v.now().Set(Clusters).Get("x") }
	good := get(c)
	f.class, f.moved = map[string]string{"p": "b"}, map[string]bool{"p": true}
	apply(t, e, Commit{Translator: f})
	good.Accept()
	bad := get(c)
	if c.Reject(bad, "no"); bad == good || get(c) != good {
		t.Errorf("serves %v after the refusal of %v, want %v", get(c), bad, good)
	}
}

func TestProxyBringsWhatItsNewClassCanGoBackTo(t *testing.T) {
	e, f := New(Options{}), fake{messages: map[string][]Message{
		"a": {cluster("x", time.Second, "")}, "b": {cluster("x", 2*time.Second, "")},
	}}
	apply(t, e, Commit{Translator: f})
	moves, resident := connect(t, e, "p", "a"), connect(t, e, "q", "b")
	get := func(v *viewer) *Resource { return v.now().Set(Clusters).Get("x") }
	good := get(moves)
	good.Accept()
	resident.Reject(get(resident), "no")
	f.class, f.moved = map[string]string{"p": "b"}, map[string]bool{"p": true}
	apply(t, e, Commit{Translator: f})
	if get(moves) != good || get(resident) != good {
		t.Errorf("serves %v, want %v", get(moves), good)
	}
}
