package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/test/leftovers"
)

func answers(m *mesh) error {
	if r := m.get("/productpage"); r.status != http.StatusOK {
		return fmt.Errorf("%s: %d %v", m.name, r.status, r.err)
	}
	return nil
}

// TestTwoMeshesAndKill runs two meshes side by side, kills the program that runs one of them with
// SIGKILL, takes that one down by name, and starts it again.
func TestTwoMeshesAndKill(t *testing.T) {
	before := leftovers.Traces(t, meshes)
	sample := filepath.Join(root(t), "samples/bookinfo")
	a := start(t, "e2e-a", copyDir(t, sample))
	b := start(t, "e2e-b", copyDir(t, sample))
	for _, m := range []*mesh{a, b} {
		eventually(t, 30*time.Second, "page of "+m.name, func() error { return answers(m) })
	}
	if a.gateway == b.gateway {
		t.Errorf("both gateways are at %s", a.gateway)
	}
	if err := a.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-a.ended
	if out, err := a.try("down"); err != nil {
		t.Fatalf("down: %v %s", err, out)
	}
	if err := answers(b); err != nil {
		t.Errorf("the other mesh after down: %v", err)
	}
	again := start(t, "e2e-a", a.dir)
	eventually(t, 30*time.Second, "page of the mesh that was started again", func() error { return answers(again) })
	again.stop()
	b.stop()
	leftovers.AssertNone(t, meshes, before)
}

// TestUpSaysWhatIsWrong gives `up` what cannot work: each ends in a sentence and an exit code.
func TestUpSaysWhatIsWrong(t *testing.T) {
	before := leftovers.Traces(t, meshes)
	pilotctl := filepath.Join(root(t), "bin/pilotctl")
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unknown flag":  {[]string{"up", t.TempDir(), "--nmae", "x"}, "--nmae"},
		"no directory":  {[]string{"up", "/no/such/dir", "--name", "e2e-none"}, "/no/such/dir"},
		"no envoy":      {[]string{"up", t.TempDir(), "--name", "e2e-none", "--envoy", "/no/such/envoy"}, "/no/such/envoy"},
		"no mesh":       {[]string{"proxy-status", "--name", "e2e-none"}, "e2e-none"},
		"unknown image": {[]string{"up", unknownImage(t), "--name", "e2e-image", "--timeout", "30s"}, "no-such-image"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.CommandContext(t.Context(), pilotctl, c.args...).CombinedOutput()
			if err == nil {
				t.Errorf("it exits with 0:\n%s", out)
			}
			if !strings.Contains(string(out), c.says) {
				t.Errorf("it does not name %q:\n%s", c.says, out)
			}
		})
	}
	leftovers.AssertNone(t, meshes, before)
}

func unknownImage(t *testing.T) string {
	dir := t.TempDir()
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: nobody}\nspec: {containers: [{name: x, image: no-such-image:1}]}\n"
	if err := os.WriteFile(filepath.Join(dir, "pod.yaml"), []byte(pod), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
