package localnode

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// What the node refuses the control plane reports, for as long as it is refused.
func TestRefusedWorkloadIsAProblemOfTheControlPlane(t *testing.T) {
	dir := t.TempDir()
	told := 0
	c := &controller{
		cfg: Config{Events: func(Event) { told++ }}, files: newObjectFiles(dir), refused: map[string]string{},
		log: slog.New(slog.DiscardHandler), pods: map[string]*running{}, up: true,
	}
	const owner = "Deployment/team/web"
	for range 2 {
		c.refuse(owner, errors.New("spec.hostPID: is not offered"))
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	objects, problems := file.Decode(text, "state.yaml")
	for _, o := range objects {
		problems = append(problems, validate.Object(o)...)
	}
	if len(problems) != 1 || problems[0].Object.Namespace != "team" || problems[0].Object.Name != "web" || !strings.Contains(problems[0].Message, "hostPID") {
		t.Errorf("problems %v", problems)
	}
	if pods, err := readPods(dir); err != nil || len(pods) != 0 {
		t.Errorf("it counts among the pods that run: %v, %v", pods, err)
	}
	c.syncPods(t.Context(), nil, nil, defaults{}) // its manifest is gone
	if left, _ := os.ReadDir(dir); len(left) != 0 || len(c.refused) != 0 {
		t.Errorf("left: %v, %v", left, c.refused)
	}
}
