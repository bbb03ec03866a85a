package incluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// health gives the conditions of an entry, with the seconds at which they were probed and changed.
func (m *mesh) health(name string) string {
	var out []string
	all, _, _ := unstructured.NestedSlice(m.get(name).Object, "status", "conditions")
	for _, c := range all {
		c := c.(map[string]any)
		text := fmt.Sprint(c["type"], "=", c["status"])
		for _, key := range []string{"reason", "message", "lastProbeTime", "lastTransitionTime"} {
			if v, ok := c[key].(string); ok {
				text += " " + strings.TrimSuffix(strings.TrimPrefix(v, "2026-11-29T10:00:"), "Z")
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func TestHealthIsWrittenAsIstioDoes(t *testing.T) {
	m := newMesh(t)
	m.put("vm", 1)
	o := m.get("vm")
	o.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Accepted", "status": "True"}}}
	if err := m.dynamic.Tracker().Update(entries, o, "shop"); err != nil {
		t.Fatal(err)
	}
	at := func(second int) time.Time { return time.Date(2026, 11, 29, 10, 0, second, 0, time.UTC) }
	write := func(h Health) error { return WriteHealth(t.Context(), m.dynamic, entryKey("vm"), h) }
	remove := func(second int) error { return RemoveHealth(t.Context(), m.dynamic, entryKey("vm"), at(second)) }
	ask := func(second int) error { return AskHealth(t.Context(), m.dynamic, entryKey("vm"), at(second)) }
	for _, step := range []struct {
		what string
		err  error
		now  string
		want string
	}{
		{"nothing is known of it yet", remove(0), m.health("vm"), "Accepted=True"},
		{"nobody is asked for it", ask(0), m.health("vm"), "Accepted=True"},
		{"ill", write(Health{Message: "down", Probed: at(10)}), m.health("vm"), "Accepted=True, Healthy=False Heard down 10 10"},
		{"still ill", write(Health{Message: "still", Probed: at(20)}), m.health("vm"), "Accepted=True, Healthy=False Heard still 20 10"},
		{"well", write(Health{Healthy: true, Probed: at(30)}), m.health("vm"), "Accepted=True, Healthy=True Heard 30 30"},
		{"another control plane hears it", remove(20), m.health("vm"), "Accepted=True, Healthy=True Heard 30 30"},
		{"it was heard since", ask(20), m.health("vm"), "Accepted=True, Healthy=True Heard 30 30"},
		{"asked", ask(30), m.health("vm"), "Accepted=True, Healthy=True StillHeardAsked 30 30"},
		{"answered", write(Health{Healthy: true, Probed: at(40)}), m.health("vm"), "Accepted=True, Healthy=True Heard 40 30"},
		{"asked again", ask(40), m.health("vm"), "Accepted=True, Healthy=True StillHeardAsked 40 30"},
		{"it is gone", remove(40), m.health("vm"), "Accepted=True"},
	} {
		if step.err != nil {
			t.Fatalf("%s: %v", step.what, step.err)
		}
		if step.now != step.want {
			t.Errorf("%s: %s, want %s", step.what, step.now, step.want)
		}
	}
	if err := WriteHealth(t.Context(), m.dynamic, entryKey("none"), Health{Probed: at(1)}); err != nil {
		t.Errorf("an entry that is gone: %v", err)
	}
	o = m.get("vm")
	foreign := map[string]any{"type": "Healthy", "status": "True", "lastProbeTime": "2026-11-29T10:00:50.100Z"}
	o.Object["status"] = map[string]any{"conditions": []any{foreign}}
	if err := m.dynamic.Tracker().Update(entries, o, "shop"); err != nil {
		t.Fatal(err)
	}
	if err := AskHealth(t.Context(), m.dynamic, entryKey("vm"), at(50).Add(100*time.Millisecond)); err != nil || m.health("vm") != "Healthy=True 50.100" {
		t.Errorf("another control plane's is %s, %v", m.health("vm"), err)
	}
	if err := RemoveHealth(t.Context(), m.dynamic, entryKey("vm"), at(50).Add(100*time.Millisecond)); err != nil || m.health("vm") != "" {
		t.Errorf("the time in other words: %s, %v", m.health("vm"), err)
	}
}
