package incluster

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// replica is one control plane with one proxy, which takes the roots that it is told of and renews its certificate.
type replica struct {
	name, proxy string
	keeper      *ca.Keeper
	fleet       []*workload // in the place of the proxy, where there are any

	mu     sync.Mutex
	silent bool          // it does not answer
	leads  bool          // it writes the roots into the cluster
	writes bool          // and has not done so with all
	signs  time.Duration // the longest lifetime that it signs for
	stuck  []string      // the roots that its proxy stays with; nil: those that it is told of
	keeps  string        // the root of the certificate that its proxy keeps, "": it renews it
}

func (r *replica) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *replica) heard() ca.Heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := ca.Heard{Replica: r.name, MaxTTL: r.signs}
	h.Roots = fingerprints(r.keeper.Bundle())
	if h.Signer = h.Roots[0]; r.leads {
		written := !r.writes
		h.Written = &written
	}
	for _, p := range r.fleet {
		h.Add(p.name, p.trusts(), p.leadsTo())
	}
	if r.fleet != nil {
		return h
	}
	roots, signer := slices.Sorted(slices.Values(h.Roots)), h.Signer
	if r.stuck != nil {
		roots = r.stuck
	}
	if r.keeps != "" {
		signer = r.keeps
	}
	h.Add(r.proxy, roots, signer)
	return h
}

// fingerprints gives those of certificates that a Keeper gave.
func fingerprints(pems []string) []string {
	var out []string
	for _, text := range pems {
		block, _ := pem.Decode([]byte(text))
		c, _ := x509.ParseCertificate(block.Bytes) // the keeper has parsed it
		out = append(out, ca.Fingerprint(c))
	}
	return out
}

// rootTest is a cluster with two replicas that share a CA, in time that is told.
type rootTest struct {
	*testing.T
	client   *fake.Clientset
	opts     ca.Options
	replicas []*replica
	leads    int
	delivery time.Duration
	stop     func()
}

func newRootTest(t *testing.T, opts ca.Options, more ...runtime.Object) *rootTest {
	files, err := ca.SelfSigned(opts)
	if err != nil {
		t.Fatal(err)
	}
	own := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: OwnSecret, Namespace: "istio-system"}, Data: files}
	w := &rootTest{T: t, client: fake.NewClientset(append(more, own)...), opts: opts, delivery: time.Second}
	for _, name := range []string{"one", "two"} {
		w.replicas = append(w.replicas, &replica{name: "istiod-" + name, proxy: "shop-" + name + ".default"})
	}
	w.start(0)
	return w
}

func (w *rootTest) authority() AuthorityOptions {
	return AuthorityOptions{Client: w.client, Namespace: "istio-system", Logger: slog.New(slog.DiscardHandler)}
}

// start starts both replicas, of which one leads.
func (w *rootTest) start(leads int) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	var running sync.WaitGroup
	for _, r := range w.replicas {
		opts := w.opts
		var err error
		opts.Files, opts.Own, err = Authority(ctx, w.authority(), func() (map[string][]byte, error) { return nil, errors.New("there is a CA") })
		if err != nil {
			w.Fatal(err)
		}
		keeper, err := ca.NewKeeper(ca.KeeperOptions{Options: opts, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			w.Fatal(err)
		}
		r.set(func() { r.keeper = keeper })
		running.Go(func() { _ = FollowAuthority(ctx, w.authority(), keeper.Use) })
	}
	w.leads = leads
	for i, r := range w.replicas {
		r.set(func() { r.leads = i == leads })
	}
	running.Go(func() {
		keepRoot(ctx, Options{
			Client: w.client, Namespace: "istio-system", Logger: slog.New(slog.DiscardHandler), Roots: w.replicas[leads].keeper,
			Root: &RootOptions{Authority: w.opts, Own: w.replicas[leads].heard, Peers: w, Delivery: w.delivery},
		})
	})
	w.stop = func() { cancel(); running.Wait() }
	w.pass(10 * time.Second)
}

