package incluster

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

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
