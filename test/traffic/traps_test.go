package traffic

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// rule is one heading of what a naive clone of Istio gets wrong, with all the traps of it, by name.
type rule struct {
	Rule  string `json:"rule"`
	Traps map[string]struct {
		Is string `json:"is"`
		// Elsewhere is where a trap is tried that no call shows: a test, as DIRECTORY:NAME, a file of policies with calls,
		// policies/NAME or pairs/NAME, or what a golden has, as FILE: TEXT.
		Elsewhere []string `json:"elsewhere"`
	} `json:"traps"`
}

// Each trap has a call of which another answer would come in a mesh that falls into it, as the comparison of both ways to
// answer calls sees it; or it is tried elsewhere.
func TestTraps(t *testing.T) {
	data, err := os.ReadFile("testdata/traps.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules []rule
	if err := yaml.UnmarshalStrict(data, &rules); err != nil {
		t.Fatal(err)
	}
	shown := shownTraps(t)
	for _, r := range rules {
		if len(r.Traps) == 0 {
			t.Errorf("%s: there is no trap", r.Rule)
		}
		for name, trap := range r.Traps {
			if !shown[name] && len(trap.Elsewhere) == 0 {
				t.Errorf("%s: %s (%s): no call shows it", r.Rule, name, trap.Is)
			}
			delete(shown, name)
			for _, place := range trap.Elsewhere {
				if !elsewhere(t, place) {
					t.Errorf("%s: %s: there is no %s", r.Rule, name, place)
				}
			}
		}
	}
	for name := range shown {
		t.Errorf("a call shows trap %s, which is not in testdata/traps.yaml", name)
	}
}

// shownTraps are those that calls show.
func shownTraps(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, c := range cases(t) {
		for _, call := range c.Calls {
			for name, trap := range call.Traps {
				out[name] = true
				if len(call.differ(call.fallen(&trap))) == 0 {
					t.Errorf("%s: %s: whoever falls into %s gives the same answer", c.Name, call.Call, name)
				}
			}
		}
	}
	return out
}

// elsewhere tells whether a trap is tried at a place.
func elsewhere(t *testing.T, place string) bool {
	t.Helper()
	contains := func(text string, paths ...string) bool {
		return slices.ContainsFunc(paths, func(path string) bool {
			data, err := os.ReadFile(path)
			return err == nil && strings.Contains(string(data), text)
		})
	}
	if golden, text, ok := strings.Cut(place, ": "); ok {
		return contains(text, "../../"+golden)
	}
	if directory, test, ok := strings.Cut(place, ":"); ok {
		files, err := filepath.Glob("../../" + directory + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		return contains("\nfunc "+test+"(t *testing.T)", files...)
	}
	return contains("\ncalls:\n- ", "../translate/"+place+".yaml")
}