// restart starts both anew, and the other one leads.
func (w *rootTest) restart() {
	w.Helper()
	before := w.status()
	w.stop()
	w.start(1 - w.leads)
	if after := w.status(); after.Stage != before.Stage || after.Signer != before.Signer || !slices.Equal(after.Roots, before.Roots) {
		w.Errorf("%+v, and after a restart %+v", before, after)
	}
}

func (w *rootTest) Peers(context.Context) ([]Peer, error) {
	return []Peer{{Name: w.replicas[1-w.leads].name}}, nil
}

func (w *rootTest) Roots(_ context.Context, p Peer) (ca.Heard, error) {
	r := w.replicas[slices.IndexFunc(w.replicas, func(r *replica) bool { return r.name == p.Name })]
	r.mu.Lock()
	silent := r.silent
	r.mu.Unlock()
	if silent {
		return ca.Heard{}, errors.New("it is slow")
	}
	return r.heard(), nil
}

func (w *rootTest) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *rootTest) secret() *corev1.Secret {
	w.Helper()
	s, err := w.client.CoreV1().Secrets("istio-system").Get(w.Context(), OwnSecret, metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *rootTest) status() ca.Status {
	w.Helper()
	s, _, found, err := ca.Answered(w.secret().Data)
	if err != nil || !found {
		w.Fatalf("no status: %v", err)
	}
	return s
}

// ask asks for a step as pilotctl does, and gives what came of it.
func (w *rootTest) ask(step ca.Step) ca.Status {
	w.Helper()
	w.request(step)
	w.pass(6 * time.Second)
	return w.answer(step)
}

func (w *rootTest) request(step ca.Step) {
	w.Helper()
	s, c := w.secret().DeepCopy(), ca.Requested(step)
	s.Data[c.Name] = c.Data
	if _, err := w.client.CoreV1().Secrets("istio-system").Update(w.Context(), s, metav1.UpdateOptions{}); err != nil {
		w.Fatal(err)
	}
}

func (w *rootTest) answer(step ca.Step) ca.Status {
	w.Helper()
	status, answered, _, err := ca.Answered(w.secret().Data)
	if err != nil || !answered || status.Request != step {
		w.Fatalf("%s is not answered: %+v, %v", step, status, err)
	}
	return status
}

// names tells whether a status names a proxy and its replica.
func names(s ca.Status, replica string, proxies func(ca.Waiting) ca.Proxies, proxy string) bool {
	return slices.ContainsFunc(s.Waiting, func(w ca.Waiting) bool { return w.Replica == replica && slices.Contains(proxies(w).Names, proxy) })
}

func lacking(w ca.Waiting) ca.Proxies { return w.Lacking }
func former(w ca.Waiting) ca.Proxies  { return w.Former }

// A root in a Secret is rotated by replicas of which each knows its own proxies only. One proxy that does not take the
// roots, a replica that does not answer, and a proxy that keeps its certificate each hold it up and are named. In each
// stage all are started anew and another one leads.
func TestTheRootInASecretIsRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRootTest(t, ca.Options{})
		defer func() { w.stop() }()
		one, two := w.replicas[0], w.replicas[1]
		first := w.status()
		if first.Stage != ca.Steady || len(first.Roots) != 1 {
			t.Fatalf("at first %+v", first)
		}
		two.set(func() { two.stuck, two.keeps = first.Roots, first.Signer })
		w.ask(ca.Start)
		w.pass(10 * time.Minute)
		s := w.status()
		if s.Stage != ca.Distributing || s.Signer != first.Signer || len(s.Waiting) != 1 || !names(s, "istiod-two", lacking, "shop-two.default") {
			t.Fatalf("a proxy does not take the roots: %+v", s)
		}
		if s := w.ask(ca.Sign); !strings.Contains(s.Refused, "shop-two.default at replica istiod-two") {
			t.Errorf("signs: %+v", s)
		}
		for _, r := range w.replicas {
			if len(r.heard().Roots) != 2 || r.heard().Signer != first.Signer {
				t.Errorf("%s has %+v", r.name, r.heard())
			}
		}
		w.restart()
		one.set(func() { one.silent = true })
		two.set(func() { two.stuck = nil })
		w.pass(10 * time.Minute)
		if s := w.status(); s.Stage != ca.Distributing || len(s.Waiting) != 1 || s.Waiting[0].Replica != "istiod-one" || !strings.Contains(s.Waiting[0].Reason, "it is slow") {
			t.Fatalf("a replica does not answer: %+v", s)
		}
		one.set(func() { one.silent = false })
		two.set(func() { two.writes = true })
		w.pass(10 * time.Minute)
		if s := w.status(); s.Stage != ca.Distributing || len(s.Waiting) != 1 || !strings.Contains(s.Waiting[0].Reason, "has not written") {
			t.Fatalf("namespaces and webhooks do not have the roots: %+v", s)
		}
		two.set(func() { two.writes, two.leads = false, false })
		w.pass(10 * time.Minute)
		if s := w.status(); s.Stage != ca.Distributing || len(s.Waiting) != 1 || s.Waiting[0].Replica != "leader of istiod" {
			t.Fatalf("nobody writes them: %+v", s)
		}
		two.set(func() { two.leads = true })
		w.pass(30 * time.Second)
		s = w.status()
		if s.Stage != ca.Signing || s.Signer == first.Signer || len(s.Roots) != 2 || s.FormerUntil == nil {
			t.Fatalf("all have the roots: %+v", s)
		}
		for _, r := range w.replicas {
			if r.heard().Signer != s.Signer {
				t.Errorf("%s signs by the former key", r.name)
			}
		}
		w.restart()
		w.pass(time.Minute)
		if s := w.ask(ca.Finish); s.Stage != ca.Signing || !strings.Contains(s.Refused, "may live until") || !names(s, "istiod-two", former, "shop-two.default") {
			t.Fatalf("a proxy has a certificate of the former key: %+v", s)
		}
		two.set(func() { two.keeps = "" })
		w.pass(20 * time.Second)
		s = w.ask(ca.Finish)
		if s.Refused != "" || s.Stage != ca.Steady || len(s.Roots) != 1 || s.Roots[0] == first.Signer {
			t.Fatalf("all have renewed: %+v", s)
		}
		w.restart()
		data := w.secret().Data
		for _, r := range w.replicas {
			if !slices.Equal(r.heard().Roots, s.Roots) || string(data["ca-cert.pem"]) != r.keeper.Bundle()[0] || string(data["root-cert.pem"]) != r.keeper.Bundle()[0] {
				t.Errorf("%s has %+v", r.name, r.heard())
			}
		}
		if left := slices.Sorted(maps.Keys(data)); !slices.Equal(left, []string{"ca-cert.pem", "ca-key.pem", "longest-ttl", "root-cert.pem", "rotate-status.json"}) {
			t.Errorf("left are %v", left)
		}
	})
}

