package localnode

import (
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
)

func TestRollout(t *testing.T) {
	pods := func(specs ...string) []member {
		var out []member
		for i, s := range specs {
			m := member{name: fmt.Sprintf("p%d", i), hash: s[:1], born: time.Unix(int64(i), 0)}
			m.ready, m.leaving = slices.Contains([]string{"+"}, s[1:]), s[1:] == "!"
			out = append(out, m)
		}
		return out
	}
	tests := map[string]struct {
		replicas int32
		strategy appsv1.DeploymentStrategyType
		members  []member
		create   int
		remove   []string
	}{
		"from nothing":                               {replicas: 3, create: 3},
		"complete":                                   {replicas: 2, members: pods("n+", "n+")},
		"a new one beside the old one":               {replicas: 1, members: pods("o+"), create: 1},
		"the old one stays until then":               {replicas: 1, members: pods("o+", "n-")},
		"and goes when the new one is ready":         {replicas: 1, members: pods("o+", "n+"), remove: []string{"p0"}},
		"an old one that serves nobody goes at once": {replicas: 2, members: pods("o+", "o-"), create: 1, remove: []string{"p1"}},
		"scaled down":                                {replicas: 1, members: pods("n+", "n+"), remove: []string{"p1"}},
		"those that are leaving do not count":        {replicas: 1, members: pods("n!"), create: 1},
		"recreate takes the old one first":           {replicas: 1, strategy: appsv1.RecreateDeploymentStrategyType, members: pods("o+"), remove: []string{"p0"}},
		"and waits until it is gone":                 {replicas: 1, strategy: appsv1.RecreateDeploymentStrategyType, members: pods("o!")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.Deployment{}
			d.Spec.Replicas = &tt.replicas
			d.Spec.Strategy.Type = tt.strategy
			create, remove := rollout(d, "n", tt.members)
			if create != tt.create || !slices.Equal(remove, tt.remove) {
				t.Errorf("creates %d, removes %v; want %d, %v", create, remove, tt.create, tt.remove)
			}
		})
	}
}

func TestRolloutEnds(t *testing.T) {
	for replicas := int32(0); replicas < 6; replicas++ {
		d := &appsv1.Deployment{}
		d.Spec.Replicas = &replicas
		var members []member
		for i := range int(replicas) {
			members = append(members, member{name: fmt.Sprint("old", i), hash: "o", ready: true})
		}
		for step := 0; ; step++ {
			create, remove := rollout(d, "n", members)
			if create == 0 && len(remove) == 0 {
				break
			}
			if step > 30 {
				t.Fatalf("%d replicas do not roll out", replicas)
			}
			members = slices.DeleteFunc(members, func(m member) bool { return slices.Contains(remove, m.name) })
			for i := range create {
				members = append(members, member{name: fmt.Sprint("new", step, i), hash: "n", ready: true})
			}
		}
		if len(members) != int(replicas) || slices.ContainsFunc(members, func(m member) bool { return m.hash != "n" }) {
			t.Errorf("%d replicas end as %v", replicas, members)
		}
	}
}
