package traffic

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// rule is one heading of what a naive clone of Istio gets wrong, with all the traps of it, by name.
type rule struct {
	Rule  string `json:"rule"`
	Traps map[string]struct {
		Is string `json:"is"`
		// Elsewhere is where a trap is tried that no call shows: a test that says trap.Apart of it, as DIRECTORY:NAME, or what
		// a file has, as FILE: TEXT.
		Elsewhere []string `json:"elsewhere"`
	} `json:"traps"`
}

// Each trap has a call of which another answer would come in a mesh that falls into it, as the comparison of both ways to
// answer calls sees it; or a test elsewhere holds the answer apart from that one.
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
	shownByPolicies(t, shown)
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
				if !elsewhere(t, name, place) {
					t.Errorf("%s: %s: there is no %s that tells of it", r.Rule, name, place)
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

// shownByPolicies adds those that calls of cases about policies show, of which Envoys and the evaluator are asked.
func shownByPolicies(t *testing.T, shown map[string]bool) {
	t.Helper()
	type answer struct {
		Code   int
		Policy string
	}
	paths, err := filepath.Glob("../translate/p*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Calls []struct {
				answer
				Traps map[string]answer
			}
		}
		if err := yaml.Unmarshal(data, &c); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for i, call := range c.Calls {
			for name, trap := range call.Traps {
				shown[name] = true
				if (trap.Code == 0 || trap.Code == call.Code) && (trap.Policy == "" || call.Policy == "" || trap.Policy == call.Policy) {
					t.Errorf("%s: call %d: whoever falls into %s gives the same answer", path, i, name)
				}
			}
		}
	}
}

// elsewhere tells whether a trap is tried at a place.
func elsewhere(t *testing.T, name, place string) bool {
	t.Helper()
	if file, text, ok := strings.Cut(place, ": "); ok {
		data, err := os.ReadFile("../../" + file)
		return err == nil && strings.Contains(string(data), text)
	}
	directory, test, _ := strings.Cut(place, ":")
	files, err := filepath.Glob("../../" + directory + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == test && f.Recv == nil {
				return tellsApart(f, name)
			}
		}
	}
	return false
}

// tellsApart tells whether a test names a trap and says trap.Apart.
func tellsApart(f *ast.FuncDecl, name string) bool {
	named, apart := false, false
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			named = named || n.Value == strconv.Quote(name)
		case *ast.SelectorExpr:
			of, ok := n.X.(*ast.Ident)
			apart = apart || ok && of.Name == "trap" && n.Sel.Name == "Apart"
		}
		return true
	})
	return named && apart
}
