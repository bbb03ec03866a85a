package store

import (
	"testing"
	"testing/synctest"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestAServiceEntryIsSeenAsTheLabelsOfItsNamespaceSay changes the labels of a namespace, then the setting itself.
func TestAServiceEntryIsSeenAsTheLabelsOfItsNamespaceSay(t *testing.T) {
	entry := &model.Object{
		Key:  model.Key{Kind: model.KindServiceEntry, Namespace: "ns", Name: "e"},
		Spec: &networking.ServiceEntry{Hosts: []string{"e.example.com"}},
	}
	namespace := func(labels map[string]string) *model.Object {
		return &model.Object{Key: model.Key{Kind: model.KindNamespace, Name: "ns"}, Labels: labels}
	}
	mesh := func(applies bool) *model.Object {
		m := model.DefaultMeshConfig()
		m.ServiceEntryVisibility = &meshconfig.ServiceEntryVisibility{
			ApplyToSidecars: applies, DefaultVisibility: meshconfig.ServiceEntryVisibility_NAMESPACE,
			Policies: []*meshconfig.ServiceEntryVisibility_Policy{
				rule(meshconfig.ServiceEntryVisibility_NONE, "seen", "no"), rule(meshconfig.ServiceEntryVisibility_PUBLIC, "seen", "all"),
			},
		}
		return &model.Object{Key: model.Key{Kind: model.KindMeshConfig, Namespace: model.RootNamespace, Name: model.MeshConfigName}, Spec: m}
	}
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Domain: "cluster.local"})
		held := map[model.Key]*model.Object{}
		for _, c := range []struct {
			change      *model.Object
			own, others int // services that are seen
		}{
			{entry, 1, 1},
			{mesh(true), 1, 0},
			{namespace(map[string]string{"seen": "all"}), 1, 1},
			{namespace(map[string]string{"seen": "no"}), 0, 0},
			{namespace(map[string]string{"seen": "else"}), 1, 0},
			{mesh(false), 1, 1},
		} {
			s.Apply("file", []model.Event{{Key: c.change.Key, Old: held[c.change.Key], New: c.change}}, nil)
			s.Synced("file")
			held[c.change.Key] = c.change
			time.Sleep(time.Minute)
			commit := commitNow(s)
			if commit == nil {
				t.Fatalf("%v: nothing is committed", c.change.Key)
			}
			if own, others := len(commit.Snapshot.Services("ns")), len(commit.Snapshot.Services("other")); own != c.own || others != c.others {
				t.Errorf("%v %v: its namespace sees %d, another %d, want %d and %d", c.change.Key, c.change.Labels, own, others, c.own, c.others)
			}
		}
	})
}

func rule(says meshconfig.ServiceEntryVisibility_Visibility, label, value string) *meshconfig.ServiceEntryVisibility_Policy {
	return &meshconfig.ServiceEntryVisibility_Policy{
		Visibility: says, MatchingRules: []*meshconfig.ServiceEntryVisibility_MatchRule{{
			Matcher: &meshconfig.ServiceEntryVisibility_MatchRule_NamespaceSelector{
				NamespaceSelector: &meshconfig.LabelSelector{MatchLabels: map[string]string{label: value}},
			},
		}},
	}
}

// The first policy whose rules all match decides; one without rules matches every namespace.
func TestPoliciesOfVisibility(t *testing.T) {
	const none, own = meshconfig.ServiceEntryVisibility_NONE, meshconfig.ServiceEntryVisibility_NAMESPACE
	team := func(name string) *meshconfig.ServiceEntryVisibility_MatchRule {
		return &meshconfig.ServiceEntryVisibility_MatchRule{Matcher: &meshconfig.ServiceEntryVisibility_MatchRule_NamespaceSelector{
			NamespaceSelector: &meshconfig.LabelSelector{MatchLabels: map[string]string{"team": name}},
		}}
	}
	policy := func(says meshconfig.ServiceEntryVisibility_Visibility, rules ...*meshconfig.ServiceEntryVisibility_MatchRule) *meshconfig.ServiceEntryVisibility_Policy {
		return &meshconfig.ServiceEntryVisibility_Policy{Visibility: says, MatchingRules: rules}
	}
	for name, c := range map[string]struct {
		policies []*meshconfig.ServiceEntryVisibility_Policy
		want     meshconfig.ServiceEntryVisibility_Visibility
	}{
		"no policy":            {nil, meshconfig.ServiceEntryVisibility_PUBLIC},
		"without rules":        {[]*meshconfig.ServiceEntryVisibility_Policy{policy(none)}, none},
		"the first that does":  {[]*meshconfig.ServiceEntryVisibility_Policy{policy(none, team("x")), policy(own), policy(none)}, own},
		"all rules":            {[]*meshconfig.ServiceEntryVisibility_Policy{policy(none, team("a"), team("x")), policy(own, team("a"))}, own},
		"a rule without match": {[]*meshconfig.ServiceEntryVisibility_Policy{policy(none, &meshconfig.ServiceEntryVisibility_MatchRule{})}, meshconfig.ServiceEntryVisibility_PUBLIC},
	} {
		v := newVisibility(&meshconfig.ServiceEntryVisibility{ApplyToSidecars: true, DefaultVisibility: meshconfig.ServiceEntryVisibility_PUBLIC, Policies: c.policies})
		if got := v.of(map[string]string{"team": "a"}); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
