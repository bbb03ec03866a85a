package manifests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDefinitionsAreThoseOfTheModule(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "istio.io/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "kubernetes/customresourcedefinitions.gen.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := files.ReadFile("files/crds.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("files/crds.yaml is another version's; run `make crds`")
	}
}

func TestRevisionsShareNoName(t *testing.T) {
	names := map[string]bool{}
	for _, revision := range []string{"", "canary"} {
		objects, err := ControlPlane(Options{Revision: revision})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			name := o.GetKind() + "/" + o.GetNamespace() + "/" + o.GetName()
			if names[name] && o.GetKind() != "Namespace" {
				t.Errorf("%s is of both revisions", name)
			}
			names[name] = true
		}
	}
}
