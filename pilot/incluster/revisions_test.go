package incluster

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// Certificates of a replica that signs for longer than the leader live until a rotation may end.
func TestARotationWaitsForTheLongestLifetimeOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRootTest(t, ca.Options{MaxTTL: time.Hour, DefaultTTL: time.Hour})
		defer func() { w.stop() }()
		w.replicas[1].set(func() { w.replicas[1].signs = 48 * time.Hour })
		began := time.Now()
		w.ask(ca.Start)
		w.ask(ca.SignForced)
		w.pass(10 * time.Second)
		if s := w.status(); s.FormerUntil == nil || s.FormerUntil.Sub(began).Round(time.Hour) != 48*time.Hour {
			t.Errorf("%+v, want 48 h from %v", s, began)
		}
	})
}

// Each revision has webhooks of its own, and so a leader that writes the roots into them.
func TestEachRevisionHasAWriter(t *testing.T) {
	yes := true
	for what, c := range map[string]struct {
		heard []ca.Heard
		want  []string
	}{
		"one writes":                   {[]ca.Heard{{Written: &yes}, {}}, nil},
		"the default one by its names": {[]ca.Heard{{Revision: "default", Written: &yes}, {}}, nil},
		"nobody writes":                {[]ca.Heard{{}, {}}, []string{"leader of istiod"}},
		"another revision writes":      {[]ca.Heard{{Written: &yes}, {Revision: "canary"}}, []string{"leader of istiod-canary"}},
		"both write":                   {[]ca.Heard{{Written: &yes}, {Revision: "canary", Written: &yes}}, nil},
		"one is silent":                {[]ca.Heard{{Written: &yes}, {Silent: "it is slow"}}, nil},
	} {
		var got []string
		for _, h := range withoutWriter(c.heard) {
			got = append(got, h.Replica)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v are without, want %v", what, got, c.want)
		}
	}
}

// Leaders of two revisions write the same ConfigMaps. While one of them has not read a CA's Secret that has changed it
// writes nothing, so that they do not write over each other's, whichever of them is first.
func TestTheSecretOrdersWhatLeadersWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := selfSigned(t), selfSigned(t)
		both := maps.Clone(first)
		both["root-cert.pem"] = slices.Concat(first["root-cert.pem"], second["root-cert.pem"])
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: OwnSecret, Namespace: "istio-system"}, Data: first}
		client := fake.NewClientset(secret, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
		var written []string
		client.PrependReactor("update", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
			written = append(written, a.(clienttesting.UpdateAction).GetObject().(*corev1.ConfigMap).Data[rootKey])
			return len(written) > 50, nil, errors.New("it is written again and again")
		})
		ctx, cancel := context.WithCancel(t.Context())
		stored := &AuthorityOptions{Client: client, Namespace: "istio-system", Logger: slog.New(slog.DiscardHandler)}
		var running sync.WaitGroup
		defer func() { cancel(); running.Wait() }()
		leaders := []*roots{{}, {}}
		has := func(leader int, files map[string][]byte) {
			leaders[leader].set(string(files["root-cert.pem"]), "")
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		for i, revision := range []string{"", "canary"} {
			leaders[i].pem, leaders[i].changed = string(first["root-cert.pem"]), make(chan struct{})
			opts := Options{Client: client, Namespace: "istio-system", Revision: revision, Roots: leaders[i], Stored: stored, Logger: stored.Logger}
			running.Go(func() { _ = write(ctx, opts) })
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for round, next := range []map[string][]byte{both, second} {
			written = nil
			update := secret.DeepCopy()
			update.Data = next
			if _, err := client.CoreV1().Secrets("istio-system").Update(ctx, update, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			has(round%2, next) // the other one has the former roots yet
			wanted := func(text string) bool { return text == string(next["root-cert.pem"]) }
			if m, err := client.CoreV1().ConfigMaps("shop").Get(ctx, rootMap, metav1.GetOptions{}); err != nil || !wanted(m.Data[rootKey]) {
				t.Errorf("round %d: at last %v (%v)", round, m.Data, err)
			}
			if slices.ContainsFunc(written, func(text string) bool { return !wanted(text) }) {
				t.Errorf("round %d: the former roots are written, of %d times", round, len(written))
			}
			has(1-round%2, next)
		}
	})
}

func selfSigned(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := ca.SelfSigned(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