// A replica that still signs by the former key holds up the end, also by time.
func TestTheFormerKeyMayBeInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRootTest(t, ca.Options{MaxTTL: time.Hour, DefaultTTL: time.Hour})
		defer func() { w.stop() }()
		w.ask(ca.Start)
		w.replicas[1].set(func() { w.replicas[1].silent = true })
		if s := w.ask(ca.SignForced); s.Stage != ca.Signing || !strings.Contains(s.Broken, "istiod-two") {
			t.Fatalf("%+v", s)
		}
		w.pass(2 * time.Hour)
		if s := w.ask(ca.Finish); s.FormerUntil != nil || !strings.Contains(s.Refused, "istiod-two") {
			t.Fatalf("nobody knows by which key a replica signs: %+v", s)
		}
		w.replicas[1].set(func() { w.replicas[1].silent, w.replicas[1].keeps = false, "former" })
		w.pass(30 * time.Minute)
		if s := w.ask(ca.Finish); s.FormerUntil == nil || !strings.Contains(s.Refused, "may live until") {
			t.Fatalf("the lives of certificates count from its answer: %+v", s)
		}
		w.pass(31 * time.Minute)
		if s := w.ask(ca.Finish); s.Refused != "" || s.Stage != ca.Steady {
			t.Fatalf("they are over: %+v", s)
		}
	})
}

