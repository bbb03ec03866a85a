package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTwoRunsSideBySide(t *testing.T) {
	r := example()
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "former.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	former, err := ReadReport(file)
	if err != nil {
		t.Fatal(err)
	}
	r.Before = former.Series
	x := r.Before[0].Result(scenarioEndpoint)
	x.ServerCPU, x.Last.P50, r.Before[0].Version = 6, 4, "old"
	r.Before[0].Options.Mesh.Services++
	var out strings.Builder
	if err := r.Table(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"unscoped: before (old) -> after (v1)", "200.00 -> 100.00 (0.50)", "4.0 -> 5.0 (1.25)", "6.00 -> 3.00 (0.50)",
		"it was another mesh: unscoped: 1001 services",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out.String())
		}
	}
	if _, err := ReadReport(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error for a file that is not there")
	}
}