// What is not said otherwise is the time that a kubelet takes: a pod mounts the roots by a ConfigMap.
func TestTheNewKeyWaitsUntilPodsHaveTheRoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRootTest(t, ca.Options{})
		defer func() { w.stop() }()
		w.delivery = 0
		w.restart()
		w.ask(ca.Start)
		w.pass(90 * time.Second) // a kubelet looks at a pod each minute, and up to half of one later
		if s := w.status(); s.Stage != ca.Distributing || s.Lacking() != "" || s.DeliveredBy == nil || s.DeliveredBy.Before(time.Now()) {
			t.Errorf("all replicas have written the roots, pods may not have them: %+v", s)
		}
		w.pass(90 * time.Second)
		if s := w.status(); s.Stage != ca.Signing {
			t.Errorf("pods have them: %+v", s)
		}
	})
}

// A self-signed root in a Secret is renewed before it ends, with the same key, and what it signed stays valid.
func TestTheRootInASecretIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRootTest(t, ca.Options{RootTTL: 20 * time.Minute})
		defer func() { w.stop() }()
		former := w.replicas[1].keeper.Bundle()
		w.pass(18*time.Minute + 30*time.Second)
		for _, r := range w.replicas {
			if b := r.keeper.Bundle(); len(b) != 2 || b[0] == former[0] || b[1] != former[0] {
				t.Errorf("%s has %d roots", r.name, len(b))
			}
		}
		w.pass(10 * time.Minute)
		for _, r := range w.replicas {
			if b := r.keeper.Bundle(); len(b) != 1 || b[0] == former[0] || string(w.secret().Data["ca-cert.pem"]) != b[0] {
				t.Errorf("%s has %d roots, want the new one alone", r.name, len(b))
			}
		}
	})
}

// Where somebody else has written the Secret since it was read, a step is taken at a later look; and nothing but the
// status of a rotation is written again and again.
func TestTheSecretOfTheRootIsWrittenOnlyAsItWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRootTest(t, ca.Options{})
		defer func() { w.stop() }()
		refusals := 2
		w.client.PrependReactor("update", "secrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
			s := a.(clienttesting.UpdateAction).GetObject().(*corev1.Secret)
			if _, asks := s.Data["rotate-request"]; asks || refusals == 0 {
				return false, nil, nil
			}
			refusals--
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, OwnSecret, errors.New("another one is newer"))
		})
		if s := w.ask(ca.Start); s.Stage != ca.Distributing || refusals != 0 {
			t.Errorf("%+v, %d refusals are left", s, refusals)
		}
		w.pass(time.Minute)
		w.client.ClearActions()
		w.pass(time.Hour)
		if done := w.client.Actions(); len(done) < 110 || len(done) > 120 {
			t.Errorf("%d calls of an API server in an hour, want the status each 30 s: %v", len(done), done)
		}
		if s := w.ask(ca.FinishForced); s.Stage != ca.Steady {
			t.Errorf("%+v", s)
		}
		w.pass(time.Minute)
		w.client.ClearActions()
		w.pass(time.Hour)
		if done := w.client.Actions(); len(done) > 0 {
			t.Errorf("%d calls of an API server though nothing is new: %v", len(done), done[0])
		}
	})
}

// A CA that is plugged in is the operator's. One that was made here before is not kept while the mesh stays with it, also
// where its Secret and the ConfigMap that says so are gone.
func TestNothingIsDoneToAPluggedInRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files, err := ca.SelfSigned(ca.Options{RootTTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		plugged := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: PluggedSecret, Namespace: "istio-system"}, Data: files}
		w := newRootTest(t, ca.Options{RootTTL: time.Hour}, plugged)
		defer func() { w.stop() }()
		w.pass(10 * time.Minute)
		if err := w.client.CoreV1().Secrets("istio-system").Delete(t.Context(), PluggedSecret, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.pass(48 * time.Minute)
		for _, a := range w.client.Actions() {
			if a.Matches("update", "secrets") {
				t.Errorf("written: %v", a)
			}
		}
	})
}
